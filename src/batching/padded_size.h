#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace leadsman {

/// How large a batch becomes by padding. Each open dimension grows to the longest of its requests: one long request among
/// thirty-one short ones would make every row as long as its own, and so cost the others thirty times what they sent.
///
/// Confined; used again from batch to batch.
class PaddedSize {
 public:
  /// A batch may be so many times as large as what its requests hold …
  static constexpr double kMostTimes = 4;
  /// … or so large at least: below, a batch of its own costs more than the padding.
  static constexpr double kAlwaysBytes = 4096;

  /// A batch begins with these inputs. Those whose first dimension is not `rows` are shared, and never padded.
  void Begin(std::span<const TensorView> inputs, uint32_t rows);
  /// Whether a request with the same inputs may join; then it has.
  bool Join(std::span<const TensorView> inputs, uint32_t rows);

 private:
  struct Input {
    size_t index = 0;
    Shape largest;
    Shape grown;  ///< `largest` should the request join
    double bytes = 0;
  };
  std::vector<Input> inputs_;
  double rows_ = 0;
};

}  // namespace leadsman
