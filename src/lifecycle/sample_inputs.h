#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "tensor/tensor.h"

namespace leadsman {

/// Every input of a signature that is not optional: `rows` rows where the first dimension is open, other open dimensions `length` long;
/// `fill` puts so many values into each. Nothing when all together would take more than `most_bytes`.
std::optional<std::vector<Tensor>> SampleInputs(
    const Signature& signature, int64_t rows, int64_t length, int64_t most_bytes,
    const std::function<void(Tensor& to, size_t count)>& fill);

}  // namespace leadsman
