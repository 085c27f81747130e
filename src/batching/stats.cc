#include "batching/stats.h"

#include <bit>
#include <cmath>

namespace leadsman {

std::string_view RejectReasonName(RejectReason reason) {
  switch (reason) {
    case RejectReason::kFull:
      return "full";
    case RejectReason::kMemory:
      return "memory";
    case RejectReason::kDeadline:
      return "deadline";
    case RejectReason::kExpired:
      return "expired";
    case RejectReason::kCancelled:
      return "cancelled";
    case RejectReason::kTooLarge:
      return "too_large";
    case RejectReason::kStopping:
      break;
  }
  return "stopping";
}

void BatchStats::CountBatch(CloseReason reason, uint64_t batch_rows) {
  batches[static_cast<size_t>(reason)].fetch_add(1, std::memory_order_relaxed);
  size_t bucket = batch_rows <= 1 ? 0 : static_cast<size_t>(std::bit_width(batch_rows - 1));
  sizes[std::min(bucket, kSizeBuckets - 1)].fetch_add(1, std::memory_order_relaxed);
  rows.fetch_add(batch_rows, std::memory_order_relaxed);
}

void BatchStats::CountWait(Duration waited) {
  uint64_t ns = waited.count() > 0 ? static_cast<uint64_t>(waited.count()) : 0;
  int exponent = ns <= 1 ? 0 : std::bit_width(ns - 1);
  int bucket = std::clamp(exponent - kFirstExponent, 0, static_cast<int>(kTimeBuckets) - 1);
  waits[static_cast<size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  wait_ns.fetch_add(ns, std::memory_order_relaxed);
}

namespace {

/// `unit`: what a nanosecond is in the unit of bounds and sum.
void FillWaits(const std::array<uint64_t, BatchStats::kTimeBuckets>& waits, uint64_t wait_ns,
               double unit, MetricSample& sample) {
  for (size_t i = 0; i < waits.size(); ++i) {
    sample.count += waits[i];
    if (i + 1 == waits.size()) break;
    sample.upper_bounds.push_back(
        std::ldexp(unit, BatchStats::kFirstExponent + static_cast<int>(i)));
    sample.cumulative.push_back(sample.count);
  }
  sample.sum = static_cast<double>(wait_ns) * unit;
}

}  // namespace

template <typename Fill>
std::vector<MetricSample> BatchMetrics::Read(Fill fill) const {
  std::vector<MetricSample> samples;
  MutexLock lock(mutex_);
  for (const auto& [key, stats] : stats_) {
    MetricSample sample;
    sample.label_values = {key.first, key.second};
    fill(*stats, std::move(sample), samples);
  }
  return samples;
}

BatchMetrics::BatchMetrics(Registry& registry) {
  using Samples = std::vector<MetricSample>;
  auto add = [&](const char* name, const char* help, MetricType type,
                 std::vector<std::string> more_labels, auto fill) {
    std::vector<std::string> labels = {"model", "version"};
    labels.insert(labels.end(), more_labels.begin(), more_labels.end());
    registrations_.push_back(
        registry.Add({name, help, type, std::move(labels)}, [this, fill] { return Read(fill); }));
  };
  auto value = [&](const char* name, const char* help, MetricType type, auto of) {
    add(name, help, type, {}, [of](const BatchStats& stats, MetricSample sample, Samples& out) {
      sample.value = static_cast<double>(of(stats));
      out.push_back(std::move(sample));
    });
  };
  add("leadsman_batching_batches_total",
      "Batches run, by the reason for which they were closed (docs/batching.md).",
      MetricType::kCounter, {"reason"},
      [](const BatchStats& stats, const MetricSample& sample, Samples& out) {
        for (size_t i = 0; i < kCloseReasonCount; ++i) {
          out.push_back(sample);
          out.back().label_values.emplace_back(CloseReasonName(static_cast<CloseReason>(i)));
          out.back().value = static_cast<double>(stats.batches[i].load());
        }
      });
  add("leadsman_batching_rejected_total", "Requests that were not run, by reason.",
      MetricType::kCounter, {"reason"},
      [](const BatchStats& stats, const MetricSample& sample, Samples& out) {
        for (size_t i = 0; i < kRejectReasonCount; ++i) {
          out.push_back(sample);
          out.back().label_values.emplace_back(RejectReasonName(static_cast<RejectReason>(i)));
          out.back().value = static_cast<double>(stats.rejected[i].load());
        }
      });
  add("leadsman_batching_batch_rows", "Rows of a batch, without padding.", MetricType::kHistogram,
      {}, [](const BatchStats& stats, MetricSample sample, Samples& out) {
        for (size_t i = 0; i < BatchStats::kSizeBuckets; ++i) {
          sample.count += stats.sizes[i].load();
          if (i + 1 == BatchStats::kSizeBuckets) break;
          sample.upper_bounds.push_back(std::ldexp(1, static_cast<int>(i)));
          sample.cumulative.push_back(sample.count);
        }
        sample.sum = static_cast<double>(stats.rows.load());
        out.push_back(std::move(sample));
      });
  add("leadsman_batching_queue_duration_seconds",
      "From a request's arrival in its model's queue until an instance began with it.",
      MetricType::kHistogram, {}, [](const BatchStats& stats, MetricSample sample, Samples& out) {
        std::array<uint64_t, BatchStats::kTimeBuckets> waits{};
        for (size_t i = 0; i < waits.size(); ++i) waits[i] = stats.waits[i].load();
        FillWaits(waits, stats.wait_ns.load(), 1e-9, sample);
        out.push_back(std::move(sample));
      });
  value("leadsman_batching_padded_rows_total", "Rows added to reach one of allowed_batch_sizes.",
        MetricType::kCounter, [](const BatchStats& stats) { return stats.padded_rows.load(); });
  value("leadsman_batching_run_singly_total",
        "Requests of batches that the model refused, or whose answer could not be taken apart: run "
        "one by one.",
        MetricType::kCounter, [](const BatchStats& stats) { return stats.run_singly.load(); });
  value("leadsman_batching_split_requests_total",
        "Requests with more rows than a batch may have, run in pieces.", MetricType::kCounter,
        [](const BatchStats& stats) { return stats.split.load(); });
  value("leadsman_batching_queue_depth", "Requests that wait for an instance of the model.",
        MetricType::kGauge, [](const BatchStats& stats) { return stats.depth.load(); });
  value("leadsman_batching_queue_bytes",
        "What the inputs of the requests take in memory that wait for an instance of the model.",
        MetricType::kGauge, [](const BatchStats& stats) { return stats.bytes.load(); });
  value("leadsman_batching_instances",
        "Instances of the model: how many executions may run at once.", MetricType::kGauge,
        [](const BatchStats& stats) { return stats.instances.load(); });
  value("leadsman_batching_instances_busy", "Instances of the model that run at the moment.",
        MetricType::kGauge, [](const BatchStats& stats) { return stats.busy.load(); });
}

MetricSample BatchMetrics::WaitsInMicroseconds() const {
  std::array<uint64_t, BatchStats::kTimeBuckets> waits{};
  uint64_t wait_ns = 0;
  {
    MutexLock lock(mutex_);
    for (const auto& [key, stats] : stats_) {
      for (size_t i = 0; i < waits.size(); ++i) waits[i] += stats->waits[i].load();
      wait_ns += stats->wait_ns.load();
    }
  }
  MetricSample sample;
  FillWaits(waits, wait_ns, 1e-3, sample);
  return sample;
}

uint64_t BatchMetrics::Batches() const {
  uint64_t batches = 0;
  MutexLock lock(mutex_);
  for (const auto& [key, stats] : stats_) {
    for (const auto& of_reason : stats->batches) batches += of_reason.load();
  }
  return batches;
}

std::shared_ptr<BatchStats> BatchMetrics::Of(const std::string& model, int64_t version) {
  MutexLock lock(mutex_);
  std::shared_ptr<BatchStats>& stats = stats_[{model, std::to_string(version)}];
  if (!stats) stats = std::make_shared<BatchStats>();
  return stats;
}

void BatchMetrics::Forget(const std::string& model, int64_t version) {
  MutexLock lock(mutex_);
  stats_.erase({model, std::to_string(version)});
}

}  // namespace leadsman
