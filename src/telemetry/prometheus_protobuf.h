#pragma once

#include <string>
#include <vector>

#include "stats/registry.h"

namespace leadsman {

/// The families as io.prometheus.client.MetricFamily messages, each with its length before it: the form of /metrics that
/// has native histograms. Their classic buckets, with exemplars, are beside them. Families without samples are left out:
/// Prometheus has no use for them here.
std::string PrometheusProtobuf(const std::vector<MetricFamily>& families);

}  // namespace leadsman
