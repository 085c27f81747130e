#include "monitor/schema/schema_book.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/fs.h"
#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "monitor/monitor.h"
#include "monitor/schema/schema_watch.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals
using Json = nlohmann::json;

class SchemaBookTest : public testing::Test {
 protected:
  SchemaBookTest() {
    config_.schema.requests = 200;
    config_.schema.margin = 0;
  }
  void Open(const std::string& database = "") {
    monitor_.reset();
    MonitorOptions options;
    options.database = database;
    auto monitor = Monitor::Create({clock_, registry_}, options, {{"credit", config_}});
    ASSERT_TRUE(monitor.ok()) << monitor.status();
    monitor_ = std::move(*monitor);
  }
  void Send(std::vector<float> features, int times = 1, StatusCode outcome = StatusCode::kOk,
            int64_t version = 3) {
    PredictionEvent event;
    event.model = "credit";
    event.version = version;
    event.version_id = static_cast<uint32_t>(version);
    event.features = features;
    event.outcome = outcome;
    for (int i = 0; i < times; ++i) monitor_->Emit(event);
    ASSERT_TRUE(monitor_->Flush(10s));
  }
  /// Both extremes more than once, so that no row is expected beyond them.
  void Learn() {
    Send({18, 0.5f}, 100);
    Send({95, 1.5f}, 100);
  }
  Json Shown(int64_t version = 3) {
    auto json = monitor_->SchemaJson("credit", version);
    EXPECT_TRUE(json.ok()) << json.status();
    return json.ok() ? Json::parse(*json) : Json();
  }
  Finding Look(Watch& watch, Duration later = 10s) {
    clock_.Advance(later);
    auto findings = watch.Look(clock_.Now(), clock_.SteadyNow());
    EXPECT_EQ(findings.size(), 1u);
    return findings.empty() ? Finding() : findings[0];
  }

  TempDir dir_;
  FakeClock clock_;
  Registry registry_;
  MonitorConfig config_;
  std::unique_ptr<Monitor> monitor_;
};

TEST_F(SchemaBookTest, FirstRequestsMakeASchemaThatLaterOnesAreHeldAgainst) {
  Open();
  Send({40, 1}, 150);
  Json collecting = Shown();
  EXPECT_EQ(collecting["state"], "collecting");
  EXPECT_EQ(collecting["rows"], 150);
  EXPECT_EQ(collecting["of"], 200);
  Send({-1, 99}, 100, StatusCode::kInvalidArgument);  // refused: no example of what is right
  Send({18, 0.5f}, 25);
  Send({95, 1.5f}, 25);
  Json frozen = Shown();
  EXPECT_EQ(frozen["state"], "frozen");
  EXPECT_EQ(frozen["from"], "first_requests");
  EXPECT_EQ(frozen["rows"], 0);
  EXPECT_EQ(frozen["schema"]["features"][0]["type"], "integer");
  EXPECT_EQ(frozen["schema"]["features"][1]["max"], 1.5);
  Send({96, 1}, 2);
  Send({20, std::numeric_limits<float>::quiet_NaN()});
  Send({20, 1});
  Json broken = Shown();
  EXPECT_EQ(broken["rows"], 4);
  EXPECT_EQ(broken["violating_rows"], 3);
  ASSERT_EQ(broken["violations"].size(), 2u);
  EXPECT_EQ(broken["violations"][0]["feature"], "f0");
  EXPECT_EQ(broken["violations"][0]["rule"], "range");
  EXPECT_EQ(broken["violations"][0]["expected"], "must be from 18 to 95");
  EXPECT_EQ(broken["violations"][0]["count"], 2);
  EXPECT_TRUE(broken["violations"][0]["first"].is_string());
}

TEST_F(SchemaBookTest, ItIsKeptOverARestart) {
  Open(dir_.file("monitor.db"));
  Learn();
  const Json before = Shown()["schema"];
  Open(dir_.file("monitor.db"));
  EXPECT_EQ(Shown()["schema"], before);
  Send({1000, 1}, 300);
  EXPECT_EQ(Shown()["violating_rows"], 300);
  EXPECT_EQ(Shown()["schema"], before);
}

TEST_F(SchemaBookTest, AFileHoldsForAllVersionsAndGoesBeforeWhatWasKept) {
  Open(dir_.file("monitor.db"));
  Learn();
  ASSERT_TRUE(WriteFileAtomically(dir_.file("s.yaml"),
                                  "features:\n  - {name: age, type: integer, min: 0, max: 1000}\n"
                                  "  - {name: income, type: number}\n")
                  .ok());
  config_.schema.from = SchemaConfig::From::kFile;
  config_.schema.path = dir_.file("s.yaml");
  Open(dir_.file("monitor.db"));
  Send({1000, 1});
  Send({-1, 1});
  EXPECT_EQ(Shown()["from"], "file");
  EXPECT_EQ(Shown()["violations"][0]["feature"], "age");
  Send({-1, 1}, 1, StatusCode::kOk, 4);
  EXPECT_EQ(Shown(4)["violating_rows"], 1);
  EXPECT_EQ(monitor_->SchemaVersions("credit"), (std::vector<int64_t>{3, 4}));
}

TEST_F(SchemaBookTest, AFileThatCannotBeReadKeepsNothingFromBeingServed) {
  auto unreadable = [this] {
    for (const auto& family : registry_.Collect())
      if (family.description->name == "leadsman_monitor_schema_unreadable")
        return family.samples.size();
    return size_t{99};
  };
  config_.schema.from = SchemaConfig::From::kFile;
  config_.schema.path = dir_.file("s.yaml");
  ASSERT_TRUE(WriteFileAtomically(config_.schema.path, "features:\n  - {nme: age}\n").ok());
  Open(dir_.file("monitor.db"));
  Send({-1, 1}, 300);
  EXPECT_EQ(Shown()["state"], "unreadable");
  EXPECT_NE(Shown()["reason"].get<std::string>().find("did you mean name?"), std::string::npos)
      << Shown();
  ASSERT_EQ(monitor_->Notes().size(), 1u);
  EXPECT_NE(monitor_->Notes()[0].find("the inputs of credit are held against no schema"),
            std::string::npos)
      << monitor_->Notes()[0];
  EXPECT_EQ(unreadable(), 1u);
  EXPECT_FALSE(monitor_->RelearnSchema("credit", std::nullopt).ok()) << "it is as it was";
  EXPECT_EQ(Shown()["state"], "unreadable");

  ASSERT_TRUE(WriteFileAtomically(config_.schema.path,
                                  "features:\n  - {name: age, type: number, min: 0}\n"
                                  "  - {name: income, type: number}\n")
                  .ok());
  auto versions = monitor_->RelearnSchema("credit", std::nullopt);
  ASSERT_TRUE(versions.ok()) << versions.status();
  EXPECT_EQ(*versions, std::vector<int64_t>{3});
  Send({-1, 1});
  EXPECT_EQ(Shown()["violations"][0]["feature"], "age");
  EXPECT_TRUE(monitor_->Notes().empty());
  EXPECT_EQ(unreadable(), 0u);
}

TEST_F(SchemaBookTest, OneIsLearntAnewFromTheNextRequests) {
  Open(dir_.file("monitor.db"));
  Learn();
  Send({1000, 1}, 50);
  EXPECT_EQ(Shown()["violating_rows"], 50);
  EXPECT_FALSE(monitor_->RelearnSchema("credit", 4).ok());
  EXPECT_FALSE(monitor_->RelearnSchema("iris", std::nullopt).ok());
  auto versions = monitor_->RelearnSchema("credit", 3);
  ASSERT_TRUE(versions.ok()) << versions.status();
  EXPECT_EQ(*versions, std::vector<int64_t>{3});
  EXPECT_EQ(Shown()["state"], "collecting");
  Send({1000, 1}, 50);
  Open(dir_.file("monitor.db"));
  Send({1000, 1}, 1);
  EXPECT_EQ(Shown()["state"], "collecting") << "the old one does not come back";
  Send({1000, 1}, 100);
  Send({2000, 1}, 100);
  EXPECT_EQ(Shown()["schema"]["features"][0]["max"], 2000);
  Open(dir_.file("monitor.db"));
  EXPECT_EQ(Shown()["schema"]["features"][0]["max"], 2000) << "the new one is kept";
}

TEST_F(SchemaBookTest, InputsWhoseWidthVariesHaveOneFeature) {
  Open();
  for (int i = 0; i < 100; ++i) {
    Send({1, 2, 3});
    Send({1, 2, 3, 4, 5});
  }
  const Json schema = Shown()["schema"];
  ASSERT_EQ(schema["features"].size(), 1u);
  EXPECT_EQ(schema["features"][0]["values"], 0);
  Send({5, 1});
  EXPECT_EQ(Shown()["violating_rows"], 0);
  Send({6});
  EXPECT_EQ(Shown()["violating_rows"], 1);
}

TEST_F(SchemaBookTest, OneThatIsSwitchedOffHasNone) {
  config_.schema.enabled = false;
  Open();
  Send({1, 2});
  EXPECT_TRUE(monitor_->SchemaVersions("credit").empty());
  EXPECT_EQ(monitor_->SchemaJson("credit", 3).status().code(), StatusCode::kNotFound);
}

TEST_F(SchemaBookTest, MetricsNameTheFirstFeaturesOfASchema) {
  SchemaBook book;
  DataSchema schema;
  for (int i = 0; i < 100; ++i) {
    FeatureSchema& feature = schema.features.emplace_back();
    feature.name = StrCat("x", i);
    feature.max = 1;
  }
  book.UseFile("credit", std::make_shared<const DataSchema>(schema));
  auto version = book.Find({"credit", 1}, config_, clock_.SteadyNow());
  const std::vector<float> row(100, 2.0f);
  PredictionEvent event;
  event.features = row;
  event.feature_weight = 7;  // a sample of a wide input: all of them are looked at
  version->Fold(event, clock_.Now(), clock_.SteadyNow());
  auto samples = book.Samples(SchemaBook::Metric::kViolations);
  ASSERT_EQ(samples.size(), SchemaBook::kMaxNamed + 1);
  EXPECT_EQ(samples[0].label_values,
            (std::vector<std::string>{"credit", "1", "(others)", "range"}));
  EXPECT_EQ(samples[0].value, 36);
  EXPECT_EQ(samples[1].value, 1);
}

TEST_F(SchemaBookTest, ThereIsRoomForSoManyVersions) {
  SchemaBook book;
  for (size_t i = 0; i < SchemaBook::kMaxVersions; ++i)
    EXPECT_NE(book.Find({"m", static_cast<int64_t>(i)}, config_, clock_.SteadyNow()), nullptr);
  EXPECT_EQ(book.Find({"m", 9999}, config_, clock_.SteadyNow()), nullptr);
  EXPECT_EQ(book.refused(), 1u);
  clock_.Advance(2min);
  EXPECT_NE(book.Find({"m", 9999}, config_, clock_.SteadyNow()), nullptr);
}

TEST_F(SchemaBookTest, AnAlarmTakesAShareAboveWhatIsAcceptedAndEnoughRows) {
  Open();
  const WatchedTime watched(clock_.SteadyNow() - 1h);
  auto watch = monitor_->MakeSchemaWatch(watched);
  Learn();
  EXPECT_FALSE(Look(*watch).wrong);
  Send({17, 1}, 9);  // a handful, and all there is
  EXPECT_FALSE(Look(*watch).wrong);
  Send({20, 1}, 991);
  EXPECT_FALSE(Look(*watch).wrong);  // 0.9 %
  Send({20, 7}, 40);
  Finding finding = Look(*watch);
  EXPECT_TRUE(finding.wrong) << finding.summary;
  EXPECT_EQ(finding.severity, AlarmSeverity::kInfo);
  EXPECT_EQ(finding.samples, 1040u);
  EXPECT_DOUBLE_EQ(finding.threshold, 0.01);
  EXPECT_EQ(finding.summary,
            "49 of 1040 rows of credit:3 broke the schema in the last 10 min (4.71 %; 1 % is "
            "accepted); most: f1 must be from 0.5 to 1.5");
  ASSERT_FALSE(finding.details.empty());
  EXPECT_EQ(finding.details[0].first, "f1 range");
  EXPECT_EQ(finding.details[0].second, "40 rows: must be from 0.5 to 1.5");
  EXPECT_FALSE(Look(*watch, 11min).wrong);  // it is over
}

}  // namespace
}  // namespace leadsman
