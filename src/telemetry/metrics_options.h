#pragma once

#include <cstddef>

#include "base/schema.h"

namespace leadsman {

/// How metrics leave the process. Parsed from the configuration (`telemetry.metrics`).
struct MetricsOptions {
  size_t max_series = 20'000;  ///< 0: no limit
};

const schema::Struct<MetricsOptions>& MetricsOptionsSchema();

}  // namespace leadsman
