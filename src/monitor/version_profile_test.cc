#include "monitor/version_profile.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace leadsman {
namespace {

uint64_t LongestFailure(std::vector<std::pair<StatusCode, uint64_t>> failures) {
  VersionProfile profile({"digits", 2}, std::chrono::seconds(60));
  for (const auto& [outcome, latency_ns] : failures) {
    PredictionEvent event;
    event.model = "digits";
    event.version = 2;
    event.outcome = outcome;
    event.latency_ns = latency_ns;
    profile.Fold(event, WallTime{}, SteadyTime{});
  }
  return profile.Totals().longest_failure_ns;
}

TEST(VersionProfileTest, WhatItsClientHasGivenUpTellsNothingOfHowLongAnswersTake) {
  EXPECT_EQ(LongestFailure({{StatusCode::kInternal, 2'000'000'000},
                            {StatusCode::kCancelled, 30'000'000'000},
                            {StatusCode::kUnavailable, 1'000'000'000}}),
            2'000'000'000u);
}

TEST(VersionProfileTest, NoFailureIsWaitedForLongerThanAMinute) {
  EXPECT_EQ(LongestFailure({{StatusCode::kDeadlineExceeded, 3'600'000'000'000}}), 60'000'000'000u);
}

}  // namespace
}  // namespace leadsman
