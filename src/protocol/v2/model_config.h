#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lifecycle/types.h"

namespace leadsman::v2 {

/// A version as Triton's model configuration would describe it, for JSON and protocol buffers alike: what its config.pbtxt says,
/// and what holds here where that says nothing. Points into the version, which must be held meanwhile.
struct ModelConfigView {
  struct Tensor {
    std::string_view name;
    DataType type = DataType::kInvalid;
    Shape dims;  ///< of one row, when there is a max_batch_size
    std::optional<Shape> reshape;
    std::string_view label_filename;
    bool optional = false;
  };
  struct Priorities {
    uint32_t levels = 0;  ///< 0 = none
    uint32_t default_level = 0;
    std::map<uint32_t, BatchingConfig::Queue>
        queues;  ///< of the levels that have one; max_size 0 = no own
  };

  std::string_view name;
  std::string platform;
  std::string_view backend;
  const VersionPolicy* versions = nullptr;
  int64_t max_batch_size = 0;
  std::vector<Tensor> inputs;
  std::vector<Tensor> outputs;
  int instances = 1;
  const BatchingConfig* batching = nullptr;  ///< null: requests are not put together
  Priorities priorities;
  std::string_view default_model_filename;
  std::map<std::string, std::string> cc_model_filenames;
  std::map<std::string, std::string> parameters;
};

ModelConfigView DescribeModel(const ServableVersion& version);

/// "onnxruntime_onnx", as metadata and configuration have it.
std::string PlatformOf(const ServableVersion& version);

}  // namespace leadsman::v2
