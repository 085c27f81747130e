#include "batching/rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/strings.h"

namespace leadsman {
namespace {

/// The bytes that one element takes in a view: texts are views themselves.
size_t Width(DataType type) {
  return type == DataType::kBytes ? sizeof(std::string_view) : ElementSize(type);
}

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool HasOpenRows(const TensorSpec& spec) {
  return spec.any_rank || (spec.shape.rank() > 0 && spec.shape[0] < 0);
}

void Mix(uint64_t& hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15ull;
  hash ^= hash >> 29;
}
void Mix(uint64_t& hash, std::string_view text) { Mix(hash, std::hash<std::string_view>()(text)); }

bool SameContent(const TensorView& a, const TensorView& b) {
  if (a.element_count != b.element_count) return false;
  if (a.type != DataType::kBytes) {
    // Not as text: bytes behind a zero count as well.
    return a.element_count == 0 || std::memcmp(a.data, b.data, a.byte_size()) == 0;
  }
  auto left = a.as<std::string_view>();
  return std::equal(left.begin(), left.end(), b.as<std::string_view>().begin());
}

uint64_t HashContent(const TensorView& view) {
  if (view.element_count == 0) return 0;
  if (view.type != DataType::kBytes) {
    return std::hash<std::string_view>()({static_cast<const char*>(view.data), view.byte_size()});
  }
  uint64_t hash = 0;
  for (std::string_view text : view.as<std::string_view>()) Mix(hash, text);
  return hash;
}

template <typename T>
void FillWith(char* to, size_t count, double value) {
  T typed = 0;
  if constexpr (std::is_floating_point_v<T>) {
    typed = static_cast<T>(value);
  } else {
    // A number that the type cannot hold becomes the nearest that it can.
    if (value >= static_cast<double>(std::numeric_limits<T>::max())) {
      typed = std::numeric_limits<T>::max();
    } else if (value <= static_cast<double>(std::numeric_limits<T>::lowest())) {
      typed = std::numeric_limits<T>::lowest();
    } else {
      typed = static_cast<T>(value);
    }
  }
  for (size_t i = 0; i < count; ++i) std::memcpy(to + i * sizeof(T), &typed, sizeof(T));
}

void FillPadding(DataType type, char* to, size_t count, double value) {
  switch (type) {
    case DataType::kBool:
      return FillWith<uint8_t>(to, count, value != 0 ? 1 : 0);
    case DataType::kUint8:
      return FillWith<uint8_t>(to, count, value);
    case DataType::kUint16:
      return FillWith<uint16_t>(to, count, value);
    case DataType::kUint32:
      return FillWith<uint32_t>(to, count, value);
    case DataType::kUint64:
      return FillWith<uint64_t>(to, count, value);
    case DataType::kInt8:
      return FillWith<int8_t>(to, count, value);
    case DataType::kInt16:
      return FillWith<int16_t>(to, count, value);
    case DataType::kInt32:
      return FillWith<int32_t>(to, count, value);
    case DataType::kInt64:
      return FillWith<int64_t>(to, count, value);
    case DataType::kFp32:
      return FillWith<float>(to, count, value);
    case DataType::kFp64:
      return FillWith<double>(to, count, value);
    case DataType::kBytes:
      for (size_t i = 0; i < count; ++i) new (to + i * sizeof(std::string_view)) std::string_view();
      return;
    default:
      // The half-precision types: refused by BatchRules::Create unless the value is 0.
      std::memset(to, 0, count * Width(type));
  }
}

/// With the first element of `input`, whatever its type; of an empty one there is none.
void FillWithFirst(const TensorView& input, char* to, size_t count, size_t width) {
  if (input.element_count == 0) return FillPadding(input.type, to, count, 0);
  for (size_t i = 0; i < count; ++i) std::memcpy(to + i * width, input.data, width);
}

/// Copies a block into a larger one of the same rank, from dimension `at` on; what it does not cover stays as it is.
void CopyInto(const char* from, const Shape& from_shape, char* to, const Shape& to_shape, size_t at,
              size_t width) {
  size_t from_step = width;
  size_t to_step = width;
  for (size_t i = at + 1; i < from_shape.rank(); ++i) {
    from_step *= static_cast<size_t>(from_shape[i]);
    to_step *= static_cast<size_t>(to_shape[i]);
  }
  if (from_step == to_step) {
    if (from_step > 0) std::memcpy(to, from, from_step * static_cast<size_t>(from_shape[at]));
    return;
  }
  for (int64_t i = 0; i < from_shape[at]; ++i) {
    CopyInto(from + static_cast<size_t>(i) * from_step, from_shape,
             to + static_cast<size_t>(i) * to_step, to_shape, at + 1, width);
  }
}

}  // namespace

Result<BatchRules> BatchRules::Create(const Signature& signature, const BatchingConfig& config) {
  BatchRules rules;
  auto unknown = [](const std::vector<std::string>& names,
                    const std::vector<TensorSpec>& specs) -> const std::string* {
    for (const std::string& name : names) {
      if (std::none_of(specs.begin(), specs.end(),
                       [&](const TensorSpec& s) { return s.name == name; }))
        return &name;
    }
    return nullptr;
  };
  if (const std::string* name = unknown(config.shared_inputs, signature.inputs)) {
    return FailedPreconditionError(
        StrCat("batching.shared_inputs names ", *name, ", which is no input of the model"));
  }
  if (const std::string* name = unknown(config.shared_outputs, signature.outputs)) {
    return FailedPreconditionError(
        StrCat("batching.shared_outputs names ", *name, ", which is no output of the model"));
  }
  rules.inputs_ = signature.inputs;
  rules.shared_inputs_ = config.shared_inputs;
  rules.shared_outputs_ = config.shared_outputs;
  rules.allowed_ = config.allowed_batch_sizes;
  rules.pad_ = config.pad_ragged;
  rules.pad_with_first_ = config.pad_with == BatchingConfig::PadWith::kFirstValue;
  const TensorSpec* open = nullptr;
  for (const TensorSpec& spec : signature.inputs) {
    if (HasOpenRows(spec) && !Contains(config.shared_inputs, spec.name)) open = &spec;
    if (config.pad_ragged && *config.pad_ragged != 0 && !rules.pad_with_first_ &&
        (spec.type == DataType::kFp16 || spec.type == DataType::kBf16)) {
      return FailedPreconditionError(StrCat("the input ", spec.name, " is ",
                                            DataTypeName(spec.type),
                                            ", which can be padded with 0 only"));
    }
  }
  if (open == nullptr) {
    return FailedPreconditionError(
        "no input has an open first dimension (-1): the model takes no batches; export it with a "
        "variable batch size");
  }
  for (const TensorSpec& spec : signature.outputs) {
    if (HasOpenRows(spec) || Contains(config.shared_outputs, spec.name)) continue;
    return FailedPreconditionError(
        StrCat("the output ", spec.name, " has the fixed shape ", spec.shape.ToString(),
               ", so that it cannot be told which rows of it belong to which request; name it in "
               "batching.shared_outputs if it does not depend on the inputs"));
  }
  rules.batched_ = true;
  return rules;
}

bool BatchRules::IsSharedInput(const TensorView& input) const {
  if (input.shape.rank() == 0 || Contains(shared_inputs_, input.name)) return true;
  for (const TensorSpec& spec : inputs_) {
    if (spec.name == input.name) return !HasOpenRows(spec);
  }
  return true;
}

bool BatchRules::IsRagged(const TensorView& input, size_t dimension) const {
  if (!pad_) return false;
  for (const TensorSpec& spec : inputs_) {
    if (spec.name != input.name) continue;
    return spec.any_rank || (dimension < spec.shape.rank() && spec.shape[dimension] < 0);
  }
  return false;
}

void BatchRules::Describe(BatchTask& task) const {
  task.may_join = batched_;
  task.padded = pad_.has_value();
  task.rows = 1;
  task.key = 0;
  if (!batched_) return;
  std::optional<int64_t> rows;
  uint64_t key = task.inputs.size();
  for (const TensorView& input : task.inputs) {
    Mix(key, input.name);
    Mix(key, static_cast<uint64_t>(input.type) * 16 + input.shape.rank());
    if (IsSharedInput(input)) {
      for (int64_t dim : input.shape.dims()) Mix(key, static_cast<uint64_t>(dim));
      Mix(key, HashContent(input));
      continue;
    }
    if (!rows) rows = input.shape[0];
    // Inputs that disagree in their number of rows are the model's to judge, and nobody else's.
    if (*rows != input.shape[0]) task.may_join = false;
    for (size_t i = 1; i < input.shape.rank(); ++i) {
      if (!IsRagged(input, i)) Mix(key, static_cast<uint64_t>(input.shape[i]));
    }
  }
  if (!rows || *rows < 1 || *rows > std::numeric_limits<int32_t>::max()) {
    task.may_join = false;
    return;
  }
  task.rows = static_cast<uint32_t>(*rows);
  task.key = key;
}

bool BatchRules::Share(const BatchTask& a, const BatchTask& b) {
  const BatchRules& rules = *a.rules;
  if (a.inputs.size() != b.inputs.size()) return false;
  for (size_t n = 0; n < a.inputs.size(); ++n) {
    const TensorView& left = a.inputs[n];
    const TensorView& right = b.inputs[n];
    if (left.name != right.name || left.type != right.type ||
        left.shape.rank() != right.shape.rank())
      return false;
    if (rules.IsSharedInput(left)) {
      if (!(left.shape == right.shape) || !SameContent(left, right)) return false;
      continue;
    }
    for (size_t i = 1; i < left.shape.rank(); ++i) {
      if (left.shape[i] != right.shape[i] && !rules.IsRagged(left, i)) return false;
    }
  }
  return true;
}

uint64_t BatchRules::PaddedRows(uint64_t rows) const {
  auto next = std::lower_bound(allowed_.begin(), allowed_.end(), rows);
  return next == allowed_.end() ? rows : *next;
}

bool BatchRules::TakeRows(std::span<const TensorView> outputs, uint64_t total, uint64_t first,
                          uint64_t rows, std::vector<TensorView>& out) const {
  out.clear();
  for (const TensorView& output : outputs) {
    out.push_back(output);
    if (Contains(shared_outputs_, output.name)) continue;
    if (output.shape.rank() == 0 || output.shape[0] != static_cast<int64_t>(total)) return false;
    TensorView& part = out.back();
    int64_t per_row = output.element_count / output.shape[0];
    part.shape[0] = static_cast<int64_t>(rows);
    part.element_count = per_row * static_cast<int64_t>(rows);
    part.data = static_cast<const char*>(output.data) +
                first * static_cast<uint64_t>(per_row) * Width(output.type);
  }
  return true;
}

void BatchRules::SliceInputs(std::span<const TensorView> inputs, uint64_t first, uint64_t rows,
                             std::vector<TensorView>& out) const {
  out.clear();
  for (const TensorView& input : inputs) {
    out.push_back(input);
    if (IsSharedInput(input) || input.shape[0] == 0) continue;
    TensorView& part = out.back();
    int64_t per_row = input.element_count / input.shape[0];
    part.shape[0] = static_cast<int64_t>(rows);
    part.element_count = per_row * static_cast<int64_t>(rows);
    part.data = static_cast<const char*>(input.data) +
                first * static_cast<uint64_t>(per_row) * Width(input.type);
  }
}

char* BatchBuffer::Piece::Need(size_t size) {
  if (size > capacity) {
    capacity = std::max(size, capacity * 2);
    bytes.reset(new char[capacity]);  // not cleared: it is written to the last byte
  }
  return bytes.get();
}

void BatchBuffer::Trim() {
  for (Piece& piece : pieces_) {
    if (piece.capacity > kMostKept) piece = {};
  }
}

size_t BatchBuffer::capacity() const {
  size_t bytes = 0;
  for (const Piece& piece : pieces_) bytes += piece.capacity;
  return bytes;
}

void BatchBuffer::JoinInput(const BatchRules& rules, std::span<BatchTask* const> tasks,
                            uint64_t padded, size_t index) {
  const TensorView& like = tasks[0]->inputs[index];
  TensorView& view = views_[index];
  view = like;
  if (rules.IsSharedInput(like)) return;
  bool ragged = false;
  for (const BatchTask* task : tasks) {
    const TensorView& input = task->inputs[index];
    for (size_t i = 1; i < input.shape.rank(); ++i) {
      ragged = ragged || input.shape[i] != view.shape[i];
      view.shape[i] = std::max(view.shape[i], input.shape[i]);
    }
  }
  size_t per_row = 1;
  for (size_t i = 1; i < view.shape.rank(); ++i) per_row *= static_cast<size_t>(view.shape[i]);
  const size_t width = Width(like.type);
  const size_t row_bytes = per_row * width;
  view.shape[0] = static_cast<int64_t>(padded);
  view.element_count = static_cast<int64_t>(per_row * padded);
  char* const begin = pieces_[index].Need(std::max<size_t>(row_bytes * padded, 1));
  view.data = begin;
  const bool with_first = ragged && rules.pads_with_first_value();
  if (ragged && !with_first)
    FillPadding(like.type, begin, per_row * padded, rules.pad_value().value_or(0));
  char* to = begin;
  for (const BatchTask* task : tasks) {
    const TensorView& input = task->inputs[index];
    if (with_first) FillWithFirst(input, to, per_row * task->rows, width);
    if (input.element_count > 0)
      CopyInto(static_cast<const char*>(input.data), input.shape, to, view.shape, 0, width);
    to += row_bytes * task->rows;
  }
  // Rows that make up the size: copies of a real one, for the model may not like zeros.
  for (; to < begin + row_bytes * padded; to += row_bytes) std::memcpy(to, begin, row_bytes);
}

std::span<const TensorView> BatchBuffer::Join(const BatchRules& rules,
                                              std::span<BatchTask* const> tasks, uint64_t padded) {
  const size_t inputs = tasks[0]->inputs.size();
  views_.resize(inputs);
  if (pieces_.size() < inputs) pieces_.resize(inputs);
  for (size_t i = 0; i < inputs; ++i) JoinInput(rules, tasks, padded, i);
  return views_;
}

}  // namespace leadsman
