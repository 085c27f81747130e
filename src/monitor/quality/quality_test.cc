#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "monitor/edges/edge_intake.h"
#include "monitor/edges/profile_message.h"
#include "monitor/monitor.h"
#include "monitor/quality/many_class_scores.h"
#include "monitor/quality/quality_detail.h"
#include "monitor/quality/quality_watch.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;

/// One row of an answer.
struct Answer {
  std::string id, predicted;
  AnswerKind kind = AnswerKind::kClass;
  ScoreOf score_of = ScoreOf::kNothing;
  float score = -1;
  std::vector<std::string_view> segments = {};
  StatusCode outcome = StatusCode::kOk;
  std::vector<float> class_scores = {};
};

class QualityDetailTest : public ::testing::Test {
 protected:
  void Open(MonitorConfig config = {}) {
    monitor_.reset();
    auto monitor = Monitor::Create({clock_, registry_}, options_, {{"m", std::move(config)}});
    ASSERT_TRUE(monitor.ok()) << monitor.status();
    monitor_ = std::move(*monitor);
  }
  void UseFile() { options_.database = dir_.file("monitor.db"); }

  void Emit(const Answer& answer, int64_t version = 1) {
    const std::string_view predicted[] = {answer.predicted};
    PredictionEvent event;
    event.model = "m";
    event.version = version;
    event.outcome = answer.outcome;
    event.unix_ms = UnixMillis(clock_.Now());
    event.request_id = answer.id;
    if (answer.outcome == StatusCode::kOk) event.predicted = predicted;
    event.answer = answer.kind;
    event.score_of = answer.score_of;
    if (answer.score_of != ScoreOf::kNothing) event.row_scores = {&answer.score, 1};
    event.class_scores = {static_cast<uint32_t>(answer.class_scores.size()), answer.class_scores};
    event.segments = answer.segments;
    monitor_->Emit(event);
  }
  void Label(const std::string& id, const std::string& label) {
    EXPECT_EQ(monitor_->AddLabels({GroundTruth{id, 0, label, UnixMillis(clock_.Now())}}).accepted,
              1u);
  }
  void Flush() { ASSERT_TRUE(monitor_->Flush(20s)); }
  Json Quality(int64_t version = 1) {
    auto json = monitor_->QualityJson("m", version);
    EXPECT_TRUE(json.ok()) << json.status();
    return json.ok() ? Json::parse(*json) : Json();
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
  /// 60 answers of a model of two classes with a threshold of 0.4, and their labels. What scikit-learn
  /// 1.9.1 gives of them stands beside the expectations.
  void AnswerMail(int from, int to) {
    for (int i = from; i < to; ++i) {
      const double score = (i * 37 % 101) / 128.0;
      const bool spam = (i * i * 7 + i * 3) % 10 < 1 + 8 * score;
      const std::string id = "r" + std::to_string(i);
      Emit({id, score >= 0.4 ? "spam" : "ham", AnswerKind::kClass, ScoreOf::kSecondClass,
            static_cast<float>(score)});
      Label(id, spam ? "spam" : "ham");
    }
    Flush();
  }

  /// Of 90 answers of a model of three classes, with a label for each.
  void AnswerInsects(int from, int to) {
    static constexpr std::string_view kNames[] = {"ant", "bee", "cicada"};
    for (int i = from; i < to; ++i) {
      const int a = i * 37 % 61, b = i * 23 % 53;
      const std::vector<float> scores{a / 128.0f, b / 128.0f, (128 - a - b) / 128.0f};
      const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
      const std::string id = "i" + std::to_string(i);
      Emit({.id = id,
            .predicted = std::string(kNames[best]),
            .score_of = ScoreOf::kBestClass,
            .score = scores[static_cast<size_t>(best)],
            .class_scores = scores});
      Label(id, std::string(kNames[i % 3 ? best : (i * 5 + i / 7) % 3]));
    }
    Flush();
  }

  FakeClock clock_;
  Registry registry_;
  TempDir dir_;
  MonitorOptions options_;
  std::unique_ptr<Monitor> monitor_;
};

Json ClassOf(const Json& quality, const std::string& name) {
  for (const Json& of : quality["classes"]["of"]) {
    if (of["class"] == name) return of;
  }
  return {};
}

void ExpectMailFigures(const Json& quality) {
  EXPECT_NEAR(quality["accuracy"], 0.7166666666666667, 1e-12);
  EXPECT_EQ(ClassOf(quality, "ham")["labelled"], 14);
  EXPECT_NEAR(ClassOf(quality, "ham")["precision"], 0.4516129032258065, 1e-12);
  EXPECT_NEAR(ClassOf(quality, "ham")["f1"], 0.6222222222222222, 1e-12);
  EXPECT_NEAR(ClassOf(quality, "spam")["recall"], 0.6304347826086957, 1e-12);
  EXPECT_EQ(ClassOf(quality, "spam")["right_requests"], 29);
  EXPECT_NEAR(quality["classes"]["macro"]["precision"], 0.7258064516129032, 1e-12);
  EXPECT_NEAR(quality["classes"]["macro"]["recall"], 0.8152173913043479, 1e-12);
  EXPECT_NEAR(quality["classes"]["macro"]["f1"], 0.6977777777777778, 1e-12);
  ASSERT_EQ(quality["scores"].size(), 1u);
  const Json& scores = quality["scores"][0];
  EXPECT_EQ(scores["class"], "spam");
  EXPECT_EQ(scores["rows"], 60);
  EXPECT_NEAR(scores["auc"], 0.8354037267080745, 1e-12);
  EXPECT_NEAR(scores["log_loss"], 1.3887880051663288, 1e-9);
  EXPECT_NEAR(scores["calibration_error"], 0.37981770833333334, 1e-12);  // not scikit-learn's
}

/// Three processes in turn, each with a third of the answers, and the monitor that they tell.
TEST_F(QualityDetailTest, WhatLabelsToldSeveralEdgesAddsUp) {
  MonitorOptions options;
  options.edges.emplace();
  auto central = std::move(Monitor::Create({clock_, registry_}, options, {})).value();
  options_.keep_intervals = true;
  for (int edge = 0; edge < 3; ++edge) {
    Open();
    for (int part = 0; part < 2; ++part) {
      AnswerMail(20 * edge + 10 * part, 20 * edge + 10 * part + 10);
      size_t taken = 0;
      const std::vector<IntervalProfile> profiles = monitor_->TakeIntervals();
      const uint64_t number = static_cast<uint64_t>(part) + 1;
      ASSERT_TRUE(central
                      ->AddProfiles(WriteProfileMessage({std::to_string(edge), 1, number, 5s},
                                                        profiles, taken))
                      .ok());
    }
    EXPECT_TRUE(monitor_->TakeIntervals().empty());
  }
  monitor_ = std::move(central);
  Flush();
  ExpectMailFigures(Quality());
}

Answer Numbered(int i, bool fraction) {
  return {"r" + std::to_string(i), std::to_string(i) + (fraction ? ".25" : ""),
          AnswerKind::kUnknown};
}

LabelJoin::Joined JoinedOf(const Answer& answer, const std::string& label) {
  KeptPrediction kept;
  kept.predicted = answer.predicted;
  kept.answer = answer.kind;
  kept.score_of = answer.score_of;
  kept.score = answer.score;
  return {kept, label, label != answer.predicted};
}

TEST(VersionQualityTest, MergedIsTheWholeWhicheverClassCameFirst) {
  VersionQuality whole, a, b;
  for (int i = 0; i < 400; ++i) {
    const double score = (i * 37 % 101) / 128.0;
    const bool late = i >= 200;  // then "spam" is answered first
    const Answer answer{"", (score >= 0.4) != late ? "spam" : "ham", AnswerKind::kClass,
                        ScoreOf::kSecondClass, static_cast<float>(late ? 1 - score : score)};
    const auto joined = JoinedOf(answer, i % 3 == 0 ? "ham" : "spam");
    whole.Add(joined, QualityTask::kAuto);
    (late ? b : a).Add(joined, QualityTask::kAuto);
  }
  a.Merge(b);
  const auto two = a.TwoClasses(), expected = whole.TwoClasses();
  ASSERT_TRUE(two && expected);
  EXPECT_EQ(two->second_class, expected->second_class);
  EXPECT_EQ(two->scores.positives(), expected->scores.positives());
  EXPECT_NEAR(two->scores.AreaUnderCurve().value, expected->scores.AreaUnderCurve().value, 1e-12);
  EXPECT_NEAR(two->scores.CalibrationError(), expected->scores.CalibrationError(), 1e-9);
  EXPECT_NEAR(two->loss.Mean(), expected->loss.Mean(), 1e-9);
  EXPECT_EQ(a.Macro().f1, whole.Macro().f1);
  EXPECT_EQ(a.class_rows(), 400);
}

TEST(VersionQualityTest, OthersThatAreTakenForEachOtherStayWrongWhenMerged) {
  VersionQuality whole, a, b;
  for (int i = 0; i < 1000; ++i) {
    const Answer answer{"", std::to_string(i % 97), AnswerKind::kClass};
    const auto joined = JoinedOf(answer, std::to_string(i % 7 == 0 ? (i + 1) % 97 : i % 97));
    whole.Add(joined, QualityTask::kAuto);
    (i % 2 ? a : b).Add(joined, QualityTask::kAuto);
  }
  a.Merge(b);
  auto sums = [](const VersionQuality& of) {
    double hits = 0;
    uint64_t evidence = 0;
    for (const auto& c : of.Classes()) {
      hits += c.rows.hits;
      evidence += c.hits;
    }
    return std::pair(hits, evidence);
  };
  EXPECT_EQ(sums(a), sums(whole));
  EXPECT_EQ(sums(a).first, 857);
}

TEST(VersionQualityTest, WhatWasNoClassIsNoneWhereItIsMergedEither) {
  VersionQuality sums, interval;
  interval.Add(JoinedOf(Numbered(7, false), "8"), QualityTask::kAuto);
  sums.Merge(interval);
  EXPECT_EQ(sums.class_rows(), 1);
  interval.Add(JoinedOf(Numbered(7, true), "8"), QualityTask::kAuto);
  sums.Merge(interval);
  EXPECT_EQ(sums.class_rows(), 0);
  EXPECT_EQ(sums.errors().count(), 1);
  VersionQuality next = interval.Afresh();
  next.Add(JoinedOf(Numbered(7, false), "8"), QualityTask::kAuto);
  sums.Merge(next);
  EXPECT_EQ(sums.class_rows(), 0);
  EXPECT_EQ(sums.errors().count(), 2);
}

TEST_F(QualityDetailTest, FiguresOfTwoClassesEqualScikitLearns) {
  Open();
  AnswerMail(0, 60);
  ExpectMailFigures(Quality());
  EXPECT_NEAR(Metric("leadsman_monitor_recall", {"m", "1", "spam"}), 0.6304347826086957, 1e-12);
  EXPECT_NEAR(Metric("leadsman_monitor_macro_f1", {"m", "1"}), 0.6977777777777778, 1e-12);
  EXPECT_NEAR(Metric("leadsman_monitor_auc", {"m", "1"}), 0.8354037267080745, 1e-12);
  EXPECT_NEAR(Metric("leadsman_monitor_label_coverage_ratio", {"m", "1", "10m"}), 1, 1e-12);
}

TEST_F(QualityDetailTest, FiguresSurviveARestartInTheMidst) {
  UseFile();
  Open();
  AnswerMail(0, 23);
  Open();
  AnswerMail(23, 60);
  ExpectMailFigures(Quality());
  // One whose label is still to come when the process ends.
  Emit({"late", "spam", AnswerKind::kClass, ScoreOf::kSecondClass, 0.7f});
  Open();
  Label("late", "ham");
  Flush();
  EXPECT_EQ(Quality()["scores"][0]["rows"], 61);
  EXPECT_EQ(Quality()["coverage"]["predictions"], 61);
  EXPECT_EQ(Quality()["coverage"]["labelled"], 61);
}

TEST_F(QualityDetailTest, FiguresSurviveAVersionThatWasForgotten) {
  Open();
  AnswerMail(0, 23);
  monitor_->Forget("m", 1);
  Flush();
  EXPECT_FALSE(monitor_->QualityJson("m", 1).ok());
  AnswerMail(23, 60);
  ExpectMailFigures(Quality());
}

TEST_F(QualityDetailTest, TheScoresMayBeOfTheClassThatIsAnsweredFirst) {
  Open();
  for (int i = 39; i >= 0; --i) {
    const double score = i / 64.0;  // of "no"; the model answers it from 0.3 on
    const std::string id = std::to_string(i);
    Emit({id, score >= 0.3 ? "no" : "yes", AnswerKind::kClass, ScoreOf::kSecondClass,
          static_cast<float>(score)});
    Label(id, i % 4 < 3 && i >= 8 ? "no" : "yes");
  }
  Flush();
  const Json scores = Quality()["scores"][0];
  EXPECT_EQ(scores["class"], "no");
  EXPECT_GT(scores["auc"], 0.6);
}

TEST_F(QualityDetailTest, WithoutScoresThereAreNoMeasuresOfScores) {
  Open();
  // Hand-made: 23 6 1 / 0 23 7 / 5 1 24, as scikit-learn has it.
  for (int i = 0; i < 90; ++i) {
    const int predicted = (i % 3 + (i % 7 == 0) + (i % 11 == 0)) % 3;
    Emit({std::to_string(i), std::to_string(predicted)});
    Label(std::to_string(i), std::to_string(i % 3) + ".0");
  }
  Flush();
  const Json quality = Quality();
  EXPECT_FALSE(quality.contains("scores"));
  EXPECT_FALSE(quality.contains("numbers"));
  EXPECT_FALSE(quality.contains("segments"));
  EXPECT_NEAR(ClassOf(quality, "0")["precision"], 0.8214285714285714, 1e-12);
  EXPECT_NEAR(ClassOf(quality, "2")["recall"], 0.8, 1e-12);
  EXPECT_NEAR(quality["classes"]["macro"]["f1"], 0.7779878877765419, 1e-12);
  EXPECT_EQ(quality["classes"]["confusion"].size(), 8u);
  const Json cell = {{"label", "0"}, {"predicted", "1"}, {"rows", 6.0}};
  const Json& cells = quality["classes"]["confusion"];
  EXPECT_EQ(std::count(cells.begin(), cells.end(), cell), 1);
  EXPECT_LT(ClassOf(quality, "2")["recall_low"], 0.65);
  EXPECT_GT(ClassOf(quality, "2")["recall_high"], 0.9);
  EXPECT_TRUE(std::isnan(Metric("leadsman_monitor_auc", {"m", "1"})));
}

TEST_F(QualityDetailTest, TheHighestOfManyProbabilitiesIsHeldAgainstBeingRight) {
  Open();
  for (int i = 0; i < 20; ++i) {
    const std::string id = std::to_string(i);
    Emit({id, "a", AnswerKind::kClass, ScoreOf::kBestClass, 0.75f});
    Label(id, i < 10 ? "a" : "b");
  }
  Flush();
  const Json scores = Quality()["scores"][0];
  EXPECT_EQ(scores["of"], "best_class");
  EXPECT_NEAR(scores["calibration_error"], 0.25, 1e-6);
  EXPECT_FALSE(scores.contains("auc"));
  ASSERT_EQ(scores["calibration"].size(), 1u);
  EXPECT_EQ(scores["calibration"][0]["share"], 0.5);
}

/// What scikit-learn 1.9.1 gives of AnswerInsects: roc_auc_score(multi_class="ovr") and log_loss.
void ExpectInsectFigures(const Json& quality) {
  ASSERT_EQ(quality["scores"].size(), 2u);
  const Json& scores = quality["scores"][1];
  EXPECT_EQ(scores["of"], "all_classes");
  EXPECT_EQ(scores["rows"], 90);
  EXPECT_FALSE(scores.contains("left_out")) << "labels that came before their answer have waited";
  EXPECT_NEAR(scores["auc"], 0.6466567955017322, 1e-12);
  EXPECT_NEAR(scores["weighted_auc"], 0.6814139891987994, 1e-12);
  EXPECT_NEAR(scores["log_loss"], 1.301102751270128, 1e-9);
  ASSERT_EQ(scores["classes"].size(), 3u);
  EXPECT_EQ(scores["classes"][1]["class"], "bee");
  EXPECT_EQ(scores["classes"][1]["rows"], 11);
  EXPECT_NEAR(scores["classes"][1]["auc"], 0.5189873417721519, 1e-12);
}

TEST_F(QualityDetailTest, AreasOfManyClassesEqualScikitLearns) {
  Open();
  AnswerInsects(0, 90);
  ExpectInsectFigures(Quality());
  EXPECT_NEAR(Metric("leadsman_monitor_auc", {"m", "1"}), 0.6466567955017322, 1e-12);
  EXPECT_NEAR(Metric("leadsman_monitor_weighted_auc", {"m", "1"}), 0.6814139891987994, 1e-12);
  EXPECT_NEAR(Metric("leadsman_monitor_class_auc", {"m", "1", "ant"}), 0.7269570707070707, 1e-12);
  EXPECT_NEAR(Metric("leadsman_monitor_log_loss", {"m", "1"}), 1.301102751270128, 1e-9);
}

TEST_F(QualityDetailTest, AreasOfManyClassesSurviveARestartWithRowsThatWait) {
  UseFile();
  Open();
  AnswerInsects(0, 5);  // no ant was answered yet, and two labels say one
  EXPECT_EQ(Quality()["scores"][1]["left_out"], 2);
  Open();
  AnswerInsects(5, 90);
  ExpectInsectFigures(Quality());
  // One whose label comes after the process has ended.
  Emit({.id = "late",
        .predicted = "ant",
        .score_of = ScoreOf::kBestClass,
        .score = 0.5f,
        .class_scores = {0.5f, 0.25f, 0.25f}});
  Open();
  Label("late", "ant");
  Flush();
  EXPECT_EQ(Quality()["scores"][1]["rows"], 91);
}

TEST_F(QualityDetailTest, AreasOfManyClassesOfSeveralEdgesAddUp) {
  MonitorOptions options;
  options.edges.emplace();
  auto central = std::move(Monitor::Create({clock_, registry_}, options, {})).value();
  options_.keep_intervals = true;
  for (int edge = 0; edge < 3; ++edge) {
    Open();
    AnswerInsects(30 * edge, 30 * edge + 30);
    size_t taken = 0;
    const std::vector<IntervalProfile> profiles = monitor_->TakeIntervals();
    const auto added = central->AddProfiles(
        WriteProfileMessage({std::to_string(edge), 1, 1, 5s}, profiles, taken));
    ASSERT_TRUE(added.ok()) << added.status();
  }
  monitor_ = std::move(central);
  Flush();
  ExpectInsectFigures(Quality());
}

using Row = std::vector<float>;

TEST(ManyClassScoresTest, ALabelThatWasNeverAnsweredIsThePlaceWhereAnswersArePlaces) {
  ManyClassScores scores;
  scores.Add(Row{0.7f, 0.2f, 0.1f}, "0", "2", 1);
  scores.Add(Row{0.6f, 0.3f, 0.1f}, "0", "0", 1);
  EXPECT_EQ(scores.left_out(), 0);
  ManyClassScores shifted;  // answers from 1 on
  shifted.Add(Row{0.7f, 0.2f, 0.1f}, "1", "2", 1);
  EXPECT_EQ(shifted.left_out(), 1) << "whose score that is, is not known";
}

TEST(ManyClassScoresTest, AnswersThatAreNotTheHighestMakeItUncertain) {
  ManyClassScores scores;
  for (int i = 0; i < 100; ++i) {
    scores.Add(Row{0.5f, 0.3f, 0.2f}, "a", i % 2 ? "a" : "b", 1);
    scores.Add(Row{0.2f, 0.5f, 0.3f}, "b", i % 2 ? "a" : "b", 1);
  }
  EXPECT_TRUE(scores.Areas().has_value());
  for (int i = 0; i < 20; ++i) scores.Add(Row{0.2f, 0.5f, 0.3f}, "a", "a", 1);
  EXPECT_FALSE(scores.Areas().has_value());
}

TEST(ManyClassScoresTest, RowsThatWaitAreBounded) {
  ManyClassScores scores;
  for (int i = 0; i < 1000; ++i) scores.Add(Row{0.5f, 0.3f, 0.2f}, "a", "b", 1);
  EXPECT_EQ(scores.left_out(), 1000);
  scores.Add(Row{0.2f, 0.5f, 0.3f}, "b", "a", 1);
  EXPECT_EQ(scores.left_out(), 1000 - ManyClassScores::kMaxWaiting);
  EXPECT_EQ(scores.rows(), 1 + ManyClassScores::kMaxWaiting);
  scores.Add(Row{0.25f, 0.25f, 0.25f, 0.25f}, "a", "a", 1);
  EXPECT_EQ(scores.left_out(), 1001 - ManyClassScores::kMaxWaiting) << "another number of classes";
}

TEST_F(QualityDetailTest, ErrorsOfNumbersEqualScikitLearns) {
  Open();
  for (int i = 0; i < 40; ++i) {
    const std::string id = std::to_string(i);
    Emit({id, std::to_string(i * 0.5 + (i * 13 % 7 - 2) * 0.25), AnswerKind::kNumber});
    Label(id, std::to_string(i * 0.5));
  }
  Flush();
  const Json quality = Quality();
  EXPECT_FALSE(quality.contains("classes"));
  EXPECT_FALSE(quality.contains("accuracy"));
  EXPECT_NEAR(quality["numbers"]["mean_absolute_error"], 0.48125, 1e-12);
  EXPECT_NEAR(quality["numbers"]["root_mean_square_error"], 0.57145647253312304, 1e-12);
  EXPECT_NEAR(quality["numbers"]["bias"], 0.26875, 1e-12);
  EXPECT_NEAR(Metric("leadsman_monitor_mean_absolute_error", {"m", "1"}), 0.48125, 1e-12);
}

TEST_F(QualityDetailTest, ALogTellsNumbersByTheirFirstFraction) {
  Open();
  for (const char* predicted : {"7", "7.5", "8"}) {
    Emit({predicted, predicted, AnswerKind::kUnknown});
    Label(predicted, "7");
  }
  Flush();
  EXPECT_EQ(Quality()["numbers"]["rows"], 2);
  MonitorConfig config;
  config.task = QualityTask::kClassification;
  Open(config);
  Emit({"x", "1.0", AnswerKind::kUnknown});
  Label("x", "1");
  Flush();
  EXPECT_EQ(ClassOf(Quality(), "1")["right"], 1);
}

TEST_F(QualityDetailTest, ClassesBeyondTheLimitAreTogetherAndStayWrong) {
  Open();
  const size_t classes = VersionQuality::kMaxClasses + 10;
  for (size_t i = 0; i < classes; ++i) {
    Emit({"r" + std::to_string(i), "c" + std::to_string(i)});
    Label("r" + std::to_string(i), "c" + std::to_string(i == classes - 1 ? i - 1 : i));
  }
  Flush();
  const Json quality = Quality();
  EXPECT_EQ(quality["classes"]["of"].size(), VersionQuality::kMaxClasses + 1);
  EXPECT_EQ(ClassOf(quality, "(other)")["labelled"], 10);
  EXPECT_EQ(ClassOf(quality, "(other)")["right"], 9);
  EXPECT_EQ(ClassOf(quality, "(other)")["right_requests"], 9);
  // Pooled: these 10 rows, and the 31 classes behind the first 32.
  EXPECT_NEAR(Metric("leadsman_monitor_precision", {"m", "1", "(other)"}), 40.0 / 41, 1e-12);
}

TEST_F(QualityDetailTest, CoverageIsByHowLongAgoAPredictionWasMade) {
  UseFile();
  MonitorConfig config;
  config.label_timeout = 3h;
  Open(config);
  for (int i = 0; i < 10; ++i) Emit({"old" + std::to_string(i), "a"});
  Flush();
  clock_.Advance(2h);
  for (int i = 0; i < 5; ++i) Emit({"new" + std::to_string(i), "a"});
  Label("old0", "a");
  Label("old1", "b");
  Label("new0", "a");
  Label("nobody", "a");
  Flush();
  Open(config);
  const Json coverage = Quality()["coverage"];
  EXPECT_EQ(coverage["predictions"], 15);
  EXPECT_NEAR(coverage["share"], 0.2, 1e-12);
  EXPECT_EQ(coverage["by_age"],
            Json({{{"up_to", "10m"}, {"predictions", 5}, {"labelled", 1}, {"share", 0.2}},
                  {{"up_to", "6h"}, {"predictions", 10}, {"labelled", 2}, {"share", 0.2}}}));
  clock_.Advance(24h * 3);
  EXPECT_EQ(Quality()["coverage"]["by_age"].size(), 1u);
  EXPECT_EQ(Quality()["coverage"]["by_age"][0]["up_to"], "7d");
}

TEST_F(QualityDetailTest, SegmentsCountRequestsAndLabelsAndAreBounded) {
  UseFile();
  MonitorConfig config;
  config.segments = {{.name = "tenant", .header = "x-tenant", .values = {"known"}},
                     {.name = "age", .input = "x", .cuts = {18}}};
  config.max_segments = 5;
  Open(config);
  auto ask = [&](const std::string& id, std::string_view tenant, std::string_view age,
                 const char* predicted) {
    Emit({id, predicted, AnswerKind::kClass, ScoreOf::kNothing, -1, {tenant, age}});
  };
  ask("a", "acme", "< 18", "1");
  ask("b", "acme", ">= 18", "0");
  ask("c", "globex", ">= 18", "1");
  ask("d", "third", ">= 18", "1");  // no room: known, acme, < 18, >= 18, globex
  ask("e", "known", ">= 18", "1");
  Emit({"f",
        "",
        AnswerKind::kClass,
        ScoreOf::kNothing,
        -1,
        {"acme", "(none)"},
        StatusCode::kInternal});
  for (const char* id : {"a", "b", "c", "d"}) Label(id, "1");
  Flush();
  auto of = [&](const std::string& by, const std::string& segment) {
    const Json quality = Quality();
    for (const Json& one : quality["segments"]) {
      if (one["by"] == by && one["segment"] == segment) return one;
    }
    return Json();
  };
  EXPECT_EQ(of("tenant", "acme")["requests"]["ok"], 2);
  EXPECT_EQ(of("tenant", "acme")["requests"]["server_error"], 1);
  EXPECT_EQ(of("tenant", "acme")["labelled"], 2);
  EXPECT_EQ(of("tenant", "acme")["accuracy"], 0.5);
  EXPECT_EQ(of("tenant", "(other)")["requests"]["ok"], 1);
  EXPECT_EQ(of("tenant", "(other)")["labelled"], 1);
  EXPECT_EQ(of("tenant", "known")["requests"]["ok"], 1);
  EXPECT_TRUE(of("tenant", "known")["accuracy"].is_null());
  EXPECT_EQ(of("age", ">= 18")["wrong_requests"], 1);
  EXPECT_EQ(Metric("leadsman_monitor_segment_requests_total",
                   {"m", "1", "tenant", "acme", "server_error"}),
            1);
  EXPECT_EQ(Metric("leadsman_monitor_segment_accuracy", {"m", "1", "tenant", "acme"}), 0.5);
  EXPECT_EQ(Metric("leadsman_monitor_segments_folded_total", {"m"}), 2);  // third; (none)
  Open(config);
  EXPECT_EQ(of("tenant", "acme")["labelled"], 2);  // kept
  EXPECT_EQ(of("tenant", "acme")["requests"]["ok"], 0);
  Label("e", "0");  // its segment was kept with it
  Flush();
  EXPECT_EQ(of("tenant", "known")["wrong"], 1);
}

TEST_F(QualityDetailTest, RowsBeyondTheFirstAreOfNoSegment) {
  MonitorConfig config;
  config.segments = {{.name = "tenant", .header = "x-tenant"}};
  Open(config);
  const std::string_view predicted[] = {"1", "1"};
  const std::string_view segments[] = {"acme"};
  PredictionEvent event;
  event.model = "m";
  event.version = 1;
  event.unix_ms = UnixMillis(clock_.Now());
  event.request_id = "r";
  event.predicted = predicted;
  event.segments = segments;
  monitor_->Emit(event);
  monitor_->AddLabels({GroundTruth{"r", 0, "1", 0}, GroundTruth{"r", 1, "0", 0}});
  Flush();
  EXPECT_EQ(Quality()["labelled"], 2);
  EXPECT_EQ(Quality()["segments"][0]["labelled"], 1);
  EXPECT_EQ(Quality()["segments"][0]["wrong"], 0);
}

TEST_F(QualityDetailTest, WhatASplitHasDrawnIsToldBySegmentToo) {
  MonitorConfig config;
  config.segments = {{.name = "tenant", .header = "x-tenant"}};
  Open(config);
  const std::string_view predicted[] = {"1"};
  auto ask = [&](const std::string& id, std::string_view tenant, bool drawn, StatusCode outcome) {
    PredictionEvent event;
    event.model = "m";
    event.version = 1;
    event.unix_ms = UnixMillis(clock_.Now());
    event.request_id = id;
    event.outcome = outcome;
    event.drawn = drawn;
    if (outcome == StatusCode::kOk) event.predicted = predicted;
    const std::string_view segments[] = {tenant};
    event.segments = segments;
    monitor_->Emit(event);
  };
  ask("a", "acme", true, StatusCode::kOk);
  ask("b", "acme", true, StatusCode::kOk);
  ask("c", "acme", false, StatusCode::kOk);
  ask("d", "acme", true, StatusCode::kInternal);
  ask("e", "acme", true, StatusCode::kInvalidArgument);
  ask("f", "acme", true, StatusCode::kCancelled);
  ask("g", "acme", false, StatusCode::kInternal);
  ask("h", "globex", false, StatusCode::kOk);
  for (const char* id : {"a", "c"}) Label(id, "0");
  Label("b", "1");
  Flush();
  auto totals = monitor_->TotalsBySegment("m", 1);
  ASSERT_EQ(totals.size(), 2u);
  const Monitor::SegmentTotals& acme = totals["tenant=acme"];
  EXPECT_EQ(acme.requests, 5u);
  EXPECT_EQ(acme.errors, 2u);
  EXPECT_EQ(acme.labelled, 2u);
  EXPECT_EQ(acme.wrong, 1u);
  EXPECT_EQ(acme.all_requests, 7u);
  EXPECT_EQ(totals["tenant=globex"].requests, 0u);
  EXPECT_EQ(totals["tenant=globex"].all_requests, 1u);
  EXPECT_TRUE(monitor_->TotalsBySegment("m", 2).empty());
}

class QualityWatchTest : public QualityDetailTest {
 protected:
  QualityWatch Make(QualityObjective objective) {
    return {[this](const std::string& model) { return monitor_->EvidenceOf(model); },
            watched_,
            {{"m", {std::move(objective)}}}};
  }
  const WatchedTime watched_{clock_.SteadyNow() - std::chrono::hours(48)};
  /// Ten minutes later.
  Finding Look(QualityWatch& watch) {
    clock_.Advance(10min);
    std::vector<Finding> findings = watch.Look(clock_.Now(), clock_.SteadyNow());
    EXPECT_EQ(findings.size(), 1u);
    return findings.empty() ? Finding{} : findings[0];
  }
  /// Of labels "a", those of `missed` answered "b".
  void Serve(int labels, int missed) {
    for (int i = 0; i < labels; ++i) {
      const std::string id = "w" + std::to_string(served_++);
      Emit({id, i < missed ? "b" : "a"});
      Label(id, "a");
    }
    Flush();
  }
  int served_ = 0;
};

TEST_F(QualityWatchTest, FiresOnceTheWholeIntervalOfARecallIsBelow) {
  Open();
  Serve(100, 100);  // before the first look
  QualityWatch watch = Make({QualityObjective::Measure::kRecall, "a", 0.9, 0});
  EXPECT_FALSE(Look(watch).wrong) << "labels of before say nothing";
  Serve(20, 4);
  Finding finding = Look(watch);
  EXPECT_FALSE(finding.wrong) << "0.8 of 20 may be chance";
  EXPECT_EQ(finding.evidence, 0.8);
  EXPECT_EQ(finding.subject.of, "recall of a");
  Serve(180, 36);
  finding = Look(watch);
  EXPECT_TRUE(finding.wrong);
  EXPECT_EQ(finding.samples, 200u);
  EXPECT_FALSE(finding.guaranteed);
  clock_.Advance(25h);
  EXPECT_EQ(Look(watch).samples, 0u) << "of yesterday";
}

TEST_F(QualityWatchTest, F1AndPrecisionAreOfTheirOwnRequests) {
  Open();
  QualityWatch f1 = Make({QualityObjective::Measure::kF1, "b", 0.5, 0});
  QualityWatch precision = Make({QualityObjective::Measure::kPrecision, "a", 0.9, 0});
  Serve(1, 0);
  Look(f1);
  Look(precision);
  Serve(60, 20);  // 40 a right; 20 predicted to be b, of which none is
  EXPECT_EQ(Look(precision).evidence, 1);
  const Finding finding = Look(f1);
  EXPECT_EQ(finding.evidence, 0);
  EXPECT_EQ(finding.samples, 20u);
  EXPECT_TRUE(finding.wrong);
}

TEST_F(QualityWatchTest, AMeanErrorFiresBeyondItsMargin) {
  Open();
  auto serve = [&](int count, double error) {
    for (int i = 0; i < count; ++i) {
      const std::string id = "w" + std::to_string(served_++);
      Emit({id, std::to_string(10 + error + i % 2), AnswerKind::kNumber});
      Label(id, "10");
    }
    Flush();
  };
  QualityWatch watch = Make({QualityObjective::Measure::kMeanAbsoluteError, "", 0, 2});
  serve(1, 0);
  Look(watch);
  serve(20, 5);
  EXPECT_FALSE(Look(watch).wrong) << "too few for the approximation";
  serve(20, 5);
  const Finding finding = Look(watch);
  EXPECT_TRUE(finding.wrong);
  EXPECT_NEAR(finding.evidence, 5.5, 1e-9);
  serve(400, 0.5);  // the mean of all is 1.4 now
  EXPECT_FALSE(Look(watch).wrong);
}

TEST_F(QualityDetailTest, WhatTheFileHoldsOfAnotherFormIsBegunAnew) {
  SegmentNames names({}, 50);
  QualityDetail detail;
  detail.AddKept(60'000, 1, 60'000);
  const std::string bytes = detail.Take({});
  EXPECT_TRUE(detail.Restore(bytes, names));
  EXPECT_EQ(detail.coverage().All().predictions, 1);
  EXPECT_FALSE(detail.Restore(bytes.substr(0, bytes.size() - 1), names));
  EXPECT_FALSE(detail.Restore(bytes + "x", names));
  EXPECT_FALSE(detail.Restore("", names));
  EXPECT_EQ(detail.coverage().All().predictions, 0);
}

}  // namespace
}  // namespace leadsman
