#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "monitor/kept_counts.h"
#include "monitor/watched_time.h"

namespace leadsman {

/// Lets counts outlive the process: gives the store what has changed, and at the start gives back what the store has. Times are
/// kept by the wall, told in the steady time of the process; a wall clock that was set back since does as if no time had passed,
/// one that was set forward makes the past look longer ago. A row is what one watch knows of one model, so there are as many as the
/// monitor has models, some times over. Confined to the thread that looks.
class CountKeeper {
 public:
  static constexpr std::chrono::minutes kEvery{1};

  /// Watching alone is worth a write only so often; with counts it is written each time.
  static constexpr std::chrono::minutes kWatchedEvery{10};

  /// `store` null: nothing is kept.
  CountKeeper(CountStore* store, SteadyTime began) : store_(store), watched_(began) {}

  const WatchedTime& watched() const { return watched_; }
  /// Before Restore.
  void Add(Kept& kept) { all_.push_back(&kept); }
  void Restore(WallTime wall, SteadyTime now);
  /// Once a minute, or at once when it matters.
  void Keep(WallTime wall, SteadyTime now, bool at_once);

 private:
  using Key = std::pair<std::string, std::string>;  ///< watch, model

  CountStore* const store_;
  WatchedTime watched_;
  std::vector<Kept*> all_;
  std::map<Key, uint64_t> stored_;  ///< what the store has, by its stamp
  SteadyTime kept_{};
  SteadyTime watched_kept_{};
};

}  // namespace leadsman
