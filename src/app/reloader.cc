#include "app/reloader.h"

#include <utility>

#include "base/log.h"
#include "base/strings.h"

namespace leadsman {
namespace {

void SayNeedsRestart(const std::vector<std::string>& settings) {
  if (settings.empty()) return;
  LOG_WARN("changes that need a restart are not in force; the others are",
           {"settings", Join(settings, ", ")});
}

}  // namespace

Reloader::Reloader(Clock& clock, Registry& registry, Load load, Apply apply)
    : clock_(clock), load_(std::move(load)), apply_(std::move(apply)) {
  {
    MutexLock lock(mutex_);
    state_.last_success = clock_.Now();
  }
  auto add = [&](const char* name, const char* help, MetricType type,
                 std::vector<std::string> labels, auto fill) {
    registrations_.push_back(registry.Add({name, help, type, std::move(labels)}, [this, fill] {
      std::vector<MetricSample> samples;
      fill(state(), samples);
      return samples;
    }));
  };
  auto sample = [](std::vector<std::string> labels, double value) {
    MetricSample s;
    s.label_values = std::move(labels);
    s.value = value;
    return s;
  };
  add("leadsman_config_reloads_total", "Configurations read again, by result.",
      MetricType::kCounter, {"result"}, [sample](const State& s, std::vector<MetricSample>& out) {
        out.push_back(sample({"ok"}, static_cast<double>(s.succeeded)));
        out.push_back(sample({"failed"}, static_cast<double>(s.failed)));
      });
  add("leadsman_config_last_reload_successful",
      "1: the configuration that was read last is in force, also when that was at the start. 0: it "
      "had errors, and the one before it is.",
      MetricType::kGauge, {}, [sample](const State& s, std::vector<MetricSample>& out) {
        out.push_back(sample({}, s.last_ok ? 1 : 0));
      });
  add("leadsman_config_last_reload_success_timestamp_seconds",
      "When the configuration that is in force was read.", MetricType::kGauge, {},
      [sample](const State& s, std::vector<MetricSample>& out) {
        out.push_back(sample({}, UnixSeconds(s.last_success)));
      });
}

Status Reloader::Reload(const std::string& trigger) {
  MutexLock one(one_at_a_time_);
  std::vector<std::string> needs_restart;
  Status status = PutInForce(trigger, load_, needs_restart);
  Keep(trigger, status, needs_restart);
  return status;
}

Status Reloader::Take(const Load& sent) {
  MutexLock one(one_at_a_time_);
  std::vector<std::string> needs_restart;
  Status status = PutInForce("client", sent, needs_restart);
  if (status.ok()) {
    Keep("client", status, needs_restart);
  } else {
    MutexLock lock(mutex_);
    ++state_.failed;
  }
  return status;
}

Status Reloader::Adapt(const std::function<Result<std::optional<Config>>()>& found) {
  MutexLock one(one_at_a_time_);
  ASSIGN_OR_RETURN(std::optional<Config> next, found());
  if (!next) return OkStatus();
  std::vector<std::string> needs_restart;
  RETURN_IF_ERROR(apply_(std::move(*next), needs_restart));
  SayNeedsRestart(needs_restart);
  return OkStatus();
}

Status Reloader::PutInForce(const std::string& trigger, const Load& load,
                            std::vector<std::string>& needs_restart) {
  Result<Config> next = load();
  Status status = next.ok() ? apply_(std::move(next).value(), needs_restart) : next.status();
  if (!status.ok()) {
    LOG_ERROR("configuration not reloaded, the old one stays", {"trigger", trigger},
              {"reason", std::string(status.message())});
    return status;
  }
  SayNeedsRestart(needs_restart);
  LOG_INFO("configuration reloaded", {"trigger", trigger});
  return status;
}

void Reloader::Keep(const std::string& trigger, const Status& status,
                    const std::vector<std::string>& needs_restart) {
  MutexLock lock(mutex_);
  state_.last_ok = status.ok();
  state_.last_trigger = trigger;
  ++(status.ok() ? state_.succeeded : state_.failed);
  state_.error = status.ok() ? "" : std::string(status.message());
  if (!status.ok()) return;
  state_.last_success = clock_.Now();
  state_.needs_restart = needs_restart;
}

Reloader::State Reloader::state() const {
  MutexLock lock(mutex_);
  return state_;
}

}  // namespace leadsman
