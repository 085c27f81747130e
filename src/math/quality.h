#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace leadsman {

class ByteReader;
class ByteWriter;

/// Measures of how good predictions were, once their labels are known. All are sums, so labels may
/// come in any order and merged equals whole; all give what scikit-learn gives (quality_test.cc),
/// with weights what it gives with sample_weight. Counts are doubles: of weight 1 they are exact to
/// 2^53. Write and Read are their byte forms (byte_form.h); Read takes what Write wrote, or fails the
/// reader and leaves a measure of nothing. Externally synchronised. A measure of nothing is 0.

/// Of classes numbered from 0. Those from kMaxClasses - 1 on share the last number.
/// 8 bytes times the square of the largest number seen, at most 512 KiB.
class ConfusionMatrix {
 public:
  static constexpr size_t kMaxClasses = 256;

  /// One class's own figures. 0 where there is nothing to divide by.
  struct ClassFigures {
    double actual = 0, predicted = 0, hits = 0;
    double Precision() const;
    double Recall() const;
    double F1() const;
  };
  /// Plain means over the classes that occur, as label or as prediction.
  struct MacroFigures {
    double precision = 0, recall = 0, f1 = 0;
  };

  void Add(size_t actual, size_t predicted, double weight = 1);
  void Merge(const ConfusionMatrix& other);

  double total() const { return total_; }
  size_t classes() const { return size_; }
  double count(size_t actual, size_t predicted) const {
    return counts_[actual * size_ + predicted];
  }
  double Accuracy() const;
  ClassFigures Of(size_t index) const;
  MacroFigures Macro() const;

  void Write(ByteWriter& to) const;
  void Read(ByteReader& from);

  friend bool operator==(const ConfusionMatrix&, const ConfusionMatrix&) = default;

 private:
  void Widen(size_t size);

  size_t size_ = 0;
  double total_ = 0;
  std::vector<double> counts_;  ///< row: what it was; column: what was predicted
};

/// Scores in [0, 1] of positives and negatives, in 1000 bins: AUC with an error bound, and
/// calibration. Scores outside count as 0 or 1; what is not a number is counted apart.
class ScoreHistogram {
 public:
  static constexpr size_t kBins = 1000;
  static constexpr size_t kCalibrationBins = 10;

  void Add(double score, bool positive, double weight = 1);
  void Merge(const ScoreHistogram& other);
  /// What was a positive is a negative, and the other way round.
  void SwapOutcomes();

  double positives() const { return positives_; }
  double negatives() const { return negatives_; }
  double not_a_number() const { return not_a_number_; }

  struct Auc {
    double value = 0.5;
    /// The area of the values themselves is at most so far away: half of all pairs that share a bin.
    double error = 0.5;
  };
  /// The chance that a positive scores higher than a negative, ties as half. 0.5 +- 0.5 while there
  /// are none of one kind.
  Auc AreaUnderCurve() const;

  /// Expected calibration error (Naeini, Cooper and Hauskrecht, AAAI 2015): mean over ten bins of
  /// equal width, weighted by their values, of |mean score - share of positives|. Bin i has scores in
  /// [i/10, (i+1)/10), the last one 1 as well. Of a perfectly calibrated model it is about
  /// sqrt(2/pi) times the mean of sqrt(p (1-p) / values in the bin), never 0.
  double CalibrationError() const;
  /// One of its ten bins.
  struct CalibrationBin {
    double count = 0;
    double mean_score = 0;
    double positive_share = 0;
  };
  std::array<CalibrationBin, kCalibrationBins> Calibration() const;

  void Write(ByteWriter& to) const;
  void Read(ByteReader& from);

  friend bool operator==(const ScoreHistogram&, const ScoreHistogram&) = default;

 private:
  using Bins = std::array<double, kBins>;

  Bins positive_{}, negative_{};
  std::array<double, kCalibrationBins> score_sums_{};
  double positives_ = 0, negatives_ = 0, not_a_number_ = 0;
};

/// Mean of -ln(probability given to what came true). Probabilities are kept at least 2.2e-16, as
/// scikit-learn does, so that one mistake made with certainty costs 36 and not infinity.
class LogLoss {
 public:
  /// NaN is counted as 0: nothing was given to the truth.
  void Add(double probability_of_truth, double weight = 1);
  void Merge(const LogLoss& other);
  double Mean() const { return count_ > 0 ? sum_ / count_ : 0; }
  double count() const { return count_; }

  void Write(ByteWriter& to) const;
  void Read(ByteReader& from);

  friend bool operator==(const LogLoss&, const LogLoss&) = default;

 private:
  double sum_ = 0;
  double count_ = 0;
};

/// Of predicted numbers. Pairs that are not finite are counted apart.
class RegressionErrors {
 public:
  void Add(double actual, double predicted, double weight = 1);
  void Merge(const RegressionErrors& other);
  double MeanAbsolute() const { return Mean(absolute_); }
  double RootMeanSquare() const;
  double Bias() const { return Mean(signed_); }  ///< predicted - actual
  double count() const { return count_; }
  double non_finite() const { return non_finite_; }
  /// Of the absolute errors: for the standard error of their mean.
  double AbsoluteDeviation() const;

  void Write(ByteWriter& to) const;
  void Read(ByteReader& from);

  friend bool operator==(const RegressionErrors&, const RegressionErrors&) = default;

 private:
  double Mean(double sum) const { return count_ > 0 ? sum / count_ : 0; }

  double absolute_ = 0, square_ = 0, signed_ = 0;
  double count_ = 0, non_finite_ = 0;
};

}  // namespace leadsman
