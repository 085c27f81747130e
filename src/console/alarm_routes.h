#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "console/route.h"
#include "monitor/alarm_loop.h"

namespace leadsman::console {

/// What the routes of alarms need of the API around them.
struct AlarmRoutesDeps {
  Clock& clock;
  AlarmLoop* alarms = nullptr;  ///< null: every route answers 501
  /// NOT_FOUND, with those that are known, when nothing is known of a model of this name.
  std::function<Status(const std::string& model)> known;
};

/// GET /api/v1/alarms and what is below it.
std::vector<Route> AlarmRoutes(AlarmRoutesDeps deps);

}  // namespace leadsman::console
