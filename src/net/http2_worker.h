#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/turn.h"
#include "net/http2_server.h"

// Internal to the HTTP/2 server.

namespace leadsman::net {

class Http2Connection;

/// What the workers of one server share.
struct Http2Shared {
  Http2ServerOptions options;  ///< with a clock
  Http2Handler* handler = nullptr;
  std::atomic<size_t> open{0};
};

/// One I/O thread: an epoll loop, its listener and its connections. Confined to the thread in Run(), but for
/// BeginShutdown, Post and stats. No timer per stream: a sweep every quarter of a second looks at all of them.
class Http2Worker final : public std::enable_shared_from_this<Http2Worker>, private Turn {
 public:
  using Time = std::chrono::steady_clock::time_point;
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
  struct Stats {
    Counter accepted, refused, requests, bad_requests, bodies_refused, timeouts, bytes_in,
        bytes_out;
    Counter tls_handshakes, tls_resumed, tls_failures;
  };

  /// Takes the listening socket over. `handed_over`: as of ListenerGroup.
  Http2Worker(std::shared_ptr<Http2Shared> shared, int listening_socket,
              std::shared_ptr<const std::atomic<bool>> handed_over = nullptr);
  ~Http2Worker();
  Http2Worker(const Http2Worker&) = delete;
  Http2Worker& operator=(const Http2Worker&) = delete;

  /// False when the kernel gives no descriptors for it.
  bool valid() const { return epoll_ >= 0 && wake_ >= 0; }
  /// Serves until shutdown is complete.
  void Run();
  /// One turn of the loop, which sleeps at most so long. For whoever has no thread for it.
  void RunOnce(std::chrono::milliseconds longest = std::chrono::seconds(1));
  /// Serves a connected socket, which is taken over; false when it could not be set up.
  bool Connect(int socket);
  void BeginShutdown(std::chrono::milliseconds grace);
  bool Post(std::shared_ptr<Http2Stream> stream, std::function<void(Http2Stream&)> work);
  const Stats& stats() const { return stats_; }

  // For connections, on the worker's thread.
  const Http2ServerOptions& options() const { return shared_->options; }
  Time Now() const { return shared_->options.clock->SteadyNow(); }
  Http2Handler& handler() { return *shared_->handler; }
  Stats& counters() { return stats_; }
  std::vector<char>& read_buffer() { return read_buffer_; }
  int epoll() const { return epoll_; }
  /// The connection has something to send; it is flushed before the loop sleeps.
  void MarkDirty(Http2Connection& connection) { dirty_.push_back(&connection); }
  /// Ends the connection once the loop is done with it.
  void Bury(Http2Connection& connection);
  bool draining() const { return draining_; }
  Time drain_began() const { return drain_began_; }
  std::chrono::milliseconds grace() const { return grace_; }

 private:
  struct Posted {
    std::shared_ptr<Http2Stream> stream;
    std::function<void(Http2Stream&)> work;
  };
  void AtEnd(std::function<void()> task) override { at_end_.push_back(std::move(task)); }
  /// True when there was something.
  bool RunAtEnd();
  void Accept();
  void RunPosted();
  void FlushDirty();
  void Sweep(Time now);
  void StopListening();
  void CutAll();

  std::shared_ptr<Http2Shared> shared_;
  int listener_;
  const std::shared_ptr<const std::atomic<bool>> handed_over_;
  int epoll_;
  int wake_;
  std::vector<std::unique_ptr<Http2Connection>> connections_;
  std::vector<std::unique_ptr<Http2Connection>> buried_;
  std::vector<Http2Connection*> dirty_, turn_;
  std::vector<std::function<void()>> at_end_, ending_;
  std::vector<char> read_buffer_;
  Stats stats_;
  Time next_sweep_{};
  bool accept_paused_ = false;
  bool draining_ = false;
  bool over_ = false;
  bool posted_here_ = false;  ///< by this thread, which was not woken for it
  Time drain_began_{};
  std::chrono::milliseconds grace_{0};

  Mutex mutex_;
  std::vector<Posted> posted_ GUARDED_BY(mutex_);
  bool shutdown_asked_ GUARDED_BY(mutex_) = false;
  std::chrono::milliseconds asked_grace_ GUARDED_BY(mutex_){0};
  bool loop_over_ GUARDED_BY(mutex_) = false;
};

}  // namespace leadsman::net
