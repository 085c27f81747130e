#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "math/burn_rate.h"

namespace leadsman {

/// What was counted in the recent past, in slots of equal length; older slots make room. 24 bytes a slot, from the first
/// count on. Externally synchronised.
class CountRing {
 public:
  CountRing(std::chrono::seconds slot, size_t slots) : slot_(slot), size_(slots) {}

  void Add(SteadyTime now, const ObjectiveCounts& counts);
  /// The slot of `now`, which is still being filled, and those before it, as many as `back` has slots (rounded up) in
  /// all: up to one slot less than `back`.
  ObjectiveCounts Last(SteadyTime now, Duration back) const;
  /// How many of the `slots` before that of `now` have counted anything.
  size_t BusySlots(SteadyTime now, size_t slots) const;

 private:
  struct Slot {
    int64_t index = -1;
    ObjectiveCounts counts;
  };
  int64_t IndexOf(SteadyTime time) const { return time.time_since_epoch() / slot_; }
  const Slot* Find(int64_t index) const;

  std::chrono::seconds slot_;
  size_t size_;
  std::vector<Slot> slots_;
};

/// Three days of it in 29 KB: minutes for six hours, ten minutes for the rest. Externally synchronised.
class CountHistory {
 public:
  static constexpr std::chrono::hours kFine{6};
  static constexpr std::chrono::hours kAll{72};

  void Add(SteadyTime now, const ObjectiveCounts& counts) {
    fine_.Add(now, counts);
    coarse_.Add(now, counts);
  }
  ObjectiveCounts Last(SteadyTime now, Duration back) const {
    return back <= kFine ? fine_.Last(now, back) : coarse_.Last(now, back);
  }

 private:
  CountRing fine_{std::chrono::minutes(1), 360};
  CountRing coarse_{std::chrono::minutes(10), 432};
};

}  // namespace leadsman
