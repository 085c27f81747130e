#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "stats/latency_scheme.h"
#include "stats/registry.h"

namespace leadsman {

/// How many values the histogram holds.
uint64_t TotalCount(const LatencyBuckets& buckets);

/// The q-quantile (0 ≤ q ≤ 1) in seconds, by linear interpolation inside its bucket, so at
/// most 12.5 % off. 0 when the histogram is empty.
double LatencyQuantileSeconds(const LatencyBuckets& buckets, double q);

/// The histogram as exporters show it: two bounds to each doubling from 16 µs to 17 s, all of them
/// edges of the scheme, so that the counts are exact. (A value that lies on an edge to the
/// nanosecond counts as above it.) `sum_seconds` is the exact sum that the owner of the buckets
/// kept beside them.
MetricSample LatencySample(std::vector<std::string> label_values, const LatencyBuckets& buckets,
                           double sum_seconds);

}  // namespace leadsman
