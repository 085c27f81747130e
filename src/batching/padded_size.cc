#include "batching/padded_size.h"

#include <algorithm>

namespace leadsman {
namespace {

/// Of one row. A double, as the longest of each dimension together may be more than any integer holds.
double RowBytes(DataType type, const Shape& shape) {
  double bytes = type == DataType::kBytes ? sizeof(std::string_view) : ElementSize(type);
  for (size_t i = 1; i < shape.rank(); ++i) bytes *= static_cast<double>(shape[i]);
  return bytes;
}

}  // namespace

void PaddedSize::Begin(std::span<const TensorView> inputs, uint32_t rows) {
  inputs_.clear();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Shape& shape = inputs[i].shape;
    if (shape.rank() == 0 || shape[0] != rows) continue;
    inputs_.push_back(
        {.index = i, .largest = shape, .bytes = rows * RowBytes(inputs[i].type, shape)});
  }
  rows_ = rows;
}

bool PaddedSize::Join(std::span<const TensorView> inputs, uint32_t rows) {
  double bytes = 0;
  double padded = 0;
  for (Input& input : inputs_) {
    const TensorView& view = inputs[input.index];
    input.grown = input.largest;
    for (size_t i = 1; i < view.shape.rank(); ++i)
      input.grown[i] = std::max(input.grown[i], view.shape[i]);
    bytes += input.bytes + rows * RowBytes(view.type, view.shape);
    padded += (rows_ + rows) * RowBytes(view.type, input.grown);
  }
  if (padded > std::max(kMostTimes * bytes, kAlwaysBytes)) return false;
  for (Input& input : inputs_) {
    const TensorView& view = inputs[input.index];
    input.largest = input.grown;
    input.bytes += rows * RowBytes(view.type, view.shape);
  }
  rows_ += rows;
  return true;
}

}  // namespace leadsman
