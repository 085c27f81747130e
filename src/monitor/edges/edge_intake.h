#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "monitor/edges/edge_book.h"
#include "stats/registry.h"

namespace leadsman {

/// What became of a message of profiles.
struct ProfileReceipt {
  bool duplicate = false;  ///< had been taken before: its answer was lost
  uint64_t lost = 0;       ///< messages before it that never came
  uint64_t profiles = 0, requests = 0;
};

/// Takes messages of edges and holds them for the collector, which merges them (Monitor). A message is checked to its end before
/// it is taken: all of it counts or nothing. Bounded: what does not fit is for the edge to send again.
/// Thread-safe.
class EdgeIntake {
 public:
  static constexpr size_t kMaxWaitingBytes = 64 << 20;

  EdgeIntake(Clock& clock, EdgeOptions options, Registry& registry);

  /// INVALID_ARGUMENT begins with the field; RESOURCE_EXHAUSTED: too many edges; UNAVAILABLE: no room at the moment.
  Result<ProfileReceipt> Add(std::string_view bytes);

  struct Message {
    std::string bytes;
    EdgeMark mark;  ///< to be kept with what it counts
  };
  std::deque<Message> TakeAll();

  void Restore(const std::vector<EdgeMark>& marks);
  std::vector<EdgeView> Views() const;
  EdgeBook::Counters counters() const;

 private:
  void AddMetrics(Registry& registry);

  Clock& clock_;
  mutable Mutex mutex_;
  EdgeBook book_ GUARDED_BY(mutex_);
  std::deque<Message> waiting_ GUARDED_BY(mutex_);
  size_t waiting_bytes_ GUARDED_BY(mutex_) = 0;
  uint64_t malformed_ GUARDED_BY(mutex_) = 0;
  uint64_t bytes_ GUARDED_BY(mutex_) = 0;
  std::vector<Registry::Registration> registrations_;  ///< last: they read the above
};

}  // namespace leadsman
