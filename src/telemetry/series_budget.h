#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "stats/registry.h"

namespace leadsman {

/// The registry as exporters read it: with at most `max_series` series, so that a server of many models does not drown who
/// scrapes it. While there are more, families go by this order until the rest fits, in each step the largest first:
///
///   1. those of single features, classes and segments (by their labels), whole
///   2. the buckets of histograms; count and sum stay, and the native form
///   3. the others, whole
///
/// A family is never cut in the middle: sums over what is left of it would be wrong without a word. What is left out is
/// counted, told by `view`, and logged once. Thread-safe.
class SeriesBudget {
 public:
  /// `max_series` 0: no limit. The registry must outlive it.
  SeriesBudget(Registry& registry, size_t max_series);

  std::vector<MetricFamily> Collect();

  struct LeftOut {
    std::string family;
    size_t series = 0;
    bool buckets_only = false;
  };
  struct View {
    size_t series = 0;  ///< at the last Collect, of what was given out
    size_t max_series = 0;
    std::vector<LeftOut> left_out;
  };
  View view() const;

 private:
  void Remember(size_t series, std::vector<LeftOut> left_out);

  Registry& registry_;
  const size_t max_series_;
  mutable Mutex mutex_;
  size_t series_ GUARDED_BY(mutex_) = 0;
  std::vector<LeftOut> left_out_ GUARDED_BY(mutex_);
  uint64_t dropped_ GUARDED_BY(mutex_) = 0;
  bool told_ GUARDED_BY(mutex_) = false;
  std::vector<Registry::Registration> registrations_;  ///< go first
};

}  // namespace leadsman
