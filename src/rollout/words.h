#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/clock.h"

namespace leadsman::words {

/// Numbers as people write them, for reasons and plan notes.
std::string Count(uint64_t n);         ///< "1,840"
std::string Percent(double fraction);  ///< "30 %", "0.65 %"
std::string Percent(uint64_t part, uint64_t of);
std::string EValue(double log_e);               ///< "3.1e7", "42", "0.3"
std::string Span(Duration d);                   ///< "1.5 s", "24 h", "12.3 ms"
std::string Significant(double v, int digits);  ///< 0.00654 → "0.0065"
double RoundUpNicely(double v);  ///< 257.3 → 260: estimates do not pretend to be exact

}  // namespace leadsman::words
