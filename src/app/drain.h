#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "base/clock.h"

namespace leadsman {

/// How a process goes out of service, as a pure state machine: it is told what happened and when, and says what to do.
///
///   kServing → kLameDuck → kDraining → kDone
///
/// kLameDuck: not ready any more, but every request is still answered, new connections too: load balancers need a moment
/// to notice. kDraining: no new connections, each answer sends its client away, what has begun is finished. kDone: all is
/// answered, or the time is over and the rest was cut.
///
/// A process whose place another one has taken drains at once: nobody need notice anything.
///
/// The same signal once more hastens: it ends the lame-duck phase, and in kDraining cuts what is left. Another signal
/// does nothing: a terminal's SIGINT is often followed by the SIGTERM of whoever started the process.
///
/// Confined.
class DrainMachine {
 public:
  struct Options {
    std::chrono::milliseconds delay{0};
    std::chrono::milliseconds timeout{30'000};
  };
  enum class Phase { kServing, kLameDuck, kDraining, kDone };
  /// What to do after an event. At most one of the two last is set.
  struct Effects {
    bool readiness_off = false;
    std::optional<std::chrono::milliseconds>
        begin_drain;      ///< all servers, with this grace; again: it is shortened
    bool finish = false;  ///< nothing is in flight any more: stop everything else
  };

  explicit DrainMachine(Options options) : options_(options) {}

  Effects OnSignal(int signal, SteadyTime now);
  /// Another process accepts already. Then the first signal ends nothing that the second would not.
  Effects OnHandedOver();
  /// At NextTick(), or at any other time.
  Effects OnTick(SteadyTime now);
  /// All servers have said that nothing is in flight.
  Effects OnDrained();

  Phase phase() const { return phase_; }
  bool hastened() const { return hastened_; }
  /// When OnTick has something to do; never, once draining: the servers keep the time then.
  std::optional<SteadyTime> NextTick() const;

 private:
  Effects Drain(std::chrono::milliseconds grace);
  Effects Hasten();

  const Options options_;
  Phase phase_ = Phase::kServing;
  int signal_ = 0;
  bool hastened_ = false;
  SteadyTime lame_duck_until_{};
};

std::string_view DrainPhaseName(DrainMachine::Phase phase);  ///< "lame duck"

}  // namespace leadsman
