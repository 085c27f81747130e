#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tensor/tensor.h"

namespace leadsman {

/// The file in a model's folder, beside its versions, that Triton is told by what the model is.
inline constexpr const char* kTritonConfigName = "config.pbtxt";

/// What a config.pbtxt says, in plain words: the one place where it is read and understood. Sound in itself: sizes, levels and shapes
/// are within their bounds. What is not said has Triton's default.
struct TritonConfig {
  struct Tensor {
    std::string name;
    DataType type = DataType::kInvalid;
    Shape dims;  ///< as clients see it, without the batch dimension; -1 = any length
    /// As the model has it, where that is another one: as many -1, and as many elements between them.
    std::optional<Shape> reshape;
    bool optional = false;
    std::string label_filename;
    std::vector<std::string> labels;  ///< the lines of that file: the names of the classes
    friend bool operator==(const Tensor&, const Tensor&) = default;
  };
  struct Versions {
    enum class Kind { kNotSaid, kLatest, kAll, kSpecific };
    Kind kind = Kind::kNotSaid;
    int latest = 1;
    std::vector<int64_t> specific;
    friend bool operator==(const Versions&, const Versions&) = default;
  };
  struct Queue {
    bool delay_when_late = false;  ///< requests that are late wait behind the others, not refused
    std::chrono::microseconds default_timeout{0};
    bool allow_timeout_override = false;
    size_t max_size = 0;  ///< 0 = not said
    friend bool operator==(const Queue&, const Queue&) = default;
  };
  struct DynamicBatching {
    std::vector<uint32_t> preferred_sizes;  ///< ascending
    std::chrono::microseconds max_delay{0};
    uint32_t priority_levels = 0;  ///< 0 = no priorities
    uint32_t default_level = 0;
    std::optional<Queue> queue;
    std::map<uint32_t, Queue>
        level_queues;  ///< of the levels that have one; its size is the level's
    friend bool operator==(const DynamicBatching&, const DynamicBatching&) = default;
  };

  /// A request that is sent through a version before it is ready.
  struct Warmup {
    struct Input {
      enum class Data { kZero, kRandom, kFile };
      std::string name;
      DataType type = DataType::kInvalid;
      Shape dims;  ///< as clients send it, with the rows where there is a max_batch_size
      int64_t rows = 1;
      Data data = Data::kZero;
      std::string content;  ///< kFile: of warmup/FILE, the elements of each row
      friend bool operator==(const Input&, const Input&) = default;
    };
    std::string name;
    int count = 1;
    std::vector<Input> inputs;  ///< one at least
    friend bool operator==(const Warmup&, const Warmup&) = default;
  };

  std::string name;
  std::string platform;
  std::string backend;
  std::string format;          ///< what backend or platform mean here; empty when they do not say
  int64_t max_batch_size = 0;  ///< rows of a request; 0 = tensors have no batch dimension
  std::vector<Tensor> inputs;
  std::vector<Tensor> outputs;
  Versions versions;
  int instances = 0;  ///< of all groups together; 0 = not said
  std::optional<DynamicBatching> dynamic_batching;
  int warmup_requests = 0;  ///< 0 = not said
  std::vector<Warmup> warmups;
  /// Files in a version's folder, relative to it: the model; what it is on a GPU, by compute capability ("7.5").
  std::string default_model_filename;
  std::map<std::string, std::string> cc_model_filenames;
  std::map<std::string, std::string> parameters;
  /// "config.pbtxt: optimization does nothing: …": what may be left out without harm.
  std::vector<std::string> warnings;

  bool NamesModelFile() const {
    return !default_model_filename.empty() || !cc_model_filenames.empty();
  }
  friend bool operator==(const TritonConfig&, const TritonConfig&) = default;
};

/// Reads a file that the configuration names, by its path relative to the model's folder.
using ReadBesideConfig = std::function<Result<std::string>(const std::string& path)>;

/// INVALID_ARGUMENT has every problem on a line, with line and column; among them unknown fields and the blocks that cannot
/// be honoured (ensembles, sequences, …). Pure but for `read`.
Result<TritonConfig> ParseTritonConfig(std::string_view text, const ReadBesideConfig& read);
/// The same for the JSON that Triton's clients send with a load; problems are told by path. Without `read`, what the
/// configuration names is taken to be there.
Result<TritonConfig> ParseTritonConfigJson(std::string_view json, const ReadBesideConfig& read);

}  // namespace leadsman
