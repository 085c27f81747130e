#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "base/schema.h"
#include "telemetry/otlp_endpoint.h"

namespace leadsman {

/// Where all metrics are sent, beside being read on /metrics.
struct OtlpMetricsOptions {
  std::string url;  ///< of a receiver; by HTTP of its metrics endpoint; empty: none
  OtlpProtocol protocol = OtlpProtocol::kAuto;
  std::string headers_file;  ///< lines "name: value" that are sent along; empty: none
  std::string ca_file;       ///< PEM, whose certificates are trusted; empty: the system's
  std::chrono::milliseconds interval{15'000};
  std::string service_name = "leadsman";
  std::string instance_id;  ///< empty: the host's name and the admin port, as a scraper has it

  bool enabled() const { return !url.empty(); }
};

/// How metrics leave the process. Parsed from the configuration (`telemetry.metrics`).
struct MetricsOptions {
  size_t max_series = 20'000;  ///< 0: no limit
  OtlpMetricsOptions otlp;
};

const schema::Struct<MetricsOptions>& MetricsOptionsSchema();

}  // namespace leadsman
