#pragma once

#include <string>
#include <vector>

#include "console/route.h"
#include "rollout/controller.h"

namespace leadsman::console {

/// GET /api/v1/rollouts/{id}/record: the verdict record.
struct RolloutRouteDeps {
  RolloutController* rollouts = nullptr;  ///< may be null: answers 501
  std::string version;                    ///< of the program
};
std::vector<Route> RolloutRoutes(const RolloutRouteDeps& deps);

}  // namespace leadsman::console
