#include "serving/compute_pool.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace leadsman {

ComputePool::ComputePool(int threads, size_t capacity, std::atomic<int64_t>* depth)
    : capacity_(capacity), depth_(depth) {
  auto count = static_cast<size_t>(std::max(threads, 1));
  {
    MutexLock lock(mutex_);
    alive_ = count;
  }
  for (size_t i = 0; i < count; ++i) threads_.emplace_back([this] { Loop(); });
}

ComputePool::~ComputePool() {
  while (!Stop(std::chrono::hours(1))) {
  }
}

ComputePool::Submitted ComputePool::Submit(Job job) {
  {
    MutexLock lock(mutex_);
    if (stopping_) return Submitted::kStopped;
    if (queue_.size() >= capacity_) return Submitted::kFull;
    queue_.push_back(std::move(job));
    if (depth_ != nullptr) depth_->fetch_add(1, std::memory_order_relaxed);
  }
  wake_.NotifyOne();
  return Submitted::kTaken;
}

bool ComputePool::Stop(std::chrono::milliseconds wait) {
  auto deadline = std::chrono::steady_clock::now() + wait;
  MutexLock one_at_a_time(stop_mutex_);
  std::deque<Job> left;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    left.swap(queue_);
  }
  wake_.NotifyAll();
  if (depth_ != nullptr)
    depth_->fetch_sub(static_cast<int64_t>(left.size()), std::memory_order_relaxed);
  for (Job& job : left) job(false);
  {
    MutexLock lock(mutex_);
    while (alive_ > 0) {
      auto remaining = deadline - std::chrono::steady_clock::now();
      if (remaining <= remaining.zero()) return false;
      ended_.WaitFor(mutex_, remaining);
    }
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  return true;
}

void ComputePool::Loop() {
  for (;;) {
    Job job;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_) wake_.WaitFor(mutex_, std::chrono::seconds(10));
      if (stopping_) {
        if (--alive_ == 0) ended_.NotifyAll();
        return;
      }
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    if (depth_ != nullptr) depth_->fetch_sub(1, std::memory_order_relaxed);
    job(true);
  }
}

}  // namespace leadsman
