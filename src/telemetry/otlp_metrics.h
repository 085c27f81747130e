#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "stats/registry.h"
#include "telemetry/otlp_wire.h"

namespace leadsman {

/// Over which time: counters have counted since `start`.
struct MetricsTime {
  int64_t start_unix_ns = 0;
  int64_t unix_ns = 0;
};

struct OtlpBody {
  std::string bytes;
  uint64_t points = 0;
};

/// Bodies of OTLP exports of metrics (OpenTelemetry protocol 1.x), of at most `max_points` data points
/// each: receivers refuse long ones. Counters are monotonic cumulative sums; histograms have explicit bounds, and their
/// exemplars with trace and span.
std::vector<OtlpBody> OtlpMetrics(const OtlpResource& source,
                                  const std::vector<MetricFamily>& families, MetricsTime time,
                                  size_t max_points = 5000);

}  // namespace leadsman
