#include "monitor/words.h"

#include <cmath>
#include <cstdint>
#include <cstdio>

#include "base/strings.h"

namespace leadsman {

std::string ShortNumber(double value) {
  char text[32];
  const bool large = std::fabs(value) >= 1000 && std::fabs(value) < 1e9;
  std::snprintf(text, sizeof text, large ? "%.0f" : "%.3g", value);
  return text;
}

std::string PercentText(double share) { return ShortNumber(share * 100) + " %"; }

std::string SpanText(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  auto with = [](int64_t most, const char* unit, int64_t rest, const char* rest_unit) {
    return rest == 0 ? StrCat(most, unit) : StrCat(most, unit, " ", rest, rest_unit);
  };
  if (whole < 120) return StrCat(whole, " s");
  if (whole < 3600) return StrCat(whole / 60, " min");
  if (whole < 2 * 86400) return with(whole / 3600, " h", whole % 3600 / 60, " min");
  return with(whole / 86400, " d", whole % 86400 / 3600, " h");
}

}  // namespace leadsman
