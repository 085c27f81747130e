#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "monitor/alarm_loop.h"
#include "monitor/alarm_outbox.h"
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
  /// `generator`: URL of an alarm, without its number; empty: none. `news`: a box of news alone, which must outlive the
  /// sender; null: none are told. They stay in it until the Alertmanager has taken them, and are given up after an hour.
  static Result<std::unique_ptr<AlertmanagerSender>> Create(const std::string& name,
                                                            AlertmanagerOptions options,
                                                            std::string generator, Clock& clock,
                                                            AlarmOutbox::Box* news = nullptr);
  ~AlertmanagerSender() override;
  void Tell(const std::vector<Alarm>& firing) override;
  void BeginStop() override { courier_->BeginStop(); }
  SenderCounters counters() const;
  std::optional<Courier::Trouble> trouble() const { return courier_->trouble(); }

 private:
  AlertmanagerSender(const std::string& name, AlertmanagerOptions options, std::string generator,
                     Clock& clock, AlarmOutbox::Box* news);
  Courier::Report Carry(const Courier::Errand& errand);
  Courier::Report CarryNews(const Courier::Errand& errand,
                            const std::vector<AlarmOutbox::Item>& front);

  const std::string name_;
  const AlertmanagerOptions options_;
  Clock& clock_;
  AlarmOutbox::Box* const news_;
  std::unique_ptr<SenderHttp> http_;  ///< of the courier's thread
  mutable Mutex mutex_;
  AlertmanagerAlerts alerts_ GUARDED_BY(mutex_);
  uint64_t generation_ GUARDED_BY(mutex_) = 0;  ///< of what began or ended
  uint64_t delivered_ GUARDED_BY(mutex_) = 0;   ///< the generation that was
  std::unique_ptr<Courier> courier_;            ///< last: it uses the others
};

}  // namespace leadsman
