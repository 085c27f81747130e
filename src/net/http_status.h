#pragma once

#include "base/status.h"

namespace leadsman::net {

/// The status in HTTP that says the same as a gRPC code: the table of google/rpc/code.proto, which TensorFlow Serving's REST
/// API and the gateways to gRPC answer by. What an HTTP status says is another question: events/http_outcome.h.
int HttpStatusOf(StatusCode code);

}  // namespace leadsman::net
