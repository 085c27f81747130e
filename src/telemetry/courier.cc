#include "telemetry/courier.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/start_thread.h"

namespace leadsman {

using std::chrono::milliseconds;
using RealClock = std::chrono::steady_clock;  // of waiting, which no test's clock shortens

Duration Backoff(int failures, Duration most) {
  Duration wait = std::chrono::seconds(1);
  for (int i = 1; i < failures && wait < most; ++i) wait *= 2;
  return std::min(wait, most);
}

Courier::Courier(Options options, Clock& clock, Carry carry)
    : options_(std::move(options)), clock_(clock), carry_(std::move(carry)) {}

Result<std::unique_ptr<Courier>> Courier::Start(Options options, Clock& clock, Carry carry) {
  std::unique_ptr<Courier> courier(new Courier(std::move(options), clock, std::move(carry)));
  ASSIGN_OR_RETURN(courier->thread_,
                   StartThread(courier->options_.thread, [made = courier.get()] { made->Run(); }));
  return courier;
}

Courier::~Courier() {
  if (!thread_.joinable()) return;  // never started
  BeginStop();
  {
    MutexLock lock(mutex_);
    while (!ended_ && RealClock::now() < *end_) changed_.WaitFor(mutex_, *end_ - RealClock::now());
  }
  cancelled_ = true;
  thread_.join();
}

void Courier::Wake() {
  MutexLock lock(mutex_);
  woken_ = true;
  changed_.NotifyAll();
}

void Courier::BeginStop() {
  MutexLock lock(mutex_);
  if (!end_) end_ = RealClock::now() + options_.grace;
  changed_.NotifyAll();
}

std::optional<Courier::Errand> Courier::Await() {
  MutexLock lock(mutex_);
  while (!end_) {
    const SteadyTime now = clock_.SteadyNow();
    std::optional<SteadyTime> due = again_at_;
    if (woken_) due = not_before_;
    if (due) due = std::max(*due, not_before_);
    if (due && *due <= now) {
      woken_ = false;
      return Errand{options_.timeout, cancelled_, false};
    }
    changed_.WaitFor(mutex_, due ? *due - now : Duration(std::chrono::hours(1)));
  }
  const auto left = std::chrono::duration_cast<milliseconds>(*end_ - RealClock::now());
  if (left <= milliseconds(0)) return std::nullopt;
  return Errand{std::min(left, options_.timeout), cancelled_, true};
}

void Courier::Note(const Report& report) {
  switch (report.outcome) {
    case Outcome::kNothing:
      return;
    case Outcome::kSent:
      if (std::exchange(failures_, 0) > 0)
        LOG_INFO("the peer takes messages again", {"peer", options_.peer});
      return;
    case Outcome::kRefused:
      LOG_WARN("the peer refuses a message; it is given up", {"peer", options_.peer},
               {"reason", report.why});
      return;
    case Outcome::kAgain:
      if (failures_++ > 0) return;
      LOG_WARN("the peer does not take messages; they are tried again", {"peer", options_.peer},
               {"reason", report.why});
  }
}

std::optional<Courier::Trouble> Courier::trouble() const {
  MutexLock lock(mutex_);
  return trouble_;
}

void Courier::Plan(const Report& report, WallTime began) {
  MutexLock lock(mutex_);
  if (report.outcome == Outcome::kAgain) {
    trouble_ = Trouble{std::string(report.why.message()), trouble_ ? trouble_->since : began};
  } else if (report.outcome != Outcome::kNothing) {
    trouble_.reset();
  }
  const SteadyTime now = clock_.SteadyNow();
  again_at_.reset();
  if (report.outcome == Outcome::kNothing) return;
  again_at_ = now;
  if (report.outcome == Outcome::kSent) {
    not_before_ = now + report.rest;
    if (report.again_in) again_at_ = now + *report.again_in;
  } else if (report.outcome == Outcome::kAgain) {
    not_before_ = now + std::max(Backoff(failures_, options_.longest_pause), report.rest);
  }
}

/// Last of all: who sees the count may rely on the plan.
void Courier::Count(Outcome outcome) {
  if (outcome == Outcome::kSent) ++sent_;
  if (outcome == Outcome::kRefused || outcome == Outcome::kAgain) ++failed_;
}

void Courier::Run() {
  while (auto errand = Await()) {
    const WallTime began = clock_.Now();
    const Report report = carry_(*errand);
    if (cancelled_) break;  // what has become of it says nothing of the peer
    Note(report);
    const bool given_up =
        errand->last && (report.outcome == Outcome::kNothing || report.outcome == Outcome::kAgain);
    if (!given_up) Plan(report, began);
    Count(report.outcome);
    if (given_up) break;
  }
  MutexLock lock(mutex_);
  ended_ = true;
  changed_.NotifyAll();
}

}  // namespace leadsman
