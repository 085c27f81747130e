#include "gateway/endpoint_health.h"

#include <algorithm>

namespace leadsman::gateway {

std::string EndpointHealth::reason() const {
  MutexLock lock(mutex_);
  return reason_;
}

bool EndpointHealth::OnCheck(bool good, const std::string& why, const HealthOptions& options) {
  MutexLock lock(mutex_);
  const State now = state_.load();
  good_checks_ = good ? good_checks_ + 1 : 0;
  bad_checks_ = good ? 0 : bad_checks_ + 1;
  State next = now;
  // At the start one look decides: there is no reputation to lose.
  if (good && (now == State::kUnknown || good_checks_ >= options.healthy_after))
    next = State::kHealthy;
  if (!good && (now == State::kUnknown || bad_checks_ >= options.unhealthy_after))
    next = State::kUnhealthy;
  if (!good) reason_ = why;
  if (next == now) return false;
  if (next == State::kHealthy) reason_.clear();
  state_ = next;
  return true;
}

void EndpointHealth::ForgetChecks() {
  MutexLock lock(mutex_);
  if (state_.load() == State::kUnhealthy) reason_.clear();
  state_ = State::kUnknown;
  good_checks_ = bad_checks_ = 0;
}

bool EndpointHealth::OnFailure(const OutlierOptions& options) {
  const int failures = failures_.fetch_add(1) + 1;
  return options.consecutive_errors > 0 && failures >= options.consecutive_errors;
}

std::chrono::milliseconds EndpointHealth::Eject(SteadyTime now, const std::string& why,
                                                const OutlierOptions& options) {
  MutexLock lock(mutex_);
  const int64_t before = ejected_until_.load();
  // Back for as long as it was out, without failing: that is forgiven.
  const bool forgiven = ejected_on_end_ > 0 &&
                        now.time_since_epoch().count() - before >
                            std::chrono::nanoseconds(options.ejection).count() * ejected_on_end_;
  ejected_on_end_ = forgiven ? 1 : ejected_on_end_ + 1;
  const auto wait = std::min(options.ejection * ejected_on_end_, options.max_ejection);
  ejected_until_ = (now + wait).time_since_epoch().count();
  failures_ = 0;
  ++ejections_;
  reason_ = why;
  return wait;
}

}  // namespace leadsman::gateway
