#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "console/route.h"
#include "monitor/monitor.h"
#include "rollout/controller.h"

namespace leadsman::console {

/// GET /api/v1/rollouts/{id}/record, the verdict record, and GET /api/v1/models/{model}/rollout, what a rollout of the
/// model would begin from.
struct RolloutRouteDeps {
  Clock& clock;
  RolloutController* rollouts = nullptr;  ///< may be null: both answer 501
  const Monitor* monitor = nullptr;       ///< may be null: then no traffic is known
  std::string version;                    ///< of the program
  /// Of what is proxied here: the version with most of the traffic; 0: there is none. May be absent.
  std::function<int64_t(const std::string& model)> main_version = {};
};
/// As it may be shown: without what may be a secret in a URL.
RolloutPlan ShownPlan(RolloutPlan plan);

std::vector<Route> RolloutRoutes(const RolloutRouteDeps& deps);

}  // namespace leadsman::console
