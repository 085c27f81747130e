#include "rollout/simulation.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace leadsman {

std::vector<double> TailOf(const SparseLatency& latency) {
  const auto total = static_cast<double>(CountAll(latency));
  if (total == 0) return {};
  std::vector<double> tail(LatencyScheme::kBuckets, 0.0);
  for (const auto& [bucket, count] : latency) tail[bucket] = static_cast<double>(count);
  for (size_t b = tail.size() - 1; b > 0; --b) tail[b - 1] += tail[b];
  for (double& share : tail) share /= total;
  return tail;
}

SparseLatency HistogramOf(const std::vector<double>& tail, uint64_t answers) {
  SparseLatency histogram;
  uint64_t above = 0;  // rounded as sums, so that the parts add up
  for (size_t b = tail.size(); b-- > 0;) {
    const auto here = static_cast<uint64_t>(std::llround(tail[b] * static_cast<double>(answers)));
    if (here > above) histogram.emplace_back(static_cast<uint32_t>(b), here - above);
    above = std::max(above, here);
  }
  std::reverse(histogram.begin(), histogram.end());
  return histogram;
}

RolloutSimulation::RolloutSimulation(const RolloutPlan& plan, const StepInput::History& history,
                                     uint64_t seed)
    : rng_(seed), state_(BeginRollout("", 1, 2, plan, WallTime{})), history_(history) {
  StepInput first;
  first.history = history_;
  state_ = Step(state_, first).state;
}

uint64_t RolloutSimulation::Arrivals(double mean) {
  return mean <= 0 ? 0 : std::poisson_distribution<uint64_t>(mean)(rng_);
}

uint64_t RolloutSimulation::Some(uint64_t of, double share) {
  if (of == 0 || share <= 0) return 0;
  if (share >= 1) return of;
  return std::binomial_distribution<uint64_t>(of, share)(rng_);
}

/// Beta-distributed ones of this mean and spread, or as widely spread as there may be. Of many their sums are normal.
LossSums RolloutSimulation::Losses(uint64_t count, const SimulatedArm::Losses& of) {
  constexpr uint64_t kMany = 200;
  const double mean = std::clamp(of.mean, 1e-9, 1 - 1e-9);
  const double widest = mean * (1 - mean);
  const double variance = std::clamp(of.spread * of.spread, 1e-6 * widest, 0.999 * widest);
  if (count > kMany) {
    const auto n = static_cast<double>(count);
    std::normal_distribution<double> sum(n * mean, std::sqrt(n * variance));
    LossSums sums{count, std::clamp(sum(rng_), 0.0, n), 0, 0};
    sums.squares = std::min(sums.sum, n * variance + sums.sum * sums.sum / n);
    return sums;
  }
  const double both = widest / variance - 1;
  std::gamma_distribution<double> up(mean * both), down((1 - mean) * both);
  LossSums sums;
  for (uint64_t i = 0; i < count; ++i) {
    const double a = up(rng_), b = down(rng_);
    sums.Add(a + b > 0 ? a / (a + b) : mean, 1);
  }
  return sums;
}

ArmDelta RolloutSimulation::Answers(uint64_t requests, double label_share,
                                    const SimulatedArm& arm) {
  ArmDelta window;
  window.requests = requests;
  window.errors = Some(requests, arm.error_rate);
  window.labelled = Some(requests - window.errors, label_share);
  window.wrong = Some(window.labelled, arm.wrong_rate);
  if (arm.losses) window.losses = Losses(window.labelled, *arm.losses);
  if (arm.tail.empty()) return window;
  window.timed = requests - window.errors;
  uint64_t still = window.timed;
  double share = 1;
  for (uint32_t bucket : state_.thresholds) {
    const double above = arm.tail[bucket];
    still = share > 0 ? Some(still, std::min(1.0, above / share)) : 0;
    share = above;
    window.slow.push_back(still);
  }
  return window;
}

/// Requests that one version fails, the other may answer; what one has wrong, the better one has right as often as it can.
PairDelta RolloutSimulation::Copies(uint64_t requests, double label_share,
                                    const SimulatedArm& stable, const SimulatedArm& candidate) {
  PairDelta pairs;
  pairs.pairs = requests;
  const uint64_t stable_failed = Some(requests, stable.error_rate);
  pairs.both_failed = Some(stable_failed, candidate.error_rate);
  pairs.stable_failed = stable_failed - pairs.both_failed;
  pairs.candidate_failed = Some(requests - stable_failed, candidate.error_rate);
  pairs.compared = requests - stable_failed - pairs.candidate_failed;
  const double apart = candidate.wrong_rate - stable.wrong_rate;
  pairs.flips = Some(pairs.compared, std::abs(apart));
  const uint64_t labelled = Some(pairs.flips, label_share);
  (apart > 0 ? pairs.candidate_wrong : pairs.stable_wrong) = labelled;
  pairs.differing = pairs.flips + Some(pairs.compared - pairs.flips, candidate.differing_rate);
  if (stable.tail.empty() || candidate.tail.empty()) return pairs;
  pairs.timed = pairs.compared;
  auto slow = [&](const SimulatedArm& arm, std::vector<uint64_t>& counts) {
    uint64_t still = pairs.timed;
    double share = 1;
    for (uint32_t bucket : state_.thresholds) {
      still = share > 0 ? Some(still, std::min(1.0, arm.tail[bucket] / share)) : 0;
      share = arm.tail[bucket];
      counts.push_back(still);
    }
  };
  slow(stable, pairs.stable_slow);
  slow(candidate, pairs.candidate_slow);
  return pairs;
}

std::string RolloutSimulation::Tick(Duration elapsed, uint64_t requests, double label_share,
                                    const SimulatedArm& stable, const SimulatedArm& candidate) {
  StepInput in;
  in.time = state_.last_tick + elapsed;
  in.elapsed = elapsed;
  const uint64_t mine = Some(requests, WantedShare(state_));
  in.candidate_window = Answers(mine, label_share, candidate);
  in.stable_window = Answers(requests - mine, label_share, stable);
  if (const double mirror = WantedMirror(state_); mirror > 0)
    in.pairs = Copies(Some(requests, mirror), label_share, stable, candidate);
  if (state_.thresholds.empty() && !stable.tail.empty()) {
    // As the monitor, which goes on counting while the thresholds are waited for.
    const uint64_t timed = CountAll(history_.latency) + in.stable_window.timed;
    history_.latency = HistogramOf(stable.tail, timed);
    history_.sums.timed = timed;
    in.history = history_;
  }
  // Nobody is asked: whoever would be says yes.
  for (size_t i = 0; i < state_.gates.size(); ++i) {
    if (!WantsToAsk(state_, state_.gates[i].config)) continue;
    OutsideReading pass;
    pass.gate = i;
    pass.step = state_.step;
    pass.step_elapsed = state_.step_elapsed + elapsed;
    pass.kind = OutsideReading::Kind::kPass;
    in.readings.push_back(std::move(pass));
  }
  StepOutput out = Step(state_, in);
  state_ = std::move(out.state);
  return std::move(out.decision);
}

}  // namespace leadsman
