#include "lifecycle/sample_inputs.h"

namespace leadsman {

std::optional<std::vector<Tensor>> SampleInputs(
    const Signature& signature, int64_t rows, int64_t length, int64_t most_bytes,
    const std::function<void(Tensor& to, size_t count)>& fill) {
  std::vector<Tensor> inputs;
  for (const TensorSpec& spec : signature.inputs) {
    if (spec.optional) continue;
    Tensor& tensor = inputs.emplace_back();
    tensor.Reset(spec.name, spec.type);
    tensor.shape() = spec.shape;
    for (size_t i = 0; i < spec.shape.rank(); ++i) {
      if (spec.shape[i] < 0) tensor.shape()[i] = i == 0 ? rows : length;
    }
    const auto size = static_cast<int64_t>(ElementSize(spec.type));
    const std::optional<int64_t> count = tensor.shape().ElementCount();
    if (!count || *count > most_bytes / size) return std::nullopt;
    most_bytes -= *count * size;
    fill(tensor, static_cast<size_t>(*count));
  }
  return inputs;
}

}  // namespace leadsman
