#include "serving/predicted_class.h"

#include <algorithm>
#include <charconv>
#include <type_traits>

namespace leadsman {
namespace {

bool IsInteger(DataType type) { return type >= DataType::kUint8 && type <= DataType::kInt64; }
bool IsFloat(DataType type) { return type == DataType::kFp32 || type == DataType::kFp64; }

/// Calls visit(span of T) for the numeric types that can be compared; false for the others.
template <typename Visit>
bool VisitNumbers(const TensorView& view, Visit visit) {
  switch (view.type) {
    case DataType::kUint8:
      visit(view.as<uint8_t>());
      return true;
    case DataType::kUint16:
      visit(view.as<uint16_t>());
      return true;
    case DataType::kUint32:
      visit(view.as<uint32_t>());
      return true;
    case DataType::kUint64:
      visit(view.as<uint64_t>());
      return true;
    case DataType::kInt8:
      visit(view.as<int8_t>());
      return true;
    case DataType::kInt16:
      visit(view.as<int16_t>());
      return true;
    case DataType::kInt32:
      visit(view.as<int32_t>());
      return true;
    case DataType::kInt64:
      visit(view.as<int64_t>());
      return true;
    case DataType::kFp32:
      visit(view.as<float>());
      return true;
    case DataType::kFp64:
      visit(view.as<double>());
      return true;
    default:
      return false;
  }
}

/// The index of the largest value that is a number; the size when none is.
template <typename T>
size_t ArgMax(std::span<const T> values) {
  size_t best = values.size();
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] != values[i]) continue;  // NaN
    if (best == values.size() || values[i] > values[best]) best = i;
  }
  return best;
}

/// Values per row; 0 when the output is not made of `rows` equal rows.
size_t PerRow(const TensorView& output, size_t rows) {
  auto count = static_cast<size_t>(output.element_count);
  return rows > 0 && count % rows == 0 ? count / rows : 0;
}

}  // namespace

void PredictedClasses::Extract(std::span<const TensorView> outputs, uint32_t rows,
                               std::string_view wanted) {
  count_ = 0;
  score_ = -1;
  answer_ = AnswerKind::kUnknown;
  row_scores_.Clear();
  const TensorView* probabilities = nullptr;  // what score_ is of
  const TensorView* label = nullptr;
  const TensorView* scores = nullptr;
  const TensorView* value = nullptr;
  for (const TensorView& output : outputs) {
    size_t per_row = PerRow(output, rows);
    if (per_row == 0) continue;
    bool is_text = output.type == DataType::kBytes || output.type == DataType::kBool;
    bool is_number = IsInteger(output.type) || IsFloat(output.type);
    if (!wanted.empty()) {
      if (output.name == wanted && (is_text || is_number)) label = &output;
    } else if (label == nullptr && per_row == 1 &&
               (IsInteger(output.type) || output.type == DataType::kBytes)) {
      label = &output;
    }
    if (scores == nullptr && per_row > 1 && is_number) scores = &output;
    if (value == nullptr && is_number) value = &output;
    if (score_ == -1 && per_row > 1 && IsFloat(output.type)) {
      probabilities = &output;
      VisitNumbers(output, [&](auto values) {
        auto first = values.first(per_row);
        size_t best = ArgMax(first);
        if (best < per_row) score_ = static_cast<float>(first[best]);
      });
    }
  }
  const TensorView* chosen = label != nullptr ? label : scores != nullptr ? scores : value;
  if (chosen == nullptr || (!wanted.empty() && label == nullptr)) return;
  const size_t per_row = PerRow(*chosen, rows);
  Take(*chosen, per_row, rows);
  if (count_ == 0) return;
  answer_ = per_row == 1 && IsFloat(chosen->type) ? AnswerKind::kNumber : AnswerKind::kClass;
  if (answer_ == AnswerKind::kClass && probabilities != nullptr) {
    TakeScores(*probabilities, PerRow(*probabilities, rows));
  }
}

void PredictedClasses::TakeScores(const TensorView& output, size_t per_row) {
  VisitNumbers(output, [&](auto values) {
    for (size_t row = 0; row < count_; ++row) {
      row_scores_.Add(values.subspan(row * per_row, per_row));
    }
  });
}

void PredictedClasses::Take(const TensorView& output, size_t per_row, size_t rows) {
  size_t wanted = std::min<size_t>(rows, classes_.size());
  if (output.type == DataType::kBytes) {
    for (size_t row = 0; row < wanted; ++row)
      classes_[row] = output.as<std::string_view>()[row * per_row];
    count_ = wanted;
    return;
  }
  if (output.type == DataType::kBool) {
    for (size_t row = 0; row < wanted; ++row)
      classes_[row] = output.as<uint8_t>()[row * per_row] ? "true" : "false";
    count_ = wanted;
    return;
  }
  bool taken = VisitNumbers(output, [&](auto values) {
    for (size_t row = 0; row < wanted; ++row) {
      char* begin = text_[row].data();
      char* end = begin + text_[row].size();
      auto of_row = values.subspan(row * per_row, per_row);
      if (per_row == 1) {
        end = std::to_chars(begin, end, of_row[0]).ptr;
      } else {
        size_t best = ArgMax(of_row);
        if (best == per_row) {
          classes_[row] = "NaN";
          continue;
        }
        end = std::to_chars(begin, end, best).ptr;
      }
      classes_[row] = std::string_view(begin, static_cast<size_t>(end - begin));
    }
  });
  if (taken) count_ = wanted;
}

}  // namespace leadsman
