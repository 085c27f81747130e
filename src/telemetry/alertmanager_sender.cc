#include "telemetry/alertmanager_sender.h"

#include <utility>

namespace leadsman {

AlertmanagerSender::AlertmanagerSender(AlertmanagerOptions options, std::string generator,
                                       Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      alerts_(std::move(generator), 4 * options_.resend_interval) {}

Result<std::unique_ptr<AlertmanagerSender>> AlertmanagerSender::Create(const std::string& name,
                                                                       AlertmanagerOptions options,
                                                                       std::string generator,
                                                                       Clock& clock) {
  std::unique_ptr<AlertmanagerSender> sender(
      new AlertmanagerSender(std::move(options), std::move(generator), clock));
  const AlertmanagerOptions& o = sender->options_;
  ASSIGN_OR_RETURN(sender->http_, SenderHttp::Create(o.target));
  Courier::Options courier;
  courier.thread = "alertmanager";
  courier.peer = name;
  courier.timeout = o.target.timeout;
  courier.longest_pause = o.resend_interval;
  ASSIGN_OR_RETURN(sender->courier_,
                   Courier::Start(std::move(courier), clock,
                                  [made = sender.get()](const Courier::Errand& errand) {
                                    return made->Carry(errand);
                                  }));
  return sender;
}

AlertmanagerSender::~AlertmanagerSender() = default;

void AlertmanagerSender::Tell(const std::vector<Alarm>& firing) {
  {
    MutexLock lock(mutex_);
    if (!alerts_.Update(firing, clock_.Now(), clock_.SteadyNow())) return;
    ++generation_;
  }
  courier_->Wake();
}

Courier::Report AlertmanagerSender::Carry(const Courier::Errand& errand) {
  SenderHttp::Message message;
  message.path = "/api/v2/alerts";
  uint64_t generation = 0;
  {
    MutexLock lock(mutex_);
    // At the end only what it does not know yet.
    if (alerts_.empty() || (errand.last && delivered_ == generation_)) return {};
    message.body = alerts_.Body(clock_.Now());
    generation = generation_;
  }
  SenderHttp::Answer answer = http_->Post(errand, std::move(message));
  if (!answer.status.ok()) return {Courier::Outcome::kAgain, std::move(answer.status)};
  MutexLock lock(mutex_);
  delivered_ = generation;
  if (generation == generation_) alerts_.Delivered();
  return {.outcome = Courier::Outcome::kSent, .again_in = options_.resend_interval};
}

SenderCounters AlertmanagerSender::counters() const {
  const Courier::Counters tries = courier_->counters();
  MutexLock lock(mutex_);
  return {tries.sent, tries.failed, alerts_.missed(), generation_ - delivered_ > 0 ? 1u : 0u};
}

}  // namespace leadsman
