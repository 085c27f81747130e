#pragma once

#include <atomic>

#include "base/clock.h"

namespace leadsman {

/// A clock that stands still until the test moves it. Thread-safe.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(WallTime start = FromUnixMillis(1'700'000'000'000))
      : wall_(start.time_since_epoch().count()) {}

  WallTime Now() const override { return WallTime(Duration(wall_.load())); }
  SteadyTime SteadyNow() const override { return SteadyTime(Duration(steady_.load())); }

  void Advance(Duration by) {
    wall_ += by.count();
    steady_ += by.count();
  }
  /// What an administrator or NTP does: wall time moves, steady time does not.
  void JumpWall(Duration by) { wall_ += by.count(); }

 private:
  std::atomic<int64_t> wall_;
  std::atomic<int64_t> steady_{1'000'000'000};
};

}  // namespace leadsman
