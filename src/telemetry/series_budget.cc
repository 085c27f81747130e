#include "telemetry/series_budget.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/strings.h"

namespace leadsman {
namespace {

/// Labels with many values for one model and version.
constexpr std::array<std::string_view, 4> kDetails = {"feature", "class", "segment", "stream"};
constexpr size_t kNamesLogged = 10;

bool IsDetail(const MetricDescription& description) {
  return std::any_of(description.labels.begin(), description.labels.end(), [](const auto& label) {
    return std::find(kDetails.begin(), kDetails.end(), label) != kDetails.end();
  });
}

/// Bounds, the one without a bound, sum and count; one that has no bounds is sum and count and that.
size_t SeriesOf(const MetricFamily& family) {
  if (family.description->type != MetricType::kHistogram) return family.samples.size();
  size_t series = 0;
  for (const MetricSample& sample : family.samples) series += sample.upper_bounds.size() + 3;
  return series;
}

size_t SeriesOfBuckets(const MetricFamily& family) {
  if (family.description->type != MetricType::kHistogram) return 0;
  return SeriesOf(family) - 3 * family.samples.size();
}

void DropBuckets(MetricFamily& family) {
  for (MetricSample& sample : family.samples) {
    sample.upper_bounds.clear();
    sample.cumulative.clear();
    sample.exemplars.clear();
  }
}

}  // namespace

SeriesBudget::SeriesBudget(Registry& registry, size_t max_series)
    : registry_(registry), max_series_(max_series) {
  auto one = [](double value) {
    MetricSample sample;
    sample.value = value;
    return std::vector<MetricSample>{std::move(sample)};
  };
  registrations_.push_back(
      registry.Add({.name = "leadsman_metrics_series",
                    .help = "Series that were given out when metrics were read the last time.",
                    .type = MetricType::kGauge},
                   [this, one] {
                     MutexLock lock(mutex_);
                     return one(static_cast<double>(series_));
                   }));
  registrations_.push_back(
      registry.Add({.name = "leadsman_metrics_series_dropped_total",
                    .help = "Series left out, at each reading, because there were more than "
                            "telemetry.metrics.max_series (docs/metrics-out.md).",
                    .type = MetricType::kCounter},
                   [this, one] {
                     MutexLock lock(mutex_);
                     return one(static_cast<double>(dropped_));
                   }));
}

std::vector<MetricFamily> SeriesBudget::Collect() {
  std::vector<MetricFamily> families = registry_.Collect();
  size_t total = 0;
  for (const MetricFamily& family : families) total += SeriesOf(family);
  std::vector<LeftOut> left_out;
  /// Lets go of what `size` says a family has, the largest first.
  auto step = [&](auto size, auto drop, bool buckets_only) {
    std::vector<std::pair<size_t, MetricFamily*>> largest;
    if (total <= max_series_) return;
    for (MetricFamily& family : families) {
      if (const size_t series = size(family); series > 0) largest.emplace_back(series, &family);
    }
    std::stable_sort(largest.begin(), largest.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    for (const auto& [series, family] : largest) {
      if (total <= max_series_) return;
      total -= series;
      drop(*family);
      left_out.push_back({family->description->name, series, buckets_only});
    }
  };
  if (max_series_ > 0) {
    auto drop = [](MetricFamily& family) { family.samples.clear(); };
    auto detail = [](const MetricFamily& family) {
      return IsDetail(*family.description) ? SeriesOf(family) : 0;
    };
    step(detail, drop, false);
    step(SeriesOfBuckets, DropBuckets, true);
    step(SeriesOf, drop, false);
  }
  Remember(total, std::move(left_out));
  return families;
}

void SeriesBudget::Remember(size_t series, std::vector<LeftOut> left_out) {
  std::vector<std::string> names;
  size_t dropped = 0;
  for (const LeftOut& one : left_out) {
    dropped += one.series;
    const bool named = std::find(names.begin(), names.end(), one.family) != names.end();
    if (!named && names.size() < kNamesLogged) names.push_back(one.family);
  }
  bool tell = false;
  {
    MutexLock lock(mutex_);
    series_ = series;
    dropped_ += dropped;
    tell = !left_out.empty() && !std::exchange(told_, true);
    left_out_ = std::move(left_out);
  }
  if (!tell) return;
  LOG_WARN("metrics are left out: there are more series than telemetry.metrics.max_series",
           {"series", series + dropped}, {"max_series", max_series_},
           {"left_out", HumanList(names)});
}

SeriesBudget::View SeriesBudget::view() const {
  MutexLock lock(mutex_);
  return {series_, max_series_, left_out_};
}

}  // namespace leadsman
