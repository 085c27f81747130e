#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace leadsman::cli {

/// From 0 to 1, as "10%" or "0.1"; nothing when it is neither.
std::optional<double> ParseShare(std::string_view text);
std::string Rounded(double value);  ///< "2.5", "1000"

}  // namespace leadsman::cli
