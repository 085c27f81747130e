#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace leadsman {

using WallTime = std::chrono::sys_time<std::chrono::nanoseconds>;
using SteadyTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;
using Duration = std::chrono::nanoseconds;

/// Time is passed in. `Now` may jump (an administrator sets the clock); `SteadyNow` never goes back.
/// Use SteadyNow for durations and deadlines, Now only for what people and other machines read.
/// Thread-safe; never blocks.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallTime Now() const = 0;
  virtual SteadyTime SteadyNow() const = 0;
};

/// The machine's clocks; one instance per process.
Clock& SystemClock();

/// "2026-03-01T12:34:56.789Z"
std::string FormatRfc3339(WallTime time);
/// The same form read back, with a fraction of a second or without; of RFC 3339 nothing else.
std::optional<WallTime> ParseRfc3339(std::string_view text);

inline double ToSeconds(Duration d) { return std::chrono::duration<double>(d).count(); }
inline double UnixSeconds(WallTime t) { return ToSeconds(t.time_since_epoch()); }
inline int64_t UnixNanos(WallTime t) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(t.time_since_epoch()).count();
}
inline int64_t UnixMillis(WallTime t) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(t.time_since_epoch()).count();
}
inline WallTime FromUnixMillis(int64_t ms) { return WallTime(std::chrono::milliseconds(ms)); }

}  // namespace leadsman
