#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "rollout/journal.h"
#include "rollout/step.h"

namespace leadsman {

/// Counts up whenever `Step` comes to another state for the same inputs, so that a record says what it is to be
/// computed by.
inline constexpr int kRolloutEngine = 5;

/// What one tick of a record says was made of its input.
struct RecordedTick {
  StepInput input;
  std::string decision;
  std::string reason;    ///< of a tick that decided something
  std::string evidence;  ///< JSON of the gates' e-values after it; empty: as after the tick before
};

/// A rollout with everything that its verdict was made of, complete in itself: who has it needs neither the server nor
/// its journal to compute the verdict again.
struct VerdictRecord {
  int64_t id = 0;
  int64_t engine = kRolloutEngine;
  std::string program;  ///< "0.1.0": the version that wrote it
  RolloutState first;   ///< as BeginRollout makes it of the plan
  std::vector<RecordedTick> ticks;
  std::string phase, reason;  ///< the verdict, or how it stands
  std::string last;           ///< JSON of the state after the last tick
};

/// The record of a rollout that has ended or is under way, as JSON, a line for each tick. NOT_FOUND, DATA_LOSS.
Result<std::string> MakeVerdictRecord(Journal& journal, int64_t id, const std::string& program);

/// Reads one back. INVALID_ARGUMENT naming the place, as "ticks[3].input: …": such files come from anywhere. What is
/// in it is within the bounds of what a rollout can have, so that it may be computed; nothing else is believed.
Result<VerdictRecord> ParseVerdictRecord(std::string_view text);

/// Other numbers for the plan, to see what would have become of it.
struct WhatIf {
  std::optional<double> alpha, beta;
  bool any() const { return alpha || beta; }
};

/// A record computed again.
struct RecordReplay {
  RolloutState state;      ///< after the last input
  std::string difference;  ///< the first thing that was computed otherwise, in words; empty: none
};

/// Computes a record again and compares every tick's decision, reason and e-values, the last state and the verdict, to
/// the bit. With a `what_if` nothing is compared: another plan is expected to come to something else.
/// Shows every tick to `visit` (which may be empty), those after a verdict too, which change nothing.
RecordReplay ReplayRecord(const VerdictRecord& record, const WhatIf& what_if,
                          const std::function<void(const StepInput&, const StepOutput&)>& visit);

/// What `leadsman rollout replay` tells of a record's text, as JSON: both verdicts, whether they agree and where not,
/// and the course. `program`: of this version. As ParseVerdictRecord; INVALID_ARGUMENT for a what-if that is no plan.
Result<std::string> ReplayReport(std::string_view record, const WhatIf& what_if,
                                 const std::string& program);

}  // namespace leadsman
