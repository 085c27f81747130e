#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "math/loss_measure.h"

namespace leadsman {

/// Who is asked whether a step may be left, beside people, once it lacks nothing else. Asked again until there is an answer, with growing
/// pauses, or the deadline is over; then, and when it is refused and not to be aborted for that, a person decides.
struct ApprovalWebhook {
  enum class OnRefusal { kHold, kAbort };
  std::string url;
  std::string secret_file;                      ///< signs what is sent; empty: it is not signed
  std::chrono::milliseconds timeout{10'000};    ///< of one question
  std::chrono::milliseconds retry_after{1000};  ///< doubled with each try, to kLongestPause
  std::chrono::milliseconds deadline{std::chrono::hours(1)};
  OnRefusal on_refusal = OnRefusal::kHold;
  std::string ca_file, cert_file, key_file, token_file, username, password_file;
  static constexpr std::chrono::milliseconds kLongestPause{60'000};
  friend bool operator==(const ApprovalWebhook&, const ApprovalWebhook&) = default;
};

/// Whether leaving a step takes more than evidence: a person's word, or that of a webhook.
struct StepApproval {
  StepApproval(bool person = false) : asked(person) {}  // NOLINT(google-explicit-constructor)
  bool asked = false;
  std::optional<ApprovalWebhook> webhook;
  explicit operator bool() const { return asked; }
  friend bool operator==(const StepApproval&, const StepApproval&) = default;
};

/// One stage of a canary. Leaving it needs all of these: the duration, the exposure, every gate's
/// evidence of safety, and a person's word where it asks for that.
struct RolloutStep {
  double weight = 0.1;  ///< the candidate's share, 0 < weight <= 1; 0 with `mirror`
  std::chrono::milliseconds duration{0};  ///< at least this long
  int64_t min_requests =
      0;  ///< candidate requests in this step at least; 0 = auto: computed from the gates
  StepApproval approval;  ///< once all else holds, a person must promote it, or a webhook approve
  /// Above 0: the candidate gets no requests, but copies of this share of them; nobody sees its answers, which are
  /// compared with the stable version's to the same requests.
  double mirror = 0;
  friend bool operator==(const RolloutStep&, const RolloutStep&) = default;
};

/// Of a gate that asks somebody outside (kPromql, kWebhook). What the answer means is no evidence in
/// the sense of alpha and beta: failing answers in a row take the candidate back, and a step is left
/// only on a passing one.
struct OutsideOptions {
  enum class OnNoData { kHold, kFail };
  enum class When { kAlways, kBeforeSwitch, kAfterSwitch };  ///< the latter two of blue/green

  std::string name;           ///< what people call it; empty: as its kind
  std::string address;        ///< kPromql: of a Prometheus, as http://prometheus:9090
  std::string query;          ///< kPromql
  std::string url;            ///< kWebhook
  std::optional<double> min;  ///< kPromql: the answer must not be below; above: RolloutGate::max
  std::chrono::milliseconds interval{30'000};
  std::chrono::milliseconds timeout{10'000};  ///< of one question
  int failures = 0;                           ///< in a row; 0: 3 of kPromql, 1 of kWebhook
  OnNoData on_no_data = OnNoData::kHold;      ///< kPromql
  bool allow_absent =
      false;  ///< kPromql: the configuration may be one of which it gives nothing yet
  When when = When::kAlways;
  // Files, read at each question.
  std::string ca_file, cert_file, key_file, token_file, username, password_file;
  friend bool operator==(const OutsideOptions&, const OutsideOptions&) = default;
};

/// That LossOptions::highest may be.
inline constexpr double kHighestLoss = 1e12;

/// Of a gate that compares mean losses (kLoss).
struct LossOptions {
  LossMetric metric = LossMetric::kAbsoluteError;
  /// In the metric's units, as RolloutGate::max: a larger loss counts as this. Without one a mean can be shown nothing of: a single
  /// answer may be off by any distance. 0: of a Brier score 1, of others not given.
  double highest = 0;
  double good_enough = 0;  ///< a mean loss below this is, whatever the ratio; 0: none is
  friend bool operator==(const LossOptions&, const LossOptions&) = default;
};

/// What must hold. Each gate watches one kind of bad event in both arms over the same windows and
/// keeps two e-processes:
///   harm:  H0 "the candidate's event rate is not higher than the stable's"  → roll back at >=
///   1/(alpha's share); safe:  H0 "the rate is at least `margin` times the stable's, and above
///   `floor`" → a step may be left at >= 1/beta.
/// With `max` it looks at the candidate alone: harm: H0 "its rate is not above `max`"; safe: H0 "its
/// rate is at least `max`".
/// kLoss asks the same of the mean losses of labelled answers instead of rates.
/// Of a step that mirrors, what both versions have answered to the same requests is weighed in pairs.
struct RolloutGate {
  enum class Kind {
    kErrors,   ///< event = a request answered with an error
    kLatency,  ///< event = slower than a threshold taken from the stable version's histogram; harm:
               ///< mixture over quantiles
    kQuality,  ///< event = a labelled row that was predicted wrong (late labels)
    kLoss,  ///< no event, but how far a labelled row was off (late labels); in no step that mirrors
    kAnswers,  ///< event = a copy that was answered otherwise than the original; steps that mirror alone, with `max`
    kPromql,   ///< a Prometheus answers a query with a number, which must lie between bounds
    kWebhook,  ///< somebody says pass, fail or hold
  };
  Kind kind = Kind::kErrors;
  double weight =
      1;  ///< its part of alpha is its part of all gates' weights; not of those that ask outside
  double margin = 1.5;  ///< ratio of event rates, or mean losses, that counts as "worse"
  double floor =
      0.01;  ///< an event rate below this is good enough whatever the ratio; 0 = no floor. Not of kLoss
  /// kLatency: the stable's quantiles whose bucket edges become thresholds; the safe test looks at
  /// `safe_quantile` alone.
  std::vector<double> quantiles{0.5, 0.9, 0.95, 0.99, 0.999};
  double safe_quantile = 0.95;
  std::chrono::milliseconds ignore_below{
      10};  ///< kLatency: answers faster than this are never "slow"
  /// A bound of the candidate's rate instead of the comparison; 0 < max < 1. `margin`, `floor` and
  /// the thresholds from the stable version's history are not used then.
  /// kPromql: of the answer, any number. kLoss: of the candidate's mean loss, in the metric's units; below `loss.highest`.
  std::optional<double> max;
  std::chrono::milliseconds slower_than{0};  ///< kLatency with `max`: what is slow
  bool only_classes = false;  ///< kAnswers: another class is an event, another number is none
  LossOptions loss;           ///< kLoss
  OutsideOptions outside;     ///< kPromql, kWebhook
};

/// The candidate is loaded beside the stable version, gets all traffic at once, and is watched while
/// the stable version is kept ready to take it back.
struct BlueGreenOptions {
  std::chrono::milliseconds preview_duration{0};  ///< ready beside the other, before the switch
  bool auto_promote = true;                       ///< false: a person's promote makes the switch
  std::chrono::milliseconds watch_duration{std::chrono::minutes(5)};  ///< after the switch
  int64_t min_requests = 0;  ///< to the candidate after the switch, at least
  friend bool operator==(const BlueGreenOptions&, const BlueGreenOptions&) = default;
};

/// The candidate gets copies of requests and nothing else, until it takes all traffic at once.
struct ShadowOptions {
  double mirror = 1;  ///< share of the requests that is copied
  std::chrono::milliseconds duration{std::chrono::minutes(5)};  ///< at least
  int64_t min_requests = 0;  ///< copies that it has answered, at least; 0: computed from the gates
  bool auto_promote = true;  ///< false: a person's promote gives it the traffic
  friend bool operator==(const ShadowOptions&, const ShadowOptions&) = default;
};

/// The traffic follows the candidate's endpoints, as they take the place of the stable version's: in equal steps, one for each batch,
/// and a step is entered when as many of them are ready as its share needs.
struct RollingOptions {
  int batches =
      0;  ///< 0: one for each endpoint of the candidate, at least 2, as many as fit into max_duration
  std::chrono::milliseconds duration{std::chrono::minutes(1)};  ///< of each step, at least
  int64_t min_requests =
      0;  ///< to the candidate in each step, at least; 0: computed from the gates
  double max_unavailable = 0;  ///< of the endpoints that a share needs, those that may not be ready
  friend bool operator==(const RollingOptions&, const RollingOptions&) = default;
};

/// A fixed split for a fixed time, to measure by: gates only guard, and at the end there is a readout of both versions.
struct AbOptions {
  enum class OnEnd {
    kHold,           ///< a person promotes or aborts it
    kPromoteWinner,  ///< whichever is shown to be better; held while neither is
    kStable,         ///< back to the stable version, whatever was measured
  };
  double weight = 0.5;  ///< the candidate's share
  std::chrono::milliseconds duration{std::chrono::hours(12)};
  int64_t min_requests = 0;  ///< to the candidate, at least
  OnEnd on_end = OnEnd::kHold;
  double confidence = 0.95;  ///< of all intervals of the readout together, at every look
  friend bool operator==(const AbOptions&, const AbOptions&) = default;
};

/// Harm is looked for in each segment of the requests, too, as far as the source of evidence tells them apart: by the gates of errors
/// and quality. All of these tests together are one gate more; which of them have found something e-BH says
/// (math/false_discovery.h).
struct SegmentOptions {
  static constexpr int kMost = 200;  ///< that `max` may be
  enum class OnHarm {
    kRollBack,
    kHold,  ///< while it looks so: a person promotes or aborts it
  };
  std::vector<std::string> by;  ///< names of segmentations; empty: all
  /// So many segments, those with the most traffic at the start and then those that come first. The evidence that each needs goes
  /// by it.
  int max = 20;
  OnHarm on_harm = OnHarm::kRollBack;
  friend bool operator==(const SegmentOptions&, const SegmentOptions&) = default;
};

/// A time of the week, in UTC, in which no step is left and nothing is promoted by itself. Harm is
/// taken back at any time, and a person may promote at any.
struct FreezeWindow {
  std::vector<std::chrono::weekday> days;  ///< on which it begins; empty: on each
  std::chrono::minutes from{0};            ///< of the day
  std::chrono::minutes to{24 * 60};        ///< not above `from`: of the day after
  friend bool operator==(const FreezeWindow&, const FreezeWindow&) = default;
};

/// 5 %, 25 %, 50 %.
inline std::vector<RolloutStep> DefaultSteps() {
  std::vector<RolloutStep> steps(3);
  steps[0].weight = 0.05;
  steps[1].weight = 0.25;
  steps[2].weight = 0.5;
  return steps;
}

/// How versions of one model are rolled out. Parsed from the configuration
/// (rollout/config_schema.h).
struct RolloutPlan {
  enum class Strategy { kCanary, kBlueGreen, kShadow, kRolling, kAb };
  enum class OnInconclusive { kRollBack, kHold, kPromote };

  Strategy strategy = Strategy::kCanary;
  /// kCanary. Of a rollout that has begun by another strategy: the machine's own (BeginRollout).
  std::vector<RolloutStep> steps = DefaultSteps();
  std::optional<BlueGreenOptions> blue_green;  ///< kBlueGreen alone
  std::optional<ShadowOptions> shadow;         ///< kShadow alone
  std::optional<RollingOptions> rolling;       ///< kRolling alone
  std::optional<AbOptions> ab;                 ///< kAb alone
  /// Default, but of kBlueGreen: errors, latency. kBlueGreen never exposes both versions at a time: no gate
  /// that compares them.
  std::vector<RolloutGate> gates;
  std::optional<SegmentOptions> segments;  ///< absent: all requests are looked at together alone
  double alpha =
      0.01;  ///< P(rollback of an equal version) over the whole rollout, shared by the gates
  double beta = 0.05;  ///< P(promotion of a version worse than the margin), per gate
  std::chrono::milliseconds interval{1000};  ///< one tick
  std::chrono::milliseconds max_duration{std::chrono::hours(24)};
  OnInconclusive on_inconclusive =
      OnInconclusive::kRollBack;  ///< when max_duration passes without a verdict
  std::chrono::milliseconds warmup{
      0};  ///< evidence of the first moments after the start is not counted
  /// Of a split that keeps users together: who comes to the candidate first. None: another one for each rollout.
  std::optional<uint64_t> seed;
  /// For so long a candidate may take to be ready, and again after a restart when it was; a restart while it is not begins nothing
  /// anew. Longer, and it is taken back; 0: `max_duration` alone ends it, as in journals from before there was this.
  std::chrono::milliseconds progress_deadline{std::chrono::minutes(10)};
  /// For so long a candidate may be away that was ready: it has no traffic meanwhile. Longer, and it is taken back.
  std::chrono::milliseconds lost_after{10'000};
  std::vector<FreezeWindow> freeze;
  /// After a promotion the old version is kept ready for so long, and late labels, answers from outside
  /// and the loss of the new one still bring it back; 0: it is let go at once.
  std::chrono::milliseconds probation{0};
  /// Probability of taking a split that is as it should be for another one, over the whole rollout;
  /// 0: it is not checked, as where requests of one user stay together.
  double sample_ratio_alpha = 0.001;
};

/// What the losses of a gate of the kind kLoss are counted by.
inline LossMeasure MeasureOf(const RolloutGate& gate) {
  const LossOptions& loss = gate.loss;
  const bool of_itself = loss.highest == 0 && loss.metric == LossMetric::kBrier;
  return {loss.metric, of_itself ? 1 : loss.highest};
}
/// That of the plan, which has one such gate at most; nothing: it has none.
inline std::optional<LossMeasure> MeasureOf(const RolloutPlan& plan) {
  for (const RolloutGate& gate : plan.gates) {
    if (gate.kind == RolloutGate::Kind::kLoss) return MeasureOf(gate);
  }
  return std::nullopt;
}

/// Whether a step of it mirrors requests.
inline bool Mirrors(const RolloutPlan& plan) {
  if (plan.strategy == RolloutPlan::Strategy::kShadow) return true;
  return std::any_of(plan.steps.begin(), plan.steps.end(),
                     [](const RolloutStep& step) { return step.mirror > 0; });
}

}  // namespace leadsman
