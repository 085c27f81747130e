#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "base/clock.h"
#include "rollout/controller.h"
#include "rollout/step.h"

namespace leadsman {

/// How many requests a model has had in the last minutes, as one process has seen it: what the end of its rollout is reckoned by,
/// and no verdict. Steady time. A value; confined to one thread.
class TrafficPace {
 public:
  static constexpr Duration kSpan = std::chrono::minutes(5);    ///< that it looks back
  static constexpr Duration kLeast = std::chrono::seconds(10);  ///< before it says anything

  /// One tick: requests that the split has drawn, and all.
  void Add(Duration elapsed, uint64_t drawn, uint64_t all);
  /// A second; nothing while too little has been seen.
  std::optional<double> Drawn() const;
  std::optional<double> All() const;

 private:
  struct Part {
    Duration length{};
    uint64_t drawn = 0, all = 0;
  };
  std::deque<Part> parts_;  ///< of some seconds each, the newest last
  Part sums_;
};

/// When a rollout will have come to its end, by its plan's steps, the traffic of now and how the evidence has grown so far, or why
/// that cannot be said. Of a candidate that goes on as it has: no promise. Nothing of one that has ended. Pure.
std::optional<ExpectedEnd> ExpectEnd(const RolloutState& state, const TrafficPace& pace);

}  // namespace leadsman
