#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "monitor/database.h"

namespace leadsman {

/// A prediction without its id and row, as it lies in Redis: protocol buffers' wire format, so that programs of different
/// versions may share a Redis.
std::string EncodeKept(const KeptPrediction& prediction);
/// Nothing when that is no prediction.
std::optional<KeptPrediction> DecodeKept(std::string_view bytes);

/// KeptPrediction::class_scores: four bytes each, the lowest first.
std::string BytesOfScores(std::span<const float> scores);
/// Nothing when they are not that.
std::vector<float> ScoresOfBytes(std::string_view bytes);

}  // namespace leadsman
