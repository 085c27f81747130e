#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace leadsman {

/// How often something happened, and how long it took in all. Both only grow: two readings subtracted give the mean
/// of the time between them.
struct DurationStatistic {
  uint64_t count = 0;
  uint64_t ns = 0;
};

/// The executions of one batch size.
struct BatchStatistics {
  uint64_t batch_size = 0;  ///< rows that were run together, without padding
  DurationStatistic compute_input;
  DurationStatistic compute_infer;
  DurationStatistic compute_output;
};

/// What the requests of one version have come to since it was first served. A plain value; the words are those of the
/// V2 protocol's statistics extension and of Triton's metrics. Read by Predictor::Statistics().
struct ModelStatistics {
  std::string model;
  int64_t version = 0;
  std::string backend;                 ///< as ServableVersion::backend_name
  int64_t last_inference_unix_ms = 0;  ///< 0 = none yet
  uint64_t inference_count = 0;        ///< rows answered without an error
  uint64_t execution_count =
      0;                ///< calls of the runtime: less than the requests where they are batched
  int64_t pending = 0;  ///< requests that wait in a queue now
  DurationStatistic success;  ///< requests, from the head to the encoded answer
  DurationStatistic fail;
  std::array<uint64_t, kStatusCodeCount> outcomes{};  ///< requests, by StatusCode
  DurationStatistic
      queue;  ///< of successful requests: from Execute until the model began with them
  DurationStatistic compute_input;       ///< of successful requests: putting a batch together
  DurationStatistic compute_infer;       ///< inside the runtime
  DurationStatistic compute_output;      ///< taking a batch apart
  std::vector<BatchStatistics> batches;  ///< ascending sizes; of at most 1,000 different ones
};

}  // namespace leadsman
