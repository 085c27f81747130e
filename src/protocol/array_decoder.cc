#include "protocol/array_decoder.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include "base/base64.h"
#include "base/strings.h"

namespace leadsman {
namespace {

/// TensorFlow's lower-case spelling, which clients look for in messages.
std::string_view TypeWord(DataType type) {
  switch (type) {
    case DataType::kBool:
      return "bool";
    case DataType::kUint8:
      return "uint8";
    case DataType::kUint16:
      return "uint16";
    case DataType::kUint32:
      return "uint32";
    case DataType::kUint64:
      return "uint64";
    case DataType::kInt8:
      return "int8";
    case DataType::kInt16:
      return "int16";
    case DataType::kInt32:
      return "int32";
    case DataType::kInt64:
      return "int64";
    case DataType::kFp32:
      return "float";
    case DataType::kFp64:
      return "double";
    case DataType::kBytes:
      return "string";
    default:
      return "unknown";
  }
}

}  // namespace

Status ArrayDecoder::Begin(const TensorSpec& spec, Options options) {
  spec_ = &spec;
  options_ = options;
  dims_.fill(-1);
  index_.fill(0);
  leaf_ = -1;
  element_count_ = 0;
  size_ = 0;
  strings_.Reset(spec.name, DataType::kBytes);
  if (spec.type == DataType::kFp16 || spec.type == DataType::kBf16) {
    return InvalidArgumentError(
        StrCat("input '", spec.name, "' is ", DataTypeName(spec.type),
               ", which has no JSON form; send it as binary data of the Open Inference Protocol "
               "('binary_data_size')"));
  }
  return OkStatus();
}

void ArrayDecoder::Grow() {
  size_t capacity = std::max<size_t>(capacity_ * 2, 4096);
  auto bytes = std::make_unique_for_overwrite<char[]>(capacity);
  if (size_ > 0) __builtin_memcpy(bytes.get(), bytes_.get(), size_);
  bytes_ = std::move(bytes);
  capacity_ = capacity;
}

std::string ArrayDecoder::Shown(JsonCursor& json) const {
  return options_.show_values ? json.Excerpt() : "(not shown)";
}

std::string ArrayDecoder::Where() const {
  return StrCat("input '", spec_->name, "', ", options_.item, " ", index_[0]);
}

bool ArrayDecoder::CheckLeaf(JsonCursor& json, size_t level, size_t position) {
  if (leaf_ == -1) leaf_ = static_cast<int>(level);
  if (leaf_ == static_cast<int>(level)) return true;
  json.Seek(position);
  return json.Fail(InvalidArgumentError(StrCat("Expecting shape of the values before it: ", Where(),
                                               " has the value ", Shown(json), " nested ", level,
                                               level == 1 ? " list" : " lists",
                                               " deep, where others are nested ", leaf_, " deep")));
}

bool ArrayDecoder::WrongType(JsonCursor& json) {
  // What is no JSON at all is reported as that.
  json.Peek();
  size_t position = json.position();
  if (!json.Skip()) return false;
  json.Seek(position);
  std::string_view kind = JsonCursor::KindName(json.Peek());
  return json.Fail(InvalidArgumentError(StrCat("JSON Value: ", Shown(json), " Type: ", kind,
                                               " is not of expected type: ", TypeWord(spec_->type),
                                               " (", Where(), ")")));
}

bool ArrayDecoder::OutOfRange(JsonCursor& json, size_t position) {
  json.Seek(position);
  return json.Fail(InvalidArgumentError(
      StrCat("JSON Value: ", Shown(json),
             " is out of range of expected type: ", TypeWord(spec_->type), " (", Where(), ")")));
}

template <typename T>
bool ArrayDecoder::FloatValue(JsonCursor& json) {
  if (json.Peek() != JsonCursor::Kind::kNumber) {
    if (json.Peek() != JsonCursor::Kind::kNull || !options_.null_is_nan) return WrongType(json);
    if (!json.Null()) return false;
    Push(std::numeric_limits<T>::quiet_NaN());
    return true;
  }
  double value;
  if (!json.Double(value)) return false;
  Push(static_cast<T>(value));
  return true;
}

template <typename T>
bool ArrayDecoder::IntegerValue(JsonCursor& json) {
  if (json.Peek() != JsonCursor::Kind::kNumber) return WrongType(json);
  size_t position = json.position();
  JsonCursor::IntegerValue value;
  if (!json.Integer(value)) return false;
  if (!value.integer) {
    json.Seek(position);
    return WrongType(json);
  }
  auto highest = static_cast<uint64_t>(std::numeric_limits<T>::max());
  uint64_t limit = !value.negative ? highest : std::is_signed_v<T> ? highest + 1 : 0;
  if (value.overflow || value.magnitude > limit) return OutOfRange(json, position);
  uint64_t bits = value.negative ? 0 - value.magnitude : value.magnitude;
  Push(static_cast<T>(bits));
  return true;
}

bool ArrayDecoder::StringValue(JsonCursor& json) {
  std::string_view text;
  if (json.Peek() == JsonCursor::Kind::kString) {
    if (!json.String(text, scratch_)) return false;
    strings_.PushString(text);
    return true;
  }
  if (json.Peek() != JsonCursor::Kind::kObject || !options_.b64) return WrongType(json);
  size_t position = json.position();
  int members = 0;
  bool is_b64 = false;
  bool ok = json.Object([&](std::string_view key) {
    if (++members == 1 && key == "b64" && json.Peek() == JsonCursor::Kind::kString) {
      is_b64 = true;
      return json.String(text, scratch_);
    }
    return json.Skip();
  });
  if (!ok) return false;
  if (!is_b64 || members != 1) {
    json.Seek(position);
    return WrongType(json);
  }
  if (!DecodeBase64(text, decoded_)) {
    json.Seek(position);
    return json.Fail(InvalidArgumentError(
        StrCat("Unable to base64 decode JSON value: ", Shown(json), " (", Where(), ")")));
  }
  strings_.PushString(decoded_);
  return true;
}

bool ArrayDecoder::Scalar(JsonCursor& json, size_t level) {
  ++element_count_;
  json.Peek();
  size_t position = json.position();
  // The type first: {"a": 1} where a number should be is a wrong type, not a wrong shape.
  bool ok = false;
  switch (spec_->type) {
    case DataType::kFp32:
      ok = FloatValue<float>(json);
      break;
    case DataType::kFp64:
      ok = FloatValue<double>(json);
      break;
    case DataType::kInt64:
      ok = IntegerValue<int64_t>(json);
      break;
    case DataType::kInt32:
      ok = IntegerValue<int32_t>(json);
      break;
    case DataType::kInt16:
      ok = IntegerValue<int16_t>(json);
      break;
    case DataType::kInt8:
      ok = IntegerValue<int8_t>(json);
      break;
    case DataType::kUint64:
      ok = IntegerValue<uint64_t>(json);
      break;
    case DataType::kUint32:
      ok = IntegerValue<uint32_t>(json);
      break;
    case DataType::kUint16:
      ok = IntegerValue<uint16_t>(json);
      break;
    case DataType::kUint8:
      ok = IntegerValue<uint8_t>(json);
      break;
    case DataType::kBytes:
      ok = StringValue(json);
      break;
    case DataType::kBool: {
      if (json.Peek() != JsonCursor::Kind::kBool) return WrongType(json);
      bool value;
      ok = json.Bool(value);
      if (ok) Push<uint8_t>(value ? 1 : 0);
      break;
    }
    default:
      return json.Fail(
          InvalidArgumentError(StrCat("input '", spec_->name, "' has a type without a JSON form")));
  }
  return ok && CheckLeaf(json, level, position);
}

/// The inside of a list of plain numbers, up to and with its ']'.
template <typename T>
bool ArrayDecoder::Numbers(JsonCursor& json, size_t level, size_t& count) {
  do {
    double value;
    if (json.TryShortDecimal(value)) {
      Push(static_cast<T>(value));
      ++element_count_;
    } else {
      if (level == 0) index_[0] = count;
      if (!Append(json, level + 1)) return false;
    }
    ++count;
  } while (json.TryConsume(','));
  return true;
}

bool ArrayDecoder::Append(JsonCursor& json, size_t level) {
  if (json.Peek() != JsonCursor::Kind::kArray) return Scalar(json, level);
  if (leaf_ != -1 && static_cast<int>(level) >= leaf_) {
    return json.Fail(
        InvalidArgumentError(StrCat("Expecting shape of the values before it: ", Where(),
                                    " has the list ", Shown(json), " where others have a value")));
  }
  if (level >= Shape::kMaxRank) {
    return json.Fail(InvalidArgumentError(StrCat("input '", spec_->name, "' is nested deeper than ",
                                                 Shape::kMaxRank, " lists; expected shape ",
                                                 spec_->shape.ToString())));
  }
  if (!json.Enter('[', "a list")) return false;
  size_t count = 0;
  if (!json.TryConsume(']')) {
    bool plain = json.Peek() == JsonCursor::Kind::kNumber &&
                 (leaf_ == -1 || leaf_ == static_cast<int>(level) + 1);
    if (plain && spec_->type == DataType::kFp32) {
      leaf_ = static_cast<int>(level) + 1;
      if (!Numbers<float>(json, level, count)) return false;
    } else if (plain && spec_->type == DataType::kFp64) {
      leaf_ = static_cast<int>(level) + 1;
      if (!Numbers<double>(json, level, count)) return false;
    } else {
      do {
        index_[level] = count;
        if (!Append(json, level + 1)) return false;
        ++count;
      } while (json.TryConsume(','));
    }
    if (!json.TryConsume(']')) return json.Fail("Missing a comma or ] after an array element");
  } else if (leaf_ == -1) {
    leaf_ = static_cast<int>(level) + 1;
  }
  json.Leave();
  if (dims_[level] == -1) dims_[level] = static_cast<int64_t>(count);
  if (dims_[level] != static_cast<int64_t>(count)) {
    return json.Fail(InvalidArgumentError(
        StrCat("Expecting tensor size: ", dims_[level], " but got: ", count, " (", Where(),
               " has a list of ", count, count == 1 ? " value" : " values",
               " where the ones before it have ", dims_[level],
               "; all lists of one level must be equally long)")));
  }
  return true;
}

Shape ArrayDecoder::shape() const {
  Shape shape;
  for (int level = 0; level < leaf_; ++level)
    shape.Append(std::max<int64_t>(dims_[static_cast<size_t>(level)], 0));
  return shape;
}

void ArrayDecoder::Store(const Shape& shape, Tensor& tensor) {
  if (spec_->type == DataType::kBytes) {
    std::swap(tensor, strings_);
  } else {
    tensor.Reset(spec_->name, spec_->type);
    if (size_ > 0) __builtin_memcpy(tensor.Extend(element_count_), bytes_.get(), size_);
  }
  tensor.shape() = shape;
}

}  // namespace leadsman
