#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/start_thread.h"
#include "base/status.h"

namespace leadsman {

/// A call that may hang for ever, as in the kernel on a dead mount, made by a thread of its own, which is left to itself when nobody
/// waits any longer. What the call uses must outlive the process, or be its own.
///
///   ASSIGN_OR_RETURN(auto call, DetachedCall<int>::Start("look", [path] { return Look(path); }));
///   if (std::optional<int> found = call->WaitFor(10s)) …
///
/// Thread-safe; one of those who wait gets the result.
template <typename T>
class DetachedCall {
 public:
  /// RESOURCE_EXHAUSTED when the system has no thread to give.
  static Result<std::shared_ptr<DetachedCall>> Start(const std::string& name,
                                                     std::function<T()> call) {
    std::shared_ptr<DetachedCall> made(new DetachedCall());
    ASSIGN_OR_RETURN(std::thread thread, StartThread(name, [made, call = std::move(call)] {
                       T result = call();
                       MutexLock lock(made->mutex_);
                       made->result_ = std::move(result);
                       made->changed_.NotifyAll();
                     }));
    thread.detach();
    return made;
  }

  /// Nothing when there is no result within `wait`.
  std::optional<T> WaitFor(std::chrono::steady_clock::duration wait) {
    const auto deadline = std::chrono::steady_clock::now() + wait;
    MutexLock lock(mutex_);
    while (!result_) {
      const auto left = deadline - std::chrono::steady_clock::now();
      if (left <= left.zero()) return std::nullopt;
      (void)changed_.WaitFor(mutex_, left);
    }
    return std::exchange(result_, std::nullopt);
  }

 private:
  DetachedCall() = default;

  Mutex mutex_;
  CondVar changed_;
  std::optional<T> result_ GUARDED_BY(mutex_);
};

}  // namespace leadsman
