#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "base/mutex.h"

namespace leadsman::kube {

/// Keys of objects that have to be looked at, for workers that make the world as it should be:
///
///   while (auto key = queue.Take(1s)) {
///     Reconcile(*key).ok() ? queue.Forget(*key) : queue.Retry(*key);
///     queue.Done(*key);
///   }
///
/// A key is in it once, however often it is added; one that is added while it is worked at comes again after Done, never to two
/// workers at once. Bounded: a key that does not fit is refused and counted, and comes with the next resync.
/// Thread-safe; only Take waits.
class WorkQueue {
 public:
  struct Options {
    size_t max_keys = 100'000;  ///< that wait or are put off
    Duration first_retry = std::chrono::milliseconds(5);
    Duration longest_retry = std::chrono::seconds(300);
  };
  struct Counters {
    uint64_t added = 0;  ///< taken up, without those that were there already
    uint64_t retried = 0;
    uint64_t refused = 0;  ///< it was full
    uint64_t taken = 0;
  };

  WorkQueue(Options options, Clock& clock) : options_(options), clock_(clock) {}

  /// False when it is full, or shut down.
  bool Add(const std::string& key);
  /// At the earlier of the times when it is put off already.
  bool AddAfter(const std::string& key, Duration delay);
  /// As AddAfter; each time twice as long until Forget.
  bool Retry(const std::string& key);
  void Forget(const std::string& key);
  /// How often in a row it was retried.
  int retries(const std::string& key) const;

  /// The next key, which is the caller's until Done. Nothing when there is none within `timeout`, or it was shut down.
  std::optional<std::string> Take(std::chrono::milliseconds timeout);
  void Done(const std::string& key);

  /// Takers come back with nothing, now and from now on.
  void ShutDown();
  bool shut_down() const;
  /// That wait to be taken; without those put off.
  size_t size() const;
  Counters counters() const;

 private:
  bool AddLocked(const std::string& key) REQUIRES(mutex_);
  bool PutOff(const std::string& key, Duration delay) REQUIRES(mutex_);
  bool IsFull() const REQUIRES(mutex_) {
    return waiting_.size() + due_.size() >= options_.max_keys;
  }
  void TakeUpDue() REQUIRES(mutex_);
  void WakeAnother() REQUIRES(mutex_);

  const Options options_;
  Clock& clock_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<std::string> order_ GUARDED_BY(mutex_);
  std::set<std::string> waiting_ GUARDED_BY(mutex_);  ///< in order_, or to come after Done
  std::set<std::string> working_ GUARDED_BY(mutex_);
  std::map<std::string, SteadyTime> due_ GUARDED_BY(mutex_);                 ///< put off until
  std::set<std::pair<SteadyTime, std::string>> by_time_ GUARDED_BY(mutex_);  ///< the same by time
  std::unordered_map<std::string, int> retries_ GUARDED_BY(mutex_);
  Counters counters_ GUARDED_BY(mutex_);
  bool shut_down_ GUARDED_BY(mutex_) = false;
};

}  // namespace leadsman::kube
