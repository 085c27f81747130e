#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "base/mutex.h"
#include "base/turn.h"
#include "net/compression.h"
#include "net/http_server.h"
#include "net/listener.h"
#include "net/peer_watch.h"

// Internal to the server: with peer_watch.h the only header of this room that includes Asio. Include it
// from http_*.cc alone.

namespace leadsman::net {

namespace asio = boost::asio;
using IoExecutor = asio::io_context::executor_type;  // concrete: the type-erased default costs an
                                                     // allocation per operation
using Socket = asio::basic_stream_socket<asio::ip::tcp, IoExecutor>;
using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, IoExecutor>;
using SteadyTimer =
    asio::basic_waitable_timer<std::chrono::steady_clock,
                               asio::wait_traits<std::chrono::steady_clock>, IoExecutor>;
using Time = std::chrono::steady_clock::time_point;

class HttpConnection;

/// Exact, for what is reported; about 25 ns.
Time NowExact();
/// A few milliseconds behind at most, for timeouts; about 5 ns.
Time NowCoarse();

/// Written by one thread, read by any.
class Counter {
 public:
  void Add(uint64_t n) {
    // One writer: no read-modify-write needed. Relaxed: a statistic orders nothing.
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct WorkerStats {
  Counter accepted, refused, requests, bad_requests, bodies_refused, timeouts, bytes_in, bytes_out;
  Counter tls_handshakes, tls_resumed, tls_failures;
};

/// What the workers of one server share.
struct ServerShared {
  HttpServerOptions options;
  HttpHandler handler;
  std::atomic<size_t> open{0};
};

/// One I/O thread: its event loop, its listener and its connections. Confined to the thread in
/// Run(), but for BeginShutdown, PostFinish and stats. Connections that a handler still holds
/// (Defer) keep their worker alive beyond the server; the loop then is over and PostFinish says so.
///
/// There is no timer per connection: one sweep every quarter of a second (less when timeouts are
/// short) walks them all.
class HttpWorker final : public std::enable_shared_from_this<HttpWorker>, private Turn {
 public:
  /// `group`: of which the socket, which it takes over, is one.
  HttpWorker(std::shared_ptr<ServerShared> shared, int listening_socket,
             const ListenerGroup& group);

  /// Serves until shutdown is complete.
  void Run();
  void BeginShutdown(std::chrono::milliseconds grace);
  /// Has the connection's deferred answer sent by its thread. False when the loop is over.
  bool PostFinish(const std::shared_ptr<HttpConnection>& connection);
  const WorkerStats& stats() const { return stats_; }

  // For connections, on the worker's thread.
  const ServerShared& shared() const { return *shared_; }
  const HttpServerOptions& options() const { return shared_->options; }
  asio::io_context& io() { return io_; }
  WorkerStats& counters() { return stats_; }
  Inflater& inflater() { return inflater_; }
  Deflater& gzip() { return gzip_; }
  Deflater& zlib() { return zlib_; }
  PeerWatch& peers() { return peers_; }
  std::string& scratch() { return scratch_; }
  std::string& compressed() { return compressed_; }
  bool draining() const { return draining_; }
  /// Draining, and nobody listens any more: a client that is told to go elsewhere finds this address shut at once.
  bool sends_away() const { return draining_ && !acceptor_.is_open(); }
  Time drain_began() const { return drain_began_; }
  std::chrono::milliseconds grace() const { return grace_; }
  void Remove(HttpConnection& connection, bool refused);
  /// At most one line a second about handlers that throw.
  void LogHandlerException(std::string_view target, std::string_view what);

 private:
  void AtEnd(std::function<void()> task) override;
  void Accept();
  void Admit(Socket socket);
  void DrainBacklog();
  void ScheduleSweep();
  void Sweep();
  void CutAll();

  std::shared_ptr<ServerShared> shared_;
  asio::io_context io_;
  Acceptor acceptor_;
  const std::shared_ptr<const std::atomic<bool>> handed_over_;  ///< may be null
  SteadyTimer sweep_timer_;
  PeerWatch peers_;
  std::chrono::milliseconds sweep_interval_;
  std::vector<std::shared_ptr<HttpConnection>> connections_;
  size_t refused_open_ = 0;
  bool accept_paused_ = false;
  WorkerStats stats_;
  Inflater inflater_;
  Deflater gzip_{Deflater::Format::kGzip};
  Deflater zlib_{Deflater::Format::kZlib};
  std::string scratch_;
  std::string compressed_;
  Time last_exception_log_{};
  uint64_t exceptions_unlogged_ = 0;

  bool draining_ = false;
  bool cut_ = false;  ///< everything was, and nothing begins any more
  Time drain_began_{};
  std::chrono::milliseconds grace_{0};

  Mutex loop_mutex_;
  bool loop_over_ GUARDED_BY(loop_mutex_) = false;
};

}  // namespace leadsman::net
