#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/byte_budget.h"
#include "net/http_server.h"
#include "stats/registry.h"

namespace leadsman {

/// A server and how to read its counters, from any thread.
struct HttpServerStatsSource {
  std::string name;
  std::function<net::HttpServerStats()> read;
};

/// leadsman_http_* of these servers (HTTP/2 ones as well), each with its name as the label `server`. What the sources
/// read must outlive the registrations.
[[nodiscard]] std::vector<Registry::Registration> AddHttpServerMetrics(
    std::vector<HttpServerStatsSource> servers, Registry& registry);

/// leadsman_http_held_bytes.
[[nodiscard]] Registry::Registration AddBodyBudgetMetric(std::shared_ptr<const ByteBudget> budget,
                                                         Registry& registry);

}  // namespace leadsman
