#include "telemetry/triton_metrics.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "stats/host_figures.h"

namespace leadsman {
namespace {

using Read = std::function<std::vector<ModelStatistics>()>;

/// Triton's reasons of a failed request.
std::string_view ReasonOf(StatusCode code) {
  switch (code) {
    case StatusCode::kResourceExhausted:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kUnavailable:
      return "REJECTED";
    case StatusCode::kCancelled:
      return "CANCELED";
    case StatusCode::kInternal:
    case StatusCode::kUnknown:
    case StatusCode::kDataLoss:
      return "BACKEND";
    default:
      return "OTHER";
  }
}

std::vector<MetricSample> ReadFailures(const Read& read) {
  std::vector<MetricSample> samples;
  for (const ModelStatistics& s : read()) {
    for (std::string_view reason : {"BACKEND", "CANCELED", "OTHER", "REJECTED"}) {
      uint64_t count = 0;
      for (size_t code = 1; code < s.outcomes.size(); ++code) {
        if (ReasonOf(static_cast<StatusCode>(code)) == reason) count += s.outcomes[code];
      }
      MetricSample sample;
      sample.label_values = {s.model, std::string(reason), std::to_string(s.version)};
      sample.value = static_cast<double>(count);
      samples.push_back(std::move(sample));
    }
  }
  return samples;
}

MetricSample SampleOf(const std::string& model, int64_t version, double value) {
  MetricSample sample;
  sample.label_values = {model, std::to_string(version)};
  sample.value = value;
  return sample;
}

double Microseconds(uint64_t ns) {
  const uint64_t whole = ns / 1000;
  return static_cast<double>(whole);
}

/// A figure of each version.
struct Family {
  const char* name;
  const char* help;
  MetricType type;
  double (*value)(const ModelStatistics&);
};

constexpr Family kFamilies[] = {
    {"nv_inference_request_success", "Number of successful inference requests, all batch sizes",
     MetricType::kCounter,
     [](const ModelStatistics& s) { return static_cast<double>(s.success.count); }},
    {"nv_inference_count", "Number of inferences performed (does not include cached requests)",
     MetricType::kCounter,
     [](const ModelStatistics& s) { return static_cast<double>(s.inference_count); }},
    {"nv_inference_exec_count",
     "Number of model executions performed (does not include cached requests)",
     MetricType::kCounter,
     [](const ModelStatistics& s) { return static_cast<double>(s.execution_count); }},
    {"nv_inference_request_duration_us", "Cumulative inference request duration in microseconds",
     MetricType::kCounter, [](const ModelStatistics& s) { return Microseconds(s.success.ns); }},
    {"nv_inference_queue_duration_us", "Cumulative inference queuing duration in microseconds",
     MetricType::kCounter, [](const ModelStatistics& s) { return Microseconds(s.queue.ns); }},
    {"nv_inference_compute_input_duration_us", "Cumulative compute input duration in microseconds",
     MetricType::kCounter,
     [](const ModelStatistics& s) { return Microseconds(s.compute_input.ns); }},
    {"nv_inference_compute_infer_duration_us",
     "Cumulative compute inference duration in microseconds", MetricType::kCounter,
     [](const ModelStatistics& s) { return Microseconds(s.compute_infer.ns); }},
    {"nv_inference_compute_output_duration_us",
     "Cumulative inference compute output duration in microseconds", MetricType::kCounter,
     [](const ModelStatistics& s) { return Microseconds(s.compute_output.ns); }},
    {"nv_inference_pending_request_count",
     "Instantaneous number of pending requests awaiting execution per-model.", MetricType::kGauge,
     [](const ModelStatistics& s) { return static_cast<double>(s.pending); }}};

std::vector<MetricSample> One(double value) {
  MetricSample sample;
  sample.value = value;
  return {std::move(sample)};
}

void AddHostMetrics(Registry& registry, std::vector<Registry::Registration>& registrations) {
  auto add = [&](const char* name, const char* help, Registry::Reader reader) {
    registrations.push_back(
        registry.Add({.name = name, .help = help, .type = MetricType::kGauge}, std::move(reader)));
  };
  add("nv_cpu_utilization", "CPU utilization rate [0.0 - 1.0]",
      [cpu = std::make_shared<CpuUtilization>()] { return One(cpu->Read()); });
  auto memory = [](uint64_t HostMemory::*figure) {
    std::optional<HostMemory> now = ReadHostMemory();
    return now ? One(static_cast<double>((*now).*figure)) : std::vector<MetricSample>();
  };
  add("nv_cpu_memory_total_bytes", "CPU total memory (RAM), in bytes",
      [memory] { return memory(&HostMemory::total_bytes); });
  add("nv_cpu_memory_used_bytes", "CPU used memory (RAM), in bytes",
      [memory] { return memory(&HostMemory::used_bytes); });
}

}  // namespace

std::vector<Registry::Registration> AddTritonMetrics(TritonMetricSources sources,
                                                     Registry& registry) {
  const Read read = std::move(sources.statistics);
  std::vector<Registry::Registration> registrations;
  for (const Family& family : kFamilies) {
    registrations.push_back(registry.Add({.name = family.name,
                                          .help = family.help,
                                          .type = family.type,
                                          .labels = {"model", "version"},
                                          .exact_name = family.type == MetricType::kCounter},
                                         [read, value = family.value] {
                                           std::vector<MetricSample> samples;
                                           for (const ModelStatistics& s : read())
                                             samples.push_back(
                                                 SampleOf(s.model, s.version, value(s)));
                                           return samples;
                                         }));
  }
  registrations.push_back(
      registry.Add({.name = "nv_inference_request_failure",
                    .help = "Number of failed inference requests, all batch sizes",
                    .type = MetricType::kCounter,
                    .labels = {"model", "reason", "version"},
                    .exact_name = true},
                   [read] { return ReadFailures(read); }));
  registrations.push_back(
      registry.Add({.name = "nv_model_load_duration_secs",
                    .help = "Model load time in seconds",
                    .type = MetricType::kGauge,
                    .labels = {"model", "version"}},
                   [loads = std::move(sources.loads)] {
                     std::vector<MetricSample> samples;
                     for (const auto& load : loads())
                       samples.push_back(SampleOf(load.model, load.version, ToSeconds(load.took)));
                     return samples;
                   }));
  AddHostMetrics(registry, registrations);
  return registrations;
}

}  // namespace leadsman
