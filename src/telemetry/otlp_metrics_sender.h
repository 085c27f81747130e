#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/periodic.h"
#include "stats/registry.h"
#include "telemetry/batch_sender.h"
#include "telemetry/metrics_options.h"
#include "telemetry/otlp_metrics.h"

namespace leadsman {

/// Sends all metrics to an OTLP receiver every `interval`, on threads of its own. What a receiver that is away misses waits,
/// with its time, for as long as the BatchSender has room; the oldest goes first, and is counted.
class OtlpMetricsSender {
 public:
  struct Deps {
    Clock& clock;
    Registry& registry;  ///< of what it sent
    std::function<std::vector<MetricFamily>()> collect;
    OtlpResource source;
    WallTime started{};  ///< since when counters count
  };
  /// Errors name the option: a headers_file or ca_file that cannot be read.
  static Result<std::unique_ptr<OtlpMetricsSender>> Create(Deps deps,
                                                           const OtlpMetricsOptions& options);
  /// Sends once more; what waits gets one more try, for at most a second.
  ~OtlpMetricsSender();

 private:
  OtlpMetricsSender(Deps deps, std::unique_ptr<BatchSender> sender);
  void Send();
  void AddMetrics(Registry& registry);

  Clock& clock_;
  const std::function<std::vector<MetricFamily>()> collect_;
  const OtlpResource source_;
  const int64_t start_unix_ns_;
  const std::unique_ptr<BatchSender> sender_;
  std::vector<Registry::Registration> registrations_;
  std::unique_ptr<Periodic> periodic_;  ///< goes first; null in one whose thread did not start
};

}  // namespace leadsman
