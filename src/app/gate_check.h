#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "app/config.h"
#include "rollout/outside_reader.h"

namespace leadsman {

/// What gates that ask a Prometheus can be expected to be answered, as it is now.
struct GateCheck {
  std::vector<std::string>
      refused;           ///< a line for each gate that nothing will answer: field and fix
  bool may_pass = true;  ///< all of them ask for what is not there; false: a query is wrong
  std::vector<std::string> warnings;  ///< of a Prometheus that could not be asked
  /// All that is refused, a line each: FAILED_PRECONDITION where the same may be there later, as after a Prometheus has begun;
  /// INVALID_ARGUMENT when a query is wrong.
  Status status() const;
};

constexpr std::chrono::milliseconds kGateCheckLongest{5'000};

/// Asks for each promql gate whether its query gives something; of one that names a version, whether its metrics are there, since of a
/// candidate that has not begun there is nothing. Gates with allow_absent are not asked about, nor those that stand in `known` as they
/// are here: what holds already is not refused for what a Prometheus has forgotten. Blocks for `longest` at most, over all that it asks,
/// and for one question as long as its gate's timeout; less when `cancelled` becomes true. Of an address that is away nothing more is
/// asked. What there was no time to ask is a warning.
GateCheck CheckPromqlGates(const std::map<std::string, RolloutPlan>& plans,
                           const std::map<std::string, RolloutPlan>& known,
                           const std::atomic<bool>& cancelled,
                           std::chrono::milliseconds longest = kGateCheckLongest);

}  // namespace leadsman
