#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "monitor/alarm_loop.h"
#include "telemetry/sender_http.h"
#include "telemetry/sender_thread.h"

namespace leadsman {

struct WebhookOptions {
  SenderTarget target;
  std::string secret_file;  ///< signs what is sent; empty: it is not signed
  std::chrono::milliseconds give_up_after{3'600'000};
  std::chrono::milliseconds longest_backoff{60'000};
  size_t queue = 1000;  ///< messages; the oldest makes room
};

/// "t=1700000000,v1=…": HMAC-SHA256 in hexadecimal digits of "1700000000." and the body. Pure.
std::string WebhookSignature(std::string_view secret, int64_t unix_seconds, std::string_view body);

/// Posts one message for each alarm that fires or ends, in order, to one receiver. What fails is repeated after 1 s to a
/// minute, and given up after an hour or when it is refused as wrong. Waiting messages are lost with the process.
class WebhookSender final : public AlarmSender {
 public:
  /// `instance`: URL of this server's admin API, told in every message.
  static Result<std::unique_ptr<WebhookSender>> Create(const std::string& name,
                                                       WebhookOptions options, std::string instance,
                                                       Clock& clock);
  ~WebhookSender() override;  ///< waits for a second at most
  void Tell(const std::vector<Alarm>& firing, const std::vector<AlarmTransition>& news) override;
  SenderCounters counters() const;

 private:
  struct State;
  explicit WebhookSender(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace leadsman
