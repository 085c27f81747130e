#include "intake/event_intake.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "intake/testing/recording_sink.h"

namespace leadsman::intake {
namespace {

class EventIntakeTest : public ::testing::Test {
 protected:
  EventReceipt Add(std::string_view body, std::string_view type = "application/json") {
    auto receipt = intake_.Add(body, type);
    EXPECT_TRUE(receipt.ok()) << receipt.status().message();
    return receipt.ok() ? *receipt : EventReceipt();
  }
  /// What is wrong with one entry of these fields.
  std::string Problem(std::string_view fields) {
    EventReceipt receipt = Add(StrCat(R"({"events": [{"model": "m", )", fields, "}]}"));
    EXPECT_EQ(receipt.accepted, 0u) << fields;
    return receipt.errors.empty() ? "" : receipt.errors[0];
  }

  FakeClock clock_;
  EventTexts sink_;
  Registry registry_;
  EventIntake intake_{clock_, sink_, registry_};
};

TEST_F(EventIntakeTest, TakesWhatIsKnownAndNothingElse) {
  EventReceipt receipt = Add(
      R"({"events": [{"model": "iris", "version": 3, "request_id": "r1", "status": 200, "latency_ms": 4.5,
          "features": [1, null, true, "x"], "prediction": 7.0, "score": 0.75},
         {"model": "iris", "outcome": "server_error", "prediction": "ignored"},
         {"model": "iris"}]})");
  EXPECT_EQ(receipt.accepted, 3u);
  EXPECT_EQ(receipt.rejected, 0u);
  EXPECT_EQ(Join(sink_.texts(), "\n"),
            "iris:3 OK unknown 4500us id=r1 predicted=7 score=0.75 1 nan 1 nan\n"
            "iris:0 INTERNAL unknown\n"
            "iris:0 unknown unknown");
}

TEST_F(EventIntakeTest, LinesAndSingleObjectsAreTakenToo) {
  EXPECT_EQ(Add(R"({"model": "a"})").accepted, 1u);
  EXPECT_EQ(Add(R"([{"model": "a"}, {"model": "b"}])").accepted, 2u);
  EXPECT_EQ(Add("{\"model\": \"a\"}\n\n{\"model\": \"b\"}\r\n", "application/x-ndjson").accepted,
            2u);
  EXPECT_EQ(Add("{\"model\": \"a\"}\n{\"model\": \"b\"}\n", "").accepted, 2u) << "by their looks";
  EventReceipt receipt = Add("{\"model\": \"a\"}\n{oops\n{\"version\": 1}\n{\"model\": \"a\"}");
  EXPECT_EQ(receipt.accepted, 2u);
  EXPECT_EQ(receipt.errors,
            (std::vector<std::string>{"line 2: is not valid JSON", "line 3: model: is missing"}));
}

TEST_F(EventIntakeTest, ErrorsNameTheEntryAndTheField) {
  EventReceipt receipt =
      Add(R"({"events": [{"model": "a"}, {"model": "a", "latency_ms": -1}, 7]})");
  EXPECT_EQ(receipt.accepted, 1u);
  EXPECT_EQ(receipt.rejected, 2u);
  EXPECT_EQ(receipt.errors,
            (std::vector<std::string>{
                "events[1].latency_ms: must be a number from 0 to a day",
                "events[2]: must be an object with a model and what is known of one prediction"}));
  EXPECT_EQ(Problem(R"("latencyms": 3)"),
            "events[0].latencyms: unknown key; did you mean latency_ms?");
  EXPECT_EQ(Problem(R"("timestamp": "yesterday")").substr(0, 33),
            "events[0].timestamp: must be a ti");
  EXPECT_EQ(Problem(R"("version": -1)").substr(0, 20), "events[0].version: m");
  EXPECT_EQ(Problem(R"("status": 200, "outcome": "ok")"),
            "events[0].outcome: there is a status, too: give one");
  EXPECT_EQ(Problem(R"("features": [[1]])").substr(0, 31), "events[0].features: must hold t");
  EXPECT_EQ(Problem(R"("label": 1)"),
            "events[0].label: needs a request_id, by which it joins its prediction");
  EXPECT_EQ(Problem(R"("predictions": 1)").substr(0, 34), "events[0].predictions: must be a l");
}

TEST_F(EventIntakeTest, WhatCannotBeReadAtAllIsAnError) {
  for (const char* body :
       {"", " ", "nonsense", "{\"events\": 3}", "7", "{\"events\": [], \"x\": 1}"})
    EXPECT_FALSE(intake_.Add(body, "").ok()) << body;
  std::string many = "[{}";
  for (size_t i = 0; i < kMaxEventsPerCall; ++i) many += ",{}";
  EXPECT_FALSE(intake_.Add(many + "]", "").ok());
}

TEST_F(EventIntakeTest, TimesOfThePastAreTakenAndThoseOfTheFutureAreNow) {
  const int64_t now = UnixMillis(clock_.Now());
  EXPECT_EQ(Add(StrCat(R"({"model": "a", "timestamp": )", now - 5000, "}")).from_future, 0u);
  EXPECT_EQ(sink_.last_ms(), now - 5000);
  EXPECT_EQ(Add(StrCat(R"({"model": "a", "timestamp": )", now + 5000, "}")).from_future, 1u);
  EXPECT_EQ(sink_.last_ms(), now);
  Add(R"({"model": "a", "timestamp": "1999-01-01T00:00:00Z"})");
  EXPECT_EQ(sink_.last_ms(), 915148800000);
  Add(StrCat(R"({"model": "a", "timestamp": )", now - 7000, ".5}"));
  EXPECT_EQ(sink_.last_ms(), now - 7000) << "milliseconds with a fraction are none of the future";
}

TEST_F(EventIntakeTest, AnEventOfATimeThatCannotBeIsTakenAsOfNow) {
  auto counts = [&](const std::string& time) {
    clock_.Advance(std::chrono::seconds(1));
    const EventReceipt receipt = Add(StrCat(R"({"model": "a", "timestamp": )", time, "}"));
    EXPECT_EQ(receipt.accepted, 1u) << time << ": " << Join(receipt.errors, "; ");
    EXPECT_EQ(sink_.last_ms(), UnixMillis(clock_.Now())) << time;
    return std::pair(receipt.before_1970, receipt.from_future);
  };
  const std::pair<uint64_t, uint64_t> before{1, 0}, future{0, 1};
  for (const char* time : {"-1", "-0.5", "-62135596800", R"("1969-12-31T23:59:59Z")",
                           R"("0001-01-01T00:00:00Z")", R"("1904-02-29 00:00:00")"})
    EXPECT_EQ(counts(time), before) << time;
  for (const char* time :
       {R"("2262-12-31T00:00:00Z")", R"("2300-01-01T00:00:00Z")", R"("9999-12-31T23:59:59.999Z")",
        "1e10", "99999999999", "9223372036854775807", "18446744073709551615", "1e300"})
    EXPECT_EQ(counts(time), future) << time;
  for (const char* none : {R"("1969-13-01T00:00:00Z")", R"("0000-01-01T00:00:00Z")",
                           R"("yesterday")", R"("-1")", "true"})
    EXPECT_NE(Problem(StrCat(R"("timestamp": )", none)), "") << none;
}

TEST_F(EventIntakeTest, AFullSinkSaysWhereToGoOn) {
  sink_.SetRoom(2);
  EventReceipt receipt =
      Add(R"([{"model": "a"}, {"bad": 1}, {"model": "a"}, {"model": "a"}, {"model": "a"}])");
  EXPECT_TRUE(receipt.full);
  EXPECT_EQ(receipt.accepted, 2u);
  EXPECT_EQ(receipt.rejected, 1u);
  EXPECT_EQ(receipt.next, 3u);
}

TEST_F(EventIntakeTest, LabelsComeOutForThoseThatWereTaken) {
  EventReceipt receipt = Add(
      R"([{"model": "a", "request_id": "r1", "label": 7}, {"model": "a", "request_id": "r2", "labels": ["x", null, true]}])");
  ASSERT_EQ(receipt.labels.size(), 3u);
  EXPECT_EQ(receipt.labels[0].label, "7");
  EXPECT_EQ(receipt.labels[2].request_id, "r2");
  EXPECT_EQ(receipt.labels[2].row, 2u);
  EXPECT_EQ(receipt.labels[2].label, "true");
  EXPECT_EQ(Join(receipt.label_places, " "), "events[0].label events[1].label events[1].labels[2]");
  EXPECT_EQ(Join(intake_
                     .Add("{\"model\": \"a\"}\n{\"model\": \"a\", \"request_id\": \"r\", "
                          "\"labels\": [1, 2]}",
                          "application/x-ndjson")
                     ->label_places,
                 ", "),
            "line 2: label, line 2: labels[1]");
}

TEST_F(EventIntakeTest, ALabelOfItsOwnIsNoFurtherRequest) {
  EventReceipt receipt = Add(
      R"([{"model": "a", "request_id": "r1", "prediction": 7}, {"model": "a", "request_id": "r1", "label": 7}])");
  EXPECT_EQ(receipt.accepted, 1u);
  EXPECT_EQ(receipt.rejected, 0u);
  ASSERT_EQ(receipt.labels.size(), 1u);
  EXPECT_EQ(receipt.labels[0].request_id, "r1");
  EXPECT_EQ(sink_.texts().size(), 1u);
}

TEST_F(EventIntakeTest, WhatIsSentAgainCountsOnce) {
  const char* const batch =
      R"([{"model": "a", "request_id": "r1", "prediction": 7}, {"model": "a", "request_id": "r2"}, {"model": "a"}])";
  EXPECT_EQ(Add(batch).accepted, 3u);
  clock_.Advance(std::chrono::minutes(1));
  EventReceipt again = Add(batch);
  EXPECT_EQ(again.accepted, 1u) << "what has no id is told from nothing";
  EXPECT_EQ(again.duplicate, 2u);
  EXPECT_EQ(again.rejected, 0u);
  EXPECT_EQ(Add(R"([{"model": "a", "version": 2, "request_id": "r1"},
                    {"model": "b", "request_id": "r1"}])")
                .accepted,
            2u)
      << "of another version, of another model";
  EXPECT_EQ(sink_.texts().size(), 6u);
  clock_.Advance(std::chrono::hours(1));
  EXPECT_EQ(Add(batch).accepted, 3u) << "an id may be given again one day";
}

TEST_F(EventIntakeTest, OfWhatThereWasNoRoomForNothingIsADuplicate) {
  const char* const batch =
      R"([{"model": "a", "request_id": "r1", "prediction": 7, "label": 7}, {"model": "a", "request_id": "r2"}])";
  sink_.SetRoom(1);
  EXPECT_TRUE(Add(batch).full);
  sink_.SetRoom(10);
  EventReceipt again = Add(batch);
  EXPECT_EQ(again.duplicate, 1u);
  EXPECT_EQ(again.accepted, 1u);
  EXPECT_EQ(again.labels.size(), 1u) << "it may have found no room then";
}

TEST_F(EventIntakeTest, SegmentsComeByNameOrAreAFeature) {
  sink_.SetSegments("a", {{.name = "tenant"}, {.name = "age", .input = "age", .cuts = {30}}});
  const EventReceipt receipt = Add(
      R"([{"model": "a", "segments": {"tenant": "acme"}, "features": {"age": 31}},
          {"model": "a", "segments": {"tenant": 7, "age": 12, "unheard": "x"}},
          {"model": "a", "segments": null}, {"model": "a", "segments": {"tenant": null}},
          {"model": "a", "segments": ["acme"]}, {"model": "a", "segments": {"tenant": []}},
          {"model": "a", "segments": {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}}])");
  EXPECT_EQ(Join(sink_.texts(), "\n"),
            "a:0 unknown unknown segment=acme segment=>= 30 31\n"
            "a:0 unknown unknown segment=7 segment=< 30\n"
            "a:0 unknown unknown segment=(none) segment=(none)\n"
            "a:0 unknown unknown segment=(none) segment=(none)");
  EXPECT_EQ(intake_.view().unknown_segments, 1u);
  EXPECT_EQ(Join(receipt.errors, "\n"),
            "events[4].segments: must be an object of segments by the names of segmentations, as "
            "{\"tenant\": \"acme\"}\n"
            "events[5].segments: must hold texts, numbers, true or false\n"
            "events[6].segments: names more than 4, which a model has at most");
}

TEST_F(EventIntakeTest, NamesOfFeaturesKeepTheirPlacesByModel) {
  Add(R"([{"model": "a", "features": {"age": 1, "income": 2}}, {"model": "b", "features": {"width": 3}},
          {"model": "a", "features": {"income": 4, "age": 5}}])");
  SourceView view = intake_.view();
  EXPECT_EQ(view.model_features["a"], (std::vector<std::string>{"age", "income"}));
  EXPECT_EQ(view.model_features["b"], (std::vector<std::string>{"width"}));
  EXPECT_EQ(Join(sink_.texts(), "\n"),
            "a:0 unknown unknown 1 2\nb:0 unknown unknown 3\na:0 unknown unknown 5 4");
}

TEST_F(EventIntakeTest, ModelsBeyondTheBoundAreOne) {
  for (int i = 0; i < 300; ++i) Add(StrCat(R"({"model": "m)", i, "\"}"));
  EXPECT_EQ(sink_.texts().back().substr(0, 7), "(other)");
}

}  // namespace
}  // namespace leadsman::intake
