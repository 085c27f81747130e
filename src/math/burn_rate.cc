#include "math/burn_rate.h"

#include "base/check.h"
#include "math/special_functions.h"

namespace leadsman {

double BurnRate(const ObjectiveCounts& counts, double objective) {
  CHECK(objective > 0 && objective < 1);
  if (counts.total == 0) return 0;
  return static_cast<double>(counts.bad) / static_cast<double>(counts.total) / (1 - objective);
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
    finding.p_value = BinomialTail(static_cast<double>(lasting.bad),
                                   static_cast<double>(lasting.total), 1 - objective);
    // 1e-12: a rate just at the factor fires, however 1 - objective was rounded.
    double enough = rule.factor * (1 - 1e-12);
    finding.fires =
        finding.long_burn >= enough && finding.short_burn >= enough && finding.p_value <= level;
    findings.push_back(finding);
  }
  return findings;
}

}  // namespace leadsman
