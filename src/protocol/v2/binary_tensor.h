#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "tensor/tensor.h"

namespace leadsman::v2 {

/// Tensors as the binary tensor data extension has them on the wire: row-major, little-endian,
/// nothing between the elements; BOOL is one byte, 0 or 1; FP16 and BF16 are their two bytes; an
/// element of BYTES is its length as a uint32, then its bytes. Pure functions.

/// Fills `tensor` with `bytes`, which stand anywhere (also unaligned) and must be all of it.
/// INVALID_ARGUMENT names the input and the sizes. Does not compare `shape` with the signature.
Status ReadBinary(const TensorSpec& spec, const Shape& shape, std::string_view bytes,
                  Tensor& tensor);

/// A raw binary request: the whole body is the one input, and the shape is the signature's. One
/// variable dimension follows from the size of the body; of two, the first is taken as a batch of 1.
/// A BYTES input must have one element, which is the body itself, without a length.
Status ReadRaw(const TensorSpec& spec, std::string_view body, Tensor& tensor);

/// What AppendBinary will append. OUT_OF_RANGE when an element of BYTES is too long for its length.
Result<uint64_t> BinarySize(const TensorView& tensor);
void AppendBinary(std::string& out, const TensorView& tensor);

}  // namespace leadsman::v2
