#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace leadsman {

/// How many false alarms are accepted: `falseAlarms: 1 per 90d`, of all models, features, segments
/// together.
struct AlarmBudget {
  double false_alarms = 1;
  double period_seconds = 90 * 86400.0;
};

/// What a detector watches for, the most harmful first. Each has its part of the budget.
enum class Harm { kPerformance, kPredictions, kFeatures };

/// The evidence of one detector (BlockDetector::evidence(), or any M whose mean grows by at most 1 a
/// look while nothing is wrong) and its part of the budget; the shares of all sum up to 1.
struct EvidenceStream {
  double share = 0;
  double looks_per_second = 0;
  double evidence = 0;
};

/// The evidence that this detector alone must reach: looks in the period / (false alarms * share).
double AlarmThreshold(const AlarmBudget& budget, double share, double looks_per_second);

struct AlarmDecision {
  /// 1 is enough. Sum over detectors of evidence / AlarmThreshold.
  double level = 0;
  /// The fewest detectors that reach 1 together, the strongest first; empty when all together do
  /// not. An alarm names them, and they are to be reset.
  std::vector<size_t> strongest;
};

/// One budget over many detectors. E-values may be averaged whatever their dependence, so
///
///     level = false alarms * sum_k share_k M_k / (looks of k in the period)
///
/// has under no change a mean of at most (time since) / period * false alarms, and falls by at least
/// 1 with each alarm: over any time T there are on average at most false_alarms * T / period of
/// them, for any number of detectors, correlated or not, with looks of different length. Many weak
/// signs make an alarm together; one detector reaching its own threshold always does.
///
/// Pure; thread-safe.
AlarmDecision DecideAlarm(const AlarmBudget& budget, std::span<const EvidenceStream> streams);

/// Shares for detectors of these kinds: performance has 1/2 of the budget, predictions 3/10, features
/// 1/5, divided evenly among the detectors of the kind; the part of a kind without any goes to the
/// others. A share of 1/100 instead of 1 costs ln 100 = 4.6 nats: about four more blocks of a clear change.
std::vector<double> HarmFirstShares(std::span<const Harm> detectors);

}  // namespace leadsman
