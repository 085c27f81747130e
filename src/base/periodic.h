#pragma once

#include <pthread.h>

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "base/mutex.h"

namespace leadsman {

/// Calls a function again and again, on a thread of its own, until it is destroyed: for what has to be looked at now and
/// then, as files that may change. The function must not throw; the destructor waits for it.
class Periodic {
 public:
  Periodic(const std::string& name, std::chrono::milliseconds interval, std::function<void()> work)
      : interval_(interval), work_(std::move(work)), thread_([this] { Run(); }) {
    pthread_setname_np(thread_.native_handle(), name.substr(0, 15).c_str());
  }
  ~Periodic() {
    {
      MutexLock lock(mutex_);
      stop_ = true;
      changed_.NotifyAll();
    }
    thread_.join();
  }
  Periodic(const Periodic&) = delete;
  Periodic& operator=(const Periodic&) = delete;

 private:
  void Run() {
    for (;;) {
      {
        MutexLock lock(mutex_);
        const auto until = std::chrono::steady_clock::now() + interval_;
        while (!stop_ && std::chrono::steady_clock::now() < until) {
          (void)changed_.WaitFor(mutex_, until - std::chrono::steady_clock::now());
        }
        if (stop_) return;
      }
      work_();
    }
  }

  const std::chrono::milliseconds interval_;
  const std::function<void()> work_;
  Mutex mutex_;
  CondVar changed_;
  bool stop_ GUARDED_BY(mutex_) = false;
  std::thread thread_;  ///< last: it uses the others
};

}  // namespace leadsman
