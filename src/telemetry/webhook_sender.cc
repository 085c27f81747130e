#include "telemetry/webhook_sender.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <deque>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "monitor/alarm_json.h"

namespace leadsman {

using namespace std::chrono_literals;

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

struct WebhookSender::State : SenderState {
  struct Message {
    std::string event;     ///< "alarm.firing", "alarm.resolved"
    std::string delivery;  ///< the same whenever this message is repeated
    std::string body;
    SteadyTime queued{};
  };

  State(const std::string& n, WebhookOptions o, std::string i, Clock& c)
      : name(n), options(std::move(o)), instance(std::move(i)), clock(c) {}

  std::optional<Message> Await() {
    MutexLock lock(mutex);
    while (!stop) {
      const SteadyTime now = clock.SteadyNow();
      if (!queue.empty() && now >= due) {
        Message message = std::move(queue.front());
        queue.pop_front();
        return message;
      }
      changed.WaitFor(mutex, queue.empty() ? Duration(1h) : due - now);
    }
    return std::nullopt;
  }

  Status Post(const Message& message) {
    std::vector<std::pair<std::string, std::string>> headers = {
        {"x-leadsman-event", message.event}, {"x-leadsman-delivery", message.delivery}};
    if (!options.secret_file.empty()) {
      auto secret = ReadSecret(options.secret_file);
      if (!secret.ok()) return Annotate(secret.status(), "secret_file");
      const int64_t now = UnixMillis(clock.Now()) / 1000;
      headers.emplace_back("x-leadsman-signature", WebhookSignature(*secret, now, message.body));
    }
    return http->Post("", message.body, std::move(headers));
  }

  void Note(const Status& status, Message message) {
    MutexLock lock(mutex);
    const SteadyTime now = clock.SteadyNow();
    if (status.ok()) {
      ++sent;
      if (std::exchange(failures, 0) > 0) LOG_INFO("webhook works again", {"sender", name});
      due = now;
      return;
    }
    ++failed;
    if (failures++ == 0)
      LOG_WARN("webhook cannot be told; it is tried again", {"sender", name}, {"reason", status});
    due = now + Backoff(failures, options.longest_backoff);
    const bool refused = status.code() == StatusCode::kInvalidArgument;
    if (refused || now - message.queued >= options.give_up_after || queue.size() >= options.queue) {
      ++dropped;
      LOG_WARN("a notification is given up", {"sender", name}, {"delivery", message.delivery},
               {"reason", status});
      if (refused) due = now;
      return;
    }
    queue.push_front(std::move(message));
  }

  void Run() {
    while (auto message = Await()) {
      const Status status = Post(*message);
      Note(status, std::move(*message));
    }
  }

  const std::string name;
  const WebhookOptions options;
  const std::string instance;
  Clock& clock;
  std::unique_ptr<SenderHttp> http;  ///< of the thread
  std::deque<Message> queue GUARDED_BY(mutex);
  SteadyTime due GUARDED_BY(mutex){};
  int failures GUARDED_BY(mutex) = 0;
};

Result<std::unique_ptr<WebhookSender>> WebhookSender::Create(const std::string& name,
                                                             WebhookOptions options,
                                                             std::string instance, Clock& clock) {
  ASSIGN_OR_RETURN(auto http, SenderHttp::Create(options.target));
  if (!options.secret_file.empty()) {
    const Status secret = ReadSecret(options.secret_file).status();
    if (!secret.ok()) return Annotate(secret, "secret_file");
  }
  auto state = std::make_shared<State>(name, std::move(options), std::move(instance), clock);
  state->http = std::move(http);
  SenderState::Start(state, "webhook");
  return std::unique_ptr<WebhookSender>(new WebhookSender(std::move(state)));
}

WebhookSender::WebhookSender(std::shared_ptr<State> state) : state_(std::move(state)) {}
WebhookSender::~WebhookSender() { state_->StopWithin(1s); }

void WebhookSender::Tell(const std::vector<Alarm>&, const std::vector<AlarmTransition>& news) {
  MutexLock lock(state_->mutex);
  for (const AlarmTransition& t : news) {
    if (!t.notify) continue;
    State::Message message;
    message.event = StrCat("alarm.", AlarmStateName(t.to));
    message.delivery =
        StrCat(t.alarm.id, "-", UnixMillis(t.alarm.pending_since), "-", t.alarm.firings, "-",
               AlarmStateName(t.to), "-", AlarmSeverityName(t.alarm.finding.severity));
    message.body = StrCat("{\"event\":\"", message.event, "\",\"instance\":");
    AppendJsonString(message.body, state_->instance);
    message.body += StrCat(",\"alarm\":", AlarmJson(t.alarm), "}");
    message.queued = state_->clock.SteadyNow();
    if (state_->queue.size() >= state_->options.queue) {
      state_->queue.pop_front();
      ++state_->dropped;
    }
    state_->queue.push_back(std::move(message));
  }
  state_->changed.NotifyAll();
}

SenderCounters WebhookSender::counters() const { return state_->counters(); }

}  // namespace leadsman
