#include "base/clock.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "base/strings.h"

namespace leadsman {
namespace {

class RealClock final : public Clock {
 public:
  WallTime Now() const override {
    return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
  }
  SteadyTime SteadyNow() const override { return std::chrono::steady_clock::now(); }
};

}  // namespace

Clock& SystemClock() {
  static auto* const clock = new RealClock;  // threads may ask for the time until the process ends
  return *clock;
}

std::string FormatRfc3339(WallTime time) {
  int64_t ms = UnixMillis(time);
  int64_t seconds = ms >= 0 ? ms / 1000 : -((999 - ms) / 1000);
  auto t = static_cast<time_t>(seconds);
  tm parts{};
  gmtime_r(&t, &parts);
  char out[64];
  std::snprintf(out, sizeof out, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900,
                parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                static_cast<int>(ms - seconds * 1000));
  return out;
}

std::optional<WallTime> ParseRfc3339(std::string_view text) {
  if (text.size() < 20 || text.back() != 'Z' || text[4] != '-' || text[7] != '-' ||
      text[10] != 'T' || text[13] != ':' || text[16] != ':') {
    return std::nullopt;
  }
  auto number = [&](size_t at, size_t length) -> int {
    auto value = ParseInt64(text.substr(at, length));
    return value && *value >= 0 ? static_cast<int>(*value) : -1;
  };
  const int year = number(0, 4);
  if (year < 0) return std::nullopt;
  // A WallTime reaches from 1678 to 2261; what lies beyond is as far away as can be told.
  std::chrono::year_month_day date{std::chrono::year(std::clamp(year, 1678, 2261)),
                                   std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                   std::chrono::day(static_cast<unsigned>(number(8, 2)))};
  int hour = number(11, 2), minute = number(14, 2);
  auto second = ParseDouble(text.substr(17, text.size() - 18));
  if (!date.ok() || hour < 0 || hour > 23 || minute < 0 || minute > 59 || !second ||
      !(*second >= 0 && *second < 61)) {
    return std::nullopt;
  }
  return WallTime(std::chrono::sys_days(date)) + std::chrono::hours(hour) +
         std::chrono::minutes(minute) + std::chrono::milliseconds(std::llround(*second * 1000));
}

}  // namespace leadsman
