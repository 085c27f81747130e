#include "rollout_judges/rules.h"

#include <algorithm>
#include <cmath>

namespace leadsman::bench {
namespace {

double Rate(uint64_t part, uint64_t of) {
  return of == 0 ? 0 : static_cast<double>(part) / static_cast<double>(of);
}

/// P99 of the stable version.
double StableP99() {
  constexpr double kNormalP99 = 2.3263478740408408;
  return kMedianMs * std::exp(kSigma * kNormalP99);
}

}  // namespace

// ---- Flagger ----

FlaggerLimits TunedLimits(const Release& release) {
  FlaggerLimits limits;
  limits.success_rate = 1 - 1.5 * release.error_rate;
  limits.p99_ms = 1.05 * StableP99();
  if (release.judged_by_labels) limits.accuracy = 1 - release.wrong_rate - 0.01;
  return limits;
}

Verdict JudgeByFlagger(const Release& release, const FlaggerLimits& limits, uint64_t seed) {
  constexpr double kInterval = 60, kMaxWeight = 0.5, kStepWeight = 0.05;
  constexpr int kThreshold = 10;
  World world(release, seed);
  Verdict verdict;
  double weight = kStepWeight;  // since the first look, at 0 s
  int failed = 0;
  for (double now = kInterval;; now += kInterval) {
    Window canary, primary;
    world.Draw(now, kInterval, weight, 1 - weight, canary, primary);
    verdict.exposed += canary.requests;
    verdict.seconds = now;
    if (failed >= kThreshold) {
      verdict.kind = Verdict::Kind::kRolledBack;
      return verdict;
    }
    // No value fails the check.
    bool passed = canary.requests > 0 &&
                  1 - Rate(canary.errors, canary.requests) >= limits.success_rate &&
                  canary.p99_ms <= limits.p99_ms;
    if (limits.accuracy > 0) {
      passed = passed && canary.labelled > 0 &&
               1 - Rate(canary.wrong, canary.labelled) >= limits.accuracy;
    }
    if (!passed) {
      ++failed;
      continue;
    }
    if (weight >= kMaxWeight - 1e-9) {
      verdict.kind = Verdict::Kind::kPromoted;
      return verdict;
    }
    weight += kStepWeight;
  }
}

// ---- Argo Rollouts ----

Verdict JudgeByArgo(const Release& release, uint64_t seed) {
  constexpr double kInterval = 300, kPause = 600, kSuccess = 0.95;
  constexpr int kFailureLimit = 3;
  const double weights[] = {0.2, 0.4, 0.6, 0.8};
  World world(release, seed);
  Verdict verdict;
  int failed = 0;
  const int looks = static_cast<int>(std::size(weights) * kPause / kInterval);
  for (int look = 1; look <= looks; ++look) {
    const double now = look * kInterval;
    const double weight = weights[static_cast<size_t>((now - kInterval) / kPause)];
    Window canary, stable;
    world.Draw(now, kInterval, weight, 1 - weight, canary, stable);
    verdict.exposed += canary.requests;
    verdict.seconds = now;
    const bool measured =
        now >= kPause;  // `startingStep: 2` is when 40 % is set, after ten minutes
    if (measured && 1 - Rate(canary.errors, canary.requests) < kSuccess &&
        ++failed > kFailureLimit) {
      verdict.kind = Verdict::Kind::kRolledBack;
      return verdict;
    }
  }
  verdict.kind = Verdict::Kind::kPromoted;
  return verdict;
}

// ---- Kayenta ----

namespace {

/// Wilcoxon's statistic of x - mu against y in standard deviations, ties corrected, with the correction for continuity
/// of a two-sided test.
double ShiftedZ(const std::vector<double>& x, const std::vector<double>& y, double mu) {
  struct Value {
    double value;
    bool of_x;
  };
  std::vector<Value> all;
  for (double v : x) all.push_back({v - mu, true});
  for (double v : y) all.push_back({v, false});
  std::sort(all.begin(), all.end(),
            [](const Value& a, const Value& b) { return a.value < b.value; });
  double rank_sum = 0, ties = 0;
  for (size_t begin = 0; begin < all.size();) {
    size_t end = begin;
    double mine = 0;
    while (end < all.size() && all[end].value == all[begin].value) mine += all[end++].of_x;
    const auto count = static_cast<double>(end - begin);
    rank_sum += mine * (static_cast<double>(begin + end + 1) /
                        2);  // the mean of the ranks begin + 1 to end
    ties += count * count * count - count;
    begin = end;
  }
  const auto n = static_cast<double>(x.size()), m = static_cast<double>(y.size());
  const double centred = rank_sum - n * (n + 1) / 2 - n * m / 2;
  const double correction = centred > 0 ? 0.5 : centred < 0 ? -0.5 : 0;
  const double variance = n * m / 12 * (n + m + 1 - ties / ((n + m) * (n + m - 1)));
  return variance > 0 ? (centred - correction) / std::sqrt(variance) : 0;
}

/// The shift at which the statistic, which falls as the shift grows, crosses `z`.
double ShiftAt(const std::vector<double>& x, const std::vector<double>& y, double z) {
  auto [x_low, x_high] = std::minmax_element(x.begin(), x.end());
  auto [y_low, y_high] = std::minmax_element(y.begin(), y.end());
  double low = *x_low - *y_high, high = *x_high - *y_low;
  if (ShiftedZ(x, y, low) <= z) return low;
  if (ShiftedZ(x, y, high) >= z) return high;
  for (int i = 0; i < 50; ++i) {
    const double middle = (low + high) / 2;
    (ShiftedZ(x, y, middle) > z ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace

bool IsHigh(const std::vector<double>& experiment, const std::vector<double>& control) {
  constexpr double kZ = 2.3263478740408408;  // half of 1 - 0.98 on each side
  constexpr double kTolerance = 0.25;
  constexpr double kSame = 1e-9;  // of the values' range: where most are tied, all shifts are one
  auto [low, high] = std::minmax_element(experiment.begin(), experiment.end());
  auto [control_low, control_high] = std::minmax_element(control.begin(), control.end());
  const double range = std::max(*high, *control_high) - std::min(*low, *control_low);
  if (range == 0) return false;
  const double least = ShiftAt(experiment, control, kZ), estimate = ShiftAt(experiment, control, 0);
  return least > kTolerance * std::abs(estimate) + kSame * range;
}

Verdict JudgeByKayenta(const Release& release, uint64_t seed) {
  constexpr double kShare = 0.1, kStep = 60;
  constexpr int kPointsPerRun = 60, kRuns = 3;
  constexpr double kMarginal = 75, kPass = 95;
  struct Metric {
    std::vector<double> experiment, control;
  } errors, latency, wrong;
  World world(release, seed);
  Verdict verdict;
  auto add = [](Metric& metric, bool known, double mine, double theirs) {
    if (!known) return;  // no value, which is left out
    metric.experiment.push_back(mine);
    metric.control.push_back(theirs);
  };
  for (int run = 1; run <= kRuns; ++run) {
    for (int point = 0; point < kPointsPerRun; ++point) {
      verdict.seconds += kStep;
      Window canary, baseline;
      world.Draw(verdict.seconds, kStep, kShare, kShare, canary, baseline);
      verdict.exposed += canary.requests;
      const bool asked = canary.requests > 0 && baseline.requests > 0;
      add(errors, asked, Rate(canary.errors, canary.requests),
          Rate(baseline.errors, baseline.requests));
      add(latency, asked, canary.mean_ms, baseline.mean_ms);
      add(wrong, release.judged_by_labels && canary.labelled > 0 && baseline.labelled > 0,
          Rate(canary.wrong, canary.labelled), Rate(baseline.wrong, baseline.labelled));
    }
    double passed = 0, judged = 0;
    for (const Metric* metric : {&errors, &latency, &wrong}) {
      if (metric->experiment.empty()) continue;
      ++judged;
      if (!IsHigh(metric->experiment, metric->control)) ++passed;
    }
    const double score = judged == 0 ? 0 : 100 * passed / judged;
    if (score < (run == kRuns ? kPass : kMarginal)) {
      verdict.kind = Verdict::Kind::kRolledBack;
      return verdict;
    }
  }
  verdict.kind = Verdict::Kind::kPromoted;
  return verdict;
}

}  // namespace leadsman::bench
