#include "rollout/config_schema.h"

#include <set>

#include "base/strings.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;  // NOLINT: literals
using Gate = RolloutGate;
using Plan = RolloutPlan;

const schema::Struct<RolloutStep>& StepSchema() {
  static const auto table = [] {
    schema::Struct<RolloutStep> s(
        "RolloutStep",
        "One stage of a canary. It is left when its duration has passed, enough requests have "
        "reached the candidate, and every gate has shown that the candidate is safe.");
    s.Required("weight", &RolloutStep::weight, schema::Share(0, 1, true),
               "The candidate's share of the traffic, as 0.1 or 10%; routed in steps of 0.01%.");
    s.Field("duration", &RolloutStep::duration, schema::Time<milliseconds>(0ms),
            "The step lasts at least this long.");
    s.Field("min_requests", &RolloutStep::min_requests, schema::Integer<int64_t>(0),
            "At least this many requests must reach the candidate in this step; 0 = computed from "
            "the gates.");
    return s;
  }();
  return table;
}

const schema::Struct<Gate>& GateSchema() {
  static const auto table = [] {
    schema::Struct<Gate> s("RolloutGate",
                           "What must hold for the candidate. Each gate watches one kind of bad "
                           "event in the stable and the "
                           "candidate version over the same time.");
    s.Required("kind", &Gate::kind,
               schema::Enum<Gate::Kind>({{"errors", Gate::Kind::kErrors},
                                         {"latency", Gate::Kind::kLatency},
                                         {"quality", Gate::Kind::kQuality}}),
               "The bad event: a request answered with an error; an answer slower than the stable "
               "version's quantiles; a "
               "labelled prediction that was wrong.");
    s.Field("margin", &Gate::margin, schema::NumberAbove(1, 1000),
            "The candidate counts as worse when its rate of bad events is this many times the "
            "stable version's.");
    s.Field("floor", &Gate::floor, schema::Share(0, 1),
            "A rate of bad events below this is good enough, whatever the ratio; 0 = no floor.");
    s.Field("quantiles", &Gate::quantiles, schema::List(schema::Share(0, 1, true), 1, 16),
            "latency only: the stable version's quantiles that serve as thresholds, growing, each "
            "below 1.");
    s.Field("safe_quantile", &Gate::safe_quantile, schema::Share(0, 1, true),
            "latency only: the quantile that the test of safety looks at; below 1.");
    s.Field("ignore_below", &Gate::ignore_below, schema::Time<milliseconds>(0ms, 60s),
            "latency only: answers faster than this are never slow.");
    s.Check([](const Gate& gate, schema::Problems& problems) {
      for (size_t i = 0; i < gate.quantiles.size(); ++i) {
        std::string path = StrCat("quantiles[", i, "]");
        if (gate.quantiles[i] >= 1) problems.Add(path, "must be below 1 (100%)");
        if (i > 0 && gate.quantiles[i] <= gate.quantiles[i - 1])
          problems.Add(path, "must be greater than the one before");
      }
      if (gate.safe_quantile >= 1) problems.Add("safe_quantile", "must be below 1 (100%)");
      if (gate.floor >= 1)
        problems.Add("floor", "must be below 1: a rate of 100% would always be good enough");
    });
    return s;
  }();
  return table;
}

void CheckPlan(const Plan& plan, schema::Problems& problems) {
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    if (plan.steps[i].weight > 0 && plan.steps[i].weight < 0.0001) {
      problems.Add(StrCat("steps[", i, "].weight"),
                   "must be at least 0.01%: traffic is split in steps of that");
    }
  }
  for (size_t i = 1; i < plan.steps.size(); ++i) {
    if (plan.steps[i].weight <= plan.steps[i - 1].weight) {
      problems.Add(StrCat("steps[", i, "].weight"),
                   StrCat("must be greater than the step before it (", plan.steps[i - 1].weight,
                          "): the candidate's share only grows"));
    }
  }
  std::set<Gate::Kind> kinds;
  for (size_t i = 0; i < plan.gates.size(); ++i) {
    const std::string kind = StrCat("gates[", i, "].kind");
    // A misspelt kind has been told already, and stands for the default here.
    if (!problems.IsSound(kind)) continue;
    if (!kinds.insert(plan.gates[i].kind).second) {
      problems.Add(kind, "there is already a gate of this kind");
    }
  }
  milliseconds planned{0};
  for (const RolloutStep& step : plan.steps) planned += step.duration;
  if (plan.max_duration <= planned) {
    problems.Add("max_duration", StrCat("must be longer than the steps together (",
                                        schema::FormatTime(planned), ")"));
  }
  if (plan.interval > plan.max_duration)
    problems.Add("interval", "must not be longer than max_duration");
}

}  // namespace

RolloutPlan DefaultRolloutPlan() {
  Plan plan;
  if (plan.gates.empty()) {
    plan.gates.resize(2);
    plan.gates[0].kind = Gate::Kind::kErrors;
    plan.gates[1].kind = Gate::Kind::kLatency;
  }
  return plan;
}

const schema::Struct<RolloutPlan>& RolloutPlanSchema() {
  static const auto table = [] {
    schema::Struct<Plan> s(
        "RolloutPlan",
        "How a new version of the model takes over. Without a plan the highest ready version is "
        "served at "
        "once; with one, it gets traffic step by step and is taken back when the evidence says so.",
        DefaultRolloutPlan());
    s.Field("strategy", &Plan::strategy,
            schema::Enum<Plan::Strategy>({{"canary", Plan::Strategy::kCanary}}),
            "canary: a growing share of the traffic.");
    s.Field("steps", &Plan::steps, schema::List(schema::Of(StepSchema()), 1, 50),
            "The stages, with growing weights. Default: 5%, 25%, 50%.");
    s.Field("gates", &Plan::gates, schema::List(schema::Of(GateSchema()), 1, 3),
            "What must hold; one gate of each kind. Default: errors and latency.");
    s.Field("alpha", &Plan::alpha, schema::Share(0, 0.5, true),
            "Probability of rolling back a version that is as good as the stable one, over the "
            "whole rollout.");
    s.Field("beta", &Plan::beta, schema::Share(0, 0.5, true),
            "Probability, for each gate, of promoting a version that is worse than the margin.");
    s.Field("interval", &Plan::interval, schema::Time<milliseconds>(50ms, 1h),
            "How often evidence is taken and weighed.");
    s.Field("max_duration", &Plan::max_duration, schema::Time<milliseconds>(1s, 24h * 365),
            "Without a verdict by then, on_inconclusive decides.");
    s.Field("on_inconclusive", &Plan::on_inconclusive,
            schema::Enum<Plan::OnInconclusive>({{"roll_back", Plan::OnInconclusive::kRollBack},
                                                {"hold", Plan::OnInconclusive::kHold},
                                                {"promote", Plan::OnInconclusive::kPromote}}),
            "What happens when max_duration passes without a verdict.");
    s.Field("warmup", &Plan::warmup, schema::Time<milliseconds>(0ms, 24h),
            "Evidence of the first moments after the start is not counted.");
    s.Check(CheckPlan);
    return s;
  }();
  return table;
}

}  // namespace leadsman
