#include "net/tls_context.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <time.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "base/fs.h"
#include "base/strings.h"
#include "net/tls_pem.h"

namespace leadsman::net {
namespace {

constexpr size_t kMaxFile = 1 << 20;

/// The best of ours that the client names. One that can speak only something else than this connection does is told so in
/// the handshake.
int ChooseProtocol(SSL* ssl, const unsigned char** out, unsigned char* out_size,
                   const unsigned char* offered, unsigned int offered_size, void*) {
  const auto* stream = static_cast<const TlsStream*>(SSL_get_app_data(ssl));
  std::string_view ours = stream->protocols();
  while (!ours.empty()) {
    const std::string_view one = ours.substr(0, ours.find(','));
    ours.remove_prefix(std::min(ours.size(), one.size() + 1));
    for (unsigned at = 0; at < offered_size;
         at += 1 + offered[at]) {  // OpenSSL has checked the lengths
      if (std::string_view(reinterpret_cast<const char*>(offered + at + 1), offered[at]) != one)
        continue;
      *out = offered + at + 1;
      *out_size = offered[at];
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

void UseGoodManners(SSL_CTX* context, ClientAuth client_auth) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_PRIORITIZE_CHACHA);
  // Of TLS 1.2 only what keeps past traffic secret when the key is lost; 1.3 has nothing else.
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_alpn_select_cb(context, ChooseProtocol, nullptr);
  // Resumption by tickets, whose keys live and die with this context: what a new set of authorities would refuse does not
  // come back on an old ticket. Without the session id context, resuming fails where client certificates are asked for.
  static constexpr unsigned char kIdContext[] = "leadsman";
  SSL_CTX_set_session_id_context(context, kIdContext, sizeof(kIdContext) - 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_timeout(context, 3600);
  SSL_CTX_set_num_tickets(context, 1);
  int verify = SSL_VERIFY_NONE;
  if (client_auth != ClientAuth::kNone) verify = SSL_VERIFY_PEER;
  if (client_auth == ClientAuth::kRequired) verify |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  SSL_CTX_set_verify(context, verify, nullptr);
}

/// A text, and how messages call it.
struct Source {
  std::string field;
  std::string where;  ///< "field of file"
};

Result<std::shared_ptr<const ServerTls>> MakeServerTls(TlsPem pem, ClientAuth client_auth,
                                                       const Source& certificate, const Source& key,
                                                       const Source& authorities) {
  auto loaded = std::make_shared<ServerTls>();
  loaded->pem = std::move(pem);
  loaded->client_auth = client_auth;
  ERR_clear_error();
  loaded->context.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = loaded->context.get();
  if (context == nullptr) return ResourceExhaustedError(StrCat("no TLS context: ", TakeSslError()));
  UseGoodManners(context, client_auth);
  RETURN_IF_ERROR(
      UseChain(context, loaded->pem.certificate_chain, certificate.where, &loaded->expires));
  RETURN_IF_ERROR(UseKey(context, loaded->pem.private_key, key.where, certificate.field));
  if (client_auth != ClientAuth::kNone) {
    RETURN_IF_ERROR(UseAuthorities(context, loaded->pem.client_authorities, authorities.where));
  }
  return std::shared_ptr<const ServerTls>(std::move(loaded));
}

}  // namespace

Result<std::shared_ptr<const ServerTls>> LoadServerTls(const TlsServerOptions& options) {
  TlsPem pem;
  auto read = [](std::string_view field, const std::string& path, std::string* out) {
    auto content = ReadFile(path, kMaxFile);
    if (!content.ok()) return Annotate(content.status(), field);
    *out = std::move(content).value();
    return OkStatus();
  };
  RETURN_IF_ERROR(read("cert_file", options.cert_file, &pem.certificate_chain));
  RETURN_IF_ERROR(read("key_file", options.key_file, &pem.private_key));
  if (options.client_auth != ClientAuth::kNone)
    RETURN_IF_ERROR(read("client_ca_file", options.client_ca_file, &pem.client_authorities));
  auto source = [](const char* field, const std::string& path) {
    return Source{field, StrCat(field, " ", path)};
  };
  return MakeServerTls(std::move(pem), options.client_auth, source("cert_file", options.cert_file),
                       source("key_file", options.key_file),
                       source("client_ca_file", options.client_ca_file));
}

Result<std::shared_ptr<const ServerTls>> LoadServerTls(const TlsBundle& bundle) {
  ASSIGN_OR_RETURN(TlsBundle::Content content, bundle.read(bundle.file));
  auto source = [&](const std::string& field) {
    return Source{field, StrCat(field, " of ", bundle.file)};
  };
  return MakeServerTls(std::move(content.pem), content.client_auth,
                       source(bundle.certificate_field), source(bundle.key_field),
                       source(bundle.authorities_field));
}

}  // namespace leadsman::net
