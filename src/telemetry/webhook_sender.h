#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "monitor/alarm_loop.h"
#include "monitor/alarm_outbox.h"
#include "telemetry/courier.h"
#include "telemetry/sender_counters.h"
#include "telemetry/sender_http.h"

namespace leadsman {

struct WebhookOptions {
  SenderTarget target;
  std::string secret_file;  ///< signs what is sent; empty: it is not signed
  bool rollouts = false;    ///< is told of rollouts too; the box it is given says so
  std::chrono::milliseconds give_up_after{3'600'000};
  std::chrono::milliseconds longest_backoff{60'000};
};

/// "t=1700000000,v1=…": HMAC-SHA256 in hexadecimal digits of "1700000000." and the body. Pure.
std::string WebhookSignature(std::string_view secret, int64_t unix_seconds, std::string_view body);

/// Posts one message for each notice in its box, in order, to one receiver. A notice stays in the box until the receiver has
/// answered 2xx. What fails is repeated after 1 s to a minute, and given up after an hour or when it is refused as wrong.
class WebhookSender final : public AlarmSender {
 public:
  /// `instance`: URL of this server's admin API, told in every message. `box` must outlive the sender.
  static Result<std::unique_ptr<WebhookSender>> Create(const std::string& name,
                                                       WebhookOptions options, std::string instance,
                                                       AlarmOutbox::Box& box, Clock& clock);
  ~WebhookSender() override;
  void Tell(const std::vector<Alarm>& firing) override;
  void BeginStop() override { courier_->BeginStop(); }
  SenderCounters counters() const;
  std::optional<Courier::Trouble> trouble() const { return courier_->trouble(); }

 private:
  WebhookSender(const std::string& name, WebhookOptions options, std::string instance,
                AlarmOutbox::Box& box, Clock& clock);
  Courier::Report Carry(const Courier::Errand& errand);
  SenderHttp::Answer Post(const Courier::Errand& errand, const AlarmNotice& notice);

  const std::string name_;
  const WebhookOptions options_;
  const std::string instance_;
  AlarmOutbox::Box& box_;
  Clock& clock_;
  std::unique_ptr<SenderHttp> http_;  ///< of the courier's thread
  std::unique_ptr<Courier> courier_;  ///< last: it uses the others
};

}  // namespace leadsman
