#pragma once

#include <vector>

#include "intake/envoy_counters.h"
#include "stats/registry.h"

namespace leadsman::intake {

/// leadsman_envoy_*. The counters must outlive the registrations.
[[nodiscard]] std::vector<Registry::Registration> AddEnvoyMetrics(const EnvoyCounters& counters,
                                                                  Registry& registry);

}  // namespace leadsman::intake
