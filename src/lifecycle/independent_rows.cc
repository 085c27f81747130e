#include "lifecycle/independent_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <random>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/rng.h"

namespace leadsman {
namespace {

constexpr size_t kRows = 4;
constexpr int64_t kMostRowBytes = 4 << 20;
constexpr double kTolerance = 1e-4;

bool IsHalf(DataType type) { return type == DataType::kFp16 || type == DataType::kBf16; }

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

/// The inputs of kRows rows. Nothing when they cannot be made.
std::optional<std::vector<Tensor>> RandomInputs(const Signature& signature) {
  Rng rng(1);
  std::vector<Tensor> inputs;
  for (const TensorSpec& spec : signature.inputs) {
    if (spec.optional) continue;
    if (spec.type == DataType::kBytes || IsHalf(spec.type) || spec.shape.rank() == 0 ||
        spec.shape[0] >= 0)
      return std::nullopt;
    Tensor& tensor = inputs.emplace_back();
    tensor.Reset(spec.name, spec.type);
    Shape row = spec.shape;
    row[0] = 1;
    for (size_t i = 1; i < row.rank(); ++i) {
      if (row[i] < 0) row[i] = 1;
    }
    std::optional<int64_t> count = row.ElementCount();
    if (!count || *count > kMostRowBytes / static_cast<int64_t>(ElementSize(spec.type)))
      return std::nullopt;
    FillRandom(tensor, static_cast<size_t>(*count) * kRows, rng);
    tensor.shape() = row;
    tensor.shape()[0] = kRows;
  }
  return inputs.empty() ? std::nullopt : std::make_optional(std::move(inputs));
}

/// Row `index` of a tensor of kRows.
TensorView RowOf(const TensorView& whole, size_t index) {
  TensorView row = whole;
  row.shape[0] = 1;
  row.element_count = whole.element_count / static_cast<int64_t>(kRows);
  row.data = static_cast<const char*>(whole.data) + index * row.byte_size();
  return row;
}

template <typename T>
bool CloseValues(std::span<const T> a, std::span<const T> b) {
  double largest = 0;
  for (T value : a) {
    if (std::isfinite(value)) largest = std::max(largest, std::abs(static_cast<double>(value)));
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    // Written so that a difference that is no number is one.
    if (!(std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])) <= kTolerance * largest))
      return false;
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

bool HaveRows(std::span<const TensorView> outputs, size_t rows) {
  return std::all_of(outputs.begin(), outputs.end(), [rows](const TensorView& output) {
    return !IsHalf(output.type) && output.shape.rank() > 0 &&
           output.shape[0] == static_cast<int64_t>(rows);
  });
}

}  // namespace

bool RowsAreIndependent(LoadedModel& model, size_t signature, const std::atomic<bool>& cancel) {
  std::optional<std::vector<Tensor>> tensors =
      RandomInputs(model.signatures()[signature].signature);
  if (!tensors) return false;
  std::vector<TensorView> inputs;
  for (const Tensor& tensor : *tensors) inputs.push_back(tensor.View());
  Result<std::unique_ptr<ExecutionContext>> together = model.NewContext(signature);
  Result<std::unique_ptr<ExecutionContext>> alone = model.NewContext(signature);
  if (!together.ok() || !alone.ok()) return false;
  Result<std::span<const TensorView>> all = (*together)->Execute(inputs);
  if (!all.ok() || !HaveRows(*all, kRows)) return false;
  for (size_t i = 0; i < kRows && !cancel.load(); ++i) {
    std::vector<TensorView> row;
    for (const TensorView& input : inputs) row.push_back(RowOf(input, i));
    Result<std::span<const TensorView>> outputs = (*alone)->Execute(row);
    if (!outputs.ok() || outputs->size() != all->size() || !HaveRows(*outputs, 1)) return false;
    for (size_t o = 0; o < outputs->size(); ++o) {
      if (!SameRow((*outputs)[o], RowOf((*all)[o], i))) return false;
    }
  }
  return !cancel.load();
}

}  // namespace leadsman
