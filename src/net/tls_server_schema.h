#pragma once

#include "base/schema.h"
#include "net/tls_server.h"

namespace leadsman::net {

/// `tls` of a port in the configuration.
const schema::Struct<TlsServerOptions>& TlsServerOptionsSchema();

}  // namespace leadsman::net
