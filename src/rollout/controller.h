#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "math/mean_e_process.h"
#include "rollout/outside_reader.h"
#include "rollout/plan.h"
#include "stats/latency_scheme.h"
#include "stats/registry.h"

namespace leadsman {

/// Sums of one version since the source started counting; the controller takes differences. A sum
/// that went down means that the source started anew.
struct ArmTotals {
  // Evidence: requests that the split has drawn, and no others, so that both arms are comparable.
  uint64_t requests = 0;
  uint64_t errors = 0;
  LatencyBuckets latency{};
  uint64_t labelled = 0;
  uint64_t wrong = 0;
  /// By the measure that was asked for (MetricSource::CountLosses): of `labelled`, and those that have no loss.
  LossSums losses;
  uint64_t unmeasured = 0;
  /// All traffic of the version, also that which named it and that from before the rollout: for
  /// planning and for the latency thresholds, never for a verdict.
  struct Baseline {
    uint64_t requests = 0;
    uint64_t errors = 0;
    LatencyBuckets latency{};
    uint64_t labelled = 0;
    uint64_t wrong = 0;
    LossSums losses;
    uint64_t longest_failure_ns = 0;  ///< what failed or timed out is in no histogram
  } baseline;
  /// Evidence by segment ("tenant=acme"), where the source tells requests apart. Latency is not.
  struct Segment {
    uint64_t requests = 0, errors = 0;
    uint64_t labelled = 0, wrong = 0;
    uint64_t all_requests = 0;  ///< as of the baseline
    friend bool operator==(const Segment&, const Segment&) = default;
  };
  std::map<std::string, Segment> segments;
};

/// What came of copies of a stable version's requests that another one got, since the source started counting.
struct PairTotals {
  uint64_t pairs = 0;
  uint64_t stable_failed = 0, candidate_failed = 0, both_failed = 0;  ///< of these; one alone, both
  uint64_t compared = 0, differing = 0, flips = 0, uncompared = 0;    ///< of those that none failed
  LatencyBuckets stable_latency{}, candidate_latency{};               ///< likewise
  uint64_t stable_wrong = 0, candidate_wrong = 0, both_wrong = 0;     ///< labelled rows of flips
  /// Copies that were not sent for the candidate's sake (busy, not connected); no part of `pairs`.
  uint64_t unsent = 0;
};

/// Where evidence comes from. Called on the controller's thread once a tick; must return within a
/// second or so. UNAVAILABLE: no evidence this tick, the rollout holds.
class MetricSource {
 public:
  virtual ~MetricSource() = default;
  virtual Result<ArmTotals> Read(const std::string& model, int64_t version) = 0;
  /// Losses of the model are to be counted by this measure; told at each tick, and before Read, as long as its plan needs them. Of
  /// another measure than before they begin anew. One that knows nothing of losses has counted none.
  virtual void CountLosses(const std::string& /*model*/, const LossMeasure& /*measure*/) {}
  /// Of plans that mirror. One that knows nothing of copies has counted none.
  virtual Result<PairTotals> ReadPairs(const std::string& /*model*/, int64_t /*stable*/,
                                       int64_t /*candidate*/) {
    return PairTotals{};
  }
};

/// The whole wanted traffic of one model. stable == 0: the model is not managed any more, forget
/// it.
struct DesiredTraffic {
  std::string model;
  int64_t stable = 0;
  int64_t candidate = 0;         ///< 0 = none
  double candidate_share = 0;    ///< 0..1
  std::vector<int64_t> keep;     ///< versions to keep loaded
  std::vector<int64_t> exclude;  ///< versions rejected by a verdict: not to be loaded again
  double mirror_share = 0;       ///< of the requests, whose copies the candidate gets; 0..1
  /// Where the same users stay with a version: who comes first. None: as it is configured there.
  std::optional<uint64_t> split_seed = {};
  friend bool operator==(const DesiredTraffic&, const DesiredTraffic&) = default;
};

/// Carries the wanted state out. Idempotent; called with the whole wanted state of a model whenever
/// it changed, and once after a restart. An error is retried at the next tick; meanwhile the
/// rollout does not move.
class Actuator {
 public:
  virtual ~Actuator() = default;
  virtual Status Apply(const DesiredTraffic& desired) = 0;
};

/// What answers for a version: endpoints, pods.
struct Replicas {
  int ready = 1, all = 1;
  friend bool operator==(const Replicas&, const Replicas&) = default;
};

/// Which versions are ready to take traffic, ascending, and which have failed to load. Called on
/// the controller's thread.
struct ObservedVersions {
  std::vector<int64_t> ready;
  std::map<int64_t, Replicas> replicas = {};  ///< where a version has several; absent: one
  std::map<int64_t, std::string> failed;
  /// Why one that is neither is not ready yet, in words, as far as is known.
  std::map<int64_t, std::string> waits = {};
};
class VersionObserver {
 public:
  virtual ~VersionObserver() = default;
  virtual ObservedVersions Observe(const std::string& model) = 0;
};

/// In the order of the journal's numbers: new ones come last.
enum class RolloutPhase {
  kProgressing,
  kHeld,
  kPromoted,
  kRolledBack,
  kAborted,
  kProbation,  ///< promoted, but the old version is kept ready to take the traffic back
};
std::string_view RolloutPhaseName(
    RolloutPhase
        phase);  ///< "progressing", "held", "promoted", "rolled_back", "aborted", "probation"

/// Nothing is decided of it any more.
inline bool HasEnded(RolloutPhase phase) {
  return phase == RolloutPhase::kPromoted || phase == RolloutPhase::kRolledBack ||
         phase == RolloutPhase::kAborted;
}

/// One gate as it stands.
struct GateView {
  std::string
      gate;  ///< "errors", "latency", "quality", "loss", or the name of one that asks outside
  /// Of a gate that asks outside; the rest but its name means nothing then.
  struct Outside {
    std::string kind;     ///< "promql", "webhook"
    bool passes = false;  ///< in the present step
    int failures = 0;     ///< in a row
    int failures_allowed = 0;
    std::string said;  ///< the last answer, in words; empty: there was none
    uint64_t passed = 0, failed = 0, open = 0;
  };
  std::optional<Outside> outside;
  /// Of a gate of mean losses, whose bad events below are those above the highest. In the metric's units.
  struct Loss {
    std::string metric;  ///< "absolute_error"
    double highest = 0;
    std::optional<double> stable_mean, candidate_mean;  ///< absent: there was none yet
    uint64_t unmeasured = 0;  ///< labelled answers that have no such loss, of both versions
  };
  std::optional<Loss> loss;
  double harm_log_e = 0;      ///< natural logs of the e-values
  double harm_log_bound = 0;  ///< roll back at or above
  double safe_log_e = 0;
  double safe_log_bound = 0;  ///< a step may be left at or above
  double weight = 1;          ///< by which alpha is shared
  double alpha = 0;           ///< its part of that
  uint64_t stable_exposure = 0,
           stable_events = 0;  ///< requests (or labels) and bad events counted so far
  uint64_t candidate_exposure = 0, candidate_events = 0;
  int64_t candidate_exposure_needed =
      0;  ///< planning estimate for a candidate as good as the stable
};

/// What came of copies of requests, for people and scripts.
struct CopiesView {
  uint64_t pairs = 0;  ///< originals and copies that were answered, or failed
  uint64_t candidate_failed = 0, stable_failed = 0;
  uint64_t compared = 0, differing = 0, flips = 0, uncompared = 0;
  uint64_t candidate_wrong = 0, stable_wrong = 0,
           both_wrong = 0;  ///< labelled rows of flips; one alone
};

/// What a gate has found in one segment.
struct SegmentView {
  std::string segment;  ///< "tenant=acme"
  std::string gate;     ///< "errors", "quality"
  uint64_t stable_exposure = 0, stable_events = 0;
  uint64_t candidate_exposure = 0, candidate_events = 0;
  double harm_log_e = 0;
  bool harmed = false;  ///< it is named by e-BH
};

/// Harm by segment.
struct SegmentsView {
  bool rolls_back = false;  ///< what is harmed; else it holds
  int tests = 0;            ///< that there may be
  double alpha = 0;         ///< of what is named, so much is so by chance, at most, on average
  std::vector<SegmentView> tests_of;  ///< those that have counted something
};

/// One kind of bad event in both versions of an A/B test.
struct ReadoutView {
  enum class Verdict { kOpen, kBetter, kWorse };  ///< of the candidate
  std::string segment;                            ///< empty: of all requests
  std::string metric;                             ///< "errors", "latency", "quality"
  std::string event;                              ///< in words: "answered with an error"
  uint64_t stable_exposure = 0, stable_events = 0;
  uint64_t candidate_exposure = 0, candidate_events = 0;
  /// Of the candidate's rate less the stable's: at every look it has the true one in it, with AbOptions::confidence for
  /// all metrics together.
  double low = -1, high = 1;
  Verdict verdict = Verdict::kOpen;  ///< kOpen: the interval has 0 in it
};
std::string_view ReadoutVerdictName(ReadoutView::Verdict verdict);  ///< "open", "better", "worse"

/// When a rollout will have come to its end, if all goes on as it does now.
struct ExpectedEnd {
  enum class Kind {
    kPromotion,
    kEndOfTest,      ///< A/B: a readout decides
    kApproval,       ///< a person is asked, now or then
    kProbationOver,  ///< and the old version is let go
    kTimeOver,       ///< max_duration ends it before its steps have
    kHeld,           ///< nobody knows for how long
    kUnknown,        ///< `text` says why
  };
  Kind kind = Kind::kUnknown;
  std::optional<Duration> in;  ///< from the last tick on
  WallTime at{};               ///< the same; epoch without it
  std::string text;            ///< "promotion expected about 14:32 UTC (in 25 min) at this traffic"
};
/// "promotion", "end_of_test", "approval", "probation_over", "time_over", "held", "unknown".
std::string_view ExpectedEndName(ExpectedEnd::Kind kind);

/// One rollout as it stands, for people and scripts.
struct RolloutView {
  int64_t id = 0;
  std::string model;
  int64_t stable = 0;
  int64_t candidate = 0;
  std::string strategy = "canary";  ///< StrategyName
  RolloutPhase phase = RolloutPhase::kProgressing;
  int step = 0;  ///< index into plan.steps
  int step_count = 0;
  double share = 0;                  ///< the candidate's share wanted now
  double mirror = 0;                 ///< share of the requests that it is to get copies of now
  std::optional<CopiesView> copies;  ///< of a plan that mirrors
  std::vector<ReadoutView> readout;  ///< of an A/B test
  /// The same by segment, whose intervals are right together, with the same confidence.
  std::vector<ReadoutView> segment_readout;
  double confidence = 0;  ///< of that
  WallTime started{};
  WallTime ended{};    ///< epoch when not ended
  std::string reason;  ///< in words: what is being waited for, or why it ended
  uint64_t candidate_requests = 0;
  uint64_t stable_requests = 0;
  uint64_t candidate_errors = 0;
  uint64_t stable_errors = 0;
  double alpha = 0, beta = 0;
  std::vector<GateView> gates;
  std::optional<SegmentsView> segments;  ///< of a plan that looks at them
  std::vector<std::string> plan_notes;   ///< said at the start: exposure needed per gate, warnings
  std::string paused_by;                 ///< not empty: who has paused it
  std::string undo_by;                   ///< not empty: it is an undo, asked for by
  bool awaits_approval = false;          ///< the present step lacks nothing but a person's word
  std::optional<uint64_t> split_seed;    ///< of a sticky split; none: the service's own
  /// Whether requests are split as the present step says; none where there is nothing to check.
  struct SampleRatio {
    double share = 0;                    ///< the candidate's, as it should be
    uint64_t candidate = 0, stable = 0;  ///< requests that were counted
    double log_e = 0, log_bound = 0;
    bool mismatch = false;  ///< holds the rollout
  };
  std::optional<SampleRatio> sample_ratio;
  std::optional<Duration> probation_left;   ///< in kProbation
  std::optional<ExpectedEnd> expected_end;  ///< of one that is under way
};

/// What has happened to a rollout. It is in the journal by then; told once, by the process that saw it happen.
struct RolloutEvent {
  enum class Kind {
    kStarted,
    kStep,  ///< it has left a step; of blue/green, the switch
    kHeld,  ///< for a minute, for another reason than those that follow; in its probation: with nothing to go back to
    kSampleRatio,  ///< held: requests are not split as they should be
    kWaiting,      ///< held: lacks nothing but a person's word
    kPaused,       ///< by a person
    kPromoted,     ///< the candidate has all traffic; its probation may begin
    kRolledBack,
    kAborted,
  };
  Kind kind = Kind::kStarted;
  std::string id;  ///< of no two events the same
  WallTime at{};
  RolloutView rollout;  ///< as it was then
};
/// "started", "step", "held", "sample_ratio", "waiting", "paused", "promoted", "rolled_back", "aborted".
std::string_view RolloutEventName(RolloutEvent::Kind kind);

/// One tick of the history: what was counted in that window and where the evidence stood after it.
struct TickView {
  WallTime time{};
  int step = 0;
  double share = 0, mirror = 0;
  std::optional<CopiesView> copies;  ///< those that were answered in this window
  uint64_t stable_requests = 0, candidate_requests = 0;  ///< in this window
  uint64_t stable_errors = 0, candidate_errors = 0;
  uint64_t stable_labelled = 0, candidate_labelled = 0;
  uint64_t stable_wrong = 0, candidate_wrong = 0;
  std::vector<GateView> gates;  ///< after this window
  std::string decision;         ///< "", "advance", "promote", "roll_back", …
};

/// Starts a rollout whenever a model with a plan has a ready version newer than the stable one that
/// no verdict has rejected; steps it once an interval; journals every tick before acting on it.
/// Killed at any point, it replays the journal and goes on. At most one rollout per model at a
/// time: newer versions wait.
///
/// One control thread; all public functions are thread-safe.
class RolloutController {
 public:
  struct Deps {
    Clock& clock;
    MetricSource& metrics;
    Actuator& actuator;
    VersionObserver& versions;
    Registry& registry;
    std::string journal;               ///< SQLite file; empty: in memory
    OutsideReader* outside = nullptr;  ///< absent: gates that ask outside have no answer, and hold
    /// Called on the controller's thread, without its lock; must not block. Empty: nobody is told.
    std::function<void(const RolloutEvent&)> tell = {};
  };
  /// DATA_LOSS when the journal cannot be read, with what to do about it.
  static Result<std::unique_ptr<RolloutController>> Create(
      Deps deps, std::map<std::string, RolloutPlan> plans);
  virtual ~RolloutController() = default;  ///< Stop()

  /// The traffic that the journal says has been given to the actuator when this returns.
  virtual void Start() = 0;
  virtual void Stop() = 0;
  /// One tick of every model, on the caller's thread; for tests and for the operator. Not together
  /// with Start().
  virtual void TickOnce() = 0;
  /// New plans for rollouts that start from now on; running ones keep theirs.
  virtual void Apply(std::map<std::string, RolloutPlan> plans) = 0;

  virtual std::vector<RolloutView> List() const = 0;  ///< newest first
  virtual Result<RolloutView> Get(int64_t id) const = 0;
  virtual Result<std::vector<TickView>> History(int64_t id) const = 0;
  /// Commands take effect at the next tick and are journaled; one whose version is not there yet
  /// waits for it. NOT_FOUND; FAILED_PRECONDITION when the rollout has ended, or when another command
  /// is waiting already: that is told, with who gave it. Only Abort takes its place.
  /// At once to the end, evidence or not. Of a probation: to its end.
  virtual Status Promote(int64_t id, const std::string& who) = 0;
  /// Out of the present step, evidence or not; of the last one, promoted. Gives the approval that a
  /// step waits for, and ends a pause. With a `step`, FAILED_PRECONDITION unless that is the present one: who
  /// asks late, or twice, leaves no step that they have not seen. FAILED_PRECONDITION in a probation too.
  virtual Status Advance(int64_t id, const std::string& who, std::optional<int> step) = 0;
  /// Back to the stable version; in a probation once that is ready, and a promotion may take its place until then.
  virtual Status Abort(int64_t id, const std::string& who) = 0;
  /// Nothing moves on until Resume; evidence is counted and harm still rolls back. The time does not
  /// count towards max_duration.
  virtual Status Pause(int64_t id, const std::string& who) = 0;
  virtual Status Resume(int64_t id,
                        const std::string& who) = 0;  ///< also FAILED_PRECONDITION: not paused
  /// The candidate of a rollout that was rolled back or aborted, once more, by the present plan, as
  /// StartRollout. FAILED_PRECONDITION when it is under way or was promoted.
  virtual Status Retry(int64_t id, const std::string& who) = 0;
  /// Back to the version that was stable before a rollout that was promoted: a rollout of its own,
  /// which has its verdict as soon as that version is ready. FAILED_PRECONDITION when there is nothing
  /// to go back from: it was not promoted, or its candidate is not the stable version any more.
  virtual Status Undo(int64_t id, const std::string& who) = 0;
  /// Starts one for a version that was rejected or skipped earlier. ALREADY_EXISTS when one runs
  /// for this model. With a `plan` it goes by that instead of the model's. A model that has none is
  /// kept by it from then on, also by the next process: its traffic stays as the rollout has left it, retry and
  /// undo go by it, and nothing begins by itself; until the model gets a plan, or LetGo.
  virtual Status StartRollout(const std::string& model, int64_t candidate,
                              std::optional<RolloutPlan> plan = std::nullopt) = 0;
  /// Models without a plan that are kept by one that came with a start.
  virtual std::vector<std::string> KeptByStart() const = 0;
  /// Ends that: somebody else decides on the traffic. FAILED_PRECONDITION while a rollout of it is under way. Nothing
  /// is to be done for other models.
  virtual Status LetGo(const std::string& model) = 0;

  /// The verdict record of a rollout, as rollout/record.h makes it; `program` is the version that
  /// writes it. NOT_FOUND.
  virtual Result<std::string> Record(int64_t id, const std::string& program) const = 0;
  /// What the next rollout of a model would go by. NOT_FOUND when it has no plan and is not kept by one.
  struct Standing {
    RolloutPlan plan;
    int64_t stable = 0;  ///< 0: no version has been ready yet
  };
  virtual Result<Standing> StandingOf(const std::string& model) const = 0;

  /// Empty, or why something waits for the journal, in words for an operator: from the first write
  /// that it refuses until the last of those refused is in.
  virtual std::string journal_problem() const = 0;
};

}  // namespace leadsman
