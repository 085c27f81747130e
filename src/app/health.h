#pragma once

#include <functional>

#include "lifecycle/types.h"
#include "net/http_server.h"

namespace leadsman {

/// GET (and HEAD) /livez, also as /healthz, and /readyz on the clients' port, where load balancers look. False: the request is for something else.
///
/// /readyz answers 200 or 503 with {"ready", "reasons", "models": [{"model", "state", "detail"}]}, as the admin port does.
bool HandleHealth(net::HttpExchange& exchange, const std::function<Readiness()>& readiness);

}  // namespace leadsman
