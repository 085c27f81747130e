#include "stats/latency_quantile.h"

#include <algorithm>
#include <numeric>

namespace leadsman {
namespace {

constexpr int kFirstShownOctave = 14;
constexpr int kLastShownOctave = 34;

double EdgeSeconds(size_t index) {
  return static_cast<double>(LatencyScheme::LowerEdge(index)) * 1e-9;
}

}  // namespace

uint64_t TotalCount(const LatencyBuckets& buckets) {
  return std::accumulate(buckets.begin(), buckets.end(), uint64_t{0});
}

double LatencyQuantileSeconds(const LatencyBuckets& buckets, double q) {
  uint64_t total = TotalCount(buckets);
  if (total == 0) return 0;
  double rank = std::clamp(q, 0.0, 1.0) * static_cast<double>(total);
  double below = 0;
  size_t last_used = 0;
  for (size_t i = 0; i < buckets.size(); ++i) {
    if (buckets[i] == 0) continue;
    last_used = i;
    auto here = static_cast<double>(buckets[i]);
    if (below + here >= rank) {
      double lower = i == 0 ? 0 : EdgeSeconds(i);
      return lower + (EdgeSeconds(i + 1) - lower) * (rank - below) / here;
    }
    below += here;
  }
  return EdgeSeconds(last_used + 1);  // only rounding of `rank` leads here
}

MetricSample LatencySample(std::vector<std::string> label_values, const LatencyBuckets& buckets,
                           double sum_seconds) {
  MetricSample sample;
  sample.label_values = std::move(label_values);
  constexpr size_t kPerOctave = size_t{1} << LatencyScheme::kSubBits;
  constexpr size_t kFirst = (kFirstShownOctave - LatencyScheme::kFirstOctave) * kPerOctave;
  constexpr size_t kLast = (kLastShownOctave - LatencyScheme::kFirstOctave) * kPerOctave;
  uint64_t below = 0;
  for (size_t i = 0; i < buckets.size(); ++i) {
    if (i >= kFirst && i <= kLast && i % (kPerOctave / 2) == 0) {
      sample.upper_bounds.push_back(EdgeSeconds(i));
      sample.cumulative.push_back(below);
    }
    below += buckets[i];
  }
  sample.count = below;
  sample.sum = sum_seconds;
  return sample;
}

}  // namespace leadsman
