#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <set>

#include <nlohmann/json.hpp>

#include "base/fs.h"
#include "base/rng.h"
#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "events/feature_names.h"
#include "monitor/drift/drift_book.h"
#include "monitor/finding.h"
#include "monitor/monitor.h"
#include "support/sanitized.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

/// A model of four numbers, normal with autocorrelation `rho`, that answers "yes" or "no".
struct Traffic {
  explicit Traffic(uint64_t seed, double autocorrelation = 0) : rng(seed), rho(autocorrelation) {}

  PredictionEvent Next() {
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = rho * values[i] + std::sqrt(1 - rho * rho) * normal(rng);
      row[i] = static_cast<float>(40 + 10 * (values[i] + (i == 1 ? shift : 0)));
    }
    answer[0] = rng.Uniform() < yes ? "yes" : "no";
    PredictionEvent event;
    event.model = "credit";
    event.version = 3;
    event.version_id = 7;
    event.features = row;
    event.predicted = answer;
    event.score = static_cast<float>(0.5 + 0.4 * rng.Uniform());
    return event;
  }

  Rng rng;
  std::normal_distribution<double> normal;
  double rho;
  double shift = 0;  ///< of the second number, in standard deviations
  double yes = 0.3;
  std::array<double, 4> values{};
  std::array<float, 4> row{};
  std::array<std::string_view, 1> answer;
};

std::vector<Finding> Wrong(const std::vector<Finding>& findings) {
  std::vector<Finding> wrong;
  for (const Finding& f : findings) {
    if (f.wrong) wrong.push_back(f);
  }
  return wrong;
}

/// A block of 50 requests a minute, straight into the book.
class BookRun {
 public:
  BookRun(Traffic traffic, MonitorConfig config, AlarmBudget budget)
      : traffic_(std::move(traffic)), book_(budget, 64) {
    drift_ = book_.Find({"credit", 3}, config, now_);
  }
  Traffic& traffic() { return traffic_; }
  DriftBook& book() { return book_; }
  /// Alarms that fired; stops at the first if asked to.
  size_t Minutes(size_t minutes, bool until_alarm = false) {
    size_t alarms = 0, before = firing_;
    for (size_t i = 0; i < minutes; ++i) {
      now_ += 1min;
      ++minutes_;
      for (int k = 0; k < 50; ++k) drift_->Fold(traffic_.Next(), {}, now_);
      findings_ = Wrong(book_.Look(now_));
      if (findings_.size() > before) alarms += findings_.size() - before;
      before = firing_ = findings_.size();
      if (until_alarm && alarms > 0) break;
    }
    return alarms;
  }
  /// As many at once as nobody looks at meanwhile.
  void Unseen(size_t minutes) {
    for (size_t i = 0; i < minutes; ++i) {
      now_ += 1min;
      for (int k = 0; k < 50; ++k) drift_->Fold(traffic_.Next(), {}, now_);
    }
    findings_ = Wrong(book_.Look(now_));
  }
  size_t minutes() const { return minutes_; }
  const std::vector<Finding>& findings() const { return findings_; }
  SteadyTime now() const { return now_; }

 private:
  Traffic traffic_;
  DriftBook book_;
  std::shared_ptr<VersionDrift> drift_;
  SteadyTime now_{1h};
  size_t minutes_ = 0;
  size_t firing_ = 0;
  std::vector<Finding> findings_;
};

TEST(DriftSimulationTest, NothingIsFoundWhereNothingChanges) {
  SKIP_WHERE_SANITIZED();
  // Eight weeks of clean traffic to a budget of one false alarm a quarter: 0.6 are allowed.
  for (double rho : {0.0, 0.5}) {
    BookRun run(Traffic(11, rho), {}, {1, 90 * 86400.0});
    EXPECT_EQ(run.Minutes(8 * 7 * 1440 / 4), 0u) << "autocorrelation " << rho;
  }
}

TEST(DriftSimulationTest, WhyABoundIsNotProvenIsSaid) {
  MonitorConfig config;
  config.reference.requests = 600;  // twelve blocks
  BookRun run(Traffic(7), config, {1, 90 * 86400.0});
  run.Minutes(20);
  const auto json = run.book().Json("credit", 3, run.now());
  ASSERT_TRUE(json.ok());
  EXPECT_NE(
      json->find(R"("guaranteed":false,"not_guaranteed_because":"its reference has 12 blocks)"),
      std::string::npos)
      << *json;
  double few = 0, dependent = 0;
  for (const MetricSample& s : run.book().Samples(DriftBook::Metric::kNotGuaranteed, run.now())) {
    ASSERT_EQ(s.label_values.size(), 4u);
    (s.label_values[3] == "few_blocks" ? few : dependent) += s.value;
  }
  EXPECT_GT(few, 0);
  EXPECT_EQ(dependent, 0);

  BookRun long_enough(Traffic(7), {}, {1, 90 * 86400.0});
  long_enough.Minutes(120);
  EXPECT_NE(long_enough.book()
                .Json("credit", 3, long_enough.now())
                ->find(R"("guaranteed":true,"not_guaranteed_because":null)"),
            std::string::npos);
}

TEST(DriftSimulationTest, TheBudgetHoldsEvenWithoutATolerance) {
  SKIP_WHERE_SANITIZED();
  // One alarm a day is accepted; 16 days, each with another reference.
  MonitorConfig config;
  config.drift.tolerance = config.drift.share_tolerance = 0;
  for (double rho : {0.0, 0.5}) {
    size_t alarms = 0;
    for (uint64_t seed = 0; seed < 16; ++seed) {
      BookRun run(Traffic(100 + seed, rho), config, {1, 86400.0});
      run.Minutes(1440);
      alarms += run.book().alarms();  // one alarm may name several streams
    }
    EXPECT_LE(alarms, 20u) << "autocorrelation " << rho << ": 16 are accepted on average";
  }
}

TEST(DriftSimulationTest, AShiftIsFoundAndNamed) {
  BookRun run(Traffic(5), {}, {1, 90 * 86400.0});
  ASSERT_EQ(run.Minutes(300), 0u);
  size_t clean = run.minutes();
  run.traffic().shift = 0.3;
  ASSERT_GT(run.Minutes(400, true), 0u);
  RecordProperty("blocks_until_found", static_cast<int>(run.minutes() - clean));
  EXPECT_LT(run.minutes() - clean, 100u);
  const Finding& found = run.findings().front();
  EXPECT_EQ(found.subject.kind, AlarmKind::kFeatureDrift);
  EXPECT_EQ(found.subject.of, "f1");
  EXPECT_EQ(found.subject.model, "credit");
  EXPECT_EQ(found.severity, AlarmSeverity::kInfo);
  EXPECT_GT(found.evidence, 0);
  EXPECT_GT(found.budget_spent, 0);
  EXPECT_EQ(found.reference_samples, 5000u);
  EXPECT_TRUE(found.guaranteed);
  EXPECT_TRUE(found.summary.starts_with("f1 of credit:3 has moved up by 0.")) << found.summary;
  EXPECT_NE(found.summary.find("to be expected without change"), std::string::npos)
      << found.summary;

  // It stays wrong for as long as the shift does, and ends when the number is back.
  run.Minutes(200);
  EXPECT_FALSE(run.findings().empty());
  run.traffic().shift = 0;
  run.Minutes(100);
  EXPECT_TRUE(run.findings().empty()) << run.findings().front().summary;
}

TEST(DriftSimulationTest, AllThatTheSameBlocksShowIsToldAtOnce) {
  // A file that was read in one go: no later block would bring the others up.
  BookRun run(Traffic(5), {}, {1, 90 * 86400.0});
  ASSERT_EQ(run.Minutes(300), 0u);
  run.traffic().shift = 2;
  run.traffic().yes = 0.9;
  run.Unseen(60);
  std::set<std::string> names;
  for (const Finding& found : run.findings()) names.insert(found.subject.of);
  EXPECT_TRUE(names.contains("f1")) << testing::PrintToString(names);
  EXPECT_TRUE(names.contains("class yes")) << testing::PrintToString(names);
  EXPECT_GE(run.book().alarms(), 2u) << "each takes its part of the budget";
}

TEST(DriftSimulationTest, AShiftOfAFifthOfADeviationIsFound) {
  // Also where half of it is within the tolerance. Numbers of docs/drift.md.
  for (auto [tolerance, at_most] : {std::pair{0.03, 60}, std::pair{0.1, 200}}) {
    MonitorConfig config;
    config.drift.tolerance = tolerance;
    BookRun run(Traffic(6), config, {1, 90 * 86400.0});
    ASSERT_EQ(run.Minutes(200), 0u);
    size_t clean = run.minutes();
    run.traffic().shift = 0.2;
    ASSERT_GT(run.Minutes(2000, true), 0u) << tolerance;
    RecordProperty("blocks_until_found_" + std::to_string(tolerance),
                   static_cast<int>(run.minutes() - clean));
    EXPECT_LE(run.minutes() - clean, static_cast<size_t>(at_most)) << tolerance;
    EXPECT_EQ(run.findings().front().subject.of, "f1");
  }
}

TEST(DriftSimulationTest, AShiftWithinTheToleranceIsNone) {
  MonitorConfig config;
  config.drift.tolerance = 0.1;
  BookRun run(Traffic(7), config, {1, 90 * 86400.0});
  ASSERT_EQ(run.Minutes(200), 0u);
  run.traffic().shift = 0.1;
  EXPECT_EQ(run.Minutes(3000), 0u);
}

TEST(DriftSimulationTest, OtherAnswersAreFound) {
  BookRun run(Traffic(8), {}, {1, 90 * 86400.0});
  ASSERT_EQ(run.Minutes(200), 0u);
  run.traffic().yes = 0.45;
  ASSERT_GT(run.Minutes(400, true), 0u);
  EXPECT_EQ(run.findings().front().subject.kind, AlarmKind::kPredictionDrift);
  EXPECT_EQ(run.findings().front().severity, AlarmSeverity::kTicket);
  EXPECT_TRUE(run.findings().front().subject.of.starts_with("class "));
}

TEST(DriftSimulationTest, ReportsDistancesBesideTheirNoise) {
  BookRun run(Traffic(9), {}, {1, 90 * 86400.0});
  run.Minutes(1);
  EXPECT_EQ(json::parse(*run.book().Json("credit", 3, run.now()))["inputs"]["reference"]["state"],
            "collecting");
  run.Minutes(200);
  json clean = json::parse(*run.book().Json("credit", 3, run.now()));
  const json& f1 = clean.at("inputs").at("numbers").at(1);
  for (const char* name : {"psi", "kolmogorov_smirnov", "jensen_shannon", "wasserstein"}) {
    const json& d = f1.at("distances").at(name);
    EXPECT_GT(d.at("value"), 0) << name;
    EXPECT_LT(d.at("value"), 1.5 * d.at("noise_p99").get<double>()) << name;
  }
  run.traffic().shift = 1;
  run.Minutes(40);
  json moved = json::parse(*run.book().Json("credit", 3, run.now()));
  const json& now = moved.at("inputs").at("numbers").at(1);
  EXPECT_NEAR(now.at("shift"), 1, 0.1);
  EXPECT_NEAR(now.at("distances").at("wasserstein").at("value"), 1, 0.25);
  for (const char* name : {"psi", "kolmogorov_smirnov", "jensen_shannon", "wasserstein"}) {
    const json& d = now.at("distances").at(name);
    EXPECT_GT(d.at("value"), 2 * d.at("noise_p99").get<double>()) << name;
  }
  EXPECT_FALSE(run.book().Json("credit", 4, run.now()).ok());
}

TEST(DriftSimulationTest, MissingValuesAreFound) {
  DriftBook book({1, 90 * 86400.0}, 64);
  SteadyTime now{1h};
  auto drift = book.Find({"credit", 3}, {}, now);
  Traffic traffic(10);
  std::vector<Finding> wrong;
  for (int minute = 0; minute < 400 && wrong.empty(); ++minute) {
    now += 1min;
    for (int k = 0; k < 50; ++k) {
      PredictionEvent event = traffic.Next();
      if (minute > 200 && k % 5 == 0) {
        traffic.row[2] = std::numeric_limits<float>::quiet_NaN();
      }
      drift->Fold(event, {}, now);
    }
    wrong = Wrong(book.Look(now));
    ASSERT_TRUE(minute > 200 || wrong.empty());
  }
  ASSERT_FALSE(wrong.empty());
  EXPECT_EQ(wrong[0].subject.of, "missing");
  EXPECT_NE(wrong[0].summary.find("in the worst of them (f2)"), std::string::npos)
      << wrong[0].summary;
}

TEST(DriftTrackTest, RoomForDetectorsIsAskedForByTheClockAndNotByTheRowsTimes) {
  std::vector<SteadyTime> asked;
  auto admit = [&](size_t, SteadyTime at) {
    asked.push_back(at);
    return false;
  };
  DriftTrack track(DriftTrack::Of::kInputs, {"x"}, {}, {.rows = 1000}, admit);
  const SteadyTime start{240h};
  SteadyTime now = start;
  for (int i = 0; i < 6000; ++i) {
    now += 1s;
    const float row[] = {static_cast<float>(i * 37 % 101)};
    track.Add(row, {}, WallTime(), now, now - 200h);  // of a log of long ago
  }
  EXPECT_TRUE(track.unwatched());
  ASSERT_GE(asked.size(), 3u) << "when the reference was complete, and every 32 blocks";
  EXPECT_GT(asked[0], start);
  EXPECT_TRUE(std::is_sorted(asked.begin(), asked.end()));
}

TEST(DriftBookTest, WhatARequestHeldThatFailedIsNotLookedAt) {
  DriftBook book({1, 90 * 86400.0}, 64);
  auto drift = book.Find({"credit", 3}, {}, SteadyTime{1h});
  Traffic traffic(10);
  PredictionEvent event = traffic.Next();
  event.outcome = StatusCode::kInvalidArgument;
  drift->Fold(event, {}, SteadyTime{1h});
  EXPECT_EQ(std::as_const(*drift).inputs(), nullptr);
  event.outcome_known = false;
  drift->Fold(event, {}, SteadyTime{1h});
  EXPECT_NE(std::as_const(*drift).inputs(), nullptr);
}

TEST(DriftBookTest, AnAlarmEndsWhenItsVersionIsForgotten) {
  BookRun run(Traffic(5), {}, {1, 90 * 86400.0});
  run.Minutes(200);
  run.traffic().shift = 1;
  ASSERT_GT(run.Minutes(400, true), 0u);
  run.book().Forget({"credit", 3});
  EXPECT_TRUE(Wrong(run.book().Look(run.now())).empty());
  EXPECT_FALSE(run.book().Look(run.now()).empty()) << "told as well";
}

TEST(DriftBookTest, ANewVersionFollowsTheStableOne) {
  MonitorConfig config;
  config.reference.from = ReferenceConfig::From::kStable;
  DriftBook book({1, 90 * 86400.0}, 64);
  SteadyTime now{1h};
  Traffic traffic(12);
  auto stable = book.Find({"credit", 3}, config, now);
  for (int i = 0; i < 5000; ++i) stable->Fold(traffic.Next(), {}, now);
  auto next = book.Find({"credit", 4}, config, now);
  ASSERT_TRUE(next->inputs() != nullptr && next->inputs()->reference());
  EXPECT_EQ(next->inputs()->reference()->from, ReferenceFrom::kStable);
  EXPECT_EQ(next->answers().reference()->from, ReferenceFrom::kStable);
}

TEST(DriftBookTest, AModelWithoutAnswersFollowsTheStableOneToo) {
  MonitorConfig config;
  config.reference.from = ReferenceConfig::From::kStable;
  DriftBook book({1, 90 * 86400.0}, 64);
  SteadyTime now{1h};
  Traffic traffic(12);
  auto fold = [&](VersionDrift& version) {
    PredictionEvent event = traffic.Next();
    event.predicted = {};
    event.score = -1;
    version.Fold(event, {}, now);
  };
  book.Find({"credit", 2}, config, now);  // has had no request
  auto stable = book.Find({"credit", 3}, config, now);
  for (int i = 0; i < 5000; ++i) fold(*stable);
  auto next = book.Find({"credit", 4}, config, now);
  ASSERT_TRUE(next->inputs() != nullptr && next->inputs()->reference());
  EXPECT_EQ(next->inputs()->reference()->from, ReferenceFrom::kStable);
  EXPECT_FALSE(next->answers().reference());
}

TEST(DriftBookTest, WhatComesAtOnceIsComparedByItsOwnTimes) {
  DriftBook book({1, 90 * 86400.0}, 64);
  auto drift = book.Find({"credit", 3}, {}, SteadyTime{1h});
  Traffic traffic(16);
  auto fold = [&](int rows, int64_t from_ms) {
    for (int i = 0; i < rows; ++i) {
      PredictionEvent event = traffic.Next();
      event.observed = true;
      event.unix_ms = from_ms + i * 1000;
      drift->Fold(event, FromUnixMillis(1'000'000'000), SteadyTime{1h});
    }
  };
  fold(5000, 1'000'000);
  ASSERT_TRUE(drift->inputs()->reference());
  fold(10'000, 6'000'000);
  EXPECT_EQ(drift->inputs()->looks(), 200u) << "one of 50 rows each";
  EXPECT_NE(drift->inputs()->window(), nullptr);
  fold(1000, 1'000'000);
  EXPECT_EQ(drift->inputs()->looks(), 220u) << "older ones too";
}

TEST(DriftBookTest, EvidenceIsWrittenWhenItHasChanged) {
  BookRun run(Traffic(5), {}, {1, 90 * 86400.0});
  run.Minutes(120);
  auto written = [&] {
    std::vector<std::string> names;
    std::vector<DriftRow> rows;
    run.book().Collect(true, run.now(), rows);
    for (const DriftRow& row : rows) names.push_back(row.what);
    return names;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(written(), (Names{"inputs.reference", "inputs.evidence", "answers.reference",
                              "answers.evidence"}));
  EXPECT_EQ(written(), Names());
  run.Minutes(1);
  EXPECT_EQ(written(), (Names{"inputs.evidence", "answers.evidence"}));
}

TEST(DriftBookTest, AReferenceIsTakenAnewWhileTheOldOneGoesOn) {
  BookRun run(Traffic(13), {}, {1, 90 * 86400.0});
  run.Minutes(110);
  run.traffic().shift = 1;
  ASSERT_GT(run.Minutes(400, true), 0u);
  auto inputs = [&] {
    return json::parse(*run.book().Json("credit", 3, run.now())).at("inputs").at("reference");
  };
  const json before = inputs();
  EXPECT_EQ(run.book().TakeAnew("credit", 3, {}, run.now()), std::vector<int64_t>{3});
  EXPECT_TRUE(run.book().TakeAnew("credit", 4, {}, run.now()).empty());
  run.Minutes(50);
  json next = inputs();
  EXPECT_EQ(next.at("next").at("rows"), 2500);
  next.erase("next");
  EXPECT_EQ(next, before);
  EXPECT_FALSE(run.findings().empty()) << "still wrong by the old one";
  run.Minutes(60);
  EXPECT_FALSE(inputs().contains("next"));
  EXPECT_TRUE(run.findings().empty()) << "this is usual now";
  run.traffic().shift = 0;
  EXPECT_GT(run.Minutes(400, true), 0u);
}

TEST(DriftBookTest, AWindowFollowsAsLongAsNothingIsWrong) {
  MonitorConfig config;
  config.reference.from = ReferenceConfig::From::kWindow;
  config.reference.requests = 2000;
  config.reference.period = std::chrono::hours(1);  // 60 blocks of 50: 3000 requests
  BookRun run(Traffic(14), config, {1, 90 * 86400.0});
  auto reference = [&] {
    return json::parse(*run.book().Json("credit", 3, run.now())).at("inputs").at("reference");
  };
  run.Minutes(70);
  EXPECT_EQ(reference().at("from"), "window");
  EXPECT_EQ(reference().at("rows"), 3001) << "the hour is over with the 61st minute";
  const json taken = reference().at("next");
  EXPECT_LT(taken.at("rows"), 600);
  // A step is found, and does not become usual.
  run.traffic().shift = 1;
  ASSERT_GT(run.Minutes(60, true), 0u);
  run.Minutes(300);
  EXPECT_FALSE(run.findings().empty());
  EXPECT_EQ(reference().at("next").at("rows"), 0);
}

TEST(DriftBookTest, IsBounded) {
  DriftBook book({1, 90 * 86400.0}, 64);
  SteadyTime now{1h};
  for (int v = 1; v <= 256; ++v) ASSERT_TRUE(book.Find({"m", v}, {}, now));
  EXPECT_FALSE(book.Find({"m", 257}, {}, now)) << "all are busy";
  EXPECT_EQ(book.refused(), 1u);
  auto first = book.Find({"m", 1}, {}, now);
  EXPECT_TRUE(book.Find({"m", 257}, {}, now + 2min)) << "one has been quiet";
  EXPECT_TRUE(first->retired);
}

TEST(DriftBookTest, SoManyDetectorsAndNoMoreWhereverTheyGrow) {
  MonitorConfig config;
  config.reference.requests = 500;
  DriftBook book({1, 90 * 86400.0}, 64);
  SteadyTime now{1h};
  std::vector<std::shared_ptr<VersionDrift>> versions;
  for (int v = 1; v <= 20; ++v) versions.push_back(book.Find({"m", v}, config, now));
  Rng rng(3);
  std::array<float, 64> row{};
  auto learn = [&](VersionDrift& version) {
    for (int i = 0; i < 2000; ++i) {  // every fourth is looked at
      for (float& value : row) value = static_cast<float>(rng.Uniform());
      PredictionEvent event;
      event.features = row;
      version.Fold(event, {}, now);
    }
  };
  // 64 means, 64 spreads and one for what is missing.
  for (auto& version : versions) learn(*version);
  size_t detectors = 0, unwatched = 0;
  for (auto& version : versions) {
    detectors += version->inputs()->streams().size();
    unwatched += version->inputs()->unwatched() ? 1 : 0;
  }
  EXPECT_EQ(detectors, 15u * 129);
  EXPECT_EQ(unwatched, 5u);
  EXPECT_EQ(book.refused(), 5u);
  EXPECT_EQ(json::parse(*book.Json("m", 20, now)).at("inputs").at("unwatched"), true);
  // One that has been quiet makes room.
  now += 2min;
  for (size_t i = 1; i < 19; ++i) versions[i]->last_used = now;
  for (int i = 0; i < 40; ++i, now += 1s) {
    for (int k = 0; k < 4 * 50; ++k) {
      PredictionEvent event;
      event.features = row;
      versions[19]->Fold(event, {}, now);
    }
  }
  EXPECT_FALSE(versions[19]->inputs()->unwatched());
  EXPECT_TRUE(versions[0]->retired);
}

/// Through the monitor, a block of 50 requests a second.
class DriftMonitorTest : public ::testing::Test {
 protected:
  void Open(MonitorConfig config = {}) {
    watch_.reset();
    monitor_.reset();
    options_.database = dir_.file("monitor.db");
    auto monitor = Monitor::Create({clock_, registry_}, options_, {{"credit", config}});
    ASSERT_TRUE(monitor.ok()) << monitor.status();
    monitor_ = std::move(*monitor);
    watch_ = monitor_->MakeDriftWatch();
  }
  void Seconds(size_t seconds, bool labels = false, double wrong = 0.1) {
    for (size_t i = 0; i < seconds; ++i) {
      clock_.Advance(2s);
      for (int k = 0; k < 50; ++k) {
        PredictionEvent event = traffic_.Next();
        std::string id = StrCat("r", ++id_);
        if (labels) event.request_id = id;
        event.unix_ms = UnixMillis(clock_.Now());
        monitor_->Emit(event);
        if (!labels) continue;
        bool is_wrong = traffic_.rng.Uniform() < wrong;
        std::string label = is_wrong ? "neither" : std::string(traffic_.answer[0]);
        monitor_->AddLabels({GroundTruth{id, 0, label, UnixMillis(clock_.Now())}});
      }
      ASSERT_TRUE(monitor_->Flush(20s));
    }
  }
  std::vector<Finding> Look() { return Wrong(watch_->Look(clock_.Now(), clock_.SteadyNow())); }
  json Drift() {
    auto text = monitor_->DriftJson("credit", 3);
    EXPECT_TRUE(text.ok()) << text.status();
    return text.ok() ? json::parse(*text) : json();
  }
  double Metric(const std::string& name, const std::vector<std::string>& labels) {
    for (const auto& family : registry_.Collect()) {
      if (family.description->name != name) continue;
      for (const auto& sample : family.samples) {
        if (sample.label_values == labels) return sample.value;
      }
    }
    return std::numeric_limits<double>::quiet_NaN();
  }

  FakeClock clock_;
  Registry registry_;
  TempDir dir_;
  MonitorOptions options_;
  std::unique_ptr<Monitor> monitor_;
  std::unique_ptr<Watch> watch_;
  Traffic traffic_{21};
  uint64_t id_ = 0;
};

TEST_F(DriftMonitorTest, ARestartKeepsReferenceAndEvidence) {
  Open();
  Seconds(130);
  EXPECT_EQ(Drift().at("inputs").at("reference").at("rows"), 5000);
  traffic_.shift = 0.5;
  Seconds(8);
  auto evidence = [&] {
    return Drift().at("inputs").at("streams").at(2).at("evidence").get<double>();
  };
  json before = Drift();
  double gathered = evidence();
  EXPECT_GT(gathered, 0);
  Open();
  json after = Drift();
  EXPECT_EQ(after.at("inputs").at("reference"), before.at("inputs").at("reference"));
  EXPECT_EQ(after.at("inputs").at("blocks_seen"), before.at("inputs").at("blocks_seen"));
  Seconds(1);
  EXPECT_GT(evidence(), gathered) << "goes on where it was";
  for (int i = 0; i < 100 && Look().empty(); ++i) Seconds(1);
  ASSERT_FALSE(Look().empty());
  EXPECT_EQ(Look()[0].subject.of, "f1");
  Open();
  EXPECT_FALSE(Look().empty()) << "an alarm too";
}

/// Requests that name their values, in whatever order.
class NamedDriftTest : public DriftMonitorTest {
 protected:
  using Names = std::vector<std::string>;

  /// Values are those of traffic_: "age" the first, "income" the second, as many as named.
  void Named(size_t seconds, const Names& order) {
    const Names all{"age", "income", "debt", "years"};
    for (size_t i = 0; i < seconds; ++i) {
      clock_.Advance(2s);
      for (int k = 0; k < 50; ++k) {
        PredictionEvent event = traffic_.Next();
        std::vector<float> row;
        for (const std::string& name : order) {
          const size_t place = monitor_->NamesOf("credit")->PlaceOf(name).value_or(99);
          if (row.size() <= place) row.resize(place + 1, std::numeric_limits<float>::quiet_NaN());
          const auto of = std::find(all.begin(), all.end(), name) - all.begin();
          row[place] = traffic_.row[static_cast<size_t>(of)] + 1000 * static_cast<float>(of);
        }
        event.features = row;
        event.unix_ms = UnixMillis(clock_.Now());
        monitor_->Emit(event);
      }
      ASSERT_TRUE(monitor_->Flush(20s));
    }
  }
  Names NumberNames() {
    Names names;
    const json drift = Drift();
    for (const json& number : drift.at("inputs").at("numbers")) names.push_back(number.at("name"));
    return names;
  }
  MonitorConfig WithTable(const std::string& header, const std::vector<size_t>& values) {
    MonitorConfig config;
    config.reference.from = ReferenceConfig::From::kFile;
    config.reference.path = dir_.file("train.csv");
    std::string text = header + '\n';
    for (int i = 0; i < 2000; ++i) {
      traffic_.Next();
      for (size_t k = 0; k < values.size(); ++k) {
        text += StrCat(k > 0 ? "," : "", std::to_string(traffic_.row[values[k]] +
                                                        1000 * static_cast<float>(values[k])));
      }
      text += '\n';
    }
    EXPECT_TRUE(WriteFileAtomically(config.reference.path, text).ok());
    return config;
  }
};

TEST_F(NamedDriftTest, ARestartThatMeetsTheNamesInAnotherOrderComparesTheSameValues) {
  Open();
  Named(110, {"age", "income", "debt"});
  EXPECT_EQ(NumberNames(), (Names{"age", "income", "debt"}));
  Open();
  Named(20, {"debt", "age", "income"});
  EXPECT_TRUE(Look().empty());
  EXPECT_EQ(NumberNames(), (Names{"age", "income", "debt"}));
  traffic_.shift = 1;
  for (int i = 0; i < 100 && Look().empty(); ++i) Named(1, {"debt", "age", "income"});
  ASSERT_FALSE(Look().empty());
  EXPECT_EQ(Look()[0].subject.of, "income");
}

TEST_F(NamedDriftTest, AReferenceOfPlacesIsToldOfOnceRequestsNameTheirValues) {
  Open();
  Seconds(110);
  EXPECT_FALSE(Drift().at("inputs").contains("by_places"));
  Named(1, {"debt", "age"});
  EXPECT_EQ(Drift().at("inputs").value("by_places", false), true);
  Open();
  Named(1, {"debt", "age"});
  EXPECT_EQ(Drift().at("inputs").value("by_places", false), true) << "as after an upgrade";
  ASSERT_TRUE(monitor_->TakeReferenceAnew("credit", std::nullopt).ok());
  Named(110, {"debt", "age"});
  EXPECT_FALSE(Drift().at("inputs").contains("by_places")) << Drift().at("inputs").at("reference");
}

TEST_F(NamedDriftTest, ANameThatComesLaterIsInTheReferenceThatIsBeingCollected) {
  Open();
  Named(50, {"age"});
  Named(60, {"income", "age"});
  EXPECT_EQ(NumberNames(), (Names{"age", "income"}));
  Named(1, {"years", "income", "age"});
  EXPECT_EQ(Drift().at("inputs").at("not_compared"), (json{"years"}));
  EXPECT_EQ(Drift().at("inputs").at("wider_requests"), 50);
  EXPECT_EQ(Metric("leadsman_monitor_drift_wider_requests_total", {"credit", "3"}), 50);
}

TEST_F(NamedDriftTest, ColumnsOfAFileAreFoundByName) {
  MonitorConfig config = WithTable("income,age,debt", {1, 0, 2});
  Open(config);
  Named(20, {"age", "income", "years"});
  EXPECT_TRUE(Look().empty()) << "a column that no request has is not missing";
  EXPECT_EQ(Drift().at("inputs").at("never_seen"), (json{"debt"}));
  EXPECT_EQ(Drift().at("inputs").at("not_compared"), (json{"years"}));

  // The file in another order after a restart.
  config = WithTable("debt,age,income", {2, 0, 1});
  Open(config);
  Named(20, {"income", "age", "years"});
  EXPECT_TRUE(Look().empty());
  traffic_.shift = 1;
  for (int i = 0; i < 100 && Look().empty(); ++i) Named(1, {"age", "income", "years"});
  ASSERT_FALSE(Look().empty());
  EXPECT_EQ(Look()[0].subject.of, "income");
}

TEST_F(NamedDriftTest, AValueOfTheFileThatRequestsHadAndLoseIsMissing) {
  Open(WithTable("age,income", {0, 1}));
  Named(5, {"age", "income"});
  for (int i = 0; i < 100 && Look().empty(); ++i) Named(1, {"age"});
  ASSERT_FALSE(Look().empty());
  EXPECT_EQ(Look()[0].subject.of, "missing");
  EXPECT_NE(Look()[0].summary.find("(income)"), std::string::npos) << Look()[0].summary;
  auto income = [this] {
    const json streams = Drift().at("inputs").at("streams");
    return *std::find_if(streams.begin(), streams.end(),
                         [](const json& stream) { return stream.at("name") == "income"; });
  };
  Named(100, {"age"});  // what it was before is not what it is now
  EXPECT_TRUE(income().at("now").is_null()) << income();
  EXPECT_GT(income().at("rows_without_it"), 0);
}

TEST_F(NamedDriftTest, ASchemaIsOfNamesToo) {
  MonitorConfig config;
  config.schema.requests = 500;
  Open(config);
  Named(20, {"age", "income"});
  auto schema = [&] { return json::parse(*monitor_->SchemaJson("credit", 3)); };
  EXPECT_EQ(schema().at("schema").at("features").at(1).at("name"), "income");
  Open(config);
  Named(20, {"income", "age"});
  EXPECT_LT(schema().at("violating_rows"), 20) << schema().dump(2);  // of 1000, normal ones
  Named(1, {"income", "age", "years"});
  EXPECT_EQ(schema().at("violations").at(0).at("feature"), "years");
  EXPECT_EQ(schema().at("violations").at(0).at("rule"), "unexpected");
}

TEST_F(DriftMonitorTest, MoreWrongAnswersThanInTheReferenceArePaged) {
  Open();
  Seconds(60, true);
  EXPECT_TRUE(Look().empty());
  EXPECT_EQ(Drift().at("labels").at("reference").at("state"), "ready");
  for (int i = 0; i < 150 && Look().empty(); ++i) Seconds(1, true, 0.3);
  auto wrong = Look();
  ASSERT_FALSE(wrong.empty());
  EXPECT_EQ(wrong[0].subject.kind, AlarmKind::kRiskIncrease);
  EXPECT_EQ(wrong[0].severity, AlarmSeverity::kPage);
  EXPECT_TRUE(wrong[0].summary.starts_with(
      "answers of credit:3 are wrong more often than in the reference: "))
      << wrong[0].summary;
}

TEST_F(DriftMonitorTest, MetricsTellDistanceFloorAndEvidence) {
  Open();
  Seconds(50);
  EXPECT_EQ(Metric("leadsman_monitor_reference_ready", {"credit", "3", "inputs"}), 0);
  EXPECT_EQ(Metric("leadsman_monitor_reference_rows", {"credit", "3", "inputs"}), 2500);
  Seconds(90);
  EXPECT_EQ(Metric("leadsman_monitor_reference_ready", {"credit", "3", "inputs"}), 1);
  std::vector<std::string> psi{"credit", "3", "inputs", "f1", "psi"};
  EXPECT_GT(Metric("leadsman_monitor_drift_distance", psi), 0);
  EXPECT_GT(Metric("leadsman_monitor_drift_noise_floor", psi), 0);
  EXPECT_GE(Metric("leadsman_monitor_drift_evidence_ratio", {"credit", "3", "inputs", "f1"}), 0);
}

TEST_F(DriftMonitorTest, AFileIsTheReferenceFromTheFirstRequestOn) {
  MonitorConfig config;
  config.reference.from = ReferenceConfig::From::kFile;
  config.reference.path = dir_.file("train.csv");
  std::string text = "age,income,debt,years\n";
  for (int i = 0; i < 2000; ++i) {
    traffic_.Next();
    for (size_t k = 0; k < 4; ++k)
      text += StrCat(k > 0 ? "," : "", std::to_string(traffic_.row[k]));
    text += '\n';
  }
  ASSERT_TRUE(WriteFileAtomically(config.reference.path, text).ok());
  Open(config);
  traffic_.shift = 1;
  for (int i = 0; i < 100 && (i == 0 || Look().empty()); ++i) Seconds(1);
  ASSERT_FALSE(Look().empty());
  EXPECT_EQ(Look()[0].subject.of, "income");
  EXPECT_EQ(Drift().at("inputs").at("reference").at("from"), "file");
}

TEST_F(DriftMonitorTest, AFileThatCannotBeReadSwitchesOffTheInputsOfItsModel) {
  MonitorConfig config;
  config.reference.from = ReferenceConfig::From::kFile;
  config.reference.path = dir_.file("train.csv");
  ASSERT_TRUE(WriteFileAtomically(config.reference.path, "age,income\n1,2\n3,much\n").ok());
  Open(config);
  Seconds(110);
  const json reference = Drift().at("inputs").at("reference");
  EXPECT_EQ(reference.at("state"), "failed");
  const std::string reason = reference.at("reason");
  EXPECT_NE(reason.find("line 3, column income: much is no number"), std::string::npos) << reason;
  EXPECT_EQ(Drift().at("answers").at("reference").at("state"), "ready");
  EXPECT_EQ(Metric("leadsman_monitor_reference_unreadable", {"credit"}), 1);
  ASSERT_EQ(monitor_->Notes().size(), 1u);
  EXPECT_FALSE(monitor_->TakeReferenceAnew("credit", std::nullopt).ok());

  std::string text = "age,income,debt,years\n";
  for (int i = 0; i < 500; ++i) text += StrCat(i % 7, ",", i % 5, ",", i % 3, ",", i % 2, "\n");
  ASSERT_TRUE(WriteFileAtomically(config.reference.path, text).ok());
  ASSERT_TRUE(monitor_->TakeReferenceAnew("credit", std::nullopt).ok());
  EXPECT_EQ(Drift().at("inputs").at("reference").at("from"), "file");
  EXPECT_TRUE(monitor_->Notes().empty());
}

TEST_F(DriftMonitorTest, WhatIsKeptOfAVersionGoesWhenItHasBeenGoneForLong) {
  Open();
  Seconds(110);
  monitor_->Forget("credit", 3);
  ASSERT_TRUE(monitor_->Flush(20s));
  clock_.Advance(24h);
  Open();
  EXPECT_EQ(monitor_->DriftVersions("credit"), std::vector<int64_t>{3}) << "it may come back";
  Seconds(1);
  clock_.Advance(91 * 24h);
  Open();
  EXPECT_EQ(monitor_->DriftVersions("credit"), std::vector<int64_t>{3}) << "it has";
  clock_.Advance(91 * 24h);
  Open();
  EXPECT_TRUE(monitor_->DriftVersions("credit").empty());
  EXPECT_TRUE(monitor_->SchemaVersions("credit").empty());
}

TEST_F(DriftMonitorTest, CanBeSwitchedOff) {
  MonitorConfig config;
  config.drift.enabled = false;
  Open(config);
  Seconds(1);
  EXPECT_FALSE(monitor_->DriftJson("credit", 3).ok());
  EXPECT_TRUE(monitor_->ProfileJson("credit", 3).ok());
}

}  // namespace
}  // namespace leadsman
