#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "batching/policy.h"
#include "stats/registry.h"

namespace leadsman {

/// Why a request was not run.
enum class RejectReason {
  kFull,       ///< the queue, or its level's share of it
  kMemory,     ///< the queue, by what the inputs in it take
  kDeadline,   ///< refused at once: it could not have been answered in time
  kExpired,    ///< its deadline, or the time it may wait, passed in the queue
  kCancelled,  ///< its client went away while it waited
  kTooLarge,   ///< more rows than a batch may have, and splitting is off
  kStopping
};
inline constexpr size_t kRejectReasonCount = 7;
std::string_view RejectReasonName(RejectReason reason);  ///< "full"

/// Counters of one version's queue. Written by its scheduler, read by the metrics. Thread-safe; no lock.
struct BatchStats {
  /// Upper edges of the batch sizes: 1, 2, 4 … 1024, and the rest.
  static constexpr size_t kSizeBuckets = 12;
  /// Upper edges of the time in the queue: 2^(kFirstExponent + i) ns, 8 µs … 17 s, and the rest.
  static constexpr int kFirstExponent = 13;
  static constexpr size_t kTimeBuckets = 23;

  std::array<std::atomic<uint64_t>, kCloseReasonCount> batches{};
  std::array<std::atomic<uint64_t>, kRejectReasonCount> rejected{};
  std::array<std::atomic<uint64_t>, kSizeBuckets> sizes{};
  std::atomic<uint64_t> rows{0};
  std::array<std::atomic<uint64_t>, kTimeBuckets> waits{};
  std::atomic<uint64_t> wait_ns{0};
  std::atomic<uint64_t> padded_rows{0};
  std::atomic<uint64_t> run_singly{0};  ///< requests of batches that had to be run one by one
  std::atomic<uint64_t> split{0};       ///< requests that were larger than a batch
  std::atomic<int64_t> depth{0};
  std::atomic<int64_t> bytes{0};  ///< of the inputs that wait
  std::atomic<int64_t> busy{0};   ///< instances that run at the moment
  std::atomic<int64_t> instances{0};

  void CountBatch(CloseReason reason, uint64_t batch_rows);
  void CountWait(Duration waited);
  void CountRejected(RejectReason reason) {
    rejected[static_cast<size_t>(reason)].fetch_add(1, std::memory_order_relaxed);
  }
};

/// The BatchStats of all versions, and their metric families. Counters of a version stay when it is unloaded, so that
/// they never go back, until it is forgotten. Thread-safe; the registry must outlive it.
class BatchMetrics {
 public:
  explicit BatchMetrics(Registry& registry);
  std::shared_ptr<BatchStats> Of(const std::string& model, int64_t version);
  /// Of a version that is not in memory: its series end.
  void Forget(const std::string& model, int64_t version);
  /// Of all versions together: how long requests waited in their queues, bounds and sum in microseconds.
  MetricSample WaitsInMicroseconds() const;
  uint64_t Batches() const;

 private:
  using Key = std::pair<std::string, std::string>;
  template <typename Fill>
  std::vector<MetricSample> Read(Fill fill) const;

  mutable Mutex mutex_;
  std::map<Key, std::shared_ptr<BatchStats>> stats_ GUARDED_BY(mutex_);
  std::vector<Registry::Registration>
      registrations_;  ///< last: no reader runs once members above go
};

}  // namespace leadsman
