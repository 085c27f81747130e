#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/strings.h"
#include "monitor/alarm_book.h"

namespace leadsman {

/// What has happened, and is told once: nothing that is wrong now and will be well again, as an alarm.
struct News {
  std::string event;     ///< "rollout.promoted"
  std::string headline;  ///< "PROMOTED: rollout 3 of digits, version 1 to 2"
  std::string summary;   ///< a sentence or two
  AlarmSeverity severity = AlarmSeverity::kInfo;
  std::string model;
  int64_t version = 0;
  std::string thread;  ///< what it goes on from: the same for all news of one rollout
  std::string about;   ///< the member of a webhook's message that has `json`: "rollout"
  std::string json;    ///< the thing itself, an object
  std::vector<std::pair<std::string, std::string>> details;
  /// Of an alert, beside its name, severity, model and version: what tells it from others.
  std::vector<std::pair<std::string, std::string>> labels;
  friend bool operator==(const News&, const News&) = default;
};

/// What people are told of one alarm: that it fires, became more severe, or has ended. Or news. A value; immutable once it is
/// owed.
struct AlarmNotice {
  std::string delivery;  ///< its id, the same however often it is delivered
  AlarmState to = AlarmState::kFiring;
  Alarm alarm;                    ///< as it was then
  WallTime at{};                  ///< since when it is owed
  std::optional<News> news = {};  ///< `to` and `alarm` mean nothing then

  std::string Event() const { return news ? news->event : StrCat("alarm.", AlarmStateName(to)); }
};

/// Of a transition that is to be told. The delivery's id is made of what cannot be the same twice: the alarm, how often it
/// has fired, what became of it, and how severe it was.
inline AlarmNotice MakeNotice(const AlarmTransition& told, WallTime wall) {
  return {StrCat(told.alarm.id, "-", told.alarm.firings, "-", AlarmStateName(told.to), "-",
                 AlarmSeverityName(told.alarm.finding.severity)),
          told.to, told.alarm, wall, std::nullopt};
}

}  // namespace leadsman
