#include "rollout/freeze.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/strings.h"

namespace leadsman {
namespace {

using std::chrono::days;
using std::chrono::minutes;
using std::chrono::weekday;

constexpr std::array<const char*, 7> kDays{"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
constexpr minutes kDay{24 * 60};
constexpr minutes kWeek = 7 * kDay;

/// Minutes since the week began, which is on Sunday.
minutes OfWeek(WallTime time) {
  const auto day = std::chrono::floor<days>(time);
  return weekday(day).c_encoding() * kDay + std::chrono::floor<minutes>(time - day);
}

/// Whether this minute of the week lies in the window that begins on this day.
bool Covers(const FreezeWindow& window, unsigned day, minutes minute) {
  const minutes length = window.to - window.from + (window.to <= window.from ? kDay : minutes{0});
  const minutes since = minute - (day * kDay + window.from);
  return (since + kWeek) % kWeek < length;
}

bool IsFrozen(const std::vector<FreezeWindow>& windows, minutes minute) {
  return std::any_of(windows.begin(), windows.end(), [&](const FreezeWindow& window) {
    // None is longer than a day.
    const auto today = static_cast<unsigned>(minute / kDay);
    for (unsigned day : {today, (today + 6) % 7}) {
      const bool begins = window.days.empty() || std::find(window.days.begin(), window.days.end(),
                                                           weekday(day)) != window.days.end();
      if (begins && Covers(window, day, minute)) return true;
    }
    return false;
  });
}

}  // namespace

std::optional<WallTime> FrozenUntil(const std::vector<FreezeWindow>& windows, WallTime now) {
  if (windows.empty()) return std::nullopt;
  const minutes at = OfWeek(now);
  if (!IsFrozen(windows, at)) return std::nullopt;
  minutes left{1};
  while (left < kWeek && IsFrozen(windows, (at + left) % kWeek)) ++left;
  return std::chrono::floor<minutes>(now) + left;
}

bool LeavesTime(const std::vector<FreezeWindow>& windows) {
  for (minutes minute{0}; minute < kWeek; ++minute) {
    if (!IsFrozen(windows, minute)) return true;
  }
  return false;
}

std::string MinuteName(WallTime time) {
  const std::string full = FormatRfc3339(time);  // 2026-03-02T06:00:00…
  std::string day = DayName(weekday(std::chrono::floor<days>(time)));
  day[0] = static_cast<char>(day[0] - 'a' + 'A');
  return StrCat(day, " ", full.substr(0, 10), " ", full.substr(11, 5), " UTC");
}

std::string DayName(weekday day) { return kDays[day.c_encoding() % 7]; }

std::optional<weekday> ParseDay(std::string_view name) {
  for (unsigned day = 0; day < kDays.size(); ++day) {
    if (name == kDays[day]) return weekday(day);
  }
  return std::nullopt;
}

std::string TimeOfDay(minutes time) {
  std::array<char, 16> text{};
  snprintf(text.data(), text.size(), "%02d:%02d", static_cast<int>(time.count() / 60),
           static_cast<int>(time.count() % 60));
  return text.data();
}

std::optional<minutes> ParseTimeOfDay(std::string_view text) {
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  const auto hours = ParseInt64(text.substr(0, 2)), rest = ParseInt64(text.substr(3));
  if (!hours || !rest || *hours < 0 || *rest < 0 || *rest > 59) return std::nullopt;
  const minutes time{*hours * 60 + *rest};
  return time > kDay ? std::nullopt : std::optional(time);
}

}  // namespace leadsman
