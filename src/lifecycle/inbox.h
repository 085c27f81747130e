#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/mutex.h"
#include "lifecycle/load.h"

namespace leadsman {

/// What reaches the lifecycle's control thread from the loader threads and from requests that let
/// go of a version.
struct LoadProgress {
  std::string model;
  int64_t version = 0;
  VersionState state = VersionState::kLoading;
};
struct LoadDone {
  std::string model;
  int64_t version = 0;
  uint64_t folder_stamp = 0;  ///< of the folder before the attempt
  LoadOutcome outcome;
};
struct HandlesGone {
  std::unique_ptr<ServableVersion> servable;  ///< nobody uses it any more
};
struct UnloadDone {
  std::string model;
  int64_t version = 0;
  std::optional<int64_t> returned_bytes;   ///< as VersionStatus::returned_bytes
  const ServableVersion* which = nullptr;  ///< its address; it is gone
};
/// What a look at a model's store brought.
struct Listed {
  std::string model;
  std::shared_ptr<Source> source;
  std::vector<int64_t> failed;  ///< versions whose stamps are asked for
  bool nothing_known = false;   ///< what the cache has is asked for too
  Result<std::vector<VersionFolder>> folders = InternalError("not listed");
  /// When nothing was known and `folders` is an error.
  std::optional<Result<RecalledVersions>> recalled;
  TritonConfigFound triton;
  std::vector<std::pair<int64_t, uint64_t>> stamps;
  uint64_t round = 0;                        ///< as LifecycleManager::ListingRound
  std::shared_ptr<std::atomic<bool>> begun;  ///< a thread has gone to look
};
using LifecycleMessage = std::variant<LoadProgress, LoadDone, HandlesGone, UnloadDone, Listed>;

/// Thread-safe; a leaf lock. Holds at most a few messages for each version being loaded or
/// unloaded. Shared by the manager and the deleter of every handle, because handles may outlive the
/// manager.
class LifecycleInbox {
 public:
  void Post(LifecycleMessage message) {
    MutexLock lock(mutex_);
    if (closed_)
      return;  // after the lock is released, `message` goes here: nobody is left to do it elsewhere
    messages_.push_back(std::move(message));
    wake_.NotifyAll();
  }
  /// Ends the present or next Wait(). With `list`, the stores are looked at again at once.
  void Wake(bool list) {
    MutexLock lock(mutex_);
    woken_ = true;
    list_ = list_ || list;
    wake_.NotifyAll();
  }
  void Wait(std::chrono::nanoseconds timeout) {
    MutexLock lock(mutex_);
    if (!woken_ && messages_.empty()) wake_.WaitFor(mutex_, timeout);
    woken_ = false;
  }
  std::vector<LifecycleMessage> Take() {
    MutexLock lock(mutex_);
    return std::exchange(messages_, {});
  }
  bool TakeListRequest() {
    MutexLock lock(mutex_);
    return std::exchange(list_, false);
  }
  /// From now on messages are dropped; returns what was left.
  std::vector<LifecycleMessage> Close() {
    MutexLock lock(mutex_);
    closed_ = true;
    return std::exchange(messages_, {});
  }

 private:
  Mutex mutex_;
  CondVar wake_;
  std::vector<LifecycleMessage> messages_ GUARDED_BY(mutex_);
  bool woken_ GUARDED_BY(mutex_) = false;
  bool list_ GUARDED_BY(mutex_) = false;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace leadsman
