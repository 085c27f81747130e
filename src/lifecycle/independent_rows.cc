#include "lifecycle/independent_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <optional>
#include <random>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "lifecycle/sample_inputs.h"

namespace leadsman {
namespace {

constexpr int64_t kMostBytes = 16 << 20;
constexpr double kOfItself = 1e-4;
constexpr double kOfTheLargest = 1e-5;
/// What fixed costs of a call are shared by running together, at least.
constexpr double kWorthIt = 0.75;
/// The quickest of so many: others may be at work on the machine.
constexpr int kTimings = 3;

bool IsHalf(DataType type) { return type == DataType::kFp16 || type == DataType::kBf16; }
bool HasOpenRows(const TensorSpec& spec) { return spec.shape.rank() > 0 && spec.shape[0] < 0; }

/// The values of `count` elements. Whole numbers are 0 or 1: whatever they stand for, a category or a word, these exist.
void FillRandom(Tensor& tensor, size_t count, Rng& rng) {
  std::normal_distribution<double> normal;
  for (size_t i = 0; i < count; ++i) {
    if (tensor.type() == DataType::kFp32) {
      tensor.Push(static_cast<float>(normal(rng)));
    } else if (tensor.type() == DataType::kFp64) {
      tensor.Push(normal(rng));
    } else {  // little-endian: the first byte is the lowest
      char* to = static_cast<char*>(tensor.Extend(1));
      std::fill_n(to, ElementSize(tensor.type()), '\0');
      *to = static_cast<char>(rng.Below(2));
    }
  }
}

/// Of what values can be made, and rows are told apart.
bool CanBeTried(const TensorSpec& input) {
  return !input.optional && HasOpenRows(input) && input.type != DataType::kBytes &&
         !IsHalf(input.type);
}

/// One row of a tensor that has some.
TensorView RowOf(const TensorView& whole, int64_t index) {
  TensorView row = whole;
  row.shape[0] = 1;
  row.element_count = whole.element_count / whole.shape[0];
  row.data = static_cast<const char*>(whole.data) + static_cast<size_t>(index) * row.byte_size();
  return row;
}

/// A difference from, or of, what is no number is one.
template <typename T>
bool CloseValues(std::span<const T> a, std::span<const T> b) {
  double largest = 0;
  for (T value : a) largest = std::max(largest, std::abs(static_cast<double>(value)));
  for (size_t i = 0; i < a.size(); ++i) {
    const auto x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    const double most =
        std::max(kOfItself * std::max(std::abs(x), std::abs(y)), kOfTheLargest * largest);
    if (!std::isfinite(x) || !(std::abs(x - y) <= most)) return false;
  }
  return true;
}

bool SameRow(const TensorView& a, const TensorView& b) {
  if (a.type != b.type || !(a.shape == b.shape) || a.element_count != b.element_count) return false;
  if (a.type == DataType::kFp32) return CloseValues(a.as<float>(), b.as<float>());
  if (a.type == DataType::kFp64) return CloseValues(a.as<double>(), b.as<double>());
  if (a.type == DataType::kBytes)
    return std::ranges::equal(a.as<std::string_view>(), b.as<std::string_view>());
  return a.element_count == 0 || std::memcmp(a.data, b.data, a.byte_size()) == 0;
}

bool HaveRows(std::span<const TensorView> outputs, int64_t rows) {
  return std::ranges::all_of(outputs, [rows](const TensorView& output) {
    return !IsHalf(output.type) && output.shape.rank() > 0 && output.shape[0] == rows;
  });
}

/// Answers that are all alike say nothing of what they depend on.
bool SomeDiffer(std::span<const TensorView> outputs, int64_t rows) {
  return std::ranges::any_of(outputs, [rows](const TensorView& output) {
    for (int64_t i = 1; i < rows; ++i) {
      if (!SameRow(RowOf(output, 0), RowOf(output, i))) return true;
    }
    return false;
  });
}

class Trial {
 public:
  Trial(Clock& clock, std::vector<Tensor> inputs, int64_t rows,
        std::unique_ptr<ExecutionContext> together, std::unique_ptr<ExecutionContext> alone)
      : clock_(clock),
        tensors_(std::move(inputs)),
        rows_(rows),
        together_(std::move(together)),
        alone_(std::move(alone)),
        by_row_(static_cast<size_t>(rows)) {
    for (const Tensor& tensor : tensors_) inputs_.push_back(tensor.View());
    for (int64_t i = 0; i < rows; ++i) {
      for (const TensorView& input : inputs_)
        by_row_[static_cast<size_t>(i)].push_back(RowOf(input, i));
    }
  }

  /// Nothing: the model refuses the values, which says nothing of its rows.
  std::optional<bool> Run(const std::atomic<bool>& cancel) {
    Result<std::span<const TensorView>> all = together_->Execute(inputs_);
    if (!all.ok()) return std::nullopt;
    if (!HaveRows(*all, rows_) || !SomeDiffer(*all, rows_)) return false;
    for (int64_t i = 0; i < rows_ && !cancel.load(); ++i) {
      Result<std::span<const TensorView>> one = alone_->Execute(by_row_[static_cast<size_t>(i)]);
      if (!one.ok() || one->size() != all->size() || !HaveRows(*one, 1)) return false;
      for (size_t o = 0; o < one->size(); ++o) {
        if (!SameRow((*one)[o], RowOf((*all)[o], i))) return false;
      }
    }
    return !cancel.load() && IsWorthIt();
  }

 private:
  template <typename Work>
  Duration Quickest(Work work) {
    Duration quickest = Duration::max();
    for (int i = 0; i < kTimings; ++i) {
      const SteadyTime begin = clock_.SteadyNow();
      work();
      quickest = std::min<Duration>(quickest, clock_.SteadyNow() - begin);
    }
    return quickest;
  }
  bool IsWorthIt() {
    const Duration together = Quickest([&] { (void)together_->Execute(inputs_); });
    Duration alone{};
    for (size_t i = 0; i < kTimed; ++i) {
      alone += Quickest([&] { (void)alone_->Execute(by_row_[i % by_row_.size()]); });
    }
    return ToSeconds(together) <
           kWorthIt * ToSeconds(alone) / static_cast<double>(kTimed) * static_cast<double>(rows_);
  }
  static constexpr size_t kTimed = 4;

  Clock& clock_;
  std::vector<Tensor> tensors_;
  const int64_t rows_;
  std::unique_ptr<ExecutionContext> together_, alone_;
  std::vector<TensorView> inputs_;
  std::vector<std::vector<TensorView>> by_row_;
};

bool Try(LoadedModel& model, int64_t rows, Clock& clock, const std::atomic<bool>& cancel) {
  const Signature& signature = model.signature();
  if (signature.inputs.empty() || !std::ranges::all_of(signature.inputs, CanBeTried) ||
      !std::ranges::all_of(signature.outputs, HasOpenRows))
    return false;
  // Rows of one word may have nothing to look at; not all models take more.
  for (int64_t length : {3, 1}) {
    Rng rng(1);
    std::optional<std::vector<Tensor>> inputs =
        SampleInputs(signature, rows, length, kMostBytes,
                     [&rng](Tensor& to, size_t count) { FillRandom(to, count, rng); });
    if (!inputs) return false;
    Result<std::unique_ptr<ExecutionContext>> together = model.NewContext();
    Result<std::unique_ptr<ExecutionContext>> alone = model.NewContext();
    if (!together.ok() || !alone.ok()) return false;
    Trial trial(clock, std::move(*inputs), rows, std::move(*together), std::move(*alone));
    if (std::optional<bool> found = trial.Run(cancel)) return *found;
  }
  return false;
}

}  // namespace

bool RowsAreIndependent(LoadedModel& model, uint32_t rows, Clock& clock,
                        const std::atomic<bool>& cancel) {
  try {
    return Try(model, rows, clock, cancel);
  } catch (const std::exception&) {  // no memory for it: then it is not tried
    return false;
  }
}

}  // namespace leadsman
