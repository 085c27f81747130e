#include "monitor/quality/loss_totals.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "monitor/database.h"

namespace leadsman {
namespace {

KeptPrediction Answered(const std::string& predicted, double score = -1,
                        ScoreOf of = ScoreOf::kNothing) {
  KeptPrediction prediction;
  prediction.predicted = predicted;
  prediction.score = score;
  prediction.score_of = of;
  return prediction;
}

TEST(LossOfTest, NumbersHaveErrors) {
  const KeptPrediction answered = Answered("7.5");
  EXPECT_DOUBLE_EQ(*LossOf(answered, "10", true, LossMetric::kAbsoluteError), 2.5);
  EXPECT_DOUBLE_EQ(*LossOf(answered, "10", true, LossMetric::kSquaredError), 6.25);
  EXPECT_DOUBLE_EQ(*LossOf(answered, "7.50", false, LossMetric::kAbsoluteError), 0);
  EXPECT_TRUE(std::isnan(*LossOf(Answered("nan"), "1", true, LossMetric::kAbsoluteError)));
  EXPECT_FALSE(LossOf(Answered("cat"), "1", true, LossMetric::kAbsoluteError));
  EXPECT_FALSE(LossOf(answered, "dog", true, LossMetric::kSquaredError));
}

TEST(LossOfTest, ProbabilitiesAreThoseOfTheTruth) {
  struct Case {
    const char* why;
    KeptPrediction answered;
    const char* label;
    bool wrong;
    double probability;
  };
  for (const auto& [why, answered, label, wrong, probability] : {
           Case{"the second of two, right", Answered("yes", 0.9, ScoreOf::kSecondClass), "yes",
                false, 0.9},
           Case{"the second of two, wrong", Answered("yes", 0.9, ScoreOf::kSecondClass), "no", true,
                0.1},
           Case{"the first of two, right", Answered("no", 0.2, ScoreOf::kSecondClass), "no", false,
                0.8},
           Case{"the best of many, wrong", Answered("7", 0.6, ScoreOf::kBestClass), "1", true, 0.4},
           Case{"a number, of 1", Answered("0.7"), "1", true, 0.7},
           Case{"a number, of 0", Answered("0.7"), "0", true, 0.3},
       }) {
    EXPECT_NEAR(*LossOf(answered, label, wrong, LossMetric::kBrier),
                (1 - probability) * (1 - probability), 1e-12)
        << why;
    EXPECT_NEAR(*LossOf(answered, label, wrong, LossMetric::kLogLoss), -std::log(probability),
                1e-12)
        << why;
  }
  EXPECT_EQ(*LossOf(Answered("1", 1, ScoreOf::kBestClass), "2", true, LossMetric::kLogLoss),
            std::numeric_limits<double>::infinity());
}

TEST(LossOfTest, ANumberThatIsNoneIsTheWorstAnswer) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const KeptPrediction& answered :
       {Answered("nan"), Answered("inf"), Answered("cat", nan, ScoreOf::kBestClass)}) {
    for (const LossMetric metric : {LossMetric::kBrier, LossMetric::kLogLoss}) {
      LossTotals totals;
      totals.MeasureBy({metric, 5});
      totals.Add(LossOf(answered, "1", true, metric), true);
      EXPECT_EQ(totals.drawn.sum, 1) << answered.predicted << ": as a share of the highest";
      EXPECT_EQ(totals.unmeasured, 0u);
    }
  }
}

TEST(LossOfTest, WithoutAProbabilityThereIsNone) {
  for (const KeptPrediction& answered :
       {Answered("cat"), Answered("3.5"), Answered("cat", -1, ScoreOf::kBestClass),
        Answered("cat", 1.5, ScoreOf::kSecondClass)}) {
    EXPECT_FALSE(LossOf(answered, "1", true, LossMetric::kBrier)) << answered.predicted;
  }
  EXPECT_FALSE(LossOf(Answered("0.5"), "2", true, LossMetric::kLogLoss)) << "a label of neither";
}

TEST(LossTotalsTest, BytesAreReadBackAndOthersRefused) {
  LossTotals totals;
  totals.MeasureBy({LossMetric::kBrier, 1});
  for (double loss : {0.1, 0.25, 7.0}) totals.Add(loss, true);
  totals.Add(0.5, false);
  totals.Add(std::nullopt, true);
  const std::string bytes = totals.ToBytes();
  EXPECT_EQ(LossTotals::FromBytes(bytes), totals);
  for (size_t i = 0; i < bytes.size(); ++i)
    EXPECT_FALSE(LossTotals::FromBytes(bytes.substr(0, i))) << i;
  LossTotals wrong = totals;
  wrong.all.sum = 99;
  EXPECT_FALSE(LossTotals::FromBytes(wrong.ToBytes())) << "more than there are losses";
  wrong = totals;
  wrong.measure.highest = 0;
  EXPECT_FALSE(LossTotals::FromBytes(wrong.ToBytes()));
}

}  // namespace
}  // namespace leadsman
