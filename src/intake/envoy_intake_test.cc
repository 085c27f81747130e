#include "intake/envoy_intake.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/fs.h"
#include "base/testing/fake_clock.h"
#include "base/wire.h"
#include "intake/envoy_access_log.h"
#include "intake/testing/recording_sink.h"
#include "support/test_paths.h"

// testdata/envoy/*.bin are messages that Envoy 1.40.0 sent (testdata/README.md): what stands there is what it says.

namespace leadsman::intake {
namespace {

using namespace std::chrono_literals;
using End = EnvoyIntake::End;

std::string Golden(const std::string& name) {
  return ReadFile(SourceDir() + "/src/intake/testdata/envoy/" + name + ".bin", 1 << 20).value();
}

std::string Header(std::string_view name, std::string_view value) {
  std::string out;
  WireWriter(out).Message(1, [&](WireWriter& header) {
    header.Bytes(1, name);
    header.Bytes(3, value);
  });
  return out;
}

/// A ProcessingRequest of headers; `field` 2: of the request, 3: of the answer.
std::string Headers(uint32_t field, const std::vector<std::pair<std::string, std::string>>& headers,
                    bool end = false) {
  std::string map;
  for (const auto& [name, value] : headers) map += Header(name, value);
  std::string out;
  WireWriter(out).Message(field, [&](WireWriter& message) {
    message.Bytes(1, map);
    message.NumberOrNothing(3, end ? 1 : 0);
  });
  return out;
}
/// `field` 4: of the request, 5: of the answer.
std::string BodyPart(uint32_t field, std::string_view bytes, bool end = true) {
  std::string out;
  WireWriter(out).Message(field, [&](WireWriter& message) {
    message.Text(1, bytes);
    message.NumberOrNothing(2, end ? 1 : 0);
  });
  return out;
}

class EnvoyIntakeTest : public ::testing::Test {
 protected:
  void Make(EnvoyOptions options = {}) {
    intake_ = std::make_unique<EnvoyIntake>(EnvoyIntake::Deps{clock_, sink_, registry_}, options);
  }
  EnvoyCounters& counters() { return intake_->counters(); }
  /// All messages of one exchange; a millisecond between two.
  bool Exchange(const std::vector<std::string>& messages, End end = End::kComplete) {
    EnvoyExchange exchange;
    if (!intake_->Begin(exchange)) return false;
    for (const std::string& bytes : messages) {
      ProcessingMessage message;
      EXPECT_TRUE(ReadProcessingMessage(bytes, message));
      EXPECT_TRUE(intake_->Take(exchange, message));
      clock_.Advance(1ms);
    }
    intake_->Finish(exchange, end);
    return true;
  }
  std::vector<std::string> Recorded(int exchange, int count) {
    std::vector<std::string> messages;
    for (int i = 0; i < count; ++i)
      messages.push_back(Golden("ep-" + std::to_string(exchange) + "-" + std::to_string(i)));
    return messages;
  }
  static std::vector<std::string> Request(const std::string& path, const std::string& body,
                                          const std::string& answer) {
    return {Headers(2, {{":method", "POST"}, {":path", path}, {":authority", "ml.example:80"}}),
            BodyPart(4, body), Headers(3, {{":status", "200"}}), BodyPart(5, answer)};
  }
  std::string Last() { return sink_.count() == 0 ? "" : sink_.texts().back(); }

  FakeClock clock_;
  EventTexts sink_;
  Registry registry_;
  std::unique_ptr<EnvoyIntake> intake_;
};

TEST_F(EnvoyIntakeTest, ReadsWhatEnvoySendsOfItsAccessLog) {
  Make();
  EXPECT_TRUE(intake_->TakeAccessLog(Golden("als-1-1")));
  EXPECT_TRUE(intake_->TakeAccessLog(Golden("als-1-2")));
  EXPECT_TRUE(intake_->TakeAccessLog(Golden("als-1-3")));
  const std::vector<std::string> texts = sink_.texts();
  ASSERT_EQ(texts.size(), 4u);
  EXPECT_EQ(texts[0],
            "iris:0 UNAVAILABLE tfserving_rest 813us id=3cb10a60-7fef-49fd-b6d4-759127935aba");
  EXPECT_EQ(texts[1], "iris:0 OK tfserving_rest 6807us id=92fb9d45-b154-4467-9ff6-a3da31fda6cd");
  EXPECT_TRUE(texts[2].starts_with("slow:0 DEADLINE_EXCEEDED tfserving_rest 100")) << texts[2];
  EXPECT_TRUE(texts[3].starts_with("slow:0 CANCELLED tfserving_rest 50")) << texts[3];
  EXPECT_EQ(counters().http_entries, 4u);
  EXPECT_EQ(counters().access_log.requests.predictions, 4u);
}

TEST_F(EnvoyIntakeTest, AClusterSaysTheVersionThatThePathDoesNot) {
  EnvoyOptions options;
  options.models = {{.cluster = "down", .version = 7}, {.cluster = "model", .version = 6}};
  Make(options);
  EXPECT_TRUE(intake_->TakeAccessLog(Golden("als-1-1")));
  EXPECT_TRUE(sink_.texts()[0].starts_with("iris:7 ")) << sink_.texts()[0];
  EXPECT_TRUE(sink_.texts()[1].starts_with("iris:6 ")) << sink_.texts()[1];
}

TEST_F(EnvoyIntakeTest, WhatIsCutIsMalformedAndCounted) {
  Make();
  const std::string golden = Golden("als-1-1");
  EXPECT_FALSE(intake_->TakeAccessLog(std::string_view(golden).substr(0, golden.size() - 1)));
  EXPECT_EQ(counters().access_log.malformed, 1u);
}

TEST_F(EnvoyIntakeTest, ReadsWhatEnvoySendsByExtProc) {
  Make();
  ASSERT_TRUE(Exchange(Recorded(1, 6)));
  EXPECT_EQ(Last(),
            "iris:0 OK tfserving_rest 5000us id=87fd8303-5540-41e9-848a-a23e6cb1a7c3 predicted=1 "
            "score=0.699999988079071 1 2 3 4");
  ASSERT_TRUE(Exchange(Recorded(2, 6)));
  EXPECT_NE(Last().find("predicted=1 score=0.699999988079071 1 2 3 4"), std::string::npos)
      << Last() << ": gzip";
  ASSERT_TRUE(Exchange(Recorded(3, 5)));
  EXPECT_TRUE(Last().starts_with("iris:0 UNAVAILABLE ")) << Last();
  EXPECT_TRUE(Last().ends_with(" 1 2 3 4")) << "what was asked is known: " << Last();
  ASSERT_TRUE(Exchange(Recorded(5, 5)));
  EXPECT_TRUE(Last().starts_with("slow:0 DEADLINE_EXCEEDED ")) << Last();
  ASSERT_TRUE(Exchange(Recorded(6, 3), End::kClientGone));
  EXPECT_TRUE(Last().starts_with("slow:0 CANCELLED tfserving_rest id=")) << Last();
  EXPECT_EQ(counters().request_bodies.decoded, 5u);
  EXPECT_EQ(counters().response_bodies.decoded, 2u);
  EXPECT_EQ(counters().complete, 4u);
  EXPECT_EQ(counters().client_gone, 1u);
  EXPECT_EQ(counters().held_bytes, 0u);
}

TEST_F(EnvoyIntakeTest, AnExchangeThatIsCutHasNoOutcome) {
  Make();
  ASSERT_TRUE(Exchange(Recorded(6, 3), End::kCut));
  EXPECT_TRUE(Last().starts_with("slow:0 unknown tfserving_rest id=")) << Last();
  ASSERT_TRUE(Exchange(Recorded(1, 5), End::kTimedOut));
  EXPECT_TRUE(Last().starts_with("iris:0 OK tfserving_rest id=")) << "no latency: " << Last();
  EXPECT_EQ(counters().timed_out, 1u);
}

TEST_F(EnvoyIntakeTest, RulesNameModelsByPathAndHost) {
  EnvoyOptions options;
  options.models = {{.path = "/score", .host = "other.example", .model = "other"},
                    {.path = "/score", .model = "house", .version = 3},
                    {.path = "/api/*", .host = "ML.example", .model = "api"}};
  Make(options);
  ASSERT_TRUE(Exchange(Request("/score", R"({"features": [1, 2]})", R"({"prediction": "cat"})")));
  EXPECT_EQ(Last(), "house:3 OK unknown 3000us predicted=cat 1 2");
  ASSERT_TRUE(Exchange(Request("/api/v7?x=1", R"({"a": 1})", R"({"prediction": 2})")));
  EXPECT_EQ(Last(), "api:0 OK unknown 3000us predicted=2 1");
  ASSERT_TRUE(Exchange(Request("/else", "{}", "{}")));
  EXPECT_EQ(sink_.count(), 2u);
  EXPECT_EQ(counters().ext_proc.requests.other_requests, 1u);
  EXPECT_EQ(intake_->view().other_paths, (std::map<std::string, uint64_t>{{"/else", 1}}));
}

TEST_F(EnvoyIntakeTest, EachModelHasItsOwnNamesOfFeatures) {
  Make();
  const std::string answer = R"({"predictions": [1]})";
  ASSERT_TRUE(
      Exchange(Request("/v1/models/a:predict", R"({"instances": [{"x": 1, "y": 2}]})", answer)));
  ASSERT_TRUE(
      Exchange(Request("/v1/models/b:predict", R"({"instances": [{"y": 5, "z": 6}]})", answer)));
  EXPECT_TRUE(Last().ends_with(" 5 6")) << Last();
  EXPECT_EQ(intake_->view().features["a"], (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(intake_->view().features["b"], (std::vector<std::string>{"y", "z"}));
}

TEST_F(EnvoyIntakeTest, LongBodiesAreNotKept) {
  EnvoyOptions options;
  options.max_body = 64;
  Make(options);
  std::vector<std::string> messages =
      Request("/v1/models/a:predict", std::string(100, ' '), R"({"predictions": [4]})");
  messages.insert(messages.begin() + 1, BodyPart(4, std::string(60, ' '), false));
  ASSERT_TRUE(Exchange(messages));
  EXPECT_EQ(Last(), "a:0 OK tfserving_rest 4000us predicted=4");
  EXPECT_EQ(counters().request_bodies.too_long, 1u);
  EXPECT_EQ(counters().held_bytes, 0u);
}

TEST_F(EnvoyIntakeTest, BodiesOfAllExchangesHaveOneBudget) {
  EnvoyOptions options;
  options.max_held_bytes = 40;
  options.max_exchanges = 2;
  Make(options);
  EnvoyExchange first;
  ASSERT_TRUE(intake_->Begin(first));
  for (const std::string& bytes : {Headers(2, {{":method", "POST"}, {":path", "/predict"}}),
                                   BodyPart(4, std::string(30, ' '))}) {
    ProcessingMessage message;
    ASSERT_TRUE(ReadProcessingMessage(bytes, message));
    ASSERT_TRUE(intake_->Take(first, message));
  }
  EXPECT_EQ(counters().held_bytes, 30u);
  ASSERT_TRUE(Exchange(Request("/predict", R"({"features": [1]})", R"({"prediction": 2})")));
  EXPECT_EQ(counters().request_bodies.no_memory, 1u);
  EnvoyExchange second;
  ASSERT_TRUE(intake_->Begin(second));
  EXPECT_FALSE(Exchange({})) << "a third one";
  EXPECT_EQ(counters().left_out, 1u);
  intake_->Finish(first, End::kCut);
  intake_->Finish(second, End::kCut);
  EXPECT_EQ(counters().held_bytes, 0u);
  EXPECT_TRUE(Exchange({}));
}

TEST_F(EnvoyIntakeTest, OfGrpcTheModelAndTheStatusAreKnown) {
  Make();
  const std::string path = "/inference.GRPCInferenceService/ModelInfer";
  std::string infer;
  WireWriter writer(infer);
  writer.Bytes(1, "digits");
  writer.Bytes(2, "4");
  std::string frame(1, '\0');
  for (int shift : {24, 16, 8, 0}) frame += static_cast<char>(infer.size() >> shift & 0xff);
  frame += infer;
  std::vector<std::string> messages = {
      Headers(2, {{":method", "POST"}, {":path", path}, {"content-type", "application/grpc"}}),
      BodyPart(4, frame), Headers(3, {{":status", "200"}})};
  ASSERT_TRUE(Exchange(messages));
  EXPECT_EQ(Last(), "digits:4 unknown v2_grpc 2000us") << "200 says nothing of a gRPC call";
  std::string trailers;
  WireWriter(trailers).Message(7, [](WireWriter& m) { m.Bytes(1, Header("grpc-status", "13")); });
  messages.push_back(trailers);
  ASSERT_TRUE(Exchange(messages));
  EXPECT_EQ(Last(), "digits:4 INTERNAL v2_grpc 3000us");
  EXPECT_EQ(counters().request_bodies.binary, 2u);
}

TEST_F(EnvoyIntakeTest, WhatIsNotThereMakesNoModel) {
  Make();
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(Exchange({Headers(2, {{":method", "POST"},
                                      {":path", "/v1/models/m" + std::to_string(i) + ":predict"}}),
                          Headers(3, {{":status", "404"}}, true)}));
  }
  EXPECT_EQ(sink_.count(), 0u);
  EXPECT_EQ(counters().ext_proc.requests.unknown_model, 300u);
}

TEST_F(EnvoyIntakeTest, ARequestThatBothWaysTellOfIsNoticed) {
  Make();
  EXPECT_TRUE(intake_->TakeAccessLog(Golden("als-1-3")));
  EXPECT_EQ(counters().seen_twice, 0u);
  ASSERT_TRUE(Exchange({Headers(2, {{":method", "POST"},
                                    {":path", "/v1/models/slow:predict"},
                                    {"x-request-id", "c6df15f5-8e02-4797-bb73-aea43b9d2c75"}})},
                       End::kClientGone));
  EXPECT_EQ(counters().seen_twice, 1u);
}

}  // namespace
}  // namespace leadsman::intake
