#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace leadsman {

/// Counts of the recent past in their byte form: what one watch knows of one model. A value.
struct KeptCounts {
  std::string watch;   ///< Kept::name
  std::string model;   ///< empty: of no model, or of all
  uint64_t stamp = 0;  ///< of this process: the same as before means that nothing has changed
  std::string bytes;
};

/// Something that counts and is asked now and then what a process to come should know. Called by the thread that looks.
class Kept {
 public:
  virtual ~Kept() = default;
  virtual std::string_view name() const = 0;
  /// All that is known at `now`.
  virtual void Keep(SteadyTime now, std::vector<KeptCounts>& out) const = 0;
  /// What was kept at `then`, in the steady time of this process; before the first look. False: the bytes are none that
  /// Keep gave, and nothing is taken of them.
  virtual bool Restore(const KeptCounts& kept, SteadyTime then, SteadyTime now) = 0;
};

/// Where counts outlive the process.
class CountStore {
 public:
  struct Stored {
    KeptCounts counts;
    int64_t at_ms = 0;  ///< when they were so, by the clock on the wall
  };
  virtual ~CountStore() = default;
  /// What was there at the start; once.
  virtual std::vector<Stored> TakeStored() = 0;
  /// Takes what has changed, and returns at once. Without bytes: not known any more.
  virtual void Store(std::vector<Stored> changed) = 0;
};

}  // namespace leadsman
