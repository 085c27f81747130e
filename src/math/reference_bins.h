#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "math/quantile_sketch.h"

namespace leadsman {

class BinnedCounts;

/// Where to cut a feature's values so that the reference puts about the same share into each bin:
/// at its quantiles. A value that is frequent by itself (at least one part of the whole: zeros, a
/// constant, small integers) gets a bin of its own, so that ties never blur a cut, and a constant
/// has three bins: below it, it, above it. Made once per reference; windows are counted by the same
/// bins (BinnedCounts) and compared (math/distance.h).
///
/// Bin i takes the values in (cut i-1, cut i]; below the first cut and above the last is unbounded.
/// Values are compared as floats, as features travel: a reference read as doubles and traffic in
/// floats fall into the same bins. Immutable, so safe from any thread.
class ReferenceBins {
 public:
  static constexpr size_t kDefaultParts = 10;
  static constexpr size_t kMaxParts = 31;
  static constexpr size_t kMaxCuts = 64;

  /// One bin for everything.
  ReferenceBins() { cuts_.fill(std::numeric_limits<float>::infinity()); }
  /// 2 <= parts <= kMaxParts. Values that are not finite are passed over.
  static ReferenceBins FromSample(std::span<const float> values, size_t parts = kDefaultParts);
  /// Cuts at edges of the sketch's bins only: Count(sketch) of the reference is then exact, and a
  /// part is as large as wanted but for the values of one such bin.
  static ReferenceBins FromSketch(const QuantileSketch& sketch, size_t parts = kDefaultParts);

  /// The number of cuts below `value`. Not for NaN.
  size_t IndexOf(float value) const;
  size_t size() const { return cut_count_ + 1; }
  std::span<const float> cuts() const { return {cuts_.data(), cut_count_}; }
  /// What is in the sketch, each of its bins by its middle.
  BinnedCounts Count(const QuantileSketch& sketch) const;

  /// 4 bytes a cut. Parse takes any bytes and gives nothing for those that ToBytes did not write.
  std::string ToBytes() const;
  static std::optional<ReferenceBins> Parse(std::string_view bytes);

  friend bool operator==(const ReferenceBins&, const ReferenceBins&) = default;

 private:
  class Cutter;
  size_t cut_count_ = 0;
  std::array<float, kMaxCuts> cuts_;  ///< ascending, then infinities
};

/// How many values of a window fell into each bin of a ReferenceBins, were missing, or were not
/// finite. Merging is exact. Externally synchronised.
class BinnedCounts {
 public:
  /// Counts for all bins, then those missing, then those that are not finite.
  explicit BinnedCounts(const ReferenceBins& bins) : cells_(bins.size() + 2) {}

  /// `bins` is the one given at construction.
  void Add(const ReferenceBins& bins, float value) {
    uint64_t& cell = cells_[value - value == 0 ? bins.IndexOf(value) : cells_.size() - 1];
    ++cell;
  }
  void AddToBin(size_t bin, uint64_t count) { cells_[bin] += count; }
  void AddMissing(uint64_t count = 1) { cells_[cells_.size() - 2] += count; }
  void AddNonFinite(uint64_t count = 1) { cells_[cells_.size() - 1] += count; }
  /// Nothing happens, and false is returned, when `other` has another number of bins.
  bool Merge(const BinnedCounts& other);

  std::span<const uint64_t> cells() const { return cells_; }
  std::span<const uint64_t> bins() const { return cells().first(cells_.size() - 2); }
  uint64_t missing() const { return cells_[cells_.size() - 2]; }
  uint64_t non_finite() const { return cells_.back(); }
  uint64_t total() const;

  /// A byte or two a cell. Parse takes any bytes and gives nothing for those that ToBytes did not
  /// write.
  std::string ToBytes() const;
  static std::optional<BinnedCounts> Parse(std::string_view bytes);

  friend bool operator==(const BinnedCounts&, const BinnedCounts&) = default;

 private:
  BinnedCounts() = default;
  std::vector<uint64_t> cells_;
};

}  // namespace leadsman
