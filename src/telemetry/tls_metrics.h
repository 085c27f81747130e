#pragma once

#include <string>
#include <utility>
#include <vector>

#include "net/tls_server.h"
#include "stats/registry.h"

namespace leadsman {

/// leadsman_tls_certificate_* of these, each with its name as the label `server`; null where there is no TLS. They must
/// outlive the registrations.
[[nodiscard]] std::vector<Registry::Registration> AddTlsMetrics(
    std::vector<std::pair<std::string, const net::ServerCertificates*>> certificates,
    Registry& registry);

}  // namespace leadsman
