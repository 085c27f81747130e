#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "net/http_client.h"
#include "net/tls_stream.h"
#include "net/url.h"

// One connection, plain or TLS, with every wait ended by a deadline: under the HTTP client, and for protocols of other rooms.

namespace leadsman::net {

/// A TlsClient as the connection sees it.
class TlsClientContext final : public TlsClient {
 public:
  TlsClientContext(SslContext context, std::string server_name)
      : context_(std::move(context)), server_name_(std::move(server_name)) {}
  /// OpenSSL locks what needs locking in a context.
  ssl_ctx_st* context() const { return context_.get(); }
  /// Empty: the host's.
  const std::string& server_name() const { return server_name_; }

 private:
  SslContext context_;
  const std::string server_name_;
};

/// When one exchange has to be over.
struct ExchangeLimits {
  std::chrono::steady_clock::time_point deadline;
  std::chrono::milliseconds idle{0};             ///< 0 = none
  const std::atomic<bool>* cancelled = nullptr;  ///< as ClientRequest's

  bool IsCancelled() const { return cancelled != nullptr && cancelled->load(); }
  Status CheckCancelled(std::string_view authority) const;
};

/// One connection to a server. Externally synchronised.
class ClientConnection {
 public:
  enum class Io { kOk, kWantRead, kWantWrite, kEnd, kLost };

  /// Finds the host, connects, and for https shakes hands and verifies.
  static Result<std::unique_ptr<ClientConnection>> Open(const Url& url, const TlsClientContext* tls,
                                                        const ExchangeLimits& limits);
  ~ClientConnection();
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;

  /// Neither waits.
  Io Read(char* out, size_t room, size_t* bytes);
  Io Write(std::string_view data, size_t* bytes);
  /// Until the socket is ready for one of them (POLLIN, POLLOUT). DEADLINE_EXCEEDED, CANCELLED.
  Status Await(short events, const ExchangeLimits& limits) const;
  /// Nothing has come that nobody asked for: not even the end.
  bool IsQuiet();

 private:
  ClientConnection(int socket, std::string authority)
      : socket_(socket), authority_(std::move(authority)) {}
  Status ShakeHands(const Url& url, const TlsClientContext& tls, const ExchangeLimits& limits);

  int socket_;
  std::string authority_;
  std::unique_ptr<TlsStream> tls_;
};

}  // namespace leadsman::net
