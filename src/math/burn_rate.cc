#include "math/burn_rate.h"

#include <cmath>

#include "base/check.h"
#include "math/special_functions.h"

namespace leadsman {

double BurnRate(const ObjectiveCounts& counts, double objective) {
  CHECK(objective > 0 && objective < 1);
  if (counts.total == 0) return 0;
  return static_cast<double>(counts.bad) / static_cast<double>(counts.total) / (1 - objective);
}

double ExceedanceEvidence(const ObjectiveCounts& counts, double share) {
  CHECK(share > 0 && share < 1);
  const auto bad = static_cast<double>(counts.bad);
  const auto good = static_cast<double>(counts.total - counts.bad);
  // The integral of x^bad (1 - x)^good over x, in logarithms, for it may be smaller than any number; how much of it lies above
  // a share; and the mean over the shares between two, by the likelihood of `share`.
  const double whole = LogBeta(bad + 1, good + 1);
  auto above = [&](double x) { return 1 - BinomialTail(bad + 1, bad + good + 1, x); };
  auto mean = [&](double mass, double width) {
    if (!(mass > 0)) return 0.0;
    return std::exp(whole + std::log(mass / width) - bad * std::log(share) -
                    good * std::log1p(-share));
  };
  const double all = mean(above(share), 1 - share);
  if (2 * share >= 1) return all;
  return (all + mean(above(share) - above(2 * share), share)) / 2;
}

std::vector<BurnRateFinding> CheckBurnRates(
    double objective, const std::function<ObjectiveCounts(double seconds)>& counts_of,
    std::span<const BurnRateRule> rules, double level) {
  std::vector<BurnRateFinding> findings;
  for (const BurnRateRule& rule : rules) {
    ObjectiveCounts lasting = counts_of(rule.long_seconds);
    BurnRateFinding finding{.rule = rule,
                            .long_burn = BurnRate(lasting, objective),
                            .short_burn = BurnRate(counts_of(rule.short_seconds), objective)};
    const double share = rule.factor * (1 - objective);
    if (share < 1)
      finding.e_value = ExceedanceEvidence(lasting, share);  // else it cannot burn so fast
    finding.certain = lasting.total >= kFewestRequests && finding.e_value >= 1 / level;
    finding.fires =
        finding.certain && finding.long_burn >= rule.factor && finding.short_burn >= rule.factor;
    findings.push_back(finding);
  }
  return findings;
}

}  // namespace leadsman
