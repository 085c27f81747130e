#include "telemetry/webhook_sender.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/strings.h"
#include "monitor/alarm_json.h"
#include "telemetry/give_up.h"

namespace leadsman {

std::string WebhookSignature(std::string_view secret, int64_t unix_seconds, std::string_view body) {
  const std::string text = StrCat(unix_seconds, ".", body);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size);
  std::string out = StrCat("t=", unix_seconds, ",v1=");
  for (unsigned int i = 0; i < size; ++i) {
    out += "0123456789abcdef"[digest[i] >> 4];
    out += "0123456789abcdef"[digest[i] & 15];
  }
  return out;
}

WebhookSender::WebhookSender(const std::string& name, WebhookOptions options, std::string instance,
                             AlarmOutbox::Box& box, Clock& clock)
    : name_(name),
      options_(std::move(options)),
      instance_(std::move(instance)),
      box_(box),
      clock_(clock) {}

Result<std::unique_ptr<WebhookSender>> WebhookSender::Create(const std::string& name,
                                                             WebhookOptions options,
                                                             std::string instance,
                                                             AlarmOutbox::Box& box, Clock& clock) {
  std::unique_ptr<WebhookSender> sender(
      new WebhookSender(name, std::move(options), std::move(instance), box, clock));
  const WebhookOptions& o = sender->options_;
  ASSIGN_OR_RETURN(sender->http_, SenderHttp::Create(o.target));
  if (!o.secret_file.empty()) {
    const Status secret = ReadSecret(o.secret_file).status();
    if (!secret.ok()) return Annotate(secret, "secret_file");
  }
  Courier::Options courier;
  courier.thread = "webhook";
  courier.peer = name;
  courier.timeout = o.target.timeout;
  courier.longest_pause = o.longest_backoff;
  ASSIGN_OR_RETURN(sender->courier_,
                   Courier::Start(std::move(courier), clock,
                                  [made = sender.get()](const Courier::Errand& errand) {
                                    return made->Carry(errand);
                                  }));
  sender->courier_->Wake();  // what was not delivered before a restart
  return sender;
}

WebhookSender::~WebhookSender() = default;

void WebhookSender::Tell(const std::vector<Alarm>&) { courier_->Wake(); }

SenderHttp::Answer WebhookSender::Post(const Courier::Errand& errand, const AlarmNotice& notice) {
  SenderHttp::Message message;
  message.body = StrCat("{\"event\":\"", notice.Event(), "\",\"instance\":");
  AppendJsonString(message.body, instance_);
  if (notice.news) {
    message.body += StrCat(",\"", notice.news->about, "\":", notice.news->json, "}");
  } else {
    message.body += StrCat(",\"alarm\":", AlarmJson(notice.alarm), "}");
  }
  message.headers = {{"x-leadsman-event", notice.Event()},
                     {"x-leadsman-delivery", notice.delivery}};
  if (!options_.secret_file.empty()) {
    auto secret = ReadSecret(options_.secret_file);
    if (!secret.ok()) return {Annotate(secret.status(), "secret_file")};
    const int64_t now = UnixMillis(clock_.Now()) / 1000;
    message.headers.emplace_back("x-leadsman-signature",
                                 WebhookSignature(*secret, now, message.body));
  }
  return http_->Post(errand, std::move(message));
}

Courier::Report WebhookSender::Carry(const Courier::Errand& errand) {
  const std::vector<AlarmOutbox::Item> waiting = box_.Front(box_.waiting());
  if (waiting.empty()) return {};
  // No alarm waits for news that the receiver does not take.
  const auto alarm =
      std::ranges::find_if(waiting, [](const auto& item) { return !item.notice->news; });
  const AlarmNotice& notice = *(alarm == waiting.end() ? waiting.begin() : alarm)->notice;
  SenderHttp::Answer answer = Post(errand, notice);
  if (answer.status.ok()) {
    box_.Delivered(notice);
    return {Courier::Outcome::kSent, {}};
  }
  if (answer.IsRefusal()) {
    box_.Drop(notice);
    return {Courier::Outcome::kRefused, Annotate(std::move(answer.status), notice.delivery)};
  }
  GiveUpLate(box_, clock_.SteadyNow() - options_.give_up_after, name_, answer.status);
  return {Courier::Outcome::kAgain, std::move(answer.status)};
}

SenderCounters WebhookSender::counters() const {
  const Courier::Counters tries = courier_->counters();
  return {tries.sent, tries.failed, box_.dropped(), box_.waiting()};
}

}  // namespace leadsman
