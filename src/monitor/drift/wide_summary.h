#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace leadsman {

/// What is watched of an input with more values than can be watched one by one (an image, an
/// embedding): its norm, mean and standard deviation, and eight projections on random directions.
/// A direction is a sign for each value, the same in every process and release, divided by the root
/// of the width, so that a projection moves by about |d| / root of the width when the mean vector moves
/// by d, whichever way (Johnson and Lindenstrauss 1984; signs: Achlioptas 2003).
inline constexpr size_t kProjections = 8;
inline constexpr size_t kWideNumbers = 3 + kProjections;
using WideSummary = std::array<float, kWideNumbers>;

/// NaN in all, if any value is not finite. Pure; thread-safe.
WideSummary SummariseWide(std::span<const float> values);
std::vector<std::string> WideNames();  ///< "norm", "mean", "deviation", "projection 1", …

}  // namespace leadsman
