#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "base/turn.h"

namespace leadsman::net {

/// One thread's epoll loop, for servers that hold many sockets of two kinds at once, as a proxy: sockets, timers and tasks
/// from other threads.
///
///   EventLoop loop;
///   loop.Watch(socket, connection);            // told by connection.OnEvents(…)
///   loop.At(loop.now() + 250ms, [&] { Sweep(); });
///   loop.Run();                                // until Stop()
///
/// Confined to the thread in Run() but for Post; before Run() to whoever has made it.
class EventLoop final : private Turn {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr uint32_t kReadable = 1;
  static constexpr uint32_t kWritable = 2;
  static constexpr uint32_t kEnded = 4;   ///< the other side sends no more
  static constexpr uint32_t kBroken = 8;  ///< the connection is no more

  /// Must outlive the turn in which it is taken out: events that were fetched before still reach it. See Bury.
  class Watcher {
   public:
    virtual void OnEvents(uint32_t events) = 0;

   protected:
    ~Watcher() = default;
  };

  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  /// False when the kernel gives no descriptors for it.
  bool valid() const { return epoll_ >= 0 && wake_ >= 0; }

  /// Edge-triggered: a change is told once, and at first what is so already. False when the kernel has no memory.
  bool Watch(int socket, Watcher& watcher);
  void Unwatch(int socket);
  /// Lets go of it at the end of the turn.
  void Bury(std::shared_ptr<void> gone) { buried_.push_back(std::move(gone)); }

  /// Once, not before `when`. What it uses must be there then: timers cannot be taken back.
  void At(Time when, std::function<void()> task) { timers_.emplace(when, std::move(task)); }
  /// From any thread; in the order of the calls. False, and the task is not run, when the loop is over.
  bool Post(std::function<void()> task);

  /// Of this turn: when the loop has woken up.
  Time now() const { return now_; }

  /// Until Stop(). Exceptions of watchers and tasks are logged; the others go on.
  void Run();
  /// By a task or a watcher. What was posted before is still run.
  void Stop() { stopped_ = true; }

 private:
  void AtEnd(std::function<void()> task) override { at_end_.push_back(std::move(task)); }
  void RunOnce();
  bool RunPosted();
  void RunTimers();
  bool RunAtEnd();

  const int epoll_;
  const int wake_;
  Time now_;
  bool stopped_ = false;
  std::multimap<Time, std::function<void()>> timers_;
  std::vector<std::shared_ptr<void>> buried_;
  std::vector<std::function<void()>> at_end_;

  Mutex mutex_;
  std::vector<std::function<void()>> posted_ GUARDED_BY(mutex_);
  bool over_ GUARDED_BY(mutex_) = false;
};

}  // namespace leadsman::net
