#pragma once

#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "gateway/upstreams.h"
#include "net/stream_socket.h"

// TLS of connections to endpoints: of requests, copies for mirrors and checks alike.

namespace leadsman::gateway {

struct Table;

/// Reads the files of all versions that are spoken to over TLS; those whose settings are as in the table `before`, if there is one, are
/// taken over. Errors name the setting and the file.
Status LoadUpstreamTls(Table& table, const Table* before, Clock& clock);

/// Begins TLS over a socket that has just been connected. False when there is no memory for it.
bool BeginUpstreamTls(net::StreamSocket& socket, const Version& version, const Endpoint& endpoint);

/// After a handshake that has failed, what is to be said of the endpoint: "has a certificate that has expired".
std::string WhyTlsFailed(const net::StreamSocket& socket, const Version& version,
                         const Endpoint& endpoint);

}  // namespace leadsman::gateway
