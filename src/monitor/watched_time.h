#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace leadsman {

/// When there was somebody who counted: the time of this process, and those of earlier ones as far as they are known. What
/// is in between is a gap, of which nothing is known; without a word on gaps "none in the last 3 d" would be a guess.
/// Confined to the thread that looks.
class WatchedTime {
 public:
  static constexpr std::string_view kName =
      "watched";  ///< of its row among the counts that are kept
  /// Longer ago than any watch looks back.
  static constexpr std::chrono::hours kLongest{80};
  static constexpr size_t kMaxSpans = 256;  ///< earlier processes; the oldest make room

  explicit WatchedTime(SteadyTime began) : began_(began) {}

  /// How much of the last `back` before `now` was watched; `now` may be past.
  Duration Within(SteadyTime now, Duration back) const;
  /// "last 3 d", "1 h 5 min seen so far", "2 d 20 h seen of the last 3 d": goes with "in the".
  std::string Words(SteadyTime now, Duration back) const;

  /// For a process to come.
  std::string Bytes(SteadyTime now) const;
  /// What Bytes gave at `then`. False: it is something else, and nothing of it is taken.
  bool Restore(std::string_view bytes, SteadyTime then, SteadyTime now);

 private:
  struct Span {
    SteadyTime from{}, to{};
  };
  SteadyTime began_;
  std::deque<Span> before_;  ///< oldest first
};

}  // namespace leadsman
