#pragma once

#include "base/status.h"

namespace leadsman {

/// What an HTTP status says of the request that it answers, for all who see requests from outside: proxies, readers of logs. One
/// table, so that the same answer is the same outcome whoever tells of it. It goes by whose doing the answer is:
///
///   the client's   400, and any 4xx that is not named here: INVALID_ARGUMENT. 401, 403, 404. 409 and 412: what it asks for does
///                  not go with what is there. 408: it was too slow to send; a service that is too slow itself says 504.
///   the service's  5xx; also 501, which a client that was pointed at it could expect to work. 429 as 503: it has more to do than
///                  it can, which `leadsman serve` says with 503 when its queues are full, and others with 429. That one client alone had too much
///                  looks the same; but a version that turns its load away must not look well.
///   nobody's       499, as proxies write it: the client had gone before the answer.
///
/// Below 400 all is well.
StatusCode OutcomeOfHttp(int status);

}  // namespace leadsman
