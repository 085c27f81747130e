#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "lifecycle/types.h"

namespace leadsman {

/// Which labels a reload may give to versions that are not ready.
enum class LabelsMayWait { kNone, kNew, kAny };

/// TensorFlow Serving's rule for labels in a configuration that is reloaded: one that answers
/// requests now may only be given to a version that is ready, for else the requests that ask by it
/// would fail until that version is. A label that is not in use may wait for its version with
/// LabelsMayWait::kNew, and with kAny one that is, too. What the configuration before said already
/// (`before`) is no move.
///
/// FAILED_PRECONDITION names label, version and what is ready. Pure.
Status CheckLabelMoves(const std::vector<ModelConfig>& before, const std::vector<ModelConfig>& next,
                       const std::map<std::string, ModelStatus>& now, LabelsMayWait which);

}  // namespace leadsman
