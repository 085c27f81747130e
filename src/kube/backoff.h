#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/clock.h"
#include "base/rng.h"

namespace leadsman::kube {

/// How long to wait before the next attempt: doubling from `first` to `longest`, each drawn from its upper half, so that many
/// clients of one server that has come back do not come at once. A value; externally synchronised.
class Backoff {
 public:
  struct Limits {
    Duration first = std::chrono::milliseconds(200);
    Duration longest = std::chrono::seconds(30);
  };
  Backoff(Limits limits, uint64_t seed) : limits_(limits), next_(limits.first), rng_(seed) {}

  /// What the server asked for comes on top: many were told the same.
  Duration Next(std::optional<std::chrono::seconds> asked = std::nullopt) {
    const auto half = Duration(next_.count() / 2);
    const Duration drawn =
        half + Duration(int64_t(rng_.Below(uint64_t(std::max<int64_t>(half.count(), 1)))));
    next_ = std::min(next_ * 2, limits_.longest);
    return asked ? *asked + drawn : drawn;
  }
  void Reset() { next_ = limits_.first; }

 private:
  const Limits limits_;
  Duration next_;
  Rng rng_;
};

}  // namespace leadsman::kube
