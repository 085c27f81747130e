#pragma once

#include <chrono>
#include <utility>

#include "base/mutex.h"

namespace leadsman {

/// Lets asynchronous work outlive the call that started it, but not its owner: work holds a Pass; Close() lets nobody in
/// any more and waits until all passes are back. Thread-safe.
class Gate {
 public:
  class Pass {
   public:
    Pass() = default;
    explicit Pass(Gate* gate) : gate_(gate) {}
    Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Pass& operator=(Pass&& other) noexcept {
      if (this != &other) {
        Release();
        gate_ = std::exchange(other.gate_, nullptr);
      }
      return *this;
    }
    ~Pass() { Release(); }
    explicit operator bool() const { return gate_ != nullptr; }

   private:
    void Release() {
      if (gate_ != nullptr) std::exchange(gate_, nullptr)->Leave();
    }
    Gate* gate_ = nullptr;
  };

  /// An empty Pass when the gate is closed.
  Pass Enter() {
    MutexLock lock(mutex_);
    if (closed_) return Pass();
    ++inside_;
    return Pass(this);
  }

  /// False when passes were still out after `timeout`; the gate stays closed.
  bool Close(std::chrono::milliseconds timeout) {
    auto deadline = std::chrono::steady_clock::now() + timeout;
    MutexLock lock(mutex_);
    closed_ = true;
    while (inside_ > 0) {
      auto left = deadline - std::chrono::steady_clock::now();
      if (left <= left.zero()) return false;
      empty_.WaitFor(mutex_, left);
    }
    return true;
  }

 private:
  void Leave() {
    MutexLock lock(mutex_);
    if (--inside_ == 0) empty_.NotifyAll();
  }

  Mutex mutex_;
  CondVar empty_;
  int inside_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace leadsman
