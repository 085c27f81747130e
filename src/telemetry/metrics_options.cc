#include "telemetry/metrics_options.h"

namespace leadsman {

const schema::Struct<MetricsOptions>& MetricsOptionsSchema() {
  static const auto table = [] {
    schema::Struct<MetricsOptions> s("MetricsOut", "How metrics leave the process.");
    s.Field("max_series", &MetricsOptions::max_series, schema::Integer<size_t>(0, 10'000'000),
            "Series on /metrics, and sent, at most; what is left out beyond is said and counted "
            "(docs/metrics-out.md). 0 = no limit.");
    return s;
  }();
  return table;
}

}  // namespace leadsman
