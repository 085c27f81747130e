#pragma once

#include <memory>

#include "backend/backend.h"
#include "base/status.h"
#include "storage/triton_config.h"
#include "tensor/tensor.h"

namespace leadsman {

/// The model as its config.pbtxt shows it to clients: its default signature has the shapes that the file says, and only
/// the outputs that it names. A `reshape` is carried out, without copying anything; a single value per row may be [ 1 ] there
/// and nothing in the model. Inputs and outputs that the file leaves out altogether are the model's own.
///
/// Of a SavedModel with several signatures the parameter TF_SIGNATURE_DEF names the one that is the default for clients.
///
/// INVALID_ARGUMENT names the tensor and both sides where the file does not say what the model has:
///   config.pbtxt says that the input x is FP32[-1,4], the model's is FP32[-1,8]
/// With a max_batch_size the first dimension of every tensor must be open in the model.
Result<std::unique_ptr<LoadedModel>> AsTritonModel(std::unique_ptr<LoadedModel> model,
                                                   const TritonConfig& config);

/// What the file says of the model itself, for formats that do not say it themselves; empty when it leaves inputs or
/// outputs out.
Signature SignatureOf(const TritonConfig& config);

}  // namespace leadsman
