#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/rng.h"
#include "rollout/step.h"

namespace leadsman {

/// How one version of a made-up service answers.
struct SimulatedArm {
  double error_rate = 0;
  double wrong_rate = 0;  ///< of its labelled answers

  /// [b]: the share of answers in bucket b of LatencyScheme or above it, from 1 down; empty: no answer
  /// is timed.
  std::vector<double> tail;
  /// Of the candidate's answers to copies, those that differ from the stable's for another reason than that one alone is wrong.
  double differing_rate = 0;
  /// Of its labelled answers, as shares of the highest; absent: they have none that count.
  struct Losses {
    double mean = 0;
    double spread = 0;  ///< standard deviation of one
  };
  std::optional<Losses> losses = {};
};

/// The tail of a histogram; empty when nothing was timed.
std::vector<double> TailOf(const SparseLatency& latency);
/// So many answers of this tail, as a histogram: what a version's history looks like.
SparseLatency HistogramOf(const std::vector<double>& tail, uint64_t answers);

/// Plays one rollout by the engine itself, `Step`, on made-up requests: what a plan would do, without
/// a server and without waiting. The candidate is ready from the beginning, and gates that ask outside
/// are answered that all is well. Deterministic for a seed.
///
///   RolloutSimulation play(plan, {sums, latency}, 1);
///   while (!play.ended()) play.Tick(1s, requests, 0.2, stable, candidate);
///
/// Confined to one thread.
class RolloutSimulation {
 public:
  /// `history`: the stable's, from before.
  RolloutSimulation(const RolloutPlan& plan, const StepInput::History& history, uint64_t seed);

  /// So many requests came in this time and were split as the rollout wanted; of a share of them the
  /// label came too. Says what was decided, as StepOutput::decision.
  std::string Tick(Duration elapsed, uint64_t requests, double label_share,
                   const SimulatedArm& stable, const SimulatedArm& candidate);

  /// A number of requests with this mean (Poisson).
  uint64_t Arrivals(double mean);
  const RolloutState& state() const { return state_; }
  bool ended() const { return HasEnded(state_.phase); }

 private:
  uint64_t Some(uint64_t of, double share);
  LossSums Losses(uint64_t count, const SimulatedArm::Losses& of);
  ArmDelta Answers(uint64_t requests, double label_share, const SimulatedArm& arm);
  PairDelta Copies(uint64_t requests, double label_share, const SimulatedArm& stable,
                   const SimulatedArm& candidate);

  Rng rng_;
  RolloutState state_;
  StepInput::History history_;
};

}  // namespace leadsman
