#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "events/prediction_event.h"

namespace leadsman::console {

inline constexpr size_t kMaxLabelsPerCall = 10'000;

/// Reads the body of POST /api/v1/labels: {"labels": [{"request_id": "r1", "label": 7, "row": 0},
/// …]} or one such object. A label may be a text, a number or a boolean; a whole number is the same
/// label however it is written: 7, 7.0. INVALID_ARGUMENT when anything is wrong; then nothing is
/// taken, and `details` names the first hundred problems by entry and field. Pure; thread-safe.
Result<std::vector<GroundTruth>> ParseLabels(std::string_view body, int64_t now_unix_ms,
                                             std::vector<std::string>& details);

}  // namespace leadsman::console
