#pragma once

#include <vector>

#include "rpc/grpc_server.h"
#include "stats/registry.h"

namespace leadsman::rpc {

/// The server's own families; connections and bytes are told with those of the HTTP servers. `server` may be null (switched
/// off: zero) and must outlive the registrations.
[[nodiscard]] std::vector<Registry::Registration> RegisterGrpcMetrics(const GrpcServer* server,
                                                                      Registry& registry);

}  // namespace leadsman::rpc
