#pragma once

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/rng.h"
#include "rollout/journal.h"
#include "rollout/record.h"

namespace leadsman {

/// Plays a rollout of the default plan with 200 requests a second into a journal, until it ends or `ticks` are over, and
/// gives its record. The stable version fails once in a hundred requests.
inline std::string RecordedRollout(double candidate_errors, int ticks = 5000,
                                   std::chrono::milliseconds probation = {}) {
  Rng rng(7);
  auto some = [&](uint64_t of, double share) {
    return of == 0 ? 0 : std::binomial_distribution<uint64_t>(of, share)(rng);
  };
  auto journal = Journal::Open("").value();
  RolloutPlan plan;
  plan.steps = {{0.1, std::chrono::seconds(3)}, {0.5}};
  plan.probation = probation;
  RolloutState state = BeginRollout("digits", 1, 2, plan, FromUnixMillis(1'700'000'000'000));
  CHECK(journal->Begin(1, state, {"digits", 1, {}}).ok());
  for (int tick = 0; tick < ticks && !HasEnded(state.phase); ++tick) {
    StepInput in;
    in.time = state.started + tick * std::chrono::seconds(1);
    if (tick > 0) in.elapsed = std::chrono::seconds(1);
    if (tick == 0) {
      in.history.emplace();
      in.history->sums = {.requests = 1000, .errors = 10, .timed = 990, .slow = {}};
      in.history->latency = {{static_cast<uint32_t>(LatencyScheme::Index(20'000'000)), 900},
                             {static_cast<uint32_t>(LatencyScheme::Index(90'000'000)), 90}};
    }
    const uint64_t drawn = state.phase == RolloutPhase::kProbation ? 0 : 200;
    const uint64_t mine = some(drawn, WantedShare(state));
    auto answers = [&](uint64_t requests, double errors) {
      ArmDelta arm{.requests = requests, .errors = some(requests, errors), .slow = {}};
      arm.timed = requests - arm.errors;
      for (size_t k = 0; k < state.thresholds.size(); ++k)
        arm.slow.push_back(some(arm.timed, 0.05));
      std::sort(arm.slow.rbegin(), arm.slow.rend());
      return arm;
    };
    in.candidate_window = answers(mine, candidate_errors);
    in.stable_window = answers(drawn - mine, 0.01);
    StepOutput out = Step(state, in);
    CHECK(journal->AppendTick(1, in, out, std::nullopt).ok());
    state = std::move(out.state);
  }
  return MakeVerdictRecord(*journal, 1, "0.1.0").value();
}

/// The record of a rollout with a gate of mean losses: late labels of 200 requests a second, and of every fifth no loss.
inline std::string RecordedLosses(double candidate_mean) {
  Rng rng(8);
  auto journal = Journal::Open("").value();
  RolloutPlan plan;
  plan.steps = {{0.1, std::chrono::seconds(3)}, {0.5}};
  plan.gates.resize(2);
  plan.gates[1].kind = RolloutGate::Kind::kLoss;
  plan.gates[1].loss = {LossMetric::kSquaredError, 30, 0.5};
  RolloutState state = BeginRollout("prices", 1, 2, plan, FromUnixMillis(1'700'000'000'000));
  CHECK(journal->Begin(1, state, {"prices", 1, {}}).ok());
  for (int tick = 0; tick < 5000 && !HasEnded(state.phase); ++tick) {
    StepInput in;
    in.time = state.started + tick * std::chrono::seconds(1);
    if (tick > 0) in.elapsed = std::chrono::seconds(1);
    auto answers = [&](uint64_t requests, double mean) {
      ArmDelta arm{.requests = requests, .slow = {}};
      arm.labelled = requests;
      arm.unmeasured = requests / 5;
      for (uint64_t i = arm.unmeasured; i < requests; ++i) {
        const double u = std::uniform_real_distribution<double>(0, 1)(rng);
        arm.losses.Add(3 * mean * u * u, 1);
      }
      return arm;
    };
    if (tick == 0) {
      in.history.emplace();
      in.history->sums = answers(1000, 0.1);
    }
    const auto mine = static_cast<uint64_t>(200 * WantedShare(state));
    in.candidate_window = answers(mine, candidate_mean);
    in.stable_window = answers(200 - mine, 0.1);
    StepOutput out = Step(state, in);
    CHECK(journal->AppendTick(1, in, out, std::nullopt).ok());
    state = std::move(out.state);
  }
  return MakeVerdictRecord(*journal, 1, "0.1.0").value();
}

/// The record of an A/B test that looks at one segment, after its first second.
inline std::string RecordedAbTest() {
  auto journal = Journal::Open("").value();
  RolloutPlan plan;
  plan.strategy = RolloutPlan::Strategy::kAb;
  plan.ab.emplace().duration = std::chrono::seconds(2);
  plan.gates.resize(1);
  plan.segments.emplace();
  RolloutState state = BeginRollout("digits", 1, 2, plan, FromUnixMillis(1'700'000'000'000));
  CHECK(journal->Begin(1, state, {"digits", 1, {}}).ok());
  for (int tick = 0; tick < 2; ++tick) {
    StepInput in;
    in.time = state.started + tick * std::chrono::seconds(1);
    if (tick > 0) in.elapsed = std::chrono::seconds(1);
    in.stable_window.requests = in.candidate_window.requests = 100;
    in.segments.push_back({"tenant=acme", {100, 0}, {100, 0}, {}, {}});
    StepOutput out = Step(state, in);
    CHECK(journal->AppendTick(1, in, out, std::nullopt).ok());
    state = std::move(out.state);
  }
  return MakeVerdictRecord(*journal, 1, "0.1.0").value();
}

}  // namespace leadsman
