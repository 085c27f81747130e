#include "monitor/quiet/watch_proof.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "support/sanitized.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

constexpr int64_t kMinute = 60'000;
constexpr int64_t kStart = 1'771'286'400'000;

/// Four days of 20 requests a minute, each with a label; on the last day something may be otherwise.
struct Past {
  double errors = 0.001, slow = 0.002, wrong = 0.05, broken = 0;
  double more_errors = 0, more_slow = 0, more_wrong = 0, more_broken = 0;
  int from_minute = 3 * 1440, to_minute = 4 * 1440;  ///< of the change
  bool stopped = false;                              ///< then, no request at all
  bool labels = true, latencies = true, outcomes = true, inputs = true;
  int minutes = 4 * 1440;

  std::map<VersionKey, RequestHistory> History() const {
    std::map<VersionKey, RequestHistory> histories;
    Rng rng(11);
    for (int minute = 0; minute < minutes; ++minute) {
      const bool changed = minute >= from_minute && minute < to_minute;
      if (changed && stopped) continue;
      auto draws = [&](double usual, double more) {
        return rng.Uniform() < usual + (changed ? more : 0);
      };
      for (int k = 0; k < 20; ++k) {
        const bool failed = draws(errors, more_errors), late = draws(slow, more_slow);
        const bool missed = draws(wrong, more_wrong), odd = draws(broken, more_broken);
        const float row[] = {static_cast<float>(rng.Uniform()), odd ? 9.0f : 0.5f};
        const std::string_view answer[] = {rng.Uniform() < 0.3 ? "yes" : "no"};
        const std::string_view truth[] = {missed == (answer[0] == "yes") ? "no" : "yes"};
        PredictionEvent event;
        if (inputs) event.features = row;
        event.outcome_known = outcomes;
        event.outcome = failed && outcomes ? StatusCode::kInternal : StatusCode::kOk;
        event.latency_known = latencies;
        event.latency_ns = late ? 500'000'000 : 20'000'000;
        if (!failed) event.predicted = answer;
        if (!failed && labels) event.labels = truth;
        event.unix_ms = kStart + minute * kMinute + k * 3000;
        histories[{"credit", 3}].Add(event);
      }
    }
    return histories;
  }
};

MonitorConfig Asked() {
  MonitorConfig config;
  config.objectives.latency = LatencyObjective{100ms, 0.99};
  config.objectives.accuracy = 0.9;
  config.objectives.quality = {{QualityObjective::Measure::kRecall, "yes", 0.85, 0}};
  config.schema.requests = 1000;
  return config;
}

WatchReport Prove(const Past& past, const MonitorConfig& config = Asked(), bool times_known = true,
                  bool search = false) {
  WatchProof::Options options;
  options.book.SetThresholdFor(1min);
  options.interval = 60s;
  options.times_known = times_known;
  options.search = search;
  return WatchProof(options).Run(past.History(), {{"credit", config}});
}

const QuietWatch& Of(const WatchReport& report, AlarmKind kind) {
  for (const QuietWatch& watch : report.watches) {
    if (watch.subject.kind == kind) return watch;
  }
  ADD_FAILURE() << "nothing of " << AlarmKindName(kind);
  static const QuietWatch none;
  return none;
}

/// Nothing fires but `kind`, and that does as `fires` says.
void ExpectOnly(const WatchReport& report, AlarmKind kind, bool fires) {
  for (const QuietWatch& watch : report.watches) {
    SCOPED_TRACE(AlarmKindName(watch.subject.kind));
    if (watch.subject.kind == kind) {
      EXPECT_EQ(watch.firings > 0, fires);
    } else {
      EXPECT_EQ(watch.firings, 0u) << watch.fired.at(0).summary;
    }
  }
}

TEST(WatchProofTest, AQuietPastIsQuietAndSaysWhatWouldBeFound) {
  SKIP_WHERE_SANITIZED();
  const WatchReport report = Prove({}, Asked(), true, true);
  EXPECT_EQ(report.alarms, 0u);
  EXPECT_NEAR(report.days, 4, 0.01);
  EXPECT_EQ(report.look_seconds, 60);
  ASSERT_EQ(report.watches.size(), 6u);
  for (const QuietWatch& watch : report.watches) {
    SCOPED_TRACE(AlarmKindName(watch.subject.kind));
    EXPECT_EQ(watch.not_replayed, "");
    EXPECT_EQ(watch.firings, 0u);
    ASSERT_TRUE(watch.smallest.has_value()) << watch.none_because;
  }
  const QuietWatch& errors = Of(report, AlarmKind::kErrorBurn);
  EXPECT_NEAR(*errors.usual, 0.001, 0.0004);
  EXPECT_NEAR(*errors.found, *errors.usual + *errors.smallest, 1e-9);
  // Three times the budget over a day, or once over three of which two were well; below 1 % never.
  EXPECT_GT(*errors.smallest, 0.015);
  EXPECT_LT(*errors.smallest, 0.045);
  const QuietWatch& accuracy = Of(report, AlarmKind::kAccuracy);
  EXPECT_NEAR(*accuracy.usual, 0.95, 0.005);
  EXPECT_NEAR(*accuracy.smallest, 0.055, 0.012) << "five points, and what 28,000 labels leave open";
  const QuietWatch& schema = Of(report, AlarmKind::kSchemaViolation);
  EXPECT_GT(*schema.smallest, 0.01) << "which is accepted";
  EXPECT_LT(*schema.smallest, 0.05) << "ten of 200 rows in ten minutes are always found";
  const QuietWatch& traffic = Of(report, AlarmKind::kTrafficStopped);
  EXPECT_EQ(traffic.unit, "seconds");
  EXPECT_GE(*traffic.smallest, 180);
  EXPECT_LE(*traffic.longest, 600) << "three to five minutes, and one of waiting";
}

/// The claim itself: what is told is put into a past of single requests, and found; half of it is not.
TEST(WatchProofTest, ARiseOfTheSizeThatIsToldIsFoundAndHalfOfItIsNot) {
  SKIP_WHERE_SANITIZED();
  const WatchReport told = Prove({}, Asked(), true, true);
  struct Kind {
    AlarmKind kind;
    double Past::*more;
  };
  for (const Kind& of : {Kind{AlarmKind::kErrorBurn, &Past::more_errors},
                         Kind{AlarmKind::kLatencyBurn, &Past::more_slow},
                         Kind{AlarmKind::kSchemaViolation, &Past::more_broken}}) {
    SCOPED_TRACE(AlarmKindName(of.kind));
    const double smallest = *Of(told, of.kind).smallest;
    Past past;
    past.*of.more = smallest * 1.25;
    ExpectOnly(Prove(past), of.kind, true);
    past.*of.more = smallest / 2;
    ExpectOnly(Prove(past), of.kind, false);
  }
  // Recall falls with accuracy, from 89 %.
  Past past;
  past.more_wrong = *Of(told, AlarmKind::kAccuracy).smallest * 1.25;
  EXPECT_EQ(Of(Prove(past), AlarmKind::kAccuracy).firings, 1u);
  past.more_wrong = *Of(told, AlarmKind::kAccuracy).smallest / 2;
  EXPECT_EQ(Of(Prove(past), AlarmKind::kAccuracy).firings, 0u);
}

TEST(WatchProofTest, AnIncidentIsToldWithItsTime) {
  Past past;
  past.more_errors = 0.5;
  past.from_minute = 3 * 1440 + 600;
  past.to_minute = past.from_minute + 40;
  const WatchReport report = Prove(past);
  ExpectOnly(report, AlarmKind::kErrorBurn, true);
  const QuietWatch& errors = Of(report, AlarmKind::kErrorBurn);
  EXPECT_EQ(report.alarms, errors.firings);
  ASSERT_EQ(errors.firings, 1u);
  const QuietFiring& fired = errors.fired.at(0);
  const int64_t begun = kStart + past.from_minute * kMinute;
  EXPECT_GT(fired.unix_ms, begun);
  // Half of what comes in 17 minutes is 14.4 % of an hour's, and it has to be certain.
  EXPECT_LT(fired.unix_ms, begun + 25 * kMinute);
  EXPECT_TRUE(fired.ended);
  EXPECT_GT(fired.seconds, 15 * 60) << "as long as the last five minutes burn, and five more";
  EXPECT_LT(fired.seconds, 40 * 60);
  EXPECT_NE(fired.summary.find("answers failed in the"), std::string::npos) << fired.summary;
}

TEST(WatchProofTest, AStopIsToldWithItsTime) {
  Past past;
  past.stopped = true;
  past.from_minute = 3 * 1440;
  past.to_minute = past.from_minute + 60;
  const WatchReport report = Prove(past);
  ExpectOnly(report, AlarmKind::kTrafficStopped, true);
  const QuietFiring& fired = Of(report, AlarmKind::kTrafficStopped).fired.at(0);
  const int64_t begun = kStart + past.from_minute * kMinute;
  EXPECT_GE(fired.unix_ms, begun + 3 * kMinute);
  EXPECT_LE(fired.unix_ms, begun + 8 * kMinute);
  EXPECT_NEAR(fired.seconds, 3600, 600);
}

TEST(WatchProofTest, WhatAPastCannotTellOfIsNamed) {
  Past past;
  past.labels = past.latencies = past.outcomes = past.inputs = false;
  past.minutes = 300;
  WatchReport report = Prove(past, Asked(), false);
  auto expect = [&](AlarmKind kind, const char* why) {
    SCOPED_TRACE(AlarmKindName(kind));
    EXPECT_NE(Of(report, kind).not_replayed.find(why), std::string::npos)
        << Of(report, kind).not_replayed;
    EXPECT_FALSE(Of(report, kind).smallest.has_value());
  };
  expect(AlarmKind::kErrorBurn, "does not say how requests ended");
  expect(AlarmKind::kLatencyBurn, "does not say how long requests took");
  expect(AlarmKind::kAccuracy, "has no labels");
  expect(AlarmKind::kQuality, "has no labels");
  expect(AlarmKind::kTrafficStopped, "has spread them evenly");
  expect(AlarmKind::kSchemaViolation, "has no inputs");

  past = {};
  past.minutes = 30;
  report = Prove(past, MonitorConfig(), true);
  expect(AlarmKind::kLatencyBurn, "monitoring.objectives.latency");
  expect(AlarmKind::kAccuracy, "monitoring.objectives.accuracy");
  expect(AlarmKind::kQuality, "monitoring.objectives.quality");
  expect(AlarmKind::kSchemaViolation, " of 5000");
  MonitorConfig off;
  off.enabled = false;
  report = Prove(past, off);
  EXPECT_EQ(report.watches.size(), 6u);
  expect(AlarmKind::kErrorBurn, "monitoring.enabled of the model is false");
  off.enabled = true;
  off.objectives.availability = 0;
  off.objectives.traffic = off.schema.enabled = false;
  report = Prove(past, off);
  expect(AlarmKind::kErrorBurn, "availability of the model is 0");
  expect(AlarmKind::kTrafficStopped, "traffic of the model is false");
  expect(AlarmKind::kSchemaViolation, "schema.enabled of the model is false");
}

TEST(WatchProofTest, TooLittleTrafficFindsNothingAndSaysSo) {
  Past past;
  past.minutes = 1;
  const std::map<VersionKey, RequestHistory> many = past.History();
  std::map<VersionKey, RequestHistory> histories;
  std::vector<std::string_view> texts;
  for (int i = 0; i < 8; ++i) {  // less than ten requests in three days
    PredictionEvent event = many.at({"credit", 3}).At(0, texts);
    event.unix_ms = kStart + int64_t{i} * 20 * 60 * kMinute;
    histories[{"credit", 3}].Add(event);
  }
  WatchProof::Options options;
  const WatchReport report = WatchProof(options).Run(histories, {{"credit", Asked()}});
  const QuietWatch& errors = Of(report, AlarmKind::kErrorBurn);
  EXPECT_EQ(errors.not_replayed, "");
  EXPECT_FALSE(errors.smallest.has_value());
  EXPECT_NE(errors.none_because.find("too few come"), std::string::npos) << errors.none_because;
  EXPECT_NE(Of(report, AlarmKind::kTrafficStopped).not_replayed.find("too few requests: 8"),
            std::string::npos);
}

TEST(CountSeriesTest, ThePastRepeatsItself) {
  CountSeries series;
  series.Add(1, {10, 1});
  series.Add(2, {0, 0});
  series.Add(3, {20, 2});
  series.End(5);
  EXPECT_EQ(series.total().total, 30u);
  EXPECT_EQ(series.Between(0, 5).bad, 3u);
  EXPECT_EQ(series.Between(1, 2).total, 10u);
  EXPECT_EQ(series.Between(2, 3).total, 0u);
  EXPECT_EQ(series.Between(3, 7).total, 30u) << "3 and 4, and 0 and 1 again";
  EXPECT_EQ(series.Between(-5, 0).total, 30u);
  EXPECT_EQ(series.Between(-2, 2).total, 30u);
  EXPECT_EQ(series.Between(-12, 13).total, 5 * 30u);
  EXPECT_EQ(series.Between(4, 4).total, 0u);
  EXPECT_EQ(CountSeries().Between(0, 9).total, 0u);
}

}  // namespace
}  // namespace leadsman
