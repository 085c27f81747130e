#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_budget.h"
#include "base/status.h"
#include "net/drainable.h"
#include "net/tls_server.h"

namespace leadsman::net {

class ListenerStore;

/// A request as the handler sees it. Everything points into the connection's buffers and stays
/// valid until the response is finished. `body` is followed by at least kBodyPadding readable bytes
/// (for SIMD parsers); it has been de-chunked and, for gzip and deflate, inflated.
struct HttpRequest {
  static constexpr size_t kBodyPadding = 64;
  std::string_view method;  ///< "GET"
  std::string_view target;  ///< as sent: path and query
  std::string_view path;    ///< target without the query, still percent-encoded
  std::string_view query;   ///< without '?'
  std::string_view body;
  size_t wire_body_bytes = 0;                      ///< before inflating
  std::chrono::steady_clock::time_point received;  ///< when the head was complete
  /// By which a handler tells what is asked of it: HEAD is answered as GET is, and the server keeps the body back.
  std::string_view asked_method() const { return method == "HEAD" ? "GET" : method; }
  /// Case-insensitive; empty when absent. The first when sent several times.
  std::string_view Header(std::string_view name) const;

  struct Field {
    std::string_view name;
    std::string_view value;
  };
  std::vector<Field> fields;
};

/// Filled by the handler. `body` keeps its capacity from request to request: append, do not
/// replace.
struct HttpResponse {
  int status = 200;
  std::string_view content_type = "application/json";  ///< must outlive the response: a literal
  std::string body;
  /// Further complete header lines: "x-request-id: 7\r\n".
  std::string headers;
  /// Compress with gzip or deflate if the client accepts one of them and the body is longer than 1 KiB.
  bool allow_compression = true;
  bool close = false;
  void Clear() {
    status = 200;
    content_type = "application/json";
    body.clear();
    headers.clear();
    allow_compression = true;
    close = false;
  }
};

/// One request and its response on one connection. Confined to the connection's I/O thread but for
/// FinishFromAnyThread.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  virtual const HttpRequest& request() const = 0;
  virtual HttpResponse& response() = 0;

  /// The handler returns without having filled the response and calls FinishFromAnyThread exactly
  /// once later. Until then request() and response() stay valid, also when the client goes away,
  /// and no further request of this connection is read.
  /// A handler that throws after Defer still owes that call.
  virtual void Defer() = 0;
  virtual void FinishFromAnyThread() = 0;
  /// After Defer, in the handler: `told` is called once, on the I/O thread, when the client has gone or the server has cut it
  /// off before the answer was finished; that is still owed. A client that only ends its sending half has not gone: it
  /// is found out by an interim response (100), so over HTTP/1.0 only a reset shows.
  virtual void WhenGone(std::function<void()> told) = 0;

  /// State that a handler wants to keep from request to request of the connection (decoded tensors, parsers). Created on
  /// first use, let go while the connection is idle.
  template <typename T>
  T& ConnectionState() {
    if (!connection_state_) connection_state_ = std::make_shared<T>();
    return *static_cast<T*>(connection_state_.get());
  }

 protected:
  std::shared_ptr<void> connection_state_;
};

/// Called on I/O threads, several at once. Must not block for long; exceptions are turned into 500
/// and logged.
using HttpHandler = std::function<void(HttpExchange&)>;

/// Whether a request is let in, by its head alone: `head` has no body yet. False: `refusal` is filled, and sent at once. Called as
/// handlers are.
using HttpAdmission = std::function<bool(const HttpRequest& head, HttpResponse& refusal)>;

struct HttpServerOptions {
  std::string name = "http";          ///< for logs and metrics
  std::string address = "127.0.0.1";  ///< IPv4 or IPv6 literal
  uint16_t port = 0;                  ///< 0 = any free one
  int io_threads = 1;                 ///< each with its own listener (SO_REUSEPORT) and event loop
  /// Keeps the listening sockets beyond the server; where more are kept there are as many threads. Null: they go with it.
  ListenerStore* listeners = nullptr;
  size_t max_header_bytes = 64 << 10;
  size_t max_body_bytes = 64 << 20;  ///< before and after inflating
  /// What all requests under way may hold, which several servers may share; beyond, one is answered 503. Null: as much as they
  /// like.
  std::shared_ptr<ByteBudget> body_budget;
  size_t max_connections = 10'000;  ///< over all threads; more are answered 503 and closed
  /// Where an operator sets these, for the messages of 413 and 431: "server.limits" has max_body and
  /// max_header. Empty: nowhere.
  std::string limits_setting;
  /// With it the server speaks https alone; what is no TLS is answered 400 in plain text. At least TLS 1.2, ALPN http/1.1,
  /// session tickets, no renegotiation, no early data.
  std::shared_ptr<ServerCertificates> certificates;
  std::chrono::milliseconds handshake_timeout{10'000};  ///< for the TLS handshake
  std::chrono::milliseconds idle_timeout{75'000};       ///< between requests
  std::chrono::milliseconds read_timeout{30'000};       ///< from a request's first byte to its last
  std::chrono::milliseconds write_timeout{30'000};      ///< without the client taking a byte
  /// Body of an error the server answers by itself (too large, malformed, timed out). Default:
  /// {"error": "<message>"}.
  std::function<std::string(int status, std::string_view message)> error_body;
  /// Asked of each request before anything of its body is taken, and before a client that waits for it is told to send one. Who is
  /// refused with a body under way is sent away: `Connection: close`. Null: all are let in.
  HttpAdmission admit;
};

/// Counters of one server; monotonic, read at any time.
struct HttpServerStats {
  uint64_t connections_accepted = 0;
  uint64_t connections_open = 0;
  uint64_t connections_refused = 0;
  uint64_t requests = 0;
  uint64_t bad_requests = 0;    ///< refused before a handler saw them
  uint64_t bodies_refused = 0;  ///< of these, for want of body_budget
  uint64_t timeouts = 0;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  uint64_t tls_handshakes = 0;  ///< completed
  uint64_t tls_resumed = 0;     ///< of these, on a session ticket
  uint64_t tls_failures = 0;    ///< refused, broken off, timed out, or no TLS at all
};

/// HTTP/1.1: keep-alive, pipelining, chunked and gzip/deflate request bodies, Expect: 100-continue,
/// limits and timeouts.
class HttpServer : public DrainableServer {
 public:
  /// Binds and starts serving. UNAVAILABLE when the address is in use (the message names it and
  /// what to do).
  static Result<std::unique_ptr<HttpServer>> Start(HttpServerOptions options, HttpHandler handler);
  ~HttpServer() override = default;  ///< Shutdown(0)

  virtual uint16_t port() const = 0;
  virtual HttpServerStats stats() const = 0;
  /// Stops listening, answers what has begun (with Connection: close) and returns when all is done
  /// or `grace` has passed; what is left then is cut. A connection whose next request is already on
  /// the way is answered, so that no request is lost.
  /// Waits for handlers that run at the moment, however long: not to be called from one. Exchanges still deferred then stay
  /// valid until their FinishFromAnyThread. Thread-safe; a second caller waits for the first.
  /// BeginDrain and AwaitDrained are the same in two steps.
  virtual void Shutdown(std::chrono::milliseconds grace) = 0;
};

}  // namespace leadsman::net
