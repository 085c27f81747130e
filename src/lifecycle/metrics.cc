#include "lifecycle/metrics.h"

#include <array>
#include <optional>
#include <string>
#include <utility>

namespace leadsman {
namespace {

constexpr int kStates = static_cast<int>(VersionState::kFailed) + 1;

std::vector<MetricSample> VersionsByState(const LifecycleManager& manager) {
  std::vector<MetricSample> samples;
  for (const ModelStatus& model : manager.GetStatus()) {
    std::array<int, kStates> counts{};
    for (const VersionStatus& version : model.versions)
      ++counts[static_cast<size_t>(version.state)];
    for (int state = 0; state < kStates; ++state) {
      std::string name(VersionStateName(static_cast<VersionState>(state)));
      samples.push_back({.label_values = {model.name, name},
                         .value = static_cast<double>(counts[static_cast<size_t>(state)])});
    }
  }
  return samples;
}

std::vector<MetricSample> Loads(const LifecycleManager& manager) {
  std::vector<MetricSample> samples;
  for (const auto& [model, counters] : manager.GetCounters()) {
    samples.push_back(
        {.label_values = {model, "ok"}, .value = static_cast<double>(counters.loads_ok)});
    samples.push_back(
        {.label_values = {model, "failed"}, .value = static_cast<double>(counters.loads_failed)});
  }
  return samples;
}

std::vector<MetricSample> Unloads(const LifecycleManager& manager) {
  std::vector<MetricSample> samples;
  for (const auto& [model, counters] : manager.GetCounters()) {
    samples.push_back({.label_values = {model}, .value = static_cast<double>(counters.unloads)});
  }
  return samples;
}

std::vector<MetricSample> WarmupRequests(const LifecycleManager& manager) {
  std::vector<MetricSample> samples;
  for (const auto& [model, counters] : manager.GetCounters()) {
    samples.push_back(
        {.label_values = {model}, .value = static_cast<double>(counters.warmup_requests)});
  }
  return samples;
}

std::vector<MetricSample> Listings(const LifecycleManager& manager) {
  std::vector<MetricSample> samples;
  for (const auto& [model, counters] : manager.GetCounters()) {
    samples.push_back(
        {.label_values = {model, "ok"}, .value = static_cast<double>(counters.listings_ok)});
    samples.push_back({.label_values = {model, "failed"},
                       .value = static_cast<double>(counters.listings_failed)});
  }
  return samples;
}

std::vector<MetricSample> FailedFetches(const LifecycleManager& manager) {
  std::vector<MetricSample> samples;
  for (const auto& [model, counters] : manager.GetCounters()) {
    samples.push_back(
        {.label_values = {model}, .value = static_cast<double>(counters.fetches_failed)});
  }
  return samples;
}

std::vector<MetricSample> FromCache(const LifecycleManager& manager) {
  std::vector<MetricSample> samples;
  for (const ModelStatus& model : manager.GetStatus()) {
    samples.push_back({.label_values = {model.name}, .value = model.from_cache_since ? 1.0 : 0.0});
  }
  return samples;
}

std::vector<MetricSample> Silent(const LifecycleManager& manager) {
  std::vector<MetricSample> samples;
  for (const ModelStatus& model : manager.GetStatus()) {
    samples.push_back(
        {.label_values = {model.name}, .value = static_cast<double>(model.silent_seconds)});
  }
  return samples;
}

std::vector<MetricSample> LoadDurations(const LifecycleManager& manager) {
  std::vector<MetricSample> samples;
  for (const auto& [model, counters] : manager.GetCounters()) {
    MetricSample sample{.label_values = {model}};
    const auto& bounds = LifecycleCounters::kBounds;
    for (size_t i = 0; i < counters.buckets.size(); ++i) {
      sample.count += counters.buckets[i];
      if (i == bounds.size()) break;
      sample.upper_bounds.push_back(bounds[i]);
      sample.cumulative.push_back(sample.count);
    }
    sample.sum = counters.load_seconds;
    samples.push_back(std::move(sample));
  }
  return samples;
}

/// One gauge for each version that is out of memory again, and was measured.
std::vector<MetricSample> Returned(const LifecycleManager& manager) {
  std::vector<MetricSample> samples;
  for (const ModelStatus& model : manager.GetStatus()) {
    for (const VersionStatus& version : model.versions) {
      if (version.state != VersionState::kGone || !version.returned_bytes) continue;
      samples.push_back({.label_values = {model.name, std::to_string(version.version)},
                         .value = static_cast<double>(*version.returned_bytes)});
    }
  }
  return samples;
}

/// One gauge for each ready version that `value` gives one.
template <typename F>
std::vector<MetricSample> OfReady(const LifecycleManager& manager, F value) {
  std::vector<MetricSample> samples;
  for (const ModelStatus& model : manager.GetStatus()) {
    for (const VersionStatus& version : model.versions) {
      std::optional<double> known = value(version);
      if (version.state != VersionState::kReady || !known) continue;
      samples.push_back(
          {.label_values = {model.name, std::to_string(version.version)}, .value = *known});
    }
  }
  return samples;
}

}  // namespace

std::vector<Registry::Registration> RegisterLifecycleMetrics(LifecycleManager& manager,
                                                             Registry& registry) {
  std::vector<Registry::Registration> registrations;
  auto add = [&](MetricDescription description, Registry::Reader reader) {
    registrations.push_back(registry.Add(std::move(description), std::move(reader)));
  };
  add({.name = "leadsman_lifecycle_versions",
       .help = "Model versions known to the server, by state.",
       .type = MetricType::kGauge,
       .labels = {"model", "state"}},
      [&manager] { return VersionsByState(manager); });
  add({.name = "leadsman_lifecycle_loads_total",
       .help = "Attempts to load a version, by outcome.",
       .type = MetricType::kCounter,
       .labels = {"model", "outcome"}},
      [&manager] { return Loads(manager); });
  add({.name = "leadsman_lifecycle_load_duration_seconds",
       .help = "Time from the start of an attempt to load a version to its end: verification, load "
               "and warm-up.",
       .type = MetricType::kHistogram,
       .labels = {"model"}},
      [&manager] { return LoadDurations(manager); });
  add({.name = "leadsman_lifecycle_warmup_requests_total",
       .help = "Requests that lay beside versions' models and were sent through them before they "
               "were ready.",
       .type = MetricType::kCounter,
       .labels = {"model"}},
      [&manager] { return WarmupRequests(manager); });
  add({.name = "leadsman_lifecycle_unloads_total",
       .help = "Versions taken out of memory.",
       .type = MetricType::kCounter,
       .labels = {"model"}},
      [&manager] { return Unloads(manager); });
  add({.name = "leadsman_lifecycle_listings_total",
       .help = "Looks at a model's store, by outcome.",
       .type = MetricType::kCounter,
       .labels = {"model", "outcome"}},
      [&manager] { return Listings(manager); });
  add({.name = "leadsman_lifecycle_fetches_failed_total",
       .help = "Attempts to load a version that failed because its store did not give it; they are "
               "repeated for as long as it takes.",
       .type = MetricType::kCounter,
       .labels = {"model"}},
      [&manager] { return FailedFetches(manager); });
  add({.name = "leadsman_lifecycle_served_from_cache",
       .help =
           "1 while the model's store has been out of reach since the server began, and what the "
           "cache had is served: it may not be the newest version.",
       .type = MetricType::kGauge,
       .labels = {"model"}},
      [&manager] { return FromCache(manager); });
  add({.name = "leadsman_lifecycle_store_silent_seconds",
       .help = "For how long the look at the model's store or folder that is under way has had no "
               "answer, from 5 s on; else 0.",
       .type = MetricType::kGauge,
       .labels = {"model"}},
      [&manager] { return Silent(manager); });
  add({.name = "leadsman_lifecycle_unload_returned_bytes",
       .help = "By how much the process's resident memory shrank when a version that is gone was "
               "unloaded, an estimate; absent where another load or unload at the same time would "
               "have counted too.",
       .type = MetricType::kGauge,
       .labels = {"model", "version"}},
      [&manager] { return Returned(manager); });
  add({.name = "leadsman_lifecycle_version_memory_bytes",
       .help = "Growth of the process's resident memory while a ready version was loaded, an "
               "estimate; absent "
               "where another load or unload at the same time would have counted too.",
       .type = MetricType::kGauge,
       .labels = {"model", "version"}},
      [&manager] {
        return OfReady(manager, [](const VersionStatus& v) {
          return v.memory_bytes ? std::optional(static_cast<double>(*v.memory_bytes))
                                : std::nullopt;
        });
      });
  add({.name = "leadsman_lifecycle_version_warm_cost_seconds",
       .help = "Median duration of one warm-up call of a ready version.",
       .type = MetricType::kGauge,
       .labels = {"model", "version"}},
      [&manager] {
        return OfReady(
            manager, [](const VersionStatus& v) { return std::optional(ToSeconds(v.warm_cost)); });
      });
  return registrations;
}

}  // namespace leadsman
