#include "serving/tfserving_counts.h"

#include <algorithm>

namespace leadsman {

const std::array<double, kTfServingBounds>& TfServingBounds() {
  static const auto bounds = [] {
    std::array<double, kTfServingBounds> made{};
    double bound = 10;
    for (double& one : made) {
      one = bound;
      bound *= 1.8;
    }
    return made;
  }();
  return bounds;
}

size_t TfServingBucket(uint64_t microseconds) {
  const auto& bounds = TfServingBounds();
  return static_cast<size_t>(
      std::upper_bound(bounds.begin(), bounds.end(), static_cast<double>(microseconds)) -
      bounds.begin());
}

}  // namespace leadsman
