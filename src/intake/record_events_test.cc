#include "intake/record_events.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/testing/fake_clock.h"
#include "intake/model_path.h"
#include "intake/testing/recording_sink.h"

namespace leadsman::intake {
namespace {

class RecordEventsTest : public ::testing::Test {
 protected:
  RecordEvents Make(const LogSource& source = {}) {
    return RecordEvents({clock_, sink_, counters_, [this] { return waits_-- > 0; }}, source);
  }
  static LogRecord Post(std::string_view target, int status = 200) {
    LogRecord record;
    record.method = "POST";
    SetTarget(target, record);
    record.status = status;
    return record;
  }
  std::string Last() { return sink_.texts().empty() ? "" : sink_.texts().back(); }

  FakeClock clock_;
  EventTexts sink_;
  SourceCounters counters_;
  int waits_ = 1000;
};

TEST_F(RecordEventsTest, WhatTheLineDoesNotSayIsUnknown) {
  RecordEvents events = Make();
  LogRecord record = Post("/v1/models/digits/versions/3:predict");
  events.OnRequest(record);
  EXPECT_EQ(Last(), "digits:3 OK tfserving_rest");
  record.latency_ns = 0;
  events.OnRequest(record);
  EXPECT_EQ(Last(), "digits:3 OK tfserving_rest 0us") << "zero is what the line says";
  record.status.reset();
  events.OnRequest(record);
  EXPECT_EQ(Last(), "digits:3 unknown tfserving_rest 0us");
}

TEST_F(RecordEventsTest, EachModelHasItsOwnNamesOfFeatures) {
  RecordEvents events = Make();
  const std::vector<std::string_view> of_cats{"whiskers", "tail"}, of_dogs{"bark"};
  const std::vector<float> cat{1, 2}, dog{3};
  LogRecord record = Post("/v1/models/cats:predict");
  record.features = cat;
  record.feature_names = of_cats;
  events.OnRequest(record);
  record = Post("/v1/models/dogs:predict");
  record.features = dog;
  record.feature_names = of_dogs;
  events.OnRequest(record);
  EXPECT_EQ(Last(), "dogs:0 OK tfserving_rest 3");
  EXPECT_EQ(events.features()["cats"], (std::vector<std::string>{"whiskers", "tail"}));
  EXPECT_EQ(events.features()["dogs"], (std::vector<std::string>{"bark"}));
}

TEST_F(RecordEventsTest, SegmentsAreWhatTheRecordSaysElseTheFeatureOfThatName) {
  sink_.SetSegments("m", {{.name = "tenant", .header = "x-tenant"},
                          {.name = "age", .input = "age", .cuts = {18, 35}},
                          {.name = "zone", .input = "x", .index = 1}});
  RecordEvents events = Make();
  const std::vector<float> values{1.5f, 20};
  const std::vector<std::string_view> names{"x", "age"}, said{"tenant", "age"};
  LogRecord record = Post("/v1/models/m:predict");
  auto segments = [&] {
    events.OnRequest(record);
    const std::string text = Last();
    return text.substr(std::min(text.find(" segment="), text.size()));
  };
  EXPECT_EQ(segments(), " segment=(none) segment=(none) segment=(none)");
  record.features = values;
  EXPECT_EQ(segments(), " segment=(none) segment=< 18 segment=20 1.5 20")
      << "a list has no names: places count";
  record.feature_names = names;
  EXPECT_EQ(segments(), " segment=(none) segment=18 to 35 segment=1.5 1.5 20");
  record.segment_names = said;
  record.segments = {"acme", "40"};
  EXPECT_EQ(segments(), " segment=acme segment=>= 35 segment=1.5 1.5 20")
      << "what is said goes first";
  record.segments = {"a\nb", "old"};
  EXPECT_EQ(segments(), " segment=a?b segment=(none) segment=1.5 1.5 20")
      << "no number for the cuts";
  EXPECT_EQ(counters_.unknown_segments, 0u);
}

TEST_F(RecordEventsTest, ASegmentationThatTheModelHasNotIsCounted) {
  RecordEvents events = Make();
  const std::vector<std::string_view> said{"tenant"};
  LogRecord record = Post("/v1/models/m:predict");
  record.segment_names = said;
  record.segments = {"acme"};
  events.OnRequest(record);
  EXPECT_EQ(Last(), "m:0 OK tfserving_rest");
  EXPECT_EQ(counters_.unknown_segments, 1u);
  sink_.RefuseNext(1);
  EXPECT_EQ(events.Offer(record), RecordEvents::Offered::kNoRoom);
  EXPECT_EQ(counters_.unknown_segments, 1u) << "it is offered again";
}

TEST_F(RecordEventsTest, ARequestThatFailedHasNoPrediction) {
  RecordEvents events = Make();
  LogRecord record = Post("/predict", 500);
  record.predicted = "cat";
  record.score = 0.9f;
  events.OnRequest(record);
  EXPECT_EQ(Last(), "default:0 INTERNAL plain");
}

TEST_F(RecordEventsTest, WhatScannersSendIsNoPrediction) {
  RecordEvents events = Make();
  LogRecord record;
  record.status = 400;
  events.OnRequest(record);
  EXPECT_EQ(sink_.count(), 0u);
  EXPECT_EQ(counters_.other_requests, 1u);
  record.predicted = "cat";
  events.OnRequest(record);
  EXPECT_EQ(sink_.count(), 1u) << "a program that says what it predicted";
  record.predicted = {};
  record.pathless = true;
  events.OnRequest(record);
  EXPECT_EQ(sink_.count(), 2u) << "a log that never says a path";
}

TEST_F(RecordEventsTest, OutcomesAreThoseOfTheLine) {
  RecordEvents events = Make();
  events.OnRequest(Post("/v1/models/m:predict"));
  const std::vector<std::pair<int, std::string>> table = {
      {400, "INVALID_ARGUMENT"},   {404, "NOT_FOUND"},         {408, "INVALID_ARGUMENT"},
      {429, "RESOURCE_EXHAUSTED"}, {499, "CANCELLED"},         {500, "INTERNAL"},
      {503, "UNAVAILABLE"},        {504, "DEADLINE_EXCEEDED"}, {999, "unknown"}};
  for (const auto& [status, words] : table) {
    events.OnRequest(Post("/v1/models/m:predict", status));
    EXPECT_EQ(Last(), "m:0 " + words + " tfserving_rest") << status;
  }
  LogRecord grpc = Post("/inference.GRPCInferenceService/ModelInfer");
  events.OnRequest(grpc);
  EXPECT_EQ(Last(), "default:0 unknown v2_grpc") << "HTTP 200 says nothing of a call";
  grpc.grpc_status = 14;
  events.OnRequest(grpc);
  EXPECT_EQ(Last(), "default:0 UNAVAILABLE v2_grpc");
}

TEST_F(RecordEventsTest, TheModelIsThePathsThenTheConfigurationsThenDefault) {
  RecordEvents plain = Make();
  plain.OnRequest(Post("/predict"));
  EXPECT_EQ(Last(), "default:0 OK plain");
  LogSource source;
  source.model = "iris";
  RecordEvents named = Make(source);
  named.OnRequest(Post("/invocations"));
  EXPECT_EQ(Last(), "iris:0 OK mlflow");
  named.OnRequest(Post("/v2/models/my%20model/versions/blue/infer"));
  EXPECT_EQ(Last(), "my model:0 OK v2_rest");
  named.OnRequest(Post("/v2/models/my%0Amodel/infer"));
  EXPECT_EQ(Last(), "(other):0 OK v2_rest") << "no name that a model could have";
  named.OnRequest(Post("/v2/models/m%C3%A4/versions/blue/infer"));
  EXPECT_EQ(Last(), "mä:0 OK v2_rest") << "a version that is no number is none";
}

TEST_F(RecordEventsTest, OtherPathsAreCountedUnlessTheyAreNamed) {
  LogSource source;
  source.prediction_paths = {"/score", "/api/*"};
  RecordEvents events = Make(source);
  LogRecord health = Post("/healthz");
  health.method = "GET";
  events.OnRequest(health);
  events.OnRequest(Post("/login"));
  events.OnRequest(Post("/login"));
  LogRecord unsaid = Post("/scores");
  unsaid.method = "";  // a program's own line of a request
  events.OnRequest(unsaid);
  EXPECT_EQ(sink_.count(), 0u);
  EXPECT_EQ(counters_.other_requests, 4u);
  EXPECT_EQ(events.other_paths(), (std::map<std::string, uint64_t>{{"/login", 2}, {"/scores", 1}}));
  events.OnRequest(Post("/score?x=1"));
  events.OnRequest(Post("/api/v3/anything"));
  LogRecord structured;
  structured.pathless = true;
  events.OnRequest(structured);  // a program's own line about a prediction
  EXPECT_EQ(counters_.predictions, 3u);
}

TEST_F(RecordEventsTest, NamesThatWereNeverFoundMakeNoProfile) {
  RecordEvents events = Make();
  for (int i = 0; i < 1000; ++i)
    events.OnRequest(Post(StrCat("/v1/models/scan", i, ":predict"), 404));
  EXPECT_EQ(sink_.count(), 0u);
  EXPECT_EQ(counters_.unknown_model, 1000u);
  events.OnRequest(Post("/v1/models/digits:predict"));
  events.OnRequest(Post("/v1/models/digits:predict", 404));
  EXPECT_EQ(Last(), "digits:0 NOT_FOUND tfserving_rest") << "it was there and is gone";
}

TEST_F(RecordEventsTest, TooManyModelsAreOne) {
  RecordEvents events = Make();
  for (size_t i = 0; i < RecordEvents::kMaxModels; ++i)
    events.OnRequest(Post(StrCat("/v1/models/m", i, ":predict")));
  events.OnRequest(Post("/v1/models/further:predict"));
  EXPECT_EQ(Last(), "(other):0 OK tfserving_rest");
  events.OnRequest(Post("/v1/models/m7:predict"));
  EXPECT_EQ(Last(), "m7:0 OK tfserving_rest");
}

TEST_F(RecordEventsTest, FeaturesKeepTheirPlacesByName) {
  RecordEvents events = Make();
  LogRecord record;
  const std::vector<float> values = {1, 2};
  const std::vector<std::string_view> ab = {"a", "b"}, ba = {"b", "a"}, bc = {"b", "c"};
  record.features = values;
  record.feature_names = ab;
  record.predicted = "cat";
  record.score = 0.5f;
  record.request_id = "r1";
  events.OnRequest(record);
  const std::string first = Last();
  EXPECT_EQ(first.substr(0, 49), "default:0 unknown unknown id=r1 predicted=cat sco");
  EXPECT_TRUE(first.ends_with(" 1 2")) << first;
  record.feature_names = ba;
  events.OnRequest(record);
  EXPECT_TRUE(Last().ends_with(" 2 1")) << Last();
  record.feature_names = bc;
  events.OnRequest(record);
  EXPECT_TRUE(Last().ends_with(" nan 1 2")) << Last();
}

TEST_F(RecordEventsTest, AFullSinkIsWaitedForAndNotForever) {
  RecordEvents events = Make();
  sink_.RefuseNext(5);
  events.OnRequest(Post("/predict"));
  EXPECT_EQ(sink_.count(), 1u);
  EXPECT_EQ(waits_, 995);
  waits_ = 0;
  sink_.RefuseNext(5);
  events.OnRequest(Post("/predict"));
  EXPECT_EQ(sink_.count(), 2u) << "left to the sink, which counts what it cannot take";
}

}  // namespace
}  // namespace leadsman::intake
