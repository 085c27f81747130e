#include "math/quality.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "math/byte_form.h"

namespace leadsman {
namespace {

double Ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }

/// Sums of many such are finite still.
constexpr double kMost = 1e200;
bool IsCount(double value) { return value >= 0 && value <= kMost; }

/// Whole numbers, as all of weight 1 are, take few bytes.
void WriteCount(double count, ByteWriter& to) {
  constexpr double kExact = 0x1p53;
  const bool whole = count < kExact && count == std::floor(count);
  const auto number = whole ? static_cast<uint64_t>(count) : 0;
  to.Varint(whole ? number << 1 : 1);
  if (!whole) to.Double(count);
}

double ReadCount(ByteReader& from) {
  const uint64_t number = from.Varint();
  const double count = number == 1 ? from.Double() : static_cast<double>(number >> 1);
  if (!IsCount(count) || (number != 1 && number % 2 == 1)) from.Fail();
  return from.ok() ? count : 0;
}

/// Those that are not 0, each after how many that are.
void WriteSparse(std::span<const double> counts, ByteWriter& to) {
  uint64_t zeros = 0;
  for (double count : counts) {
    if (count == 0) {
      ++zeros;
      continue;
    }
    to.Varint(zeros);
    WriteCount(count, to);
    zeros = 0;
  }
  to.Varint(counts.size());  // more zeros than there is room for: the end
}

void ReadSparse(ByteReader& from, std::span<double> counts) {
  for (size_t at = 0; from.ok(); ++at) {
    const uint64_t zeros = from.Varint();
    if (zeros == counts.size()) return;
    if (zeros >= counts.size() || at + zeros >= counts.size()) return from.Fail();
    at += zeros;
    counts[at] = ReadCount(from);
  }
}

double Sum(std::span<const double> counts) {
  double sum = 0;
  for (double count : counts) sum += count;
  return sum;
}

double ReadSum(ByteReader& from) {
  const double sum = from.Double();
  if (!(std::abs(sum) <= kMost)) from.Fail();
  return from.ok() ? sum : 0;
}

}  // namespace

double ConfusionMatrix::ClassFigures::Precision() const { return Ratio(hits, predicted); }
double ConfusionMatrix::ClassFigures::Recall() const { return Ratio(hits, actual); }
double ConfusionMatrix::ClassFigures::F1() const { return Ratio(2 * hits, actual + predicted); }

void ConfusionMatrix::Widen(size_t size) {
  if (size <= size_) return;
  std::vector<double> wider(size * size);
  for (size_t row = 0; row < size_; ++row) {
    std::copy_n(counts_.begin() + static_cast<ptrdiff_t>(row * size_), size_,
                wider.begin() + static_cast<ptrdiff_t>(row * size));
  }
  counts_ = std::move(wider);
  size_ = size;
}

void ConfusionMatrix::Add(size_t actual, size_t predicted, double weight) {
  actual = std::min(actual, kMaxClasses - 1);
  predicted = std::min(predicted, kMaxClasses - 1);
  Widen(std::max(actual, predicted) + 1);
  counts_[actual * size_ + predicted] += weight;
  total_ += weight;
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
  return Ratio(hits, total_);
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

void ConfusionMatrix::Write(ByteWriter& to) const {
  to.Varint(size_);
  WriteSparse(counts_, to);
}

void ConfusionMatrix::Read(ByteReader& from) {
  *this = {};
  const uint64_t size = from.Varint();
  if (size > kMaxClasses) return from.Fail();
  Widen(size);
  ReadSparse(from, counts_);
  if (!from.ok()) {
    *this = {};
    return;
  }
  total_ = Sum(counts_);
}

void ScoreHistogram::Add(double score, bool positive, double weight) {
  if (std::isnan(score)) {
    not_a_number_ += weight;
    return;
  }
  score = std::clamp(score, 0.0, 1.0);
  auto bin = std::min(static_cast<size_t>(score * kBins), kBins - 1);
  (positive ? positive_ : negative_)[bin] += weight;
  (positive ? positives_ : negatives_) += weight;
  score_sums_[bin / (kBins / kCalibrationBins)] += weight * score;
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

void ScoreHistogram::SwapOutcomes() {
  positive_.swap(negative_);
  std::swap(positives_, negatives_);
}

ScoreHistogram::Auc ScoreHistogram::AreaUnderCurve() const {
  const double pairs = positives_ * negatives_;
  if (pairs == 0) return {};
  double won = 0, tied = 0, negatives_below = 0;
  for (size_t i = 0; i < kBins; ++i) {
    won += positive_[i] * negatives_below;
    tied += positive_[i] * negative_[i];
    negatives_below += negative_[i];
  }
  return {(won + tied / 2) / pairs, tied / 2 / pairs};
}

std::array<ScoreHistogram::CalibrationBin, ScoreHistogram::kCalibrationBins>
ScoreHistogram::Calibration() const {
  constexpr size_t kWidth = kBins / kCalibrationBins;
  std::array<CalibrationBin, kCalibrationBins> bins;
  for (size_t i = 0; i < kCalibrationBins; ++i) {
    const double positives = Sum(std::span(positive_).subspan(i * kWidth, kWidth));
    bins[i].count = positives + Sum(std::span(negative_).subspan(i * kWidth, kWidth));
    bins[i].mean_score = Ratio(score_sums_[i], bins[i].count);
    bins[i].positive_share = Ratio(positives, bins[i].count);
  }
  return bins;
}

double ScoreHistogram::CalibrationError() const {
  double error = 0;
  for (const CalibrationBin& bin : Calibration()) {
    error += bin.count * std::fabs(bin.mean_score - bin.positive_share);
  }
  return Ratio(error, positives_ + negatives_);
}

void ScoreHistogram::Write(ByteWriter& to) const {
  WriteSparse(positive_, to);
  WriteSparse(negative_, to);
  WriteCount(not_a_number_, to);
  for (double sum : score_sums_) to.Double(sum);
}

void ScoreHistogram::Read(ByteReader& from) {
  *this = {};
  ReadSparse(from, positive_);
  ReadSparse(from, negative_);
  not_a_number_ = ReadCount(from);
  for (double& sum : score_sums_) sum = ReadSum(from);
  if (!from.ok()) {
    *this = {};
    return;
  }
  positives_ = Sum(positive_);
  negatives_ = Sum(negative_);
}

void LogLoss::Add(double probability_of_truth, double weight) {
  constexpr double kLeast = std::numeric_limits<double>::epsilon();
  double p = std::isnan(probability_of_truth) ? 0 : probability_of_truth;
  sum_ -= weight * std::log(std::clamp(p, kLeast, 1 - kLeast));
  count_ += weight;
}

void LogLoss::Write(ByteWriter& to) const {
  to.Double(sum_);
  WriteCount(count_, to);
}

void LogLoss::Read(ByteReader& from) {
  sum_ = ReadSum(from);
  count_ = ReadCount(from);
  if (!from.ok()) *this = {};
}

void LogLoss::Merge(const LogLoss& other) {
  sum_ += other.sum_;
  count_ += other.count_;
}

void RegressionErrors::Add(double actual, double predicted, double weight) {
  double error = predicted - actual;
  if (!std::isfinite(error * error)) {
    non_finite_ += weight;
    return;
  }
  absolute_ += weight * std::fabs(error);
  square_ += weight * error * error;
  signed_ += weight * error;
  count_ += weight;
}

void RegressionErrors::Merge(const RegressionErrors& other) {
  absolute_ += other.absolute_;
  square_ += other.square_;
  signed_ += other.signed_;
  count_ += other.count_;
  non_finite_ += other.non_finite_;
}

double RegressionErrors::RootMeanSquare() const { return std::sqrt(Mean(square_)); }

double RegressionErrors::AbsoluteDeviation() const {
  const double mean = Mean(absolute_);
  return std::sqrt(std::max(Mean(square_) - mean * mean, 0.0));
}

void RegressionErrors::Write(ByteWriter& to) const {
  for (double sum : {absolute_, square_, signed_}) to.Double(sum);
  WriteCount(count_, to);
  WriteCount(non_finite_, to);
}

void RegressionErrors::Read(ByteReader& from) {
  for (double* sum : {&absolute_, &square_, &signed_}) *sum = ReadSum(from);
  count_ = ReadCount(from);
  non_finite_ = ReadCount(from);
  if (!from.ok()) *this = {};
}

}  // namespace leadsman
