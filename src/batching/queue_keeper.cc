#include "batching/queue_keeper.h"

#include <algorithm>
#include <vector>

namespace leadsman {
namespace {

/// Deadlines a hair apart are met in one go.
constexpr Duration kShortestSleep = std::chrono::milliseconds(1);

// The pace is real time, whatever clock the queues go by.
SteadyTime Now() { return SystemClock().SteadyNow(); }

}  // namespace

QueueKeeper::QueueKeeper() : next_(Now() + kNever), next_ns_(next_.time_since_epoch().count()) {
  thread_ = std::thread([this] { Loop(); });
}

QueueKeeper::~QueueKeeper() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  thread_.join();
}

void QueueKeeper::Add(Queue& queue) {
  MutexLock lock(mutex_);
  queues_.insert(&queue);
}

void QueueKeeper::Remove(Queue& queue) {
  MutexLock lock(mutex_);
  queues_.erase(&queue);
  while (tending_ == &queue) tended_.WaitFor(mutex_, std::chrono::seconds(1));
}

void QueueKeeper::Watch(Duration delay) {
  SteadyTime when = Now() + std::max(delay, kShortestSleep);
  // Relaxed: an old value costs one needless wake-up, or is caught by the look that it announces.
  if (next_ns_.load(std::memory_order_relaxed) <= when.time_since_epoch().count()) return;
  {
    MutexLock lock(mutex_);
    if (next_ <= when) return;
    next_ = when;
    next_ns_.store(when.time_since_epoch().count(), std::memory_order_relaxed);
  }
  wake_.NotifyOne();
}

void QueueKeeper::Loop() {
  for (;;) {
    std::vector<Queue*> queues;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && Now() < next_) wake_.WaitFor(mutex_, next_ - Now());
      if (stopping_) return;
      // Before the look: what comes while it goes on asks for another.
      next_ = Now() + kNever;
      next_ns_.store(next_.time_since_epoch().count(), std::memory_order_relaxed);
      queues.assign(queues_.begin(), queues_.end());
    }
    Duration next = kNever;
    for (Queue* queue : queues) {
      {
        MutexLock lock(mutex_);
        if (!queues_.contains(queue)) continue;
        tending_ = queue;
      }
      next = std::min(next, queue->Tend());
      MutexLock lock(mutex_);
      tending_ = nullptr;
      tended_.NotifyAll();
    }
    if (next < kNever) Watch(next);
  }
}

}  // namespace leadsman
