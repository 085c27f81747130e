#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "rollout/plan.h"

namespace leadsman {

/// When the freeze ends that this moment lies in; nothing when it lies in none. Windows that touch are
/// one; of a week that is frozen altogether the end is a week away. Pure.
std::optional<WallTime> FrozenUntil(const std::vector<FreezeWindow>& windows, WallTime now);

/// Whether some minute of the week is in no window.
bool LeavesTime(const std::vector<FreezeWindow>& windows);

/// "Mon 2026-03-02 06:00 UTC".
std::string MinuteName(WallTime time);

/// "mon", …, "sun".
std::string DayName(std::chrono::weekday day);
std::optional<std::chrono::weekday> ParseDay(std::string_view name);
/// "16:30"; "24:00" is the end of the day.
std::string TimeOfDay(std::chrono::minutes time);
std::optional<std::chrono::minutes> ParseTimeOfDay(std::string_view text);

}  // namespace leadsman
