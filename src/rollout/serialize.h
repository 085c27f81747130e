#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "rollout/step.h"

namespace leadsman {

/// State and input as one line of JSON and back, to the bit: numbers are written with as many
/// digits as it takes, and minus infinity (an e-process refuted for good) as null. Parsing errors
/// are DATA_LOSS: these texts come from the journal alone.
std::string SerializeState(const RolloutState& state);
Result<RolloutState> ParseState(std::string_view text);
std::string SerializeInput(const StepInput& input);
Result<StepInput> ParseInput(std::string_view text);

}  // namespace leadsman
