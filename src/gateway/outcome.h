#pragma once

#include "base/status.h"
#include "gateway/reason.h"

namespace leadsman::gateway {

/// What an answer with this HTTP status, or none because of `reason`, says of a prediction.
StatusCode OutcomeOf(int status, Reason reason);

}  // namespace leadsman::gateway
