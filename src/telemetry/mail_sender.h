#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "monitor/alarm_loop.h"
#include "monitor/alarm_outbox.h"
#include "telemetry/courier.h"
#include "telemetry/mail_text.h"
#include "telemetry/sender_counters.h"
#include "telemetry/smtp_client.h"

namespace leadsman {

struct MailOptions {
  SmtpOptions smtp;
  std::string from;
  std::vector<std::string> to;
  std::chrono::milliseconds min_interval{60'000};
  std::chrono::milliseconds give_up_after{3'600'000};
  std::chrono::milliseconds longest_backoff{60'000};
};

/// Mails the notices in its box: one a mail, or all that came together or since the last mail, which is at least min_interval
/// ago. A notice stays in the box until the server has taken its mail; what fails is repeated as a webhook's is.
class MailSender final : public AlarmSender {
 public:
  /// `generator`: URL of an alarm, without its number; empty: none. `box` must outlive the sender.
  static Result<std::unique_ptr<MailSender>> Create(const std::string& name, MailOptions options,
                                                    std::string generator, AlarmOutbox::Box& box,
                                                    Clock& clock);
  ~MailSender() override;
  void Tell(const std::vector<Alarm>& firing) override;
  void BeginStop() override { courier_->BeginStop(); }
  SenderCounters counters() const;
  std::optional<Courier::Trouble> trouble() const { return courier_->trouble(); }

 private:
  MailSender(const std::string& name, MailOptions options, std::string generator,
             AlarmOutbox::Box& box, Clock& clock);
  Courier::Report Carry(const Courier::Errand& errand);

  const std::string name_;
  const MailOptions options_;
  const MailFrame frame_;
  AlarmOutbox::Box& box_;
  Clock& clock_;
  std::unique_ptr<SmtpClient> smtp_;  ///< of the courier's thread, as is the next
  std::string refused_;               ///< whom the server did not take the last mail for
  std::unique_ptr<Courier> courier_;  ///< last: it uses the others
};

}  // namespace leadsman
