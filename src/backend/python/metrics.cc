#include "backend/python/metrics.h"

#include <string>
#include <utility>

namespace leadsman::python {

std::vector<Registry::Registration> RegisterPythonMetrics(const PythonHost& host,
                                                          Registry& registry) {
  std::vector<Registry::Registration> registrations;
  auto add = [&](MetricDescription description, Registry::Reader reader) {
    registrations.push_back(registry.Add(std::move(description), std::move(reader)));
  };
  add({.name = "leadsman_python_workers",
       .help = "Python worker processes of a loaded version, by state: ready, starting, or put off "
               "because they ended "
               "again and again.",
       .type = MetricType::kGauge,
       .labels = {"model", "version", "state"}},
      [&host] {
        std::vector<MetricSample> samples;
        for (const PythonVitals::Version& v : host.GetVitals().versions) {
          const std::string version = std::to_string(v.version);
          auto sample = [&](const char* state, int count) {
            samples.push_back(
                {.label_values = {v.model, version, state}, .value = static_cast<double>(count)});
          };
          sample("ready", v.pool.ready);
          sample("starting", v.pool.starting);
          sample("put_off", v.pool.waiting);
        }
        return samples;
      });
  add({.name = "leadsman_python_worker_memory_bytes",
       .help = "Resident memory of all Python workers of a loaded version.",
       .type = MetricType::kGauge,
       .labels = {"model", "version"}},
      [&host] {
        std::vector<MetricSample> samples;
        for (const PythonVitals::Version& v : host.GetVitals().versions) {
          samples.push_back({.label_values = {v.model, std::to_string(v.version)},
                             .value = static_cast<double>(v.pool.resident_bytes)});
        }
        return samples;
      });
  add({.name = "leadsman_python_worker_restarts_total",
       .help = "Python workers that were replaced, by reason: crash (it ended by itself), hang "
               "(hang_timeout), memory "
               "(max_memory), max_requests, protocol (it closed its channel or answered nonsense).",
       .type = MetricType::kCounter,
       .labels = {"model", "reason"}},
      [&host] {
        std::vector<MetricSample> samples;
        for (const PythonVitals::Model& m : host.GetVitals().models) {
          for (size_t i = 0; i < kRestartReasons; ++i) {
            samples.push_back({.label_values = {m.name, std::string(RestartReasonName(
                                                            static_cast<RestartReason>(i)))},
                               .value = static_cast<double>(m.restarts[i])});
          }
        }
        return samples;
      });
  add({.name = "leadsman_python_worker_log_lines_dropped_total",
       .help = "Lines printed by Python workers that were not taken into the log, which takes ten "
               "a second of each.",
       .type = MetricType::kCounter,
       .labels = {"model"}},
      [&host] {
        std::vector<MetricSample> samples;
        for (const PythonVitals::Model& m : host.GetVitals().models) {
          samples.push_back(
              {.label_values = {m.name}, .value = static_cast<double>(m.log_lines_dropped)});
        }
        return samples;
      });
  return registrations;
}

}  // namespace leadsman::python
