#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "base/wire.h"
#include "tensor/tensor.h"

namespace leadsman::rpc {

/// tensorflow.TensorProto ↔ tensors. Pure functions.

/// DT_FLOAT = 1 and so on; 0 for types that are not ours, kInvalid for numbers that are not.
uint32_t TensorFlowTypeNumber(DataType type);
DataType FromTensorFlowTypeNumber(uint64_t number);

/// Fills `tensor`, named and typed as `spec`, from a serialized TensorProto: tensor_content, or the field of values for its
/// type, of which the last one stands for those that are missing. INVALID_ARGUMENT names the input, what was expected and
/// what came; more than `limit` bytes of values are refused before they are made.
Status ReadTensorProto(const TensorSpec& spec, std::string_view proto, size_t limit,
                       Tensor& tensor);

/// Where the values of a TensorProto are written: in the field of their type, which clients read directly and TensorFlow
/// Serving uses by default; or in tensor_content, as they lie in memory (numbers only).
enum class TensorValues { kTyped, kContent };

/// How long AppendTensorProto's bytes are, and those bytes.
size_t TensorProtoSize(const TensorView& tensor, TensorValues values = TensorValues::kTyped);
void AppendTensorProto(WireWriter& out, const TensorView& tensor,
                       TensorValues values = TensorValues::kTyped);

/// TensorShapeProto of a signature: -1 where any length is taken.
void AppendShapeProto(WireWriter& out, const Shape& shape);

}  // namespace leadsman::rpc
