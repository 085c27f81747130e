#include "monitor/drift/quiet_proof.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/rng.h"

namespace leadsman {
namespace {

constexpr int64_t kMinute = 60'000;

/// Twelve days of 50 requests a minute, of which `changed` moves the second of two numbers at the end.
std::map<VersionKey, RequestHistory> History(double days, double shift = 0) {
  std::map<VersionKey, RequestHistory> histories;
  Rng rng(5);
  std::normal_distribution<double> normal;
  const auto minutes = static_cast<int64_t>(days * 1440);
  for (int64_t minute = 0; minute < minutes; ++minute) {
    for (int k = 0; k < 50; ++k) {
      const double moved = minute > minutes * 3 / 4 ? shift : 0;
      const float row[] = {static_cast<float>(normal(rng)),
                           static_cast<float>(10 + 2 * (normal(rng) + moved))};
      const std::string_view answer[] = {rng.Uniform() < 0.3 ? "yes" : "no"};
      PredictionEvent event;
      event.features = row;
      event.predicted = answer;
      event.unix_ms = 1'700'000'000'000 + minute * kMinute + k * 1000;
      histories[{"credit", 3}].Add(event);
    }
  }
  return histories;
}

QuietReport Prove(std::map<VersionKey, RequestHistory> histories) {
  QuietProof proof({1, 90 * 86400.0}, 64);
  return proof.Run(histories, {});
}

const QuietStream& StreamOf(const QuietReport& report, const std::string& name) {
  for (const QuietStream& stream : report.versions.at(0).streams) {
    if (stream.name == name) return stream;
  }
  ADD_FAILURE() << "no stream " << name;
  return report.versions.at(0).streams.at(0);
}

TEST(QuietProofTest, APastWithoutChangeIsQuietAndSaysWhatWouldBeFound) {
  QuietReport report = Prove(History(3));
  EXPECT_EQ(report.alarms, 0u);
  EXPECT_NEAR(report.days, 3 - 100.0 / 1440, 0.02);
  EXPECT_NEAR(report.allowed, report.days / 90, 1e-9);
  ASSERT_EQ(report.versions.size(), 1u);
  const QuietVersion& version = report.versions[0];
  EXPECT_EQ(version.requests, 3u * 1440 * 50);
  EXPECT_NEAR(version.requests_per_day, 72'000, 100);
  EXPECT_EQ(version.reference_rows, 5000u);
  EXPECT_NEAR(static_cast<double>(version.blocks), 3 * 1440 - 100, 5);
  // 1,440 blocks a day find a tenth or a fifth of a deviation; what is below tolerance and error is not.
  const auto shift = StreamOf(report, "f1").smallest;
  ASSERT_TRUE(shift.has_value());
  EXPECT_GE(*shift, 0.1);
  EXPECT_LE(*shift, 0.2);
  EXPECT_EQ(StreamOf(report, "f1").unit, "σ");
  EXPECT_EQ(StreamOf(report, "f1.spread").unit, "spread");
  const auto share = StreamOf(report, "class yes").smallest;
  ASSERT_TRUE(share.has_value());
  EXPECT_LE(*share, 0.1);
}

TEST(QuietProofTest, AChangeInThePastIsAnAlarmOfTheStreamThatHasIt) {
  QuietReport report = Prove(History(1, 0.5));
  EXPECT_EQ(report.alarms, 1u);
  EXPECT_EQ(StreamOf(report, "f1").firings, 1u);
  EXPECT_EQ(StreamOf(report, "f0").firings, 0u);
}

TEST(QuietProofTest, LabelsThatCameWithTheRequestsAreReplayedAsRisk) {
  auto prove = [](double wrong_later) {
    std::map<VersionKey, RequestHistory> histories;
    Rng rng(6);
    constexpr int kMinutes = 2 * 1440;
    for (int i = 0; i < kMinutes * 50; ++i) {
      const double wrong = i > kMinutes * 50 * 3 / 4 ? wrong_later : 0.05;
      const std::string_view answer[] = {rng.Uniform() < 0.3 ? "yes" : "no"};
      const std::string_view truth[] = {(rng.Uniform() < wrong) == (answer[0] == "yes") ? "no"
                                                                                        : "yes"};
      PredictionEvent event;
      event.predicted = answer;
      event.labels = truth;
      event.unix_ms = 1'700'000'000'000 + i * 1200;
      histories[{"credit", 3}].Add(event);
    }
    return Prove(std::move(histories));
  };
  const QuietReport quiet = prove(0.05);
  EXPECT_EQ(quiet.alarms, 0u);
  const QuietStream& risk = StreamOf(quiet, "wrong");
  EXPECT_EQ(risk.kind, AlarmKind::kRiskIncrease);
  EXPECT_EQ(risk.unit, "points");
  ASSERT_TRUE(risk.smallest.has_value());
  EXPECT_LE(*risk.smallest, 0.1);
  ASSERT_EQ(quiet.versions[0].gaps.size(), 1u);
  EXPECT_EQ(quiet.versions[0].gaps[0].kind, AlarmKind::kFeatureDrift);
  EXPECT_NE(quiet.versions[0].gaps[0].why.find("no inputs"), std::string::npos);

  // Of the size that is told: found; within the tolerance: not.
  QuietReport worse = prove(0.05 + *risk.smallest * 1.25);
  EXPECT_EQ(StreamOf(worse, "wrong").firings, 1u);
  ASSERT_EQ(StreamOf(worse, "wrong").fired_ms.size(), 1u);
  EXPECT_GT(StreamOf(worse, "wrong").fired_ms[0], 1'700'000'000'000 + 3 * 43'200'000LL);
  EXPECT_EQ(StreamOf(prove(0.05 + std::min(*risk.smallest / 2, 0.02)), "wrong").firings, 0u);
}

TEST(QuietProofTest, WhyNothingIsGuaranteedIsSaid) {
  MonitorConfig config;
  config.reference.requests = 500;
  QuietProof proof({1, 90 * 86400.0}, 64);
  std::map<VersionKey, RequestHistory> histories = History(0.5);
  const QuietReport report = proof.Run(histories, {{"credit", config}});
  const std::string why = StreamOf(report, "f1").not_guaranteed;
  EXPECT_NE(why.find("its reference has 10 blocks"), std::string::npos) << why;
  EXPECT_NE(why.find("monitoring.reference.requests"), std::string::npos) << why;
  EXPECT_EQ(StreamOf(Prove(History(0.5)), "f1").not_guaranteed, "");
  ASSERT_EQ(report.versions[0].gaps.size(), 1u);
  EXPECT_NE(report.versions[0].gaps[0].why.find("no labels"), std::string::npos);

  config.drift.enabled = false;
  QuietProof off({1, 90 * 86400.0}, 64);
  const QuietReport none = off.Run(histories, {{"credit", config}});
  ASSERT_EQ(none.versions.at(0).gaps.size(), 3u);
  EXPECT_NE(none.versions[0].gaps[0].why.find("drift.enabled"), std::string::npos);
}

TEST(QuietProofTest, LessThanAReferenceIsSaid) {
  QuietReport report = Prove(History(0.05));
  ASSERT_EQ(report.versions.size(), 1u);
  EXPECT_TRUE(report.versions[0].streams.empty());
  EXPECT_EQ(report.versions[0].reference_rows, 3600u);
  EXPECT_EQ(report.versions[0].reference_wanted, 5000u);
  ASSERT_EQ(report.versions[0].gaps.size(), 3u);
  EXPECT_NE(report.versions[0].gaps[0].why.find("3600 of 5000"), std::string::npos);
  EXPECT_TRUE(Prove({}).versions.empty());
}

TEST(RequestHistoryTest, GivesBackWhatItWasGivenInOrderOfTime) {
  RequestHistory history;
  const float row[] = {1, 2};
  const float wider[] = {1, 2, 3};
  const std::string_view answers[] = {"b", "a"};
  PredictionEvent event;
  event.unix_ms = 20;
  event.features = row;
  event.predicted = answers;
  event.score = 0.5f;
  history.Add(event);
  event.unix_ms = 10;
  event.features = wider;
  history.Add(event);
  history.Sort();
  std::vector<std::string_view> buffer;
  EXPECT_EQ(history.At(0, buffer).features.size(), 3u) << "each has its own width";
  PredictionEvent again = history.At(1, buffer);
  EXPECT_EQ(again.unix_ms, 20);
  EXPECT_EQ(again.features[1], 2);
  EXPECT_EQ(again.predicted[1], "a");
  EXPECT_EQ(again.score, 0.5f);
  EXPECT_TRUE(again.labels.empty());
  event.latency_ns = 7;
  event.latency_known = false;
  event.feature_weight = 3;
  event.labels = {answers, 1};
  event.unix_ms = 30;
  history.Add(event);
  again = history.At(2, buffer);
  EXPECT_EQ(again.latency_ns, 7u);
  EXPECT_FALSE(again.latency_known);
  EXPECT_EQ(again.feature_weight, 3);
  ASSERT_EQ(again.labels.size(), 1u);
  EXPECT_EQ(again.labels[0], "b");
  EXPECT_EQ(again.predicted.size(), 2u);
  history.Spread(2, 1000 + 2 * 43'200'000);
  EXPECT_EQ(history.unix_ms(0), 1000);
}

}  // namespace
}  // namespace leadsman
