#pragma once

#include <nlohmann/json_fwd.hpp>

#include "console/route.h"
#include "lifecycle/types.h"
#include "monitor/monitor.h"
#include "rollout/controller.h"

namespace leadsman::console {

/// How the admin API shows the rooms' views. Pure. Times are RFC 3339, durations seconds; what is
/// unknown is null.
using Json = nlohmann::ordered_json;

/// What traffic a model's versions get now.
struct Traffic {
  int64_t stable = 0;  ///< 0: nothing is ready
  int64_t candidate = 0;
  double candidate_share = 0;
  double ShareOf(int64_t version) const;
};

/// As the body of an answer.
void Answer(RouteCall& call, const Json& body);

Json TrafficJson(const Traffic& traffic);
Json VersionJson(const VersionStatus& version, const Traffic& traffic, const VersionTotals* totals);
Json TotalsJson(const VersionTotals& totals);
Json WindowJson(const WindowSummary& window);
Json GateJson(const GateView& gate);
Json RolloutJson(const RolloutView& rollout);
Json TickJson(const TickView& tick);
Json CountersJson(const Monitor::Counters& counters);

}  // namespace leadsman::console
