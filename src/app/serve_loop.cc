#include "app/serve_loop.h"

#include <time.h>

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/log.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

/// How often a drain is asked whether it is over.
constexpr std::chrono::milliseconds kAskEvery = 20ms;

/// One of `signals`, or 0 after `wait`.
int AwaitSignal(const sigset_t& signals, std::chrono::nanoseconds wait) {
  wait = std::clamp<std::chrono::nanoseconds>(wait, 0ns, 1h);
  timespec time{};
  time.tv_sec = wait / 1s;
  time.tv_nsec = (wait % 1s).count();
  int signal = sigtimedwait(&signals, nullptr, &time);
  return signal > 0 ? signal : 0;
}

/// A label's version may be ready, or a runtime back, when the same configuration is tried again.
bool MayPass(const Status& status) {
  return status.code() == StatusCode::kFailedPrecondition ||
         status.code() == StatusCode::kUnavailable;
}

}  // namespace

bool ServeUntilDrained(Served& served, const sigset_t& signals, DrainMachine::Options options,
                       std::optional<ConfigWatcher> watcher, std::chrono::milliseconds look_every,
                       const std::atomic<bool>* handed_over) {
  DrainMachine drain(options);
  Clock& clock = SystemClock();
  while (drain.phase() != DrainMachine::Phase::kDone) {
    Duration wait = 1h;
    if (drain.phase() == DrainMachine::Phase::kServing && watcher) wait = look_every;
    if (auto next = drain.NextTick()) wait = *next - clock.SteadyNow();
    if (drain.phase() == DrainMachine::Phase::kDraining) wait = kAskEvery;
    const int signal = AwaitSignal(signals, wait);
    DrainMachine::Effects effects;
    if (signal == SIGHUP) {
      (void)served.Reload("signal");  // it has said and kept why, if it failed
    } else if (signal == SIGTERM || signal == SIGINT) {
      effects = drain.OnSignal(signal, clock.SteadyNow());
      LOG_INFO(drain.hastened() ? "stopping sooner" : "stopping",
               {"signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"},
               {"phase", DrainPhaseName(drain.phase())}, {"drain_delay_ms", options.delay},
               {"drain_timeout_ms", options.timeout});
    } else {
      if (handed_over != nullptr && handed_over->load()) effects = drain.OnHandedOver();
      if (!effects.begin_drain) effects = drain.OnTick(clock.SteadyNow());
      if (drain.phase() == DrainMachine::Phase::kServing && watcher && watcher->Poll()) {
        if (MayPass(served.Reload("file"))) watcher->TryAgain();
      }
    }
    if (effects.readiness_off) served.TurnUnready();
    if (effects.begin_drain) served.BeginDrain(*effects.begin_drain);
    if (effects.begin_drain && *effects.begin_drain == 0ms && signal != 0) {
      // Once more ends the process at once, whatever it is doing.
      sigset_t again;
      sigemptyset(&again);
      sigaddset(&again, signal);
      pthread_sigmask(SIG_UNBLOCK, &again, nullptr);
    }
    if (drain.phase() == DrainMachine::Phase::kDraining && served.AwaitDrained(0ms))
      drain.OnDrained();
  }
  return drain.hastened();
}

}  // namespace leadsman
