#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

namespace leadsman {

/// Requests of a window of time, and how many of them missed the objective (failed, too slow, wrong).
struct ObjectiveCounts {
  uint64_t total = 0, bad = 0;
};

/// One rule of the multi-window, multi-burn-rate alarm (Beyer et al., The Site Reliability Workbook,
/// chapter 5). A burn rate of 1 uses up the error budget of the objective's period exactly. The long
/// window says that it matters, the short one that it still goes on.
struct BurnRateRule {
  double factor = 0;
  double long_seconds = 0, short_seconds = 0;
  bool pages = false;  ///< else a ticket
};

/// For an objective over 30 days: 2 % of the budget used in an hour, 5 % in six, 10 % in a day, 10 %
/// in three days.
inline constexpr std::array<BurnRateRule, 4> kBurnRateRules{{
    {14.4, 3600, 300, true},
    {6, 6 * 3600, 1800, true},
    {3, 86400, 7200, false},
    {1, 3 * 86400, 6 * 3600, false},
}};

/// The share of bad ones by what the objective allows: (bad / total) / (1 - objective). 0 without
/// requests. 0 < objective < 1.
double BurnRate(const ObjectiveCounts& counts, double objective);

struct BurnRateFinding {
  BurnRateRule rule;
  double long_burn = 0, short_burn = 0;
  /// ExceedanceEvidence() of the long window against the rule's own rate: what tells two bad requests of a service's first
  /// five, or one of ten in a quiet night, from an incident.
  double e_value = 1;
  bool certain = false;  ///< enough of it, and of requests
  bool fires = false;
};

/// A rule is not certain of fewer requests than these, whatever became of them.
inline constexpr uint64_t kFewestRequests = 10;

/// How much likelier the counts are under a share of bad ones above `share` than under `share` itself: the mean over all shares
/// above, half of its weight on those up to twice as large, so that a small excess over a small share is seen as well. The
/// beta-binomial mixture, one-sided: of a window that grows from a fixed time it is an
/// e-process, so that while the true share is at most `share` it ever reaches 1 / level with probability at most `level`, however
/// often somebody looks (Ville's inequality; Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric,
/// nonasymptotic confidence sequences", 2021). Of one that slides it bounds a single look. 0 < share < 1.
double ExceedanceEvidence(const ObjectiveCounts& counts, double share);

/// The rules at this moment; `counts_of(seconds)` gives the last so many seconds. A rule fires when
/// both windows burn at its factor or faster, the long one with evidence of at least 1 / level that it
/// does, from kFewestRequests on. Pure, as far as counts_of is.
std::vector<BurnRateFinding> CheckBurnRates(
    double objective, const std::function<ObjectiveCounts(double seconds)>& counts_of,
    std::span<const BurnRateRule> rules = kBurnRateRules, double level = 0.001);

}  // namespace leadsman
