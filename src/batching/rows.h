#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "batching/config.h"
#include "batching/request_queue.h"
#include "tensor/tensor.h"

namespace leadsman {

/// How the requests of one signature are put together by rows, and answers taken apart again.
///
/// A tensor has a batch dimension when the signature leaves its first dimension open. Everything else of two requests must
/// be equal for them to share a batch: which inputs they bring, data types, all further dimensions (but for ragged ones,
/// which are padded when the configuration says so), and, byte for byte, inputs without a batch dimension.
///
/// Immutable, thread-safe.
class BatchRules {
 public:
  /// FAILED_PRECONDITION with the reason when the signature cannot be batched.
  static Result<BatchRules> Create(const Signature& signature, const BatchingConfig& config);
  /// For models that are not batched: no task may join another.
  BatchRules() = default;

  /// Sets rows, key and may_join by task.inputs, which must agree with the signature.
  void Describe(BatchTask& task) const;
  /// Exactly, for tasks with equal keys; as MayShare.
  static bool Share(const BatchTask& a, const BatchTask& b);

  /// The next allowed size, or `rows`.
  uint64_t PaddedRows(uint64_t rows) const;
  bool IsSharedInput(const TensorView& input) const;
  const std::optional<double>& pad_value() const { return pad_; }
  bool pads_with_first_value() const { return pad_with_first_; }

  /// Rows [first, first + rows) of an answer to `total` rows, as views into it. False when an output does not have
  /// `total` rows, and so cannot be taken apart.
  bool TakeRows(std::span<const TensorView> outputs, uint64_t total, uint64_t first, uint64_t rows,
                std::vector<TensorView>& out) const;
  /// Rows [first, first + rows) of a request's inputs, as views.
  void SliceInputs(std::span<const TensorView> inputs, uint64_t first, uint64_t rows,
                   std::vector<TensorView>& out) const;

 private:
  bool IsRagged(const TensorView& input, size_t dimension) const;

  bool batched_ = false;
  std::vector<TensorSpec> inputs_;
  std::vector<std::string> shared_inputs_;
  std::vector<std::string> shared_outputs_;
  std::vector<uint32_t> allowed_;
  std::optional<double> pad_;
  bool pad_with_first_ = false;
};

/// The inputs of one batch, joined. Kept and filled again: in the steady state it does not allocate. Confined.
class BatchBuffer {
 public:
  /// The joined inputs of the tasks, which share a batch by `rules`; the last `padded - rows` rows repeat the first one. Valid until the
  /// next Join. The text of kBytes inputs stays in the tasks' own.
  std::span<const TensorView> Join(const BatchRules& rules, std::span<BatchTask* const> tasks,
                                   uint64_t padded);
  /// Once nobody looks at the joined inputs any more: gives the memory of large ones back, so that one large batch does
  /// not hold it for as long as its version lives.
  void Trim();
  size_t capacity() const;  ///< bytes that it keeps

  /// Memory of an input up to here is kept. Above, a batch takes so long that new memory does not matter.
  static constexpr size_t kMostKept = 64 << 20;

 private:
  struct Piece {
    std::unique_ptr<char[]> bytes;
    size_t capacity = 0;
    char* Need(size_t size);
  };
  void JoinInput(const BatchRules& rules, std::span<BatchTask* const> tasks, uint64_t padded,
                 size_t index);

  std::vector<Piece> pieces_;
  std::vector<TensorView> views_;
};

}  // namespace leadsman
