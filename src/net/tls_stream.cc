#include "net/tls_stream.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>

#include "base/strings.h"

namespace leadsman::net {
namespace {

// OpenSSL's own socket BIO writes without MSG_NOSIGNAL: a peer that is gone would end a process that
// does not ignore SIGPIPE.

int SocketOf(BIO* bio) { return int(reinterpret_cast<intptr_t>(BIO_get_data(bio))); }

int AfterIo(BIO* bio, ssize_t result, bool reading) {
  BIO_clear_retry_flags(bio);
  if (result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
    reading ? BIO_set_retry_read(bio) : BIO_set_retry_write(bio);
  }
  if (result == 0 && reading) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return int(result);
}

int SocketRead(BIO* bio, char* out, int room) {
  return AfterIo(bio, ::recv(SocketOf(bio), out, size_t(room), MSG_DONTWAIT), true);
}

int SocketWrite(BIO* bio, const char* data, int size) {
  return AfterIo(bio, ::send(SocketOf(bio), data, size_t(size), MSG_DONTWAIT | MSG_NOSIGNAL),
                 false);
}

long SocketControl(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  return 0;
}

BIO_METHOD* SocketMethod() {
  static BIO_METHOD* method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "leadsman socket");
    if (made == nullptr) return made;
    BIO_meth_set_read(made, SocketRead);
    BIO_meth_set_write(made, SocketWrite);
    BIO_meth_set_ctrl(made, SocketControl);
    BIO_meth_set_create(made, [](BIO* bio) {
      BIO_set_init(bio, 1);
      return 1;
    });
    return made;
  }();
  return method;
}

bool IsAddress(const std::string& host) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, host.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

bool ExpectHost(SSL* ssl, const std::string& host) {
  if (IsAddress(host)) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1;
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return SSL_set1_host(ssl, host.c_str()) == 1 && SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
}

}  // namespace

void SslContextDeleter::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }

std::string TakeSslError() {
  unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  if (code == 0) return "";
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : StrCat("error ", code);
}

bool TlsStream::Attach(int socket) {
  if (ssl_ == nullptr) return false;
  BIO* bio = SocketMethod() != nullptr ? BIO_new(SocketMethod()) : nullptr;
  if (bio == nullptr) {
    SSL_free(ssl_);
    ssl_ = nullptr;
    ERR_clear_error();
    return false;
  }
  BIO_set_data(bio, reinterpret_cast<void*>(intptr_t(socket)));
  SSL_set_bio(ssl_, bio, bio);
  // An answer that the socket does not take at once goes on from where it is, in pieces, from memory
  // that may have moved.
  SSL_set_mode(ssl_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                         SSL_MODE_RELEASE_BUFFERS);
  return true;
}

TlsStream::TlsStream(ssl_ctx_st* context, int socket, const std::string& host)
    : ssl_(SSL_new(context)) {
  if (!Attach(socket)) return;
  SSL_set_connect_state(ssl_);
  if (ExpectHost(ssl_, host)) return;
  SSL_free(ssl_);
  ssl_ = nullptr;
  ERR_clear_error();
}

TlsStream::TlsStream(ssl_ctx_st* context, int socket, Server, std::string_view protocols)
    : ssl_(SSL_new(context)), protocols_(protocols) {
  if (!Attach(socket)) return;
  SSL_set_app_data(ssl_, this);  // for the choice of the protocol
  SSL_set_accept_state(ssl_);
}

TlsStream::~TlsStream() { SSL_free(ssl_); }

TlsStream::Outcome TlsStream::OutcomeOf(int result) {
  const int saved_errno = errno;
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_NONE:
      return Outcome::kOk;
    case SSL_ERROR_WANT_READ:
      return Outcome::kWantRead;
    case SSL_ERROR_WANT_WRITE:
      return Outcome::kWantWrite;
    case SSL_ERROR_ZERO_RETURN:
      return Outcome::kClosed;
    default:
      break;
  }
  failed_ = true;
  const long verified = SSL_get_verify_result(ssl_);
  error_ = TakeSslError();
  if (verified != X509_V_OK && SSL_get_verify_mode(ssl_) != SSL_VERIFY_NONE &&
      !SSL_is_server(ssl_)) {
    error_ = X509_verify_cert_error_string(verified);
  } else if (error_.empty() || error_ == "unexpected eof while reading") {
    lost_ = error_.empty() ? saved_errno : 0;
    ended_silently_ = true;
    error_ = lost_ != 0 ? strerror(lost_) : "the connection ended without a word";
  }
  return Outcome::kFailed;
}

TlsStream::Outcome TlsStream::Handshake() {
  ERR_clear_error();
  errno = 0;
  return OutcomeOf(SSL_do_handshake(ssl_));
}

TlsStream::Outcome TlsStream::Read(char* out, size_t room, size_t* bytes) {
  *bytes = 0;
  if (failed_) return Outcome::kFailed;
  ERR_clear_error();
  errno = 0;
  int n = SSL_read(ssl_, out, int(std::min<size_t>(room, INT_MAX)));
  if (n <= 0) return OutcomeOf(n);
  *bytes = size_t(n);
  return Outcome::kOk;
}

TlsStream::Outcome TlsStream::Write(std::string_view bytes, size_t* taken) {
  *taken = 0;
  if (failed_) return Outcome::kFailed;
  if (bytes.empty()) return Outcome::kOk;
  ERR_clear_error();
  errno = 0;
  int n = SSL_write(ssl_, bytes.data(), int(std::min<size_t>(bytes.size(), INT_MAX)));
  if (n <= 0) return OutcomeOf(n);
  *taken = size_t(n);
  return Outcome::kOk;
}

bool TlsStream::HasPending() const { return SSL_has_pending(ssl_) == 1; }

bool TlsStream::ended() const {
  return failed_ || (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0;
}

void TlsStream::SendCloseNotify() {
  if (failed_ || SSL_in_init(ssl_) || (SSL_get_shutdown(ssl_) & SSL_SENT_SHUTDOWN) != 0) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);
  ERR_clear_error();
}

std::string_view TlsStream::negotiated() const {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

TlsDistrust TlsStream::distrust() const {
  if (SSL_get_verify_mode(ssl_) == SSL_VERIFY_NONE) return TlsDistrust::kNone;
  switch (SSL_get_verify_result(ssl_)) {
    case X509_V_OK:
      return TlsDistrust::kNone;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return TlsDistrust::kName;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return TlsDistrust::kExpired;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return TlsDistrust::kAuthority;
    default:
      return TlsDistrust::kOther;
  }
}

uint64_t TlsStream::wire_in() const { return BIO_number_read(SSL_get_rbio(ssl_)); }

uint64_t TlsStream::wire_out() const { return BIO_number_written(SSL_get_wbio(ssl_)); }

bool TlsStream::resumed() const { return SSL_session_reused(ssl_) == 1; }

}  // namespace leadsman::net
