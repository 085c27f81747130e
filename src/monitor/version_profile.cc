#include "monitor/version_profile.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "stats/latency_quantile.h"

namespace leadsman {

VersionProfile::Window& VersionProfile::Open(WallTime wall, SteadyTime now) {
  if (!open_) {
    // Windows begin at multiples of their length, so that those of different versions lie beside
    // each other. Their end is a matter of steady time: a jump of the wall clock makes none longer.
    Duration length = window_;
    Duration into = wall.time_since_epoch() % length;
    open_ = Window{};
    open_->start = wall - into;
    open_->opened = now - into;
    open_->closes = open_->opened + length;
  }
  return *open_;
}

void VersionProfile::Fold(const PredictionEvent& event, WallTime wall, SteadyTime now) {
  Window& window = Open(wall, now);
  ++requests_;
  ++window.requests;
  if (event.drawn) ++drawn_requests_;
  if (event.observed) FoldObserved(event);
  const ObservedOutcome outcome = ObservedOutcomeOf(event);
  if (outcome != ObservedOutcome::kUnknown && outcome != ObservedOutcome::kCancelled) ++answered_;
  if (outcome == ObservedOutcome::kServerError) ++server_errors_;
  if (event.outcome == StatusCode::kOk || !event.outcome_known) {
    if (event.latency_known) {
      size_t bucket = LatencyScheme::Index(event.latency_ns);
      ++latency_[bucket];
      ++window.latency[bucket];
      if (event.drawn) ++drawn_latency_[bucket];
    }
  } else if (event.outcome != StatusCode::kCancelled) {
    ++errors_;
    ++window.errors;
    if (event.drawn) ++drawn_errors_;
  }
  for (std::string_view text : event.predicted) {
    if (text.empty()) continue;  // no prediction of this row
    size_t index = classes_.IndexOf(text);
    predicted_.Add(index);
    predicted_in_window_.Add(index);
  }
  if (event.score >= 0) {
    auto bin = static_cast<size_t>(std::min(event.score, 1.0f) * kScoreBins);
    ++scores_[std::min(bin, kScoreBins - 1)];
    ++scored_;
    score_sum_ += event.score;
  }
  if (!event.features.empty()) {
    size_t width = std::min(event.features.size(), kMaxFeatures);
    if (features_.size() < width) features_.resize(width);
    for (size_t i = 0; i < width; ++i) features_[i].Add(event.features[i], event.feature_weight);
  }
}

void VersionProfile::FoldObserved(const PredictionEvent& event) {
  if (!observed_) observed_ = std::make_unique<ObservedTotals>();
  ObservedOutcome outcome = ObservedOutcomeOf(event);
  ++observed_->requests[static_cast<size_t>(outcome)];
  if (!event.latency_known ||
      (outcome != ObservedOutcome::kOk && outcome != ObservedOutcome::kUnknown))
    return;
  ++observed_->latency[LatencyScheme::Index(event.latency_ns)];
  ++observed_->fine_latency[FineLatencyScheme::PlaceOf(event.latency_ns).index()];
  observed_->latency_seconds += static_cast<double>(event.latency_ns) / 1e9;
}

void VersionProfile::AddJoined(const LabelJoin::Joined& joined, WallTime wall, SteadyTime now) {
  Window& window = Open(wall, now);
  const bool first = joined.first_of_request();
  const bool drawn = first && joined.prediction.drawn;
  const double weight = joined.prediction.weight;
  quality_.labelled += weight;
  window.labelled += weight;
  if (first) ++quality_.labelled_requests;
  if (drawn) ++quality_.drawn_labelled;
  if (!joined.wrong) return;
  quality_.wrong += weight;
  window.wrong += weight;
  if (first) ++quality_.wrong_requests;
  if (drawn) ++quality_.drawn_wrong;
}

std::optional<WindowSummary> VersionProfile::CloseWindow(SteadyTime now) {
  if (!open_ || now < open_->closes) return std::nullopt;
  return CutWindow(open_->closes);
}

std::optional<WindowSummary> VersionProfile::CutWindow(SteadyTime now) {
  if (!open_) return std::nullopt;
  WindowSummary summary;
  summary.start = open_->start;
  summary.seconds = ToSeconds(std::min(now, open_->closes) - open_->opened);
  summary.requests = open_->requests;
  summary.errors = open_->errors;
  summary.latency_p50_seconds = LatencyQuantileSeconds(open_->latency, 0.5);
  summary.latency_p99_seconds = LatencyQuantileSeconds(open_->latency, 0.99);
  summary.labelled = static_cast<uint64_t>(std::llround(open_->labelled));
  summary.wrong = static_cast<uint64_t>(std::llround(open_->wrong));
  summary.predicted = predicted_in_window_.Summary(classes_);
  predicted_in_window_.Clear();
  open_.reset();
  Push(summary);
  return summary;
}

void VersionProfile::Push(WindowSummary window) {
  closed_.push_back(std::move(window));
  if (closed_.size() > kMaxClosedWindows) {
    closed_.pop_front();
    forgot_windows_ = true;
  }
}

VersionTotals VersionProfile::Totals() const {
  VersionTotals totals;
  totals.requests = requests_;
  totals.errors = errors_;
  totals.answered = answered_;
  totals.server_errors = server_errors_;
  totals.latency = latency_;
  totals.labelled = static_cast<uint64_t>(std::llround(quality_.labelled));
  totals.wrong = static_cast<uint64_t>(std::llround(quality_.wrong));
  totals.labelled_requests = quality_.labelled_requests;
  totals.wrong_requests = quality_.wrong_requests;
  totals.drawn_requests = drawn_requests_;
  totals.drawn_errors = drawn_errors_;
  totals.drawn_latency = drawn_latency_;
  totals.drawn_labelled = quality_.drawn_labelled;
  totals.drawn_wrong = quality_.drawn_wrong;
  return totals;
}

std::string VersionProfile::ToJson(const std::vector<std::string>& names) const {
  nlohmann::ordered_json features = nlohmann::ordered_json::array();
  for (size_t i = 0; i < features_.size(); ++i) {
    const FeatureProfile& f = features_[i];
    nlohmann::ordered_json quantiles;
    for (auto [name, q] : {std::pair{"0.01", 0.01},
                           {"0.05", 0.05},
                           {"0.25", 0.25},
                           {"0.5", 0.5},
                           {"0.75", 0.75},
                           {"0.95", 0.95},
                           {"0.99", 0.99}}) {
      // The sketch's answer is an approximation; the extremes are exact.
      quantiles[name] = std::clamp(f.sketch().Quantile(q), double{f.min()}, double{f.max()});
    }
    features.push_back({{"index", i},
                        {"count", f.weight()},
                        {"non_finite", f.non_finite()},
                        {"zeros", f.sketch().zeros()},
                        {"mean", f.mean()},
                        {"standard_deviation", f.standard_deviation()},
                        {"min", f.min()},
                        {"max", f.max()},
                        {"quantiles", quantiles}});
    if (i < names.size()) features.back()["name"] = names[i];
  }
  nlohmann::ordered_json profile = {
      {"model", key_.first},
      {"version", key_.second},
      {"requests", requests_},
      {"errors", errors_},
      {"features", features},
      {"predicted", Predicted()},
      {"score",
       {{"count", scored_},
        {"mean", scored_ > 0 ? score_sum_ / static_cast<double>(scored_) : 0},
        {"histogram", scores_}}},
  };
  return profile.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace leadsman
