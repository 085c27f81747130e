#include "serving/batch_size.h"

#include "base/strings.h"
#include "serving/predictor.h"

namespace leadsman {

Status CheckBatchSize(const PredictionCall& call) {
  const TritonConfig* triton = call.handle->triton.get();
  // Signatures but the default one are not described by the file.
  if (triton == nullptr || triton->max_batch_size == 0 || call.signature > 0) return OkStatus();
  if (call.rows > triton->max_batch_size) {
    // The beginning is Triton's, for what its users' scripts look for.
    return InvalidArgumentError(
        StrCat("inference request batch-size must be <= ", triton->max_batch_size, " for '",
               call.model_name, "', not ", call.rows,
               "; send it in parts, or raise max_batch_size in ", kTritonConfigName));
  }
  for (size_t i = 0; i < call.input_count; ++i) {
    const Tensor& input = call.inputs[i];
    if (input.type() == DataType::kInvalid || input.shape().rank() == 0) continue;
    if (input.shape()[0] == call.rows) continue;
    return InvalidArgumentError(StrCat("input '", input.name(),
                                       "' batch size does not match other "
                                       "inputs for '",
                                       call.model_name, "': it has ", input.shape()[0],
                                       " rows, the first has ", call.rows));
  }
  return OkStatus();
}

}  // namespace leadsman
