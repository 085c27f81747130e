#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/status.h"

namespace leadsman {

/// What a request called of TensorFlow Serving's API, as far as TensorFlow Serving counts it.
enum class TfServingApi : uint8_t {
  kPredict,
  kClassify,
  kRegress,
  kUncounted  ///< MultiInference, or another protocol
};
inline constexpr size_t kTfServingApis = 3;

/// The upper bounds of its latency histograms, in microseconds: 10, 18, 32.4 … 1.5e9, and what is longer.
inline constexpr size_t kTfServingBounds = 33;
const std::array<double, kTfServingBounds>& TfServingBounds();
/// The bucket of a latency; the last is kTfServingBounds.
size_t TfServingBucket(uint64_t microseconds);

/// What it counts of one model: requests by outcome, and how long those took that were answered. `Count` is a number, or a
/// counter that has such a value.
template <typename Count>
struct TfServingTable {
  struct Histogram {
    std::array<Count, kTfServingBounds + 1> buckets{};
    Count sum_us{};
  };
  std::array<Count, kStatusCodeCount> outcomes{};
  std::array<std::array<Histogram, 2>, kTfServingApis> request{};  ///< [api][over REST]
  std::array<Histogram, kTfServingApis> runtime{};                 ///< inside the model's runtime

  /// Calls visit(count, other's count) for everything that is counted.
  template <typename Other, typename Visit>
  void ForEachWith(const TfServingTable<Other>& other, Visit visit) {
    auto histogram = [&](Histogram& mine, const auto& theirs) {
      for (size_t i = 0; i < mine.buckets.size(); ++i) visit(mine.buckets[i], theirs.buckets[i]);
      visit(mine.sum_us, theirs.sum_us);
    };
    for (size_t i = 0; i < outcomes.size(); ++i) visit(outcomes[i], other.outcomes[i]);
    for (size_t api = 0; api < kTfServingApis; ++api) {
      for (size_t rest = 0; rest < 2; ++rest)
        histogram(request[api][rest], other.request[api][rest]);
      histogram(runtime[api], other.runtime[api]);
    }
  }
};

/// Of all versions of a model that one runtime runs. A plain value.
struct TfServingStatistics {
  std::string model;    ///< empty: of requests for models that are not configured
  std::string backend;  ///< empty: of requests that reached no version
  TfServingTable<uint64_t> counts;
};

}  // namespace leadsman
