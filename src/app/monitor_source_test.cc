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
    event.latency_ns = 1'000'000;
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
}

}  // namespace
}  // namespace leadsman
