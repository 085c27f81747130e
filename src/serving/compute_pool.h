#pragma once

#include <atomic>
#include <chrono>
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
  ~ComputePool();  ///< Stop, however long the running jobs take

  enum class Submitted { kTaken, kFull, kStopped };
  /// kFull, kStopped: the job has not been taken.
  Submitted Submit(Job job);
  /// Takes no more jobs, gives back (run = false, on this thread) what is queued, and waits for the jobs that are
  /// running, their last line included. False when some still run after `wait`; then it may be called again.
  bool Stop(std::chrono::milliseconds wait);

 private:
  void Loop();

  const size_t capacity_;
  std::atomic<int64_t>* const depth_;  ///< gauge, may be null
  Mutex mutex_;
  CondVar wake_;
  std::deque<Job> queue_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  size_t alive_ GUARDED_BY(mutex_) = 0;  ///< threads that may still touch a job
  CondVar ended_;
  Mutex stop_mutex_;                  ///< one Stop() at a time
  std::vector<std::thread> threads_;  ///< touched by the constructor and Stop() only
};

}  // namespace leadsman
