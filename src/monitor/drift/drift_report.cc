#include "monitor/drift/drift_report.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "math/distance.h"
#include "monitor/words.h"

namespace leadsman {
namespace {

using Json = nlohmann::ordered_json;
using Kind = ReferenceStream::Kind;

uint64_t Independent(uint64_t rows, double memory) {
  return static_cast<uint64_t>(std::max(1.0, static_cast<double>(rows) / memory));
}

DistanceReport Report(double value, NoiseFloor floor) { return {value, floor.mean, floor.p99}; }

/// Bins by the mean of what the reference has in them; the outermost are bounded by its extremes.
WeightedValues BinValues(const ReferenceNumber& reference, std::span<const uint64_t> counts) {
  std::vector<double> sums(reference.bins.size()), weights(reference.bins.size());
  for (const QuantileSketch::Bin& bin : reference.sketch.Bins()) {
    size_t at = reference.bins.IndexOf(static_cast<float>(bin.middle));
    sums[at] += bin.middle * static_cast<double>(bin.count);
    weights[at] += static_cast<double>(bin.count);
  }
  WeightedValues values;
  auto cuts = reference.bins.cuts();
  for (size_t i = 0; i < sums.size(); ++i) {
    double cut = cuts.empty() ? 0 : cuts[std::min(i, cuts.size() - 1)];
    double value = weights[i] > 0 ? sums[i] / weights[i] : cut;
    if (!values.empty()) value = std::max(value, values.back().value);
    values.push_back({value, static_cast<double>(counts[i])});
  }
  return values;
}

Json DistanceJson(const DistanceReport& d) {
  return {{"value", d.value}, {"noise", d.noise}, {"noise_p99", d.noise_p99}};
}

double ShareOfWindow(uint64_t part, uint64_t of) {
  return of > 0 ? static_cast<double>(part) / static_cast<double>(of) : 0;
}

/// JSON has no NaN and no infinity.
Json Finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json TextOrNull(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

/// " (income, balance)": the features that are missing most above their reference, in the window that is open or the one before.
std::string MostMissing(const DriftTrack& track) {
  constexpr size_t kTold = 3;
  std::vector<std::pair<double, std::string>> above;
  for (size_t i = 0; i < track.reference()->numbers.size(); ++i) {
    if (!track.Met(i)) continue;
    const ReferenceNumber& n = track.reference()->numbers[i];
    double most = 0;
    for (const DriftTrack::Window* window : {track.window(), &track.open()}) {
      if (window == nullptr || i >= window->numbers.size()) continue;
      const BinnedCounts& counts = window->numbers[i];
      const uint64_t gone = counts.missing() + counts.non_finite();
      most = std::max(most, ShareOfWindow(gone, counts.total()) - n.missing_share());
    }
    above.emplace_back(most, n.name);
  }
  std::stable_sort(above.begin(), above.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::string> names;
  for (const auto& [share, name] : above) {
    if (share <= 0 || share < above[0].first / 2 || names.size() == kTold) break;
    names.push_back(name);
  }
  return names.empty() ? "" : StrCat(" (", Join(names, ", "), ")");
}

/// The latest rows that a stream tells of.
uint64_t RecentRows(const DriftTrack& track, const DriftTrack::Stream& stream) {
  return uint64_t{track.reference()->block_rows} * stream.recent_size();
}

Json StreamJson(const DriftTrack& track, const DriftTrack::Stream& stream, double threshold) {
  const ReferenceStream& reference = track.reference()->streams[stream.of];
  double evidence = stream.firing ? stream.fired_evidence : stream.detector.evidence();
  // Evidence multiplies from block to block: its logarithm says how far along it is.
  const double along = threshold > 1 && evidence > 1 ? std::log(evidence) / std::log(threshold) : 0;
  return {{"name", track.reference()->StreamName(reference)},
          {"reference", reference.centre},
          {"now", stream.stale() ? Json(nullptr) : Finite(stream.Recent())},
          {"rows", RecentRows(track, stream)},
          {"rows_without_it", uint64_t{track.reference()->block_rows} * stream.blocks_without},
          {"tolerance", stream.tolerance},
          {"evidence", threshold > 0 ? evidence / threshold : 0},
          {"evidence_log", along},
          {"alarm", stream.firing},
          {"guaranteed", stream.detector.guaranteed()},
          {"not_guaranteed_because", TextOrNull(WhyNotGuaranteed(stream.detector.independence()))}};
}

Json NumberJson(const DriftTrack& track, size_t i) {
  const ReferenceNumber& n = track.reference()->numbers[i];
  Json json = {{"name", n.name},
               {"reference",
                {{"mean", n.mean},
                 {"standard_deviation", n.sigma},
                 {"min", n.sketch.min()},
                 {"max", n.sketch.max()},
                 {"missing", n.missing_share()},
                 {"autocorrelation_time", n.memory}}}};
  const DriftTrack::Window* window = track.window();
  if (window == nullptr) return json;
  const BinnedCounts& counts = window->numbers[i];
  uint64_t there = counts.total() - counts.missing() - counts.non_finite();
  double mean = n.shift + (there > 0 ? window->sums[i] / static_cast<double>(there) : 0);
  json["now"] = {{"mean", there > 0 ? Json(mean) : Json(nullptr)},
                 {"missing", ShareOfWindow(counts.total() - there, counts.total())}};
  if (there == 0 || n.sketch.count() == 0) return json;
  if (n.sigma > 0) json["shift"] = (mean - n.mean) / n.sigma;
  NumberDistances d = DistancesOf(track, i);
  json["distances"] = {{"psi", DistanceJson(d.psi)},
                       {"kolmogorov_smirnov", DistanceJson(d.kolmogorov_smirnov)},
                       {"jensen_shannon", DistanceJson(d.jensen_shannon)},
                       {"wasserstein", DistanceJson(d.wasserstein)}};
  return json;
}

Json ClassesJson(const DriftTrack& track) {
  const Reference& reference = *track.reference();
  const DriftTrack::Window* window = track.window();
  std::vector<uint64_t> of_reference = reference.class_counts;
  of_reference.push_back(0);
  Json list = Json::array();
  for (size_t i = 0; i < of_reference.size(); ++i) {
    bool named = i < reference.classes.size();
    if (!named && (window == nullptr || window->classes[i] == 0)) break;
    Json one = {{"name", named ? reference.classes[i] : "(new)"},
                {"reference", ShareOfWindow(of_reference[i], reference.answers())}};
    if (window != nullptr) one["now"] = ShareOfWindow(window->classes[i], window->answers);
    list.push_back(std::move(one));
  }
  Json json = {{"shares", std::move(list)}};
  if (window == nullptr || window->answers == 0) return json;
  TestResult chi = ChiSquare(of_reference, window->classes);
  size_t cells = OccupiedCells(of_reference, window->classes);
  json["distances"] = {
      {"psi",
       DistanceJson(Report(PopulationStabilityIndex(of_reference, window->classes),
                           PopulationStabilityNoise(cells, reference.answers(), window->answers)))},
      {"jensen_shannon",
       DistanceJson(Report(JensenShannonDistance(of_reference, window->classes),
                           JensenShannonNoise(cells, reference.answers(), window->answers)))},
      {"chi_square", DistanceJson(Report(chi.statistic, ChiSquareNoise(cells)))}};
  json["distances"]["chi_square"]["p_value"] = chi.p_value;
  return json;
}

std::string PsiText(const DriftTrack& track, size_t number) {
  if (track.window() == nullptr || track.reference()->numbers[number].sketch.count() == 0)
    return "";
  DistanceReport psi = DistancesOf(track, number).psi;
  return StrCat("; PSI ", ShortNumber(psi.value), ", to be expected without change ",
                ShortNumber(psi.noise));
}

}  // namespace

double BudgetShares::ShareOf(Harm harm) const {
  std::vector<Harm> kinds;
  for (size_t i = 0; i < detectors.size(); ++i) {
    if (detectors[i] > 0) kinds.push_back(static_cast<Harm>(i));
  }
  std::vector<double> shares = HarmFirstShares(kinds);  // one detector of each kind that there is
  for (size_t i = 0; i < kinds.size(); ++i) {
    if (kinds[i] == harm)
      return shares[i] / static_cast<double>(detectors[static_cast<size_t>(harm)]);
  }
  return 0;
}

double BudgetShares::ThresholdOf(const DriftTrack& track, SteadyTime now) const {
  return AlarmThreshold(budget, ShareOf(track.harm()), track.LooksPerSecond(now));
}

NumberDistances DistancesOf(const DriftTrack& track, size_t number) {
  const ReferenceNumber& reference = track.reference()->numbers[number];
  std::span<const uint64_t> before = reference.counts.bins();
  std::span<const uint64_t> now = track.window()->numbers[number].bins();
  uint64_t n = Independent(reference.sketch.count(), reference.memory);
  uint64_t in_window = 0;
  for (uint64_t count : now) in_window += count;
  uint64_t m = Independent(in_window, reference.memory);
  size_t cells = OccupiedCells(before, now);
  WeightedValues values = BinValues(reference, before);
  return {Report(PopulationStabilityIndex(before, now), PopulationStabilityNoise(cells, n, m)),
          Report(KolmogorovSmirnovOfCells(before, now).statistic, KolmogorovSmirnovNoise(n, m)),
          Report(JensenShannonDistance(before, now), JensenShannonNoise(cells, n, m)),
          Report(WassersteinInSigmas(values, BinValues(reference, now)),
                 WassersteinNoise(values, n, m))};
}

std::string SummaryOf(const std::string& model, int64_t version, const DriftTrack& track,
                      const DriftTrack::Stream& stream) {
  const Reference& reference = *track.reference();
  const ReferenceStream& from = reference.streams[stream.of];
  double now = stream.Recent();
  std::string of = StrCat(" of ", model, ":", version);
  std::string over = StrCat(" over the last ", RecentRows(track, stream),
                            track.of() == DriftTrack::Of::kLabels ? " labels" : " requests");
  const char* way = now >= from.centre ? "up" : "down";
  std::string points =
      StrCat(ShortNumber(now * 100), " %, reference ", ShortNumber(from.centre * 100), " %");
  if (track.of() == DriftTrack::Of::kLabels) {
    return StrCat("answers", of, " are wrong more often than in the reference: ", points, over);
  }
  switch (from.kind) {
    case Kind::kMean: {
      const ReferenceNumber& n = reference.numbers[from.of];
      std::string by = n.sigma > 0
                           ? StrCat(" by ", ShortNumber(std::fabs(now - n.mean) / n.sigma), " σ")
                           : std::string();
      return StrCat(n.name, of, " has moved ", way, by, " (mean ", ShortNumber(now), ", reference ",
                    ShortNumber(n.mean), ")", over, PsiText(track, from.of));
    }
    case Kind::kSpread:
      return StrCat("the spread of ", reference.numbers[from.of].name, of, " has gone ", way,
                    ": standard deviation ", ShortNumber(std::exp(now)), ", reference ",
                    ShortNumber(std::exp(from.centre)), over, PsiText(track, from.of));
    case Kind::kShare:
      return StrCat("class ", reference.classes[from.of], of, " is answered ",
                    now >= from.centre ? "more" : "less", " often: ", points, over);
    case Kind::kOthers:
      return StrCat("classes", of, " that were rare or unknown are answered ",
                    now >= from.centre ? "more" : "less", " often: ", points, over);
    case Kind::kMissing:
      break;
  }
  return StrCat("values", of, " are missing more often: ", ShortNumber(now * 100),
                " points above the reference in the worst of them", MostMissing(track), over);
}

std::string_view NotGuaranteedReason(const IndependenceCheck& reference) {
  if (reference.independent()) return "";
  return kNotGuaranteedReasons[reference.size < IndependenceCheck::kFewest ? 0 : 1];
}

std::string WhyNotGuaranteed(const IndependenceCheck& reference) {
  if (reference.independent()) return "";
  if (reference.size < IndependenceCheck::kFewest) {
    return StrCat("its reference has ", reference.size, " blocks, and of fewer than ",
                  IndependenceCheck::kFewest,
                  " it cannot be told whether they depend on each other: a longer reference can "
                  "(monitoring.reference.requests; that of labels has 1,000 rows at most)");
  }
  return StrCat("the blocks of its reference depend on each other (correlation of neighbours ",
                ShortNumber(reference.lag1), ", p ", ShortNumber(reference.p_value),
                "), as by a daily rhythm or a trend: a reference of whole days may help "
                "(monitoring.reference.period: 24h)");
}

nlohmann::ordered_json TrackJson(const DriftTrack& track, const BudgetShares& shares,
                                 SteadyTime now) {
  const Json collected = {{"rows", track.collected()}, {"of", track.reference_rows()}};
  if (!track.reference()) {
    return {{"reference",
             {{"state", "collecting"}, {"rows", collected["rows"]}, {"of", collected["of"]}}}};
  }
  const Reference& reference = *track.reference();
  size_t blocks = reference.streams.empty() ? 0 : reference.streams[0].blocks.size();
  Json json = {{"reference",
                {{"state", "ready"},
                 {"from", ReferenceFromName(reference.from)},
                 {"taken", FormatRfc3339(FromUnixMillis(reference.taken_ms))},
                 {"rows", reference.rows},
                 {"block_rows", reference.block_rows},
                 {"blocks", blocks}}},
               {"wide", reference.wide},
               {"blocks_seen", track.looks()},
               {"window_rows", track.window() != nullptr ? track.window()->rows : 0}};
  if (track.collecting()) json["reference"]["next"] = collected;
  if (track.unwatched()) json["unwatched"] = true;
  Json numbers = Json::array();
  for (size_t i = 0; i < reference.numbers.size(); ++i) numbers.push_back(NumberJson(track, i));
  json["numbers"] = std::move(numbers);
  if (!reference.classes.empty()) json["classes"] = ClassesJson(track);
  double threshold = shares.ThresholdOf(track, now);
  Json streams = Json::array();
  for (const DriftTrack::Stream& s : track.streams()) {
    streams.push_back(StreamJson(track, s, threshold));
  }
  json["streams"] = std::move(streams);
  return json;
}

}  // namespace leadsman
