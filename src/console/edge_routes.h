#pragma once

#include <vector>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "console/route.h"
#include "monitor/monitor.h"

namespace leadsman::console {

/// POST /api/v1/profiles, GET /api/v1/edges. `monitor` may be null: both answer 501.
std::vector<Route> EdgeRoutes(Monitor* monitor);

/// Of the status: counts, and the first edges, silent ones before the others; null where profiles are not taken.
nlohmann::ordered_json EdgeSummaryJson(const Monitor* monitor);

}  // namespace leadsman::console
