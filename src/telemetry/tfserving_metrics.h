#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "serving/metrics.h"
#include "stats/registry.h"

namespace leadsman {

/// The server's counters once more, under the names that TensorFlow Serving gives them (":tensorflow:serving:…"), in its
/// units, with its labels and bucket bounds, for dashboards and alerts that exist. Only what is known here to be true:
/// docs/protocols/tfserving.md has the list. `serving` must outlive the registrations.
[[nodiscard]] std::vector<Registry::Registration> AddTfServingMetrics(const ServingMetrics& serving,
                                                                      Registry& registry);

/// The value of a counter by TensorFlow's own name for it ("/tensorflow/core/graph_runs"), of its first labels, as
/// ModelService reports it; 0 when there is no such counter.
int64_t TensorFlowCounter(const std::vector<MetricFamily>& families, std::string_view name);

}  // namespace leadsman
