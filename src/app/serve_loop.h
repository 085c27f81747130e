#pragma once

#include <signal.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <string>

#include "app/config_watcher.h"
#include "app/drain.h"
#include "base/status.h"

namespace leadsman {

/// What a process serves, as seen by the loop that waits for signals.
class Served {
 public:
  virtual ~Served() = default;
  /// Reads the configuration again; an error has been said and kept.
  virtual Status Reload(const std::string& trigger) = 0;
  /// /readyz says no from here on; everything is still answered.
  virtual void TurnUnready() = 0;
  /// No further connections; what has begun is answered, what is left after `grace` cut. Again: the grace becomes shorter.
  virtual void BeginDrain(std::chrono::milliseconds grace) = 0;
  /// True once nothing is in flight any more. Waits for at most `wait`.
  virtual bool AwaitDrained(std::chrono::milliseconds wait) = 0;
};

/// Sent by the process to its own main thread: `handed_over` has become true.
constexpr int kHandedOverSignal = SIGUSR2;

/// Serves until a signal ends it, or another process has taken over (`handed_over`, may be null), and drains. True when the signal came
/// again: the end is not waited for long then. `signals` are those that are blocked and waited for.
bool ServeUntilDrained(Served& served, const sigset_t& signals, DrainMachine::Options options,
                       std::optional<ConfigWatcher> watcher, std::chrono::milliseconds look_every,
                       const std::atomic<bool>* handed_over = nullptr);

}  // namespace leadsman
