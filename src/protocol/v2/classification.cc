#include "protocol/v2/classification.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/strings.h"

namespace leadsman::v2 {
namespace {

/// NaN is below everything: it says nothing, and must not break the order.
template <typename T>
bool IsLarger(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a) || std::isnan(b)) return !std::isnan(a) && std::isnan(b);
  }
  return a > b;
}

template <typename T>
void Rank(std::span<const T> values, size_t rows, size_t classes,
          std::span<const std::string> labels, Tensor& result) {
  const size_t width = rows == 0 ? 0 : values.size() / rows;
  std::vector<size_t> order(width);
  std::string text;
  for (size_t row = 0; row < rows; ++row) {
    std::span<const T> scores = values.subspan(row * width, width);
    std::iota(order.begin(), order.end(), size_t{0});
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(classes),
                      order.end(), [&](size_t a, size_t b) {
                        if (IsLarger(scores[a], scores[b])) return true;
                        return a < b && !IsLarger(scores[b], scores[a]);
                      });
    for (size_t i = 0; i < classes; ++i) {
      text = StrCat(std::to_string(scores[order[i]]), ":", order[i]);
      if (order[i] < labels.size()) text += StrCat(":", labels[order[i]]);
      result.PushString(text);
    }
  }
}

}  // namespace

Status Classify(const TensorView& output, bool batched, uint32_t classes,
                std::span<const std::string> labels, Tensor& result) {
  const bool rows_apart = batched && output.shape.rank() >= 2;
  const auto rows = rows_apart ? static_cast<size_t>(output.shape[0]) : size_t{1};
  const auto count = static_cast<size_t>(output.element_count);
  const size_t width = rows == 0 ? 0 : count / rows;
  const size_t shown = std::min<size_t>(classes, width);
  result.Reset(output.name, DataType::kBytes);
  if (rows_apart) result.shape().Append(static_cast<int64_t>(rows));
  result.shape().Append(static_cast<int64_t>(shown));
  auto rank = [&](auto values) {
    Rank(values, rows, shown, labels, result);
    return OkStatus();
  };
  switch (output.type) {
    case DataType::kUint8:
      return rank(output.as<uint8_t>());
    case DataType::kUint16:
      return rank(output.as<uint16_t>());
    case DataType::kUint32:
      return rank(output.as<uint32_t>());
    case DataType::kUint64:
      return rank(output.as<uint64_t>());
    case DataType::kInt8:
      return rank(output.as<int8_t>());
    case DataType::kInt16:
      return rank(output.as<int16_t>());
    case DataType::kInt32:
      return rank(output.as<int32_t>());
    case DataType::kInt64:
      return rank(output.as<int64_t>());
    case DataType::kFp32:
      return rank(output.as<float>());
    case DataType::kFp64:
      return rank(output.as<double>());
    default:
      return InvalidArgumentError(StrCat("outputs[].parameters.classification: output '",
                                         output.name, "' is ", DataTypeName(output.type),
                                         ", which has no classes; ask for it without"));
  }
}

}  // namespace leadsman::v2
