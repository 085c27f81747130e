#pragma once

#include <string>
#include <vector>

#include "intake/envoy_intake.h"
#include "monitor/observed.h"

namespace leadsman {

/// What Envoys have told, as JSON; GET /api/v1/envoy answers with it.
std::string EnvoyReportJson(const std::vector<ObservedVersion>& models,
                            const intake::EnvoyIntake& envoy);

}  // namespace leadsman
