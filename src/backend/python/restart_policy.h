#pragma once

#include <optional>
#include <string>

#include "base/clock.h"

namespace leadsman::python {

/// When the next worker is started in one worker's place. A worker that is to be replaced (it has answered so many calls, or
/// it leaks) serves until its successor, loaded beside it, takes over. One that has ended is replaced after it
/// has gone: at once the first time, later and later when that goes on, so that a model that cannot run does not keep the
/// machine busy with starting.
///
/// Passive: it is told what happened and starts nothing. Externally synchronised.
class RestartPolicy {
 public:
  /// A worker that served this long had no trouble starting: its end begins a new count.
  static constexpr Duration kProvenAfter = std::chrono::seconds(60);
  static constexpr Duration kFirstDelay = std::chrono::milliseconds(500);
  static constexpr Duration kLongestDelay = std::chrono::seconds(30);

  /// The processes of the place; an ending one is still there.
  struct Place {
    bool worker = false;
    bool successor = false;
  };
  enum class Start { kNothing, kWorker, kSuccessor };
  struct Decision {
    Start start = Start::kNothing;
    std::optional<SteadyTime>
        ask_again;  ///< nothing is to be started before; nothing: not before something happens
  };
  /// Stateless: the same place at the same time gives the same answer.
  Decision Decide(Place place, SteadyTime now) const;

  /// The worker should have a successor. False when one is on its way, or failed a moment ago.
  bool Replace(Place place, SteadyTime now);
  void SuccessorTookOver() { wants_successor_ = false; }
  /// The worker or its successor has ended, or could not be started. `served`: for how long it was ready, if it was.
  void Ended(std::optional<Duration> served, std::string why, SteadyTime now);

  int failures() const { return failures_; }  ///< in a row
  SteadyTime next_start() const { return next_start_; }
  const std::string& last_failure() const { return last_failure_; }

 private:
  bool wants_successor_ = false;
  int failures_ = 0;
  SteadyTime next_start_{};
  std::string last_failure_;
};

}  // namespace leadsman::python
