#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "gateway/mirror.h"
#include "gateway/reason.h"
#include "stats/fine_latency.h"

namespace leadsman::gateway {

/// Written by one thread, read by any.
class Counter {
 public:
  void Add(uint64_t n = 1) {
    // One writer: no read-modify-write needed. Relaxed: a statistic orders nothing.
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

/// What one I/O thread has done for one version of a service.
struct alignas(64) VersionCounters {
  static constexpr size_t kClasses = 6;  ///< by the first digit; 0: no status, the client has gone
  std::array<Counter, kClasses> answers;
  std::array<Counter, kReasons> errors;
  Counter retries;
  Counter retries_refused;  ///< by the budget
  Counter connections;      ///< opened
  Counter request_bytes, response_bytes;
  std::array<Counter, FineLatencyScheme::kBuckets> latency;
  Counter latency_ns;
};

/// What one I/O thread has done for a service's mirror. Every copy is in one of them, or under way.
struct alignas(64) MirrorCounters {
  Counter sent;
  std::array<Counter, kUnsentReasons> unsent;
  /// What became of those that were sent.
  std::array<Counter, VersionCounters::kClasses> answers;
  std::array<Counter, kUnansweredReasons> unanswered;
  std::array<Counter, FineLatencyScheme::kBuckets> latency;
  Counter latency_ns;
};

/// What one I/O thread has done.
struct WorkerCounters {
  Counter accepted, refused, bad_requests, no_route, upgrades, tls_failures;
};

/// What is known of a version whatever is configured of it: goes on from one configuration to the next.
struct VersionState {
  explicit VersionState(size_t workers) : counters(workers) {}
  std::vector<VersionCounters> counters;  ///< by thread, which alone writes there
  std::atomic<size_t> pending{0};         ///< requests that wait for a connection
};

/// Likewise of a version that may be its service's mirror.
struct MirrorState {
  explicit MirrorState(size_t workers) : counters(workers) {}
  std::vector<MirrorCounters> counters;  ///< by thread
  std::atomic<size_t> under_way{0};
  std::atomic<bool> used{false};  ///< it gets copies, or once did
};

}  // namespace leadsman::gateway
