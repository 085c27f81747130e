#include "base/clock.h"

#include <cstdio>
#include <ctime>

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

}  // namespace leadsman
