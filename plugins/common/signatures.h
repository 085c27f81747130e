#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "leadsman_backend.h"

namespace leadsman_plugin {

struct TensorInfo {
  std::string name;
  leadsman_dtype dtype = LEADSMAN_INVALID;
  std::vector<int64_t> dims;
  bool any_rank = false;
  bool optional = false;
};

/// Signatures and all that the ABI's structs point to. What All() gives stays valid as long as
/// this does, also after later calls of Add.
class Signatures {
 public:
  Signatures() = default;
  Signatures(Signatures&&) = delete;

  void Add(std::string name, std::string method, std::vector<TensorInfo> inputs,
           std::vector<TensorInfo> outputs) {
    Entry& entry = entries_.emplace_back();
    entry.name = std::move(name);
    entry.method = std::move(method);
    entry.inputs = std::move(inputs);
    entry.outputs = std::move(outputs);
    Publish(entry.inputs, entry.input_specs);
    Publish(entry.outputs, entry.output_specs);
    abi_.push_back({entry.name.c_str(),
                    entry.method.c_str(),
                    {entry.input_specs.size(), entry.input_specs.data(), entry.output_specs.size(),
                     entry.output_specs.data()}});
  }
  std::span<const leadsman_named_signature> All() const { return abi_; }

 private:
  struct Entry {
    std::string name;
    std::string method;
    std::vector<TensorInfo> inputs;
    std::vector<TensorInfo> outputs;
    std::vector<leadsman_tensor_spec> input_specs;
    std::vector<leadsman_tensor_spec> output_specs;
  };
  static void Publish(const std::vector<TensorInfo>& from,
                      std::vector<leadsman_tensor_spec>& specs) {
    for (const TensorInfo& info : from) {
      auto rank = info.any_rank ? LEADSMAN_ANY_RANK : static_cast<uint32_t>(info.dims.size());
      specs.push_back(
          {info.name.c_str(), info.dtype, rank, info.dims.data(), info.optional ? 1 : 0});
    }
  }

  std::deque<Entry> entries_;  ///< never moves its elements
  std::vector<leadsman_named_signature> abi_;
};

}  // namespace leadsman_plugin
