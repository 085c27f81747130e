#pragma once

#include <functional>
#include <map>
#include <thread>
#include <unordered_map>
#include <vector>

#include "backend/python/shared_region.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace leadsman::python {

/// The one thread that looks after the Python workers of this process: their ends, their output, their memory. It sleeps
/// until a descriptor is readable, a time has come or somebody posts.
///
/// Post is thread-safe; everything else is for the loop's own thread. Callbacks must not block.
class WorkerLoop {
 public:
  explicit WorkerLoop(Clock& clock);
  ~WorkerLoop();  ///< runs what is posted, then ends; no watch may be left that refers to something gone
  WorkerLoop(const WorkerLoop&) = delete;
  WorkerLoop& operator=(const WorkerLoop&) = delete;

  void Post(std::function<void()> job);

  /// Calls `ready` for as long as `fd` is readable, or at its end. One watch a descriptor. False when the system
  /// takes no more.
  [[nodiscard]] bool Watch(int fd, std::function<void()> ready);
  /// Nothing is called for it any more, also not for what was readable already.
  void Unwatch(int fd);
  /// Once, at `time` or soon after, unless `owner` lets go of its timers before.
  void At(SteadyTime time, const void* owner, std::function<void()> job);
  void ForgetTimers(const void* owner);

 private:
  void Run();
  void RunPosted();
  int RunTimers();  ///< milliseconds until the next one, -1 without any

  Clock& clock_;
  UniqueFd epoll_;
  UniqueFd wake_;
  std::unordered_map<int, std::function<void()>> watches_;
  struct Timer {
    const void* owner;
    std::function<void()> job;
  };
  std::multimap<SteadyTime, Timer> timers_;
  Mutex mutex_;
  std::vector<std::function<void()>> posted_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace leadsman::python
