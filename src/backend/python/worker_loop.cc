#include "backend/python/worker_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"

namespace leadsman::python {

WorkerLoop::WorkerLoop(Clock& clock)
    : clock_(clock),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  CHECK(epoll_.valid() && wake_.valid());
  epoll_event event{.events = EPOLLIN, .data = {.fd = wake_.get()}};
  CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) == 0);
  thread_ = std::thread([this] { Run(); });
}

WorkerLoop::~WorkerLoop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  Post([] {});
  thread_.join();
}

void WorkerLoop::Post(std::function<void()> job) {
  {
    MutexLock lock(mutex_);
    posted_.push_back(std::move(job));
  }
  const uint64_t one = 1;
  // It can only fail when it has been woken already.
  [[maybe_unused]] ssize_t written = write(wake_.get(), &one, sizeof one);
}

bool WorkerLoop::Watch(int fd, std::function<void()> ready) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  if (!watches_.insert_or_assign(fd, std::move(ready)).second) return true;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return true;
  watches_.erase(fd);
  return false;
}

void WorkerLoop::Unwatch(int fd) {
  if (watches_.erase(fd) > 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void WorkerLoop::At(SteadyTime time, const void* owner, std::function<void()> job) {
  timers_.emplace(time, Timer{owner, std::move(job)});
}

void WorkerLoop::ForgetTimers(const void* owner) {
  std::erase_if(timers_, [owner](const auto& timer) { return timer.second.owner == owner; });
}

void WorkerLoop::RunPosted() {
  std::vector<std::function<void()>> jobs;
  {
    MutexLock lock(mutex_);
    jobs.swap(posted_);
  }
  for (auto& job : jobs) job();
}

int WorkerLoop::RunTimers() {
  while (!timers_.empty()) {
    const Duration left = timers_.begin()->first - clock_.SteadyNow();
    if (left > Duration::zero()) {
      return static_cast<int>(std::min<int64_t>(left / std::chrono::milliseconds(1) + 1, 60'000));
    }
    std::function<void()> job = std::move(timers_.begin()->second.job);
    timers_.erase(timers_.begin());
    job();
  }
  return -1;
}

void WorkerLoop::Run() {
  std::array<epoll_event, 64> events{};
  for (;;) {
    RunPosted();
    const int timeout = RunTimers();
    {
      MutexLock lock(mutex_);
      if (stopping_ && posted_.empty()) return;
    }
    const int count =
        epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == wake_.get()) {
        uint64_t value = 0;
        [[maybe_unused]] ssize_t size = read(fd, &value, sizeof value);
        continue;
      }
      auto it = watches_.find(fd);  // an earlier callback of this round may have taken it away
      if (it == watches_.end()) continue;
      std::function<void()> ready = it->second;  // it may take itself away
      ready();
    }
  }
}

}  // namespace leadsman::python
