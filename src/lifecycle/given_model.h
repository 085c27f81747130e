#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/status.h"

namespace leadsman {

/// What a client sends along when it asks for a model to be loaded, as Triton's clients may: the configuration that counts until
/// the next load, and the files that the model is made of instead of those in its folder.
struct GivenModel {
  std::optional<std::string> config;         ///< Triton's ModelConfig as JSON
  std::map<std::string, std::string> files;  ///< by path in the model's folder: "1/model.onnx"
  bool empty() const { return !config && files.empty(); }
};

/// INVALID_ARGUMENT names the parameter ("parameters.file:../x") and what is wrong with it: files need a configuration, and their
/// paths must stay in the model's folder. Looks at nothing but what was given; what the configuration names is not read.
Status CheckGivenModel(const GivenModel& given);

}  // namespace leadsman
