#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

#include "app/config.h"

namespace leadsman {

/// What `leadsman prove-quiet` replays, beside the logs of the configuration.
struct QuietQuestion {
  std::string table;  ///< .csv or .npz of a model's inputs, in order of time; empty: the logs
  std::string model;  ///< whose the table is
  double requests_per_day = 0;                           ///< 0: by the times of the past
  std::string time_column, answer_column, label_column;  ///< of a .csv
  // Instead of what the configuration says, for all models.
  std::optional<double> tolerance, share_tolerance, false_alarms;
  std::optional<size_t> reference_requests;
  std::optional<std::chrono::hours> period;
};

/// Replays the past through the detectors of a server and says, as JSON, how often each would have fired
/// and what it would have found in a day.
Result<std::string> ProveQuiet(const Config& config, const QuietQuestion& question);

}  // namespace leadsman
