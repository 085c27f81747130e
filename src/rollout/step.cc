#include "rollout/step.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "base/rng.h"
#include "base/strings.h"
#include "math/false_discovery.h"
#include "math/rate_difference.h"
#include "rollout/freeze.h"
#include "rollout/words.h"

namespace leadsman {
namespace {

using words::Count;
using words::EValue;
using words::Percent;
using words::Span;

constexpr int kMostBatches = 49;
constexpr double kMostUnsent = 0.05;      // of a step's copies
constexpr uint64_t kPlanningNeeded = 50;  // exposures, before an event rate is worth planning with
/// What may pass by itself: a split that is off while one version answers late, a version that loads again.
constexpr Duration kPatience = std::chrono::seconds(60);
/// What holds a rollout for longer is told to people; and is over for them when it has been for as long.
constexpr Duration kHeldTold = std::chrono::seconds(60);

std::string VersionName(int64_t version) { return StrCat("version ", version); }

/// Gates that share alpha: those that count by themselves.
size_t CountingGates(const RolloutState& s) {
  return static_cast<size_t>(
      std::count_if(s.gates.begin(), s.gates.end(),
                    [](const GateState& gate) { return !IsOutside(gate.config.kind); }));
}
/// What a harmed segment is taken back for has its part of alpha.
bool SegmentsRollBack(const RolloutState& s) {
  return s.plan.segments && s.plan.segments->on_harm == SegmentOptions::OnHarm::kRollBack;
}
double GatesWeight(const RolloutState& s) {
  double sum = 0;
  for (const GateState& gate : s.gates) sum += IsOutside(gate.config.kind) ? 0 : gate.config.weight;
  return sum;
}
/// What alpha is shared by. With no gate that counts it is one that would.
double AllWeight(const RolloutState& s) {
  const double gates = GatesWeight(s) + (SegmentsRollBack(s) ? 1 : 0);
  return gates > 0 ? gates : 1;
}
double HarmBound(const RolloutState& s, const RolloutGate& gate) {
  return std::log(AllWeight(s) / gate.weight / s.plan.alpha);
}
/// What minimums are planned by: of errors, or of the gate with the largest part, or of one that would be there alone.
double MinimumsBound(const RolloutState& s) {
  const RolloutGate* found = nullptr;
  for (const GateState& gate : s.gates) {
    if (IsOutside(gate.config.kind)) continue;
    if (gate.config.kind == RolloutGate::Kind::kErrors) return HarmBound(s, gate.config);
    if (found == nullptr || gate.config.weight > found->weight) found = &gate.config;
  }
  return found == nullptr ? std::log(AllWeight(s) / s.plan.alpha) : HarmBound(s, *found);
}
/// The segments' part of alpha: that of one gate more, of weight 1.
double SegmentsAlpha(const RolloutState& s) { return s.plan.alpha / (GatesWeight(s) + 1); }
bool SharesAlike(const RolloutState& s) {
  return std::all_of(s.gates.begin(), s.gates.end(),
                     [](const GateState& gate) { return gate.config.weight == 1; });
}
double AlphaOf(const RolloutState& s, const RolloutGate& gate) {
  return s.plan.alpha * gate.weight / AllWeight(s);
}
/// Places of the gates that look at segments.
std::vector<size_t> SegmentGates(const RolloutState& s) {
  std::vector<size_t> gates;
  for (size_t i = 0; i < s.gates.size(); ++i) {
    if (LooksAtSegments(s.gates[i].config.kind)) gates.push_back(i);
  }
  return gates;
}
/// How many tests there may be: known from the start, whoever comes.
size_t SegmentTests(const RolloutState& s) {
  return static_cast<size_t>(s.plan.segments.value_or(SegmentOptions{}).max) *
         SegmentGates(s).size();
}
double SafeBound(const RolloutState& s) { return std::log(1 / s.plan.beta); }

const RolloutStep& PresentStep(const RolloutState& s) {
  return s.plan.steps[static_cast<size_t>(s.step)];
}

/// Steps in which there is a split to check share alpha.
double SplitBound(const RolloutState& s) {
  const auto splits = std::count_if(s.plan.steps.begin(), s.plan.steps.end(), [](const auto& step) {
    return step.weight > 0 && step.weight < 1;
  });
  return std::log(static_cast<double>(std::max<std::ptrdiff_t>(1, splits)) /
                  s.plan.sample_ratio_alpha);
}

/// As it is carried out: routers count in ten-thousandths.
double AppliedShare(double share) {
  return static_cast<double>(std::lround(share * 10'000)) / 10'000;
}

/// The split has been shown to be another one, or may be about to.
bool SplitInDoubt(const RolloutState& s) {
  if (s.plan.sample_ratio_alpha <= 0) return false;
  return s.split.mismatch ||
         s.split.counts.LogE(AppliedShare(PresentStep(s).weight)) >= SplitBound(s);
}

/// The candidate gets copies.
bool IsMirroring(const RolloutState& s) { return PresentStep(s).mirror > 0; }
/// The candidate gets neither requests nor copies.
bool IsAtRest(const RolloutStep& step) { return step.weight == 0 && step.mirror == 0; }
/// Of all answers that are compared, those of the candidate: to each copy there is an original.
double ComparedShare(const RolloutStep& step) { return step.mirror > 0 ? 0.5 : step.weight; }

bool IsBlueGreen(const RolloutState& s) {
  return s.plan.strategy == RolloutPlan::Strategy::kBlueGreen;
}
bool IsAb(const RolloutState& s) { return s.plan.strategy == RolloutPlan::Strategy::kAb; }
AbOptions AbOf(const RolloutState& s) { return s.plan.ab.value_or(AbOptions{}); }

/// Copies that the candidate has answered, and not with an error.
uint64_t AnsweredWell(const PairDelta& pairs) {
  return pairs.pairs - std::min(pairs.pairs, pairs.candidate_failed + pairs.both_failed);
}
/// Too many copies were not sent for the candidate's sake: those that it has answered are not all that it would have to.
bool LacksCopies(const RolloutState& s) {
  if (!IsMirroring(s)) return false;
  const auto unsent = static_cast<double>(s.step_unsent);
  return unsent > kMostUnsent * (unsent + static_cast<double>(s.step_requests));
}

bool IsRolling(const RolloutState& s) { return s.plan.strategy == RolloutPlan::Strategy::kRolling; }
/// The candidate has all traffic, and the stable version may be gone by then: blue/green after its switch, and the last batch.
bool IsSwitched(const RolloutState& s) {
  return (IsBlueGreen(s) || IsRolling(s)) && PresentStep(s).weight >= 1;
}

/// Of such a duration, before time is over.
int MostBatches(std::chrono::milliseconds duration, std::chrono::milliseconds time) {
  if (duration.count() <= 0) return kMostBatches;
  return static_cast<int>(std::min<int64_t>(kMostBatches, (time.count() - 1) / duration.count()));
}

/// Endpoints of the candidate that a rolling step needs.
int Needed(const RolloutState& s, const RolloutStep& step) {
  const double allowed = 1 - s.plan.rolling.value_or(RollingOptions{}).max_unavailable;
  // Of 3 and 1/3 the product is a hair above 1.
  return static_cast<int>(std::ceil(step.weight * s.replicas.all * allowed - 1e-9));
}

/// What a rolling one lacks to enter its next step, or to end; empty: nothing.
std::string MissingEndpoints(const RolloutState& s) {
  if (!IsRolling(s)) return "";
  const size_t next = std::min(static_cast<size_t>(s.step) + 1, s.plan.steps.size() - 1);
  const int needed = Needed(s, s.plan.steps[next]);
  if (s.replicas.ready >= needed) return "";
  return StrCat(needed, " of ", s.replicas.all, " endpoints of ", VersionName(s.candidate),
                " to be ready (", s.replicas.ready, s.replicas.ready == 1 ? " is)" : " are)");
}

/// "of 40 labelled rows with another class version 3 had 31 wrong and version 2 had 8"
std::string FlipComparison(const RolloutState& s, const GateState::Flips& flips) {
  std::string text =
      StrCat(Count(flips.differing), " of ", Count(flips.compared), " answers of ",
             VersionName(s.candidate), " had another class than those of ", VersionName(s.stable),
             " (", Percent(flips.differing, flips.compared), ")");
  if (flips.labelled() == 0) return text;
  return StrCat(text, "; of ", Count(flips.labelled()), " labelled rows of these ",
                VersionName(s.candidate), " had ", Count(flips.candidate_wrong + flips.both_wrong),
                " wrong and ", VersionName(s.stable), " ",
                Count(flips.stable_wrong + flips.both_wrong));
}

/// Of a mean loss, in its own units.
std::string LossText(double mean) { return words::Significant(mean, 3); }

/// "the mean absolute error of version 3 is 4.12 (203 labelled answers), that of version 2 3.31 (1,840)"
std::string LossComparison(const RolloutState& s, const GateState& gate) {
  const LossEvidence& loss = *gate.loss;
  const LossSums &mine = loss.candidate, &theirs = loss.stable;
  auto mean = [&](const LossSums& of) {
    return of.count == 0 ? "not known" : LossText(loss.InUnits(of.Mean()));
  };
  std::string text =
      StrCat("the mean ", LossMetricWords(loss.measure.metric), " of ", VersionName(s.candidate),
             " is ", mean(mine), " (", Count(mine.count), " labelled answers), ");
  text += gate.config.max ? StrCat("the bound is ", LossText(*gate.config.max))
                          : StrCat("that of ", VersionName(s.stable), " ", mean(theirs), " (",
                                   Count(theirs.count), ")");
  const uint64_t clipped = mine.clipped + theirs.clipped;
  if (clipped > 0) {
    text += StrCat("; above ", LossText(loss.measure.highest), ", and counted as that, were ",
                   Count(mine.clipped), " and ", Count(theirs.clipped));
  }
  return text;
}

/// "61 of 203 labelled answers of version 3 were wrong (30 %), version 2: 12 of 1,840 (0.65 %)"
std::string Comparison(const RolloutState& s, const GateState& gate, size_t index) {
  std::string what, became;
  const bool paired = gate.config.kind == RolloutGate::Kind::kQuality && gate.flips.compared > 0;
  if (paired && gate.candidate[index].exposure == 0) return FlipComparison(s, gate.flips);
  switch (gate.config.kind) {
    case RolloutGate::Kind::kErrors:
      what = "requests to ";
      became = "were answered with an error";
      break;
    case RolloutGate::Kind::kLatency:
      what = "answers of ";
      became = StrCat("took ", Span(Duration(LatencyScheme::LowerEdge(s.thresholds[index]))),
                      " or longer");
      break;
    case RolloutGate::Kind::kQuality:
      what = "labelled answers of ";
      became = "were wrong";
      break;
    case RolloutGate::Kind::kLoss:
      return LossComparison(s, gate);
    case RolloutGate::Kind::kAnswers:
      what = "answers of ";
      became = StrCat(
          gate.config.only_classes ? "had another class than those of " : "differed from those of ",
          VersionName(s.stable));
      break;
    case RolloutGate::Kind::kPromql:
    case RolloutGate::Kind::kWebhook:
      return gate.outside.said;
  }
  const ArmCounts &mine = gate.candidate[index], &theirs = gate.stable[index];
  std::string counted =
      StrCat(Count(mine.events), " of ", Count(mine.exposure), " ", what, VersionName(s.candidate),
             " ", became, " (", Percent(mine.events, mine.exposure), ")");
  if (gate.config.max) return StrCat(counted, ", the bound is ", Percent(*gate.config.max));
  return StrCat(counted, ", ", VersionName(s.stable), ": ", Count(theirs.events), " of ",
                Count(theirs.exposure), " (", Percent(theirs.events, theirs.exposure), ")",
                paired ? StrCat("; of copies, ", FlipComparison(s, gate.flips)) : "");
}

/// "4,210 of 30,000 requests (14 %) went to version 3, 10 % should have (e-value 5.1e9 >= 3000)"
std::string SplitComparison(const RolloutState& s) {
  const SampleRatio& counts = s.split.counts;
  const uint64_t all = counts.candidate + counts.stable;
  const double share = AppliedShare(PresentStep(s).weight);
  return StrCat(Count(counts.candidate), " of ", Count(all), " requests (",
                Percent(counts.candidate, all), ") went to ", VersionName(s.candidate), ", ",
                Percent(share), " should have (e-value ", EValue(counts.LogE(share)),
                " >= ", EValue(SplitBound(s)), ")");
}

std::string Exposed(const RolloutState& s) {
  uint64_t mine = s.candidate_sums.requests, all = mine + s.stable_sums.requests;
  const uint64_t copies = s.pair_sums.pairs;
  return StrCat(
      VersionName(s.candidate), " was drawn for ", Count(mine),
      mine == 1 ? " request" : " requests", all == 0 ? "" : StrCat(" (", Percent(mine, all), ")"),
      copies == 0 ? "" : StrCat(" and for ", Count(copies), copies == 1 ? " copy" : " copies"));
}

std::string Signed(double difference) {
  return StrCat(difference < 0 ? "-" : "+", Percent(std::abs(difference)));
}

/// "errors (answered with an error) 2.1 % of 9,800 with version 3, 3 % of 10,200 with version 2, a difference of …"
std::string ReadoutWords(const RolloutState& s) {
  std::vector<std::string> parts;
  for (const ReadoutView& one : MakeReadout(s)) {
    auto rate = [](uint64_t events, uint64_t exposure) {
      return exposure == 0 ? 0 : static_cast<double>(events) / static_cast<double>(exposure);
    };
    const double mine = rate(one.candidate_events, one.candidate_exposure);
    const double theirs = rate(one.stable_events, one.stable_exposure);
    parts.push_back(StrCat(
        one.metric, " (", one.event, ") ", Percent(mine), " of ", Count(one.candidate_exposure),
        " with ", VersionName(s.candidate), ", ", Percent(theirs), " of ",
        Count(one.stable_exposure), " with ", VersionName(s.stable), ", a difference of ",
        Signed(mine - theirs), " (between ", Signed(one.low), " and ", Signed(one.high), "): ",
        one.verdict == ReadoutView::Verdict::kOpen
            ? "none is shown to be better"
            : StrCat(VersionName(one.verdict == ReadoutView::Verdict::kBetter ? s.candidate
                                                                              : s.stable),
                     " is better")));
  }
  return StrCat("readout at ", Percent(AbOf(s).confidence), " confidence: ", Join(parts, "; "));
}

std::string AbWhere(const RolloutState& s) {
  return StrCat("A/B test, ", Percent(PresentStep(s).weight), " to ", VersionName(s.candidate));
}
/// Before a readout, at the end of a test.
std::string AtItsEnd(const RolloutState& s) {
  return StrCat(AbWhere(s), ", at its end: promote or abort it; ");
}
/// Whether this tick leaves a readout as it was.
bool KeepsReadout(const RolloutState& s, const StepInput& in) {
  auto empty = [](const ArmDelta& d) {
    return d.requests == 0 && d.errors == 0 && d.timed == 0 && d.labelled == 0 && d.wrong == 0;
  };
  if (!empty(in.candidate_window) || !empty(in.stable_window)) return false;
  // From a history a latency gate may have taken its thresholds in this tick.
  const bool gets_threshold =
      in.history && std::any_of(s.gates.begin(), s.gates.end(), [](const GateState& gate) {
        return gate.config.kind == RolloutGate::Kind::kLatency;
      });
  return !gets_threshold;
}

/// Whom the readout favours in all that it shows, and in something: the candidate or the stable version; 0: neither.
int64_t Winner(const RolloutState& s) {
  int64_t winner = 0;
  for (const ReadoutView& one : MakeReadout(s)) {
    if (one.verdict == ReadoutView::Verdict::kOpen) continue;
    const int64_t better = one.verdict == ReadoutView::Verdict::kBetter ? s.candidate : s.stable;
    if (winner != 0 && winner != better) return 0;
    winner = better;
  }
  return winner;
}

void End(RolloutState& s, RolloutPhase phase, std::string reason) {
  s.phase = phase;
  s.reason = std::move(reason);
  s.reason_is_readout = false;
  s.ended = s.last_tick;
}

void FoldWindow(RolloutState& s, const StepInput& in) {
  const ArmDelta &mine = in.candidate_window, &theirs = in.stable_window;
  for (GateState& gate : s.gates) {
    switch (gate.config.kind) {
      case RolloutGate::Kind::kErrors:
        gate.Fold(0, {mine.requests, mine.errors}, {theirs.requests, theirs.errors});
        break;
      case RolloutGate::Kind::kQuality:
        gate.Fold(0, {mine.labelled, mine.wrong}, {theirs.labelled, theirs.wrong});
        break;
      case RolloutGate::Kind::kLoss:
        gate.FoldLosses(mine, theirs);
        break;
      case RolloutGate::Kind::kLatency:
        if (mine.slow.size() != s.thresholds.size() || theirs.slow.size() != s.thresholds.size()) {
          break;  // counted before the thresholds were fixed
        }
        for (size_t k = 0; k < s.thresholds.size(); ++k) {
          gate.Fold(k, {mine.timed, mine.slow[k]}, {theirs.timed, theirs.slow[k]});
        }
        break;
      case RolloutGate::Kind::kAnswers:
        break;  // FoldPairs
      case RolloutGate::Kind::kPromql:
      case RolloutGate::Kind::kWebhook:
        break;  // TakeReadings
    }
  }
}

/// Copies that were sent in a step may be answered, and labelled, in a later one: pairs are pairs.
void FoldPairs(RolloutState& s, const PairDelta& pairs) {
  for (GateState& gate : s.gates) {
    switch (gate.config.kind) {
      case RolloutGate::Kind::kErrors:
        gate.FoldPairs(
            0, {pairs.pairs, pairs.candidate_failed, pairs.stable_failed, pairs.both_failed});
        break;
      case RolloutGate::Kind::kQuality:
        if (!gate.config.max) gate.FoldFlips(pairs);
        break;
      case RolloutGate::Kind::kLoss:
        break;  // plans that mirror have none
      case RolloutGate::Kind::kAnswers:
        gate.Fold(0, {pairs.compared, gate.config.only_classes ? pairs.flips : pairs.differing},
                  {});
        break;
      case RolloutGate::Kind::kLatency:
        if (pairs.candidate_slow.size() != s.thresholds.size() ||
            pairs.stable_slow.size() != s.thresholds.size()) {
          break;  // counted before the thresholds were fixed
        }
        // Which of them were slow for the same request is not known.
        for (size_t k = 0; k < s.thresholds.size(); ++k)
          gate.FoldPairs(k, {pairs.timed, pairs.candidate_slow[k], pairs.stable_slow[k], 0});
        break;
      case RolloutGate::Kind::kPromql:
      case RolloutGate::Kind::kWebhook:
        break;  // TakeReadings
    }
  }
}

/// Counts a window that was split by `share`, once those of the present split are all that it has. An e-value beyond its
/// bound is a mismatch when it stays there: requests are counted when they are answered, so a burst that one version answers
/// later looks like one for as long as its answers take.
void CountSplit(RolloutState& s, const StepInput& in, double share, Duration elapsed) {
  constexpr Duration kLeast = std::chrono::seconds(2);
  SplitState& split = s.split;
  if (split.mismatch || s.plan.sample_ratio_alpha <= 0 || share <= 0 || share >= 1) return;
  if (elapsed == Duration{} || !in.blocked.empty() || !in.stable_ready) {
    // Who knows how this window was split.
    split.WaitAnew();
    return;
  }
  const Duration settled = std::max(kLeast, Duration(2 * in.longest_answer));
  const Duration patience = std::max(kPatience, settled);
  if (!split.answered) {
    split.answered = in.candidate_window.requests > 0;
    if (split.answered) split.since = {};
    if (split.answered || in.stable_window.requests == 0) return;
    // One that gets nothing answers nothing: it is not waited for beyond this.
    split.since += elapsed;
    split.answered = split.since >= patience;
    return;
  }
  split.since += elapsed;
  if (split.waited == Duration{}) {
    if (split.since >= settled) split.waited = split.since;
    return;
  }
  if (split.waited < settled) {
    // Answers take longer than was known: the fast ones of both versions alone have been counted.
    split.counts = {};
    split.waited = {};
  } else {
    split.counts.candidate += in.candidate_window.requests;
    split.counts.stable += in.stable_window.requests;
  }
  if (split.counts.LogE(share) < SplitBound(s)) {
    split.crossed = {};
  } else if (split.crossed == Duration{}) {
    split.crossed = split.since;
  } else {
    split.mismatch = split.since - split.crossed >= patience;
  }
}

/// What an answer says, in words: "0.83 is above 0.5".
std::string Said(const RolloutGate& gate, const OutsideReading& reading) {
  using Kind = OutsideReading::Kind;
  switch (reading.kind) {
    case Kind::kValue: {
      const std::string value = words::Significant(reading.value, 4);
      const std::optional<double>&low = gate.outside.min, &high = gate.max;
      if (high && reading.value > *high)
        return StrCat(value, " is above ", words::Significant(*high, 4));
      if (low && reading.value < *low)
        return StrCat(value, " is below ", words::Significant(*low, 4));
      return StrCat(value, " is within its bounds");
    }
    case Kind::kNoData:
      return reading.reason.empty() ? "no data" : StrCat("no data: ", reading.reason);
    case Kind::kPass:
      return reading.reason.empty() ? "pass" : StrCat("pass: ", reading.reason);
    case Kind::kFail:
      return reading.reason.empty() ? "fail" : StrCat("fail: ", reading.reason);
    case Kind::kHold:
      return reading.reason.empty() ? "hold" : StrCat("hold: ", reading.reason);
    case Kind::kNoAnswer:
      return StrCat("no answer: ", reading.reason);
  }
  return "no answer";
}

/// True: it passes; false: it fails; nothing: neither.
std::optional<bool> Judged(const RolloutGate& gate, const OutsideReading& reading) {
  switch (reading.kind) {
    case OutsideReading::Kind::kValue:
      return !(gate.max && reading.value > *gate.max) &&
             !(gate.outside.min && reading.value < *gate.outside.min);
    case OutsideReading::Kind::kPass:
      return true;
    case OutsideReading::Kind::kFail:
      return false;
    case OutsideReading::Kind::kNoData:
      if (gate.outside.on_no_data == OutsideOptions::OnNoData::kFail) return false;
      return std::nullopt;
    case OutsideReading::Kind::kHold:
    case OutsideReading::Kind::kNoAnswer:
      return std::nullopt;
  }
  return std::nullopt;
}

void TakeReading(const RolloutState& s, GateState& gate, const OutsideReading& reading) {
  OutsideState& outside = gate.outside;
  outside.age = {};
  outside.said = Said(gate.config, reading);
  const std::optional<bool> passed = Judged(gate.config, reading);
  outside.passes = passed.value_or(false) && reading.step == s.step;
  outside.asked = reading.step_elapsed;
  if (!passed) {
    ++outside.open;
  } else if (*passed) {
    ++outside.passed;
    outside.failures = 0;
  } else {
    ++outside.failed;
    ++outside.failures;
  }
}

/// `counts`: the candidate was there and warm; otherwise answers are not about it.
void TakeReadings(RolloutState& s, const StepInput& in, Duration elapsed, bool counts) {
  for (GateState& gate : s.gates) {
    if (!IsOutside(gate.config.kind)) continue;
    gate.outside.age += elapsed;
    // What another process was told may be long ago.
    if (elapsed == Duration{}) gate.outside.passes = false;
  }
  if (!counts) return;
  for (const OutsideReading& reading : in.readings) {
    if (reading.gate >= s.gates.size()) continue;
    GateState& gate = s.gates[reading.gate];
    if (WantsToAsk(s, gate.config)) TakeReading(s, gate, reading);
  }
}

/// An answer of the webhook that is asked for the approval of the present step. What it said while the rollout was elsewhere, or
/// after a person's word, is nobody's.
void TakeApprovals(RolloutState& s, const StepInput& in, Duration elapsed) {
  if (WantsApproval(s) == nullptr) return;
  s.approval.waited += elapsed;
  for (const OutsideReading& reading : in.readings) {
    if (reading.gate != kApprovalQuestion || reading.step != s.step || !s.approval.open()) continue;
    using Kind = OutsideReading::Kind;
    s.approval.approved = reading.kind == Kind::kPass;
    s.approval.refused = reading.kind == Kind::kFail;
    if (s.approval.open()) ++s.approval.tries;
    s.approval.said =
        reading.kind == Kind::kNoAnswer ? StrCat("no answer: ", reading.reason) : reading.reason;
  }
  if (s.approval.open() && s.approval.waited >= PresentStep(s).approval.webhook->deadline)
    s.approval.given_up = true;
  // From here on it waits for a person alone, who is told once more, when nothing else is lacking.
  if (s.approval.refused || s.approval.given_up) s.told.waiting = false;
}

/// What a step that waits for approval waits for, in words.
std::string ApprovalWords(const RolloutState& s) {
  const auto& hook = PresentStep(s).approval.webhook;
  if (!hook) return "promote or abort it";
  const ApprovalState& approval = s.approval;
  const std::string who = StrCat("webhook ", HostOf(hook->url));
  const std::string said = approval.said.empty() ? "" : StrCat(": ", approval.said);
  if (approval.refused) return StrCat(who, " has refused it", said, "; promote or abort it");
  if (approval.given_up) {
    return StrCat(who, " has not answered within ", Span(hook->deadline),
                  approval.said.empty() ? "" : StrCat(" (the last: ", approval.said, ")"),
                  "; promote or abort it");
  }
  return StrCat(who, " is asked",
                approval.said.empty() ? "" : StrCat(" (the last: ", approval.said, ")"),
                ", or promote or abort it");
}

void CloseWindows(RolloutState& s) {
  for (GateState& gate : s.gates) gate.CloseWindows();
  for (SegmentState& segment : s.segments) {
    for (SegmentEvidence& evidence : segment.gates) evidence.CloseWindow();
  }
}

/// Null: there is no room for one more. Whose evidence is looked at goes by traffic alone.
SegmentState* SegmentOf(RolloutState& s, const std::string& name) {
  for (SegmentState& segment : s.segments) {
    if (segment.name == name) return &segment;
  }
  if (static_cast<int>(s.segments.size()) >= s.plan.segments->max) return nullptr;
  SegmentState& segment = s.segments.emplace_back();
  segment.name = name;
  segment.gates.resize(SegmentGates(s).size());
  return &segment;
}

/// `judged`: it is evidence, of requests that were split as the present step says.
void TakeSegments(RolloutState& s, const StepInput& in, bool judged) {
  if (!s.plan.segments) return;
  const std::vector<size_t> gates = SegmentGates(s);
  for (const SegmentDelta& delta : in.segments) {
    SegmentState* const segment = SegmentOf(s, delta.name);
    if (segment == nullptr) continue;
    Add(segment->stable_requests, delta.stable_requests);
    Add(segment->candidate_requests, delta.candidate_requests);
    Add(segment->stable_labels, delta.stable_labels);
    Add(segment->candidate_labels, delta.candidate_labels);
    for (size_t i = 0; judged && i < gates.size(); ++i) {
      const RolloutGate& gate = s.gates[gates[i]].config;
      if (gate.kind == RolloutGate::Kind::kErrors) {
        segment->gates[i].Fold(gate, delta.candidate_requests, delta.stable_requests);
      } else {
        segment->gates[i].Fold(gate, delta.candidate_labels, delta.stable_labels);
      }
    }
  }
}

/// A test of a segment that has found harm, as e-BH says of all of them: places in `segments` and in SegmentGates.
struct Harmed {
  size_t segment = 0, gate = 0;
};
std::vector<Harmed> HarmedSegments(const RolloutState& s) {
  std::vector<Harmed> tests, harmed;
  std::vector<double> log_e;
  for (size_t i = 0; i < s.segments.size(); ++i) {
    for (size_t k = 0; k < s.segments[i].gates.size(); ++k) {
      tests.push_back({i, k});
      log_e.push_back(s.segments[i].gates[k].harm.log_e());
    }
  }
  for (size_t named : NameDiscoveries(log_e, SegmentTests(s), SegmentsAlpha(s)))
    harmed.push_back(tests[named]);
  return harmed;
}

/// "errors in tenant=acme: 40 of 200 requests to version 2 were answered with an error (20 %), version 1: …; e-value 1.2e9"
std::string HarmIn(const RolloutState& s, const Harmed& test) {
  const SegmentState& segment = s.segments[test.segment];
  const SegmentEvidence& evidence = segment.gates[test.gate];
  const RolloutGate& gate = s.gates[SegmentGates(s)[test.gate]].config;
  const bool errors = gate.kind == RolloutGate::Kind::kErrors;
  const ArmCounts &mine = evidence.candidate, &theirs = evidence.stable;
  return StrCat(
      GateName(gate.kind), " in ", segment.name, ": ", Count(mine.events), " of ",
      Count(mine.exposure), errors ? " requests to " : " labelled answers of ",
      VersionName(s.candidate), errors ? " were answered with an error (" : " were wrong (",
      Percent(mine.events, mine.exposure), ")",
      gate.max ? StrCat(", the bound is ", Percent(*gate.max))
               : StrCat(", ", VersionName(s.stable), ": ", Count(theirs.events), " of ",
                        Count(theirs.exposure), " (", Percent(theirs.events, theirs.exposure), ")"),
      "; e-value ", EValue(evidence.harm.log_e()));
}

/// Those that are harmed, in words; empty: none is.
std::string HarmInSegments(const RolloutState& s) {
  constexpr size_t kMostTold = 3;
  const std::vector<Harmed> harmed = HarmedSegments(s);
  if (harmed.empty()) return "";
  std::vector<std::string> parts;
  for (size_t i = 0; i < std::min(harmed.size(), kMostTold); ++i)
    parts.push_back(HarmIn(s, harmed[i]));
  if (harmed.size() > kMostTold)
    parts.push_back(StrCat("and ", harmed.size() - kMostTold, " more"));
  return StrCat(Join(parts, "; "), " (e-BH over ", SegmentTests(s),
                " tests: of what it names at most ", Percent(SegmentsAlpha(s)), " is by chance)");
}

void TakeHistory(RolloutState& s, const StepInput::History& history) {
  const bool first = s.ticks == 1;
  for (GateState& gate : s.gates) {
    switch (gate.config.kind) {
      case RolloutGate::Kind::kErrors:
        if (first) gate.before = {history.sums.requests, history.sums.errors};
        break;
      case RolloutGate::Kind::kQuality:
        if (first) gate.before = {history.sums.labelled, history.sums.wrong};
        break;
      case RolloutGate::Kind::kLoss:
        if (first) gate.loss->before = history.sums.losses;
        break;
      case RolloutGate::Kind::kAnswers:
      case RolloutGate::Kind::kPromql:
      case RolloutGate::Kind::kWebhook:
        break;
      case RolloutGate::Kind::kLatency: {
        uint64_t timed = CountAll(history.latency);
        auto take_before = [&](uint32_t threshold) {
          gate.before.exposure = timed;
          for (const auto& [bucket, count] : history.latency) {
            if (bucket >= threshold) gate.before.events += count;
          }
        };
        if (gate.config.max && first) take_before(s.thresholds[0]);
        if (gate.HasThresholds() || timed < kHistoryNeeded) break;
        LatencyThresholds chosen = ChooseThresholds(gate.config, history.latency);
        gate.SetThresholds(chosen.buckets.size(), chosen.safe_index);
        take_before(chosen.buckets[chosen.safe_index]);
        std::vector<std::string> edges;
        for (uint32_t bucket : chosen.buckets) {
          edges.push_back(Span(Duration(LatencyScheme::LowerEdge(bucket))));
        }
        s.notes.push_back(StrCat("latency: slow means ", HumanList(edges), " or longer, from ",
                                 Count(timed), " answers of ", VersionName(s.stable)));
        s.thresholds = std::move(chosen.buckets);
        break;
      }
    }
  }
}

std::string_view ExposureUnit(RolloutGate::Kind kind) {
  if (kind == RolloutGate::Kind::kAnswers) return "compared answers";
  const bool labelled = kind == RolloutGate::Kind::kQuality || kind == RolloutGate::Kind::kLoss;
  return labelled ? "labelled answers" : "requests";
}

std::string_view BadThing(RolloutGate::Kind kind) {
  switch (kind) {
    case RolloutGate::Kind::kErrors:
      return "answers an error to";
    case RolloutGate::Kind::kLatency:
      return "is slow on";
    case RolloutGate::Kind::kQuality:
      return "is wrong on";
    case RolloutGate::Kind::kLoss:
    case RolloutGate::Kind::kAnswers:
    case RolloutGate::Kind::kPromql:
    case RolloutGate::Kind::kWebhook:
      break;
  }
  return "fails";
}

/// As PlanGate, of a gate with a bound.
void PlanBound(RolloutState& s, GateState& gate, double rate, const std::string& head) {
  const double max = *gate.config.max;
  const std::string_view unit = ExposureUnit(gate.config.kind);
  if (rate >= max) {
    gate.needed = -1;
    s.notes.push_back(StrCat(head, "that is not below the bound of ", Percent(max),
                             ": a candidate that is as good will not be shown to be, promote it by "
                             "hand or set another bound"));
    return;
  }
  // Of the candidate alone, whatever its share.
  const double safe = planning::SafeExposure(SafeBound(s) - std::log(2.0), 1, rate, 2, max);
  gate.needed = static_cast<int64_t>(words::RoundUpNicely(safe));
  const double bad = std::min(0.99, 3 * max);
  std::string note = StrCat(
      head, "about ", Count(static_cast<uint64_t>(gate.needed)), " ", unit,
      " of a candidate that is as good show that it stays below the bound of ", Percent(max));
  if (bad > max) {
    const double harm = (HarmBound(s, gate.config) + 1.2) / planning::BernoulliKl(bad, max);
    note += StrCat("; one at ", Percent(bad), " is taken back after about ",
                   Count(static_cast<uint64_t>(words::RoundUpNicely(harm))));
  }
  s.notes.push_back(std::move(note));
}

/// As PlanGate, of copies' answers, of which nobody knows yet how many differ.
void PlanAnswers(RolloutState& s, GateState& gate) {
  const double max = *gate.config.max, bound = SafeBound(s) - std::log(2.0);
  auto about = [](double exposure) {
    return Count(static_cast<uint64_t>(words::RoundUpNicely(exposure)));
  };
  const double alike = planning::SafeExposure(bound, 1, 0, 2, max);
  gate.needed = static_cast<int64_t>(words::RoundUpNicely(alike));
  const double bad = std::min(0.99, 3 * max);
  s.notes.push_back(StrCat(
      "answers: about ", about(alike),
      " answers to copies, all of them alike, show that fewer than ", Percent(max),
      gate.config.only_classes ? " have another class" : " differ", "; if half as many do, about ",
      about(planning::SafeExposure(bound, 1, max / 2, 2, max)), "; a candidate of which ",
      Percent(bad), " do is taken back after about ",
      about((HarmBound(s, gate.config) + 1.2) / planning::BernoulliKl(bad, max))));
}

/// As PlanGate, of an A/B test, which waits for no evidence of safety.
void PlanGuard(RolloutState& s, GateState& gate, double rate, const std::string& head) {
  const RolloutGate& config = gate.config;
  gate.needed = -1;
  const double base = config.max.value_or(std::max(rate, 0.001));
  const double bad = std::min(0.99, std::max(3 * base, 0.05));
  const double bound = HarmBound(s, config);
  const double harm = config.max ? (bound + 1.2) / planning::BernoulliKl(bad, *config.max)
                                 : planning::HarmExposure(bound, PresentStep(s).weight, bad, base);
  if (!std::isfinite(harm)) return;
  s.notes.push_back(StrCat(head, "a candidate at ", Percent(bad), " is taken back after about ",
                           Count(static_cast<uint64_t>(words::RoundUpNicely(harm)))));
}

/// As PlanGate, of mean losses.
void PlanLoss(RolloutState& s, GateState& gate) {
  constexpr double kMostPlanned = 1e15;  // labels that nobody will ever have
  const RolloutGate& config = gate.config;
  const LossEvidence& loss = *gate.loss;
  LossSums seen = loss.before;
  seen.Add(loss.stable);
  if (seen.count < kPlanningNeeded) return;
  auto about = [](double exposure) {
    return Count(static_cast<uint64_t>(words::RoundUpNicely(exposure)));
  };
  const double mean = seen.Mean(), spread = seen.Spread();
  const double share = ComparedShare(PresentStep(s));
  const std::string head =
      StrCat("loss: the mean ", LossMetricWords(loss.measure.metric), " of ", VersionName(s.stable),
             " is ", LossText(loss.InUnits(mean)), " (", Count(seen.count),
             " labelled answers, their spread ", LossText(loss.InUnits(spread)), "); ");
  const double bad =
      std::min(1.0, config.max ? 1.5 * *config.max / loss.measure.highest : config.margin * mean);
  const double harm = LossHarmExposure(config, HarmBound(s, config), share, bad, mean, spread);
  const std::string taken = harm < kMostPlanned ? StrCat(" with ", LossText(loss.InUnits(bad)),
                                                         " is taken back after about ", about(harm))
                                                : std::string();
  if (IsAb(s)) {
    gate.needed = -1;
    if (!taken.empty()) s.notes.push_back(StrCat(head, "a candidate", taken));
    return;
  }
  const double safe = LossSafeExposure(config, SafeBound(s), share, mean, spread);
  if (!(safe < kMostPlanned)) {
    gate.needed = -1;
    s.notes.push_back(StrCat(
        head, config.max ? "that is not below the bound: a candidate that is as good will not be "
                           "shown to be, promote it by hand or set another bound"
                         : "nothing can show that the candidate is not worse: set good_enough for "
                           "this gate, or a step with a weight below 1, or promote by hand"));
    return;
  }
  gate.needed = static_cast<int64_t>(words::RoundUpNicely(safe));
  std::string shown = StrCat("is not ", words::Significant(config.margin, 3), "x worse");
  if (config.loss.good_enough > 0)
    shown += StrCat(" or stays below ", LossText(config.loss.good_enough));
  if (config.max) shown = StrCat("stays below the bound of ", LossText(*config.max));
  s.notes.push_back(StrCat(
      head, config.max ? std::string() : StrCat("at a share of ", Percent(share), " "), "about ",
      about(safe), " labelled answers of a candidate that is as good show that it ", shown,
      taken.empty() ? "" : StrCat("; one", taken)));
  if (const std::string wide = WideHighest(config, mean); !wide.empty())
    s.notes.push_back(StrCat("loss: ", wide));
}

/// How much a gate will need, once the stable's rate is known well enough.
void PlanGate(RolloutState& s, GateState& gate) {
  if (gate.needed != 0) return;
  // What another step judges is planned for then; blue/green's before its switch.
  if (!IsBlueGreen(s) && !IsJudged(PresentStep(s), gate.config)) return;
  if (gate.config.kind == RolloutGate::Kind::kAnswers) {
    PlanAnswers(s, gate);
    return;
  }
  if (gate.config.kind == RolloutGate::Kind::kLoss) {
    PlanLoss(s, gate);
    return;
  }
  // Of copies only labels of rows that differ count, and nobody knows how many will.
  if (IsMirroring(s) && gate.config.kind == RolloutGate::Kind::kQuality) return;
  const ArmCounts seen = gate.StableSoFar();
  if (!gate.HasThresholds() || seen.exposure < kPlanningNeeded) return;
  const RolloutGate& config = gate.config;
  const double share = ComparedShare(PresentStep(s));
  const std::string where =
      IsMirroring(s) ? std::string("of copies") : StrCat("at a share of ", Percent(share));
  const double rate = static_cast<double>(seen.events) / static_cast<double>(seen.exposure);
  const std::string_view unit = ExposureUnit(config.kind);
  const std::string head =
      StrCat(GateName(config.kind), ": ", VersionName(s.stable), " ", BadThing(config.kind), " ",
             Percent(rate), " of ", Count(seen.exposure), " ", unit, "; ");
  if (IsAb(s)) {
    PlanGuard(s, gate, rate, head);
    return;
  }
  if (config.max) {
    PlanBound(s, gate, rate, head);
    return;
  }
  const double safe =
      planning::SafeExposure(SafeBound(s), share, rate, config.margin, config.floor);
  if (std::isinf(safe)) {
    gate.needed = -1;
    s.notes.push_back(
        StrCat(head, where,
               " nothing can show that the candidate is not worse: set a floor for this gate, or a "
               "step with a weight below 1, or promote by hand"));
    return;
  }
  gate.needed = static_cast<int64_t>(words::RoundUpNicely(safe));
  std::string note = StrCat(
      head, where, " about ", Count(static_cast<uint64_t>(gate.needed)), " ", unit,
      " of a candidate that is as good show that it is not ", words::Significant(config.margin, 3),
      "x worse", config.floor > 0 ? StrCat(" or stays below ", Percent(config.floor)) : "");
  const double bad = std::min(0.99, std::max(3 * rate, config.floor > 0 ? 5 * config.floor : 0.05));
  const double base = std::max(rate, 0.5 / static_cast<double>(seen.exposure));
  const double harm = planning::HarmExposure(HarmBound(s, config), share, bad, base);
  if (std::isfinite(harm)) {
    note += StrCat("; one at ", Percent(bad), " is taken back after about ",
                   Count(static_cast<uint64_t>(words::RoundUpNicely(harm))));
  }
  s.notes.push_back(std::move(note));
}

/// Each step's least exposure: what it takes to show a candidate that fails ten times as often (at
/// least 5 %) there. The evidence of safety alone does not ask for it, once earlier steps have
/// given enough.
void PlanMinimums(RolloutState& s, const StepInput& in) {
  if (!s.step_minimums.empty()) return;
  if ((IsBlueGreen(s) && CountingGates(s) > 0) || IsAb(s)) {
    for (const RolloutStep& step : s.plan.steps) s.step_minimums.push_back(step.min_requests);
    return;
  }
  ArmCounts seen{s.stable_sums.requests, s.stable_sums.errors};
  if (in.history) {
    seen.exposure += in.history->sums.requests;
    seen.events += in.history->sums.errors;
  }
  const bool known = seen.exposure >= kPlanningNeeded;
  const double stable_rate =
      known ? std::clamp(static_cast<double>(seen.events) / static_cast<double>(seen.exposure),
                         0.001, 0.5)
            : 0.001;
  const double bad_rate = std::min(0.99, std::max(10 * stable_rate, 0.05));
  std::vector<std::string> said;
  for (const RolloutStep& step : s.plan.steps) {
    int64_t minimum = step.min_requests;
    // What blue/green watches for a time needs no more than that.
    // A candidate without requests or copies, as before the first batch, has none to wait for.
    const bool computed =
        IsBlueGreen(s) ? step.weight > 0 && step.duration.count() == 0 : !IsAtRest(step);
    if (minimum == 0 && computed) {
      double needed =
          planning::HarmExposure(MinimumsBound(s), ComparedShare(step), bad_rate, stable_rate);
      // All traffic: nothing to compare with. Nobody else asks for any, so the candidate alone is looked at.
      if (!std::isfinite(needed) && CountingGates(s) == 0)
        needed = (MinimumsBound(s) + 1.2) / planning::BernoulliKl(bad_rate, stable_rate);
      if (std::isfinite(needed)) minimum = static_cast<int64_t>(words::RoundUpNicely(needed));
    }
    s.step_minimums.push_back(minimum);
    if (IsAtRest(step)) continue;
    said.push_back(step.mirror > 0
                       ? StrCat(minimum, " copies while ", Percent(step.mirror), " are mirrored")
                       : StrCat(minimum, " at ", Percent(step.weight)));
  }
  if (IsBlueGreen(s)) return;
  s.notes.push_back(StrCat("least requests to the candidate in each step: ", HumanList(said)));
}

/// The worst gate at or above its bound, or null.
const GateState* HarmfulGate(const RolloutState& s) {
  const GateState* worst = nullptr;
  for (const GateState& gate : s.gates) {
    if (IsOutside(gate.config.kind)) continue;
    double log_e = gate.HarmLogE();
    if (log_e >= HarmBound(s, gate.config) && (worst == nullptr || log_e > worst->HarmLogE()))
      worst = &gate;
  }
  return worst;
}

/// The first gate outside that has failed too often in a row, or null.
const GateState* FailingGate(const RolloutState& s) {
  for (const GateState& gate : s.gates) {
    if (IsOutside(gate.config.kind) && gate.outside.failures >= FailuresAllowed(gate.config))
      return &gate;
  }
  return nullptr;
}

/// Of a FailingGate.
std::string Failure(const RolloutState& s, const GateState& gate) {
  const int failures = gate.outside.failures;
  return StrCat(NameOf(gate.config), ": ", gate.outside.said,
                failures > 1 ? StrCat(", the last of ", failures, " failing answers in a row") : "",
                "; ", Exposed(s));
}

/// Of a HarmfulGate.
std::string Harm(const RolloutState& s, const GateState& gate) {
  size_t loudest = 0;
  for (size_t k = 1; k < gate.harm.size(); ++k) {
    if (gate.harm[k].log_e() > gate.harm[loudest].log_e()) loudest = k;
  }
  const size_t gates = CountingGates(s);
  std::string shared = gates == 1 ? "1/alpha" : StrCat("1/alpha shared by ", gates, " gates");
  if (SegmentsRollBack(s))
    shared = StrCat("1/alpha shared by ", gates, gates == 1 ? " gate" : " gates", " and segments");
  if (!SharesAlike(s))
    shared += StrCat(" by weight, of which it has ", Percent(AlphaOf(s, gate.config)));
  return StrCat(GateName(gate.config.kind), ": ", Comparison(s, gate, loudest), "; e-value ",
                EValue(gate.HarmLogE()), " >= ", EValue(HarmBound(s, gate.config)), " (", shared,
                "); ", Exposed(s));
}

/// What takes the candidate back, in words; empty: nothing.
std::string KnownHarm(const RolloutState& s) {
  if (const GateState* failing = FailingGate(s)) return Failure(s, *failing);
  if (const GateState* harmful = HarmfulGate(s)) return Harm(s, *harmful);
  if (!SegmentsRollBack(s)) return "";
  const std::string harmed = HarmInSegments(s);
  return harmed.empty() ? "" : StrCat(harmed, "; ", Exposed(s));
}

/// Of segments whose harm a person is to look at; empty: there are none.
std::string HarmThatHolds(const RolloutState& s) {
  return s.plan.segments && !SegmentsRollBack(s) ? HarmInSegments(s) : "";
}

/// What a gate outside still lacks in the present step; empty: nothing.
std::string MissingFromOutside(const RolloutState& s, const GateState& gate) {
  const OutsideOptions& options = gate.config.outside;
  if (!IsOutside(gate.config.kind)) return "";
  const bool later = options.when == OutsideOptions::When::kAfterSwitch && !IsSwitched(s);
  const bool earlier = options.when == OutsideOptions::When::kBeforeSwitch && IsSwitched(s);
  if (IsBlueGreen(s) && (later || earlier)) return "";
  // An answer that nobody has repeated for so long says nothing of now.
  const bool fresh = gate.outside.age <= 2 * options.interval + options.timeout;
  if (gate.outside.passes && fresh) {
    // What was asked early in the step knows nothing of the rest of it.
    const Duration duration = PresentStep(s).duration;
    if (gate.outside.asked >= duration || s.step_elapsed < duration) return "";
    return StrCat("a passing answer to ", NameOf(gate.config), " asked for after the ",
                  Span(duration), " of this step (before: ", gate.outside.said, ")");
  }
  return StrCat("a passing answer to ", NameOf(gate.config), " in this step (",
                gate.outside.said.empty() ? "none yet" : StrCat("the last: ", gate.outside.said),
                ")");
}

/// What the present step still lacks, answers from `outside` too unless these are not wanted; empty: it may be left.
std::vector<std::string> Missing(const RolloutState& s, bool outside = true) {
  std::vector<std::string> missing;
  const RolloutStep& step = PresentStep(s);
  if (s.step_elapsed < step.duration) {
    missing.push_back(StrCat(Span(step.duration - s.step_elapsed), " more of this step"));
  }
  if (s.step_minimums.empty()) {
    missing.push_back("the first window of evidence");
  } else {
    int64_t left =
        s.step_minimums[static_cast<size_t>(s.step)] - static_cast<int64_t>(s.step_requests);
    if (left > 0) {
      missing.push_back(StrCat(Count(static_cast<uint64_t>(left)),
                               IsMirroring(s)
                                   ? " more copies that the candidate has answered in this step"
                                   : " more requests to the candidate in this step"));
    }
  }
  if (LacksCopies(s)) {
    missing.push_back(StrCat("copies to be sent: ", Count(s.step_unsent), " were not, for ",
                             VersionName(s.candidate), " was busy or not reached, and ",
                             Count(s.step_requests), " were answered"));
  }
  if (std::string endpoints = MissingEndpoints(s); !endpoints.empty())
    missing.push_back(std::move(endpoints));
  if (s.split.mismatch) {
    missing.push_back("requests that are split as they should be");
  } else if (SplitInDoubt(s)) {
    missing.push_back(StrCat("certainty of the split: ", SplitComparison(s)));
  }
  for (const GateState& gate : s.gates) {
    if (!outside) break;
    std::string answer = MissingFromOutside(s, gate);
    if (!answer.empty()) missing.push_back(std::move(answer));
  }
  if (std::string harmed = HarmThatHolds(s); !harmed.empty())
    missing.push_back(StrCat("segments that are not harmed: ", harmed));
  if (IsAb(s)) return missing;  // its gates guard; what is better the readout says
  for (const GateState& gate : s.gates) {
    if (!IsJudged(step, gate.config)) continue;
    if (!gate.HasThresholds()) {
      missing.push_back(StrCat("the first ", kHistoryNeeded, " answers of ", VersionName(s.stable),
                               " to take latency thresholds from"));
      continue;
    }
    double log_e = gate.SafeLogE();
    if (log_e >= SafeBound(s)) continue;
    if (step.mirror > 0 && gate.config.kind == RolloutGate::Kind::kQuality) {
      missing.push_back(StrCat("evidence on quality (e-value ", EValue(log_e), " of ",
                               EValue(SafeBound(s)), " after ", Count(gate.flips.compared),
                               " compared answers and ", Count(gate.flips.labelled()),
                               " labelled rows with another class)"));
      continue;
    }
    std::string text =
        StrCat("evidence on ", GateName(gate.config.kind), " (e-value ", EValue(log_e), " of ",
               EValue(SafeBound(s)), " after ", Count(gate.candidate[gate.safe_index].exposure));
    if (gate.needed > 0) text += StrCat(" of about ", Count(static_cast<uint64_t>(gate.needed)));
    text += StrCat(" ", ExposureUnit(gate.config.kind));
    if (gate.config.kind == RolloutGate::Kind::kAnswers && s.pair_sums.uncompared > 0)
      text += StrCat("; ", Count(s.pair_sums.uncompared), " could not be compared");
    if (gate.loss && gate.loss->unmeasured > 0) {
      text += StrCat("; ", Count(gate.loss->unmeasured), " more have no ",
                     LossMetricWords(gate.loss->measure.metric));
    }
    missing.push_back(text + ")");
  }
  return missing;
}

std::string PromotionReason(const RolloutState& s) {
  if (IsAb(s)) return StrCat("promoted: ", ReadoutWords(s));
  std::vector<std::string> parts;
  for (const GateState& gate : s.gates) {
    if (IsOutside(gate.config.kind)) {
      if (!gate.outside.said.empty())
        parts.push_back(StrCat(NameOf(gate.config), ": ", gate.outside.said));
      continue;
    }
    // A person may have left the steps behind that would have shown it.
    const bool shown = gate.SafeLogE() >= SafeBound(s);
    parts.push_back(StrCat(GateName(gate.config.kind), ": ", Comparison(s, gate, gate.safe_index),
                           ", e-value ", EValue(gate.SafeLogE()),
                           shown ? " >= " : ", not shown: below ", EValue(SafeBound(s))));
  }
  if (parts.empty()) parts.push_back("the plan has no gate to judge by");
  return StrCat("promoted: ", Join(parts, "; "));
}

Duration ProbationLeft(const RolloutState& s) {
  return std::max(Duration{}, Duration(s.plan.probation) - s.probation_elapsed);
}

/// "in probation for 59 min more, version 1 is kept ready to take the traffic back; promoted: …"
std::string InProbation(const RolloutState& s, const StepInput& in) {
  return StrCat("in probation for ", Span(ProbationLeft(s)), " more, ", VersionName(s.stable),
                in.stable_ready ? " is kept ready" : " is not ready", " to take the traffic back; ",
                s.promoted);
}

void Promote(StepOutput& out, const StepInput& in, std::string reason) {
  RolloutState& s = out.state;
  out.decision = "promote";
  if (s.plan.probation.count() == 0) {
    End(s, RolloutPhase::kPromoted, std::move(reason));
    return;
  }
  if (const std::string known = KnownHarm(s); !known.empty()) {
    // A person's word, over what was known: a probation would take it back at once.
    End(s, RolloutPhase::kPromoted, StrCat(reason, "; without a probation, over ", known));
    return;
  }
  s.phase = RolloutPhase::kProbation;
  s.promoted = std::move(reason);
  s.reason = InProbation(s, in);
  s.paused_by.clear();
  s.awaits_approval = s.frozen = s.reason_is_readout = false;
  s.split = {};
}

void SetPhase(StepOutput& out, RolloutPhase phase, std::string reason) {
  RolloutState& s = out.state;
  if (s.phase != phase && out.decision.empty()) {
    out.decision = phase == RolloutPhase::kHeld ? "hold" : "resume";
  }
  s.phase = phase;
  s.reason = std::move(reason);
  s.reason_is_readout = false;
}

/// What only a person or somebody outside can give, and has not: time alone does not promote over it. The
/// steps to come count: nobody would be asked about them.
std::vector<std::string> NotGiven(const RolloutState& s) {
  std::vector<std::string> lacking;
  if (SplitInDoubt(s)) lacking.push_back("a split as it should be");
  for (size_t i = static_cast<size_t>(s.step); i < s.plan.steps.size(); ++i) {
    const bool given = static_cast<int>(i) == s.step && s.approval.approved;
    if (!s.plan.steps[i].approval || given) continue;
    lacking.push_back(StrCat("the approval that step ", i + 1, " asks for"));
  }
  // Promoted it has all traffic, whatever the share is now.
  if (IsRolling(s) && s.replicas.ready < Needed(s, s.plan.steps.back())) {
    lacking.push_back(StrCat("the ", Needed(s, s.plan.steps.back()), " endpoints of ",
                             VersionName(s.candidate), " that all traffic needs"));
  }
  if (IsMirroring(s) && AnsweredWell(s.pair_sums) == 0)
    lacking.push_back(StrCat("a single answer of ", VersionName(s.candidate), " to a copy"));
  if (LacksCopies(s)) lacking.push_back("copies that were not sent");
  if (!HarmThatHolds(s).empty()) lacking.push_back("segments that are not harmed");
  for (const GateState& gate : s.gates) {
    if (!IsOutside(gate.config.kind)) continue;
    const bool later = IsBlueGreen(s) && !IsSwitched(s) &&
                       gate.config.outside.when == OutsideOptions::When::kAfterSwitch;
    if (later || !MissingFromOutside(s, gate).empty())
      lacking.push_back(StrCat("a passing answer to ", NameOf(gate.config)));
  }
  return lacking;
}

/// What an A/B test comes to that time alone would promote: what it measured decides, as its plan says.
RolloutPlan::OnInconclusive ByItsEnd(const RolloutState& s) {
  using OnInconclusive = RolloutPlan::OnInconclusive;
  switch (AbOf(s).on_end) {
    case AbOptions::OnEnd::kHold:
      return OnInconclusive::kHold;
    case AbOptions::OnEnd::kStable:
      return OnInconclusive::kRollBack;
    case AbOptions::OnEnd::kPromoteWinner:
      break;
  }
  const int64_t winner = Winner(s);
  if (winner == 0) return OnInconclusive::kHold;
  return winner == s.candidate ? OnInconclusive::kPromote : OnInconclusive::kRollBack;
}

void Inconclusive(StepOutput& out, const StepInput& in) {
  RolloutState& s = out.state;
  const std::string missing = HumanList(Missing(s), "nothing but the steps that follow");
  const std::string head = StrCat("inconclusive after ", Span(s.plan.max_duration));
  auto choice = s.plan.on_inconclusive;
  std::string refused;  // why it is not promoted as the plan says
  if (choice == RolloutPlan::OnInconclusive::kPromote && IsAb(s)) {
    choice = ByItsEnd(s);
    if (choice == RolloutPlan::OnInconclusive::kRollBack) {
      refused = AbOf(s).on_end == AbOptions::OnEnd::kStable
                    ? ", and at its end it goes back, whatever was measured"
                    : StrCat(", and the better one is ", VersionName(s.stable));
    }
  }
  if (choice == RolloutPlan::OnInconclusive::kPromote) {
    const std::vector<std::string> lacking = NotGiven(s);
    if (!lacking.empty())
      refused = StrCat(", and time alone does not stand for ", HumanList(lacking));
    if (!s.candidate_ready || !lacking.empty()) choice = RolloutPlan::OnInconclusive::kRollBack;
  }
  switch (choice) {
    case RolloutPlan::OnInconclusive::kPromote:
      Promote(out, in, StrCat("promoted: ", head, ", as the plan says; was lacking ", missing));
      break;
    case RolloutPlan::OnInconclusive::kRollBack:
      out.decision = "roll_back";
      End(s, RolloutPhase::kRolledBack,
          StrCat("rolled back: ", head, "; was lacking ", missing, refused, "; ", Exposed(s)));
      break;
    case RolloutPlan::OnInconclusive::kHold:
      SetPhase(out, RolloutPhase::kHeld,
               StrCat(head, ", held as the plan says: promote or abort it; lacking ", missing));
      break;
  }
}

/// What a person has said about going on.
void TakePause(StepOutput& out, const StepInput& in) {
  if (!in.command) return;
  RolloutState& s = out.state;
  if (in.command->kind == RolloutCommand::Kind::kPause && s.paused_by.empty()) {
    s.paused_by = in.command->who;
    out.decision = "pause";
  }
  if (in.command->kind == RolloutCommand::Kind::kResume && !s.paused_by.empty()) {
    s.paused_by.clear();
    out.decision = "resume";
  }
}

/// Whether the candidate has taken too long to be ready.
bool IsLate(const RolloutState& s, const StepInput& in) {
  return in.candidate == CandidateSeen::kLoading && !s.stays && s.paused_by.empty() &&
         s.plan.progress_deadline.count() > 0 && s.unready >= s.plan.progress_deadline;
}
/// ": no endpoint is healthy: …"
std::string WhyNotReady(const StepInput& in) {
  return in.candidate_waits.empty() ? "" : StrCat(": ", in.candidate_waits);
}

/// A command or a lost candidate ends it whatever the evidence says. True when it did.
bool EndedFromOutside(StepOutput& out, const StepInput& in) {
  RolloutState& s = out.state;
  if (in.command && in.command->kind == RolloutCommand::Kind::kAbort) {
    out.decision = "abort";
    End(s, RolloutPhase::kAborted, StrCat("aborted by ", in.command->who, "; ", Exposed(s)));
    return true;
  }
  if (in.candidate == CandidateSeen::kFailed && !s.stays) {
    out.decision = "roll_back";
    End(s, RolloutPhase::kRolledBack,
        StrCat("rolled back: ", VersionName(s.candidate),
               " failed to load: ", in.candidate_failure));
    return true;
  }
  if (in.candidate == CandidateSeen::kGone && !s.stays && s.missing >= s.plan.lost_after) {
    out.decision = "roll_back";
    End(s, RolloutPhase::kRolledBack,
        StrCat("rolled back: ", VersionName(s.candidate),
               s.missing == Duration{} ? " is no longer ready"
                                       : StrCat(" has not been ready for ", Span(s.missing)),
               WhyNotReady(in), "; ", Exposed(s)));
    return true;
  }
  if (IsLate(s, in)) {
    out.decision = "roll_back";
    const bool ever = s.traffic_elapsed + s.step_elapsed > Duration{} || s.step > 0;
    End(s, RolloutPhase::kRolledBack,
        StrCat("rolled back: ", VersionName(s.candidate),
               ever ? " has not been ready again within " : " was not ready within ",
               Span(s.plan.progress_deadline), " (progress_deadline)", WhyNotReady(in), "; ",
               Exposed(s)));
    return true;
  }
  const bool may_end = s.candidate_ready && in.blocked.empty();
  if (in.command && in.command->kind == RolloutCommand::Kind::kPromote) {
    out.command_waits = !may_end;
    if (!may_end) return false;
    Promote(
        out, in,
        StrCat("promoted by ", in.command->who, " before the evidence was complete; was lacking ",
               HumanList(Missing(s), "nothing")));
    return true;
  }
  if (!s.undo_by.empty() && may_end && s.paused_by.empty()) {
    out.decision = "undo";
    End(s, RolloutPhase::kPromoted,
        StrCat("undone by ", s.undo_by, ": back to ", VersionName(s.candidate), " from ",
               VersionName(s.stable)));
    return true;
  }
  return false;
}

/// Whether a person has told it to leave the step that it is in.
bool ToldToLeave(StepOutput& out, const StepInput& in) {
  if (!in.command || in.command->kind != RolloutCommand::Kind::kAdvance) return false;
  if (in.command->step != out.state.step) return false;
  out.command_waits = !out.state.candidate_ready || !in.blocked.empty();
  return !out.command_waits;
}

/// Into the next step, or to the end.
void LeaveStep(StepOutput& out, const StepInput& in, bool told,
               const std::vector<std::string>& missing) {
  RolloutState& s = out.state;
  if (told) s.paused_by.clear();
  s.awaits_approval = s.frozen = s.told.waiting = false;
  if (IsAb(s) && !told && (AbOf(s).on_end == AbOptions::OnEnd::kStable || Winner(s) == s.stable)) {
    out.decision = "roll_back";
    End(s, RolloutPhase::kRolledBack,
        StrCat(AbOf(s).on_end == AbOptions::OnEnd::kStable ? "measured, and back to "
                                                           : "not promoted, the better one is ",
               VersionName(s.stable), ", as the plan says; ", ReadoutWords(s)));
    return;
  }
  s.split = {};
  if (s.approval.approved) {
    s.notes.push_back(StrCat("step ", s.step + 1, ": approved by webhook ",
                             HostOf(PresentStep(s).approval.webhook->url),
                             s.approval.said.empty() ? "" : StrCat(": ", s.approval.said)));
  }
  const ApprovalState approval = std::exchange(s.approval, {});
  for (GateState& gate : s.gates) gate.outside.passes = false;
  if (s.step + 1 < static_cast<int>(s.plan.steps.size())) {
    ++s.step;
    s.step_elapsed = {};
    s.step_requests = s.step_unsent = 0;
    out.decision = IsBlueGreen(s) ? "switch" : "advance";
    return;
  }
  if (told && !missing.empty()) {
    Promote(out, in,
            StrCat("promoted by ", in.command->who,
                   " before the evidence was complete; was lacking ", HumanList(missing)));
    return;
  }
  std::string reason = PromotionReason(s);
  if (told) reason += StrCat("; approved by ", in.command->who);
  if (!told && approval.approved) reason += StrCat("; ", s.notes.back());
  Promote(out, in, std::move(reason));
}

/// What speaks against the candidate after it was promoted; empty: nothing.
std::string CameUp(const RolloutState& s, const StepInput& in) {
  if (in.candidate == CandidateSeen::kFailed)
    return StrCat(VersionName(s.candidate), " failed to load: ", in.candidate_failure);
  if (in.candidate == CandidateSeen::kGone)
    return StrCat(VersionName(s.candidate), " is no longer ready");
  if (s.missing >= kPatience)
    return StrCat(VersionName(s.candidate), " has not been ready for ", Span(s.missing));
  return KnownHarm(s);
}

/// Why nothing could come up now; empty: it could.
std::string Unwatched(const RolloutState& s, const StepInput& in) {
  if (!in.blocked.empty()) return in.blocked;
  if (!in.metrics_ok) return "waiting for metrics: their source gives no answer";
  if (!s.candidate_ready) return StrCat(VersionName(s.candidate), " is not ready");
  return "";
}

void DecideProbation(StepOutput& out, const StepInput& in, bool was_ready, Duration elapsed) {
  using Kind = RolloutCommand::Kind;
  RolloutState& s = out.state;
  const std::string unwatched = Unwatched(s, in);
  if (was_ready && unwatched.empty()) s.probation_elapsed += elapsed;
  s.missing = was_ready || s.candidate_ready ? Duration{} : s.missing + elapsed;
  const bool aborts = in.command && in.command->kind == Kind::kAbort;
  if (aborts && in.stable_ready) {
    out.decision = "abort";
    End(s, RolloutPhase::kAborted,
        StrCat("aborted by ", in.command->who, " in probation, back to ", VersionName(s.stable),
               "; had been ", s.promoted));
    return;
  }
  const bool promotes = in.command && in.command->kind == Kind::kPromote;
  // To nothing it goes back as little as it is kept by what is not in the journal.
  out.command_waits = aborts || (promotes && !in.blocked.empty());
  if (promotes && !out.command_waits) {
    out.decision = "keep";
    End(s, RolloutPhase::kPromoted, StrCat(s.promoted, "; probation ended by ", in.command->who));
    return;
  }
  const std::string came_up = CameUp(s, in);
  if (!came_up.empty() && in.stable_ready) {
    out.decision = "roll_back";
    End(s, RolloutPhase::kRolledBack, StrCat("rolled back in probation: ", came_up));
    return;
  }
  if (s.probation_elapsed >= s.plan.probation && came_up.empty() && unwatched.empty() && !aborts) {
    out.decision = "keep";
    End(s, RolloutPhase::kPromoted,
        StrCat(s.promoted, "; nothing came up in ", Span(s.plan.probation), " of probation"));
    return;
  }
  s.reason = InProbation(s, in);
  if (aborts) {
    s.reason = StrCat("in probation, aborted by ", in.command->who, " as soon as ",
                      VersionName(s.stable), " is ready to take the traffic back");
  } else if (!came_up.empty()) {
    s.reason =
        StrCat("in probation, ", VersionName(s.stable),
               " is not ready to take the traffic back: promote it in full or abort it; ", came_up);
  } else if (!unwatched.empty()) {
    s.reason = StrCat("in probation, whose time stands still: ", unwatched, "; ", s.promoted);
  }
}

/// What it waits for, in words.
void SayWhatIsAwaited(StepOutput& out, const StepInput& in) {
  RolloutState& s = out.state;
  const std::string batch =
      IsRolling(s) ? StrCat("batch ", s.step, " of ", s.plan.steps.size() - 1) : std::string();
  const std::string where =
      IsAb(s) ? AbWhere(s)
      : IsRolling(s) && s.step == 0
          ? StrCat("before the first of ", s.plan.steps.size() - 1,
                   " batches: ", VersionName(s.candidate), " is without traffic")
      : IsRolling(s) && !IsSwitched(s)
          ? StrCat(batch, " at ", Percent(PresentStep(s).weight), ", ", s.replicas.ready, " of ",
                   s.replicas.all, " endpoints of ", VersionName(s.candidate), " are ready")
      : IsSwitched(s)
          ? StrCat(IsRolling(s) ? batch + ": " : std::string(),
                   "switched: ", VersionName(s.candidate), " has all traffic, ",
                   VersionName(s.stable), in.stable_ready ? " is kept ready" : " is not ready")
      : IsBlueGreen(s) ? StrCat("before the switch: ", VersionName(s.candidate),
                                " is ready beside ", VersionName(s.stable), ", without traffic")
      : IsMirroring(s)
          ? StrCat(s.plan.steps.size() > 1
                       ? StrCat("step ", s.step + 1, " of ", s.plan.steps.size(), ": ")
                       : std::string(),
                   VersionName(s.candidate), " gets copies of ", Percent(PresentStep(s).mirror),
                   " of the requests, ", VersionName(s.stable), " answers them all")
          : StrCat("step ", s.step + 1, " of ", s.plan.steps.size(), " at ",
                   Percent(PresentStep(s).weight));
  if (!s.paused_by.empty()) {
    SetPhase(out, RolloutPhase::kHeld,
             StrCat("paused by ", s.paused_by, " (", where, "): resume, promote or abort it"));
  } else if (s.stays) {
    SetPhase(out, RolloutPhase::kHeld,
             StrCat(IsRolling(s) ? batch : "switched", ": neither ", VersionName(s.candidate),
                    ", which has all traffic, nor ", VersionName(s.stable),
                    " is ready: waiting for either"));
  } else if (in.candidate == CandidateSeen::kGone) {
    SetPhase(out, RolloutPhase::kHeld,
             StrCat(VersionName(s.candidate),
                    " is no longer ready, and without traffic: it is taken back unless it is again "
                    "within ",
                    Span(s.plan.lost_after - s.missing), WhyNotReady(in)));
  } else if (!s.candidate_ready) {
    SetPhase(out, RolloutPhase::kHeld,
             StrCat("waiting for ", VersionName(s.candidate), " to load",
                    s.plan.progress_deadline.count() == 0
                        ? std::string()
                        : StrCat(", which has ",
                                 Span(std::max(Duration{}, s.plan.progress_deadline - s.unready)),
                                 " left for it"),
                    WhyNotReady(in)));
  } else if (!in.stable_ready && !IsSwitched(s)) {
    SetPhase(out, RolloutPhase::kHeld,
             StrCat("waiting for ", VersionName(s.stable), ", the stable version, to be ready"));
  } else if (!in.stable_ready) {
    SetPhase(
        out, RolloutPhase::kHeld,
        StrCat(where, " to take it back, waiting for ", HumanList(Missing(s), "the next tick")));
  } else if (!in.metrics_ok) {
    SetPhase(out, RolloutPhase::kHeld, "waiting for metrics: their source gives no answer");
  } else if (s.split.mismatch) {
    SetPhase(out, RolloutPhase::kHeld,
             StrCat("sample ratio: ", SplitComparison(s),
                    ": requests are lost or sent otherwise, and what is compared may not be alike; "
                    "find out why, then promote or abort it (",
                    where, ")"));
  } else if (const std::string harmed = HarmThatHolds(s); !harmed.empty()) {
    SetPhase(
        out, RolloutPhase::kHeld,
        StrCat("segments: ", harmed, ": look at them, then promote or abort it (", where, ")"));
  } else if (s.frozen) {
    SetPhase(out, RolloutPhase::kHeld,
             StrCat(where, ", lacking nothing, frozen until ",
                    MinuteName(FrozenUntil(s.plan.freeze, in.time).value_or(in.time))));
  } else if (s.awaits_approval && IsAb(s)) {
    SetPhase(out, RolloutPhase::kHeld,
             s.reason_is_readout ? s.reason : StrCat(AtItsEnd(s), ReadoutWords(s)));
    s.reason_is_readout = true;
  } else if (s.awaits_approval) {
    SetPhase(out, RolloutPhase::kHeld,
             StrCat(where, ", lacking nothing but approval: ", ApprovalWords(s)));
  } else {
    SetPhase(out, RolloutPhase::kProgressing,
             StrCat(where, ", waiting for ", HumanList(Missing(s), "the next tick")));
  }
}

/// A person decides.
void HoldWithoutStable(StepOutput& out, const std::string& why) {
  RolloutState& s = out.state;
  s.awaits_approval = s.frozen = false;
  SetPhase(out, RolloutPhase::kHeld,
           StrCat("held, ", VersionName(s.stable),
                  " is not ready to take the traffic back: promote or abort it; ", why));
}

void WatchWhatHolds(RolloutState& s, const StepInput& in) {
  ToldState& told = s.told;
  if (s.awaits_approval) told.waiting = true;
  const bool lost =
      s.phase == RolloutPhase::kProbation && !in.stable_ready && !CameUp(s, in).empty();
  const bool holds = lost || (s.phase == RolloutPhase::kHeld && s.paused_by.empty() &&
                              !s.awaits_approval && !s.split.mismatch);
  const bool goes_on = holds == std::exchange(told.holds, holds);
  told.lasts =
      goes_on && holds != told.held ? told.lasts + std::max(in.elapsed, Duration{}) : Duration{};
  if (told.lasts < kHeldTold) return;
  told.held = holds;
  told.lasts = {};
}

/// What Step does, but for the share that it may change.
void Decide(StepOutput& out, const StepInput& in) {
  RolloutState& s = out.state;
  const bool was_ready = s.candidate_ready;
  const bool stayed = s.stays;
  const double share_before = WantedShare(s);  // by which this window was split
  const Duration elapsed = std::max(in.elapsed, Duration{});
  const bool warming_up = s.traffic_elapsed < s.plan.warmup;
  if (s.awaits_approval || s.frozen || !s.paused_by.empty()) s.person_elapsed += elapsed;
  ++s.ticks;
  s.reason_is_readout = s.reason_is_readout && KeepsReadout(s, in);
  s.last_tick = in.time;
  s.elapsed += elapsed;
  s.candidate_ready = in.candidate == CandidateSeen::kReady;
  s.replicas = in.replicas;
  // Taken back it would go to a version that has nothing to answer with, for what may be one missed check.
  s.stays = IsSwitched(s) && !s.candidate_ready && !in.stable_ready &&
            s.phase != RolloutPhase::kProbation;
  if (s.phase != RolloutPhase::kProbation) {
    const bool gone = in.candidate == CandidateSeen::kGone && !s.stays;
    s.missing = gone && !was_ready && !stayed ? s.missing + elapsed : Duration{};
    const bool loads =
        in.candidate == CandidateSeen::kLoading && !s.stays && s.plan.progress_deadline.count() > 0;
    if (!loads || was_ready || stayed) s.unready = {};
    if (loads && !was_ready && !stayed && s.paused_by.empty()) s.unready += elapsed;
  }
  if (was_ready && !IsAtRest(PresentStep(s))) s.traffic_elapsed += elapsed;
  // While the traffic cannot be set it may not be split as this step says.
  if (was_ready && in.metrics_ok && in.blocked.empty()) s.step_elapsed += elapsed;

  if (in.metrics_ok) {
    Add(s.stable_sums, in.stable_window);
    Add(s.candidate_sums, in.candidate_window);
    Add(s.pair_sums, in.pairs);
    // What the candidate has failed, be it alone or together with the stable version, says nothing of what it can.
    s.step_requests += IsMirroring(s) ? AnsweredWell(in.pairs) : in.candidate_window.requests;
    if (IsMirroring(s)) s.step_unsent += in.pairs.unsent;
    CountSplit(s, in, AppliedShare(share_before), elapsed);
    // Folded before thresholds are fixed: they must be older than all evidence that is measured by
    // them.
    // The first window of a process began in another one, whose traffic ended at an unknown moment.
    if (!warming_up) {
      const bool stands_alone = share_before == 0 || elapsed == Duration{};
      if (stands_alone) CloseWindows(s);
      // Before the first share of its own the stable version's requests have nothing to be compared with.
      if (!IsMirroring(s)) FoldWindow(s, in);
      TakeSegments(s, in, !IsMirroring(s));
      if (stands_alone) CloseWindows(s);
      if (!in.pairs.empty()) FoldPairs(s, in.pairs);
    } else {
      TakeSegments(s, in, false);
    }
    if (in.history) TakeHistory(s, *in.history);
    PlanMinimums(s, in);
    for (GateState& gate : s.gates) PlanGate(s, gate);
  }

  // Without traffic nothing warms up: before a switch, what is asked is asked of a version at rest.
  const bool warm = !warming_up || IsAtRest(PresentStep(s));
  TakeReadings(s, in, elapsed, was_ready && s.candidate_ready && warm);

  if (s.phase == RolloutPhase::kProbation) {
    DecideProbation(out, in, was_ready, elapsed);
    return;
  }
  TakeApprovals(s, in, elapsed);
  TakePause(out, in);
  if (EndedFromOutside(out, in)) return;
  if (s.approval.refused &&
      PresentStep(s).approval.webhook->on_refusal == ApprovalWebhook::OnRefusal::kAbort) {
    out.decision = "abort";
    End(s, RolloutPhase::kAborted,
        StrCat("aborted: webhook ", HostOf(PresentStep(s).approval.webhook->url),
               " has refused to approve step ", s.step + 1,
               s.approval.said.empty() ? "" : StrCat(": ", s.approval.said), "; ", Exposed(s)));
    return;
  }

  const std::string harm = KnownHarm(s);
  // Taken back it would have nothing to go back to.
  const bool no_way_back = IsSwitched(s) && !in.stable_ready;
  if (!harm.empty() && !no_way_back) {
    out.decision = "roll_back";
    End(s, RolloutPhase::kRolledBack, StrCat("rolled back: ", harm));
    return;
  }

  const bool told = ToldToLeave(out, in);
  if (!in.blocked.empty()) {
    SetPhase(out, RolloutPhase::kHeld, in.blocked);
    return;
  }

  if (no_way_back && !told && !harm.empty()) {
    HoldWithoutStable(out, harm);
    return;
  }

  const std::vector<std::string> missing = Missing(s);
  // Once the candidate has all traffic, the stable version may be gone: it is not waited for.
  const bool versions_ready = s.candidate_ready && (in.stable_ready || IsSwitched(s));
  const bool complete = missing.empty() && in.metrics_ok && versions_ready;
  const bool in_freeze = FrozenUntil(s.plan.freeze, in.time).has_value();
  // What neither has won a person decides, or requests that are still to come.
  const bool asks = (PresentStep(s).approval && !s.approval.approved) ||
                    (IsAb(s) && AbOf(s).on_end == AbOptions::OnEnd::kPromoteWinner && complete &&
                     (s.reason_is_readout || Winner(s) == 0));
  s.awaits_approval = complete && asks && !told;
  s.frozen = complete && in_freeze && !asks && !told;
  const bool may_leave =
      told || (complete && !s.awaits_approval && !s.frozen && s.paused_by.empty());
  const bool time_is_over = s.elapsed - s.person_elapsed >= s.plan.max_duration;
  const bool at_the_end = s.step + 1 == static_cast<int>(s.plan.steps.size());
  const bool may_be_late =
      told || at_the_end || s.plan.on_inconclusive == RolloutPlan::OnInconclusive::kHold;
  const bool waits = s.awaits_approval || s.frozen || !s.paused_by.empty();
  // Time alone promotes nothing in a freeze either.
  const bool by_time = in_freeze && s.plan.on_inconclusive == RolloutPlan::OnInconclusive::kPromote;
  if (time_is_over && !waits && !by_time && !(may_leave && may_be_late)) {
    if (no_way_back) {
      HoldWithoutStable(out, StrCat("inconclusive after ", Span(s.plan.max_duration), ", lacking ",
                                    HumanList(missing, "nothing")));
      return;
    }
    Inconclusive(out, in);
    return;
  }
  if (may_leave) LeaveStep(out, in, told, missing);
  if (!HasEnded(s.phase) && s.phase != RolloutPhase::kProbation) SayWhatIsAwaited(out, in);
}

}  // namespace

bool operator==(const RolloutPlan& a, const RolloutPlan& b) {
  return a.strategy == b.strategy && a.steps == b.steps && a.gates == b.gates &&
         a.blue_green == b.blue_green && a.shadow == b.shadow && a.rolling == b.rolling &&
         a.ab == b.ab && a.alpha == b.alpha && a.beta == b.beta && a.interval == b.interval &&
         a.max_duration == b.max_duration && a.on_inconclusive == b.on_inconclusive &&
         a.warmup == b.warmup && a.freeze == b.freeze &&
         a.sample_ratio_alpha == b.sample_ratio_alpha && a.probation == b.probation &&
         a.lost_after == b.lost_after && a.segments == b.segments && a.seed == b.seed &&
         a.progress_deadline == b.progress_deadline;
}

bool operator==(const RolloutState& a, const RolloutState& b) {
  return a.model == b.model && a.stable == b.stable && a.candidate == b.candidate &&
         a.plan == b.plan && a.started == b.started && a.ended == b.ended &&
         a.last_tick == b.last_tick && a.ticks == b.ticks && a.phase == b.phase &&
         a.reason == b.reason && a.step == b.step && a.elapsed == b.elapsed &&
         a.traffic_elapsed == b.traffic_elapsed && a.step_elapsed == b.step_elapsed &&
         a.candidate_ready == b.candidate_ready && a.stays == b.stays && a.replicas == b.replicas &&
         a.stable_sums == b.stable_sums && a.candidate_sums == b.candidate_sums &&
         a.pair_sums == b.pair_sums && a.step_requests == b.step_requests &&
         a.step_unsent == b.step_unsent && a.step_minimums == b.step_minimums &&
         a.thresholds == b.thresholds && a.gates == b.gates && a.segments == b.segments &&
         a.notes == b.notes && a.paused_by == b.paused_by && a.undo_by == b.undo_by &&
         a.plan_given == b.plan_given && a.awaits_approval == b.awaits_approval &&
         a.frozen == b.frozen && a.reason_is_readout == b.reason_is_readout && a.split == b.split &&
         a.approval == b.approval && a.promoted == b.promoted &&
         a.probation_elapsed == b.probation_elapsed && a.missing == b.missing &&
         a.unready == b.unready && a.split_seed == b.split_seed && a.told == b.told &&
         a.person_elapsed == b.person_elapsed;
}

std::string_view StrategyName(RolloutPlan::Strategy strategy) {
  switch (strategy) {
    case RolloutPlan::Strategy::kCanary:
      return "canary";
    case RolloutPlan::Strategy::kBlueGreen:
      return "blue_green";
    case RolloutPlan::Strategy::kShadow:
      return "shadow";
    case RolloutPlan::Strategy::kRolling:
      return "rolling";
    case RolloutPlan::Strategy::kAb:
      return "ab";
  }
  return "unknown";
}

std::optional<RolloutPlan::Strategy> ParseStrategyName(std::string_view name) {
  using Strategy = RolloutPlan::Strategy;
  for (Strategy strategy : {Strategy::kCanary, Strategy::kBlueGreen, Strategy::kShadow,
                            Strategy::kRolling, Strategy::kAb}) {
    if (name == StrategyName(strategy)) return strategy;
  }
  return std::nullopt;
}

std::string_view CandidateSeenName(CandidateSeen seen) {
  switch (seen) {
    case CandidateSeen::kReady:
      return "ready";
    case CandidateSeen::kLoading:
      return "loading";
    case CandidateSeen::kFailed:
      return "failed";
    case CandidateSeen::kGone:
      return "gone";
  }
  return "unknown";
}

std::string_view RolloutPhaseName(RolloutPhase phase) {
  switch (phase) {
    case RolloutPhase::kProgressing:
      return "progressing";
    case RolloutPhase::kHeld:
      return "held";
    case RolloutPhase::kPromoted:
      return "promoted";
    case RolloutPhase::kRolledBack:
      return "rolled_back";
    case RolloutPhase::kAborted:
      return "aborted";
    case RolloutPhase::kProbation:
      return "probation";
  }
  return "unknown";
}

bool WantsToAsk(const RolloutState& s, const RolloutGate& gate) {
  if (!IsOutside(gate.kind) || HasEnded(s.phase) || !s.candidate_ready) return false;
  const auto when = gate.outside.when;
  if (!IsBlueGreen(s) || when == OutsideOptions::When::kAlways) return true;
  return (when == OutsideOptions::When::kAfterSwitch) == IsSwitched(s);
}

const ApprovalWebhook* WantsApproval(const RolloutState& s) {
  if (HasEnded(s.phase) || !s.awaits_approval || !s.approval.open()) return nullptr;
  const auto& hook = PresentStep(s).approval.webhook;
  return hook ? &*hook : nullptr;
}

bool WantsLateAnswer(const RolloutState& s, const GateState& gate) {
  return WantsToAsk(s, gate.config) && !MissingFromOutside(s, gate).empty() &&
         Missing(s, false).empty();
}

bool IsJudged(const RolloutStep& step, const RolloutGate& gate) {
  if (IsOutside(gate.kind) || IsAtRest(step)) return false;
  if (step.mirror == 0) return gate.kind != RolloutGate::Kind::kAnswers;
  // Of answers that are alike nobody asks for labels: how often the candidate is wrong is not known.
  if (gate.kind == RolloutGate::Kind::kLoss) return false;
  return gate.kind != RolloutGate::Kind::kQuality || !gate.max;
}

std::string AwaitedBesidesTraffic(const RolloutState& s) {
  if (std::string endpoints = MissingEndpoints(s); !endpoints.empty()) return endpoints;
  if (LacksCopies(s)) return "copies that are not sent";
  return SplitInDoubt(s) ? "certainty of the split" : "";
}

double WantedShare(const RolloutState& s) {
  if (s.phase == RolloutPhase::kProbation) return 1;
  if (HasEnded(s.phase)) return 0;
  return s.candidate_ready || s.stays ? PresentStep(s).weight : 0;
}

double WantedMirror(const RolloutState& s) {
  if (s.phase == RolloutPhase::kProbation) return 0;
  return HasEnded(s.phase) || !s.candidate_ready ? 0 : PresentStep(s).mirror;
}

namespace {

Status ValidateOutside(const RolloutPlan& plan, const RolloutGate& gate) {
  const OutsideOptions& options = gate.outside;
  const std::string name = StrCat(NameOf(gate), ": ");
  if (gate.kind == RolloutGate::Kind::kWebhook) {
    if (options.url.empty()) return InvalidArgumentError(name + "url is missing");
  } else {
    if (options.address.empty()) return InvalidArgumentError(name + "address is missing");
    if (options.query.empty()) return InvalidArgumentError(name + "query is missing");
    if (std::string wrong = CheckPlaceholders(options.query); !wrong.empty())
      return InvalidArgumentError(StrCat(name, "query: ", wrong));
    if (!options.min && !gate.max) return InvalidArgumentError(name + "needs max, min or both");
    if (options.min && gate.max && *options.min > *gate.max)
      return InvalidArgumentError(name + "min must not be above max");
  }
  if (options.interval.count() <= 0 || options.timeout.count() <= 0)
    return InvalidArgumentError(name + "interval and timeout must be positive");
  if (options.failures < 0) return InvalidArgumentError(name + "failures must not be negative");
  if (options.when != OutsideOptions::When::kAlways &&
      plan.strategy != RolloutPlan::Strategy::kBlueGreen)
    return InvalidArgumentError(name + "when belongs to the strategy blue_green");
  return OkStatus();
}

Status ValidateLoss(const RolloutPlan& plan, const RolloutGate& gate) {
  const LossMeasure measure = MeasureOf(gate);
  const std::string_view metric = LossMetricName(measure.metric);
  if (Mirrors(plan))
    return InvalidArgumentError("losses of copies are not counted: use steps without a mirror");
  if (!(measure.highest > 0 && measure.highest <= kHighestLoss)) {
    return InvalidArgumentError(StrCat("highest must be above 0 and at most ", kHighestLoss,
                                       ": a larger ", metric, " counts as this"));
  }
  if (measure.metric == LossMetric::kBrier && measure.highest > 1)
    return InvalidArgumentError("highest must be at most 1: no Brier score is above");
  auto is_share = [&](double loss) {
    const double share = loss / measure.highest;
    return share > 0 && share < 1;
  };
  if (gate.loss.good_enough != 0 && !is_share(gate.loss.good_enough))
    return InvalidArgumentError("good_enough must be at least 0 and below highest");
  if (gate.max && !is_share(*gate.max))
    return InvalidArgumentError("max must be above 0 and below highest");
  return OkStatus();
}

Status ValidateSegments(const RolloutPlan& plan) {
  if (!plan.segments) return OkStatus();
  if (plan.segments->max < 1 || plan.segments->max > SegmentOptions::kMost)
    return InvalidArgumentError(StrCat("segments: max must be from 1 to ", SegmentOptions::kMost));
  const bool looks = std::any_of(plan.gates.begin(), plan.gates.end(),
                                 [](const auto& gate) { return LooksAtSegments(gate.kind); });
  // Without gates it has those that BeginRollout gives it.
  if (!looks && (!plan.gates.empty() || plan.strategy == RolloutPlan::Strategy::kBlueGreen))
    return InvalidArgumentError("segments: needs a gate of errors or quality, which looks at them");
  if (plan.strategy == RolloutPlan::Strategy::kShadow)
    return InvalidArgumentError("segments: copies are not told apart by them: leave it out");
  return OkStatus();
}

}  // namespace

Status ValidatePlan(const RolloutPlan& plan) {
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const StepApproval& approval = plan.steps[i].approval;
    if (!approval.webhook) continue;
    const std::string name = StrCat("steps[", i, "].approval.webhook: ");
    if (!approval.asked || approval.webhook->url.empty())
      return InvalidArgumentError(name + "url is missing");
    if (approval.webhook->timeout.count() <= 0 || approval.webhook->retry_after.count() <= 0 ||
        approval.webhook->deadline.count() <= 0)
      return InvalidArgumentError(name + "timeout, retry_after and deadline must be positive");
  }
  auto in_unit = [](double v) { return v > 0 && v < 1; };
  if (!in_unit(plan.alpha)) return InvalidArgumentError("alpha: must be between 0 and 1");
  if (!(plan.sample_ratio_alpha == 0 || in_unit(plan.sample_ratio_alpha)))
    return InvalidArgumentError("sample_ratio_alpha: must be at least 0 and below 1");
  if (!in_unit(plan.beta)) return InvalidArgumentError("beta: must be between 0 and 1");
  if (plan.interval.count() <= 0) return InvalidArgumentError("interval: must be positive");
  if (plan.max_duration.count() <= 0) return InvalidArgumentError("max_duration: must be positive");
  if (plan.probation.count() < 0) return InvalidArgumentError("probation: must not be negative");
  if (plan.warmup.count() < 0) return InvalidArgumentError("warmup: must not be negative");
  if (plan.progress_deadline.count() < 0)
    return InvalidArgumentError("progress_deadline: must not be negative");
  if (plan.lost_after.count() < 0) return InvalidArgumentError("lost_after: must not be negative");
  const bool blue_green = plan.strategy == RolloutPlan::Strategy::kBlueGreen;
  if (plan.blue_green && !blue_green) {
    return InvalidArgumentError("blue_green: belongs to the strategy blue_green");
  }
  const bool shadow = plan.strategy == RolloutPlan::Strategy::kShadow;
  if (plan.shadow && !shadow) return InvalidArgumentError("shadow: belongs to the strategy shadow");
  const ShadowOptions mirroring = plan.shadow.value_or(ShadowOptions{});
  if (!(mirroring.mirror >= 0.0001 && mirroring.mirror <= 1))
    return InvalidArgumentError("shadow: mirror must be at least 0.0001 (0.01 %) and at most 1");
  if (mirroring.duration.count() < 0 || mirroring.min_requests < 0)
    return InvalidArgumentError("shadow: nothing in it may be negative");
  const bool rolling = plan.strategy == RolloutPlan::Strategy::kRolling;
  if (plan.rolling && !rolling)
    return InvalidArgumentError("rolling: belongs to the strategy rolling");
  const bool ab = plan.strategy == RolloutPlan::Strategy::kAb;
  if (plan.ab && !ab) return InvalidArgumentError("ab: belongs to the strategy ab");
  const AbOptions test = plan.ab.value_or(AbOptions{});
  if (!(test.weight >= 0.0001 && test.weight < 1))
    return InvalidArgumentError("ab: weight must be at least 0.0001 (0.01 %) and below 1");
  if (!in_unit(test.confidence))
    return InvalidArgumentError("ab: confidence must be between 0 and 1");
  if (test.duration.count() < 0 || test.min_requests < 0)
    return InvalidArgumentError("ab: nothing in it may be negative");
  const RollingOptions batches = plan.rolling.value_or(RollingOptions{});
  if (batches.batches < 0 || batches.batches == 1 || batches.batches > kMostBatches)
    return InvalidArgumentError("rolling: batches must be 0 or from 2 to 49");
  if (batches.duration.count() < 0 || batches.min_requests < 0)
    return InvalidArgumentError("rolling: nothing in it may be negative");
  if (!(batches.max_unavailable >= 0 && batches.max_unavailable < 1))
    return InvalidArgumentError("rolling: max_unavailable must be at least 0 and below 1");
  const BlueGreenOptions switching = plan.blue_green.value_or(BlueGreenOptions{});
  if (switching.preview_duration.count() < 0 || switching.watch_duration.count() < 0 ||
      switching.min_requests < 0) {
    return InvalidArgumentError("blue_green: nothing in it may be negative");
  }
  for (const FreezeWindow& window : plan.freeze) {
    auto of_day = [](std::chrono::minutes time) {
      return time.count() >= 0 && time.count() <= 24 * 60;
    };
    const bool days = std::all_of(window.days.begin(), window.days.end(),
                                  [](std::chrono::weekday day) { return day.ok(); });
    if (!days || !of_day(window.from) || !of_day(window.to))
      return InvalidArgumentError("freeze: days and times must be of a week and a day");
  }
  if (!plan.freeze.empty() && !LeavesTime(plan.freeze))
    return InvalidArgumentError("freeze: leaves no time of the week in which anything is promoted");
  double last = 0, last_mirror = 0;
  for (const RolloutStep& step : plan.steps) {
    if (blue_green || shadow || rolling || ab) break;  // its steps are the machine's own
    if (!(step.mirror == 0 || (step.mirror >= 0.0001 && step.mirror <= 1)))
      return InvalidArgumentError("steps: a mirror must be at least 0.0001 (0.01 %) and at most 1");
    if (step.mirror > 0 && (step.weight != 0 || last > 0)) {
      return InvalidArgumentError(
          "steps: one that mirrors has a weight of 0, and comes before those that have one");
    }
    if (step.mirror > 0 && step.mirror < last_mirror)
      return InvalidArgumentError("steps: mirrors must not go down");
    last_mirror = step.mirror;
    // Routers count in ten-thousandths: less would be no traffic at all.
    if (step.mirror == 0 && !(step.weight >= 0.0001 && step.weight <= 1)) {
      return InvalidArgumentError("steps: a weight must be at least 0.0001 (0.01 %) and at most 1");
    }
    if (step.weight < last) return InvalidArgumentError("steps: weights must not go down");
    if (step.duration.count() < 0)
      return InvalidArgumentError("steps: a duration must not be negative");
    if (step.min_requests < 0)
      return InvalidArgumentError("steps: min_requests must not be negative");
    last = step.weight;
  }
  RETURN_IF_ERROR(ValidateSegments(plan));
  std::set<std::string_view> names;
  for (const RolloutGate& gate : plan.gates) {
    std::string name = StrCat("gates: ", NameOf(gate), ": ");
    if (!names.insert(NameOf(gate)).second) return InvalidArgumentError(name + "given twice");
    if (IsOutside(gate.kind)) {
      RETURN_IF_ERROR(Annotate(ValidateOutside(plan, gate), "gates"));
      continue;
    }
    if (!gate.outside.name.empty())
      return InvalidArgumentError(name + "name belongs to gates of the kinds promql and webhook");
    if (!(gate.weight > 0 && gate.weight <= 1e6))
      return InvalidArgumentError(name + "weight must be above 0");
    if (!(gate.margin > 1 && gate.margin <= 1000)) {
      return InvalidArgumentError(name + "margin must be above 1 and at most 1000");
    }
    if (!(gate.floor >= 0 && gate.floor < 1)) {
      return InvalidArgumentError(name + "floor must be at least 0 and below 1");
    }
    if (gate.only_classes && gate.kind != RolloutGate::Kind::kAnswers)
      return InvalidArgumentError(name + "only_classes belongs to gates of the kind answers");
    if (gate.kind == RolloutGate::Kind::kAnswers && !Mirrors(plan)) {
      return InvalidArgumentError(StrCat(
          name, "compares answers to copies: it needs the strategy shadow, or a step with mirror"));
    }
    if (gate.kind == RolloutGate::Kind::kAnswers && !gate.max)
      return InvalidArgumentError(name + "needs max: the share of answers that may differ");
    if (gate.kind == RolloutGate::Kind::kQuality && gate.max && shadow) {
      return InvalidArgumentError(
          name + "labels are known of copies that differ alone: leave max out, or use a canary");
    }
    if (blue_green && !gate.max) {
      return InvalidArgumentError(StrCat(
          name, "compares with the stable version, which has no traffic while the candidate ",
          "has it all: give it a max, or use the strategy canary"));
    }
    if (gate.kind == RolloutGate::Kind::kLoss) {
      RETURN_IF_ERROR(Annotate(ValidateLoss(plan, gate), "gates: loss"));
      continue;
    }
    if (gate.max && !in_unit(*gate.max)) {
      return InvalidArgumentError(name + "max must be above 0 and below 1");
    }
    if (gate.kind != RolloutGate::Kind::kLatency) continue;
    if (gate.max &&
        (gate.slower_than.count() <= 0 || gate.slower_than > std::chrono::seconds(60))) {
      return InvalidArgumentError(
          name + "max needs slower_than, above 0 and at most 60 s: which answers are slow");
    }
    for (double quantile : gate.quantiles) {
      if (!in_unit(quantile))
        return InvalidArgumentError(name + "quantiles must be between 0 and 1");
    }
    if (!in_unit(gate.safe_quantile)) {
      return InvalidArgumentError(name + "safe_quantile must be between 0 and 1");
    }
    if (gate.ignore_below.count() < 0 || gate.ignore_below > std::chrono::seconds(60)) {
      return InvalidArgumentError(name + "ignore_below must be between 0 and 60 s");
    }
  }
  return OkStatus();
}

RolloutState BeginRollout(const std::string& model, int64_t stable, int64_t candidate,
                          const RolloutPlan& plan, WallTime now, int endpoints) {
  RolloutState s;
  s.model = model;
  s.stable = stable;
  s.candidate = candidate;
  s.plan = plan;
  if (s.plan.steps.empty()) s.plan.steps = RolloutPlan{}.steps;
  if (IsBlueGreen(s)) {
    const BlueGreenOptions options = plan.blue_green.value_or(BlueGreenOptions{});
    s.plan.blue_green = options;
    s.plan.steps = {{0, options.preview_duration, 0, !options.auto_promote},
                    {1, options.watch_duration, options.min_requests}};
  } else if (plan.strategy == RolloutPlan::Strategy::kShadow) {
    const ShadowOptions options = plan.shadow.value_or(ShadowOptions{});
    s.plan.shadow = options;
    s.plan.steps = {RolloutStep{0, options.duration, options.min_requests, !options.auto_promote,
                                options.mirror}};
  }
  if (IsRolling(s)) {
    RollingOptions options = plan.rolling.value_or(RollingOptions{});
    if (options.batches == 0) {
      const int wanted = std::clamp(endpoints, 2, kMostBatches);
      options.batches = std::clamp(MostBatches(options.duration, plan.max_duration), 2, wanted);
      if (options.batches < wanted) {
        s.notes.push_back(StrCat("rolling: of ", wanted, " batches, one for each endpoint, only ",
                                 options.batches, " of ", Span(options.duration),
                                 " fit into max_duration (", Span(plan.max_duration),
                                 "): it takes so many"));
      }
    }
    s.plan.rolling = options;
    s.plan.steps = {RolloutStep{0}};
    for (int i = 1; i <= options.batches; ++i) {
      // As routers count: equal steps of ten-thousandths.
      s.plan.steps.push_back({AppliedShare(static_cast<double>(i) / options.batches),
                              options.duration, options.min_requests});
    }
    // Of a plan that no configuration has read.
    if (const auto least = options.batches * options.duration; least >= plan.max_duration) {
      s.notes.push_back(StrCat("rolling: ", options.batches, " batches take ", Span(least),
                               " at least, and max_duration is ", Span(plan.max_duration),
                               ": it will not come to its end in time; set a longer max_duration, "
                               "or fewer batches"));
    }
  }
  if (IsAb(s)) {
    const AbOptions options = AbOf(s);
    s.plan.ab = options;
    s.plan.steps = {RolloutStep{options.weight, options.duration, options.min_requests,
                                options.on_end == AbOptions::OnEnd::kHold}};
  }
  if (!IsBlueGreen(s) && s.plan.gates.empty()) {
    s.plan.gates.resize(2);
    s.plan.gates[1].kind = RolloutGate::Kind::kLatency;
  }
  for (const RolloutGate& gate : s.plan.gates) {
    s.gates.emplace_back(gate);
    if (IsOutside(gate.kind)) {
      s.notes.push_back(
          StrCat(NameOf(gate), ": asks ",
                 gate.kind == RolloutGate::Kind::kWebhook ? "a webhook" : "a Prometheus", " every ",
                 Span(gate.outside.interval), "; ", FailuresAllowed(gate), " failing ",
                 FailuresAllowed(gate) == 1 ? "answer takes" : "answers in a row take",
                 " the candidate back, which alpha and beta say nothing of"));
    }
    if (gate.kind == RolloutGate::Kind::kLatency && gate.max) {
      s.thresholds = {BucketFrom(gate.slower_than)};
      s.notes.push_back(StrCat("latency: slow means ",
                               Span(Duration(LatencyScheme::LowerEdge(s.thresholds[0]))),
                               " or longer"));
    }
  }
  if (s.plan.segments) {
    s.notes.push_back(
        StrCat("segments: up to ", s.plan.segments->max,
               " are looked at for harm, together as one gate: "
               "e-BH over ",
               SegmentTests(s), " tests at ", Percent(SegmentsAlpha(s)),
               ", so that one alone needs an e-value of ",
               EValue(std::log(static_cast<double>(SegmentTests(s)) / SegmentsAlpha(s)))));
  }
  const bool splits = std::any_of(s.plan.steps.begin(), s.plan.steps.end(), [](const auto& step) {
    return step.weight > 0 && step.weight < 1;
  });
  if (s.plan.sample_ratio_alpha == 0 && splits) s.notes.push_back("sample ratio: not checked");
  if (!SharesAlike(s)) {
    std::vector<std::string> parts;
    for (const GateState& gate : s.gates) {
      if (IsOutside(gate.config.kind)) continue;
      parts.push_back(StrCat(GateName(gate.config.kind), " ", Percent(AlphaOf(s, gate.config))));
    }
    if (SegmentsRollBack(s)) parts.push_back(StrCat("segments ", Percent(SegmentsAlpha(s))));
    s.notes.push_back(
        StrCat("alpha: ", Percent(s.plan.alpha), " is shared by weight: ", Join(parts, ", ")));
  }
  s.split_seed = s.plan.seed;
  s.started = s.last_tick = now;
  s.reason = "started";
  return s;
}

uint64_t SeedOf(int64_t rollout, const RolloutState& first) {
  // Without a file for the journal numbers begin anew in each process: the time tells rollouts apart.
  uint64_t seed = Rng::Mix(static_cast<uint64_t>(rollout) + 0x9e3779b97f4a7c15ull);
  seed = Rng::Mix(seed ^ static_cast<uint64_t>(first.started.time_since_epoch().count()));
  for (char c : first.model) seed = Rng::Mix(seed ^ static_cast<unsigned char>(c));
  return seed >> 11;
}

namespace {

CopiesView CopiesOf(const PairDelta& pairs) {
  return {pairs.pairs,
          pairs.candidate_failed + pairs.both_failed,
          pairs.stable_failed + pairs.both_failed,
          pairs.compared,
          pairs.differing,
          pairs.flips,
          pairs.uncompared,
          pairs.candidate_wrong,
          pairs.stable_wrong,
          pairs.both_wrong};
}

}  // namespace

StepOutput Step(const RolloutState& state, const StepInput& in) {
  StepOutput out{state, ""};
  if (HasEnded(state.phase)) return out;
  Decide(out, in);
  if (!HasEnded(out.state.phase)) WatchWhatHolds(out.state, in);
  // The traffic from here on is split otherwise: what was gathered until now stays by itself.
  if (!HasEnded(out.state.phase) && WantedShare(out.state) != WantedShare(state)) {
    CloseWindows(out.state);
    out.state.split.WaitAnew();
  }
  return out;
}

namespace {

GateView::Loss LossView(const LossEvidence& loss) {
  GateView::Loss view;
  view.metric = LossMetricName(loss.measure.metric);
  view.highest = loss.measure.highest;
  if (loss.stable.count > 0) view.stable_mean = loss.InUnits(loss.stable.Mean());
  if (loss.candidate.count > 0) view.candidate_mean = loss.InUnits(loss.candidate.Mean());
  view.unmeasured = loss.unmeasured;
  return view;
}

}  // namespace

std::vector<GateView> MakeGateViews(const RolloutState& s) {
  std::vector<GateView> views;
  for (const GateState& gate : s.gates) {
    GateView view;
    view.gate = NameOf(gate.config);
    if (IsOutside(gate.config.kind)) {
      const OutsideState& outside = gate.outside;
      view.outside = {std::string(GateName(gate.config.kind)),
                      outside.passes,
                      outside.failures,
                      FailuresAllowed(gate.config),
                      outside.said,
                      outside.passed,
                      outside.failed,
                      outside.open};
      views.push_back(std::move(view));
      continue;
    }
    view.harm_log_e = gate.HarmLogE();
    view.harm_log_bound = HarmBound(s, gate.config);
    view.weight = gate.config.weight;
    view.alpha = AlphaOf(s, gate.config);
    view.safe_log_e = gate.SafeLogE();
    view.safe_log_bound = SafeBound(s);
    if (gate.HasThresholds()) {
      const ArmCounts &mine = gate.candidate[gate.safe_index],
                      &theirs = gate.stable[gate.safe_index];
      view.candidate_exposure = mine.exposure;
      view.candidate_events = mine.events;
      view.stable_exposure = theirs.exposure;
      view.stable_events = theirs.events;
      if (gate.loss) view.loss = LossView(*gate.loss);
      if (mine.exposure == 0 && gate.flips.compared > 0) {
        const GateState::Flips& flips = gate.flips;
        view.candidate_exposure = view.stable_exposure = flips.labelled();
        view.candidate_events = flips.candidate_wrong + flips.both_wrong;
        view.stable_events = flips.stable_wrong + flips.both_wrong;
      }
    }
    view.candidate_exposure_needed = std::max<int64_t>(0, gate.needed);
    views.push_back(std::move(view));
  }
  return views;
}

std::string_view ReadoutVerdictName(ReadoutView::Verdict verdict) {
  switch (verdict) {
    case ReadoutView::Verdict::kOpen:
      return "open";
    case ReadoutView::Verdict::kBetter:
      return "better";
    case ReadoutView::Verdict::kWorse:
      return "worse";
  }
  return "unknown";
}

namespace {

ReadoutView ReadoutOf(std::string metric, std::string event, const ArmCounts& mine,
                      const ArmCounts& theirs) {
  ReadoutView one;
  one.metric = std::move(metric);
  one.event = std::move(event);
  one.candidate_exposure = mine.exposure;
  one.candidate_events = std::min(mine.events, mine.exposure);
  one.stable_exposure = theirs.exposure;
  one.stable_events = std::min(theirs.events, theirs.exposure);
  return one;
}

/// Between what the difference lies: one of so many that are right together.
void Measure(ReadoutView& one, const RolloutState& s, double promised) {
  const double level = 1 - (1 - AbOf(s).confidence) / promised;
  const RateDifference found = DifferenceOfRates({one.candidate_exposure, one.candidate_events},
                                                 {one.stable_exposure, one.stable_events}, level);
  one.low = found.low;
  one.high = found.high;
  if (found.high < 0) one.verdict = ReadoutView::Verdict::kBetter;
  if (found.low > 0) one.verdict = ReadoutView::Verdict::kWorse;
}

bool HasGate(const RolloutState& s, RolloutGate::Kind kind) {
  return std::any_of(s.gates.begin(), s.gates.end(),
                     [&](const GateState& gate) { return gate.config.kind == kind; });
}

std::optional<SegmentsView> SegmentsOf(const RolloutState& s) {
  if (!s.plan.segments) return std::nullopt;
  SegmentsView view{SegmentsRollBack(s), static_cast<int>(SegmentTests(s)), SegmentsAlpha(s), {}};
  const std::vector<size_t> gates = SegmentGates(s);
  const std::vector<Harmed> harmed = HarmedSegments(s);
  for (size_t i = 0; i < s.segments.size(); ++i) {
    for (size_t k = 0; k < gates.size(); ++k) {
      const SegmentEvidence& evidence = s.segments[i].gates[k];
      if (evidence.candidate.exposure + evidence.stable.exposure == 0) continue;
      const bool named = std::any_of(harmed.begin(), harmed.end(), [&](const Harmed& test) {
        return test.segment == i && test.gate == k;
      });
      view.tests_of.push_back({s.segments[i].name, std::string(NameOf(s.gates[gates[k]].config)),
                               evidence.stable.exposure, evidence.stable.events,
                               evidence.candidate.exposure, evidence.candidate.events,
                               evidence.harm.log_e(), named});
    }
  }
  return view;
}

}  // namespace

std::vector<ReadoutView> MakeReadout(const RolloutState& s) {
  std::vector<ReadoutView> readout;
  if (!IsAb(s)) return readout;
  auto add = [&](std::string metric, std::string event, ArmCounts mine, ArmCounts theirs) {
    readout.push_back(ReadoutOf(std::move(metric), std::move(event), mine, theirs));
  };
  add("errors", "answered with an error", {s.candidate_sums.requests, s.candidate_sums.errors},
      {s.stable_sums.requests, s.stable_sums.errors});
  for (const GateState& gate : s.gates) {
    if (gate.config.kind != RolloutGate::Kind::kLatency || !gate.HasThresholds()) continue;
    const size_t at = gate.safe_index;
    add("latency",
        StrCat("took ", Span(Duration(LatencyScheme::LowerEdge(s.thresholds[at]))), " or longer"),
        gate.candidate[at], gate.stable[at]);
  }
  const bool quality = HasGate(s, RolloutGate::Kind::kQuality);
  if (quality && s.candidate_sums.labelled + s.stable_sums.labelled > 0) {
    add("quality", "labelled and wrong", {s.candidate_sums.labelled, s.candidate_sums.wrong},
        {s.stable_sums.labelled, s.stable_sums.wrong});
  }
  // Of the plan, not of what has been counted so far: what is added later must not have been promised to others before.
  const double promised =
      1.0 + (HasGate(s, RolloutGate::Kind::kLatency) ? 1 : 0) + (quality ? 1 : 0);
  for (ReadoutView& one : readout) Measure(one, s, promised);
  return readout;
}

std::vector<ReadoutView> MakeSegmentReadout(const RolloutState& s) {
  std::vector<ReadoutView> readout;
  if (!IsAb(s) || !s.plan.segments) return readout;
  const bool quality = HasGate(s, RolloutGate::Kind::kQuality);
  const double promised = s.plan.segments->max * (quality ? 2.0 : 1.0);
  for (const SegmentState& segment : s.segments) {
    auto add = [&](const char* metric, const char* event, const ArmCounts& mine,
                   const ArmCounts& theirs) {
      if (mine.exposure + theirs.exposure == 0) return;
      readout.push_back(ReadoutOf(metric, event, mine, theirs));
      readout.back().segment = segment.name;
      Measure(readout.back(), s, promised);
    };
    add("errors", "answered with an error", segment.candidate_requests, segment.stable_requests);
    if (quality)
      add("quality", "labelled and wrong", segment.candidate_labels, segment.stable_labels);
  }
  return readout;
}

RolloutView MakeView(int64_t id, const RolloutState& s) {
  RolloutView view;
  view.id = id;
  view.model = s.model;
  view.stable = s.stable;
  view.candidate = s.candidate;
  view.strategy = StrategyName(s.plan.strategy);
  view.phase = s.phase;
  view.step = s.step;
  view.step_count = static_cast<int>(s.plan.steps.size());
  view.share = WantedShare(s);
  view.mirror = WantedMirror(s);
  view.readout = MakeReadout(s);
  view.segment_readout = MakeSegmentReadout(s);
  view.segments = SegmentsOf(s);
  if (IsAb(s)) view.confidence = AbOf(s).confidence;
  if (Mirrors(s.plan)) view.copies = CopiesOf(s.pair_sums);
  view.started = s.started;
  view.ended = s.ended;
  view.reason = s.reason;
  view.candidate_requests = s.candidate_sums.requests;
  view.stable_requests = s.stable_sums.requests;
  view.candidate_errors = s.candidate_sums.errors;
  view.stable_errors = s.stable_sums.errors;
  view.alpha = s.plan.alpha;
  view.beta = s.plan.beta;
  view.gates = MakeGateViews(s);
  view.plan_notes = s.notes;
  view.paused_by = s.paused_by;
  view.undo_by = s.undo_by;
  view.awaits_approval = s.awaits_approval;
  view.split_seed = s.split_seed;
  const double share = AppliedShare(PresentStep(s).weight);
  if (s.phase == RolloutPhase::kProbation) view.probation_left = ProbationLeft(s);
  if (s.plan.sample_ratio_alpha > 0 && share > 0 && share < 1 &&
      s.phase != RolloutPhase::kProbation) {
    view.sample_ratio = {
        share,         s.split.counts.candidate, s.split.counts.stable, s.split.counts.LogE(share),
        SplitBound(s), s.split.mismatch};
  }
  return view;
}

TickView MakeTickView(const StepInput& in, const StepOutput& out) {
  TickView view;
  view.time = in.time;
  view.step = out.state.step;
  view.share = WantedShare(out.state);
  view.mirror = WantedMirror(out.state);
  if (in.metrics_ok) {
    if (!in.pairs.empty()) view.copies = CopiesOf(in.pairs);
    view.stable_requests = in.stable_window.requests;
    view.candidate_requests = in.candidate_window.requests;
    view.stable_errors = in.stable_window.errors;
    view.candidate_errors = in.candidate_window.errors;
    view.stable_labelled = in.stable_window.labelled;
    view.candidate_labelled = in.candidate_window.labelled;
    view.stable_wrong = in.stable_window.wrong;
    view.candidate_wrong = in.candidate_window.wrong;
  }
  view.gates = MakeGateViews(out.state);
  view.decision = out.decision;
  return view;
}

}  // namespace leadsman
