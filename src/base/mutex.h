#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

// Clang's thread-safety annotations; `./dev lint` checks them with clang.
#if defined(__clang__)
#define LEADSMAN_TSA(x) __attribute__((x))
#else
#define LEADSMAN_TSA(x)
#endif
#define CAPABILITY(x) LEADSMAN_TSA(capability(x))
#define SCOPED_CAPABILITY LEADSMAN_TSA(scoped_lockable)
#define GUARDED_BY(x) LEADSMAN_TSA(guarded_by(x))
#define PT_GUARDED_BY(x) LEADSMAN_TSA(pt_guarded_by(x))
#define REQUIRES(...) LEADSMAN_TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) LEADSMAN_TSA(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) LEADSMAN_TSA(acquire_capability(__VA_ARGS__))
#define RELEASE(...) LEADSMAN_TSA(release_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS LEADSMAN_TSA(no_thread_safety_analysis)

namespace leadsman {

/// A std::mutex that clang can reason about. Hold no lock while calling out.
class CAPABILITY("mutex") Mutex {
 public:
  void Lock() ACQUIRE() { mutex_.lock(); }
  void Unlock() RELEASE() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() RELEASE() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

/// Waits always have a bound. Loop on the condition: wake-ups may be spurious.
///   MutexLock lock(mutex_);
///   while (!ready_ && cv_.WaitFor(mutex_, 100ms)) {}
class CondVar {
 public:
  /// False when `timeout` passed without a notification.
  template <typename Rep, typename Period>
  bool WaitFor(Mutex& mutex, std::chrono::duration<Rep, Period> timeout)
      REQUIRES(mutex) NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    bool notified = cv_.wait_for(lock, timeout) == std::cv_status::no_timeout;
    lock.release();
    return notified;
  }
  void NotifyOne() { cv_.notify_one(); }
  void NotifyAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace leadsman
