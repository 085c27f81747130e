#include "math/quality.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>

#include "base/rng.h"
#include "math/byte_form.h"
#include "support/test_paths.h"

namespace leadsman {
namespace {

using Numbers = std::vector<double>;

/// quality.golden: the predictions, and scikit-learn's figures.
std::multimap<std::string, Numbers> Golden() {
  std::ifstream file(SourceDir() + "/src/math/testdata/quality.golden");
  std::multimap<std::string, Numbers> lines;
  for (std::string text; std::getline(file, text);) {
    std::istringstream line(text);
    std::string key;
    line >> key;
    Numbers& numbers = lines.emplace(key, Numbers())->second;
    for (double number; line >> number;) numbers.push_back(number);
  }
  return lines;
}

constexpr double kClose = 1e-12;

class QualityTest : public testing::Test {
 protected:
  const Numbers& operator[](const char* key) const {
    auto found = golden_.find(key);
    EXPECT_NE(found, golden_.end()) << key;
    return found->second;
  }
  std::multimap<std::string, Numbers> golden_ = Golden();
};

TEST_F(QualityTest, ClassFiguresEqualScikitLearns) {
  const Numbers &actual = (*this)["actual"], &predicted = (*this)["predicted"];
  ConfusionMatrix matrix;
  for (size_t i = 0; i < actual.size(); ++i) {
    matrix.Add(static_cast<size_t>(actual[i]), static_cast<size_t>(predicted[i]));
  }
  EXPECT_NEAR(matrix.Accuracy(), (*this)["accuracy"][0], kClose);
  auto [from, to] = golden_.equal_range("class");
  EXPECT_EQ(std::distance(from, to), 5);
  for (auto it = from; it != to; ++it) {
    ConfusionMatrix::ClassFigures figures = matrix.Of(static_cast<size_t>(it->second[0]));
    EXPECT_NEAR(figures.Precision(), it->second[1], kClose) << it->second[0];
    EXPECT_NEAR(figures.Recall(), it->second[2], kClose) << it->second[0];
    EXPECT_NEAR(figures.F1(), it->second[3], kClose) << it->second[0];
  }
  ConfusionMatrix::MacroFigures macro = matrix.Macro();
  EXPECT_NEAR(macro.precision, (*this)["macro"][0], kClose);
  EXPECT_NEAR(macro.recall, (*this)["macro"][1], kClose);
  EXPECT_NEAR(macro.f1, (*this)["macro"][2], kClose);
}

TEST_F(QualityTest, ScoreFiguresEqualScikitLearns) {
  const Numbers &truth = (*this)["truth"], &scores = (*this)["scores"];
  ScoreHistogram histogram;
  LogLoss loss;
  for (size_t i = 0; i < scores.size(); ++i) {
    bool positive = truth[i] > 0;
    histogram.Add(scores[i], positive);
    loss.Add(positive ? scores[i] : 1 - scores[i]);
  }
  ScoreHistogram::Auc auc = histogram.AreaUnderCurve();
  EXPECT_NEAR(auc.value, (*this)["auc_in_bins"][0], kClose);
  EXPECT_NEAR(auc.value, (*this)["auc"][0], auc.error);
  EXPECT_LT(auc.error, 0.002);
  EXPECT_NEAR(histogram.CalibrationError(), (*this)["calibration_error"][0], kClose);
  EXPECT_NEAR(loss.Mean(), (*this)["log_loss"][0], kClose);
}

TEST_F(QualityTest, ErrorsOfNumbersEqualScikitLearns) {
  const Numbers &numbers = (*this)["numbers"], &guesses = (*this)["guesses"];
  RegressionErrors errors;
  for (size_t i = 0; i < numbers.size(); ++i) errors.Add(numbers[i], guesses[i]);
  EXPECT_NEAR(errors.MeanAbsolute(), (*this)["mae"][0], kClose);
  EXPECT_NEAR(errors.RootMeanSquare(), (*this)["rmse"][0], kClose);
  EXPECT_NEAR(errors.Bias(), 0.5, 0.4);
}

TEST(ConfusionMatrixTest, MergedEqualsWholeAndClassesAreBounded) {
  Rng rng(1);
  ConfusionMatrix whole, left, right;
  for (int i = 0; i < 2000; ++i) {
    size_t actual = rng.Below(i < 1000 ? 5 : 20), predicted = rng.Below(12);
    whole.Add(actual, predicted);
    (rng.Below(2) ? left : right).Add(actual, predicted);
  }
  left.Merge(right);
  EXPECT_EQ(left, whole);
  whole.Add(1'000'000, 2);
  EXPECT_EQ(whole.classes(), ConfusionMatrix::kMaxClasses);
  EXPECT_EQ(whole.count(ConfusionMatrix::kMaxClasses - 1, 2), 1u);
}

TEST(QualityBoundsTest, NothingAndWhatIsNotANumberAreCountedApart) {
  EXPECT_EQ(ConfusionMatrix().Accuracy(), 0);
  EXPECT_EQ(ConfusionMatrix().Macro().f1, 0);
  EXPECT_EQ(ConfusionMatrix().Of(3).Recall(), 0);
  ScoreHistogram scores;
  EXPECT_EQ(scores.AreaUnderCurve().error, 0.5);
  EXPECT_EQ(scores.CalibrationError(), 0);
  scores.Add(std::nan(""), true);
  scores.Add(7, true);
  scores.Add(-1, false);
  EXPECT_EQ(scores.not_a_number(), 1u);
  EXPECT_EQ(scores.AreaUnderCurve().value, 1);
  LogLoss loss;
  loss.Add(0);
  loss.Add(std::nan(""));
  EXPECT_NEAR(loss.Mean(), 36.04, 0.01);
  RegressionErrors errors;
  errors.Add(std::numeric_limits<double>::infinity(), 1);
  EXPECT_EQ(errors.non_finite(), 1u);
  EXPECT_EQ(errors.MeanAbsolute(), 0);
}

TEST(QualityBoundsTest, MergedScoresAndErrorsEqualWhole) {
  Rng rng(2);
  ScoreHistogram whole, left, right;
  RegressionErrors all, some, others;
  LogLoss loss, first, second;
  for (int i = 0; i < 1000; ++i) {
    double score = static_cast<double>(rng.Below(64)) / 64;  // sums of these are exact
    bool positive = rng.Uniform()<score, here = rng.Below(2)> 0;
    whole.Add(score, positive);
    (here ? left : right).Add(score, positive);
    all.Add(score, 0.25);
    (here ? some : others).Add(score, 0.25);
    loss.Add(score);
    (here ? first : second).Add(score);
  }
  left.Merge(right);
  some.Merge(others);
  first.Merge(second);
  EXPECT_EQ(left.AreaUnderCurve().value, whole.AreaUnderCurve().value);
  EXPECT_EQ(left.CalibrationError(), whole.CalibrationError());
  EXPECT_EQ(some.RootMeanSquare(), all.RootMeanSquare());
  EXPECT_NEAR(first.Mean(), loss.Mean(), 1e-12);
  // Scores that are as likely as they say: an error of about sqrt(2/pi) sqrt(p q / 100).
  EXPECT_LT(whole.CalibrationError(), 0.06);
}

struct Measures {
  ConfusionMatrix classes;
  ScoreHistogram scores;
  LogLoss loss;
  RegressionErrors errors;

  void Add(size_t actual, double score, double weight) {
    classes.Add(actual, score > 0.5 ? 1 : 0, weight);
    scores.Add(score, actual > 0, weight);
    loss.Add(actual > 0 ? score : 1 - score, weight);
    errors.Add(static_cast<double>(actual), score, weight);
  }
  std::string Bytes() const {
    ByteWriter to('Q', 1);
    classes.Write(to);
    scores.Write(to);
    loss.Write(to);
    errors.Write(to);
    return std::move(to).Take();
  }
  bool Read(std::string_view bytes) {
    ByteReader from(bytes, 'Q', 1);
    classes.Read(from);
    scores.Read(from);
    loss.Read(from);
    errors.Read(from);
    return from.Finished();
  }
};

TEST(QualityWeightTest, AWeightIsSoManyOfTheSame) {
  Measures weighted, repeated;
  for (size_t i = 0; i < 40; ++i) {
    const double score = static_cast<double>(i) / 64;
    weighted.Add(i % 3 % 2, score, static_cast<double>(i % 4));
    for (size_t times = 0; times < i % 4; ++times) repeated.Add(i % 3 % 2, score, 1);
  }
  EXPECT_EQ(weighted.classes, repeated.classes);
  EXPECT_EQ(weighted.scores, repeated.scores);
  EXPECT_NEAR(weighted.loss.Mean(), repeated.loss.Mean(), 1e-12);
  EXPECT_EQ(weighted.errors, repeated.errors);
}

TEST(QualityBytesTest, WhatWasWrittenIsReadAndNothingElse) {
  Measures of, read;
  EXPECT_TRUE(read.Read(of.Bytes()));
  Rng rng(3);
  for (int i = 0; i < 300; ++i) of.Add(rng.Below(3), rng.Uniform(), i % 2 ? 1 : 1 + rng.Uniform());
  const std::string bytes = of.Bytes();
  EXPECT_TRUE(read.Read(bytes));
  EXPECT_NEAR(read.classes.total(), of.classes.total(), 1e-9);
  EXPECT_EQ(read.classes.count(2, 1), of.classes.count(2, 1));
  EXPECT_NEAR(read.scores.CalibrationError(), of.scores.CalibrationError(), 1e-12);
  EXPECT_NEAR(read.scores.AreaUnderCurve().value, of.scores.AreaUnderCurve().value, 1e-12);
  EXPECT_EQ(read.loss, of.loss);
  EXPECT_EQ(read.errors, of.errors);
  for (size_t size = 0; size < bytes.size(); ++size) {
    Measures cut;
    EXPECT_FALSE(cut.Read(std::string_view(bytes).substr(0, size))) << size;
  }
  for (int i = 0; i < 20'000; ++i) {
    std::string other = bytes;
    other[2 + rng.Below(other.size() - 2)] = static_cast<char>(rng());
    Measures bad;
    bad.Read(other);  // whatever it says, it is bounded and finite
    EXPECT_TRUE(std::isfinite(bad.classes.Accuracy()));
    EXPECT_TRUE(std::isfinite(bad.errors.MeanAbsolute()));
  }
}

TEST(ScoreHistogramTest, ExchangedOutcomesTurnTheAreaRound) {
  ScoreHistogram scores;
  for (int i = 0; i < 50; ++i) scores.Add(i / 50.0, i % 3 == 0);
  const double area = scores.AreaUnderCurve().value;
  scores.SwapOutcomes();
  EXPECT_NEAR(scores.AreaUnderCurve().value, 1 - area, 1e-12);
  EXPECT_EQ(scores.positives(), 33);
}

}  // namespace
}  // namespace leadsman
