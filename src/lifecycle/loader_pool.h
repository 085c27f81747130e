#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace leadsman {

/// A few threads that load and unload versions, in the order asked for. The queue is bounded by its
/// user: at most one job for each version known. With no threads, jobs wait for RunOneHere()
/// (tests).
class LoaderPool {
 public:
  using Job = std::function<void()>;

  ~LoaderPool() { Stop(); }

  void Start(int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Loop(); });
  }
  /// Jobs that come after Stop() are dropped.
  void Submit(Job job) {
    MutexLock lock(mutex_);
    if (stopped_) return;
    jobs_.push_back(std::move(job));
    wake_.NotifyOne();
  }
  bool RunOneHere() {
    Job job;
    {
      MutexLock lock(mutex_);
      if (jobs_.empty()) return false;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
    return true;
  }
  /// Waits for the jobs that run, drops those that wait. May be called again.
  void Stop() {
    std::deque<Job> dropped;  // destroyed outside the lock
    {
      MutexLock lock(mutex_);
      stopped_ = true;
      dropped.swap(jobs_);
      wake_.NotifyAll();
    }
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  void Loop() {
    while (true) {
      {
        MutexLock lock(mutex_);
        while (jobs_.empty() && !stopped_) wake_.WaitFor(mutex_, std::chrono::seconds(10));
        if (stopped_) return;
      }
      RunOneHere();
    }
  }

  Mutex mutex_;
  CondVar wake_;
  std::deque<Job> jobs_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;  ///< the owner's
};

}  // namespace leadsman
