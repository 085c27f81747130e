#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "monitor/finding.h"

namespace leadsman {

/// kInactive → kPending → kFiring → kResolved; kPending → kInactive when it passes before its time; kResolved → kPending
/// when the same thing is wrong again.
enum class AlarmState : uint8_t { kInactive, kPending, kFiring, kResolved };
std::string_view AlarmStateName(AlarmState state);  ///< "inactive", …

/// The history of one subject. A value.
struct Alarm {
  int64_t id =
      0;  ///< the millisecond in which it began, or the next that is free: no other process had it
  AlarmState state = AlarmState::kInactive;
  Finding finding;  ///< the last that was wrong
  WallTime pending_since{};
  WallTime fired{};      ///< the last time; the epoch: never
  WallTime resolved{};   ///< the last time; the epoch: never
  uint64_t firings = 0;  ///< how often it has fired; above 1 it flaps
  bool notified =
      false;  ///< it is owed to people, or they were told, that it fires; not yet that it ended
  AlarmSeverity notified_severity = AlarmSeverity::kInfo;  ///< and how severe it was then
  int64_t silence = 0;  ///< the silence that holds it back; 0: none
};

/// Who need not be told of what, until when. Empty fields match all.
struct Silence {
  int64_t id = 0;
  std::string kind;  ///< AlarmKindName
  std::string model;
  int64_t version = 0;
  std::string of;
  WallTime created{};
  WallTime until{};
  std::string author;
  std::string comment;

  bool Matches(const AlarmSubject& subject) const;
};

struct AlarmTransition {
  Alarm alarm;  ///< as it is after it
  AlarmState from = AlarmState::kInactive;
  AlarmState to = AlarmState::kInactive;
  /// Whoever is paged is told: it fires or became more severe and is not silenced, a silence ended, or what was told has
  /// ended.
  bool notify = false;
};

struct AlarmBookOptions {
  /// How long something has to be wrong before it fires, by kind. What has its own evidence in time (burn rates, e-values)
  /// waits for nothing.
  std::array<std::chrono::milliseconds, kAlarmKindCount> pending_for{};
  std::chrono::milliseconds keep_firing_for{300'000};  ///< well for so long: resolved
  std::chrono::milliseconds reopen_within{3'600'000};  ///< wrong again: the same alarm
  std::chrono::milliseconds keep_resolved{86'400'000};
  size_t max_alarms = 1000;
  size_t max_silences = 1000;

  /// The burn rates, drifts and risks at once, all others after `threshold_for`.
  void SetThresholdFor(std::chrono::milliseconds threshold_for);
};

/// What is wrong with whom since when, from what the watches find. Pure: time is given, nothing is called. Externally
/// synchronised.
///
/// At most max_alarms: the one that has been resolved for the longest makes room, and when none is, what is new is left out
/// and counted. Severity rises while an alarm fires and never falls. A subject that its watch tells no more of is treated as
/// well; one of which it does not know stays as it is.
class AlarmBook {
 public:
  explicit AlarmBook(AlarmBookOptions options) : options_(options) {}

  /// One look: all findings of all watches.
  std::vector<AlarmTransition> Step(std::span<const Finding> findings, WallTime wall,
                                    SteadyTime now);

  /// In the order of their ids.
  std::vector<Alarm> Alarms() const;
  /// Those that have not ended more than a day ago, in the order of their ids.
  std::vector<Silence> Silences() const;
  /// With its id; alarms that it matches are silent at once. INVALID_ARGUMENT: matches everything, has no end to come, or no author or comment; RESOURCE_EXHAUSTED.
  Result<Silence> AddSilence(Silence silence, WallTime wall);
  /// NOT_FOUND. What fires and was silent is told by the next Step.
  Status RemoveSilence(int64_t id, WallTime wall);

  /// What was known before a restart; before the first Step. A firing alarm goes on firing, without being told again, until
  /// its watch has had keep_firing_for to say so.
  void Restore(std::vector<Alarm> alarms, std::vector<Silence> silences, WallTime wall,
               SteadyTime now);

  size_t watched() const { return watched_; }    ///< subjects that the last look told of
  uint64_t dropped() const { return dropped_; }  ///< findings for which there was no room

 private:
  struct Entry {
    Alarm alarm;
    SteadyTime wrong_since{};
    SteadyTime last_wrong{};
    SteadyTime resolved{};
    bool told = false;  ///< in this look
  };
  using Transitions = std::vector<AlarmTransition>;

  Entry* Open(const Finding& finding, WallTime wall, SteadyTime now);
  int64_t NewId(WallTime wall);
  bool MakeRoom();
  void TakeWrong(const Finding& finding, WallTime wall, SteadyTime now, Transitions& out);
  void TakeUnknown(const Finding& finding, SteadyTime now);
  /// Its subject is well, or not told of. Returns whether the entry goes.
  bool TakeWell(Entry& entry, WallTime wall, SteadyTime now, Transitions& out);
  void MarkSilenced(WallTime wall);
  void NotifyUnsilenced(Transitions& out);
  static void Notify(Alarm& alarm, Transitions& out);
  static void Move(Entry& entry, AlarmState to, Transitions& out);

  const AlarmBookOptions options_;
  std::map<AlarmSubject, Entry> entries_;
  std::map<int64_t, Silence> silences_;
  int64_t last_alarm_ = 0;
  int64_t next_silence_ = 1;
  size_t watched_ = 0;
  uint64_t dropped_ = 0;
};

}  // namespace leadsman
