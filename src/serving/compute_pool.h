#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace leadsman {

/// A few threads and a bounded queue, first in, first out. Thread-safe.
class ComputePool {
 public:
  /// `run` is true on a pool thread in turn; false when the pool stops before the job's turn has
  /// come.
  using Job = std::function<void(bool run)>;

  ComputePool(int threads, size_t capacity, std::atomic<int64_t>* depth);
  ~ComputePool();  ///< Stop()

  /// False when the queue is full or the pool has stopped: the job has not been taken.
  bool Submit(Job job);
  /// Waits for the jobs that are running, then gives back (run = false) what is still queued.
  void Stop();

 private:
  void Loop();

  const size_t capacity_;
  std::atomic<int64_t>* const depth_;  ///< gauge, may be null
  Mutex mutex_;
  CondVar wake_;
  std::deque<Job> queue_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;  ///< touched by the constructor and Stop() only
};

}  // namespace leadsman
