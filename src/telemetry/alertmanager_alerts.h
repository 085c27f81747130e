#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "monitor/alarm_book.h"
#include "monitor/alarm_notice.h"

namespace leadsman {

/// "ErrorBurn": what Alertmanager calls a kind.
std::string AlertName(AlarmKind kind);

/// News as alerts, which end by themselves five minutes from now: the body of POST /api/v2/alerts. At least one.
std::string NewsAlerts(const std::vector<std::shared_ptr<const AlarmNotice>>& notices,
                       WallTime now);

/// The alerts that an Alertmanager is to know of, by their labels: those that fire, with an end in the near future, so that
/// they end by themselves should nobody say more; and those that have ended, for a while. Pure; externally synchronised.
class AlertmanagerAlerts {
 public:
  static constexpr std::chrono::minutes kTellEnded{15};

  /// `generator`: URL of an alarm, without its number.
  AlertmanagerAlerts(std::string generator, Duration lifetime)
      : generator_(std::move(generator)), lifetime_(lifetime) {}

  /// True when an alert began or ended: it is to be told at once. What has been ended for long enough is forgotten.
  bool Update(const std::vector<Alarm>& firing, WallTime wall, SteadyTime now);
  /// The body of POST /api/v2/alerts.
  std::string Body(WallTime wall) const;
  void Delivered();
  bool empty() const { return alerts_.empty(); }
  /// Alerts that began and ended without ever being delivered.
  uint64_t missed() const { return missed_; }

 private:
  struct Alert {
    Alarm alarm;
    bool ended = false;
    bool delivered = false;  ///< in its present state
    WallTime end{};
    SteadyTime forget_after{};
  };
  const std::string generator_;
  const Duration lifetime_;
  std::map<std::string, Alert> alerts_;  ///< by their labels as JSON
  uint64_t missed_ = 0;
};

}  // namespace leadsman
