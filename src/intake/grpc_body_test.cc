#include "intake/grpc_body.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/wire.h"
#include "intake/exchange_intake.h"
#include "intake/testing/recording_sink.h"
#include "net/compression.h"

namespace leadsman::intake {
namespace {

using Side = GrpcBody::Side;
using Outcome = GrpcBody::Outcome;

std::string FromHex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

// tritonclient 2.73.0: model digits, id r-42, x FP32 [[1.5, 2], [3, 4]], city BYTES [["north"], ["süd"]].
const std::string kInferRequest = FromHex(
    "0a066469676974731a04722d34322a0d0a01781204465033321a0202022a110a0463697479120542595445531a0202"
    "013a100000c03f0000004000004040000080403a11050000006e6f7274680400000073c3bc64");
// Likewise: label INT64 [7, 1].
const std::string kInferResponse = FromHex(
    "0a066469676974731201311a04722d34322a110a056c6162656c1205494e5436341a01023210070000000000000001"
    "00000000000000");
// tensorflow-serving-api 2.19: x float [[1.5, 2]], age int64 [[31]], city string [["north"]], in an order of its own.
const std::string kPredictRequest = FromHex(
    "0a060a0468616c6612160a03616765120f08091208120208011202080152011f121b0a017812160801120812020801"
    "1202080222080000c03f00000040121b0a0463697479121308071208120208011202080142056e6f727468");
// scores float [[0.25, 0.75], [0.5, 0.5]].
const std::string kPredictResponse = FromHex(
    "0a280a0673636f726573121e0801120812020802120208022a100000803e0000403f0000003f0000003f120a0a0468"
    "616c6612020803");
// Two examples: age 31 and 40, income 1.5, city "north".
const std::string kClassifyRequest = FromHex(
    "0a060a0468616c6612740a720a370a350a0c0a0361676512051a030a011f0a120a06696e636f6d65120812060a0400"
    "00c03f0a110a046369747912090a070a056e6f7274680a370a350a0c0a0361676512051a030a01280a120a06696e63"
    "6f6d65120812060a040000c03f0a110a046369747912090a070a056e6f727468");
const std::string kClassifyResponse = FromHex(
    "0a320a170a090a026e6f15cdcc4c3e0a0a0a0379657315cdcc4c3f0a170a090a026e6f156666663f0a0a0a03796573"
    "15cdcccc3d");
const std::string kRegressResponse = FromHex("0a0e0a050d000020400a050d0000003e");

std::string Framed(const std::string& message, bool compressed = false) {
  std::string framed(1, compressed ? '\1' : '\0');
  for (int shift = 24; shift >= 0; shift -= 8)
    framed += static_cast<char>(message.size() >> shift & 0xff);
  return framed + message;
}

HttpBody Body(GrpcMethod call, std::string bytes, std::string encoding = "") {
  HttpBody body;
  body.state = HttpBody::State::kWhole;
  body.call = call;
  body.content_type = "application/grpc";
  body.content_encoding = std::move(encoding);
  body.body = std::move(bytes);
  return body;
}

/// A ModelInferRequest of one tensor, or a response.
std::string Infer(Side side, std::string_view datatype, const std::vector<uint64_t>& shape,
                  const std::function<void(WireWriter&)>& contents,
                  const std::vector<std::string>& raw = {}) {
  std::string message;
  WireWriter out(message);
  out.Message(5, [&](WireWriter& tensor) {
    tensor.Text(1, "x");
    tensor.Text(2, datatype);
    for (uint64_t size : shape) tensor.Number(3, size);
    if (contents) tensor.Message(5, contents);
  });
  for (const std::string& bytes : raw) out.Bytes(side == Side::kRequest ? 7 : 6, bytes);
  return message;
}

/// A PredictRequest of one tensor.
std::string Predict(uint64_t type, const std::vector<uint64_t>& shape,
                    const std::function<void(WireWriter&)>& values) {
  std::string message;
  WireWriter(message).Message(2, [&](WireWriter& entry) {
    entry.Text(1, "x");
    entry.Message(2, [&](WireWriter& tensor) {
      tensor.Number(1, type);
      tensor.Message(2, [&](WireWriter& dims) {
        for (uint64_t size : shape)
          dims.Message(2, [&](WireWriter& dim) { dim.NumberOrNothing(1, size); });
      });
      values(tensor);
    });
  });
  return message;
}

class GrpcBodyTest : public testing::Test {
 protected:
  Outcome Read(GrpcMethod call, const std::string& message, Side side = Side::kRequest) {
    body_ = Body(call, Framed(message));
    return reader_.Read(body_, side);
  }
  /// Of one tensor, as V2 has them.
  template <typename T>
  std::vector<T> Values() const {
    std::vector<T> values(reader_.behind().size() / sizeof(T));
    std::memcpy(values.data(), reader_.behind().data(), values.size() * sizeof(T));
    return values;
  }
  HttpBody body_;
  GrpcBody reader_{10'000};
};

TEST_F(GrpcBodyTest, TensorsOfV2AreWrittenAsItsJsonWithTheBytesBehind) {
  ASSERT_EQ(Read(GrpcMethod::kModelInfer, kInferRequest), Outcome::kRead);
  EXPECT_EQ(reader_.id(), "r-42");
  EXPECT_EQ(reader_.json(),
            R"({"inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"parameters":)"
            R"({"binary_data_size":16}},{"name":"city","datatype":"BYTES","shape":[2,1],)"
            R"("parameters":{"binary_data_size":17}}]})");
  EXPECT_EQ(reader_.behind().size(), 33u);
  EXPECT_EQ(reader_.message(), kInferRequest);
  ASSERT_EQ(Read(GrpcMethod::kModelInfer, kInferResponse, Side::kResponse), Outcome::kRead);
  EXPECT_EQ(reader_.json(),
            R"({"outputs":[{"name":"label","datatype":"INT64","shape":[2],"parameters":)"
            R"({"binary_data_size":16}}]})");
  EXPECT_EQ(Values<int64_t>(), (std::vector<int64_t>{7, 1}));
}

TEST_F(GrpcBodyTest, ContentsOfEachTypeBecomeBytes) {
  const auto packed = [](uint32_t field, std::vector<uint64_t> values) {
    return [=](WireWriter& out) {
      std::string bytes;
      WireWriter of(bytes);
      for (uint64_t value : values) of.Varint(value);
      out.Bytes(field, bytes);
    };
  };
  const auto read = [&](std::string_view type, const std::function<void(WireWriter&)>& contents) {
    return Read(GrpcMethod::kModelInfer, Infer(Side::kRequest, type, {2}, contents));
  };
  const auto minus = static_cast<uint64_t>(-3);
  ASSERT_EQ(read("BOOL", packed(1, {1, 0})), Outcome::kRead);
  EXPECT_EQ(Values<uint8_t>(), (std::vector<uint8_t>{1, 0}));
  ASSERT_EQ(read("INT8", packed(2, {minus, 7})), Outcome::kRead);
  EXPECT_EQ(Values<int8_t>(), (std::vector<int8_t>{-3, 7}));
  ASSERT_EQ(read("INT16", packed(2, {minus, 7})), Outcome::kRead);
  EXPECT_EQ(Values<int16_t>(), (std::vector<int16_t>{-3, 7}));
  ASSERT_EQ(read("INT32", packed(2, {minus, 7})), Outcome::kRead);
  EXPECT_EQ(Values<int32_t>(), (std::vector<int32_t>{-3, 7}));
  ASSERT_EQ(read("INT64", packed(3, {minus, 1ull << 60})), Outcome::kRead);
  EXPECT_EQ(Values<int64_t>(), (std::vector<int64_t>{-3, 1ll << 60}));
  ASSERT_EQ(read("UINT16", packed(4, {65535, 7})), Outcome::kRead);
  EXPECT_EQ(Values<uint16_t>(), (std::vector<uint16_t>{65535, 7}));
  ASSERT_EQ(read("UINT64", packed(5, {~0ull, 7})), Outcome::kRead);
  EXPECT_EQ(Values<uint64_t>(), (std::vector<uint64_t>{~0ull, 7}));
  ASSERT_EQ(read("FP32",
                 [](WireWriter& out) {  // not packed
                   out.Float(6, 1.5F);
                   out.Float(6, -2);
                 }),
            Outcome::kRead);
  EXPECT_EQ(Values<float>(), (std::vector<float>{1.5F, -2}));
  ASSERT_EQ(read("FP64", [](WireWriter& out) { out.Double(7, 0.1); }), Outcome::kRead);
  EXPECT_EQ(Values<double>(), (std::vector<double>{0.1}));
  ASSERT_EQ(read("BYTES",
                 [](WireWriter& out) {
                   out.Bytes(8, "ab");
                   out.Bytes(8, "");
                 }),
            Outcome::kRead);
  EXPECT_EQ(reader_.behind(), std::string_view("\2\0\0\0ab\0\0\0\0", 10));
  EXPECT_EQ(read("FP16", nullptr), Outcome::kNotUnderstood) << "has no contents";
  EXPECT_EQ(read("FP33", packed(2, {1})), Outcome::kNotUnderstood);
}

TEST_F(GrpcBodyTest, TensorsInSharedMemoryAreElsewhere) {
  std::string message;
  WireWriter out(message);
  for (const char* name : {"far", "near"}) {
    out.Message(5, [&](WireWriter& tensor) {
      tensor.Text(1, name);
      tensor.Text(2, "INT8");
      tensor.Number(3, 1);
      if (std::string_view(name) != "far") return;
      tensor.Message(4, [](WireWriter& entry) {
        entry.Text(1, "shared_memory_region");
        entry.Message(2, [](WireWriter& value) { value.Text(3, "region"); });
      });
    });
  }
  out.Bytes(7, "\5");
  ASSERT_EQ(Read(GrpcMethod::kModelInfer, message), Outcome::kRead);
  EXPECT_EQ(reader_.json(),
            R"({"inputs":[{"name":"far","datatype":"INT8","shape":[1]},{"name":"near",)"
            R"("datatype":"INT8","shape":[1],"parameters":{"binary_data_size":1}}]})");
  EXPECT_EQ(reader_.behind(), "\5");
}

TEST_F(GrpcBodyTest, TensorsOfPredictStandInTheOrderOfTheirNames) {
  ASSERT_EQ(Read(GrpcMethod::kPredict, kPredictRequest), Outcome::kRead);
  EXPECT_EQ(reader_.json(),
            R"({"inputs":[{"name":"age","datatype":"INT64","shape":[1,1],"parameters":)"
            R"({"binary_data_size":8}},{"name":"city","datatype":"BYTES","shape":[1,1],)"
            R"("parameters":{"binary_data_size":9}},{"name":"x","datatype":"FP32",)"
            R"("shape":[1,2],"parameters":{"binary_data_size":8}}]})");
  EXPECT_EQ(reader_.behind().size(), 25u);
  EXPECT_EQ(reader_.id(), "");
  ASSERT_EQ(Read(GrpcMethod::kPredict, kPredictResponse, Side::kResponse), Outcome::kRead);
  EXPECT_EQ(Values<float>(), (std::vector<float>{0.25, 0.75, 0.5, 0.5}));
}

TEST_F(GrpcBodyTest, TheLastValueOfATensorProtoStandsForThoseThatAreMissing) {
  const auto read = [&](uint64_t type, const std::vector<uint64_t>& shape,
                        const std::function<void(WireWriter&)>& values) {
    return Read(GrpcMethod::kPredict, Predict(type, shape, values));
  };
  ASSERT_EQ(read(1, {2, 2}, [](WireWriter& out) { out.Float(5, 1.5F); }), Outcome::kRead);
  EXPECT_EQ(Values<float>(), (std::vector<float>{1.5, 1.5, 1.5, 1.5}));
  ASSERT_EQ(read(3, {2}, [](WireWriter&) {}), Outcome::kRead);
  EXPECT_EQ(Values<int32_t>(), (std::vector<int32_t>{0, 0}));
  ASSERT_EQ(read(7, {3},
                 [](WireWriter& out) {
                   out.Bytes(8, "first");
                   out.Bytes(8, "b");
                 }),
            Outcome::kRead);
  EXPECT_EQ(reader_.behind(), std::string_view("\5\0\0\0first\1\0\0\0b\1\0\0\0b", 19));
  ASSERT_EQ(read(7, {2}, [](WireWriter& out) { out.Bytes(4, std::string_view("\1\2abc", 5)); }),
            Outcome::kRead)
      << "as tensor_content";
  EXPECT_EQ(reader_.behind(), std::string_view("\1\0\0\0a\2\0\0\0bc", 11));
  ASSERT_EQ(read(19, {1}, [](WireWriter& out) { out.Number(13, 0x3c00); }), Outcome::kRead);
  EXPECT_EQ(Values<uint16_t>(), (std::vector<uint16_t>{0x3c00}));
  // Neither more than there may be, nor than is kept of a body.
  EXPECT_EQ(read(3, {1}, [](WireWriter& out) { out.Bytes(7, "\1\2"); }), Outcome::kNotUnderstood);
  EXPECT_EQ(read(1, {1'000'000'000, 1'000'000'000}, [](WireWriter& out) { out.Float(5, 1); }),
            Outcome::kNotUnderstood);
  EXPECT_EQ(read(1, {2501}, [](WireWriter& out) { out.Float(5, 1); }), Outcome::kNotUnderstood);
  EXPECT_EQ(read(7, {100}, [](WireWriter& out) { out.Bytes(8, std::string(200, 'x')); }),
            Outcome::kNotUnderstood);
  EXPECT_EQ(read(1, {static_cast<uint64_t>(-1)}, [](WireWriter&) {}), Outcome::kNotUnderstood);
  EXPECT_EQ(read(8, {1}, [](WireWriter&) {}), Outcome::kNotUnderstood) << "complex";
}

TEST_F(GrpcBodyTest, ExamplesAndTheirResultsAreTensorFlowServingsJson) {
  ASSERT_EQ(Read(GrpcMethod::kClassify, kClassifyRequest), Outcome::kRead);
  EXPECT_EQ(reader_.json(), R"({"examples":[{"age":31,"city":"north","income":1.5},{}]})");
  ASSERT_EQ(Read(GrpcMethod::kClassify, kClassifyResponse, Side::kResponse), Outcome::kRead);
  EXPECT_EQ(reader_.json(), R"({"results":[[["no",0.2],["yes",0.8]],[["no",0.9],["yes",0.1]]]})");
  ASSERT_EQ(Read(GrpcMethod::kRegress, kRegressResponse, Side::kResponse), Outcome::kRead);
  EXPECT_EQ(reader_.json(), R"({"results":[2.5,0.125]})");
  std::string message;
  WireWriter(message).Message(1, [](WireWriter& result) {
    result.Message(1,
                   [](WireWriter& one) { one.Float(1, std::numeric_limits<float>::infinity()); });
  });
  ASSERT_EQ(Read(GrpcMethod::kRegress, message, Side::kResponse), Outcome::kRead);
  EXPECT_EQ(reader_.json(), R"({"results":[null]})");
}

TEST_F(GrpcBodyTest, ThereIsOneMessageAndAllOfIt) {
  const auto outcome = [&](std::string bytes, std::string encoding = "") {
    body_ = Body(GrpcMethod::kModelInfer, std::move(bytes), std::move(encoding));
    return reader_.Read(body_, Side::kRequest);
  };
  const std::string good = Framed(kInferRequest);
  EXPECT_EQ(outcome(good), Outcome::kRead);
  EXPECT_EQ(outcome(good + good), Outcome::kNotUnderstood);
  EXPECT_EQ(outcome(good.substr(0, good.size() - 1)), Outcome::kNotUnderstood);
  EXPECT_EQ(outcome(""), Outcome::kNotUnderstood);
  EXPECT_EQ(outcome(Framed("")), Outcome::kNotUnderstood) << "no tensors";
  EXPECT_EQ(outcome(Framed("no message")), Outcome::kNotUnderstood);
  EXPECT_EQ(outcome("\2" + good.substr(1)), Outcome::kNotUnderstood);
  EXPECT_EQ(outcome(good, "snappy"), Outcome::kRead) << "this message is not compressed";
}

TEST_F(GrpcBodyTest, CompressedMessagesAreInflatedWithinTheLimit) {
  const auto outcome = [&](const std::string& packed, const std::string& encoding) {
    body_ = Body(GrpcMethod::kModelInfer, Framed(packed, true), encoding);
    return reader_.Read(body_, Side::kRequest);
  };
  for (const auto& [name, format] : {std::pair("gzip", net::Deflater::Format::kGzip),
                                     std::pair("deflate", net::Deflater::Format::kZlib)}) {
    net::Deflater deflater(format);
    std::string packed, bomb;
    ASSERT_TRUE(deflater.Compress(kInferRequest, packed));
    ASSERT_TRUE(deflater.Compress(std::string(1'000'000, '\0'), bomb));
    EXPECT_EQ(outcome(packed, name), Outcome::kRead) << name;
    EXPECT_EQ(reader_.message(), kInferRequest);
    EXPECT_EQ(outcome(bomb, name), Outcome::kEncoding) << name;
    EXPECT_EQ(outcome("broken", name), Outcome::kEncoding) << name;
    EXPECT_EQ(outcome(packed, "snappy"), Outcome::kEncoding);
    EXPECT_EQ(outcome(packed, ""), Outcome::kEncoding);
  }
}

TEST_F(GrpcBodyTest, ManySmallPartsDoNotBecomeMuch) {
  std::string tensors;
  WireWriter out(tensors);
  for (int i = 0; i < 1025; ++i) out.Bytes(5, "");
  EXPECT_EQ(Read(GrpcMethod::kModelInfer, tensors), Outcome::kNotUnderstood);
  EXPECT_LT(reader_.json().size(), 80'000u);
  const std::vector<uint64_t> dimensions(65, 1);
  EXPECT_EQ(
      Read(GrpcMethod::kModelInfer, Infer(Side::kRequest, "INT8", dimensions, nullptr, {"x"})),
      Outcome::kNotUnderstood);
}

TEST_F(GrpcBodyTest, ValuesThatAreNotWrittenOutAreFewInAMessage) {
  // Two of 8,000 bytes each, of 10,000: each could be had alone.
  const std::string one = Predict(1, {2000}, [](WireWriter&) {});
  ASSERT_EQ(Read(GrpcMethod::kPredict, one), Outcome::kRead);
  std::string both = one;
  both += one;
  EXPECT_EQ(Read(GrpcMethod::kPredict, both), Outcome::kNotUnderstood);
  EXPECT_EQ(Read(GrpcMethod::kPredict, one), Outcome::kRead) << "the next message has its own";
}

/// What the monitor is told of calls.
class CallsTest : public testing::Test {
 protected:
  CallsTest() {
    ExchangeIntake::Options options;
    options.sources = {{{{"feature.a", "a"}}, {{"predicted", "p"}}}};  // JSON is mapped
    auto made = ExchangeIntake::Create({clock_, sink_, registry_}, options);
    EXPECT_TRUE(made.ok()) << made.status();
    intake_ = std::move(made).value();
  }
  std::string Told(GrpcMethod call, const std::string& request, const std::string& response,
                   const std::string& id = "") {
    auto copy = intake_->Begin(0);
    const auto fill = [&](HttpBody& side, const std::string& message) {
      copy->Begin(side, "application/grpc", "", "", 0, call);
      copy->Append(side, Framed(message));
    };
    fill(copy->request, request);
    fill(copy->response, response);
    PredictionEvent event;
    event.model = "digits";
    event.version = 2;
    event.request_id = id;
    event.observed = true;
    event.latency_ns = 1'000'000;
    copy->SetEvent(event);
    EXPECT_TRUE(intake_->Offer(std::move(copy)));
    intake_->RunOnce();
    return sink_.texts().back();
  }
  FakeClock clock_;
  EventTexts sink_;
  Registry registry_;
  std::unique_ptr<ExchangeIntake> intake_;
};

TEST_F(CallsTest, AreReadAsTheSameRequestOverHttpIs) {
  const std::string told = "digits:2 OK unknown 1000us";
  EXPECT_EQ(Told(GrpcMethod::kModelInfer, kInferRequest, kInferResponse),
            told + " id=r-42 predicted=7 predicted=1 1.5 2 nan");
  EXPECT_EQ(Told(GrpcMethod::kModelInfer, kInferRequest, kInferResponse, "from-header"),
            told + " id=from-header predicted=7 predicted=1 1.5 2 nan");
  EXPECT_EQ(Told(GrpcMethod::kPredict, kPredictRequest, kPredictResponse),
            told + " predicted=1 predicted=0 score=0.75 31 nan 1.5 2");
  EXPECT_EQ(Told(GrpcMethod::kClassify, kClassifyRequest, kClassifyResponse),
            told + " predicted=yes predicted=no score=0.800000011920929 31 nan 1.5");
  EXPECT_EQ(Told(GrpcMethod::kRegress, kClassifyRequest, kRegressResponse),
            told + " predicted=2.5 predicted=0.125 31 nan 1.5");
  EXPECT_EQ(intake_->view().request_bodies["decoded"], 5u);
  EXPECT_EQ(intake_->view().response_bodies["decoded"], 5u);
  Told(GrpcMethod::kPredict, kInferRequest, "");
  EXPECT_EQ(intake_->view().request_bodies["not_understood"], 1u);
  EXPECT_EQ(intake_->view().response_bodies["not_understood"], 1u);
}

TEST_F(CallsTest, AnswersOfTwoVersionsAreCompared) {
  const auto budget = std::make_shared<ByteBudget>(100'000);
  const auto pair = [&](const std::string& live, const std::string& shadow) {
    auto made = std::make_unique<ShadowPair>(0, 1000, budget);
    for (auto [copy, message, version] :
         {std::tuple(&made->live, &live, 1), std::tuple(&made->shadow, &shadow, 2)}) {
      copy->Begin(copy->response, "application/grpc", "", "", 0, GrpcMethod::kModelInfer);
      copy->Append(copy->response, Framed(*message));
      PredictionEvent event;
      event.model = "digits";
      event.version = version;
      copy->SetEvent(event);
    }
    made->tolerance = 0.01;
    return made;
  };
  const auto scores = [](std::string version, const std::vector<float>& values) {
    std::string message;
    WireWriter out(message);
    out.Text(2, version);
    out.Text(3, "r-9");
    std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    return message + Infer(Side::kResponse, "FP32", {1, 2}, nullptr, {bytes});
  };
  intake_->OfferPair(pair(scores("1", {0.25, 0.75}), scores("2", {0.25, 0.75})));
  intake_->OfferPair(pair(scores("1", {0.25, 0.75}), scores("2", {0.251F, 0.749F})));
  intake_->OfferPair(pair(scores("1", {0.25, 0.75}), scores("2", {0.375, 0.625})));
  intake_->OfferPair(pair(scores("1", {0.25, 0.75}), scores("2", {0.75, 0.25})));
  intake_->OfferPair(pair(scores("1", {0.25, 0.75}), "no message"));
  intake_->OfferPair(pair("no message", scores("2", {0.25, 0.75})));
  intake_->RunOnce();
  const auto pairs = intake_->view().shadows;
  ASSERT_EQ(pairs.size(), 1u);
  auto results = pairs[0].results;
  EXPECT_EQ(results["equal"], 1u);
  EXPECT_EQ(results["within_tolerance"], 1u);
  EXPECT_EQ(results["differs"], 2u);
  EXPECT_EQ(results["class_flip"], 1u);
  EXPECT_EQ(results["not_understood"], 1u);
  EXPECT_EQ(pairs[0].largest_difference, 0.5);
  EXPECT_EQ(pairs[0].examples.at("class_flip"), std::vector<std::string>{"r-9"})
      << "the id that the answer says";
}

}  // namespace
}  // namespace leadsman::intake
