#include "telemetry/mail_sender.h"

#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "telemetry/give_up.h"

namespace leadsman {
namespace {

constexpr size_t kMostInAMail = 100;

}  // namespace

MailSender::MailSender(const std::string& name, MailOptions options, std::string generator,
                       AlarmOutbox::Box& box, Clock& clock)
    : name_(name),
      options_(std::move(options)),
      frame_{options_.from, options_.to, std::move(generator)},
      box_(box),
      clock_(clock) {}

Result<std::unique_ptr<MailSender>> MailSender::Create(const std::string& name, MailOptions options,
                                                       std::string generator, AlarmOutbox::Box& box,
                                                       Clock& clock) {
  std::unique_ptr<MailSender> sender(
      new MailSender(name, std::move(options), std::move(generator), box, clock));
  ASSIGN_OR_RETURN(sender->smtp_, SmtpClient::Create(sender->options_.smtp));
  Courier::Options courier;
  courier.thread = "mail";
  courier.peer = name;
  courier.timeout = sender->options_.smtp.timeout;
  courier.longest_pause = sender->options_.longest_backoff;
  ASSIGN_OR_RETURN(sender->courier_,
                   Courier::Start(std::move(courier), clock,
                                  [made = sender.get()](const Courier::Errand& errand) {
                                    return made->Carry(errand);
                                  }));
  sender->courier_->Wake();  // what was not delivered before a restart
  return sender;
}

MailSender::~MailSender() = default;

void MailSender::Tell(const std::vector<Alarm>&) { courier_->Wake(); }

Courier::Report MailSender::Carry(const Courier::Errand& errand) {
  const std::vector<AlarmOutbox::Item> front = box_.Front(kMostInAMail);
  if (front.empty()) return {};
  std::vector<std::shared_ptr<const AlarmNotice>> notices;
  for (const AlarmOutbox::Item& item : front) notices.push_back(item.notice);
  SmtpClient::Answer answer =
      smtp_->Send(errand, {frame_.from, frame_.to, AlarmMail(notices, frame_, clock_.Now())});
  if (answer.status.ok()) {
    for (const auto& notice : notices) box_.Delivered(*notice);
    const std::string refused = Join(answer.refused, "; ");
    if (std::exchange(refused_, refused) != refused && !refused.empty())
      LOG_WARN("the mail server does not take mail for some receivers", {"peer", name_},
               {"refused", refused});
    return {.outcome = Courier::Outcome::kSent, .rest = options_.min_interval};
  }
  if (answer.text_refused) {
    for (const auto& notice : notices) box_.Drop(*notice);
    return {Courier::Outcome::kRefused, Annotate(std::move(answer.status), notices[0]->delivery)};
  }
  GiveUpLate(box_, clock_.SteadyNow() - options_.give_up_after, name_, answer.status);
  return {Courier::Outcome::kAgain, std::move(answer.status)};
}

SenderCounters MailSender::counters() const {
  const Courier::Counters tries = courier_->counters();
  return {tries.sent, tries.failed, box_.dropped(), box_.waiting()};
}

}  // namespace leadsman
