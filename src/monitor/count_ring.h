#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/clock.h"
#include "math/burn_rate.h"

namespace leadsman {

class ByteReader;
class ByteWriter;

/// What was counted in the recent past, in slots of equal length; older slots make room. 24 bytes a slot, from the first
/// count on. Externally synchronised.
class CountRing {
 public:
  CountRing(std::chrono::seconds slot, size_t slots) : slot_(slot), size_(slots) {}

  void Add(SteadyTime now, const ObjectiveCounts& counts);
  /// The slot of `now`, which is still being filled, and those before it, as many as `back` has slots (rounded up) in
  /// all: up to one slot less than `back`.
  ObjectiveCounts Last(SteadyTime now, Duration back) const;
  /// Of the `periods` before the slot of `now`, of `slots` slots each, how many have counted anything.
  size_t BusyPeriods(SteadyTime now, size_t periods, size_t slots = 1) const;

  /// How often something was added: what was written when it was the same is as it was.
  uint64_t adds() const { return adds_; }
  /// For a process to come: the slots by their ages at `now`.
  void Write(SteadyTime now, ByteWriter& to) const;
  /// What Write gave at `then`, in the time of this process; what came since is added to it. Fails `from` when it is anything
  /// else.
  void Read(ByteReader& from, SteadyTime then, SteadyTime now);

 private:
  static constexpr int64_t kEmpty = std::numeric_limits<int64_t>::min();
  struct Slot {
    int64_t index = kEmpty;
    ObjectiveCounts counts;
  };
  /// Rounded down, before the epoch of the machine's steady clock too: that is when it was started.
  int64_t IndexOf(SteadyTime time) const;
  size_t PlaceOf(int64_t index) const;
  void AddTo(int64_t index, const ObjectiveCounts& counts);
  const Slot* Find(int64_t index) const;

  std::chrono::seconds slot_;
  size_t size_;
  uint64_t adds_ = 0;
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
  uint64_t adds() const { return fine_.adds(); }
  void Write(SteadyTime now, ByteWriter& to) const {
    fine_.Write(now, to);
    coarse_.Write(now, to);
  }
  void Read(ByteReader& from, SteadyTime then, SteadyTime now) {
    fine_.Read(from, then, now);
    coarse_.Read(from, then, now);
  }

 private:
  CountRing fine_{std::chrono::minutes(1), 360};
  CountRing coarse_{std::chrono::minutes(10), 432};
};

}  // namespace leadsman
