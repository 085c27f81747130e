#pragma once

#include <string>
#include <vector>

#include "app/config.h"
#include "base/status.h"

namespace leadsman::triton {

/// The name of the file in a model's folder, beside its versions.
inline constexpr const char* kConfigFileName = "config.pbtxt";

/// Takes over what a model's config.pbtxt says, where `model` still has its default: our own configuration has the last
/// word. Nothing when the model's folder is not on this machine or has no such file.
///
///   backend, platform            the format; "fil" by its parameter model_type
///   version_policy               versions
///   instance_group               instances: the sum of the counts, on CPUs
///   dynamic_batching             batching
///   model_warmup                 warmup_requests
///   parameters                   runtime_options
///
/// The signature is the runtime's own: inputs and outputs are checked for themselves and not compared with it.
///
/// INVALID_ARGUMENT has every problem on a line, with file, line and column; among them the blocks that cannot be honoured
/// (ensembles, sequences, …). `warnings` gets a line for each that does nothing here. Blocks for the file; thread-safe.
Status ApplyConfigPbtxt(Config::Model& model, std::vector<std::string>& warnings);

/// The same for all models. One whose file cannot be honoured stays as it was, which is a warning: it is no reason for
/// the others not to be served.
void ApplyConfigPbtxt(Config& config, std::vector<std::string>& warnings);

}  // namespace leadsman::triton
