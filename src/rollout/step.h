#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "math/sample_ratio.h"
#include "rollout/controller.h"
#include "rollout/gate_state.h"
#include "rollout/outside_reader.h"
#include "rollout/plan.h"

namespace leadsman {

/// How the candidate was seen at a tick.
enum class CandidateSeen {
  kReady,
  kLoading,  ///< not ready, but it has not been seen ready in this process either
  kFailed,   ///< its load failed
  kGone,     ///< was ready in this process and is not any more
};
std::string_view CandidateSeenName(CandidateSeen seen);

/// What a person wants.
struct RolloutCommand {
  /// In the order of the journal's numbers: new ones come last.
  enum class Kind {
    kPromote,  ///< at once to the end, evidence or not
    kAbort,    ///< back to the stable version
    kPause,    ///< nothing moves on until kResume; harm still rolls back
    kResume,
    kAdvance,  ///< out of the present step now, evidence or not; ends a pause. Nothing in kProbation
  };
  Kind kind = Kind::kAbort;
  std::string who;
  /// kAdvance: the step that is to be left, as seen by whoever asked. One that has been left since is
  /// not followed by another: the command does nothing then.
  int step = -1;
  friend bool operator==(const RolloutCommand&, const RolloutCommand&) = default;
};

/// Everything that one tick learned. Journaled as it is: what is not in here cannot influence a
/// verdict.
struct StepInput {
  WallTime time{};     ///< for people only; may jump
  Duration elapsed{};  ///< steady time since the last tick of this rollout; 0 for the first one of
                       ///< a process
  bool stable_ready = true;
  CandidateSeen candidate = CandidateSeen::kReady;
  std::string candidate_failure;  ///< kFailed: why
  std::string candidate_waits;    ///< kLoading, kGone: why it is not ready, as far as is known
  /// Of the candidate: what answers for it, and would now.
  Replicas replicas{};
  bool metrics_ok = true;  ///< false: the source had no answer; the next window will be longer
  ArmDelta stable_window, candidate_window;
  PairDelta pairs;  ///< of copies; empty of a plan without mirrors
  /// Of a plan that looks at them: those in which something was counted; of the first tick all that are known, those with the most
  /// traffic first.
  std::vector<SegmentDelta> segments;
  /// The stable's own history, from before this tick: at the first tick, and as long as latency
  /// thresholds are not fixed.
  struct History {
    ArmDelta sums;
    SparseLatency latency;
    friend bool operator==(const History&, const History&) = default;
  };
  std::optional<History> history;
  std::optional<RolloutCommand> command;
  std::vector<OutsideReading> readings;  ///< answers to what gates have asked outside
  /// The longest answer of either version so far; 0: none took more than a second.
  std::chrono::milliseconds longest_answer{0};
  /// Not empty: something keeps the rollout from moving on, in words (the journal, the actuator).
  /// Evidence is counted and harm still rolls back; nothing is advanced or promoted.
  std::string blocked;
  friend bool operator==(const StepInput&, const StepInput&) = default;
};

/// Whether requests are split as they are to be: they are counted when they have been answered, so it takes a
/// while until what is counted was drawn by the present share.
struct SplitState {
  SampleRatio counts;     ///< of the present step, since they can be trusted
  bool answered = false;  ///< the candidate has answered something since the share was set
  Duration since{};       ///< then
  Duration waited{};      ///< of this, before counting began; 0: it has not
  Duration crossed{};     ///< of this, when the e-value reached its bound; 0: it is below
  bool mismatch = false;  ///< shown by `counts`, which are those of that moment then

  /// Until the candidate has answered something, and what was on its way is through.
  void WaitAnew() {
    answered = false;
    since = waited = crossed = {};
  }
  friend bool operator==(const SplitState&, const SplitState&) = default;
};

/// What people are told of once, or when it has lasted: kept, so that a restart tells nothing again.
struct ToldState {
  bool waiting = false;  ///< in the present step: that it waits for a person
  bool held = false;     ///< that it is held
  bool holds = false;    ///< at the last tick: it is, and not by what is told at once
  Duration lasts{};      ///< how long `holds` has been another one than `held`
  friend bool operator==(const ToldState&, const ToldState&) = default;
};

/// Of the present step's approval by a webhook. A value, stored bit for bit.
struct ApprovalState {
  bool approved = false, refused = false;
  bool given_up = false;  ///< the deadline is over: a person decides
  int tries = 0;          ///< answers that decide nothing, in a row
  Duration waited{};      ///< since it was first asked for, a person's pause included
  std::string said;       ///< the last answer, in words
  /// Whether it is still to be asked.
  bool open() const { return !approved && !refused && !given_up; }
  friend bool operator==(const ApprovalState&, const ApprovalState&) = default;
};

/// One rollout, whole: nothing outside it decides what the next Step does.
struct RolloutState {
  std::string model;
  int64_t stable = 0;
  int64_t candidate = 0;
  RolloutPlan plan;
  WallTime started{}, ended{}, last_tick{};
  uint64_t ticks = 0;
  RolloutPhase phase = RolloutPhase::kProgressing;
  std::string reason;
  int step = 0;
  Duration elapsed{};          ///< since the start, while a process was there to see it
  Duration traffic_elapsed{};  ///< of this, with the candidate ready to take traffic
  Duration
      step_elapsed{};  ///< of this, in the present step, with metrics and the traffic as it is to be
  bool candidate_ready = false;  ///< at the last tick; without it the candidate's share is 0
  /// At the last tick: in the last batch of a rolling one, or after blue/green's switch, neither version was ready, and the traffic
  /// stays the candidate's.
  bool stays = false;
  Replicas replicas{};  ///< of the candidate, at the last tick
  ArmDelta stable_sums,
      candidate_sums;   ///< whole rollout, warm-up included ("drawn for"); `slow` unused
  PairDelta pair_sums;  ///< likewise; what is slow unused
  /// Of the candidate, in the present step; where it mirrors, copies that it has answered and not failed.
  uint64_t step_requests = 0;
  uint64_t step_unsent = 0;            ///< likewise: copies that it was not sent
  std::vector<int64_t> step_minimums;  ///< per step; empty until planned
  std::vector<uint32_t> thresholds;    ///< latency buckets; empty until fixed
  std::vector<GateState> gates;
  std::vector<SegmentState> segments;  ///< at most SegmentOptions::max, as they came
  std::vector<std::string> notes;      ///< plan notes
  std::string paused_by;               ///< not empty: a person has paused it
  std::string
      undo_by;  ///< not empty: the way back to an earlier version, which it takes as soon as
                ///< that is ready, evidence or not
  bool plan_given = false;       ///< `plan` came with the start, of a model that had none
  bool awaits_approval = false;  ///< at the last tick: the step lacked nothing but a person's word
  bool frozen = false;  ///< at the last tick: the step lacked nothing but the end of a freeze
  /// Of an A/B test: `reason` is the readout of all that has been counted, which need not be computed again: that takes a while.
  bool reason_is_readout = false;
  ApprovalState approval;  ///< of the present step
  SplitState split;
  std::string promoted;  ///< in kProbation: why it was
  Duration
      probation_elapsed{};  ///< of `elapsed`, in it, with all there that could speak against it
  /// For how long the candidate has been gone; in kProbation: not been ready.
  Duration missing{};
  /// For how long it has been loading, a person's pause not counted; held against progress_deadline.
  Duration unready{};
  /// Of a split that keeps users together: the plan's, or one of this rollout's own. None: the service's, of rollouts from before
  /// they had one.
  std::optional<uint64_t> split_seed;
  ToldState told;
  Duration person_elapsed{};  ///< of `elapsed`, waiting for a person or a freeze's end: not part of
                              ///< max_duration
  friend bool operator==(const RolloutState&, const RolloutState&);
};

struct StepOutput {
  RolloutState state;
  std::string decision;        ///< "", "advance", "promote", "roll_back", "abort", "hold", "pause",
                               ///< "resume", "undo", "keep" (its probation has passed)
  bool command_waits = false;  ///< the input's command could not be followed yet: to be given again
};

/// One tick: the whole decision of a rollout, as a pure function. Deterministic: the same state and
/// input give the same output to the bit, so that a journal of inputs is a journal of everything.
/// Steps of an ended rollout change nothing.
///
///   kProgressing ⇄ kHeld;  either → kProbation | kPromoted | kRolledBack | kAborted
///   kProbation → kPromoted | kRolledBack | kAborted
///
/// In this order: the window folded into the gates and the split's check, and answers from outside; a command; the candidate
/// lost; harm, as a whole or in a segment → roll back; time over → `on_inconclusive`; duration, exposure, safety, a split as it is to be and approval of
/// the step → next step or promote.
StepOutput Step(const RolloutState& state, const StepInput& input);

/// "canary", "blue_green", "shadow", "rolling", "ab".
std::string_view StrategyName(RolloutPlan::Strategy strategy);
std::optional<RolloutPlan::Strategy> ParseStrategyName(std::string_view name);

/// A new rollout of a valid plan. Missing gates and steps of a canary are the defaults of RolloutPlan; a rolling one has as many
/// batches as the candidate has endpoints, unless the plan says so.
RolloutState BeginRollout(const std::string& model, int64_t stable, int64_t candidate,
                          const RolloutPlan& plan, WallTime now, int endpoints = 0);

/// What a rollout whose plan names no seed splits users by: others come first in each. Pure; fits into a double.
uint64_t SeedOf(int64_t rollout, const RolloutState& first);

/// INVALID_ARGUMENT naming the field: weights in (0, 1] and ascending, after those of 0 that mirror, margins above 1, floors
/// below 1, bounds, alpha and beta in (0, 1), one gate of each kind, positive interval and
/// max_duration; with blue/green no gate that compares the versions; no gate that no step judges.
Status ValidatePlan(const RolloutPlan& plan);

/// Whether a gate outside is to be asked in the present step: the candidate is there, and blue/green
/// does not keep the gate for another time.
bool WantsToAsk(const RolloutState& state, const RolloutGate& gate);
/// The webhook that is to be asked now for the approval of the present step, or null.
const ApprovalWebhook* WantsApproval(const RolloutState& state);
/// Whether nothing keeps it in the present step but answers from outside, of this gate too: then it is asked once
/// more, whatever its interval.
bool WantsLateAnswer(const RolloutState& state, const GateState& gate);
/// Whether a step tells what this gate counts: without it the step may be left.
bool IsJudged(const RolloutStep& step, const RolloutGate& gate);
/// The share that the candidate is to have now.
double WantedShare(const RolloutState& state);
/// The share of the requests that it is to get copies of now.
double WantedMirror(const RolloutState& state);
/// What an A/B test has measured so far; empty of other strategies.
std::vector<ReadoutView> MakeReadout(const RolloutState& state);
/// The same by segment.
std::vector<ReadoutView> MakeSegmentReadout(const RolloutState& state);
/// What the present step lacks that no traffic brings by itself, in words: endpoints, copies that are not sent. Empty: nothing.
std::string AwaitedBesidesTraffic(const RolloutState& state);
/// Without `expected_end`, which goes by more than the state (rollout/expected_end.h).
RolloutView MakeView(int64_t id, const RolloutState& state);
std::vector<GateView> MakeGateViews(const RolloutState& state);
TickView MakeTickView(const StepInput& input, const StepOutput& output);

}  // namespace leadsman
