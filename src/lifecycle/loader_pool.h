#pragma once

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace leadsman {

/// Threads for what blocks: listing, loading and unloading versions; jobs begin in the order asked for. The queue is bounded by
/// its user: at most one job for each version known. With no threads, jobs wait for RunOneHere() (tests).
class LoaderPool {
 public:
  using Job = std::function<void()>;

  ~LoaderPool() { Stop(); }

  /// One thread now, and one more, up to `threads`, whenever a job would have to wait.
  void Start(int threads) {
    MutexLock lock(mutex_);
    allowed_ = static_cast<size_t>(std::max(1, threads));
    threads_.emplace_back([this] { Loop(); });
  }
  /// Jobs that come after Stop() are dropped.
  void Submit(Job job) {
    MutexLock lock(mutex_);
    if (stopped_) return;
    jobs_.push_back(std::move(job));
    StartAnother();
  }

  /// While it lives, the calling thread, one of the pool's, does nothing but wait for another process. Another job may run in
  /// its stead: so many at most as the pool has threads without.
  class Elsewhere {
   public:
    explicit Elsewhere(LoaderPool& pool) : pool_(pool) {
      MutexLock lock(pool_.mutex_);
      ++pool_.elsewhere_;
      pool_.StartAnother();
    }
    ~Elsewhere() {
      MutexLock lock(pool_.mutex_);
      --pool_.elsewhere_;
    }
    Elsewhere(const Elsewhere&) = delete;
    Elsewhere& operator=(const Elsewhere&) = delete;

   private:
    LoaderPool& pool_;
  };

  bool RunOneHere() {
    Job job;
    {
      MutexLock lock(mutex_);
      if (jobs_.empty()) return false;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job();
    return true;
  }
  /// Takes no further jobs, drops those that wait, and waits for those that run: for at most `wait`. False when one runs on
  /// then; the threads are still there, and so must be what they use. May be called again.
  bool StopWithin(std::chrono::milliseconds wait) {
    std::deque<Job> dropped;  // destroyed outside the lock
    auto deadline = std::chrono::steady_clock::now() + wait;
    MutexLock lock(mutex_);
    stopped_ = true;
    dropped.swap(jobs_);
    wake_.NotifyAll();
    while (ended_ < threads_.size()) {
      auto left = deadline - std::chrono::steady_clock::now();
      if (left <= std::chrono::nanoseconds(0)) return false;
      wake_.WaitFor(mutex_, left);
    }
    return true;
  }
  /// Waits for the jobs that run, drops those that wait. May be called again.
  void Stop() {
    while (!StopWithin(std::chrono::hours(1))) {
    }
    std::vector<std::thread> threads;
    {
      MutexLock lock(mutex_);
      threads.swap(threads_);
      ended_ = 0;
    }
    for (std::thread& thread : threads) thread.join();
  }

 private:
  /// Jobs that may run at once now.
  size_t Room() const REQUIRES(mutex_) { return allowed_ + std::min(elsewhere_, allowed_); }
  /// For a job that waits, if there is one and it may run: a thread that is idle, or a new one.
  void StartAnother() REQUIRES(mutex_) {
    if (jobs_.size() > idle_ && threads_.size() < Room()) AddThread();
    wake_.NotifyOne();
  }
  void AddThread() REQUIRES(mutex_) {
    try {
      threads_.emplace_back([this] { Loop(); });
    } catch (const std::system_error&) {
      // The process may have no more threads: those that are there do the work.
    }
  }
  void Loop() {
    while (std::optional<Job> job = Next()) {
      (*job)();
      job.reset();  // what it holds goes before the next waits for its place
      MutexLock lock(mutex_);
      --running_;
    }
  }
  /// Waits for a job that may run; nothing once the pool has stopped.
  std::optional<Job> Next() {
    MutexLock lock(mutex_);
    ++idle_;
    while ((jobs_.empty() || running_ >= Room()) && !stopped_)
      wake_.WaitFor(mutex_, std::chrono::seconds(10));
    --idle_;
    if (stopped_) {
      ++ended_;
      wake_.NotifyAll();
      return std::nullopt;
    }
    ++running_;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    return job;
  }

  Mutex mutex_;
  CondVar wake_;
  std::deque<Job> jobs_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
  size_t allowed_ GUARDED_BY(mutex_) = 0;
  size_t idle_ GUARDED_BY(mutex_) = 0;
  size_t running_ GUARDED_BY(mutex_) = 0;
  size_t elsewhere_ GUARDED_BY(mutex_) = 0;  ///< of those that run
  size_t ended_ GUARDED_BY(mutex_) = 0;
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
};

}  // namespace leadsman
