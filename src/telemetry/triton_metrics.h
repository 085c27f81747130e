#pragma once

#include <functional>
#include <vector>

#include "serving/model_statistics.h"
#include "stats/registry.h"

namespace leadsman {

/// The server's counters once more, under the names that Triton gives them (nv_inference_…), for
/// dashboards and alerts that exist. `read` must be safe from any thread until the registrations are
/// gone.
[[nodiscard]] std::vector<Registry::Registration> AddTritonMetrics(
    std::function<std::vector<ModelStatistics>()> read, Registry& registry);

}  // namespace leadsman
