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

namespace leadsman::net {
namespace {

constexpr size_t kMaxFile = 1 << 20;

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

Owned<BIO> Reader(std::string_view text) {
  return Owned<BIO>(BIO_new_mem_buf(text.data(), int(text.size())));
}

/// A key with a pass phrase would have OpenSSL ask for it on the terminal.
int NoPassPhrase(char*, int, int, void*) { return -1; }

Owned<X509> NextCertificate(BIO* bio) {
  return Owned<X509>(PEM_read_bio_X509_AUX(bio, nullptr, NoPassPhrase, nullptr));
}

/// True when the text ended and nothing in it was wrong.
bool AtEnd() {
  const bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (end) ERR_clear_error();
  return end;
}

WallTime TimeOf(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return WallTime::max();
  // The year 9999 is a common end, and beyond what nanoseconds can count.
  const std::chrono::seconds seconds(timegm(&parts));
  return seconds < std::chrono::floor<std::chrono::seconds>(WallTime::duration::max())
             ? WallTime(seconds)
             : WallTime::max();
}

Status UseChain(SSL_CTX* context, const std::string& pem, const std::string& where,
                WallTime* expires) {
  Owned<BIO> bio = Reader(pem);
  Owned<X509> own = NextCertificate(bio.get());
  if (!own) {
    ERR_clear_error();
    return InvalidArgumentError(StrCat(where, " holds no certificate in PEM"));
  }
  if (SSL_CTX_use_certificate(context, own.get()) != 1) {
    return InvalidArgumentError(StrCat(where, " cannot be used: ", TakeSslError()));
  }
  *expires = TimeOf(X509_get0_notAfter(own.get()));
  while (Owned<X509> next = NextCertificate(bio.get())) {
    if (SSL_CTX_add0_chain_cert(context, next.get()) != 1) {
      return InvalidArgumentError(
          StrCat(where, " has a chain that cannot be used: ", TakeSslError()));
    }
    (void)next.release();
  }
  if (!AtEnd()) {
    return InvalidArgumentError(StrCat(where, " ends in something broken: ", TakeSslError()));
  }
  return OkStatus();
}

Status UseKey(SSL_CTX* context, const std::string& pem, const std::string& where,
              std::string_view certificate) {
  Owned<BIO> bio = Reader(pem);
  Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassPhrase, nullptr));
  if (!key) {
    ERR_clear_error();
    const bool locked = pem.find("ENCRYPTED") != std::string::npos;
    return InvalidArgumentError(StrCat(where, locked
                                                  ? " has a pass phrase; store the key without one"
                                                  : " holds no private key in PEM"));
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    (void)TakeSslError();
    return InvalidArgumentError(
        StrCat(where, " is not the key of the certificate in ", certificate));
  }
  return OkStatus();
}

Status UseClientAuthorities(SSL_CTX* context, const std::string& pem, const std::string& where) {
  Owned<BIO> bio = Reader(pem);
  int count = 0;
  while (Owned<X509> authority = NextCertificate(bio.get())) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()) != 1 ||
        SSL_CTX_add_client_CA(context, authority.get()) != 1) {
      return InvalidArgumentError(StrCat(where, " cannot be used: ", TakeSslError()));
    }
    ++count;
  }
  if (!AtEnd()) {
    return InvalidArgumentError(StrCat(where, " ends in something broken: ", TakeSslError()));
  }
  if (count == 0) return InvalidArgumentError(StrCat(where, " holds no certificates in PEM"));
  return OkStatus();
}

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
    RETURN_IF_ERROR(
        UseClientAuthorities(context, loaded->pem.client_authorities, authorities.where));
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
