#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/start_thread.h"
#include "base/status.h"

namespace leadsman {

/// Calls a function again and again, on a thread of its own, until it is destroyed: for what has to be looked at now and
/// then, as files that may change. The function must not throw; the destructor waits for it.
class Periodic {
 public:
  /// RESOURCE_EXHAUSTED when the system has no thread to give.
  static Result<std::unique_ptr<Periodic>> Start(const std::string& name,
                                                 std::chrono::milliseconds interval,
                                                 std::function<void()> work) {
    std::unique_ptr<Periodic> periodic(new Periodic(interval, std::move(work)));
    ASSIGN_OR_RETURN(periodic->thread_, StartThread(name, [raw = periodic.get()] { raw->Run(); }));
    return periodic;
  }
  ~Periodic() {
    {
      MutexLock lock(mutex_);
      stop_ = true;
      changed_.NotifyAll();
    }
    if (thread_.joinable()) thread_.join();
  }
  Periodic(const Periodic&) = delete;
  Periodic& operator=(const Periodic&) = delete;

  /// Calls it soon, instead of at the end of the interval. Thread-safe; does not wait for it.
  void RunSoon() {
    MutexLock lock(mutex_);
    soon_ = true;
    changed_.NotifyAll();
  }

 private:
  Periodic(std::chrono::milliseconds interval, std::function<void()> work)
      : interval_(interval), work_(std::move(work)) {}

  void Run() {
    for (;;) {
      {
        MutexLock lock(mutex_);
        const auto until = std::chrono::steady_clock::now() + interval_;
        while (!stop_ && !soon_ && std::chrono::steady_clock::now() < until) {
          (void)changed_.WaitFor(mutex_, until - std::chrono::steady_clock::now());
        }
        if (stop_) return;
        soon_ = false;
      }
      work_();
    }
  }

  const std::chrono::milliseconds interval_;
  const std::function<void()> work_;
  Mutex mutex_;
  CondVar changed_;
  bool stop_ GUARDED_BY(mutex_) = false;
  bool soon_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace leadsman
