#pragma once

#include <vector>

#include "lifecycle/manager.h"
#include "stats/registry.h"

namespace leadsman {

/// The lifecycle's metrics, read from the manager when somebody asks:
///   leadsman_lifecycle_versions{model,state}              versions known, by state (all states, so
///   that sums work) leadsman_lifecycle_loads_total{model,outcome}         attempts to load, "ok"
///   or "failed" leadsman_lifecycle_load_duration_seconds{model}       verification, load and
///   warm-up together leadsman_lifecycle_unloads_total{model}
///   leadsman_lifecycle_version_memory_bytes{model,version}  estimate, of ready versions
///   leadsman_lifecycle_version_warm_cost_seconds{model,version}  median warm-up call, of ready
///   versions
/// The families end with the registrations, which must go before the manager does.
[[nodiscard]] std::vector<Registry::Registration> RegisterLifecycleMetrics(
    LifecycleManager& manager, Registry& registry);

}  // namespace leadsman
