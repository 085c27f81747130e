#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "serving/model_statistics.h"
#include "stats/registry.h"

namespace leadsman {

/// What the metrics are read from at each scrape, from any thread until the registrations are gone.
struct TritonMetricSources {
  struct Load {
    std::string model;
    int64_t version = 0;
    Duration took{};
  };
  std::function<std::vector<ModelStatistics>()> statistics;
  std::function<std::vector<Load>()> loads;  ///< of the versions that are ready
};

/// The server's figures once more, under the names that Triton gives them (nv_inference_…, nv_model_…, nv_cpu_…), for dashboards
/// and alerts that exist. What Triton has of GPUs, pinned memory and a cache of answers has no figure here and is left out.
[[nodiscard]] std::vector<Registry::Registration> AddTritonMetrics(TritonMetricSources sources,
                                                                   Registry& registry);

}  // namespace leadsman
