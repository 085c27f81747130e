#include "backend/python/restart_policy.h"

#include <algorithm>
#include <utility>

namespace leadsman::python {

RestartPolicy::Decision RestartPolicy::Decide(Place place, SteadyTime now) const {
  if (place.successor) return {};  // the place is its own, should the worker end meanwhile
  if (place.worker) return {.start = wants_successor_ ? Start::kSuccessor : Start::kNothing};
  if (now < next_start_) return {.ask_again = next_start_};
  return {.start = Start::kWorker};
}

bool RestartPolicy::Replace(Place place, SteadyTime now) {
  if (wants_successor_ || place.successor || now < next_start_) return false;
  wants_successor_ = true;
  return true;
}

void RestartPolicy::Ended(std::optional<Duration> served, std::string why, SteadyTime now) {
  wants_successor_ = false;
  failures_ = served && *served >= kProvenAfter ? 1 : failures_ + 1;
  last_failure_ = std::move(why);
  Duration delay{};
  if (failures_ > 1)
    delay = std::min<Duration>(kFirstDelay * (1 << std::min(failures_ - 2, 10)), kLongestDelay);
  next_start_ = now + delay;
}

}  // namespace leadsman::python
