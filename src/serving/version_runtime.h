#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "batching/rows.h"
#include "batching/scheduler.h"
#include "batching/service_times.h"
#include "batching/stats.h"
#include "lifecycle/types.h"
#include "serving/context_pool.h"

namespace leadsman {

/// A scheduler that is made when it is first needed. When it could not be made, whoever needs it next tries again.
/// Thread-safe.
class SchedulerSlot {
 public:
  template <typename Make>
  Result<std::shared_ptr<Scheduler>> Get(Make make) {
    // Acquire pairs with the release below: `scheduler_` does not change any more.
    if (made_.load(std::memory_order_acquire)) return scheduler_;
    MutexLock lock(mutex_);
    if (!made_.load(std::memory_order_relaxed)) {
      ASSIGN_OR_RETURN(scheduler_, make());
      made_.store(true, std::memory_order_release);
    }
    return scheduler_;
  }
  /// Null when there is none yet.
  Scheduler* get() const {
    return made_.load(std::memory_order_acquire) ? scheduler_.get() : nullptr;
  }

 private:
  Mutex mutex_;
  std::atomic<bool> made_{false};
  std::shared_ptr<Scheduler> scheduler_;
};

/// One batch in execution: its joined inputs, and the context that holds its outputs until the last of its requests is
/// finished. Used again from batch to batch.
struct BatchWork {
  BatchBuffer buffer;
  ContextPool::Lease lease;
};

/// What the serving room keeps with a loaded version: execution contexts by signature, how long it takes, and, for a version with
/// a queue of its own, its scheduler. Lives in ServableVersion::contexts: it may be used while the version's Handle is held.
///
/// Thread-safe.
class VersionRuntime {
 public:
  explicit VersionRuntime(const ServableVersion& version);
  ~VersionRuntime();  ///< ends the scheduler's threads first
  VersionRuntime(const VersionRuntime&) = delete;
  VersionRuntime& operator=(const VersionRuntime&) = delete;

  /// Made on first use.
  static VersionRuntime& Of(const ServableVersion& version);

  ContextPool& contexts(size_t signature) { return contexts_[signature]; }
  const BatchRules& rules(size_t signature) const { return rules_[signature]; }
  ServiceTimes& times(size_t signature) { return times_[signature]; }

  /// Goes back by itself when the last request of the batch lets go of it, which it must do before its Handle.
  std::shared_ptr<BatchWork> TakeWork();

  /// Requests in a queue, of its own or of the pool; the pieces of one that was split count singly.
  std::atomic<int64_t> waiting{0};

  /// Batches that run now on the threads of a queue.
  std::atomic<int64_t> running{0};

  /// The version has shown that its answers cannot be taken apart: no request joins another any more.
  std::atomic<bool> batching_off{false};

  /// Filled in by QueuedExecution; empty before, and for versions without a queue of their own.
  SchedulerSlot scheduler;
  std::shared_ptr<BatchStats> stats;  ///< set before anything is counted
  template <typename Make>
  void NeedStats(Make make) {
    std::call_once(stats_once_, [&] { stats = make(); });
  }

 private:
  std::once_flag stats_once_;
  std::deque<ContextPool> contexts_;  ///< which neither moves nor copies them
  std::deque<BatchRules> rules_;
  std::deque<ServiceTimes> times_;
  Mutex mutex_;
  std::vector<std::unique_ptr<BatchWork>> idle_work_ GUARDED_BY(mutex_);
};

}  // namespace leadsman
