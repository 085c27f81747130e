#include "intake/shadow_book.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/strings.h"
#include "events/same_answer.h"

namespace leadsman::intake {
namespace {

constexpr size_t kMaxId = 256;

constexpr double kMostEvidence = 1e300;  // what JSON and Prometheus take without a thought

double EValue(const HarmTest& test) { return std::min(std::exp(test.log_e()), kMostEvidence); }

std::string FlipKey(std::string_view model, std::string_view request_id, uint32_t row) {
  return StrCat(model, "\n", request_id, "\n", row);
}

/// Worth a look at what was asked.
bool IsExample(ShadowResult result) {
  return result == ShadowResult::kDiffers || result == ShadowResult::kClassFlip ||
         result == ShadowResult::kLiveFailed || result == ShadowResult::kShadowFailed;
}

}  // namespace

std::string_view ShadowResultName(ShadowResult result) {
  static constexpr std::array<std::string_view, kShadowResults> kNames = {
      "equal",         "within_tolerance", "differs",  "class_flip",    "live_failed",
      "shadow_failed", "both_failed",      "not_kept", "not_understood"};
  return kNames[static_cast<size_t>(result)];
}

ShadowResult ShadowResultOf(AnswerDifference::Kind kind) {
  using Kind = AnswerDifference::Kind;
  switch (kind) {
    case Kind::kEqual:
      return ShadowResult::kEqual;
    case Kind::kWithinTolerance:
      return ShadowResult::kWithinTolerance;
    case Kind::kDiffers:
      return ShadowResult::kDiffers;
    case Kind::kClassFlip:
      return ShadowResult::kClassFlip;
    case Kind::kNotKept:
      return ShadowResult::kNotKept;
    case Kind::kNotUnderstood:
      return ShadowResult::kNotUnderstood;
  }
  return ShadowResult::kNotUnderstood;
}

void ShadowBook::Add(std::string_view model, int64_t live, int64_t shadow, ShadowResult result,
                     std::optional<double> difference, std::string_view request_id,
                     std::optional<Latencies> latencies, bool same_classes) {
  const auto at = static_cast<size_t>(result);
  MutexLock lock(mutex_);
  Counts& counts = counts_[Key(std::string(model), live, shadow)];
  ++counts.results[at];
  if (result == ShadowResult::kDiffers && !same_classes) ++counts.classes_unknown;
  if (latencies) {
    ++counts.live_latency[LatencyScheme::Index(latencies->live_ns)];
    ++counts.shadow_latency[LatencyScheme::Index(latencies->shadow_ns)];
  }
  if (result <= ShadowResult::kClassFlip && difference) {
    const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), *difference);
    ++counts.differences[static_cast<size_t>(bucket - kBounds.begin())];
    if (std::isfinite(*difference)) counts.sum += *difference;
    counts.largest = std::max(counts.largest, *difference);
  }
  if (request_id.empty() || !IsExample(result)) return;
  auto& examples = counts.examples[at];
  examples.emplace_front(request_id.substr(0, kMaxId));
  if (examples.size() > kExamples) examples.pop_back();
}

void ShadowBook::AddFlip(std::string_view model, int64_t live, int64_t shadow,
                         std::string_view request_id, uint32_t row, std::string_view shadow_class) {
  if (request_id.empty() || shadow_class.empty()) return;
  std::string key = FlipKey(model, request_id, row);
  MutexLock lock(mutex_);
  const auto [at, added] = flips_.try_emplace(
      key, Flip{Key(std::string(model), live, shadow), std::string(shadow_class)});
  if (!added) return;  // of an id that was used twice the first counts, as for labels
  flips_order_.push_back(std::move(key));
  if (flips_order_.size() <= kMaxFlips) return;
  flips_.erase(flips_order_.front());
  flips_order_.pop_front();
}

void ShadowBook::OnLabelled(const LabelledPrediction& labelled) {
  MutexLock lock(mutex_);
  if (flips_.empty()) return;
  const auto at = flips_.find(FlipKey(labelled.model, labelled.request_id, labelled.row));
  if (at == flips_.end() || std::get<1>(at->second.key) != labelled.version) return;
  Counts& counts = counts_[at->second.key];
  const bool shadow_wrong = !SameAnswer(at->second.shadow_class, labelled.label);
  flips_.erase(at);
  if (labelled.wrong && shadow_wrong) {
    ++counts.neither_right;
    return;
  }
  // An equal shadow: each of the two is the one that is wrong with probability 1/2.
  ++(labelled.wrong ? counts.shadow_right : counts.live_right);
  counts.shadow_worse.UpdateWithShare(0.5, shadow_wrong ? 1 : 0, labelled.wrong ? 1 : 0);
  counts.live_worse.UpdateWithShare(0.5, labelled.wrong ? 1 : 0, shadow_wrong ? 1 : 0);
}

std::vector<ShadowBook::Pair> ShadowBook::pairs() const {
  std::vector<Pair> pairs;
  MutexLock lock(mutex_);
  for (const auto& [key, counts] : counts_) {
    Pair& pair = pairs.emplace_back();
    std::tie(pair.model, pair.live, pair.shadow) = key;
    pair.largest_difference = counts.largest;
    pair.live_right = counts.live_right;
    pair.shadow_right = counts.shadow_right;
    pair.neither_right = counts.neither_right;
    pair.e_shadow_worse = EValue(counts.shadow_worse);
    pair.e_live_worse = EValue(counts.live_worse);
    for (size_t i = 0; i < kShadowResults; ++i) {
      const std::string name(ShadowResultName(static_cast<ShadowResult>(i)));
      pair.results[name] = counts.results[i];
      if (!counts.examples[i].empty())
        pair.examples[name].assign(counts.examples[i].begin(), counts.examples[i].end());
    }
  }
  return pairs;
}

ShadowBook::Totals ShadowBook::TotalsOf(const std::string& model, int64_t live,
                                        int64_t shadow) const {
  MutexLock lock(mutex_);
  const auto at = counts_.find(Key(model, live, shadow));
  if (at == counts_.end()) return {};
  const Counts& counts = at->second;
  return {counts.results,      counts.live_latency,  counts.shadow_latency, counts.live_right,
          counts.shadow_right, counts.neither_right, counts.classes_unknown};
}

std::vector<MetricSample> ShadowBook::Results() const {
  std::vector<MetricSample> samples;
  MutexLock lock(mutex_);
  for (const auto& [key, counts] : counts_) {
    const auto& [model, live, shadow] = key;
    for (size_t i = 0; i < kShadowResults; ++i) {
      MetricSample& sample = samples.emplace_back();
      sample.label_values = {model, std::to_string(shadow), std::to_string(live),
                             std::string(ShadowResultName(static_cast<ShadowResult>(i)))};
      sample.value = static_cast<double>(counts.results[i]);
    }
  }
  return samples;
}

std::vector<MetricSample> ShadowBook::Differences() const {
  std::vector<MetricSample> samples;
  MutexLock lock(mutex_);
  for (const auto& [key, counts] : counts_) {
    const auto& [model, live, shadow] = key;
    MetricSample& sample = samples.emplace_back();
    sample.label_values = {model, std::to_string(shadow), std::to_string(live)};
    sample.upper_bounds.assign(kBounds.begin(), kBounds.end());
    for (size_t i = 0; i < counts.differences.size(); ++i) {
      sample.count += counts.differences[i];
      if (i < kBounds.size()) sample.cumulative.push_back(sample.count);
    }
    sample.sum = counts.sum;
  }
  return samples;
}

std::vector<MetricSample> ShadowBook::Labelled() const {
  std::vector<MetricSample> samples;
  MutexLock lock(mutex_);
  for (const auto& [key, counts] : counts_) {
    const auto& [model, live, shadow] = key;
    for (const auto& [right, count] :
         {std::pair("live", counts.live_right), std::pair("shadow", counts.shadow_right),
          std::pair("neither", counts.neither_right)}) {
      MetricSample& sample = samples.emplace_back();
      sample.label_values = {model, std::to_string(shadow), std::to_string(live), right};
      sample.value = static_cast<double>(count);
    }
  }
  return samples;
}

std::vector<MetricSample> ShadowBook::Evidence() const {
  std::vector<MetricSample> samples;
  MutexLock lock(mutex_);
  for (const auto& [key, counts] : counts_) {
    const auto& [model, live, shadow] = key;
    for (const auto& [worse, test] :
         {std::pair("shadow", &counts.shadow_worse), std::pair("live", &counts.live_worse)}) {
      MetricSample& sample = samples.emplace_back();
      sample.label_values = {model, std::to_string(shadow), std::to_string(live), worse};
      sample.value = EValue(*test);
    }
  }
  return samples;
}

std::vector<Registry::Registration> ShadowBook::AddMetrics(Registry& registry) const {
  std::vector<Registry::Registration> registrations;
  registrations.push_back(registry.Add(
      {"leadsman_gateway_mirror_compared_total",
       "Predictions that a version has answered to its client (live_version) and the mirror's once "
       "more, by how the answers differ: equal; within_tolerance = but for numbers; differs; "
       "class_flip = a row has another class; live_failed, shadow_failed = the other did not; "
       "both_failed; not_kept = an answer was too long, or beyond the memory of copies; "
       "not_understood = the live answer is of no known form.",
       MetricType::kCounter,
       {"model", "version", "live_version", "result"}},
      [this] { return Results(); }));
  registrations.push_back(registry.Add(
      {"leadsman_gateway_mirror_difference",
       "The largest absolute difference of two numbers at the same place of two answers that were "
       "compared; of whole numbers none. Answers without others are left out.",
       MetricType::kHistogram,
       {"model", "version", "live_version"}},
      [this] { return Differences(); }));
  registrations.push_back(registry.Add(
      {"leadsman_gateway_mirror_labelled_total",
       "Labelled rows about whose class the live version and the mirror's disagreed, by whom the "
       "label says is right: live, shadow, neither.",
       MetricType::kCounter,
       {"model", "version", "live_version", "right"}},
      [this] { return Labelled(); }));
  registrations.push_back(registry.Add(
      {"leadsman_gateway_mirror_evidence",
       "E-value for one of the two being wrong more often than the other, by these rows: an equal "
       "shadow ever reaches 1/alpha with probability alpha at most.",
       MetricType::kGauge,
       {"model", "version", "live_version", "worse"}},
      [this] { return Evidence(); }));
  return registrations;
}

}  // namespace leadsman::intake
