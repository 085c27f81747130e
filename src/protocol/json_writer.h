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

/// How strings of an output appear: as text, which has to be UTF-8; as text where it is that, and as {"b64": …} otherwise; or always
/// as the latter.
enum class BytesForm { kText, kTextOrBase64Object, kBase64Object };

/// TensorFlow Serving's rule: of outputs whose names end in "_bytes" all strings are {"b64": …}. Of others those that are not UTF-8
/// are, which it writes as they are, so that no reader takes the answer.
BytesForm FormOfStrings(std::string_view output_name);

/// INVALID_ARGUMENT for what has no JSON form: FP16, BF16, and with kText strings that are not UTF-8.
Status CheckJsonForm(const TensorView& tensor, BytesForm form);

/// The elements from `first` on, `count` of them, separated by commas, without brackets.
void AppendFlat(std::string& out, const TensorView& tensor, size_t first, size_t count,
                BytesForm form);

/// The part of the tensor below dimension `level` that starts at element `first`: nested lists, or
/// one value when no dimension is left. AppendNested(out, t, 0, 0, form) is the whole tensor.
void AppendNested(std::string& out, const TensorView& tensor, size_t level, size_t first,
                  BytesForm form);

}  // namespace leadsman
