#pragma once

#include "base/status.h"
#include "gateway/reason.h"

namespace leadsman::gateway {

/// What an answer with this HTTP status, or none because of `reason`, says of a prediction.
StatusCode OutcomeOf(int status, Reason reason);

// Of an original and its copy the same has to count, or a shadow that is as good as the version beside it looks worse. A copy is
// tried once, at one endpoint, so it is held against the first try of the original.

/// Whether an original that took so many tries, and ended so, is to be compared: one that the client has given up, or has spoilt
/// itself, is not, nor one for which no endpoint was tried.
bool IsComparable(int tries, Reason reason);
/// What came of its first try; `outcome`: of the last.
StatusCode FirstOutcome(int tries, StatusCode outcome);

}  // namespace leadsman::gateway
