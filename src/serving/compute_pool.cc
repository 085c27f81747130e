#include "serving/compute_pool.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace leadsman {

ComputePool::ComputePool(int threads, size_t capacity, std::atomic<int64_t>* depth)
    : capacity_(capacity), depth_(depth) {
  for (int i = 0; i < std::max(threads, 1); ++i) threads_.emplace_back([this] { Loop(); });
}

ComputePool::~ComputePool() { Stop(); }

bool ComputePool::Submit(Job job) {
  {
    MutexLock lock(mutex_);
    if (stopping_ || queue_.size() >= capacity_) return false;
    queue_.push_back(std::move(job));
    if (depth_ != nullptr) depth_->fetch_add(1, std::memory_order_relaxed);
  }
  wake_.NotifyOne();
  return true;
}

void ComputePool::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  std::deque<Job> left;
  {
    MutexLock lock(mutex_);
    left.swap(queue_);
  }
  if (depth_ != nullptr)
    depth_->fetch_sub(static_cast<int64_t>(left.size()), std::memory_order_relaxed);
  for (Job& job : left) job(false);
}

void ComputePool::Loop() {
  for (;;) {
    Job job;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_) wake_.WaitFor(mutex_, std::chrono::seconds(10));
      if (stopping_) return;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    if (depth_ != nullptr) depth_->fetch_sub(1, std::memory_order_relaxed);
    job(true);
  }
}

}  // namespace leadsman
