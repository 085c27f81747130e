#include "rollout/gate_state.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/strings.h"
#include "rollout/outside_reader.h"
#include "rollout/words.h"

namespace leadsman {

void Add(PairDelta& sums, const PairDelta& window) {
  sums.pairs += window.pairs;
  sums.stable_failed += window.stable_failed;
  sums.candidate_failed += window.candidate_failed;
  sums.both_failed += window.both_failed;
  sums.compared += window.compared;
  sums.differing += window.differing;
  sums.flips += window.flips;
  sums.uncompared += window.uncompared;
  sums.timed += window.timed;
  sums.stable_wrong += window.stable_wrong;
  sums.candidate_wrong += window.candidate_wrong;
  sums.both_wrong += window.both_wrong;
  sums.unsent += window.unsent;
}

namespace {

/// A source that counts an event before its exposure would break the tests' premise.
ArmCounts Sane(ArmCounts counts) {
  counts.events = std::min(counts.events, counts.exposure);
  return counts;
}

/// The likelihood ratio of odds g times those of `max` against `max` itself is that of a rate ratio g at the share `max`: events
/// here, the rest there.
void HoldAgainst(double max, const ArmCounts& window, HarmTest& harm) {
  harm.UpdateWithShare(max, window.events, window.exposure - window.events);
}

}  // namespace

void Add(ArmCounts& sums, const ArmCounts& window) {
  sums.exposure += window.exposure;
  sums.events += window.events;
}

void SegmentEvidence::Fold(const RolloutGate& gate, const ArmCounts& candidate_window,
                           const ArmCounts& stable_window) {
  const ArmCounts mine = Sane(candidate_window), theirs = Sane(stable_window);
  Add(candidate, mine);
  Add(stable, theirs);
  if (gate.max) {
    HoldAgainst(*gate.max, mine, harm);
    return;
  }
  open.Add(mine, theirs);
  if (open.Full()) CloseWindow();
}

void SegmentEvidence::CloseWindow() {
  const EvidenceWindow window = std::exchange(open, {});
  harm.Update(window.candidate, window.stable);
}

LossEvidence::LossEvidence(const RolloutGate& gate) : measure(MeasureOf(gate)), safe(gate.margin) {
  if (const double bound = gate.max.value_or(gate.loss.good_enough); bound > 0)
    floor.emplace(bound / measure.highest);
}

void LossEvidence::Fold(const RolloutGate& gate, const LossSums& candidate_window,
                        const LossSums& stable_window) {
  candidate.Add(candidate_window);
  stable.Add(stable_window);
  if (floor) floor->Update(candidate_window);
  if (gate.max) {
    harm.UpdateAgainst(*gate.max / measure.highest, candidate_window);
    return;
  }
  open_candidate.Add(candidate_window);
  open_stable.Add(stable_window);
  const uint64_t fewer = std::min(open_candidate.count, open_stable.count);
  if (fewer >= EvidenceWindow::kEnough) CloseWindow();
}

void LossEvidence::CloseWindow() {
  const LossSums mine = std::exchange(open_candidate, {});
  const LossSums theirs = std::exchange(open_stable, {});
  harm.Update(mine, theirs);
  safe.Update(mine, theirs);
}

double LossEvidence::SafeLogE(const RolloutGate& gate) const {
  if (!floor) return safe.log_e();
  if (gate.max) return floor->log_e();
  double logs[] = {safe.log_e(), floor->log_e()};
  return LogMeanExp(logs);
}

namespace {

/// What the test of harm compares a candidate's mean with, and at which share.
struct ComparedMean {
  double mean, share;
};
ComparedMean ComparedWith(const RolloutGate& gate, double share, double stable) {
  // A test of the candidate alone costs what one beside a stable version of which all is known does.
  constexpr double kAlone = 1e-6;
  if (gate.max) return {*gate.max / MeasureOf(gate).highest, kAlone};
  return {stable, share};
}

}  // namespace

double LossHarmExposure(const RolloutGate& gate, double log_bound, double share, double candidate,
                        double stable, double spread) {
  const ComparedMean with = ComparedWith(gate, share, stable);
  return planning::MeanHarmExposure(log_bound, with.share, candidate - with.mean, spread);
}

double LeastHarmfulLoss(const RolloutGate& gate, double log_bound, double share, double stable,
                        double spread, double exposures) {
  const ComparedMean with = ComparedWith(gate, share, stable);
  const double least =
      with.mean + planning::SmallestMeanHarm(log_bound, with.share, spread, exposures);
  return least <= 1 ? least : std::numeric_limits<double>::infinity();
}

std::string WideHighest(const RolloutGate& gate, double mean) {
  constexpr double kWide = 30;
  if (gate.loss.metric == LossMetric::kBrier || mean <= 0 || mean * kWide >= 1) return "";
  return StrCat("highest (", words::Significant(gate.loss.highest, 3), ") is ",
                words::Significant(1 / mean, 2),
                " times the mean of the stable version: a lower one needs fewer labels");
}

double LossSafeExposure(const RolloutGate& gate, double log_bound, double share, double mean,
                        double spread) {
  const double highest = MeasureOf(gate).highest;
  if (!gate.max) {
    return planning::MeanSafeExposure(log_bound, share, mean, spread, gate.margin,
                                      gate.loss.good_enough / highest);
  }
  // Of one test alone, where that plans for the mean of two.
  return planning::MeanSafeExposure(log_bound - std::log(2.0), 0, mean, spread, gate.margin,
                                    *gate.max / highest);
}

GateState::GateState(const RolloutGate& gate) : config(gate), safe(gate.margin) {
  if (IsOutside(gate.kind)) return;
  if (gate.kind == RolloutGate::Kind::kLoss) {
    loss.emplace(gate);
    SetThresholds(1, 0);
    return;
  }
  if (const double bound = gate.max.value_or(gate.floor); bound > 0) floor.emplace(bound);
  if (gate.kind != RolloutGate::Kind::kLatency || gate.max) SetThresholds(1, 0);
}

void GateState::SetThresholds(size_t count, size_t index_of_safe_quantile) {
  harm.resize(count);
  candidate.resize(count);
  stable.resize(count);
  open.resize(count);
  safe_index = index_of_safe_quantile;
}

double GateState::HarmLogE() const {
  if (loss) return loss->harm.log_e();
  std::vector<double> logs;
  for (const HarmTest& test : harm) logs.push_back(test.log_e());
  return LogMeanExp(logs);
}

double GateState::SafeLogE() const {
  if (loss) return loss->SafeLogE(config);
  if (!floor) return safe.log_e();
  if (config.max) return floor->log_e();
  double logs[] = {safe.log_e(), floor->log_e()};
  return LogMeanExp(logs);
}

void GateState::Fold(size_t index, const ArmCounts& candidate_window,
                     const ArmCounts& stable_window) {
  const ArmCounts mine = Sane(candidate_window), theirs = Sane(stable_window);
  Add(candidate[index], mine);
  Add(stable[index], theirs);
  // The floor test asks for no share.
  if (index == safe_index && floor) floor->Update(mine);
  if (config.max) {
    HoldAgainst(*config.max, mine, harm[index]);
    return;
  }
  open[index].Add(mine, theirs);
  if (open[index].Full()) CloseWindow(index);
}

void GateState::FoldLosses(const ArmDelta& candidate_window, const ArmDelta& stable_window) {
  const LossSums &mine = candidate_window.losses, &theirs = stable_window.losses;
  Add(candidate[0], {mine.count, mine.clipped});
  Add(stable[0], {theirs.count, theirs.clipped});
  loss->unmeasured += candidate_window.unmeasured + stable_window.unmeasured;
  loss->Fold(config, mine, theirs);
}

/// Under "not worse" what one alone has bad is the candidate's with probability 1/2 at most, whatever the two have in common: the
/// sequential McNemar test. Pairs with both bad would only take from it. They do tell that rates are alike, so the test of safety
/// has them. That is valid for pairs however alike: with P(candidate) = b + c >= m (b + s), the factor's mean exceeds 1 by
/// b (xy - 1) - c (1 - x) + s (y - 1), x = theta(r)/theta(m), y = (1 - theta(r))/(1 - theta(m)), which is at most 0 for every r < m.
/// Where only the sums of both sides are known (both = 0) each common event takes 4 theta (1 - theta) <= 1 from the harm test.
void GateState::FoldPairs(size_t index, const Pairs& pairs) {
  const ArmCounts mine{pairs.exposure, pairs.candidate_only + pairs.both};
  const ArmCounts theirs{pairs.exposure, pairs.stable_only + pairs.both};
  if (config.max) {
    Fold(index, mine, theirs);
    return;
  }
  Add(candidate[index], mine);
  Add(stable[index], theirs);
  harm[index].UpdateWithShare(0.5, pairs.candidate_only, pairs.stable_only);
  if (index != safe_index) return;
  safe.Update(mine, theirs);
  if (floor) floor->Update(mine);
}

/// The floor is held against how many answers have another class: by no more can its classes be wrong more often.
void GateState::FoldFlips(const PairDelta& pairs) {
  flips.compared += pairs.compared;
  flips.differing += pairs.flips;
  flips.stable_wrong += pairs.stable_wrong;
  flips.candidate_wrong += pairs.candidate_wrong;
  flips.both_wrong += pairs.both_wrong;
  harm[0].UpdateWithShare(0.5, pairs.candidate_wrong, pairs.stable_wrong);
  const uint64_t rows = pairs.candidate_wrong + pairs.stable_wrong;
  safe.Update({rows, pairs.candidate_wrong}, {rows, pairs.stable_wrong});
  if (floor) floor->Update({pairs.compared, pairs.flips});
}

void GateState::CloseWindow(size_t index) {
  if (loss) {
    loss->CloseWindow();
    return;
  }
  const EvidenceWindow window = std::exchange(open[index], {});
  harm[index].Update(window.candidate, window.stable);
  if (index == safe_index) safe.Update(window.candidate, window.stable);
}

void GateState::CloseWindows() {
  for (size_t index = 0; index < open.size(); ++index) CloseWindow(index);
}

ArmCounts GateState::StableSoFar() const {
  ArmCounts sum = before;
  if (HasThresholds()) {
    sum.exposure += stable[safe_index].exposure;
    sum.events += stable[safe_index].events;
  }
  return sum;
}

bool operator==(const RolloutGate& a, const RolloutGate& b) {
  return a.kind == b.kind && a.weight == b.weight && a.margin == b.margin && a.floor == b.floor &&
         a.quantiles == b.quantiles && a.safe_quantile == b.safe_quantile &&
         a.ignore_below == b.ignore_below && a.max == b.max && a.slower_than == b.slower_than &&
         a.only_classes == b.only_classes && a.loss == b.loss && a.outside == b.outside;
}

bool operator==(const GateState& a, const GateState& b) {
  return a.config == b.config && a.harm == b.harm && a.safe == b.safe && a.floor == b.floor &&
         a.candidate == b.candidate && a.stable == b.stable && a.open == b.open &&
         a.safe_index == b.safe_index && a.flips == b.flips && a.before == b.before &&
         a.needed == b.needed && a.loss == b.loss && a.outside == b.outside;
}

std::string_view GateName(RolloutGate::Kind kind) {
  switch (kind) {
    case RolloutGate::Kind::kErrors:
      return "errors";
    case RolloutGate::Kind::kLatency:
      return "latency";
    case RolloutGate::Kind::kQuality:
      return "quality";
    case RolloutGate::Kind::kLoss:
      return "loss";
    case RolloutGate::Kind::kAnswers:
      return "answers";
    case RolloutGate::Kind::kPromql:
      return "promql";
    case RolloutGate::Kind::kWebhook:
      return "webhook";
  }
  return "unknown";
}

std::optional<RolloutGate::Kind> ParseGateName(std::string_view name) {
  for (auto kind :
       {RolloutGate::Kind::kErrors, RolloutGate::Kind::kLatency, RolloutGate::Kind::kQuality,
        RolloutGate::Kind::kLoss, RolloutGate::Kind::kAnswers, RolloutGate::Kind::kPromql,
        RolloutGate::Kind::kWebhook}) {
    if (name == GateName(kind)) return kind;
  }
  return std::nullopt;
}

uint32_t BucketFrom(std::chrono::milliseconds time) {
  auto ns = static_cast<uint64_t>(std::max<int64_t>(0, std::chrono::nanoseconds(time).count()));
  auto bucket = static_cast<uint32_t>(LatencyScheme::Index(ns));
  if (ns > 0 && LatencyScheme::LowerEdge(bucket) < ns) ++bucket;
  return std::min(bucket, static_cast<uint32_t>(LatencyScheme::kBuckets - 1));
}

LatencyThresholds ChooseThresholds(const RolloutGate& gate, const SparseLatency& stable) {
  constexpr auto kLast = static_cast<uint32_t>(LatencyScheme::kBuckets - 1);
  const uint32_t lowest = BucketFrom(gate.ignore_below);
  const uint64_t total = CountAll(stable);
  auto bucket_above = [&](double quantile) {
    auto rank = static_cast<uint64_t>(std::ceil(quantile * static_cast<double>(total)));
    uint64_t seen = 0;
    uint32_t bucket = 0;
    for (const auto& [index, count] : stable) {
      seen += count;
      bucket = index;
      if (seen >= rank) break;
    }
    return std::clamp(bucket + 1, std::min(lowest, kLast), kLast);
  };
  LatencyThresholds chosen;
  for (double quantile : gate.quantiles) chosen.buckets.push_back(bucket_above(quantile));
  const uint32_t safe = bucket_above(gate.safe_quantile);
  chosen.buckets.push_back(safe);
  std::sort(chosen.buckets.begin(), chosen.buckets.end());
  chosen.buckets.erase(std::unique(chosen.buckets.begin(), chosen.buckets.end()),
                       chosen.buckets.end());
  chosen.safe_index =
      static_cast<size_t>(std::lower_bound(chosen.buckets.begin(), chosen.buckets.end(), safe) -
                          chosen.buckets.begin());
  return chosen;
}

SparseLatency ToSparse(const LatencyBuckets& buckets) {
  SparseLatency sparse;
  for (size_t i = 0; i < buckets.size(); ++i) {
    if (buckets[i] != 0) sparse.emplace_back(static_cast<uint32_t>(i), buckets[i]);
  }
  return sparse;
}

uint64_t CountAll(const SparseLatency& latency) {
  uint64_t sum = 0;
  for (const auto& [index, count] : latency) sum += count;
  return sum;
}

uint64_t CountFrom(const LatencyBuckets& buckets, uint32_t first) {
  uint64_t sum = 0;
  for (size_t i = first; i < buckets.size(); ++i) sum += buckets[i];
  return sum;
}

}  // namespace leadsman
