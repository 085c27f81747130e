#include "net/tls_server_schema.h"

#include <string>

namespace leadsman::net {

const schema::Struct<TlsServerOptions>& TlsServerOptionsSchema() {
  using Tls = TlsServerOptions;
  static const auto table = [] {
    schema::Struct<Tls> s("Tls",
                          "Encryption of a port: at least TLS 1.2. The files are read again when "
                          "they change. A certificate and a key "
                          "that do not fit together, or that are broken, leave the old ones in "
                          "force. Paths are relative to the "
                          "configuration file.");
    s.Field("cert_file", &Tls::cert_file, schema::Text(),
            "PEM: the certificate, then its chain; empty = no TLS.");
    s.Field("key_file", &Tls::key_file, schema::Text(),
            "PEM: the certificate's key, without a pass phrase.");
    s.Field("client_ca_file", &Tls::client_ca_file, schema::Text(),
            "PEM: who signs the clients' certificates.");
    s.Field("client_auth", &Tls::client_auth,
            schema::Enum<ClientAuth>({{"none", ClientAuth::kNone},
                                      {"optional", ClientAuth::kOptional},
                                      {"required", ClientAuth::kRequired}}),
            "Whether clients show a certificate; one that is shown must be good.");
    s.Check([](const Tls& tls, schema::Problems& problems) {
      if (std::string wrong = ExplainTlsOptions(tls); !wrong.empty()) problems.Add("", wrong);
    });
    return s;
  }();
  return table;
}

}  // namespace leadsman::net
