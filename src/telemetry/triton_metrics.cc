#include "telemetry/triton_metrics.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

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

}  // namespace

std::vector<Registry::Registration> AddTritonMetrics(Read read, Registry& registry) {
  struct Family {
    const char* name;
    const char* help;
    double (*value)(const ModelStatistics&);
  };
  static constexpr auto kUs = [](uint64_t ns) {
    const uint64_t whole = ns / 1000;
    return static_cast<double>(whole);
  };
  static const Family kFamilies[] = {
      {"nv_inference_request_success", "Number of successful inference requests, all batch sizes",
       [](const ModelStatistics& s) { return static_cast<double>(s.success.count); }},
      {"nv_inference_count", "Number of inferences performed (does not include cached requests)",
       [](const ModelStatistics& s) { return static_cast<double>(s.inference_count); }},
      {"nv_inference_exec_count",
       "Number of model executions performed (does not include cached requests)",
       [](const ModelStatistics& s) { return static_cast<double>(s.execution_count); }},
      {"nv_inference_request_duration_us", "Cumulative inference request duration in microseconds",
       [](const ModelStatistics& s) { return kUs(s.success.ns); }},
      {"nv_inference_queue_duration_us", "Cumulative inference queuing duration in microseconds",
       [](const ModelStatistics& s) { return kUs(s.queue.ns); }},
      {"nv_inference_compute_input_duration_us",
       "Cumulative compute input duration in microseconds",
       [](const ModelStatistics& s) { return kUs(s.compute_input.ns); }},
      {"nv_inference_compute_infer_duration_us",
       "Cumulative compute inference duration in microseconds",
       [](const ModelStatistics& s) { return kUs(s.compute_infer.ns); }},
      {"nv_inference_compute_output_duration_us",
       "Cumulative inference compute output duration in microseconds",
       [](const ModelStatistics& s) { return kUs(s.compute_output.ns); }}};
  std::vector<Registry::Registration> registrations;
  for (const Family& family : kFamilies) {
    registrations.push_back(
        registry.Add({.name = family.name,
                      .help = family.help,
                      .type = MetricType::kCounter,
                      .labels = {"model", "version"},
                      .exact_name = true},
                     [read, value = family.value] {
                       std::vector<MetricSample> samples;
                       for (const ModelStatistics& s : read()) {
                         MetricSample sample;
                         sample.label_values = {s.model, std::to_string(s.version)};
                         sample.value = value(s);
                         samples.push_back(std::move(sample));
                       }
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
  return registrations;
}

}  // namespace leadsman
