#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "gateway/config.h"

namespace leadsman::gateway {

/// Whether an endpoint gets requests: by active checks, and by what becomes of its requests.
///
///   kUnknown → kHealthy ⇄ kUnhealthy      by checks
///   any of them, ejected until a time      by failures on end
///
/// Thread-safe. Available and OnSuccess are a load or two; whoever changes something takes a lock.
class EndpointHealth {
 public:
  enum class State : uint8_t { kUnknown, kHealthy, kUnhealthy };

  /// One that is not known yet gets requests: at the start there is nothing else.
  bool Available(SteadyTime now) const {
    return state_.load(std::memory_order_relaxed) != State::kUnhealthy && !Ejected(now);
  }
  bool Ejected(SteadyTime now) const {
    return now.time_since_epoch().count() < ejected_until_.load(std::memory_order_relaxed);
  }
  State state() const { return state_.load(std::memory_order_relaxed); }
  uint64_t ejections() const { return ejections_.load(std::memory_order_relaxed); }
  /// Why it is not healthy, or was ejected last.
  std::string reason() const;

  /// A check is over; `why` it failed. True when that has changed the state.
  bool OnCheck(bool good, const std::string& why, const HealthOptions& options);

  /// It is not checked any more: nothing is known.
  void ForgetChecks();

  /// A request was answered.
  void OnSuccess() {
    if (failures_.load(std::memory_order_relaxed) != 0) failures_ = 0;
  }
  /// A request failed. True when that was one too many on end: the endpoint is to be ejected, if enough others are left.
  bool OnFailure(const OutlierOptions& options);
  /// For how long; each time on end longer.
  std::chrono::milliseconds Eject(SteadyTime now, const std::string& why,
                                  const OutlierOptions& options);

 private:
  // Relaxed: a request that sees a change a moment later does no harm.
  std::atomic<State> state_{State::kUnknown};
  std::atomic<int64_t> ejected_until_{INT64_MIN};
  std::atomic<int> failures_{0};
  std::atomic<uint64_t> ejections_{0};

  mutable Mutex mutex_;
  int good_checks_ GUARDED_BY(mutex_) = 0;
  int bad_checks_ GUARDED_BY(mutex_) = 0;
  int ejected_on_end_ GUARDED_BY(mutex_) = 0;
  std::string reason_ GUARDED_BY(mutex_);
};

}  // namespace leadsman::gateway
