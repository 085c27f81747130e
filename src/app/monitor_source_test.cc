#include "app/monitor_source.h"

#include <gtest/gtest.h>

#include "base/testing/fake_clock.h"

namespace leadsman {
namespace {

TEST(MonitorMetricSourceTest, EvidenceIsWhatTheSplitHasDrawnAndTheBaselineIsEverything) {
  FakeClock clock;
  Registry registry;
  auto monitor = Monitor::Create({clock, registry}, {}, {});
  ASSERT_TRUE(monitor.ok()) << monitor.status();
  int sent = 0;
  auto emit = [&](bool drawn, StatusCode outcome) {
    std::string id = std::to_string(++sent);
    std::string_view predicted[] = {"7"};
    PredictionEvent event;
    event.model = "digits";
    event.version = 2;
    event.drawn = drawn;
    event.outcome = outcome;
    event.latency_ns = outcome == StatusCode::kOk ? 1'000'000u : 30'000'000'000u;
    event.request_id = id;
    if (outcome == StatusCode::kOk) event.predicted = predicted;
    (*monitor)->Emit(event);
    if (outcome == StatusCode::kOk) (*monitor)->AddLabels({GroundTruth{id, 0, "8", 0}});
  };
  for (int i = 0; i < 5; ++i) emit(false, StatusCode::kInternal);
  for (int i = 0; i < 4; ++i) emit(false, StatusCode::kOk);
  for (int i = 0; i < 3; ++i) emit(true, StatusCode::kOk);
  emit(true, StatusCode::kInternal);
  ASSERT_TRUE((*monitor)->Flush(std::chrono::seconds(20)));

  MonitorMetricSource source(**monitor);
  Result<ArmTotals> arm = source.Read("digits", 2);
  ASSERT_TRUE(arm.ok());
  const size_t bucket = LatencyScheme::Index(1'000'000);
  EXPECT_EQ(arm->requests, 4u);
  EXPECT_EQ(arm->errors, 1u);
  EXPECT_EQ(arm->latency[bucket], 3u);
  EXPECT_EQ(arm->labelled, 3u);
  EXPECT_EQ(arm->wrong, 3u);
  EXPECT_EQ(arm->baseline.requests, 13u);
  EXPECT_EQ(arm->baseline.errors, 6u);
  EXPECT_EQ(arm->baseline.latency[bucket], 7u);
  EXPECT_EQ(arm->baseline.labelled, 7u);
  EXPECT_EQ(arm->baseline.wrong, 7u);
  EXPECT_EQ(arm->baseline.longest_failure_ns, 30'000'000'000u) << "they have no latency bucket";
}

TEST(MonitorMetricSourceTest, LossesAreThoseOfTheMeasureThatTheRolloutAsksFor) {
  FakeClock clock;
  Registry registry;
  auto monitor = Monitor::Create({clock, registry}, {}, {});
  ASSERT_TRUE(monitor.ok()) << monitor.status();
  MonitorMetricSource source(**monitor);
  source.CountLosses("prices", {LossMetric::kSquaredError, 100});
  for (const auto& [id, drawn, text] :
       {std::tuple("a", true, "7"), {"b", false, "5"}, {"c", true, "none"}}) {
    const std::string_view predicted[] = {text};
    PredictionEvent event;
    event.model = "prices";
    event.version = 2;
    event.drawn = drawn;
    event.request_id = id;
    event.predicted = predicted;
    (*monitor)->Emit(event);
    (*monitor)->AddLabels({GroundTruth{id, 0, "2", 0}});
  }
  ASSERT_TRUE((*monitor)->Flush(std::chrono::seconds(20)));
  const ArmTotals arm = source.Read("prices", 2).value();
  EXPECT_EQ(arm.losses.count, 1u);
  EXPECT_DOUBLE_EQ(arm.losses.sum, 0.25);
  EXPECT_EQ(arm.unmeasured, 1u);
  EXPECT_EQ(arm.baseline.losses.count, 2u);
  EXPECT_DOUBLE_EQ(arm.baseline.losses.sum, 0.25 + 0.09);
}

TEST(MonitorMetricSourceTest, EvidenceIsToldBySegmentToo) {
  FakeClock clock;
  Registry registry;
  MonitorConfig config;
  config.segments = {{.name = "tenant", .header = "x-tenant"}};
  auto monitor = Monitor::Create({clock, registry}, {}, {{"digits", config}});
  ASSERT_TRUE(monitor.ok()) << monitor.status();
  for (bool drawn : {true, true, false}) {
    const std::string_view segments[] = {"acme"};
    PredictionEvent event;
    event.model = "digits";
    event.version = 2;
    event.drawn = drawn;
    event.outcome = StatusCode::kInternal;
    event.segments = segments;
    (*monitor)->Emit(event);
  }
  ASSERT_TRUE((*monitor)->Flush(std::chrono::seconds(20)));
  MonitorMetricSource source(**monitor);
  const ArmTotals arm = source.Read("digits", 2).value();
  ASSERT_EQ(arm.segments.size(), 1u);
  EXPECT_EQ(arm.segments.begin()->first, "tenant=acme");
  EXPECT_EQ(arm.segments.begin()->second,
            (ArmTotals::Segment{
                .requests = 2, .errors = 2, .labelled = 0, .wrong = 0, .all_requests = 3}));
}

TEST(MonitorMetricSourceTest, WhatCopiesTellIsWhatTheirBookSays) {
  using intake::ShadowResult;
  FakeClock clock;
  Registry registry;
  auto monitor = Monitor::Create({clock, registry}, {}, {});
  ASSERT_TRUE(monitor.ok()) << monitor.status();
  auto book = std::make_shared<intake::ShadowBook>();
  const intake::ShadowBook::Latencies took{1'000'000, 3'000'000};
  book->Add("digits", 1, 2, ShadowResult::kEqual, {}, "a", took);
  book->Add("digits", 1, 2, ShadowResult::kWithinTolerance, 1e-6, "b", took);
  book->Add("digits", 1, 2, ShadowResult::kDiffers, 0.5, "c", took);
  book->Add("digits", 1, 2, ShadowResult::kClassFlip, 0.5, "d", took);
  book->Add("digits", 1, 2, ShadowResult::kNotUnderstood, {}, "e", took);
  book->Add("digits", 1, 2, ShadowResult::kShadowFailed, {}, "f");
  book->Add("digits", 1, 2, ShadowResult::kBothFailed, {}, "g");
  book->Add("digits", 1, 3, ShadowResult::kDiffers, {}, "h");
  book->AddFlip("digits", 1, 2, "d", 0, "8");
  LabelledPrediction labelled;
  labelled.model = "digits";
  labelled.version = 1;
  labelled.request_id = "d";
  labelled.label = "7";
  labelled.wrong = false;
  book->OnLabelled(labelled);
  MonitorMetricSource source(**monitor, book);
  Result<PairTotals> pairs = source.ReadPairs("digits", 1, 2);
  ASSERT_TRUE(pairs.ok());
  EXPECT_EQ(pairs->pairs, 7u);
  EXPECT_EQ(pairs->candidate_failed, 1u);
  EXPECT_EQ(pairs->both_failed, 1u);
  EXPECT_EQ(pairs->stable_failed, 0u);
  EXPECT_EQ(pairs->compared, 4u);
  EXPECT_EQ(pairs->differing, 2u);
  EXPECT_EQ(pairs->flips, 1u);
  EXPECT_EQ(pairs->uncompared, 1u);
  EXPECT_EQ(pairs->candidate_wrong, 1u);
  EXPECT_EQ(pairs->stable_wrong, 0u);
  EXPECT_EQ(pairs->stable_latency[LatencyScheme::Index(1'000'000)], 5u);
  EXPECT_EQ(pairs->candidate_latency[LatencyScheme::Index(3'000'000)], 5u);
  EXPECT_EQ(source.ReadPairs("digits", 2, 1)->pairs, 0u);
}

}  // namespace
}  // namespace leadsman
