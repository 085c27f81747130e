#pragma once

#include <chrono>
#include <string>

#include "base/schema.h"
#include "telemetry/otlp_endpoint.h"

namespace leadsman {

/// Which requests become traces, and where these go. Parsed from the configuration (`telemetry.tracing`).
struct TracingOptions {
  std::string otlp_url;  ///< of a collector; by HTTP of its traces endpoint; empty: none
  OtlpProtocol otlp_protocol = OtlpProtocol::kAuto;
  std::string zipkin_url;    ///< of Zipkin's span endpoint, API v2; empty: none
  std::string headers_file;  ///< lines "name: value" that are sent along, to both; empty: none
  std::string ca_file;       ///< PEM, whose certificates are trusted; empty: the system's
  std::string service_name = "leadsman";

  // A request is kept when one of these says so, at its end.
  bool keep_sampled = true;  ///< its caller samples its trace
  bool keep_errors = true;
  std::chrono::milliseconds keep_slower_than{500};  ///< 0: not for being slow
  double keep_share = 0;                            ///< of all others
  double max_per_second = 200;                      ///< more are dropped, and counted

  bool enabled() const { return !otlp_url.empty() || !zipkin_url.empty(); }
  bool operator==(const TracingOptions&) const = default;
};

const schema::Struct<TracingOptions>& TracingOptionsSchema();

}  // namespace leadsman
