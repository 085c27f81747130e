#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "stats/registry.h"
#include "telemetry/sender_counters.h"

namespace leadsman {

/// Name in the configuration ("alertmanagers[0]") and where its counters are.
using SenderSource = std::pair<std::string, std::function<SenderCounters()>>;

/// The families of what became of notifications. The sources must live as long as the registrations.
std::vector<Registry::Registration> AddSenderMetrics(const std::vector<SenderSource>& sources,
                                                     Registry& registry);

}  // namespace leadsman
