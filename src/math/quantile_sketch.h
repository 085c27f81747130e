#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace leadsman {

/// Counts of values by size, from which every quantile is known within 1/65 (1.54 %) of its value:
/// 32 bins to each doubling, told by the number's own bits, without a logarithm. The idea is
/// DDSketch's (Masson, Rim and Lee, VLDB 2019); what differs is that bins divide a doubling evenly,
/// which needs 1.44 times as many.
///
/// Bounded: each sign has at most kMaxBins bins, a span of 32 doublings (4e9) below its largest
/// magnitude. Smaller magnitudes share the lowest bin (`collapsed()`), and the bound does not hold
/// for them. Magnitudes below 2.3e-308 are zeros. NaN and infinities are counted apart.
///
/// Counts are whole numbers and the bins are the same everywhere, so merging is exact, in any order:
/// two sketches merged equal one that saw all values. A sampled value is added once, not with a
/// weight; the noise of a distance depends on how many were seen.
///
/// Memory: 8 bytes a bin between the smallest and the largest magnitude, at most 16 KiB; typical
/// features take 1 to 4. Externally synchronised.
class QuantileSketch {
 public:
  static constexpr double kRelativeError = 1.0 / 65;
  static constexpr size_t kMaxBins = 1024;  ///< of each sign

  /// The values of one bin lie in (low, high) or on an edge; `middle` is within kRelativeError of
  /// all, and not beyond the smallest and largest value seen.
  struct Bin {
    double low = 0, high = 0, middle = 0;
    uint64_t count = 0;
    friend bool operator==(const Bin&, const Bin&) = default;
  };

  void Add(double value, uint64_t count = 1);
  void Merge(const QuantileSketch& other);

  /// The value at rank max(1, ceil(q * count())) in ascending order, 0 <= q <= 1, within
  /// kRelativeError; the ends are exact. 0 when there are none.
  double Quantile(double q) const;
  /// The share of finite values at or below `value`, but for those in its own bin: half of these.
  double Rank(double value) const;
  /// Bins that hold values, in ascending order.
  std::vector<Bin> Bins() const;

  uint64_t count() const { return zeros_ + positive_.total + negative_.total; }  ///< finite ones
  uint64_t zeros() const { return zeros_; }
  uint64_t non_finite() const { return non_finite_; }
  double min() const { return min_; }  ///< exact; 0 when there are none
  double max() const { return max_; }
  bool collapsed() const { return positive_.collapsed || negative_.collapsed; }

  /// A byte or two for each bin. Parse takes any bytes and gives nothing for those that ToBytes did
  /// not write.
  std::string ToBytes() const;
  static std::optional<QuantileSketch> Parse(std::string_view bytes);

  friend bool operator==(const QuantileSketch&, const QuantileSketch&) = default;

 private:
  /// Magnitudes of one sign: `counts[i]` is bin `first + i`; its ends are not empty.
  struct Side {
    int first = 0;
    uint64_t total = 0;
    bool collapsed = false;
    std::vector<uint64_t> counts;

    void Add(int bin, uint64_t count);
    uint64_t& Slot(int bin);
    void Merge(const Side& other);
    int last() const { return first + static_cast<int>(counts.size()) - 1; }
    friend bool operator==(const Side&, const Side&) = default;
  };
  void Widen(double low, double high);
  bool ExtremesFit() const;

  Side positive_, negative_;
  uint64_t zeros_ = 0;
  uint64_t non_finite_ = 0;
  double min_ = 0, max_ = 0;
};

}  // namespace leadsman
