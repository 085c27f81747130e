#include <gtest/gtest.h>

#include <cmath>

#include "base/testing/fake_clock.h"
#include "monitor/accuracy_watch.h"
#include "monitor/burn_rate_watch.h"
#include "monitor/capture_loss_watch.h"
#include "monitor/traffic_watch.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

/// Versions whose sums the test moves.
class WatchTest : public testing::Test {
 protected:
  VersionTotals& Of(const std::string& model, int64_t version = 1) {
    return totals_[{model, version}];
  }
  void Serve(uint64_t good, uint64_t bad, const std::string& model = "m", int64_t version = 1) {
    VersionTotals& t = Of(model, version);
    t.requests += good + bad;
    t.answered += good + bad;
    t.server_errors += bad;
    t.latency[LatencyScheme::Index(20'000'000)] += good;
  }
  Finding LookOnce(Watch& watch) {
    auto all = watch.Look(clock_.Now(), clock_.SteadyNow());
    EXPECT_LE(all.size(), 1u);
    return all.empty() ? Finding{} : all[0];
  }

  FakeClock clock_;
  std::map<std::pair<std::string, int64_t>, VersionTotals> totals_;
  RequestMeter meter_{[this] {
    std::vector<VersionCounts> counts;
    for (const auto& [key, totals] : totals_) counts.push_back({key.first, key.second, totals});
    return counts;
  }};
  WatchedTime watched_{clock_.SteadyNow() - 100h};
  Objectives objectives_;
  ObjectivesOf objectives_of_ = [this](const std::string&) { return objectives_; };
};

using RequestMeterTest = WatchTest;
TEST_F(RequestMeterTest, CountsWhatCameSinceTheLastLook) {
  Serve(100, 0);
  meter_.Look(clock_.SteadyNow());  // where counting begins
  Serve(5, 1);
  clock_.Advance(10s);
  EXPECT_EQ(meter_.Look(clock_.SteadyNow()).at("m")[0].totals.requests, 6u);
  Serve(5, 0);
  EXPECT_EQ(meter_.Look(clock_.SteadyNow()).at("m")[0].totals.requests, 6u) << "same look";
  clock_.Advance(10s);
  EXPECT_EQ(meter_.Look(clock_.SteadyNow()).at("m")[0].totals.requests, 5u);
}

TEST_F(RequestMeterTest, LabelsThatComeWithAVersionCount) {
  Of("early").labelled_requests = 5;  // since the start, before the first look
  meter_.Look(clock_.SteadyNow());
  EXPECT_EQ(meter_.Look(clock_.SteadyNow()).at("early")[0].totals.labelled_requests, 5u);
  Serve(2000, 0);
  Of("m").labelled_requests = 2000 + 70;
  Of("m").wrong_requests = 1600 + 7;
  Of("m").labelled_requests_before = 70;  // of an earlier process
  Of("m").wrong_requests_before = 7;
  clock_.Advance(10s);
  const VersionTotals first = meter_.Look(clock_.SteadyNow()).at("m")[0].totals;
  EXPECT_EQ(first.labelled_requests, 2000u);
  EXPECT_EQ(first.wrong_requests, 1600u);
}

TEST_F(RequestMeterTest, SumsThatBeginAnewAreNotRequestsThatVanished) {
  meter_.Look(clock_.SteadyNow());
  Serve(100, 0);
  Of("m").labelled_requests = Of("m").labelled_requests_before = 900;
  clock_.Advance(10s);
  const VersionTotals first = meter_.Look(clock_.SteadyNow()).at("m")[0].totals;
  EXPECT_EQ(first.requests, 100u);
  EXPECT_EQ(first.labelled_requests, 0u) << "labels of long ago, from the database";
  Of("m").requests = 0;
  Serve(3, 0);
  Of("m").labelled_requests = 902;
  clock_.Advance(10s);
  const VersionTotals again = meter_.Look(clock_.SteadyNow()).at("m")[0].totals;
  EXPECT_EQ(again.requests, 3u);
  EXPECT_EQ(again.labelled_requests, 2u);
}

TEST(CountRingTest, AddsUpTheLastSlotsOnly) {
  CountRing ring(1min, 10);
  const SteadyTime start{1h};
  EXPECT_EQ(ring.Last(start, 5min).total, 0u);
  for (int i = 0; i < 20; ++i) ring.Add(start + i * 1min, {10, 1});
  const SteadyTime now = start + 19min + 30s;
  EXPECT_EQ(ring.Last(now, 5min).total, 50u);
  EXPECT_EQ(ring.Last(now, 5min).bad, 5u);
  EXPECT_EQ(ring.Last(now, 1h).total, 100u) << "older slots have made room";
  EXPECT_EQ(ring.Last(now + 3min, 5min).total, 20u);
  EXPECT_EQ(ring.BusyPeriods(now, 5), 5u);
  EXPECT_EQ(ring.BusyPeriods(now + 3min, 5), 3u);
  EXPECT_EQ(ring.BusyPeriods(now + 3min, 3, 2), 2u);
}

using BurnRateWatchTest = WatchTest;
TEST_F(BurnRateWatchTest, PagesWhenErrorsUseUpTheBudgetAndSaysWhichVersion) {
  BurnRateWatch watch(BurnRateWatch::Of::kErrors, meter_, watched_, objectives_of_);
  Serve(0, 0);
  Serve(0, 0, "m", 2);
  LookOnce(watch);
  for (int i = 0; i < 360; ++i) {  // an hour, all well
    clock_.Advance(10s);
    Serve(100, 0);
    EXPECT_FALSE(LookOnce(watch).wrong);
  }
  Finding finding;
  int looks = 0;
  bool ticket = false;
  for (; looks < 360 && !(finding.wrong && finding.severity == AlarmSeverity::kPage); ++looks) {
    clock_.Advance(10s);
    Serve(50, 0);
    Serve(25, 25, "m", 2);
    finding = LookOnce(watch);
    ticket = ticket || finding.wrong;
  }
  EXPECT_TRUE(ticket);
  EXPECT_TRUE(finding.wrong);
  EXPECT_EQ(finding.severity, AlarmSeverity::kPage);
  EXPECT_EQ(finding.subject.kind, AlarmKind::kErrorBurn);
  EXPECT_EQ(finding.subject.model, "m");
  EXPECT_GE(finding.evidence, finding.threshold);
  // 6 % of all the answers there are, an hour's and what came since: 0.25 t / (60 min + t).
  // What makes it certain that this is no chance comes on top: two minutes here.
  EXPECT_NEAR(looks, 127, 5);
  EXPECT_NE(finding.summary.find("answers failed in the last"), std::string::npos);
  EXPECT_EQ(finding.details.back().first, "version_2_last_hour");
  EXPECT_EQ(finding.summary.find("well again"), std::string::npos);
  for (int i = 0; i < 40; ++i) {  // it is over, and the rule's windows do not know yet
    clock_.Advance(10s);
    Serve(100, 0);
    finding = LookOnce(watch);
  }
  EXPECT_TRUE(finding.wrong);
  EXPECT_NE(finding.summary.find("well again: 0 of 3"), std::string::npos) << finding.summary;
}

TEST_F(BurnRateWatchTest, AFewFailuresInAQuietNightAreNone) {
  BurnRateWatch watch(BurnRateWatch::Of::kErrors, meter_, watched_, objectives_of_);
  Serve(0, 0);
  LookOnce(watch);
  clock_.Advance(10s);
  Serve(4, 1);
  const Finding finding = LookOnce(watch);
  EXPECT_FALSE(finding.wrong);
  EXPECT_EQ(finding.samples, 5u);
}

TEST_F(BurnRateWatchTest, TheFirstRequestsOfAServiceDoNotPageUntilItIsCertain) {
  const WatchedTime began(clock_.SteadyNow());
  BurnRateWatch watch(BurnRateWatch::Of::kErrors, meter_, began, objectives_of_);
  Serve(0, 0);
  LookOnce(watch);
  clock_.Advance(10s);
  Serve(3, 2);
  EXPECT_FALSE(LookOnce(watch).wrong);
  clock_.Advance(10s);
  Serve(0, 2);
  EXPECT_FALSE(LookOnce(watch).wrong) << "4 of 7";
  clock_.Advance(10s);
  Serve(0, 6);
  const Finding outage = LookOnce(watch);
  EXPECT_TRUE(outage.wrong);
  EXPECT_EQ(outage.severity, AlarmSeverity::kPage);
  EXPECT_EQ(outage.samples, 13u);
}

TEST_F(BurnRateWatchTest, WhatTheClientIsToBlameForIsNoError) {
  BurnRateWatch watch(BurnRateWatch::Of::kErrors, meter_, watched_, objectives_of_);
  Serve(0, 0);
  LookOnce(watch);
  clock_.Advance(10s);
  Serve(1000, 0);
  Of("m").errors += 500;
  EXPECT_FALSE(LookOnce(watch).wrong);
}

TEST_F(BurnRateWatchTest, SlowAnswersBurnTheLatencyBudget) {
  objectives_.latency = LatencyObjective{100ms, 0.99};
  BurnRateWatch watch(BurnRateWatch::Of::kLatency, meter_, watched_, objectives_of_);
  Serve(0, 0);
  LookOnce(watch);
  clock_.Advance(10s);
  Serve(700, 0);
  Of("m").latency[LatencyScheme::Index(300'000'000)] += 300;
  const Finding finding = LookOnce(watch);
  EXPECT_TRUE(finding.wrong);
  EXPECT_EQ(finding.subject.kind, AlarmKind::kLatencyBurn);
  EXPECT_EQ(finding.samples, 1000u);
  EXPECT_EQ(finding.threshold, 14.4) << "of the rules that hold the most urgent one";
  EXPECT_TRUE(finding.summary.starts_with(
      "m: 300 of 1000 answers took longer than 100 ms in the last 1 h, 300 of 1000 in the last 5 "
      "min; 1 % may: "))
      << finding.summary;
}

TEST_F(BurnRateWatchTest, SoonAfterTheStartBothWindowsAreOne) {
  const WatchedTime began(clock_.SteadyNow());
  BurnRateWatch watch(BurnRateWatch::Of::kErrors, meter_, began, objectives_of_);
  Serve(0, 0);
  LookOnce(watch);
  clock_.Advance(10s);
  Serve(500, 500);
  const Finding finding = LookOnce(watch);
  EXPECT_TRUE(finding.summary.starts_with(
      "m: 500 of 1000 answers failed in the 10 s seen so far; 1 % may: "))
      << finding.summary;
}

TEST_F(BurnRateWatchTest, WithoutAnObjectiveNothingIsTold) {
  BurnRateWatch latency(BurnRateWatch::Of::kLatency, meter_, watched_, objectives_of_);
  Serve(100, 100);
  EXPECT_TRUE(latency.Look(clock_.Now(), clock_.SteadyNow()).empty());
  objectives_.availability = 0;
  BurnRateWatch errors(BurnRateWatch::Of::kErrors, meter_, watched_, objectives_of_);
  EXPECT_TRUE(errors.Look(clock_.Now(), clock_.SteadyNow()).empty());
}

class TrafficWatchTest : public WatchTest {
 protected:
  TrafficWatch watch_{meter_, watched_, objectives_of_,
                      [this](const std::string&) { return expected_; }};
  bool expected_ = true;
};

TEST_F(TrafficWatchTest, SteadyTrafficThatStopsIsFoundInMinutes) {
  Serve(0, 0);
  LookOnce(watch_);
  for (int i = 0; i < 360; ++i) {
    clock_.Advance(10s);
    Serve(10, 0);
    EXPECT_FALSE(LookOnce(watch_).wrong);
  }
  int looks = 0;
  Finding finding;
  while (!finding.wrong && looks < 1000) {
    clock_.Advance(10s);
    ++looks;
    finding = LookOnce(watch_);
  }
  EXPECT_GE(looks, 18) << "three minutes: one of 62 minutes may be empty, 62^3 < 1e6";
  EXPECT_LE(looks, 24);
  EXPECT_GE(finding.evidence, finding.threshold);
  EXPECT_NE(finding.summary.find("no request of m for"), std::string::npos);
  clock_.Advance(10s);
  Serve(1, 0);
  EXPECT_FALSE(LookOnce(watch_).wrong);
}

TEST_F(TrafficWatchTest, AYoungProcessDoesNotTakeMuchLonger) {
  for (const auto seen : {1min, 5min, 15min, 25min}) {
    const std::string model = "m" + std::to_string(seen.count());
    Serve(0, 0, model);
    meter_.Look(clock_.SteadyNow());
    Finding finding;
    auto look = [&] {
      clock_.Advance(10s);
      for (Finding& f : watch_.Look(clock_.Now(), clock_.SteadyNow())) {
        if (f.subject.model == model) finding = std::move(f);
      }
    };
    for (auto t = 0s; t <= seen; t += 10s) {
      Serve(10, 0, model);
      look();
      EXPECT_FALSE(finding.wrong) << seen.count();
    }
    Duration silent{};
    for (; !finding.wrong && silent < 1h; silent += 10s) look();
    EXPECT_GE(silent, 3min) << seen.count();
    EXPECT_LE(silent, seen < 5min ? 13min : 5min) << seen.count();
  }
}

TEST_F(TrafficWatchTest, BurstsWithPausesAreGivenMoreTime) {
  Serve(0, 0);
  LookOnce(watch_);
  for (int i = 0; i < 360; ++i) {  // a burst of a thousand every five minutes
    clock_.Advance(10s);
    if (i % 30 == 0) Serve(1000, 0);
    EXPECT_FALSE(LookOnce(watch_).wrong) << i;
  }
  for (int i = 0; i < 180; ++i) {  // half an hour more than usual
    clock_.Advance(10s);
    EXPECT_FALSE(LookOnce(watch_).wrong) << i;
  }
}

TEST_F(TrafficWatchTest, UnloadedForgottenOrNeverUsedModelsAreNotExpected) {
  Serve(0, 0);
  LookOnce(watch_);
  EXPECT_TRUE(watch_.Look(clock_.Now(), clock_.SteadyNow()).empty()) << "it never had a request";
  for (int i = 0; i < 60; ++i) {
    clock_.Advance(10s);
    Serve(100, 0);
    LookOnce(watch_);
  }
  expected_ = false;
  clock_.Advance(1h);
  EXPECT_TRUE(watch_.Look(clock_.Now(), clock_.SteadyNow()).empty());
  expected_ = true;
  clock_.Advance(10s);
  EXPECT_TRUE(watch_.Look(clock_.Now(), clock_.SteadyNow()).empty()) << "loaded again: anew";
  Serve(100, 0);
  clock_.Advance(10s);
  EXPECT_EQ(watch_.Look(clock_.Now(), clock_.SteadyNow()).size(), 1u);
  totals_.clear();
  clock_.Advance(1h);
  EXPECT_TRUE(watch_.Look(clock_.Now(), clock_.SteadyNow()).empty());
}

TEST(ChanceOfSilenceTest, IsTheLargerOfPoissonAndOfEmptyMinutes) {
  EXPECT_NEAR(ChanceOfSilence(3, 60, 60, 1min, 2min), std::exp(-0.1), 1e-12);
  EXPECT_NEAR(ChanceOfSilence(3600, 30, 60, 1min, 2min), 0.5 * 0.5, 1e-12);
  EXPECT_NEAR(ChanceOfSilence(3600, 30, 60, 30s, 2min), 0.5 * 0.5 * 0.5 * 0.5, 1e-12);
  EXPECT_EQ(ChanceOfSilence(0, 0, 60, 1min, 2min), 1);
  EXPECT_EQ(ChanceOfSilence(100, 0, 0, 1min, 2min), 1);
}

using AccuracyWatchTest = WatchTest;
TEST_F(AccuracyWatchTest, FiresOnceTheWholeIntervalIsBelow) {
  objectives_.accuracy = 0.95;
  AccuracyWatch watch(meter_, watched_, objectives_of_);
  Serve(0, 0);
  Finding finding = LookOnce(watch);
  EXPECT_FALSE(finding.wrong) << "no labels say nothing";
  clock_.Advance(10s);
  Serve(40, 0);
  Of("m").labelled_requests = 20;
  Of("m").wrong_requests = 3;
  finding = LookOnce(watch);
  EXPECT_FALSE(finding.wrong) << "0.85 of 20 may be chance";
  EXPECT_EQ(finding.evidence, 0.85);
  EXPECT_EQ(finding.details.back(),
            (std::pair<std::string, std::string>{"labels_per_request", "50 %"}));
  clock_.Advance(10s);
  Of("m").labelled_requests = 200;
  Of("m").wrong_requests = 30;
  finding = LookOnce(watch);
  EXPECT_TRUE(finding.wrong);
  EXPECT_EQ(finding.samples, 200u);
  clock_.Advance(25h);
  EXPECT_EQ(LookOnce(watch).samples, 0u) << "of yesterday";
}

// scipy.stats.beta.ppf(0.001, 170, 31), ppf(0.999, 171, 30); (0.001, 1, …) in closed form.
TEST(ExactIntervalTest, IsClopperAndPearsons) {
  const auto [low, high] = ExactInterval(170, 200, 0.001);
  EXPECT_NEAR(low, 0.7580794106493521, 1e-9);
  EXPECT_NEAR(high, 0.9178793366895388, 1e-9);
  EXPECT_NEAR(ExactInterval(0, 100, 0.001).second, 1 - std::pow(0.001, 0.01), 1e-9);
  EXPECT_EQ(ExactInterval(0, 100, 0.001).first, 0);
  EXPECT_EQ(ExactInterval(100, 100, 0.001).second, 1);
  EXPECT_EQ(ExactInterval(0, 0, 0.001), (std::pair{0.0, 1.0}));
}

TEST(CaptureLossWatchTest, TellsEachWayWhatShareWasLost) {
  FakeClock clock;
  std::vector<CaptureCounts> counts{{"events", "events", "do this", 0, 0},
                                    {"log a", "lines", "do that", 0, 0}};
  const WatchedTime watched(clock.SteadyNow() - 1h);
  CaptureLossWatch watch([&] { return counts; }, watched, {});
  EXPECT_EQ(watch.Look(clock.Now(), clock.SteadyNow()).size(), 2u);
  clock.Advance(10s);
  counts[0].kept = 10'000;
  counts[0].lost = 9;
  counts[1].kept = 900;
  counts[1].lost = 100;
  auto found = watch.Look(clock.Now(), clock.SteadyNow());
  EXPECT_FALSE(found[0].wrong) << "nine are too few to speak of";
  EXPECT_TRUE(found[1].wrong);
  EXPECT_EQ(found[1].severity, AlarmSeverity::kPage);
  EXPECT_EQ(found[1].evidence, 0.1);
  EXPECT_EQ(found[1].subject.of, "log a");
  EXPECT_EQ(found[1].summary, "100 of 1000 lines were lost in the last 10 min (10 %); do that");
  clock.Advance(10s);
  counts[0].lost = 29;
  found = watch.Look(clock.Now(), clock.SteadyNow());
  EXPECT_TRUE(found[0].wrong);
  EXPECT_EQ(found[0].severity, AlarmSeverity::kTicket);
  clock.Advance(11min);
  found = watch.Look(clock.Now(), clock.SteadyNow());
  EXPECT_FALSE(found[0].wrong);
  EXPECT_FALSE(found[1].wrong);
}

TEST(CaptureLossWatchTest, PartsOfEventsAreATicketHoweverManyAreLost) {
  FakeClock clock;
  std::vector<CaptureCounts> counts{{"bodies", "bodies", "map them", 0, 0, true}};
  const WatchedTime watched(clock.SteadyNow() - 1h);
  CaptureLossWatch watch([&] { return counts; }, watched, {});
  watch.Look(clock.Now(), clock.SteadyNow());
  counts[0].lost = 1000;
  const auto found = watch.Look(clock.Now(), clock.SteadyNow());
  EXPECT_TRUE(found[0].wrong);
  EXPECT_EQ(found[0].severity, AlarmSeverity::kTicket);
}

TEST(CaptureLossWatchTest, AWayThatIsReadAMomentTooEarlyDoesNotCountTwice) {
  FakeClock clock;
  std::vector<CaptureCounts> counts{{"log a", "lines", "do that", 0, 0}};
  const WatchedTime watched(clock.SteadyNow() - 1h);
  CaptureLossWatch watch([&] { return counts; }, watched, {});
  watch.Look(clock.Now(), clock.SteadyNow());
  for (const uint64_t kept : {1000, 999, 1001}) {
    counts[0].kept = kept;
    EXPECT_EQ(watch.Look(clock.Now(), clock.SteadyNow())[0].samples,
              std::max(kept, uint64_t{1000}));
  }
}

}  // namespace
}  // namespace leadsman
