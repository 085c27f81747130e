#pragma once

#include <string>

namespace leadsman {

/// Numbers as sentences have them: "0.1 %", "14.4", "1400", "3.2e-07".
std::string PercentText(double share);
std::string ShortNumber(double value);
/// "45 s", "12 min", "3 h 20 min", "2 d 5 h"
std::string SpanText(double seconds);

}  // namespace leadsman
