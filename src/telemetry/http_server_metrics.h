#pragma once

#include <string>
#include <vector>

#include "net/http_server.h"
#include "stats/registry.h"

namespace leadsman {

/// leadsman_http_* of these servers, each with its name as the label `server`. The servers must outlive the
/// registrations.
[[nodiscard]] std::vector<Registry::Registration> AddHttpServerMetrics(
    std::vector<std::pair<std::string, const net::HttpServer*>> servers, Registry& registry);

}  // namespace leadsman
