#pragma once

#include <atomic>
#include <cstdint>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"

namespace leadsman {

/// Looks after the queues while their instances are busy: what has expired leaves them at once, not when an
/// instance happens to come by. One thread for all queues; asleep while nothing waits.
///
/// Thread-safe.
class QueueKeeper {
 public:
  class Queue {
   public:
    virtual ~Queue() = default;
    /// Takes out what has expired; returns how long until it wants to be called again at the latest (a very
    /// long time: nothing waits).
    virtual Duration Tend() = 0;
  };
  static constexpr Duration kNever = std::chrono::hours(1);

  QueueKeeper();
  ~QueueKeeper();
  QueueKeeper(const QueueKeeper&) = delete;
  QueueKeeper& operator=(const QueueKeeper&) = delete;

  void Add(Queue& queue);
  /// When it returns, Tend is not running and will not be called any more. Not from Tend.
  void Remove(Queue& queue);
  /// Something waits, and wants to be looked at in `delay`. Cheap when the keeper will look by then anyway.
  void Watch(Duration delay);

 private:
  void Loop();

  Mutex mutex_;
  CondVar wake_;
  CondVar tended_;
  std::set<Queue*> queues_ GUARDED_BY(mutex_);
  Queue* tending_ GUARDED_BY(mutex_) = nullptr;
  SteadyTime next_ GUARDED_BY(mutex_);
  std::atomic<int64_t> next_ns_;  ///< the same, for a look without the lock
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;  ///< last: uses everything above
};

}  // namespace leadsman
