#include "telemetry/alertmanager_sender.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.h"
#include "telemetry/alertmanager_alerts.h"

namespace leadsman {

using namespace std::chrono_literals;

struct AlertmanagerSender::State : SenderState {
  State(const std::string& n, AlertmanagerOptions o, std::string generator, Clock& c)
      : name(n),
        options(std::move(o)),
        clock(c),
        alerts(std::move(generator), 4 * options.resend_interval) {}

  struct Message {
    std::string body;
    uint64_t generation = 0;  ///< what it is of
  };
  /// The next message, when its time has come; nothing when it is time to end.
  std::optional<Message> Await() {
    MutexLock lock(mutex);
    while (!stop) {
      const SteadyTime now = clock.SteadyNow();
      if (!alerts.empty() && now >= due) return Message{alerts.Body(clock.Now()), generation};
      changed.WaitFor(mutex, alerts.empty() ? Duration(1h) : due - now);
    }
    return std::nullopt;
  }

  void Note(const Status& status, uint64_t sent_generation) {
    MutexLock lock(mutex);
    if (stop) return;
    const SteadyTime now = clock.SteadyNow();
    if (status.ok()) {
      ++sent;
      if (failures > 0) LOG_INFO("Alertmanager is told again", {"sender", name});
      failures = 0;
      if (generation == sent_generation) {
        alerts.Delivered();
        due = now + options.resend_interval;
      } else {
        due = now;  // something has changed meanwhile
      }
      return;
    }
    ++failed;
    if (failures++ == 0)
      LOG_WARN("Alertmanager cannot be told; it is tried again", {"sender", name},
               {"reason", status});
    due = now + Backoff(failures, options.resend_interval);
  }

  void Run() {
    while (auto message = Await())
      Note(http->Post("/api/v2/alerts", std::move(message->body)), message->generation);
  }

  const std::string name;
  const AlertmanagerOptions options;
  Clock& clock;
  std::unique_ptr<SenderHttp> http;  ///< of the thread
  AlertmanagerAlerts alerts GUARDED_BY(mutex);
  uint64_t generation GUARDED_BY(mutex) = 0;  ///< of what began or ended
  SteadyTime due GUARDED_BY(mutex){};
  int failures GUARDED_BY(mutex) = 0;
};

Result<std::unique_ptr<AlertmanagerSender>> AlertmanagerSender::Create(const std::string& name,
                                                                       AlertmanagerOptions options,
                                                                       std::string generator,
                                                                       Clock& clock) {
  ASSIGN_OR_RETURN(auto http, SenderHttp::Create(options.target));
  auto state = std::make_shared<State>(name, std::move(options), std::move(generator), clock);
  state->http = std::move(http);
  SenderState::Start(state, "alertmanager");
  return std::unique_ptr<AlertmanagerSender>(new AlertmanagerSender(std::move(state)));
}

AlertmanagerSender::AlertmanagerSender(std::shared_ptr<State> state) : state_(std::move(state)) {}
AlertmanagerSender::~AlertmanagerSender() { state_->StopWithin(1s); }

void AlertmanagerSender::Tell(const std::vector<Alarm>& firing,
                              const std::vector<AlarmTransition>&) {
  MutexLock lock(state_->mutex);
  const bool news = state_->alerts.Update(firing, state_->clock.Now(), state_->clock.SteadyNow());
  state_->dropped = state_->alerts.missed();
  if (!news) return;
  ++state_->generation;
  // A receiver that fails has its backoff; one that works is told at once.
  if (state_->failures == 0) state_->due = state_->clock.SteadyNow();
  state_->changed.NotifyAll();
}

SenderCounters AlertmanagerSender::counters() const { return state_->counters(); }

}  // namespace leadsman
