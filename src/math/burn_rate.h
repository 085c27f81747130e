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
  /// The chance of as many bad ones or more in the long window if the objective were just met:
  /// what tells one bad request of ten in a quiet night from an incident.
  double p_value = 1;
  bool fires = false;
};

/// The rules at this moment; `counts_of(seconds)` gives the last so many seconds. A rule fires when
/// both windows burn at its factor or faster and the p-value is at most `level`. Not an e-process:
/// looked at often, a service just at its objective fires a rule of factor 1 some day; the others
/// are far above what chance does to it. Pure, as far as counts_of is.
std::vector<BurnRateFinding> CheckBurnRates(
    double objective, const std::function<ObjectiveCounts(double seconds)>& counts_of,
    std::span<const BurnRateRule> rules = kBurnRateRules, double level = 0.001);

}  // namespace leadsman
