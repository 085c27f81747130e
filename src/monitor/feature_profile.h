#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace leadsman {

class ByteReader;
class ByteWriter;

/// Counts of values by size with a bounded relative error (the DDSketch idea): sixteen buckets to
/// each doubling, so a quantile is at most 3.2 % off. The bucket is read from the float's own bits,
/// without a logarithm. Grows with the span of the values up to kMaxBuckets (32 doublings a sign);
/// beyond it the smallest magnitudes share one bucket. Externally synchronised. Mergeable.
class ValueSketch {
 public:
  static constexpr size_t kMaxBuckets = 512;

  /// `value` must be finite.
  void Add(float value, double weight);
  void Merge(const ValueSketch& other);
  /// 0 ≤ q ≤ 1; 0 when empty.
  double Quantile(double q) const;
  double count() const { return zeros_ + positive_.total + negative_.total; }
  double zeros() const { return zeros_; }

  /// The byte form, of whole weights. Read takes any bytes, and fails the reader for those that cannot be.
  void Write(ByteWriter& to) const;
  void Read(ByteReader& from);

 private:
  /// Buckets of magnitudes: `counts[i]` is bucket `first + i`.
  struct Side {
    int first = 0;
    double total = 0;
    std::vector<double> counts;
    void Add(int bucket, double weight);
    double& Slot(int bucket);
    void Write(ByteWriter& to) const;
    void Read(ByteReader& from);
  };
  Side positive_;
  Side negative_;
  double zeros_ = 0;
};

/// What is known about one input feature.
/// Externally synchronised.
class FeatureProfile {
 public:
  void Add(float value, double weight);
  void Merge(const FeatureProfile& other);
  /// As of ValueSketch.
  void Write(ByteWriter& to) const;
  void Read(ByteReader& from);

  double weight() const {
    return weight_;
  }  ///< of the finite values; about the number of requests they stand for
  double non_finite() const { return non_finite_; }
  double mean() const;
  double standard_deviation() const;
  float min() const { return min_; }  ///< 0 when there are no values
  float max() const { return max_; }
  const ValueSketch& sketch() const { return sketch_; }

 private:
  // Sums of differences from the first value: as stable as a running mean, without its division.
  double shift_ = 0;
  double weight_ = 0;
  double sum_ = 0;
  double sum_squares_ = 0;
  double non_finite_ = 0;
  float min_ = 0;
  float max_ = 0;
  ValueSketch sketch_;
};

}  // namespace leadsman
