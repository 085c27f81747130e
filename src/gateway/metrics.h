#pragma once

#include <vector>

#include "gateway/worker.h"
#include "stats/registry.h"

namespace leadsman::gateway {

/// leadsman_gateway_*. `shared` must outlive the registrations.
[[nodiscard]] std::vector<Registry::Registration> AddGatewayMetrics(const Shared& shared,
                                                                    Registry& registry);

}  // namespace leadsman::gateway
