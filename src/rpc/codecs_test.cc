#include <gtest/gtest.h>

#include <string>

#include "base/wire.h"
#include "rpc/grpc_call.h"
#include "rpc/services.h"
#include "rpc/tfs_examples.h"
#include "rpc/tfs_predict.h"
#include "rpc/v2_infer.h"

// What the codecs refuse, and how, without a server around them.

namespace leadsman::rpc {
namespace {

/// `count` times a field that is an empty message, or an empty string.
std::string Fields(uint32_t field, size_t count) {
  std::string out;
  WireWriter writer(out);
  for (size_t i = 0; i < count; ++i) writer.Bytes(field, "");
  return out;
}

TEST(MessageReaderTest, MeasuresWithoutInflating) {
  MessageReader reader(MessageLimits{.wire = 100, .expanded = 100});
  reader.SetCompression(Compression::kGzip);
  std::string body;
  const size_t at = BeginMessage(body);
  body += "this is not gzip";
  EndMessage(body, at);
  body[0] = 1;
  size_t size = 0;
  EXPECT_EQ(reader.Measure(body.substr(0, 10), &size), MessageReader::Outcome::kNeedMore);
  EXPECT_EQ(size, body.size());
  EXPECT_EQ(reader.Measure(body, &size), MessageReader::Outcome::kMessage);
  EXPECT_EQ(reader.Read(body, &size), MessageReader::Outcome::kRefused);
  body[4] = 101;
  EXPECT_EQ(reader.Measure(body, &size), MessageReader::Outcome::kRefused);
  EXPECT_EQ(reader.error().code(), StatusCode::kResourceExhausted);
}

TEST(MessageLimitsTest, WhatAMessageBecomesIsBoundedByWhatCame) {
  const MessageLimits limits{.wire = 10'000, .expanded = 1000};
  EXPECT_EQ(limits.Expanded(1), 1000u) << "a small one may grow so far";
  EXPECT_EQ(limits.Expanded(100), 1600u);
  EXPECT_EQ(limits.Expanded(5000), 10'000u);
}

TEST(CodecsTest, InferKeepsItsIdWhenTheMessageIsGone) {
  ModelInferCodec codec;
  std::string message;
  WireWriter(message).Text(3, "a request's id that is too long to lie in a string itself");
  EXPECT_FALSE(codec.Parse(message).ok());  // an error is told with the id
  message.assign(message.size(), '?');
  EXPECT_EQ(codec.id(), "a request's id that is too long to lie in a string itself");
}

TEST(CodecsTest, InferKeepsABoundedNumberOfEntries) {
  ModelInferCodec codec;
  std::string model;
  WireWriter(model).Text(1, "m");
  std::string input;
  WireWriter(input).Message(5, [](WireWriter& in) { in.Text(1, "x"); });
  std::string inputs;
  for (size_t i = 0; i < kMaxEntries; ++i) inputs += input;
  EXPECT_EQ(codec.Parse(model + inputs), OkStatus());
  EXPECT_EQ(codec.Parse(model + Fields(6, kMaxEntries)), OkStatus());
  EXPECT_EQ(codec.Parse(model + Fields(7, kMaxEntries)), OkStatus());
  EXPECT_EQ(codec.Parse(model + inputs + input),
            InvalidArgumentError("'inputs' has more than 1024 entries"));
  EXPECT_EQ(codec.Parse(model + Fields(6, kMaxEntries + 1)),
            InvalidArgumentError("'outputs' has more than 1024 entries"));
  EXPECT_EQ(codec.Parse(model + Fields(7, kMaxEntries + 1)),
            InvalidArgumentError("'raw_input_contents' has more than 1024 entries"));
}

TEST(CodecsTest, PredictKeepsABoundedNumberOfEntries) {
  PredictCodec codec;
  std::string spec;
  WireWriter(spec).Message(1, [](WireWriter& out) { out.Text(1, "m"); });
  EXPECT_EQ(codec.Parse(spec + Fields(3, kMaxEntries)), OkStatus());
  EXPECT_EQ(codec.Parse(spec + Fields(3, kMaxEntries + 1)),
            InvalidArgumentError("'output_filter' has more than 1024 entries"));
}

TEST(CodecsTest, ExamplesTakeNoMoreMemoryThanTheLimitAllows) {
  ExamplesCodec codec;
  std::string request;
  WireWriter writer(request);
  writer.Message(1, [](WireWriter& spec) { spec.Text(1, "m"); });
  writer.Message(2, [](WireWriter& input) { input.Bytes(1, Fields(1, 1000)); });
  constexpr size_t kNeeded = 1000 * sizeof(tfserving::Example);
  EXPECT_EQ(codec.Parse(ExamplesCodec::Kind::kClassify, request, kNeeded / 4), OkStatus());
  Status refused = codec.Parse(ExamplesCodec::Kind::kClassify, request, kNeeded / 4 - 1);
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(refused.message().find("4 times server.limits.max_body"), std::string::npos) << refused;
}

TEST(CodecsTest, ReflectionListsWhatIsServedAlone) {
  std::string request, response;
  WireWriter(request).Text(7, "*");
  ASSERT_EQ(Reflect(request, response), OkStatus());
  EXPECT_NE(response.find("inference.GRPCInferenceService"), std::string::npos);
  EXPECT_EQ(response.find("envoy."), std::string::npos) << "their messages are known, no more";
}

TEST(CodecsTest, ReflectionCutsWhatItShowsBetweenCharacters) {
  // 200 times "é", of two bytes: the cut at 256 would fall between them but for the "x".
  std::string symbol = "x";
  for (int i = 0; i < 200; ++i) symbol += "\xC3\xA9";
  std::string request, response;
  WireWriter(request).Text(4, symbol);
  ASSERT_EQ(Reflect(request, response), OkStatus());
  EXPECT_TRUE(IsUtf8(response.substr(response.find("no symbol"))));
}

}  // namespace
}  // namespace leadsman::rpc
