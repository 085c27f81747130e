#include "net/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "base/log.h"

namespace leadsman::net {
namespace {

constexpr int kEventsAtOnce = 128;
constexpr std::chrono::milliseconds kLongestSleep{1000};

uint32_t FromEpoll(uint32_t events) {
  uint32_t told = 0;
  if (events & EPOLLIN) told |= EventLoop::kReadable;
  if (events & EPOLLOUT) told |= EventLoop::kWritable;
  if (events & EPOLLRDHUP) told |= EventLoop::kEnded;
  if (events & (EPOLLHUP | EPOLLERR)) told |= EventLoop::kBroken;
  return told;
}

}  // namespace

EventLoop::EventLoop()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      now_(std::chrono::steady_clock::now()) {
  if (!valid()) return;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
}

EventLoop::~EventLoop() {
  for (int descriptor : {epoll_, wake_}) {
    if (descriptor >= 0) close(descriptor);
  }
}

bool EventLoop::Watch(int socket, Watcher& watcher) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &watcher;
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event) == 0;
}

void EventLoop::Unwatch(int socket) {
  epoll_event unused{};
  epoll_ctl(epoll_, EPOLL_CTL_DEL, socket, &unused);
}

bool EventLoop::Post(std::function<void()> task) {
  {
    MutexLock lock(mutex_);
    if (over_) return false;
    posted_.push_back(std::move(task));
    if (posted_.size() > 1) return true;  // the loop has been woken for the one before
  }
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(wake_, &one, sizeof(one));
  return true;
}

bool EventLoop::RunPosted() {
  std::vector<std::function<void()>> posted;
  {
    MutexLock lock(mutex_);
    posted.swap(posted_);
  }
  for (std::function<void()>& task : posted) {
    try {
      task();
    } catch (const std::exception& e) {
      LOG_ERROR("a posted task failed", {"error", e.what()});
    }
  }
  return !posted.empty();
}

void EventLoop::RunTimers() {
  while (!timers_.empty() && timers_.begin()->first <= now_) {
    // Out first: the task may set others.
    auto timer = timers_.extract(timers_.begin());
    timer.mapped()();
  }
}

bool EventLoop::RunAtEnd() {
  if (at_end_.empty()) return false;
  std::vector<std::function<void()>> ending;
  ending.swap(at_end_);
  for (std::function<void()>& task : ending) task();
  return true;
}

void EventLoop::RunOnce() {
  epoll_event events[kEventsAtOnce];
  auto wait = kLongestSleep;
  if (!timers_.empty()) {
    const auto until = std::chrono::ceil<std::chrono::milliseconds>(
        timers_.begin()->first - std::chrono::steady_clock::now());
    wait = std::clamp(until, std::chrono::milliseconds(0), kLongestSleep);
  }
  if (!at_end_.empty()) wait = std::chrono::milliseconds(0);
  const int count = epoll_wait(epoll_, events, kEventsAtOnce, static_cast<int>(wait.count()));
  now_ = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) {
    if (events[i].data.ptr == nullptr) {
      uint64_t ignored;
      [[maybe_unused]] ssize_t got = read(wake_, &ignored, sizeof(ignored));
      RunPosted();
      continue;
    }
    try {
      static_cast<Watcher*>(events[i].data.ptr)->OnEvents(FromEpoll(events[i].events));
    } catch (const std::exception& e) {  // the events behind it are told once only
      LOG_ERROR("a connection failed", {"error", e.what()});
    }
  }
  RunTimers();
  RunAtEnd();
  buried_.clear();
}

void EventLoop::Run() {
  TurnScope turn(*this);
  while (!stopped_) {
    try {
      RunOnce();
    } catch (const std::exception& e) {
      LOG_ERROR("event loop caught an exception", {"error", e.what()});
    }
  }
  do {
    while (RunPosted() || RunAtEnd()) {
    }
    MutexLock lock(mutex_);
    if (posted_.empty()) over_ = true;
    if (over_) break;
  } while (true);
  buried_.clear();
}

}  // namespace leadsman::net
