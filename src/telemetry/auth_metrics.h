#pragma once

#include <vector>

#include "auth/authorizer.h"
#include "stats/registry.h"

namespace leadsman {

/// leadsman_auth_*; `authorizer` may be null (no samples then) and must outlive the registrations.
[[nodiscard]] std::vector<Registry::Registration> AddAuthMetrics(const Authorizer* authorizer,
                                                                 Registry& registry);

}  // namespace leadsman
