#include "math/alarm_budget.h"

#include <algorithm>
#include <array>
#include <limits>

namespace leadsman {

double AlarmThreshold(const AlarmBudget& budget, double share, double looks_per_second) {
  double alarms = budget.false_alarms * share;
  // A detector without a share never alarms.
  if (!(alarms > 0)) return std::numeric_limits<double>::infinity();
  return looks_per_second * budget.period_seconds / alarms;
}

AlarmDecision DecideAlarm(const AlarmBudget& budget, std::span<const EvidenceStream> streams) {
  AlarmDecision decision;
  std::vector<double> levels;
  for (const EvidenceStream& stream : streams) {
    double threshold = AlarmThreshold(budget, stream.share, stream.looks_per_second);
    levels.push_back(threshold > 0 ? stream.evidence / threshold : 0);  // 0: never looked
    decision.level += levels.back();
  }
  if (decision.level < 1) return decision;
  std::vector<size_t> order(streams.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return levels[a] > levels[b]; });
  double reached = 0;
  for (size_t i : order) {
    decision.strongest.push_back(i);
    reached += levels[i];
    if (reached >= 1) break;
  }
  return decision;
}

std::vector<double> HarmFirstShares(std::span<const Harm> detectors) {
  constexpr std::array<double, 3> kParts{0.5, 0.3, 0.2};
  std::array<double, 3> count{};
  for (Harm harm : detectors) ++count[static_cast<size_t>(harm)];
  double used = 0;
  for (size_t i = 0; i < kParts.size(); ++i) used += count[i] > 0 ? kParts[i] : 0;
  std::vector<double> shares;
  for (Harm harm : detectors) {
    auto i = static_cast<size_t>(harm);
    shares.push_back(kParts[i] / used / count[i]);
  }
  return shares;
}

}  // namespace leadsman
