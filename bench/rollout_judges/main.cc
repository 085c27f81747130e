// Judges made-up releases by the rules of ./dev bench rollout, Leadsman's by its own engine. Prints one JSON object.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "rollout/config_schema.h"
#include "rollout/simulation.h"
#include "rollout_judges/rules.h"
#include "rollout_judges/world.h"

namespace leadsman::bench {
namespace {

/// Of a lognormal latency: the share in each bucket of the scheme or above.
std::vector<double> LatencyTail(double factor) {
  std::vector<double> tail(LatencyScheme::kBuckets, 1.0);
  for (size_t b = 1; b < tail.size(); ++b) {
    const double ms = static_cast<double>(LatencyScheme::LowerEdge(b)) / 1e6;
    tail[b] = 0.5 * std::erfc(std::log(ms / (kMedianMs * factor)) / kSigma / std::sqrt(2.0));
  }
  return tail;
}

RolloutGate& GateOf(RolloutPlan& plan, RolloutGate::Kind kind) {
  for (RolloutGate& gate : plan.gates) {
    if (gate.kind == kind) return gate;
  }
  RolloutGate& gate = plan.gates.emplace_back();
  gate.kind = kind;
  return gate;
}

/// The plan that everybody gets; where labels are looked at, with the quality gate as it comes.
RolloutPlan DefaultPlan(const Release& release) {
  RolloutPlan plan = DefaultRolloutPlan();
  if (release.judged_by_labels) GateOf(plan, RolloutGate::Kind::kQuality);
  return plan;
}

/// The same with margins that say what is not to be missed, and no floor below which anything goes.
RolloutPlan TunedPlan(const Release& release) {
  RolloutPlan plan = DefaultPlan(release);
  for (RolloutGate& gate : plan.gates) gate.floor = 0;
  GateOf(plan, RolloutGate::Kind::kErrors).margin = 2;
  GateOf(plan, RolloutGate::Kind::kLatency).margin = 1.4;
  if (release.judged_by_labels) GateOf(plan, RolloutGate::Kind::kQuality).margin = 1.2;
  return plan;
}

Verdict JudgeByLeadsman(const Release& release, const RolloutPlan& plan, uint64_t seed) {
  constexpr uint64_t kHistory = 20'000;
  // The plan's interval; where requests are few ten of them at once, which changes nothing: evidence is gathered until both
  // versions have had requests.
  const auto tick = release.requests_per_second < 10 ? 10 * plan.interval : plan.interval;
  const double seconds = ToSeconds(tick);
  SimulatedArm stable{.wrong_rate = release.wrong_rate, .tail = LatencyTail(1)};
  SimulatedArm candidate{.wrong_rate = release.wrong_rate + release.more_wrong,
                         .tail = LatencyTail(release.latency_factor)};
  StepInput::History history;
  history.sums.requests = history.sums.timed = kHistory;
  history.sums.errors = static_cast<uint64_t>(std::llround(release.error_rate * kHistory));
  history.sums.labelled = static_cast<uint64_t>(std::llround(kLabelShare * kHistory));
  history.sums.wrong =
      static_cast<uint64_t>(std::llround(release.wrong_rate * kLabelShare * kHistory));
  history.latency = HistogramOf(stable.tail, kHistory);
  RolloutSimulation play(plan, history, seed);
  while (!play.ended()) {
    const double middle = ToSeconds(play.state().elapsed) + seconds / 2;
    stable.error_rate = release.StableErrors(middle);
    candidate.error_rate = release.CandidateErrors(middle);
    play.Tick(tick, play.Arrivals(release.requests_per_second * seconds), kLabelShare, stable,
              candidate);
  }
  const RolloutState& state = play.state();
  Verdict verdict;
  verdict.exposed = state.candidate_sums.requests;
  verdict.seconds = ToSeconds(state.elapsed);
  if (state.phase == RolloutPhase::kPromoted) {
    verdict.kind = Verdict::Kind::kPromoted;
  } else if (state.elapsed < state.plan.max_duration) {
    verdict.kind = Verdict::Kind::kRolledBack;
  }
  return verdict;
}

using Judge = std::function<Verdict(const Release&, uint64_t seed)>;
const std::vector<std::pair<std::string, Judge>>& Judges() {
  static const std::vector<std::pair<std::string, Judge>> judges = {
      {"leadsman",
       [](const Release& r, uint64_t seed) { return JudgeByLeadsman(r, DefaultPlan(r), seed); }},
      {"leadsman-tuned",
       [](const Release& r, uint64_t seed) { return JudgeByLeadsman(r, TunedPlan(r), seed); }},
      {"flagger", [](const Release& r, uint64_t seed) { return JudgeByFlagger(r, {}, seed); }},
      {"flagger-tuned",
       [](const Release& r, uint64_t seed) { return JudgeByFlagger(r, TunedLimits(r), seed); }},
      {"argo", JudgeByArgo},
      {"kayenta", JudgeByKayenta},
  };
  return judges;
}

char Letter(Verdict::Kind kind) {
  switch (kind) {
    case Verdict::Kind::kPromoted:
      return 'p';
    case Verdict::Kind::kRolledBack:
      return 'r';
    case Verdict::Kind::kNone:
      break;
  }
  return 'n';
}

int Run(const Judge& judge, const Release& release, uint64_t first, uint64_t seeds) {
  std::string kinds, exposed, seconds;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    const Verdict verdict = judge(release, seed);
    const char* comma = kinds.empty() ? "" : ",";
    kinds += Letter(verdict.kind);
    exposed += StrCat(comma, verdict.exposed);
    seconds += StrCat(comma, verdict.seconds);
  }
  std::printf("{\"worse\": %s, \"verdicts\": \"%s\", \"exposed\": [%s], \"seconds\": [%s]}\n",
              release.worse ? "true" : "false", kinds.c_str(), exposed.c_str(), seconds.c_str());
  return 0;
}

int List() {
  std::string releases, judges;
  for (const Release& release : Releases()) {
    releases += StrCat(releases.empty() ? "" : ", ", "{\"name\": \"", release.name,
                       "\", \"worse\": ", release.worse ? "true" : "false", "}");
  }
  for (const auto& [name, judge] : Judges())
    judges += StrCat(judges.empty() ? "" : ", ", "\"", name, "\"");
  std::printf("{\"releases\": [%s], \"judges\": [%s]}\n", releases.c_str(), judges.c_str());
  return 0;
}

int Main(const std::vector<std::string>& words) {
  if (words.size() == 1 && words[0] == "--list") return List();
  if (words.size() == 4) {
    const auto first = ParseInt64(words[2]), seeds = ParseInt64(words[3]);
    for (const auto& [name, judge] : Judges()) {
      for (const Release& release : Releases()) {
        if (name == words[0] && release.name == words[1] && first && seeds && *first >= 0 &&
            *seeds > 0) {
          return Run(judge, release, static_cast<uint64_t>(*first), static_cast<uint64_t>(*seeds));
        }
      }
    }
  }
  std::fprintf(stderr,
               "usage: rollout_judges JUDGE RELEASE FIRST_SEED SEEDS, or rollout_judges --list\n");
  return 2;
}

}  // namespace
}  // namespace leadsman::bench

int main(int argc, char** argv) {
  return leadsman::bench::Main(std::vector<std::string>(argv + 1, argv + argc));
}
