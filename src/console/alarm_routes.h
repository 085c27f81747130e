#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "console/route.h"
#include "monitor/alarm_loop.h"

namespace leadsman::console {

/// What the routes of alarms need of the API around them.
struct AlarmRoutesDeps {
  Clock& clock;
  AlarmLoop* alarms = nullptr;  ///< null: every route answers 501
};

/// GET /api/v1/alarms and what is below it.
std::vector<Route> AlarmRoutes(AlarmRoutesDeps deps);

}  // namespace leadsman::console
