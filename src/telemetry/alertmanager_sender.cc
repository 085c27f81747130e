#include "telemetry/alertmanager_sender.h"

#include <utility>

#include "base/strings.h"
#include "telemetry/give_up.h"

namespace leadsman {

namespace {

constexpr std::chrono::hours kGiveUpNewsAfter{1};
constexpr size_t kMostNews = 100;  // in a message

}  // namespace

AlertmanagerSender::AlertmanagerSender(const std::string& name, AlertmanagerOptions options,
                                       std::string generator, Clock& clock, AlarmOutbox::Box* news)
    : name_(name),
      options_(std::move(options)),
      clock_(clock),
      news_(news),
      alerts_(std::move(generator), 4 * options_.resend_interval) {}

Result<std::unique_ptr<AlertmanagerSender>> AlertmanagerSender::Create(const std::string& name,
                                                                       AlertmanagerOptions options,
                                                                       std::string generator,
                                                                       Clock& clock,
                                                                       AlarmOutbox::Box* news) {
  std::unique_ptr<AlertmanagerSender> sender(
      new AlertmanagerSender(name, std::move(options), std::move(generator), clock, news));
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
  bool wake = news_ != nullptr && news_->waiting() > 0;
  {
    MutexLock lock(mutex_);
    if (alerts_.Update(firing, clock_.Now(), clock_.SteadyNow())) {
      ++generation_;
      wake = true;
    }
  }
  if (wake) courier_->Wake();
}

Courier::Report AlertmanagerSender::CarryNews(const Courier::Errand& errand,
                                              const std::vector<AlarmOutbox::Item>& front) {
  std::vector<std::shared_ptr<const AlarmNotice>> notices;
  for (const AlarmOutbox::Item& item : front) notices.push_back(item.notice);
  SenderHttp::Message message;
  message.path = "/api/v2/alerts";
  message.body = NewsAlerts(notices, clock_.Now());
  SenderHttp::Answer answer = http_->Post(errand, std::move(message));
  if (answer.status.ok()) {
    for (const auto& notice : notices) news_->Delivered(*notice);
    return {Courier::Outcome::kSent, {}};
  }
  if (answer.IsRefusal()) {
    for (const auto& notice : notices) news_->Drop(*notice);
    return {Courier::Outcome::kRefused, Annotate(std::move(answer.status), notices[0]->delivery)};
  }
  GiveUpLate(*news_, clock_.SteadyNow() - kGiveUpNewsAfter, name_, answer.status);
  return {Courier::Outcome::kAgain, std::move(answer.status)};
}

Courier::Report AlertmanagerSender::Carry(const Courier::Errand& errand) {
  if (news_ != nullptr) {
    if (const auto front = news_->Front(kMostNews); !front.empty()) return CarryNews(errand, front);
  }
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
  const uint64_t dropped = news_ != nullptr ? news_->dropped() : 0;
  const size_t waiting = news_ != nullptr ? news_->waiting() : 0;
  return {tries.sent, tries.failed, alerts_.missed() + dropped,
          (generation_ - delivered_ > 0 ? 1u : 0u) + waiting};
}

}  // namespace leadsman
