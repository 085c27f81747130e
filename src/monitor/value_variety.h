#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "math/distinct_count.h"
#include "math/heavy_hitters.h"

namespace leadsman {

/// How many different finite numbers a feature has had, and which of them come often: what tells a category from a
/// measurement, an id from either, and a value that stands for "missing". Merged equals whole: the number of different ones
/// exactly, the frequent ones within their bounds. 8 KiB. Externally synchronised.
class ValueVariety {
 public:
  static constexpr size_t kKept = 32;
  /// Fewer might be those of one person; what has been looked at so seldom is not told.
  static constexpr uint64_t kFewestTold = 20;
  /// As a share of all values.
  static constexpr double kLeastShare = 0.01;

  /// `weight` is rounded to a whole number, at least 1. Others than finite values are passed over.
  void Add(float value, double weight);
  void Merge(const ValueVariety& other);

  /// Exact up to DistinctCount::kMaxExact, then with its standard error of 1.6 %.
  double distinct() const { return distinct_.Estimate(); }
  bool exact() const { return distinct_.exact(); }

  struct Frequent {
    float value = 0;
    /// The true share lies between them for as long as exact(); beyond that one value of kSampled is looked at, and
    /// chance is to be added: sqrt(kSampled / number of values) at most.
    double at_least = 0, at_most = 0;
  };
  /// The most frequent first, `most` at most, none that is seldom.
  std::vector<Frequent> MostFrequent(size_t most) const;

  static constexpr size_t kMostBytes = 16 << 10;  ///< of its byte form
  std::string ToBytes() const;
  /// False for what ToBytes did not write; it is empty then.
  bool Parse(std::string_view bytes);

 private:
  static constexpr uint64_t kSampled = 16;
  static constexpr uint64_t kMostEach = uint64_t{1} << 32;

  DistinctCount distinct_;
  HeavyHitters frequent_{kKept};  ///< by the four bytes of the number
  uint64_t seen_ = 0;             ///< since there were too many to count exactly
  uint64_t most_each_ = 1;        ///< what a single value has counted for, at most
};

}  // namespace leadsman
