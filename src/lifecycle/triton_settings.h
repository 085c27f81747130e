#pragma once

#include "lifecycle/types.h"
#include "storage/triton_config.h"

namespace leadsman {

/// A model's configuration with what its config.pbtxt says, where ours has its default: our own has the last word.
///
///   backend, platform            format; "fil" by its parameter model_type
///   version_policy               versions
///   instance_group               instances: the sum of the counts, on CPUs
///   dynamic_batching             batching
///   model_warmup                 warmup_requests
///
/// What it says of the model itself is triton_model.h's, its parameters triton_parameters.h's. Pure.
ModelConfig WithTritonConfig(const ModelConfig& own, const TritonConfig& triton);

}  // namespace leadsman
