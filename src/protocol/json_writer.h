#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/status.h"
#include "tensor/tensor.h"

namespace leadsman {

/// Tensors as JSON text. Floats are printed as the shortest text that reads back to the same value,
/// with at least one decimal ("1.0"), as TensorFlow Serving does; NaN, Infinity and -Infinity as
/// these tokens.

void AppendFloat(std::string& out, float value);
void AppendFloat(std::string& out, double value);

/// How strings of an output appear.
enum class BytesForm { kText, kBase64Object };

/// INVALID_ARGUMENT for types that have no JSON form (FP16, BF16).
Status CheckJsonForm(const TensorView& tensor);

/// The elements from `first` on, `count` of them, separated by commas, without brackets.
void AppendFlat(std::string& out, const TensorView& tensor, size_t first, size_t count,
                BytesForm form);

/// The part of the tensor below dimension `level` that starts at element `first`: nested lists, or
/// one value when no dimension is left. AppendNested(out, t, 0, 0, form) is the whole tensor.
void AppendNested(std::string& out, const TensorView& tensor, size_t level, size_t first,
                  BytesForm form);

}  // namespace leadsman
