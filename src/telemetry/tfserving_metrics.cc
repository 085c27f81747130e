#include "telemetry/tfserving_metrics.h"

#include <map>
#include <string>
#include <utility>

namespace leadsman {
namespace {

/// As the backend calls itself whose executions are TensorFlow's graph runs.
constexpr std::string_view kTensorFlow = "tensorflow";

using Histogram = TfServingTable<uint64_t>::Histogram;

/// TensorFlow Serving's names of the codes: those of protocol buffers, as ours are.
std::vector<MetricSample> RequestCounts(const ServingMetrics& serving) {
  std::map<std::pair<std::string, size_t>, uint64_t> sums;
  for (const TfServingStatistics& s : serving.TensorFlowServing()) {
    for (size_t code = 0; code < s.counts.outcomes.size(); ++code) {
      if (s.counts.outcomes[code] > 0) sums[{s.model, code}] += s.counts.outcomes[code];
    }
  }
  std::vector<MetricSample> samples;
  for (const auto& [key, count] : sums) {
    MetricSample sample;
    sample.label_values = {key.first,
                           std::string(StatusCodeName(static_cast<StatusCode>(key.second)))};
    sample.value = static_cast<double>(count);
    samples.push_back(std::move(sample));
  }
  return samples;
}

/// Nothing for one that has no values: TensorFlow Serving has it from its first value on.
void AddHistogram(std::vector<std::string> labels, const Histogram& histogram,
                  std::vector<MetricSample>& samples) {
  MetricSample sample;
  for (size_t i = 0; i < histogram.buckets.size(); ++i) {
    sample.count += histogram.buckets[i];
    if (i == kTfServingBounds) break;
    sample.upper_bounds.push_back(TfServingBounds()[i]);
    sample.cumulative.push_back(sample.count);
  }
  if (sample.count == 0) return;
  sample.label_values = std::move(labels);
  sample.sum = static_cast<double>(histogram.sum_us);
  samples.push_back(std::move(sample));
}

constexpr const char* kApis[] = {"Predict", "Classify", "Regress"};
constexpr const char* kRestApis[] = {"predict", "classify", "regress"};

std::vector<MetricSample> RequestLatencies(const ServingMetrics& serving) {
  std::map<std::string, TfServingTable<uint64_t>> sums;
  for (const TfServingStatistics& s : serving.TensorFlowServing()) {
    sums[s.model].ForEachWith(s.counts, [](uint64_t& sum, uint64_t count) { sum += count; });
  }
  std::vector<MetricSample> samples;
  for (const auto& [model, table] : sums) {
    for (size_t api = 0; api < kTfServingApis; ++api) {
      AddHistogram({model, kApis[api], "GRPC"}, table.request[api][0], samples);
      AddHistogram({model, kRestApis[api], "REST"}, table.request[api][1], samples);
    }
  }
  return samples;
}

std::vector<MetricSample> RuntimeLatencies(const ServingMetrics& serving) {
  std::vector<MetricSample> samples;
  for (const TfServingStatistics& s : serving.TensorFlowServing()) {
    const std::string runtime = s.backend == kTensorFlow ? "TF1" : s.backend;
    for (size_t api = 0; api < kTfServingApis; ++api)
      AddHistogram({s.model, kApis[api], runtime}, s.counts.runtime[api], samples);
  }
  return samples;
}

std::vector<MetricSample> One(double value) {
  MetricSample sample;
  sample.value = value;
  return {std::move(sample)};
}

double GraphRuns(const ServingMetrics& serving) {
  uint64_t runs = 0;
  for (const ModelStatistics& s : serving.Statistics()) {
    if (s.backend == kTensorFlow) runs += s.execution_count;
  }
  return static_cast<double>(runs);
}

double GraphRunMicroseconds(const ServingMetrics& serving) {
  uint64_t ns = 0;
  for (const ModelStatistics& s : serving.Statistics()) {
    if (s.backend != kTensorFlow) continue;
    for (const BatchStatistics& batch : s.batches) ns += batch.compute_infer.ns;
  }
  const uint64_t us = ns / 1000;
  return static_cast<double>(us);
}

}  // namespace

std::vector<Registry::Registration> AddTfServingMetrics(const ServingMetrics& serving,
                                                        Registry& registry) {
  std::vector<Registry::Registration> registrations;
  auto add = [&](const char* name, const char* help, MetricType type,
                 std::vector<std::string> labels, auto read) {
    registrations.push_back(registry.Add(
        {.name = name, .help = help, .type = type, .labels = std::move(labels), .exact_name = true},
        [&serving, read] { return read(serving); }));
  };
  add(":tensorflow:serving:request_count",
      "The total number of requests for predictions by TensorFlow Serving's API.",
      MetricType::kCounter, {"model_name", "status"}, RequestCounts);
  add(":tensorflow:serving:request_latency",
      "Distribution of wall time (in microseconds) of requests that were answered, by TensorFlow "
      "Serving's API.",
      MetricType::kHistogram, {"model_name", "API", "entrypoint"}, RequestLatencies);
  add(":tensorflow:serving:runtime_latency",
      "Distribution of wall time (in microseconds) that requests by TensorFlow Serving's API spent "
      "inside the model's runtime (TF1, or the backend's name).",
      MetricType::kHistogram, {"model_name", "API", "runtime"}, RuntimeLatencies);
  add(":tensorflow:serving:batching_session:queuing_latency",
      "Distribution of wall time (in microseconds) that requests spent in the queues of their "
      "models.",
      MetricType::kHistogram, {"thread_pool_name"}, [](const ServingMetrics& s) {
        MetricSample sample = s.batching.WaitsInMicroseconds();
        std::vector<MetricSample> samples;
        if (sample.count == 0) return samples;
        sample.label_values = {"batch_threads"};
        samples.push_back(std::move(sample));
        return samples;
      });
  add(":tensorflow:serving:batching_session:wrapped_run_count",
      "Executions of models with a queue of their own.", MetricType::kCounter, {},
      [](const ServingMetrics& s) { return One(static_cast<double>(s.batching.Batches())); });
  add(":tensorflow:core:graph_runs", "Executions of TensorFlow models for requests.",
      MetricType::kCounter, {}, [](const ServingMetrics& s) { return One(GraphRuns(s)); });
  add(":tensorflow:core:graph_run_time_usecs",
      "The total time spent on executing TensorFlow models for requests, in microseconds.",
      MetricType::kCounter, {},
      [](const ServingMetrics& s) { return One(GraphRunMicroseconds(s)); });
  return registrations;
}

int64_t TensorFlowCounter(const std::vector<MetricFamily>& families, std::string_view name) {
  std::string exported(name);
  for (char& c : exported) {
    if (c == '/') c = ':';
  }
  for (const MetricFamily& family : families) {
    if (family.description->name != exported || family.description->type != MetricType::kCounter)
      continue;
    return family.samples.empty() ? 0 : static_cast<int64_t>(family.samples.front().value);
  }
  return 0;
}

}  // namespace leadsman
