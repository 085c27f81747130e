#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "monitor/alarm_loop.h"
#include "telemetry/alertmanager_alerts.h"
#include "telemetry/courier.h"
#include "telemetry/sender_counters.h"
#include "telemetry/sender_http.h"

namespace leadsman {

struct AlertmanagerOptions {
  SenderTarget target;
  std::chrono::milliseconds resend_interval{60'000};
};

/// Keeps one Alertmanager (0.16 or newer: API v2) told of what fires. It sends the whole whenever something begins or ends, and
/// every resend_interval: an Alertmanager that was restarted, or could not be reached, knows all again with the next message.
/// Failures are repeated after 1 s to the resend interval, and said in the log once until it works again.
class AlertmanagerSender final : public AlarmSender {
 public:
  /// `generator`: URL of an alarm, without its number; empty: none.
  static Result<std::unique_ptr<AlertmanagerSender>> Create(const std::string& name,
                                                            AlertmanagerOptions options,
                                                            std::string generator, Clock& clock);
  ~AlertmanagerSender() override;
  void Tell(const std::vector<Alarm>& firing) override;
  void BeginStop() override { courier_->BeginStop(); }
  SenderCounters counters() const;

 private:
  AlertmanagerSender(AlertmanagerOptions options, std::string generator, Clock& clock);
  Courier::Report Carry(const Courier::Errand& errand);

  const AlertmanagerOptions options_;
  Clock& clock_;
  std::unique_ptr<SenderHttp> http_;  ///< of the courier's thread
  mutable Mutex mutex_;
  AlertmanagerAlerts alerts_ GUARDED_BY(mutex_);
  uint64_t generation_ GUARDED_BY(mutex_) = 0;  ///< of what began or ended
  uint64_t delivered_ GUARDED_BY(mutex_) = 0;   ///< the generation that was
  std::unique_ptr<Courier> courier_;            ///< last: it uses the others
};

}  // namespace leadsman
