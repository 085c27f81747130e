#include "monitor/monitor.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <thread>

#include <nlohmann/json.hpp>

#include "base/testing/fake_clock.h"
#include "base/testing/full_disk.h"
#include "base/testing/temp_dir.h"
#include "events/feature_names.h"
#include "events/redactor.h"
#include "monitor/database.h"
#include "monitor/kept_counts.h"
#include "stats/latency_quantile.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

class MonitorTest : public ::testing::Test {
 protected:
  void Open(std::map<std::string, MonitorConfig> models = {}) {
    monitor_.reset();
    auto monitor = Monitor::Create({clock_, registry_}, options_, std::move(models));
    ASSERT_TRUE(monitor.ok()) << monitor.status();
    monitor_ = std::move(*monitor);
  }
  void UseFile() { options_.database = dir_.file("monitor.db"); }

  void Emit(const std::string& id, std::vector<std::string> predicted, int64_t version = 1,
            StatusCode outcome = StatusCode::kOk, std::vector<float> features = {}) {
    std::vector<std::string_view> views(predicted.begin(), predicted.end());
    PredictionEvent event;
    event.model = "digits";
    event.version = version;
    event.version_id = static_cast<uint32_t>(version + 10);
    event.outcome = outcome;
    event.drawn = drawn_;
    event.unix_ms = UnixMillis(clock_.Now());
    event.latency_ns = 1'000'000;
    event.rows = static_cast<uint32_t>(predicted.size());
    event.request_id = id;
    event.predicted = views;
    event.features = features;
    event.score = 0.9f;
    monitor_->Emit(event);
  }
  LabelReceipt Label(const std::string& id, const std::string& label, uint32_t row = 0) {
    return monitor_->AddLabels({GroundTruth{id, row, label, UnixMillis(clock_.Now())}});
  }
  bool Flush() { return monitor_->Flush(20s); }
  double Metric(const std::string& name, const std::vector<std::string>& labels = {}) {
    for (const auto& family : registry_.Collect()) {
      if (family.description->name != name) continue;
      for (const auto& sample : family.samples) {
        if (sample.label_values == labels) return sample.value;
      }
    }
    return std::numeric_limits<double>::quiet_NaN();
  }

  bool drawn_ = false;  ///< of what is emitted
  FakeClock clock_;
  Registry registry_;
  TempDir dir_;
  MonitorOptions options_;
  std::unique_ptr<Monitor> monitor_;
};

TEST_F(MonitorTest, CountsRequestsErrorsAndLatencyPerVersion) {
  Open();
  for (int i = 0; i < 10; ++i) Emit("", {"7"}, 1);
  Emit("", {}, 1, StatusCode::kInternal);
  Emit("", {}, 1, StatusCode::kCancelled);
  Emit("", {"7"}, 2);
  ASSERT_TRUE(Flush());
  VersionTotals one = monitor_->Totals("digits", 1);
  EXPECT_EQ(one.requests, 12u);
  EXPECT_EQ(one.errors, 1u);
  EXPECT_EQ(one.latency[LatencyScheme::Index(1'000'000)], 10u);
  EXPECT_EQ(monitor_->Totals("digits", 2).requests, 1u);
  EXPECT_EQ(monitor_->Totals("digits", 3).requests, 0u);
  EXPECT_EQ(monitor_->counters().events, 13u);
  EXPECT_EQ(Metric("leadsman_monitor_events_total"), 13);
  EXPECT_EQ(Metric("leadsman_monitor_predictions_total", {"digits", "1", "7"}), 10);
}

TEST_F(MonitorTest, CountsWhatTheSplitHasDrawnApart) {
  Open();
  for (int i = 0; i < 10; ++i) Emit("", {"7"});
  Emit("", {}, 1, StatusCode::kInternal);
  drawn_ = true;
  for (int i = 0; i < 4; ++i) Emit("", {"7"});
  Emit("", {}, 1, StatusCode::kInternal);
  ASSERT_TRUE(Flush());
  VersionTotals totals = monitor_->Totals("digits", 1);
  EXPECT_EQ(totals.requests, 16u);
  EXPECT_EQ(totals.errors, 2u);
  EXPECT_EQ(totals.latency[LatencyScheme::Index(1'000'000)], 14u);
  EXPECT_EQ(totals.drawn_requests, 5u);
  EXPECT_EQ(totals.drawn_errors, 1u);
  EXPECT_EQ(totals.drawn_latency[LatencyScheme::Index(1'000'000)], 4u);
}

TEST_F(MonitorTest, ALabelThatComesWithItsPredictionCountsAtOnce) {
  UseFile();
  Open();
  const std::vector<std::string_view> predicted = {"7", "8"}, labels = {"7.0", "7"};
  PredictionEvent event;
  event.model = "digits";
  event.version = 1;
  event.observed = true;
  event.request_id = "r-1";
  event.predicted = predicted;
  event.labels = labels;
  monitor_->Emit(event);
  const std::vector<std::string_view> text = {"none"};
  event.labels = text;  // no number, where the model answers numbers
  monitor_->Emit(event);
  ASSERT_TRUE(Flush());
  VersionTotals totals = monitor_->Totals("digits", 1);
  EXPECT_EQ(totals.labelled, 2u);
  EXPECT_EQ(totals.wrong, 1u);
  EXPECT_EQ(totals.labelled_requests, 1u);
  EXPECT_EQ(Metric("leadsman_monitor_labels_total", {"joined"}), 2);
  EXPECT_EQ(Metric("leadsman_monitor_labels_total", {"mismatched"}), 1);
  ASSERT_EQ(monitor_->Observed().size(), 1u);
  EXPECT_EQ(monitor_->Observed()[0].labelled, 2u);
  Open();  // nothing was kept but the sums
  EXPECT_EQ(monitor_->Totals("digits", 1).wrong, 1u);
}

TEST_F(MonitorTest, TextsAreRedactedBeforeTheyAreCountedOrKept) {
  std::ofstream(dir_.file("key")) << "0123456789abcdef";
  RedactRule rule;
  rule.action = RedactRule::Do::kHash;
  rule.key_file = dir_.file("key");
  auto redactor = Redactor::Create({rule});
  ASSERT_TRUE(redactor.ok()) << redactor.status();
  UseFile();
  auto monitor = Monitor::Create({clock_, registry_, redactor->get()}, options_, {});
  ASSERT_TRUE(monitor.ok()) << monitor.status();
  monitor_ = std::move(*monitor);
  Emit("Zaphod-1", {"Betelgeuse", "7.0"});
  Label("Zaphod-1", "Betelgeuse");
  Label("Zaphod-1", "7", 1);
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->Totals("digits", 1).labelled, 2u);
  EXPECT_EQ(monitor_->Totals("digits", 1).wrong, 0u);
  for (const auto& family : registry_.Collect())
    for (const auto& sample : family.samples)
      for (const std::string& label : sample.label_values) EXPECT_NE(label, "Betelgeuse");
  monitor_.reset();
  size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_.path())) {
    if (!entry.is_regular_file()) continue;
    ++files;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    EXPECT_EQ(bytes.find("Zaphod"), std::string::npos) << entry.path();
    EXPECT_EQ(bytes.find("Betelgeuse"), std::string::npos) << entry.path();
  }
  EXPECT_GE(files, 2u);
}

class DroppedInputTest : public MonitorTest {
 protected:
  void Open(std::vector<std::string> inputs, MonitorConfig config = {}) {
    RedactRule rule;
    rule.field = RedactRule::Of::kInput;
    rule.inputs = std::move(inputs);
    redactor_ = Redactor::Create({rule}).value();
    monitor_.reset();
    auto monitor = Monitor::Create({clock_, registry_, redactor_.get()}, options_,
                                   {{"digits", std::move(config)}});
    ASSERT_TRUE(monitor.ok()) << monitor.status();
    monitor_ = std::move(*monitor);
  }
  /// Requests of three values each, of which the second one is the secret.
  void EmitMany(int count) {
    for (int i = 0; i < count; ++i) {
      clock_.Advance(1s);
      Emit("", {"7"}, 1, StatusCode::kOk, {static_cast<float>(i % 7), 8'675'309, 0.5f});
    }
    ASSERT_TRUE(Flush());
  }
  std::string Told() {
    std::string told = monitor_->ProfileJson("digits", 1).value();
    for (auto& json : {monitor_->DriftJson("digits", 1), monitor_->SchemaJson("digits", 1)})
      told += json.ok() ? *json : "";
    return told;
  }
  size_t Profiled() {
    const auto profile = nlohmann::json::parse(monitor_->ProfileJson("digits", 1).value());
    return profile["features"].size();
  }
  std::unique_ptr<Redactor> redactor_;
};

TEST_F(DroppedInputTest, NothingIsKeptOfAValueByItsPlace) {
  UseFile();
  MonitorConfig config;
  config.reference.from = ReferenceConfig::From::kFirstRequests;
  Open({"[1]"}, config);
  EmitMany(1200);
  EXPECT_EQ(Profiled(), 2u);
  EXPECT_EQ(Told().find("8675309"), std::string::npos) << Told();
  EXPECT_EQ(Told().find("8.675309"), std::string::npos);
  EXPECT_TRUE(monitor_->Notes().empty());
  Open({"[0]"}, config);
  EmitMany(1);
  EXPECT_NE(Told().find("8675309"), std::string::npos) << "so the test can tell";
}

TEST_F(DroppedInputTest, AReferenceFileSaysWhereANameIs) {
  std::ofstream table(dir_.file("reference.csv"));
  table << "age,income,years\n";
  for (int i = 0; i < 600; ++i) table << i % 7 << ',' << 8'675'000 + i << ",0.5\n";
  table.close();
  MonitorConfig config;
  config.reference.from = ReferenceConfig::From::kFile;
  config.reference.path = dir_.file("reference.csv");
  Open({"income", "incme"}, config);
  EmitMany(50);
  EXPECT_EQ(Profiled(), 2u);
  for (const char* gone : {"86753", "8675", "income"})
    EXPECT_EQ(Told().find(gone), std::string::npos) << Told();
  EXPECT_NE(Told().find("years"), std::string::npos);
  ASSERT_EQ(monitor_->Notes().size(), 1u);
  EXPECT_NE(monitor_->Notes()[0].find("the input incme: correct inputs"), std::string::npos);
}

TEST_F(DroppedInputTest, ASchemaFileAsksNothingOfIt) {
  std::ofstream(dir_.file("schema.yaml"))
      << "features:\n- {name: age, type: number, min: 0, max: 9}\n"
         "- {name: income, type: number, min: 0, max: 9}\n- {name: years, type: number, max: 1}\n";
  MonitorConfig config;
  config.schema.from = SchemaConfig::From::kFile;
  config.schema.path = dir_.file("schema.yaml");
  Open({"income"}, config);
  EmitMany(50);
  const auto schema = nlohmann::json::parse(monitor_->SchemaJson("digits", 1).value());
  EXPECT_EQ(Told().find("income"), std::string::npos) << schema.dump(1);
  EXPECT_EQ(schema["violations"].size(), 0u) << schema.dump(1);
}

TEST_F(DroppedInputTest, ANameThatEventsSayHasNoPlace) {
  Open({"income"});
  const auto names = monitor_->NamesOf("digits");
  EXPECT_EQ(names->PlaceOf("age"), 0u);
  EXPECT_FALSE(names->PlaceOf("income"));
  EmitMany(1);
  EXPECT_EQ(Profiled(), 3u) << "what has names comes without it";
}

TEST_F(MonitorTest, WhetherAPredictionWasDrawnSurvivesUntilItsLabel) {
  UseFile();
  Open();
  for (bool drawn : {false, true}) {
    drawn_ = drawn;
    for (const char* id : {"memory", "file"})
      Emit((drawn ? "drawn-" : "named-") + std::string(id), {"7", "7"});
  }
  auto label = [&](const std::string& id) {
    for (uint32_t row : {0, 1}) {
      Label("named-" + id, "8", row);
      Label("drawn-" + id, "8", row);
    }
    ASSERT_TRUE(Flush());
  };
  label("memory");
  VersionTotals totals = monitor_->Totals("digits", 1);
  EXPECT_EQ(totals.wrong, 4u);
  EXPECT_EQ(totals.labelled_requests, 2u);
  EXPECT_EQ(totals.drawn_labelled, 1u);
  EXPECT_EQ(totals.drawn_wrong, 1u);
  Open();  // a new process
  EXPECT_EQ(monitor_->Totals("digits", 1).drawn_wrong, 1u);
  label("file");
  totals = monitor_->Totals("digits", 1);
  EXPECT_EQ(totals.wrong_requests, 4u);
  EXPECT_EQ(totals.drawn_labelled, 2u);
  EXPECT_EQ(totals.drawn_wrong, 2u);
}

TEST_F(MonitorTest, LossesAreCountedOncePerRequestByTheMeasureThatWasAskedFor) {
  UseFile();
  Open();
  monitor_->CountLosses("digits", {LossMetric::kAbsoluteError, 10});
  Emit("named", {"5.5"});
  drawn_ = true;
  Emit("rows", {"5", "100"});
  Emit("far", {"50"});
  Emit("none", {"inf"});
  Label("named", "3.5");
  Label("rows", "6");
  Label("rows", "0", 1);
  Label("far", "20");
  Label("none", "20");
  ASSERT_TRUE(Flush());
  for (const char* when : {"at once", "after a restart"}) {
    const LossTotals losses = monitor_->Totals("digits", 1).losses;
    EXPECT_EQ(losses.all.count, 4u) << when;
    EXPECT_DOUBLE_EQ(losses.all.sum, 0.2 + 0.1 + 1 + 1) << when;
    EXPECT_EQ(losses.drawn.count, 3u) << when;
    EXPECT_DOUBLE_EQ(losses.drawn.squares, 0.01 + 1 + 1) << when;
    EXPECT_EQ(losses.drawn.clipped, 2u) << when;
    EXPECT_EQ(losses.unmeasured, 0u) << when;
    Open();
    EXPECT_EQ(monitor_->Totals("digits", 1).losses, LossTotals{}) << "nobody has asked yet";
    monitor_->CountLosses("digits", {LossMetric::kAbsoluteError, 10});
  }
  monitor_->CountLosses("digits", {LossMetric::kAbsoluteError, 100});
  EXPECT_EQ(monitor_->Totals("digits", 1).losses, LossTotals{}) << "those were of another measure";
  Emit("later", {"7"});
  Label("later", "57");
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->Totals("digits", 1).losses.all.count, 1u);
  EXPECT_DOUBLE_EQ(monitor_->Totals("digits", 1).losses.drawn.sum, 0.5);
}

TEST_F(MonitorTest, AnswersWithoutALossAreCountedApart) {
  Open();
  monitor_->CountLosses("digits", {LossMetric::kAbsoluteError, 10});
  drawn_ = true;
  Emit("text", {"cat"});
  Label("text", "dog");
  drawn_ = false;
  Emit("named", {"cat"});
  Label("named", "dog");
  ASSERT_TRUE(Flush());
  const LossTotals losses = monitor_->Totals("digits", 1).losses;
  EXPECT_EQ(losses.all.count, 0u);
  EXPECT_EQ(losses.unmeasured, 1u);
}

TEST_F(MonitorTest, TheLossesOfAVersionThatMadeRoomGoOnWhenItComesBack) {
  Open();
  monitor_->CountLosses("digits", {LossMetric::kAbsoluteError, 10});
  Emit("a", {"5"});
  Label("a", "6");
  ASSERT_TRUE(Flush());
  monitor_->Forget("digits", 1);
  ASSERT_TRUE(Flush());
  Emit("b", {"5"});
  Label("b", "6");
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->Totals("digits", 1).losses.all.count, 2u);
}

TEST_F(MonitorTest, AFileOfTheFirstSchemaIsTakenOverAsNotDrawn) {
  UseFile();
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(options_.database.c_str(), &db), SQLITE_OK);
  std::string schema = R"sql(
    CREATE TABLE predictions (
      id INTEGER PRIMARY KEY, key INTEGER NOT NULL, request_id TEXT NOT NULL, row INTEGER NOT NULL,
      model TEXT NOT NULL, version INTEGER NOT NULL, predicted TEXT NOT NULL, score REAL NOT NULL,
      at_ms INTEGER NOT NULL, weight REAL NOT NULL, expires_ms INTEGER NOT NULL, label TEXT,
      labelled_ms INTEGER);
    CREATE INDEX predictions_key ON predictions (key);
    CREATE INDEX predictions_expiry ON predictions (expires_ms);
    CREATE TABLE quality_totals (
      model TEXT NOT NULL, version INTEGER NOT NULL, labelled REAL NOT NULL, wrong REAL NOT NULL,
      labelled_requests INTEGER NOT NULL, wrong_requests INTEGER NOT NULL,
      PRIMARY KEY (model, version)) WITHOUT ROWID;
    CREATE TABLE windows (
      model TEXT NOT NULL, version INTEGER NOT NULL, start_ms INTEGER NOT NULL, seconds REAL NOT NULL,
      requests INTEGER NOT NULL, errors INTEGER NOT NULL, latency_p50_seconds REAL NOT NULL,
      latency_p99_seconds REAL NOT NULL, labelled INTEGER NOT NULL, wrong INTEGER NOT NULL,
      predicted TEXT NOT NULL);
    CREATE INDEX windows_start ON windows (start_ms);
    PRAGMA user_version=1;
    INSERT INTO quality_totals VALUES ('digits', 1, 10, 3, 9, 2);)sql";
  EXPECT_EQ(sqlite3_exec(db, schema.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(db);
  for (int start = 0; start < 2; ++start) {
    Open();
    VersionTotals totals = monitor_->Totals("digits", 1);
    EXPECT_EQ(totals.labelled, 10u + start);
    EXPECT_EQ(totals.labelled_requests, 9u + start);
    EXPECT_EQ(totals.drawn_labelled, 0u + start);
    EXPECT_EQ(totals.drawn_wrong, 0u);
    drawn_ = true;
    Emit("r" + std::to_string(start), {"7"});
    Label("r" + std::to_string(start), "7");
    ASSERT_TRUE(Flush());
  }
}

TEST_F(MonitorTest, EventsWithoutAVersionMakeNoProfile) {
  Open();
  PredictionEvent event;
  event.model = "no-such-model";
  event.outcome = StatusCode::kNotFound;
  monitor_->Emit(event);
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->counters().events, 1u);
  EXPECT_FALSE(monitor_->ProfileJson("no-such-model", 0).ok());
}

TEST_F(MonitorTest, WhatIsObservedCountsWithoutAVersionAndInventsNothing) {
  Open();
  PredictionEvent event;
  event.model = "digits";
  event.observed = true;
  event.latency_ns = 3'000'000;
  monitor_->Emit(event);  // all is known
  event.latency_known = false;
  monitor_->Emit(event);
  event.outcome = StatusCode::kUnavailable;
  monitor_->Emit(event);
  event.outcome = StatusCode::kInvalidArgument;
  monitor_->Emit(event);
  event.outcome = StatusCode::kCancelled;
  monitor_->Emit(event);
  event.outcome_known = false;
  event.latency_known = true;
  ASSERT_TRUE(monitor_->TryEmit(event));
  ASSERT_TRUE(Flush());

  VersionTotals totals = monitor_->Totals("digits", 0);
  EXPECT_EQ(totals.requests, 6u);
  EXPECT_EQ(totals.errors, 2u);  // what is not known is neither right nor wrong
  EXPECT_EQ(TotalCount(totals.latency), 2u);
  const std::string name = "leadsman_monitor_requests_total";
  EXPECT_EQ(Metric(name, {"digits", "0", "ok"}), 2);
  EXPECT_EQ(Metric(name, {"digits", "0", "client_error"}), 1);
  EXPECT_EQ(Metric(name, {"digits", "0", "server_error"}), 1);
  EXPECT_EQ(Metric(name, {"digits", "0", "cancelled"}), 1);
  EXPECT_EQ(Metric(name, {"digits", "0", "unknown"}), 1);
  ASSERT_EQ(monitor_->Observed().size(), 1u);
  EXPECT_NEAR(monitor_->Observed()[0].totals.latency_seconds, 0.006, 1e-9);
  EXPECT_TRUE(monitor_->Knows("digits"));
  EXPECT_FALSE(monitor_->Knows("digit"));
}

TEST_F(MonitorTest, OfWhatIsServedHereNothingIsObserved) {
  Open();
  Emit("a", {"1"});
  ASSERT_TRUE(Flush());
  EXPECT_TRUE(monitor_->Observed().empty());
  EXPECT_TRUE(std::isnan(Metric("leadsman_monitor_requests_total", {"digits", "1", "ok"})));
}

TEST_F(MonitorTest, WhoCanWaitIsToldOfAFullRingAndLosesNothing) {
  options_.ring_bytes = 64 << 10;
  Open();
  PredictionEvent event;
  event.model = "digits";
  event.observed = true;
  for (int i = 0; i < 20'000; ++i) {
    while (!monitor_->TryEmit(event)) std::this_thread::yield();
  }
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->Totals("digits", 0).requests, 20'000u);
  EXPECT_EQ(monitor_->counters().events_dropped, 0u);
}

TEST_F(MonitorTest, JoinsLabelsAndCountsWrongOnes) {
  Open();
  for (int i = 0; i < 10; ++i) Emit("r" + std::to_string(i), {"7"});
  ASSERT_TRUE(Flush());
  clock_.Advance(5s);
  for (int i = 0; i < 10; ++i) Label("r" + std::to_string(i), i < 3 ? "8" : "7.0");
  ASSERT_TRUE(Flush());
  VersionTotals totals = monitor_->Totals("digits", 1);
  EXPECT_EQ(totals.labelled, 10u);
  EXPECT_EQ(totals.wrong, 3u);
  EXPECT_EQ(totals.labelled_requests, 10u);
  EXPECT_EQ(totals.wrong_requests, 3u);
  EXPECT_EQ(monitor_->counters().labels_joined, 10u);
  EXPECT_DOUBLE_EQ(Metric("leadsman_monitor_accuracy", {"digits", "1"}), 0.7);
}

TEST_F(MonitorTest, JoinsEveryOneOfSixteenRowsAndRejectsTheNext) {
  Open();
  std::vector<std::string> predicted;
  for (int row = 0; row < 20; ++row) predicted.push_back(std::to_string(row % 10));
  Emit("batch", predicted);
  for (uint32_t row = 0; row < 16; ++row) Label("batch", std::to_string(row % 10), row);
  LabelReceipt beyond = Label("batch", "6", 16);
  ASSERT_TRUE(Flush());
  VersionTotals totals = monitor_->Totals("digits", 1);
  EXPECT_EQ(totals.labelled, 16u);
  EXPECT_EQ(totals.wrong, 0u);
  EXPECT_EQ(totals.labelled_requests, 1u);  // one request is one unit
  EXPECT_EQ(beyond.accepted, 0u);
  ASSERT_EQ(beyond.errors.size(), 1u);
  EXPECT_NE(beyond.errors[0].find("row 16"), std::string::npos);
}

TEST_F(MonitorTest, ALabelMayOvertakeItsPrediction) {
  Open();
  Label("early", "7");
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->counters().labels_pending, 1u);
  clock_.Advance(30s);
  Emit("early", {"7"});
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->counters().labels_pending, 0u);
  EXPECT_EQ(monitor_->Totals("digits", 1).labelled, 1u);
}

TEST_F(MonitorTest, ALabelWithoutPredictionIsUnknownAfterAMinute) {
  Open();
  Label("nobody", "7");
  ASSERT_TRUE(Flush());
  clock_.Advance(61s);
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->counters().labels_unknown, 1u);
  EXPECT_EQ(monitor_->counters().labels_pending, 0u);
}

TEST_F(MonitorTest, TheFirstLabelCountsAndAnotherValueIsAConflict) {
  Open();
  Emit("r", {"7"});
  Label("r", "7");
  Label("r", "7");
  Label("r", "8");
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->counters().labels_joined, 1u);
  EXPECT_EQ(monitor_->counters().labels_duplicate, 2u);
  EXPECT_EQ(monitor_->counters().labels_conflicting, 1u);
  EXPECT_EQ(monitor_->Totals("digits", 1).wrong, 0u);
}

TEST_F(MonitorTest, ALabelAfterTheTimeoutIsLateAndDoesNotCount) {
  MonitorConfig config;
  config.label_timeout = 60s;
  Open({{"digits", config}});
  Emit("r", {"7"});
  ASSERT_TRUE(Flush());
  clock_.Advance(61s);
  Label("r", "8");
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->counters().labels_late, 1u);
  EXPECT_EQ(monitor_->Totals("digits", 1).labelled, 0u);
}

TEST_F(MonitorTest, AJumpOfTheWallClockMakesNoLabelLate) {
  UseFile();
  Open();
  Emit("before", {"7"});
  ASSERT_TRUE(Flush());
  clock_.JumpWall(24h);
  Label("before", "7");
  ASSERT_TRUE(Flush());
  clock_.JumpWall(-48h);
  Emit("after", {"7"});
  Label("after", "7");
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->counters().labels_late, 0u);
  EXPECT_EQ(monitor_->Totals("digits", 1).labelled, 2u);
}

TEST_F(MonitorTest, PredictionsFromTheFutureStillJoinAfterARestart) {
  UseFile();
  Open();
  Emit("r", {"7"});
  ASSERT_TRUE(Flush());
  clock_.JumpWall(-10min);
  Open();
  Label("r", "7");
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->counters().labels_joined, 1u);
}

TEST_F(MonitorTest, PredictionsAndTotalsSurviveARestart) {
  UseFile();
  Open();
  Emit("a", {"7"});
  Emit("b", {"7"});
  Label("a", "8");
  ASSERT_TRUE(Flush());
  Open();
  EXPECT_EQ(monitor_->Totals("digits", 1).labelled, 1u);
  EXPECT_EQ(monitor_->Totals("digits", 1).wrong_requests, 1u);
  Label("b", "7");
  Label("b", "7");
  Label("a", "8");  // labelled before the restart
  ASSERT_TRUE(Flush());
  VersionTotals totals = monitor_->Totals("digits", 1);
  EXPECT_EQ(totals.labelled, 2u);
  EXPECT_EQ(totals.wrong, 1u);
  EXPECT_EQ(monitor_->counters().labels_duplicate, 2u);
}

TEST_F(MonitorTest, EverythingEmittedBeforeTheEndIsWritten) {
  UseFile();
  Open();
  Emit("last", {"7"});
  Open();  // without Flush
  Label("last", "7");
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->counters().labels_joined, 1u);
}

TEST_F(MonitorTest, ExpiredPredictionsAreDeletedFromTheFile) {
  UseFile();
  MonitorConfig config;
  config.label_timeout = 60s;
  Open({{"digits", config}});
  for (int i = 0; i < 10; ++i) Emit("r" + std::to_string(i), {"7"});
  ASSERT_TRUE(Flush());
  clock_.Advance(1h);
  ASSERT_TRUE(Flush());
  monitor_.reset();
  auto database = Database::Open(options_.database, clock_.Now());
  ASSERT_TRUE(database.ok());
  EXPECT_FALSE((*(*database)->Find("r1", 0)).has_value());
}

TEST_F(MonitorTest, BeyondTheRateAShareIsKeptAndWeighted) {
  MonitorConfig config;
  config.max_join_rate_per_second = 1000;
  Open({{"digits", config}});
  constexpr int kRequests = 40'000;
  for (int i = 0; i < kRequests; ++i) {
    Emit("r" + std::to_string(i), {"7"});
    if (i % 1000 == 999) {
      ASSERT_TRUE(Flush());
    }
  }
  for (int i = 0; i < kRequests; ++i) {
    Label("r" + std::to_string(i), i % 5 == 0 ? "8" : "7");
    if (i % 10'000 == 9'999) {
      ASSERT_TRUE(Flush());
    }
  }
  ASSERT_TRUE(Flush());
  VersionTotals totals = monitor_->Totals("digits", 1);
  EXPECT_LT(totals.labelled_requests, 9'000u);
  EXPECT_GT(totals.labelled_requests, 3'000u);
  // Each kept one stands for up to 32 requests: the standard deviation of the sum is about 2 %.
  EXPECT_NEAR(static_cast<double>(totals.labelled), kRequests, 0.1 * kRequests);
  EXPECT_NEAR(static_cast<double>(totals.wrong) / static_cast<double>(totals.labelled), 0.2, 0.04);
}

TEST_F(MonitorTest, CountsOfWatchesAreThereAfterARestart) {
  UseFile();
  Open();
  EXPECT_TRUE(monitor_->counts().TakeStored().empty());
  monitor_->counts().Store({{{"a", "m", 0, "one"}, 17}, {{"a", "n", 0, "two"}, 18}});
  monitor_->counts().Store({{{"a", "m", 0, "three"}, 19}});
  ASSERT_TRUE(Flush());
  Open();
  auto stored = monitor_->counts().TakeStored();
  ASSERT_EQ(stored.size(), 2u);
  EXPECT_EQ(stored[0].counts.model, "m");
  EXPECT_EQ(stored[0].counts.bytes, "three");
  EXPECT_EQ(stored[0].at_ms, 19);
  EXPECT_TRUE(monitor_->counts().TakeStored().empty()) << "once";
  monitor_->counts().Store({{{"a", "n", 0, ""}, 20}});
  Open();  // what is left is written at the end
  EXPECT_EQ(monitor_->counts().TakeStored().size(), 1u);
}

TEST_F(MonitorTest, WithoutADatabaseCountsOfWatchesAreNotKept) {
  Open();
  monitor_->counts().Store({{{"a", "m", 0, "one"}, 17}});
  EXPECT_TRUE(Flush());
  EXPECT_TRUE(monitor_->counts().TakeStored().empty());
}

TEST_F(MonitorTest, WhatWasObservedIsKnownAfterARestartForAsLongAsWindowsAre) {
  UseFile();
  options_.history = std::chrono::hours(24 * 14);
  Open();
  auto emit = [&] {
    PredictionEvent event;
    event.model = "iris";
    event.version = 3;
    event.observed = true;
    event.outcome_known = true;
    monitor_->Emit(event);
    ASSERT_TRUE(Flush());
  };
  emit();
  Emit("", {"7"});
  EXPECT_TRUE(monitor_->Before().empty());
  EXPECT_EQ(monitor_->Observed().at(0).last_seen, clock_.Now());
  const WallTime seen = clock_.Now();
  clock_.Advance(24h);
  Open();
  ASSERT_EQ(monitor_->Before().size(), 1u) << "digits is served here";
  EXPECT_EQ(monitor_->Before()[0].model, "iris");
  EXPECT_EQ(monitor_->Before()[0].version, 3);
  EXPECT_EQ(UnixMillis(monitor_->Before()[0].last_seen), UnixMillis(seen));
  EXPECT_TRUE(monitor_->WasObserved("iris"));
  EXPECT_FALSE(monitor_->WasObserved("digits"));
  const auto versions = monitor_->Versions();
  EXPECT_EQ(
      std::count(versions.begin(), versions.end(), std::pair(std::string("iris"), int64_t{3})), 1)
      << "watches may know something of it";
  emit();
  EXPECT_TRUE(monitor_->Before().empty());
  clock_.Advance(24h * 15);
  ASSERT_TRUE(Flush());
  Open();
  EXPECT_TRUE(monitor_->Before().empty()) << "too long ago";
}

TEST_F(MonitorTest, TellsWhoseLabelsWereNotCompared) {
  Open();
  Emit("a", {"7"});
  Label("a", "seven");
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->counters().labels_mismatched, 1u);
  EXPECT_EQ(monitor_->LabelsMismatched("digits"), 1u);
  EXPECT_EQ(monitor_->LabelsMismatched("iris"), 0u);
}

TEST_F(MonitorTest, ClosesWindowsPerVersionAndKeepsThemOverARestart) {
  UseFile();
  Open();
  auto start = clock_.Now();
  for (int w = 0; w < 3; ++w) {
    for (int i = 0; i <= w; ++i) Emit("", {i == 0 ? "0" : "1"}, 1);
    Emit("", {}, 2, StatusCode::kInternal);
    ASSERT_TRUE(Flush());
    clock_.Advance(10s);
  }
  ASSERT_TRUE(Flush());
  for (int restart = 0; restart < 2; ++restart) {
    auto windows = monitor_->Windows("digits", start - 10s);
    ASSERT_EQ(windows.size(), 2u);
    ASSERT_EQ(windows[1].size(), 3u);
    EXPECT_EQ(windows[1][0].requests, 1u);
    EXPECT_EQ(windows[1][2].requests, 3u);
    EXPECT_EQ(windows[1][2].predicted["1"], 2u);
    EXPECT_DOUBLE_EQ(windows[1][0].seconds, 10);
    EXPECT_NEAR(windows[1][0].latency_p50_seconds, 1e-3, 1.3e-4);
    EXPECT_EQ(windows[2][1].errors, 1u);
    EXPECT_LT(windows[1][0].start, windows[1][1].start);
    EXPECT_EQ(monitor_->Windows("digits", start + 10s)[1].size(), 2u);
    EXPECT_TRUE(monitor_->Windows("other", start).empty());
    Open();
  }
}

TEST_F(MonitorTest, TheOpenWindowSurvivesTheEnd) {
  UseFile();
  Open();
  auto start = clock_.Now();
  Emit("", {"7"});
  clock_.Advance(3s);
  Emit("", {"7"});
  ASSERT_TRUE(Flush());
  Open();
  auto windows = monitor_->Windows("digits", start - 10s)[1];
  ASSERT_EQ(windows.size(), 1u);
  EXPECT_EQ(windows[0].requests, 2u);
  EXPECT_LT(windows[0].seconds, 10);
}

TEST_F(MonitorTest, LabelsCountInTheWindowTheyArriveIn) {
  Open();
  auto start = clock_.Now();
  Emit("r", {"7"});
  ASSERT_TRUE(Flush());
  clock_.Advance(10s);
  Label("r", "8");
  ASSERT_TRUE(Flush());
  clock_.Advance(10s);
  ASSERT_TRUE(Flush());
  auto windows = monitor_->Windows("digits", start - 10s)[1];
  ASSERT_EQ(windows.size(), 2u);
  EXPECT_EQ(windows[0].labelled, 0u);
  EXPECT_EQ(windows[1].labelled, 1u);
  EXPECT_EQ(windows[1].wrong, 1u);
  EXPECT_EQ(windows[1].requests, 0u);
}

TEST_F(MonitorTest, WindowsBeyondTheMemoryComeFromTheFile) {
  UseFile();
  Open();
  auto start = clock_.Now();
  for (int w = 0; w < 2100; ++w) {
    Emit("", {"7"});
    ASSERT_TRUE(Flush());
    clock_.Advance(10s);
  }
  ASSERT_TRUE(Flush());
  auto windows = monitor_->Windows("digits", start - 10s)[1];
  ASSERT_EQ(windows.size(), 2100u);
  for (size_t i = 1; i < windows.size(); ++i) EXPECT_LT(windows[i - 1].start, windows[i].start);
}

TEST_F(MonitorTest, ProfileHoldsWhatWasSeen) {
  Open();
  for (int i = 1; i <= 100; ++i) {
    Emit("", {"7"}, 1, StatusCode::kOk, {static_cast<float>(i), i == 1 ? NAN : 0.5f});
  }
  ASSERT_TRUE(Flush());
  auto text = monitor_->ProfileJson("digits", 1);
  ASSERT_TRUE(text.ok());
  auto json = nlohmann::json::parse(*text);
  ASSERT_EQ(json["features"].size(), 2u);
  auto& f = json["features"][0];
  EXPECT_EQ(f["count"], 100);
  EXPECT_DOUBLE_EQ(f["mean"], 50.5);
  EXPECT_EQ(f["min"], 1);
  EXPECT_EQ(f["max"], 100);
  EXPECT_NEAR(f["quantiles"]["0.5"].get<double>(), 50, 2);
  EXPECT_EQ(json["features"][1]["non_finite"], 1);
  EXPECT_EQ(json["features"][1]["count"], 99);
  EXPECT_EQ(json["predicted"]["7"], 100);
  EXPECT_EQ(json["score"]["histogram"][18], 100);
  EXPECT_EQ(monitor_->ProfileJson("digits", 9).status().code(), StatusCode::kNotFound);
}

TEST_F(MonitorTest, WideInputsAreSampledToABudget) {
  Open();
  EXPECT_EQ(monitor_->FeatureStride(4), 1u);
  EXPECT_EQ(monitor_->FeatureStride(64), 1u);
  EXPECT_EQ(monitor_->FeatureStride(65), 3u);
  EXPECT_EQ(monitor_->FeatureStride(784), 25u);
}

TEST_F(MonitorTest, ASmallRingCountsDropsAndGoesOn) {
  options_.ring_bytes = 4096;
  Open();
  std::vector<float> wide(2000, 1.0f);
  Emit("", {"7"}, 1, StatusCode::kOk, wide);  // without its features
  for (int i = 0; i < 10'000; ++i) Emit("", {"7"});
  ASSERT_TRUE(Flush());
  auto c = monitor_->counters();
  EXPECT_EQ(c.events + c.events_dropped, 10'001u);
  EXPECT_EQ(monitor_->Totals("digits", 1).requests, c.events);
}

TEST_F(MonitorTest, ManyThreadsEmitWhileOthersRead) {
  UseFile();
  MonitorConfig config;
  config.max_join_rate_per_second = 1e9;
  Open({{"digits", config}});
  std::vector<std::thread> threads;
  std::atomic<bool> stop{false};
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        std::string id = std::to_string(t) + "-" + std::to_string(i);
        Emit(id, {"7", "8"}, 1 + i % 3);
        if (i % 4 == 0) Label(id, "7");
      }
    });
  }
  std::thread reader([&] {
    while (!stop) {
      (void)monitor_->Totals("digits", 1);
      (void)monitor_->ProfileJson("digits", 2);
      (void)monitor_->Windows("digits", clock_.Now() - 1h);
      (void)registry_.Collect();
      (void)monitor_->Flush(5s);
      clock_.Advance(100ms);
    }
  });
  for (auto& t : threads) t.join();
  stop = true;
  reader.join();
  ASSERT_TRUE(Flush());
  auto c = monitor_->counters();
  EXPECT_EQ(c.events, 6000u);
  EXPECT_EQ(c.labels_joined, 1500u);
}

TEST_F(MonitorTest, TooManyVersionsAreCountedAsDropped) {
  Open();
  for (int v = 1; v <= 1100; ++v) Emit("", {"7"}, v);
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->counters().events_dropped, 76u);
}

TEST_F(MonitorTest, ANewVersionTakesThePlaceOfTheQuietestOne) {
  UseFile();
  Open();
  auto start = clock_.Now();
  Emit("r", {"7"}, 1);
  Label("r", "7");
  for (int v = 2; v <= 1024; ++v) Emit("", {"7"}, v);
  ASSERT_TRUE(Flush());
  clock_.Advance(5min);
  for (int v = 2; v <= 1024; ++v) Emit("", {"7"}, v);
  Emit("", {"7"}, 2000);
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->Totals("digits", 2000).requests, 1u);
  EXPECT_EQ(monitor_->Totals("digits", 1).requests, 0u);
  EXPECT_EQ(monitor_->counters().events_dropped, 0u);
  EXPECT_EQ(monitor_->Windows("digits", start - 10s)[1].size(), 1u);
  // What labels have said of it is not forgotten, in this process or the next.
  clock_.Advance(5min);
  Emit("", {"7"}, 1);
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->Totals("digits", 1).labelled, 1u);
  Open();
  EXPECT_EQ(monitor_->Totals("digits", 1).labelled, 1u);
}

TEST_F(MonitorTest, OfAForgottenVersionItsQualityAndWindowsStay) {
  UseFile();
  Open();
  auto start = clock_.Now();
  Emit("r", {"7"}, 1);
  Emit("s", {"7"}, 1);
  Label("r", "7");
  monitor_->Forget("digits", 1);
  monitor_->Forget("digits", 5);  // never seen
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->counters().events, 2u) << "what was emitted before counts";
  EXPECT_EQ(monitor_->Totals("digits", 1).requests, 0u);
  EXPECT_EQ(monitor_->ProfileJson("digits", 1).status().code(), StatusCode::kNotFound);
  ASSERT_EQ(monitor_->Windows("digits", start - 10s)[1].size(), 1u);
  EXPECT_EQ(monitor_->Windows("digits", start - 10s)[1][0].requests, 2u);
  // A late label still finds its prediction, and what was known goes on.
  Label("s", "8");
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->Totals("digits", 1).labelled, 2u);
  EXPECT_EQ(monitor_->Totals("digits", 1).wrong, 1u);
}

TEST_F(MonitorTest, NoNumberOfPredictedClassesEverFalls) {
  Open();
  for (int c = 0; c < 40; ++c) Emit("", {std::to_string(c)});
  ASSERT_TRUE(Flush());
  double other = Metric("leadsman_monitor_predictions_total", {"digits", "1", "(other)"});
  EXPECT_EQ(other, 8);
  // These become the most frequent ones.
  for (int i = 0; i < 10; ++i) {
    for (int c = 30; c < 40; ++c) Emit("", {std::to_string(c)});
  }
  ASSERT_TRUE(Flush());
  EXPECT_GE(Metric("leadsman_monitor_predictions_total", {"digits", "1", "(other)"}), other);
  for (int c = 0; c < 32; ++c) {
    EXPECT_GE(Metric("leadsman_monitor_predictions_total", {"digits", "1", std::to_string(c)}), 1);
  }
}

TEST_F(MonitorTest, AFloodOfUnknownLabelsIsWorkedOffInOneFlush) {
  UseFile();
  Open();
  Emit("known", {"7"});
  ASSERT_TRUE(Flush());
  std::vector<GroundTruth> labels;
  for (int i = 0; i < 5000; ++i) labels.push_back({"unknown" + std::to_string(i), 0, "7", 0});
  labels.push_back({"known", 0, "8", 0});
  EXPECT_EQ(monitor_->AddLabels(std::move(labels)).accepted, 5001u);
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->Totals("digits", 1).wrong, 1u);
  EXPECT_EQ(monitor_->counters().labels_pending, 5000u);
}

TEST_F(MonitorTest, BadLabelsAreNamed) {
  Open();
  auto receipt = monitor_->AddLabels(
      {{"", 0, "7", 0}, {"ok", 0, "7", 0}, {"r", 0, "", 0}, {std::string(300, 'x'), 0, "7", 0}});
  EXPECT_EQ(receipt.accepted, 1u);
  EXPECT_EQ(receipt.rejected, 3u);
  ASSERT_EQ(receipt.errors.size(), 3u);
  EXPECT_EQ(receipt.errors[0], "labels[0]: request_id is empty");
  EXPECT_EQ(receipt.errors[1], "labels[2]: label is empty");
  const std::vector<std::string> places = {"events[3].label", "events[7].labels[2]"};
  receipt = monitor_->AddLabels({{"ok", 1, "7", 0}, {"r", 2, "", 0}, {"s", 0, "", 0}}, places);
  ASSERT_EQ(receipt.errors.size(), 2u);
  EXPECT_EQ(receipt.errors[0], "events[7].labels[2]: label is empty");
  EXPECT_EQ(receipt.errors[1], "labels[2]: label is empty") << "of which no place is given";
}

TEST_F(MonitorTest, AFullDiskDegradesToMemoryAndIsMadeUpForLater) {
  UseFile();
  Open();
  Emit("before", {"7"});
  ASSERT_TRUE(Flush());
  {
    FullDisk full(4096);
    for (int i = 0; i < 500; ++i) Emit("full" + std::to_string(i), {"7"});
    EXPECT_FALSE(Flush());
    Label("full1", "8");
    EXPECT_FALSE(Flush());
    EXPECT_EQ(monitor_->Totals("digits", 1).requests, 501u);
    EXPECT_EQ(monitor_->Totals("digits", 1).wrong, 1u);
    EXPECT_GE(monitor_->counters().database_errors, 2u);
    EXPECT_GE(Metric("leadsman_monitor_database_errors_total"), 2);
  }
  ASSERT_TRUE(Flush());
  Open();  // what was kept back is in the file now
  EXPECT_EQ(monitor_->Totals("digits", 1).labelled, 1u);
  Label("full2", "7");
  Label("full1", "8");
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->Totals("digits", 1).labelled, 2u);
  EXPECT_EQ(monitor_->counters().labels_duplicate, 1u);
}

TEST_F(MonitorTest, ADiskThatIsFullAtTheStartKeepsNobodyFromStarting) {
  UseFile();
  {
    FullDisk full(0);
    Open();
    Emit("full", {"7"});
    Label("full", "8");
    EXPECT_FALSE(Flush());
    EXPECT_EQ(monitor_->Totals("digits", 1).wrong, 1u);
    ASSERT_EQ(monitor_->Notes().size(), 1u);
    EXPECT_NE(monitor_->Notes()[0].find("kept in memory and not written since"), std::string::npos);
    EXPECT_EQ(Metric("leadsman_monitor_database_writable"), 0);
  }
  ASSERT_TRUE(Flush());  // there is room again
  EXPECT_TRUE(monitor_->Notes().empty());
  EXPECT_EQ(Metric("leadsman_monitor_database_writable"), 1);
  Open();
  EXPECT_EQ(monitor_->Totals("digits", 1).wrong, 1u) << "it was made up for";
}

TEST_F(MonitorTest, AFullDiskAtTheStartHidesNothingOfBefore) {
  UseFile();
  Open();
  Emit("before", {"7"});
  Emit("later", {"7"});
  Label("before", "8");
  ASSERT_TRUE(Flush());
  monitor_.reset();
  ASSERT_FALSE(std::filesystem::exists(options_.database + "-shm"));
  {
    FullDisk full(0);
    Open();
    EXPECT_EQ(monitor_->Totals("digits", 1).wrong, 1u);
    EXPECT_EQ(monitor_->Totals("digits", 1).labelled_requests_before, 1u);
    Label("later", "7");  // whose prediction lies on the disk
    EXPECT_FALSE(Flush());
    EXPECT_EQ(monitor_->Totals("digits", 1).labelled, 2u);
    EXPECT_EQ(monitor_->Notes().size(), 1u);
  }
  ASSERT_TRUE(Flush());
  Open();
  EXPECT_EQ(monitor_->Totals("digits", 1).labelled, 2u);
  EXPECT_EQ(monitor_->Totals("digits", 1).wrong, 1u);
}

TEST_F(MonitorTest, ADatabaseThatCannotBeOpenedIsAnErrorThatNamesIt) {
  options_.database = dir_.file("no/such/folder/monitor.db");
  auto monitor = Monitor::Create({clock_, registry_}, options_, {});
  ASSERT_FALSE(monitor.ok());
  EXPECT_EQ(monitor.status().code(), StatusCode::kUnavailable);
  EXPECT_NE(monitor.status().message().find("no/such/folder"), std::string::npos);
}

TEST_F(MonitorTest, ABrokenDatabaseIsPutAsideAndANewOneBegun) {
  UseFile();
  std::ofstream(options_.database) << std::string(8192, 'x');
  Open();
  Emit("r", {"7"});
  ASSERT_TRUE(Flush());
  size_t aside = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
    if (entry.path().string().find(".broken-") != std::string::npos) ++aside;
  }
  EXPECT_EQ(aside, 1u);
}

TEST_F(MonitorTest, DamagedPagesDoNotKeepTheServerFromStarting) {
  UseFile();
  Open();
  Emit("r", {"7"});
  Label("r", "8");
  ASSERT_TRUE(Flush());
  monitor_.reset();
  {
    // The first page, with the schema, stays whole.
    std::fstream file(options_.database, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(0, std::ios::end);
    auto size = static_cast<size_t>(file.tellp());
    ASSERT_GT(size, 8192u);
    file.seekp(4096);
    file << std::string(size - 4096, 'x');
  }
  Open();
  Emit("s", {"7"});
  Label("s", "7");
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->Totals("digits", 1).labelled, 1u);
  EXPECT_EQ(monitor_->Totals("digits", 1).wrong, 0u);
}

TEST_F(MonitorTest, MonitoringOfAModelCanBeOff) {
  MonitorConfig config;
  config.enabled = false;
  Open({{"digits", config}});
  Emit("r", {"7"});
  ASSERT_TRUE(Flush());
  EXPECT_EQ(monitor_->Totals("digits", 1).requests, 0u);
}

TEST_F(MonitorTest, FlushGivesUpAfterItsTimeout) {
  Open();
  EXPECT_FALSE(monitor_->Flush(0ms) && monitor_->Flush(-1ms));
}

}  // namespace
}  // namespace leadsman
