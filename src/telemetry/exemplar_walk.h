#pragma once

#include "stats/registry.h"

namespace leadsman {

/// A histogram's exemplars bucket by bucket, in order. Lives no longer than the sample.
class ExemplarWalk {
 public:
  explicit ExemplarWalk(const MetricSample& sample)
      : next_(sample.exemplars.data()), end_(next_ + sample.exemplars.size()) {}

  /// The newest of the bucket that ends at `bound`; null when it has none.
  const Exemplar* UpTo(double bound) {
    const Exemplar* newest = nullptr;
    for (; next_ != end_ && next_->value <= bound; ++next_) {
      if (newest == nullptr || next_->unix_ms > newest->unix_ms) newest = next_;
    }
    return newest;
  }

 private:
  const Exemplar* next_;
  const Exemplar* end_;
};

}  // namespace leadsman
