#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "monitor/database.h"

namespace leadsman {

/// A prediction without its id and row, as it lies in Redis: protocol buffers' wire format, so that programs of different
/// versions may share a Redis.
std::string EncodeKept(const KeptPrediction& prediction);
/// Nothing when that is no prediction.
std::optional<KeptPrediction> DecodeKept(std::string_view bytes);

}  // namespace leadsman
