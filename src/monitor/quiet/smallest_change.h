#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

#include "monitor/quiet/count_series.h"
#include "monitor/quiet/watch_rig.h"

namespace leadsman {

/// How the past is searched for what a watch would find.
struct ChangeSearch {
  double look_seconds = 10;  ///< of the looks of a CountSeries
  double step_seconds = 60;  ///< between those of a trial
  size_t most_days = 10;
};

/// What would be found.
struct SmallestChange {
  /// Of all that was well, so much more is bad. Nothing: not even all of it would be found on most days.
  std::optional<double> share;
  double seconds = 0;     ///< until it is found, on the middle one of the days that find it
  size_t days = 0;        ///< that were tried
  size_t days_alarm = 0;  ///< that could not be, for its alarm fires on them without any change
};

using RigMaker = std::function<std::unique_ptr<WatchRig>()>;

/// The smallest change that the watch finds within 24 hours, on most of up to `most_days` days that begin evenly spread over the
/// past. Into each of those days the change is put from its beginning on: of what was well a share is bad, drawn at random from a
/// fixed seed. The watch has seen the 72 hours before; a past that is shorter is taken as one that repeats itself. To within an
/// eighth, from 0.01 % on. Pure.
SmallestChange FindSmallestChange(const RigMaker& make, const CountSeries& series,
                                  const ChangeSearch& search);

/// What would be found of a stop.
struct StopFound {
  size_t moments = 0,
         found = 0;  ///< that were tried; and those at which it is found within 24 hours
  double middle_seconds = 0, longest_seconds = 0;  ///< until then, of those found
};

/// How long requests have to stay away until the watch says so: after stops at 24 moments of the past, at all hours of the day.
/// Of each the watch has seen the two hours before. `requests` has requests as total. Pure.
StopFound FindStop(const RigMaker& make, const CountSeries& requests, double look_seconds);

}  // namespace leadsman
