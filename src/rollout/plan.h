#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace leadsman {

/// One stage of a canary. Leaving it needs all three: the duration, the exposure, and every gate's
/// evidence of safety.
struct RolloutStep {
  double weight = 0.1;                    ///< the candidate's share, 0 < weight <= 1
  std::chrono::milliseconds duration{0};  ///< at least this long
  int64_t min_requests =
      0;  ///< candidate requests in this step at least; 0 = auto: computed from the gates
};

/// What must hold. Each gate watches one kind of bad event in both arms over the same windows and
/// keeps two e-processes:
///   harm:  H0 "the candidate's event rate is not higher than the stable's"  → roll back at >=
///   1/(alpha's share); safe:  H0 "the rate is at least `margin` times the stable's, and above
///   `floor`" → a step may be left at >= 1/beta.
struct RolloutGate {
  enum class Kind {
    kErrors,   ///< event = a request answered with an error
    kLatency,  ///< event = slower than a threshold taken from the stable version's histogram; harm:
               ///< mixture over quantiles
    kQuality,  ///< event = a labelled row that was predicted wrong (late labels)
  };
  Kind kind = Kind::kErrors;
  double margin = 1.5;  ///< ratio of event rates that counts as "worse"
  double floor =
      0.01;  ///< an event rate below this is good enough whatever the ratio; 0 = no floor
  /// kLatency: the stable's quantiles whose bucket edges become thresholds; the safe test looks at
  /// `safe_quantile` alone.
  std::vector<double> quantiles{0.5, 0.9, 0.95, 0.99, 0.999};
  double safe_quantile = 0.95;
  std::chrono::milliseconds ignore_below{
      10};  ///< kLatency: answers faster than this are never "slow"
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
  enum class Strategy { kCanary };
  enum class OnInconclusive { kRollBack, kHold, kPromote };

  Strategy strategy = Strategy::kCanary;
  std::vector<RolloutStep> steps = DefaultSteps();
  std::vector<RolloutGate> gates;  ///< default: errors, latency
  double alpha =
      0.01;  ///< P(rollback of an equal version) over the whole rollout, shared by the gates
  double beta = 0.05;  ///< P(promotion of a version worse than the margin), per gate
  std::chrono::milliseconds interval{1000};  ///< one tick
  std::chrono::milliseconds max_duration{std::chrono::hours(24)};
  OnInconclusive on_inconclusive =
      OnInconclusive::kRollBack;  ///< when max_duration passes without a verdict
  std::chrono::milliseconds warmup{
      0};  ///< evidence of the first moments after the start is not counted
};

}  // namespace leadsman
