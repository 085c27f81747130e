#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"
#include "tensor/tensor.h"

namespace leadsman::v2 {

/// The classification extension: the `classes` largest values of `output`, largest first, as BYTES
/// "value:index" or "value:index:label", equal values by index. With `batched`, and two dimensions
/// or more, of each element of the first one: shape [batch, classes], else [classes]. More classes
/// than there are values give all of them. Labels may be missing, or fewer than the values.
/// INVALID_ARGUMENT for a type that has no order (BOOL, BYTES) or no text form (FP16, BF16).
Status Classify(const TensorView& output, bool batched, uint32_t classes,
                std::span<const std::string> labels, Tensor& result);

}  // namespace leadsman::v2
