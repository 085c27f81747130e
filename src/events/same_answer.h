#pragma once

#include <string_view>

namespace leadsman {

/// Whether a prediction is what its label says: "7" and "7.0" are the same answer; whole numbers are compared exactly, however
/// long.
bool SameAnswer(std::string_view predicted, std::string_view label);

}  // namespace leadsman
