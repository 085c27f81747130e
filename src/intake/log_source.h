#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "intake/log_format.h"

namespace leadsman::intake {

/// The name of a model that neither a line nor the configuration gives.
inline constexpr const char* kDefaultModel = "default";

/// Log files of one service, as the configuration names them.
struct LogSource {
  enum class From { kEnd, kBeginning };

  std::string path;   ///< a file or a pattern; names the source in metrics
  std::string model;  ///< of requests whose line names none; empty: kDefaultModel
  std::string format;
  std::string pattern;
  std::map<std::string, std::string> fields;  ///< name → where it stands in a line
  /// Paths that are predictions beside those of known protocols; a * at the end stands for anything.
  std::vector<std::string> prediction_paths;
  From from = From::kEnd;
  Unit integer_latency = Unit::kText;
  std::chrono::seconds time_zone{0};  ///< of times that name none

  FormatOptions format_options() const;
  /// Of the segmentations that its lines are mapped to.
  std::vector<std::string> segment_names() const;
  bool operator==(const LogSource&) const = default;
};

}  // namespace leadsman::intake
