#pragma once

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "app/config.h"
#include "rollout/outside_reader.h"

namespace leadsman {

/// What gates that ask a Prometheus can be expected to be answered, as it is now.
struct GateCheck {
  std::vector<std::string>
      absent;  ///< a line for each gate that nothing will answer: field and fix
  std::vector<std::string> warnings;  ///< of a Prometheus that could not be asked
  /// INVALID_ARGUMENT with all that is absent, a line each.
  Status status() const;
};

/// Asks for each promql gate whether its query gives something; of one that names a version, whether its metrics are there, since of a
/// candidate that has not begun there is nothing. Gates with allow_absent are not asked about, nor those that stand in `known` as they
/// are here: what holds already is not refused for what a Prometheus has forgotten. Blocks for each address as long as its timeout
/// at most, and no more of it once it is away; less when `cancelled` becomes true.
GateCheck CheckPromqlGates(const std::map<std::string, RolloutPlan>& plans,
                           const std::map<std::string, RolloutPlan>& known,
                           const std::atomic<bool>& cancelled);

}  // namespace leadsman
