#include "net/client_connection.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/fs.h"
#include "base/strings.h"
#include "net/resolver.h"
#include "net/tls_pem.h"

namespace leadsman::net {
namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// How often somebody who waits looks whether the call was cancelled.
constexpr milliseconds kLook{100};

/// True when the descriptor is ready, false when the time has come or the call was cancelled.
bool Ready(int fd, short events, SteadyClock::time_point until, const ExchangeLimits& limits) {
  const int64_t longest = limits.cancelled != nullptr ? kLook.count() : 1 << 30;
  for (;;) {
    auto left = std::chrono::ceil<milliseconds>(until - SteadyClock::now()).count();
    pollfd p{fd, events, 0};
    int ready = poll(&p, 1, left <= 0 ? 0 : int(std::min<int64_t>(left, longest)));
    if (ready > 0) return true;
    if (limits.IsCancelled()) return false;
    if (ready < 0 && errno == EINTR) continue;
    if (left <= 0) return false;
  }
}

/// The connected socket, or -errno; ETIMEDOUT when `until` has come.
int ConnectTo(const SocketAddress& address, SteadyClock::time_point until,
              const ExchangeLimits& limits) {
  int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  int error = connect(fd, address.get(), address.size) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    if (Ready(fd, POLLOUT, until, limits)) {
      socklen_t size = sizeof(error);
      getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    } else {
      error = ETIMEDOUT;
    }
  }
  if (error == 0) return fd;
  close(fd);
  return -error;
}

ClientConnection::Io FromTls(TlsStream::Outcome outcome) {
  switch (outcome) {
    case TlsStream::Outcome::kOk:
      return ClientConnection::Io::kOk;
    case TlsStream::Outcome::kWantRead:
      return ClientConnection::Io::kWantRead;
    case TlsStream::Outcome::kWantWrite:
      return ClientConnection::Io::kWantWrite;
    case TlsStream::Outcome::kClosed:
      return ClientConnection::Io::kEnd;
    case TlsStream::Outcome::kFailed:
      break;
  }
  return ClientConnection::Io::kLost;
}

ClientConnection::Io FromErrno(ClientConnection::Io when_blocked) {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? when_blocked
                                                                   : ClientConnection::Io::kLost;
}

Status LoadTrust(SSL_CTX* context, const TlsClientOptions& options) {
  if (!options.ca_pem.empty()) return UseAuthorities(context, options.ca_pem, "the authority");
  if (options.ca_file.empty()) {
    if (SSL_CTX_set_default_verify_paths(context) == 1) return OkStatus();
    return FailedPreconditionError(
        StrCat("the system's certificate authorities cannot be read: ", TakeSslError()));
  }
  // OpenSSL's own message for a missing file is "system lib".
  RETURN_IF_ERROR(Annotate(StampOf(options.ca_file).status(), "ca_file"));
  if (SSL_CTX_load_verify_locations(context, options.ca_file.c_str(), nullptr) == 1) {
    return OkStatus();
  }
  return InvalidArgumentError(
      StrCat("ca_file ", options.ca_file, " has no certificates in PEM: ", TakeSslError()));
}

Status LoadIdentity(SSL_CTX* context, const TlsClientOptions& options) {
  if (!options.cert_pem.empty()) {
    WallTime expires;
    RETURN_IF_ERROR(UseChain(context, options.cert_pem, "the client's certificate", &expires));
    return UseKey(context, options.key_pem, "the client's key", "the client's certificate");
  }
  if (options.cert_file.empty() && options.key_file.empty()) return OkStatus();
  if (options.cert_file.empty() || options.key_file.empty()) {
    return InvalidArgumentError("cert_file and key_file go together: give both or none");
  }
  RETURN_IF_ERROR(Annotate(StampOf(options.cert_file).status(), "cert_file"));
  RETURN_IF_ERROR(Annotate(StampOf(options.key_file).status(), "key_file"));
  if (SSL_CTX_use_certificate_chain_file(context, options.cert_file.c_str()) != 1) {
    return InvalidArgumentError(
        StrCat("cert_file ", options.cert_file, " is no certificate in PEM: ", TakeSslError()));
  }
  if (SSL_CTX_use_PrivateKey_file(context, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return InvalidArgumentError(StrCat("key_file ", options.key_file,
                                       " is not the certificate's key in PEM: ", TakeSslError()));
  }
  return OkStatus();
}

}  // namespace

Status ExchangeLimits::CheckCancelled(std::string_view authority) const {
  return IsCancelled() ? CancelledError(StrCat("the request to ", authority, " was cancelled"))
                       : OkStatus();
}

Result<std::shared_ptr<const TlsClient>> TlsClient::Create(const TlsClientOptions& options) {
  ERR_clear_error();
  SslContext context(SSL_CTX_new(TLS_client_method()));
  if (!context) return ResourceExhaustedError(StrCat("no TLS context: ", TakeSslError()));
  SSL_CTX* c = context.get();
  SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
  SSL_CTX_set_read_ahead(c, 1);
  SSL_CTX_set_verify(c, options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (options.verify) RETURN_IF_ERROR(LoadTrust(c, options));
  RETURN_IF_ERROR(LoadIdentity(c, options));
  static constexpr unsigned char kHttp1[] = "\x08http/1.1";
  static constexpr unsigned char kHttp2[] = "\x02h2";
  options.http2 ? SSL_CTX_set_alpn_protos(c, kHttp2, sizeof(kHttp2) - 1)
                : SSL_CTX_set_alpn_protos(c, kHttp1, sizeof(kHttp1) - 1);
  return std::shared_ptr<const TlsClient>(
      std::make_shared<TlsClientContext>(std::move(context), options.server_name));
}

Result<std::unique_ptr<ClientConnection>> ClientConnection::Open(const Url& url,
                                                                 const TlsClientContext* tls,
                                                                 const ExchangeLimits& limits) {
  ASSIGN_OR_RETURN(std::vector<SocketAddress> found,
                   Resolve(url.host, url.port, limits.deadline,
                           [&] { return limits.CheckCancelled(url.authority); }));
  int error = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    // An address that does not answer must not use up the time of those behind it.
    const auto now = SteadyClock::now();
    auto until = now + std::max(limits.deadline - now, SteadyClock::duration::zero()) /
                           static_cast<int64_t>(found.size() - i);
    if (limits.idle.count() > 0) until = std::min(until, now + limits.idle);
    int fd = ConnectTo(found[i], until, limits);
    if (fd < 0) {
      RETURN_IF_ERROR(limits.CheckCancelled(url.authority));
      error = -fd;
      continue;
    }
    std::unique_ptr<ClientConnection> connection(new ClientConnection(fd, url.authority));
    if (url.https) RETURN_IF_ERROR(connection->ShakeHands(url, *tls, limits));
    return connection;
  }
  if (error == ETIMEDOUT && (limits.idle.count() > 0 || SteadyClock::now() >= limits.deadline)) {
    return DeadlineExceededError(
        StrCat("cannot connect to ", url.host, " port ", url.port, " in time"));
  }
  return UnavailableError(
      StrCat("cannot connect to ", url.host, " port ", url.port, ": ", strerror(error)));
}

ClientConnection::~ClientConnection() {
  if (tls_) tls_->SendCloseNotify();
  close(socket_);
}

Status ClientConnection::ShakeHands(const Url& url, const TlsClientContext& tls,
                                    const ExchangeLimits& limits) {
  tls_ = std::make_unique<TlsStream>(tls.context(), socket_,
                                     tls.server_name().empty() ? url.host : tls.server_name());
  if (!tls_->valid()) {
    return InvalidArgumentError(StrCat("no TLS connection to host ", url.host,
                                       " can be made; is it a host's name or an address?"));
  }
  for (;;) {
    switch (tls_->Handshake()) {
      case TlsStream::Outcome::kOk:
        return OkStatus();
      case TlsStream::Outcome::kWantRead:
        RETURN_IF_ERROR(Await(POLLIN, limits));
        break;
      case TlsStream::Outcome::kWantWrite:
        RETURN_IF_ERROR(Await(POLLOUT, limits));
        break;
      case TlsStream::Outcome::kClosed:
        return UnavailableError(StrCat("TLS with ", url.host, " port ", url.port,
                                       " failed: the connection ended without a word"));
      case TlsStream::Outcome::kFailed: {
        const bool distrust = SSL_get_verify_result(tls_->handle()) != X509_V_OK;
        std::string message =
            StrCat("TLS with ", url.host, " port ", url.port, " failed: ", tls_->error());
        if (!distrust) return UnavailableError(std::move(message));
        return FailedPreconditionError(
            message +=
            "; give the certificate of the authority that signed it as ca_file, and use "
            "a host's name that the certificate is for");
      }
    }
  }
}

ClientConnection::Io ClientConnection::Read(char* out, size_t room, size_t* bytes) {
  if (tls_) return FromTls(tls_->Read(out, room, bytes));
  ssize_t n = recv(socket_, out, room, MSG_DONTWAIT);
  *bytes = n > 0 ? size_t(n) : 0;
  if (n > 0) return Io::kOk;
  return n == 0 ? Io::kEnd : FromErrno(Io::kWantRead);
}

ClientConnection::Io ClientConnection::Write(std::string_view data, size_t* bytes) {
  if (tls_) return FromTls(tls_->Write(data, bytes));
  ssize_t n = send(socket_, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  *bytes = n > 0 ? size_t(n) : 0;
  return n >= 0 ? Io::kOk : FromErrno(Io::kWantWrite);
}

Status ClientConnection::Await(short events, const ExchangeLimits& limits) const {
  auto until = limits.deadline;
  if (limits.idle.count() > 0) until = std::min(until, SteadyClock::now() + limits.idle);
  if (Ready(socket_, events, until, limits)) return OkStatus();
  RETURN_IF_ERROR(limits.CheckCancelled(authority_));
  if (SteadyClock::now() >= limits.deadline) {
    return DeadlineExceededError(StrCat("no answer from ", authority_, " in time"));
  }
  return DeadlineExceededError(
      StrCat(authority_, " sent nothing for ", limits.idle.count(), " ms"));
}

bool ClientConnection::IsQuiet() {
  if (!tls_) {
    char byte;
    return recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
  }
  // Session tickets may have come behind the last answer: they are read over here. A byte of an answer that nobody has
  // asked for ends the connection just as its end does.
  char byte;
  size_t bytes = 0;
  return tls_->Read(&byte, 1, &bytes) == TlsStream::Outcome::kWantRead;
}

}  // namespace leadsman::net
