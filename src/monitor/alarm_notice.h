#pragma once

#include <string>

#include "base/clock.h"
#include "base/strings.h"
#include "monitor/alarm_book.h"

namespace leadsman {

/// What people are told of one alarm: that it fires, became more severe, or has ended. A value; immutable once it is owed.
struct AlarmNotice {
  std::string delivery;  ///< its id, the same however often it is delivered
  AlarmState to = AlarmState::kFiring;
  Alarm alarm;    ///< as it was then
  WallTime at{};  ///< since when it is owed

  std::string Event() const { return StrCat("alarm.", AlarmStateName(to)); }
};

/// Of a transition that is to be told. The delivery's id is made of what cannot be the same twice: the alarm, how often it
/// has fired, what became of it, and how severe it was.
inline AlarmNotice MakeNotice(const AlarmTransition& told, WallTime wall) {
  return {StrCat(told.alarm.id, "-", told.alarm.firings, "-", AlarmStateName(told.to), "-",
                 AlarmSeverityName(told.alarm.finding.severity)),
          told.to, told.alarm, wall};
}

}  // namespace leadsman
