#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"

namespace leadsman {

/// What a config.pbtxt in a model's folder says that this server acts on. Triton's defaults.
struct TritonConfig {
  int64_t max_batch_size = 0;
  bool sequences = false;  ///< sequence_batching: requests that belong together
  /// By output: the lines of the file that its label_filename names.
  std::map<std::string, std::vector<std::string>, std::less<>> class_labels;
};

/// Of the model's folder (the one above its versions). Nothing is there: the defaults.
/// INVALID_ARGUMENT with the line of what cannot be read; NOT_FOUND and others for a file of labels.
/// Blocks for the files.
Result<TritonConfig> ReadTritonConfig(const std::string& model_folder);

}  // namespace leadsman
