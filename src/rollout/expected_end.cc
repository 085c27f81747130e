#include "rollout/expected_end.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "rollout/freeze.h"
#include "rollout/words.h"

namespace leadsman {
namespace {

using Kind = ExpectedEnd::Kind;

constexpr Duration kPart = std::chrono::seconds(5);
/// What a mixture of alternatives costs beside the best of them, as in math/e_process.h.
constexpr double kPrice = 1.2;
constexpr size_t kLongestReason = 200;
constexpr double kLongest = 366.0 * 86'400;

/// A number, or why there is none.
struct Reckoned {
  double value = 0;
  std::string unknown;
};
Reckoned Unknown(std::string why) { return {0, std::move(why)}; }

/// Requests a second, of which a share goes to the candidate.
Reckoned PaceOf(const RolloutState& s, const TrafficPace& pace, const RolloutStep& step) {
  const bool split = step.weight > 0 && step.weight < 1;
  const std::optional<double> measured = split ? pace.Drawn() : pace.All();
  if (measured) return *measured > 0 ? Reckoned{*measured, ""} : Unknown("no traffic");
  // A process that has just begun goes by what the rollout has had before.
  const auto drawn = static_cast<double>(s.stable_sums.requests + s.candidate_sums.requests);
  if (drawn > 0 && s.traffic_elapsed > Duration{})
    return {drawn / ToSeconds(s.traffic_elapsed), ""};
  return Unknown("the traffic has not been measured yet");
}

double SentTo(const RolloutStep& step) { return step.mirror > 0 ? step.mirror : step.weight; }

/// Of the requests, or copies, that reach the candidate: those that a gate counts.
Reckoned CountedShare(const RolloutState& s, RolloutGate::Kind kind) {
  auto share = [](uint64_t part, uint64_t of) {
    return std::min(1.0, static_cast<double>(part) / static_cast<double>(of));
  };
  if (kind == RolloutGate::Kind::kAnswers && s.pair_sums.pairs > 0) {
    if (s.pair_sums.compared == 0) return Unknown("no answer could be compared yet");
    return {share(s.pair_sums.compared, s.pair_sums.pairs), ""};
  }
  if (kind != RolloutGate::Kind::kQuality && kind != RolloutGate::Kind::kLoss) return {1, ""};
  if (s.candidate_sums.labelled > 0 && s.candidate_sums.requests > 0)
    return {share(s.candidate_sums.labelled, s.candidate_sums.requests), ""};
  if (s.stable_sums.labelled > 0 && s.stable_sums.requests > 0)
    return {share(s.stable_sums.labelled, s.stable_sums.requests), ""};
  return Unknown("no labels have come yet");
}

/// Exposures of the candidate until a gate has shown that it is safe. At first by the plan's estimate for one that is as good,
/// and the more the further it is by how the evidence has grown.
Reckoned ExposureLeft(const RolloutState& s, const GateState& gate) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  const double bound = std::log(1 / s.plan.beta), log_e = gate.SafeLogE();
  const std::string name(NameOf(gate.config));
  if (!gate.HasThresholds()) return Unknown("the thresholds of latency have not been taken yet");
  if (log_e >= bound) return {0, ""};
  const auto seen = static_cast<double>(gate.candidate[gate.safe_index].exposure);
  const auto planned = static_cast<double>(gate.needed);
  if (seen == 0 && planned <= 0) {
    return Unknown(gate.needed < 0 ? StrCat("nothing shows that it is safe on ", name)
                                   : StrCat("what evidence on ", name, " takes is not known yet"));
  }
  const double grown = log_e + kPrice > 0.05 ? seen * (bound + kPrice) / (log_e + kPrice) : kNever;
  double whole = grown;
  if (planned > 0) {
    const double part = std::min(1.0, seen / planned);
    if (part < 0.5 && !std::isfinite(grown)) {
      whole = planned;
    } else {
      whole = part < 1 ? (1 - part) * planned + part * grown : grown;
    }
  }
  if (!std::isfinite(whole) || whole > 100 * std::max(planned, seen))
    return Unknown(StrCat("the evidence on ", name, " does not grow"));
  return {std::max(1.0, whole - seen), ""};
}

/// Until one step may be left. `present`: the rollout is in it; `judged`: gates that an earlier step has waited for.
Reckoned SecondsOf(const RolloutState& s, const TrafficPace& pace, size_t number, bool present,
                   std::vector<bool>& judged) {
  const RolloutStep& step = s.plan.steps[number];
  double seconds = ToSeconds(step.duration - (present ? s.step_elapsed : Duration{}));
  seconds = std::max(0.0, seconds);
  const double sent = SentTo(step);
  const double done = present ? static_cast<double>(s.step_requests) : 0;
  const double left = static_cast<double>(s.step_minimums[number]) - done;
  if (left > 0) {
    Reckoned rate = PaceOf(s, pace, step);
    if (!rate.unknown.empty()) return rate;
    seconds = std::max(seconds, left / (rate.value * sent));
  }
  if (s.plan.strategy == RolloutPlan::Strategy::kAb) return {seconds, ""};
  for (size_t i = 0; i < s.gates.size(); ++i) {
    const GateState& gate = s.gates[i];
    if (judged[i] || !IsJudged(step, gate.config)) continue;
    judged[i] = true;
    if (gate.SafeLogE() >= std::log(1 / s.plan.beta) && gate.HasThresholds()) continue;
    if (step.mirror > 0 && gate.config.kind == RolloutGate::Kind::kQuality)
      return Unknown("how many labelled rows will have another class is not known");
    Reckoned exposure = ExposureLeft(s, gate);
    if (!exposure.unknown.empty()) return exposure;
    Reckoned rate = PaceOf(s, pace, step);
    if (!rate.unknown.empty()) return rate;
    Reckoned share = CountedShare(s, gate.config.kind);
    if (!share.unknown.empty()) return share;
    seconds = std::max(seconds, exposure.value / (rate.value * sent * share.value));
  }
  return {seconds, ""};
}

Duration DurationOf(double seconds) {
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(std::clamp(seconds, 0.0, kLongest)));
}

/// No more exact than it is: whole seconds, minutes, quarters of an hour.
std::string Roughly(Duration d) {
  auto rounded = [&](Duration unit) { return (d + unit / 2) / unit * unit; };
  if (d < std::chrono::minutes(2)) return words::Span(rounded(std::chrono::seconds(1)));
  if (d < std::chrono::hours(2)) return words::Span(rounded(std::chrono::minutes(1)));
  return words::Span(rounded(std::chrono::minutes(15)));
}
/// "14:32 UTC", or with its day when that is another one.
std::string MomentName(WallTime at, Duration in) {
  const std::string name = MinuteName(at);
  return in < std::chrono::hours(20) ? name.substr(name.find(' ', name.find(' ') + 1) + 1) : name;
}

ExpectedEnd Plain(Kind kind, std::string text) {
  ExpectedEnd end;
  end.kind = kind;
  end.text = std::move(text);
  return end;
}
ExpectedEnd At(const RolloutState& s, Kind kind, Duration in, const std::string& what,
               const std::string& after) {
  ExpectedEnd end;
  end.kind = kind;
  end.in = in;
  end.at = s.last_tick + in;
  end.text = StrCat(what, " about ", MomentName(end.at, in), " (in ", Roughly(in), ")", after);
  return end;
}

/// Gates outside, whose answers nobody knows before: ", if p99 passes".
std::string IfTheyPass(const RolloutState& s) {
  std::vector<std::string> names;
  for (const GateState& gate : s.gates) {
    if (IsOutside(gate.config.kind)) names.emplace_back(NameOf(gate.config));
  }
  if (names.empty()) return "";
  return StrCat(", if ", HumanList(names), names.size() == 1 ? " passes" : " pass");
}

/// What is expected when max_duration is over first.
ExpectedEnd TimeOver(const RolloutState& s, Duration left, double needed) {
  const char* then = "then it is rolled back";
  if (s.plan.on_inconclusive == RolloutPlan::OnInconclusive::kHold) then = "then it is held";
  if (s.plan.on_inconclusive == RolloutPlan::OnInconclusive::kPromote)
    then = "then on_inconclusive promotes it";
  return At(s, Kind::kTimeOver, left, "max_duration is over",
            StrCat(", before the ", Roughly(DurationOf(needed)),
                   " that its steps take at this traffic: ", then));
}

ExpectedEnd OfSteps(const RolloutState& s, const TrafficPace& pace) {
  if (s.step_minimums.empty())
    return Plain(Kind::kUnknown, "unknown: nothing has been counted yet");
  if (const std::string awaited = AwaitedBesidesTraffic(s); !awaited.empty())
    return Plain(Kind::kUnknown, StrCat("unknown: waits for ", awaited));
  const Duration time_left = s.plan.max_duration - (s.elapsed - s.person_elapsed);
  std::vector<bool> judged(s.gates.size(), false);
  double seconds = 0, frozen = 0;  // of the seconds; max_duration counts no freeze
  const size_t steps = s.plan.steps.size();
  for (size_t i = static_cast<size_t>(s.step); i < steps; ++i) {
    const Reckoned step = SecondsOf(s, pace, i, static_cast<int>(i) == s.step, judged);
    if (!step.unknown.empty()) return Plain(Kind::kUnknown, "unknown: " + step.unknown);
    seconds += step.value;
    if (DurationOf(seconds - frozen) > time_left)
      return TimeOver(s, std::max(Duration{}, time_left) + DurationOf(frozen), seconds - frozen);
    const Duration in = DurationOf(seconds);
    const bool approved = static_cast<int>(i) == s.step && s.approval.approved;
    if (s.plan.steps[i].approval && !approved) {
      const bool test = s.plan.strategy == RolloutPlan::Strategy::kAb;
      return At(
          s, Kind::kApproval, in,
          test ? std::string("the end of the test, at which a person decides, expected")
               : StrCat("approval of step ", i + 1, " of ", steps, " expected to be asked for"),
          StrCat(" at this traffic", IfTheyPass(s)));
    }
    // No step is left in a freeze.
    if (const auto until = FrozenUntil(s.plan.freeze, s.last_tick + in)) {
      const double wait = ToSeconds(*until - (s.last_tick + in));
      seconds += wait;
      frozen += wait;
    }
  }
  const bool test = s.plan.strategy == RolloutPlan::Strategy::kAb;
  const bool rolling = s.plan.strategy == RolloutPlan::Strategy::kRolling;
  return At(s, test ? Kind::kEndOfTest : Kind::kPromotion, DurationOf(seconds),
            test ? "the end of the test expected" : "promotion expected",
            StrCat(" at this traffic", IfTheyPass(s),
                   rolling ? ", if its endpoints are ready by then" : ""));
}

}  // namespace

void TrafficPace::Add(Duration elapsed, uint64_t drawn, uint64_t all) {
  if (elapsed <= Duration{}) return;
  if (parts_.empty() || parts_.back().length >= kPart) parts_.emplace_back();
  for (Part* part : {&parts_.back(), &sums_}) {
    part->length += elapsed;
    part->drawn += drawn;
    part->all += all;
  }
  while (parts_.size() > 1 && sums_.length - parts_.front().length >= kSpan) {
    sums_.length -= parts_.front().length;
    sums_.drawn -= parts_.front().drawn;
    sums_.all -= parts_.front().all;
    parts_.pop_front();
  }
}

std::optional<double> TrafficPace::Drawn() const {
  if (sums_.length < kLeast) return std::nullopt;
  return static_cast<double>(sums_.drawn) / ToSeconds(sums_.length);
}
std::optional<double> TrafficPace::All() const {
  if (sums_.length < kLeast) return std::nullopt;
  return static_cast<double>(sums_.all) / ToSeconds(sums_.length);
}

std::string_view ExpectedEndName(ExpectedEnd::Kind kind) {
  switch (kind) {
    case Kind::kPromotion:
      return "promotion";
    case Kind::kEndOfTest:
      return "end_of_test";
    case Kind::kApproval:
      return "approval";
    case Kind::kProbationOver:
      return "probation_over";
    case Kind::kTimeOver:
      return "time_over";
    case Kind::kHeld:
      return "held";
    case Kind::kUnknown:
      return "unknown";
  }
  return "unknown";
}

std::optional<ExpectedEnd> ExpectEnd(const RolloutState& s, const TrafficPace& pace) {
  if (HasEnded(s.phase)) return std::nullopt;
  if (s.phase == RolloutPhase::kProbation) {
    return At(s, Kind::kProbationOver, std::max(Duration{}, s.plan.probation - s.probation_elapsed),
              "probation is over", ", if nothing comes up");
  }
  if (!s.paused_by.empty()) return Plain(Kind::kHeld, StrCat("held: paused by ", s.paused_by));
  if (s.awaits_approval) return Plain(Kind::kApproval, "waits for approval");
  if (s.frozen) {
    const WallTime until = FrozenUntil(s.plan.freeze, s.last_tick).value_or(s.last_tick);
    return Plain(Kind::kHeld, StrCat("held: frozen until ", MinuteName(until)));
  }
  if (s.phase == RolloutPhase::kHeld) {
    const bool cut = s.reason.size() > kLongestReason;
    const bool said = s.reason.starts_with("held");
    return Plain(Kind::kHeld,
                 StrCat(said ? "" : "held: ", CutUtf8(s.reason, kLongestReason), cut ? "…" : ""));
  }
  return OfSteps(s, pace);
}

}  // namespace leadsman
