#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "monitor/alarm_loop.h"
#include "telemetry/sender_http.h"
#include "telemetry/sender_thread.h"

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
  ~AlertmanagerSender() override;  ///< waits for a second at most
  void Tell(const std::vector<Alarm>& firing, const std::vector<AlarmTransition>& news) override;
  SenderCounters counters() const;

 private:
  struct State;
  explicit AlertmanagerSender(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace leadsman
