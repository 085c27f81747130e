#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "telemetry/courier.h"
#include "telemetry/grpc_client.h"
#include "telemetry/sender_http.h"

namespace leadsman {

/// Sends bodies to one peer, in order, on a thread of its own: posts them to a URL, or calls a method of gRPC. A body that is
/// not taken is tried again after 1 s to 30 s, or as a gRPC peer asks; one that is refused for good (by HTTP 4xx but 401, 403,
/// 408 and 429; by gRPC as OTLP has it) is given up. Bounded: the oldest bodies make room for new ones. What is given up is
/// counted by its items. Thread-safe. At its end what waits gets one more try, for at most a second together.
class BatchSender {
 public:
  struct Options {
    std::string url;
    std::string content_type = "application/json";  ///< of a post
    std::string grpc_method;   ///< "/package.Service/Method": by gRPC; empty: by HTTP
    bool otlp = false;         ///< the peer may take a body and say that it rejects part of it
    std::string headers_file;  ///< lines "name: value"; read before each body
    std::string ca_file;       ///< PEM: who is trusted for https; empty: the system's
    size_t max_bodies = 64;
    size_t max_bytes = 16 << 20;
    std::chrono::milliseconds timeout{5'000};
  };
  struct Counters {
    uint64_t sent = 0, failed = 0;  ///< requests
    uint64_t items_sent = 0, items_dropped = 0, items_refused = 0;
    uint64_t rejected = 0;  ///< by an OTLP peer, in its own count, of bodies that it took
    uint64_t waiting = 0;   ///< bodies
  };

  /// Errors name the field: a headers_file or ca_file that cannot be read. RESOURCE_EXHAUSTED: there is no thread to be had.
  static Result<std::unique_ptr<BatchSender>> Create(Clock& clock, const Options& options);
  ~BatchSender();

  void Send(std::string body, uint64_t items);
  Counters counters() const;
  /// Begins to end, and returns at once.
  void BeginStop() { courier_->BeginStop(); }

 private:
  struct Body {
    std::string bytes;
    uint64_t items = 0;
    int cut_off = 0;  ///< tries that the peer ended before it had read it
  };
  /// How one try has gone.
  struct Delivery {
    Status status;
    bool refused = false;  ///< for good
    bool cut_off = false;  ///< the peer ended the call before it had read the body
    Duration rest{0};      ///< of one that is tried again: not before
    std::string answer{};  ///< of OK
  };
  BatchSender(Clock& clock, Options options) : clock_(clock), options_(std::move(options)) {}
  Courier::Report Carry(const Courier::Errand& errand);
  Delivery Post(const Courier::Errand& errand, const std::string& body);
  Delivery Call(const Courier::Errand& errand, const std::string& body);
  uint64_t RejectedBy(const std::string& answer);
  void MakeRoom() REQUIRES(mutex_);

  Clock& clock_;
  const Options options_;
  // Of the courier's thread.
  std::unique_ptr<SenderHttp> http_;
  std::unique_ptr<GrpcClient> grpc_;
  std::optional<SteadyTime> rejection_told_;
  mutable Mutex mutex_;
  std::deque<Body> bodies_ GUARDED_BY(mutex_);
  size_t bytes_ GUARDED_BY(mutex_) = 0;
  bool sending_ GUARDED_BY(mutex_) = false;  ///< one more, which is not in `bodies_`
  Counters counters_ GUARDED_BY(mutex_);     ///< of items
  std::unique_ptr<Courier> courier_;         ///< last: it uses the others
};

}  // namespace leadsman
