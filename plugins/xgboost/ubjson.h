#pragma once

#include <string>
#include <string_view>

namespace leadsman_xgboost {

/// Whether the bytes are UBJSON as XGBoost writes it, to their end; else what is wrong, and where.
/// XGBoost's own reader trusts every length that it finds and reads behind the end of a cut file.
/// Empty: all is well. Bounded: no recursion deeper than 64, one pass.
std::string CheckUbjson(std::string_view bytes);

/// The same for JSON, as far as XGBoost does not look itself: nesting, over which it would run out of
/// stack.
std::string CheckJsonDepth(std::string_view bytes);

}  // namespace leadsman_xgboost
