#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
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
  void Clear() {
    of_ = ScoreOf::kNothing;
    count_ = 0;
    classes_ = 0;
  }
  template <typename Number>
  void Add(std::span<const Number> scores) {
    if (count_ == values_.size()) return;
    const RowScore score = RowScoreOf(scores);
    if (of_ == ScoreOf::kNothing) of_ = score.of;
    const bool same = score.of == of_;
    AddClasses(same && of_ == ScoreOf::kBestClass ? scores : std::span<const Number>());
    values_[count_++] = same ? score.value : -1;
  }
  ScoreOf of() const { return of_; }
  /// Empty when no row has any.
  std::span<const float> values() const {
    return {values_.data(), of_ == ScoreOf::kNothing ? 0 : count_};
  }
  /// Of the same rows, when all that have scores have as many.
  ClassScores class_scores() const {
    if (classes_ == 0 || classes_ == kDiffer) return {};
    return {classes_, {classes_of_.data(), count_ * classes_}};
  }

 private:
  static constexpr uint32_t kDiffer = ClassScores::kMaxClasses + 1;  ///< or too many

  template <typename Number>
  void AddClasses(std::span<const Number> scores) {
    const auto classes = static_cast<uint32_t>(std::min<size_t>(scores.size(), kDiffer));
    if (classes_ == 0) {
      classes_ = classes;
      // Rows before this one had none.
      if (classes < kDiffer) std::fill_n(classes_of_.begin(), count_ * classes, 0.0f);
    }
    if (classes != 0 && classes != classes_) classes_ = kDiffer;
    if (classes_ == 0 || classes_ == kDiffer) return;
    float* const row = classes_of_.data() + count_ * classes_;
    std::fill_n(row, classes_, 0.0f);
    std::transform(scores.begin(), scores.end(), row,
                   [](Number score) { return static_cast<float>(score); });
  }

  ScoreOf of_ = ScoreOf::kNothing;
  size_t count_ = 0;
  uint32_t classes_ = 0;  ///< in each row
  std::array<float, PredictionEvent::kMaxPredictions> values_;
  std::array<float, PredictionEvent::kMaxPredictions * ClassScores::kMaxClasses> classes_of_;
};

}  // namespace leadsman
