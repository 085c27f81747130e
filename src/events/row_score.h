#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include "events/prediction_event.h"

namespace leadsman {

/// What PredictionEvent::row_scores keep of the scores of one row's classes.
struct RowScore {
  ScoreOf of = ScoreOf::kNothing;
  float value = -1;
};

/// The scores of all classes of a row are probabilities when there are several, none is below 0 and
/// they sum to 1: within a hundredth, for frameworks compute in 16 or 32 bits. Logits are not, nor
/// are the scores of classes that do not exclude each other.
template <typename Number>
RowScore RowScoreOf(std::span<const Number> scores) {
  constexpr double kTolerance = 0.01;
  double sum = 0, best = 0;
  for (Number score : scores) {
    const auto p = static_cast<double>(score);
    if (!(p >= 0)) return {};  // nor NaN
    sum += p;
    best = std::max(best, p);
  }
  if (scores.size() < 2 || !(std::abs(sum - 1) <= kTolerance)) return {};
  const bool two = scores.size() == 2;
  const double value = two ? static_cast<double>(scores[1]) : best;
  return {two ? ScoreOf::kSecondClass : ScoreOf::kBestClass,
          static_cast<float>(std::min(value, 1.0))};
}

/// Those of all rows of one answer, in the order of its rows. Two classes in one row and more in
/// another are no classes of one model: the first row's stay.
class RowScores {
 public:
  void Clear() { *this = {}; }
  void Add(RowScore score) {
    if (count_ == values_.size()) return;
    if (of_ == ScoreOf::kNothing) of_ = score.of;
    values_[count_++] = score.of == of_ ? score.value : -1;
  }
  ScoreOf of() const { return of_; }
  /// Empty when no row has any.
  std::span<const float> values() const {
    return {values_.data(), of_ == ScoreOf::kNothing ? 0 : count_};
  }

 private:
  ScoreOf of_ = ScoreOf::kNothing;
  size_t count_ = 0;
  std::array<float, PredictionEvent::kMaxPredictions> values_{};
};

}  // namespace leadsman
