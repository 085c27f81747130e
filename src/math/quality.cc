#include "math/quality.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace leadsman {
namespace {

double Ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

}  // namespace

double ConfusionMatrix::ClassFigures::Precision() const {
  return Ratio(static_cast<double>(hits), static_cast<double>(predicted));
}
double ConfusionMatrix::ClassFigures::Recall() const {
  return Ratio(static_cast<double>(hits), static_cast<double>(actual));
}
double ConfusionMatrix::ClassFigures::F1() const {
  return Ratio(2 * static_cast<double>(hits), static_cast<double>(actual + predicted));
}

void ConfusionMatrix::Widen(size_t size) {
  if (size <= size_) return;
  std::vector<uint32_t> wider(size * size);
  for (size_t row = 0; row < size_; ++row) {
    std::copy_n(counts_.begin() + static_cast<ptrdiff_t>(row * size_), size_,
                wider.begin() + static_cast<ptrdiff_t>(row * size));
  }
  counts_ = std::move(wider);
  size_ = size;
}

void ConfusionMatrix::Add(size_t actual, size_t predicted, uint32_t count) {
  actual = std::min(actual, kMaxClasses - 1);
  predicted = std::min(predicted, kMaxClasses - 1);
  Widen(std::max(actual, predicted) + 1);
  counts_[actual * size_ + predicted] += count;
  total_ += count;
}

void ConfusionMatrix::Merge(const ConfusionMatrix& other) {
  Widen(other.size_);
  for (size_t row = 0; row < other.size_; ++row) {
    for (size_t column = 0; column < other.size_; ++column) {
      counts_[row * size_ + column] += other.count(row, column);
    }
  }
  total_ += other.total_;
}

double ConfusionMatrix::Accuracy() const {
  double hits = 0;
  for (size_t i = 0; i < size_; ++i) hits += count(i, i);
  return Ratio(hits, static_cast<double>(total_));
}

ConfusionMatrix::ClassFigures ConfusionMatrix::Of(size_t index) const {
  ClassFigures figures;
  if (index >= size_) return figures;
  for (size_t other = 0; other < size_; ++other) {
    figures.actual += count(index, other);
    figures.predicted += count(other, index);
  }
  figures.hits = count(index, index);
  return figures;
}

ConfusionMatrix::MacroFigures ConfusionMatrix::Macro() const {
  MacroFigures macro;
  double occurring = 0;
  for (size_t i = 0; i < size_; ++i) {
    ClassFigures figures = Of(i);
    if (figures.actual + figures.predicted == 0) continue;
    ++occurring;
    macro.precision += figures.Precision();
    macro.recall += figures.Recall();
    macro.f1 += figures.F1();
  }
  if (occurring > 0) {
    macro.precision /= occurring;
    macro.recall /= occurring;
    macro.f1 /= occurring;
  }
  return macro;
}

void ScoreHistogram::Add(double score, bool positive) {
  if (std::isnan(score)) {
    ++not_a_number_;
    return;
  }
  score = std::clamp(score, 0.0, 1.0);
  auto bin = std::min(static_cast<size_t>(score * kBins), kBins - 1);
  ++(positive ? positive_ : negative_)[bin];
  ++(positive ? positives_ : negatives_);
  score_sums_[bin / (kBins / kCalibrationBins)] += score;
}

void ScoreHistogram::Merge(const ScoreHistogram& other) {
  for (size_t i = 0; i < kBins; ++i) {
    positive_[i] += other.positive_[i];
    negative_[i] += other.negative_[i];
  }
  for (size_t i = 0; i < kCalibrationBins; ++i) score_sums_[i] += other.score_sums_[i];
  positives_ += other.positives_;
  negatives_ += other.negatives_;
  not_a_number_ += other.not_a_number_;
}

ScoreHistogram::Auc ScoreHistogram::AreaUnderCurve() const {
  double pairs = static_cast<double>(positives_) * static_cast<double>(negatives_);
  if (pairs == 0) return {};
  double won = 0, tied = 0, negatives_below = 0;
  for (size_t i = 0; i < kBins; ++i) {
    won += positive_[i] * negatives_below;
    tied += static_cast<double>(positive_[i]) * negative_[i];
    negatives_below += negative_[i];
  }
  return {(won + tied / 2) / pairs, tied / 2 / pairs};
}

double ScoreHistogram::CalibrationError() const {
  constexpr size_t kWidth = kBins / kCalibrationBins;
  double error = 0;
  for (size_t i = 0; i < kCalibrationBins; ++i) {
    double positives = 0;
    for (size_t bin = i * kWidth; bin < (i + 1) * kWidth; ++bin) positives += positive_[bin];
    error += std::fabs(score_sums_[i] - positives);
  }
  return Ratio(error, static_cast<double>(positives_ + negatives_));
}

void LogLoss::Add(double probability_of_truth) {
  constexpr double kLeast = std::numeric_limits<double>::epsilon();
  double p = std::isnan(probability_of_truth) ? 0 : probability_of_truth;
  sum_ -= std::log(std::clamp(p, kLeast, 1 - kLeast));
  ++count_;
}

void LogLoss::Merge(const LogLoss& other) {
  sum_ += other.sum_;
  count_ += other.count_;
}

void RegressionErrors::Add(double actual, double predicted) {
  double error = predicted - actual;
  if (!std::isfinite(error * error)) {
    ++non_finite_;
    return;
  }
  absolute_ += std::fabs(error);
  square_ += error * error;
  signed_ += error;
  ++count_;
}

void RegressionErrors::Merge(const RegressionErrors& other) {
  absolute_ += other.absolute_;
  square_ += other.square_;
  signed_ += other.signed_;
  count_ += other.count_;
  non_finite_ += other.non_finite_;
}

double RegressionErrors::RootMeanSquare() const { return std::sqrt(Mean(square_)); }

}  // namespace leadsman
