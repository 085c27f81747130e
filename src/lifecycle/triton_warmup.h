#pragma once

#include <vector>

#include "base/rng.h"
#include "base/status.h"
#include "storage/triton_config.h"
#include "tensor/tensor.h"

namespace leadsman {

/// The inputs of a request that a config.pbtxt's `model_warmup` describes, in the order of `signature`, which is as clients see
/// it. Random numbers are from 0 up to 1, whole ones from 0 to 9, so that they are within the vocabulary of any model; texts have
/// eight letters. INVALID_ARGUMENT names the warm-up and the input that does not fit the model. Pure but for `rng`.
Result<std::vector<Tensor>> WarmupTensors(const TritonConfig::Warmup& warmup,
                                          const Signature& signature, Rng& rng);

}  // namespace leadsman
