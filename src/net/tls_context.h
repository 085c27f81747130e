#pragma once

#include <memory>

#include "base/snapshot.h"
#include "net/tls_server.h"
#include "net/tls_stream.h"

// Internal to this room: ServerCertificates as the HTTP server sees them.

namespace leadsman::net {

/// Made from the same texts as the PEM beside it. Immutable; OpenSSL locks what needs locking.
struct ServerTls {
  SslContext context;
  TlsPem pem;
  ClientAuth client_auth = ClientAuth::kNone;
  WallTime expires;
};

/// INVALID_ARGUMENT … names the field and the file.
Result<std::shared_ptr<const ServerTls>> LoadServerTls(const TlsServerOptions& options);
Result<std::shared_ptr<const ServerTls>> LoadServerTls(const TlsBundle& bundle);

class CertificatesOfFiles : public ServerCertificates {
 public:
  /// What a new connection uses.
  virtual std::shared_ptr<const ServerTls> current() const = 0;
};

}  // namespace leadsman::net
