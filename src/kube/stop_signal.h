#pragma once

#include <atomic>
#include <chrono>

#include "base/clock.h"
#include "base/mutex.h"

namespace leadsman::kube {

/// Told once that it is time to end: for threads that wait, and for requests under way, which look at flag(). Thread-safe.
class StopSignal {
 public:
  void Stop() {
    MutexLock lock(mutex_);
    stopped_ = true;
    changed_.NotifyAll();
  }
  bool stopped() const { return stopped_; }
  const std::atomic<bool>* flag() const { return &stopped_; }

  /// True when it is time to end, at once then; otherwise false after `wait`.
  bool WaitFor(Duration wait) {
    const auto until = std::chrono::steady_clock::now() + wait;
    MutexLock lock(mutex_);
    while (!stopped_) {
      const auto left = until - std::chrono::steady_clock::now();
      if (left <= left.zero()) return false;
      (void)changed_.WaitFor(mutex_, left);
    }
    return true;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::atomic<bool> stopped_{false};
};

}  // namespace leadsman::kube
