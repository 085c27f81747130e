#pragma once

#include <optional>
#include <string_view>

namespace leadsman::cli {

/// From 0 to 1, as "10%" or "0.1"; nothing when it is neither.
std::optional<double> ParseShare(std::string_view text);

}  // namespace leadsman::cli
