#pragma once

#include <string>

#include "gateway/gateway.h"
#include "intake/exchange_intake.h"

namespace leadsman {

/// What the gateway proxies and how its upstreams are, as JSON; GET /api/v1/gateway answers with it.
std::string GatewayReportJson(const gateway::View& view,
                              const intake::ExchangeIntake::View& exchanges);

}  // namespace leadsman
