#include "monitor/version_profile.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "stats/latency_quantile.h"

namespace leadsman {
namespace {

/// It never gets shorter: one request that hung for an hour would be waited for ever after.
constexpr uint64_t kLongestFailureNs = 60'000'000'000;

}  // namespace

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
  if (event.observed) {
    if (!observed_) observed_ = std::make_unique<ObservedTotals>();
    observed_->Add(event);
  }
  if (interval_) interval_->requests.Add(event);
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
  } else {
    // What was given up lasted as long as its client liked.
    if (event.outcome != StatusCode::kCancelled) {
      if (event.latency_known) {
        longest_failure_ns_ =
            std::max(longest_failure_ns_, std::min(event.latency_ns, kLongestFailureNs));
      }
      ++errors_;
      ++window.errors;
      if (event.drawn) ++drawn_errors_;
    }
  }
  for (std::string_view text : event.predicted) {
    if (text.empty()) continue;  // no prediction of this row
    size_t index = classes_.IndexOf(text);
    predicted_.Add(index);
    predicted_in_window_.Add(index);
    if (interval_) interval_->classes.Add(index);
  }
  content_.Fold(event);
  if (interval_) interval_->content.Fold(event);
}

void VersionProfile::Merge(const IntervalProfile& more, WallTime wall, SteadyTime now) {
  Window& window = Open(wall, now);
  const ObservedTotals& requests = more.requests;
  const uint64_t client_errors = requests.of(ObservedOutcome::kClientError);
  const uint64_t server_errors = requests.of(ObservedOutcome::kServerError);
  requests_ += requests.total();
  window.requests += requests.total();
  errors_ += client_errors + server_errors;
  window.errors += client_errors + server_errors;
  server_errors_ += server_errors;
  answered_ += requests.of(ObservedOutcome::kOk) + client_errors + server_errors;
  for (size_t i = 0; i < latency_.size(); ++i) {
    latency_[i] += requests.latency[i];
    window.latency[i] += requests.latency[i];
  }
  if (!observed_) observed_ = std::make_unique<ObservedTotals>();
  observed_->Merge(requests);
  auto count_class = [this](size_t index, uint64_t count) {
    if (count == 0) return;
    predicted_.Add(index, count);
    predicted_in_window_.Add(index, count);
  };
  for (const auto& [name, count] : more.classes) count_class(classes_.IndexOf(name), count);
  count_class(ClassTable::kOther, more.other_classes);
  content_.Merge(more.content);
  quality_.labelled += more.quality.labelled;
  quality_.wrong += more.quality.wrong;
  quality_.labelled_requests += more.quality.labelled_requests;
  quality_.wrong_requests += more.quality.wrong_requests;
  window.labelled += more.quality.labelled;
  window.wrong += more.quality.wrong;
}

std::optional<IntervalProfile> VersionProfile::TakeInterval() {
  if (!interval_) return std::nullopt;
  IntervalProfile taken{
      key_.first,         key_.second, interval_->requests, {}, 0, std::move(interval_->content),
      interval_->quality, nullptr};
  const std::vector<uint64_t>& counts = interval_->classes.counts();
  for (size_t i = 0; i < counts.size(); ++i) {
    if (i >= classes_.size()) {
      taken.other_classes += counts[i];
    } else if (counts[i] > 0) {
      taken.classes.emplace_back(classes_.name(i), counts[i]);
    }
  }
  *interval_ = {};
  if (taken.empty()) return std::nullopt;
  return taken;
}

void VersionProfile::AddJoined(const LabelJoin::Joined& joined, WallTime wall, SteadyTime now) {
  Window& window = Open(wall, now);
  const bool first = joined.first_of_request();
  const bool drawn = first && joined.prediction.drawn;
  const double weight = joined.prediction.weight;
  auto count = [&](QualityTotals& totals) {
    totals.labelled += weight;
    if (first) ++totals.labelled_requests;
    if (drawn) ++totals.drawn_labelled;
    if (!joined.wrong) return;
    totals.wrong += weight;
    if (first) ++totals.wrong_requests;
    if (drawn) ++totals.drawn_wrong;
  };
  count(quality_);
  if (interval_) count(interval_->quality);
  window.labelled += weight;
  if (joined.wrong) window.wrong += weight;
}

void VersionProfile::AddLoss(const LabelJoin::Joined& joined, const LossMeasure& measure) {
  losses_.MeasureBy(measure);
  losses_.Add(LossOf(joined.prediction, joined.label, joined.wrong, measure.metric),
              joined.prediction.drawn);
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
  totals.labelled_requests_before = before_.labelled_requests;
  totals.wrong_requests_before = before_.wrong_requests;
  totals.drawn_requests = drawn_requests_;
  totals.drawn_errors = drawn_errors_;
  totals.drawn_latency = drawn_latency_;
  totals.drawn_labelled = quality_.drawn_labelled;
  totals.drawn_wrong = quality_.drawn_wrong;
  totals.longest_failure_ns = longest_failure_ns_;
  return totals;
}

std::string VersionProfile::ToJson(const std::vector<std::string>& names) const {
  nlohmann::ordered_json features = nlohmann::ordered_json::array();
  for (size_t i = 0; i < content_.features.size(); ++i) {
    const FeatureProfile& f = content_.features[i];
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
    if (i >= content_.variety.size()) continue;
    const ValueVariety& variety = content_.variety[i];
    nlohmann::ordered_json frequent = nlohmann::ordered_json::array();
    for (const ValueVariety::Frequent& value : variety.MostFrequent(10)) {
      frequent.push_back({{"value", value.value},
                          {"share_at_least", value.at_least},
                          {"share_at_most", value.at_most}});
    }
    features.back()["distinct"] = std::round(variety.distinct());
    features.back()["distinct_exact"] = variety.exact();
    features.back()["frequent"] = std::move(frequent);
  }
  const uint64_t scored = content_.scored();
  nlohmann::ordered_json profile = {
      {"model", key_.first},
      {"version", key_.second},
      {"requests", requests_},
      {"errors", errors_},
      {"features", features},
      {"predicted", Predicted()},
      {"score",
       {{"count", scored},
        {"mean", scored > 0 ? content_.score_sum / static_cast<double>(scored) : 0},
        {"histogram", content_.scores}}},
  };
  return profile.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace leadsman
