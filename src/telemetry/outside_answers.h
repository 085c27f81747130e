#pragma once

#include <string_view>

#include "rollout/outside_reader.h"

namespace leadsman {

/// What the body of a Prometheus' answer to /api/v1/query says. kNoAnswer, with the reason, when it is
/// none, or gives anything but one number. Pure.
OutsideReading ReadPromqlAnswer(std::string_view body);

/// {"verdict": "pass" | "fail" | "hold", "reason": "…"}. kNoAnswer, with the reason, when it is anything
/// else. Pure.
OutsideReading ReadWebhookAnswer(std::string_view body);

/// {"approved": true | false | null, "reason": "…"}: kPass, kFail, kHold. kNoAnswer, with the reason, when it is anything else. Pure.
OutsideReading ReadApprovalAnswer(std::string_view body);

}  // namespace leadsman
