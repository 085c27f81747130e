#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

#include "base/clock.h"

namespace leadsman {

/// How long one run of a model takes, by batch size: a moving mean for each power of two, learned from the runs
/// themselves. Used to refuse what cannot be answered in time, hence an estimate from below.
///
/// Thread-safe; a lost update between two threads is no harm.
class ServiceTimes {
 public:
  void Record(uint32_t rows, Duration took) {
    std::atomic<int64_t>& mean = means_[BucketOf(rows)];
    int64_t old = mean.load(std::memory_order_relaxed);
    int64_t ns = took.count() > 0 ? took.count() : 1;
    mean.store(old == 0 ? ns : old + (ns - old) / kWeight, std::memory_order_relaxed);
  }
  /// Of the largest size measured that is not larger than `rows`. Zero when there is none: then nothing is known.
  Duration AtLeast(uint32_t rows) const {
    for (size_t i = BucketOf(rows) + 1; i-- > 0;) {
      int64_t mean = means_[i].load(std::memory_order_relaxed);
      if (mean > 0) return Duration(mean);
    }
    return Duration::zero();
  }

 private:
  static constexpr int64_t kWeight = 8;  ///< the last run counts for an eighth
  static constexpr size_t kBuckets = 17;
  static size_t BucketOf(uint32_t rows) {
    size_t bucket = rows <= 1 ? 0 : static_cast<size_t>(std::bit_width(rows) - 1);
    return bucket < kBuckets ? bucket : kBuckets - 1;
  }
  std::array<std::atomic<int64_t>, kBuckets> means_{};
};

}  // namespace leadsman
