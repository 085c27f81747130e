#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "math/e_process.h"
#include "math/mean_e_process.h"
#include "rollout/controller.h"
#include "rollout/plan.h"

namespace leadsman {

/// Latency counts that are not zero: (bucket of LatencyScheme, count), ascending.
using SparseLatency = std::vector<std::pair<uint32_t, uint64_t>>;

/// What one arm did between two ticks.
struct ArmDelta {
  uint64_t requests = 0;
  uint64_t errors = 0;
  uint64_t timed = 0;  ///< answers whose latency was measured
  std::vector<uint64_t>
      slow;  ///< of these, in or above each of RolloutState::thresholds; empty until they are fixed
  uint64_t labelled = 0;
  uint64_t wrong = 0;
  /// Of a plan with a gate of the kind kLoss, by its measure: of `labelled`, those whose answer has a loss, and those whose has none.
  LossSums losses = {};
  uint64_t unmeasured = 0;
  friend bool operator==(const ArmDelta&, const ArmDelta&) = default;
};
/// What came of copies between two ticks: of requests that both versions have answered, pair by pair.
struct PairDelta {
  uint64_t pairs = 0;  ///< a copy and its original, each answered, or failed
  // Of these, failed:
  uint64_t stable_failed = 0, candidate_failed = 0;  ///< this one alone
  uint64_t both_failed = 0;
  uint64_t compared = 0;    ///< both answered what could be compared
  uint64_t differing = 0;   ///< of these, beyond the tolerance; those with another class too
  uint64_t flips = 0;       ///< of these, with another class
  uint64_t uncompared = 0;  ///< both answered, what could not be
  uint64_t timed = 0;       ///< both answered, and were timed
  /// Of these, in or above each of RolloutState::thresholds; empty until they are fixed.
  std::vector<uint64_t> stable_slow, candidate_slow;
  // Of rows with another class, whose labels have come. They may come long after their pairs.
  uint64_t stable_wrong = 0, candidate_wrong = 0;  ///< this one alone
  uint64_t both_wrong = 0;
  /// Copies that were not sent for the candidate's sake, which was busy or not reached: no pairs.
  uint64_t unsent = 0;

  bool empty() const {
    return pairs == 0 && unsent == 0 && stable_wrong + candidate_wrong + both_wrong == 0;
  }
  friend bool operator==(const PairDelta&, const PairDelta&) = default;
};
/// Adds up all but what is slow, whose thresholds may differ.
void Add(PairDelta& sums, const PairDelta& window);

void Add(ArmCounts& sums, const ArmCounts& window);

/// Of the stable's answers, before thresholds of latency are taken from them.
inline constexpr uint64_t kHistoryNeeded = 100;
/// Adds up all but `slow`, whose thresholds may differ, and losses, which their gate has (LossEvidence).
inline void Add(ArmDelta& sums, const ArmDelta& window) {
  sums.requests += window.requests;
  sums.errors += window.errors;
  sums.timed += window.timed;
  sums.labelled += window.labelled;
  sums.wrong += window.wrong;
}

/// What a gate outside has answered so far. A value, stored bit for bit.
struct OutsideState {
  bool passes =
      false;  ///< its last answer did, and was asked for in the present step, by this process
  int failures = 0;  ///< in a row; answers that say neither do not end the row
  Duration age{};    ///< since the last answer
  Duration asked{};  ///< the step's elapsed time when that was asked for
  std::string said;  ///< the last answer, in words; empty: there was none
  uint64_t passed = 0, failed = 0, open = 0;  ///< answers; open: those that said neither
  friend bool operator==(const OutsideState&, const OutsideState&) = default;
};

/// The evidence of a gate of the kind kLoss. A value.
struct LossEvidence {
  LossMeasure measure;
  MeanHarmTest harm;
  MeanSafeTest safe;                     ///< not used with RolloutGate::max
  std::optional<MeanFloorTest> floor;    ///< of RolloutGate::max, or of what is good enough
  LossSums candidate, stable;            ///< all that has been counted
  LossSums open_candidate, open_stable;  ///< of this, what the tests do not have yet
  LossSums before;  ///< the stable's own from before the rollout, for planning only
  uint64_t unmeasured = 0;

  explicit LossEvidence(const RolloutGate& gate);
  /// As GateState::Fold.
  void Fold(const RolloutGate& gate, const LossSums& candidate_window,
            const LossSums& stable_window);
  void CloseWindow();
  double SafeLogE(const RolloutGate& gate) const;
  /// In the metric's units.
  double InUnits(double share) const { return share * measure.highest; }
  friend bool operator==(const LossEvidence&, const LossEvidence&) = default;
};

/// As planning::MeanHarmExposure and MeanSafeExposure, of a gate of the kind kLoss. Means and spreads are shares of the highest loss.
double LossHarmExposure(const RolloutGate& gate, double log_bound, double share, double candidate,
                        double stable, double spread);
double LossSafeExposure(const RolloutGate& gate, double log_bound, double share, double mean,
                        double spread);
/// No bet is larger than the highest loss allows: one that is so far above the mean costs labels. In words; empty: it is not.
std::string WideHighest(const RolloutGate& gate, double mean);
/// The least mean of a candidate that is found harmful within so many exposures of it, typically. Infinity: none is.
double LeastHarmfulLoss(const RolloutGate& gate, double log_bound, double share, double stable,
                        double spread, double exposures);

/// One gate's evidence: its e-processes and what they have counted. Part of RolloutState: a value,
/// compared and stored bit for bit.
struct GateState {
  RolloutGate config;
  std::vector<HarmTest> harm;  ///< one; kLatency: one for each threshold, none until they are fixed
  SafeTest safe;               ///< not used with config.max
  std::optional<FloorTest> floor;  ///< of config.max, or of config.floor; none when that is 0
  /// One for each of `harm`: sums of what went into it.
  std::vector<ArmCounts> candidate, stable;
  /// One for each of `harm`: counted, but not yet enough for the harm and safe tests to take it.
  std::vector<EvidenceWindow> open;
  size_t safe_index = 0;  ///< kLatency: the threshold the safe test looks at
  /// kQuality: of pairs, whether the classes differ, and who was right by those labels that have come. No part of the
  /// counts above: what both had alike is not known of.
  struct Flips {
    uint64_t compared = 0, differing = 0;
    uint64_t stable_wrong = 0, candidate_wrong = 0, both_wrong = 0;
    uint64_t labelled() const { return stable_wrong + candidate_wrong + both_wrong; }
    friend bool operator==(const Flips&, const Flips&) = default;
  } flips;
  ArmCounts before;  ///< the stable's own counts from before the rollout, for planning only
  int64_t needed =
      0;  ///< planning estimate of candidate exposure; 0: not planned yet, -1: will not happen
  /// Of kLoss alone, whose tests are in here. Of the above it has `needed`, and as counts the answers that have a loss, with those
  /// above the highest as events.
  std::optional<LossEvidence> loss;
  OutsideState outside;  ///< of a gate that asks outside, which has none of the above

  explicit GateState(const RolloutGate& gate);

  double HarmLogE() const;
  double SafeLogE() const;
  /// Counts one tick, and gives the tests the open window once it is full. `index`: the threshold, 0
  /// for the other kinds.
  void Fold(size_t index, const ArmCounts& candidate_window, const ArmCounts& stable_window);
  /// kLoss: the same.
  void FoldLosses(const ArmDelta& candidate_window, const ArmDelta& stable_window);
  /// Counts pairs of answers to the same requests: `both` are bad events of one and the same request, and what one
  /// alone has bad tells the two apart.
  struct Pairs {
    uint64_t exposure = 0;
    uint64_t candidate_only = 0, stable_only = 0, both = 0;
  };
  void FoldPairs(size_t index, const Pairs& pairs);
  /// kQuality: labels of rows with another class, and how many answers have one.
  void FoldFlips(const PairDelta& pairs);
  /// Gives the tests the open windows as they are: what comes now is split by another share.
  void CloseWindows();
  /// kLatency: thresholds are known now.
  void SetThresholds(size_t count, size_t index_of_safe_quantile);
  bool HasThresholds() const { return !harm.empty(); }
  /// The stable's counts so far, those from before included.
  ArmCounts StableSoFar() const;
  /// Gives the tests one open window and begins the next.
  void CloseWindow(size_t index);

  friend bool operator==(const GateState&, const GateState&);
};

/// One gate's evidence of harm in one segment of the requests: as of GateState. A value.
struct SegmentEvidence {
  HarmTest harm;
  ArmCounts candidate, stable;  ///< what went into it
  EvidenceWindow open;
  void Fold(const RolloutGate& gate, const ArmCounts& candidate_window,
            const ArmCounts& stable_window);
  void CloseWindow();
  friend bool operator==(const SegmentEvidence&, const SegmentEvidence&) = default;
};

/// One segment of the requests.
struct SegmentState {
  std::string name;
  /// Whole rollout, warm-up included: requests and errors; labels and wrong ones.
  ArmCounts stable_requests, candidate_requests, stable_labels, candidate_labels;
  std::vector<SegmentEvidence> gates;  ///< of those that look at segments, in the plan's order
  friend bool operator==(const SegmentState&, const SegmentState&) = default;
};
/// Whether gates of a kind look at segments.
inline bool LooksAtSegments(RolloutGate::Kind kind) {
  return kind == RolloutGate::Kind::kErrors || kind == RolloutGate::Kind::kQuality;
}

/// What both arms did in one segment between two ticks.
struct SegmentDelta {
  std::string name;  ///< "tenant=acme"
  ArmCounts stable_requests, candidate_requests, stable_labels, candidate_labels;
  friend bool operator==(const SegmentDelta&, const SegmentDelta&) = default;
};

bool operator==(const RolloutGate& a, const RolloutGate& b);
/// "errors", "latency", "quality", "loss", "answers", "promql", "webhook".
std::string_view GateName(RolloutGate::Kind kind);
/// The first edge of LatencyScheme that is not below `time`; its last one for long times.
uint32_t BucketFrom(std::chrono::milliseconds time);
std::optional<RolloutGate::Kind> ParseGateName(std::string_view name);

/// The edges of LatencyScheme that stand for `gate.quantiles` (and `safe_quantile`) of this
/// histogram, none below `ignore_below`, ascending, each once; with the place of the safe
/// quantile's among them. An answer is slow for threshold t when its bucket is t or higher.
struct LatencyThresholds {
  std::vector<uint32_t> buckets;
  size_t safe_index = 0;
};
LatencyThresholds ChooseThresholds(const RolloutGate& gate, const SparseLatency& stable);

SparseLatency ToSparse(const LatencyBuckets& buckets);
uint64_t CountAll(const SparseLatency& latency);
uint64_t CountFrom(const LatencyBuckets& buckets, uint32_t first);

}  // namespace leadsman
