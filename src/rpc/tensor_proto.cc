#include "rpc/tensor_proto.h"

#include <array>
#include <limits>
#include <type_traits>

#include "base/strings.h"

namespace leadsman::rpc {
namespace {

// Fields of TensorProto.
constexpr uint32_t kDtype = 1;
constexpr uint32_t kShape = 2;
constexpr uint32_t kContent = 4;

struct Row {
  DataType type;
  uint32_t number;  ///< of tensorflow.DataType
  uint32_t field;   ///< of TensorProto
  std::string_view field_name;
};
constexpr std::array<Row, 14> kRows{{
    {DataType::kFp32, 1, 5, "float_val"},
    {DataType::kFp64, 2, 6, "double_val"},
    {DataType::kInt32, 3, 7, "int_val"},
    {DataType::kUint8, 4, 7, "int_val"},
    {DataType::kInt16, 5, 7, "int_val"},
    {DataType::kInt8, 6, 7, "int_val"},
    {DataType::kBytes, 7, 8, "string_val"},
    {DataType::kInt64, 9, 10, "int64_val"},
    {DataType::kBool, 10, 11, "bool_val"},
    {DataType::kBf16, 14, 13, "half_val"},
    {DataType::kUint16, 17, 7, "int_val"},
    {DataType::kFp16, 19, 13, "half_val"},
    {DataType::kUint32, 22, 16, "uint32_val"},
    {DataType::kUint64, 23, 17, "uint64_val"},
}};

const Row* RowOf(DataType type) {
  for (const Row& row : kRows) {
    if (row.type == type) return &row;
  }
  return nullptr;
}

std::string Where(const TensorSpec& spec) { return StrCat("input '", spec.name, "'"); }

Status Malformed(const TensorSpec& spec) {
  return InvalidArgumentError(StrCat(Where(spec), ": malformed tensorflow.TensorProto"));
}

Status ReadShape(const TensorSpec& spec, std::string_view bytes, Shape& shape) {
  WireReader in(bytes);
  while (in.Next()) {
    if (in.Is(3, WireReader::kVarint) && in.varint() != 0) {
      return InvalidArgumentError(
          StrCat(Where(spec), ": 'tensor_shape' has unknown_rank; give the tensor's dimensions"));
    }
    if (!in.Is(2, WireReader::kBytes)) continue;
    int64_t size = 0;
    WireReader dim(in.bytes());
    while (dim.Next()) {
      if (dim.Is(1, WireReader::kVarint)) size = static_cast<int64_t>(dim.varint());
    }
    if (!dim.ok()) return Malformed(spec);
    if (size < 0) {
      return InvalidArgumentError(
          StrCat(Where(spec), ": 'tensor_shape' has the negative dimension ", size));
    }
    if (shape.rank() == Shape::kMaxRank) {
      return InvalidArgumentError(
          StrCat(Where(spec), ": 'tensor_shape' has more than ", Shape::kMaxRank, " dimensions"));
    }
    shape.Append(size);
  }
  return in.ok() ? OkStatus() : Malformed(spec);
}

Status WrongSize(const TensorSpec& spec, const Shape& shape, uint64_t wanted, uint64_t got) {
  return InvalidArgumentError(StrCat(Where(spec), ": the shape ", shape.ToString(), " of ",
                                     DataTypeName(spec.type), " takes ", wanted,
                                     " bytes of tensor_content, but it has ", got));
}

/// Strings in tensor_content: all lengths as varints, then all bytes.
Status ReadStringContent(const TensorSpec& spec, std::string_view content, uint64_t count,
                         Tensor& tensor) {
  std::string_view lengths = content;
  uint64_t total = 0;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t length;
    if (!WireReader::TakeVarint(lengths, length) || length > content.size()) {
      return InvalidArgumentError(StrCat(Where(spec), ": tensor_content does not hold the ", count,
                                         " strings of its shape"));
    }
    total += length;
  }
  if (total != lengths.size()) {
    return InvalidArgumentError(StrCat(Where(spec), ": the strings in tensor_content have ", total,
                                       " bytes by their lengths, but ", lengths.size(), " follow"));
  }
  std::string_view text = lengths;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t length = 0;
    WireReader::TakeVarint(content, length);
    tensor.PushString(text.substr(0, length));
    text.remove_prefix(length);
  }
  return OkStatus();
}

template <typename T>
bool Push(uint64_t bits, Tensor& tensor) {
  tensor.Push(static_cast<T>(bits));
  if constexpr (std::is_signed_v<T>) {
    const auto value = static_cast<int64_t>(bits);
    return value >= std::numeric_limits<T>::min() && value <= std::numeric_limits<T>::max();
  } else {
    return bits <= std::numeric_limits<T>::max();
  }
}

/// False when `bits` is out of range for the type.
bool PushVarint(DataType type, uint64_t bits, Tensor& tensor) {
  switch (type) {
    case DataType::kBool:
      tensor.Push(static_cast<uint8_t>(bits != 0));
      return true;
    case DataType::kInt8:
      return Push<int8_t>(bits, tensor);
    case DataType::kUint8:
      return Push<uint8_t>(bits, tensor);
    case DataType::kInt16:
      return Push<int16_t>(bits, tensor);
    case DataType::kUint16:
    case DataType::kFp16:
    case DataType::kBf16:
      return Push<uint16_t>(bits, tensor);
    case DataType::kInt32:
      return Push<int32_t>(bits, tensor);
    case DataType::kUint32:
      return Push<uint32_t>(bits, tensor);
    default:
      tensor.Push(bits);
      return true;
  }
}

template <typename T>
bool PushFixed(const WireReader& in, Tensor& tensor) {
  if (in.type() == WireReader::kBytes) {
    const size_t count = in.bytes().size() / sizeof(T);
    if (count * sizeof(T) != in.bytes().size()) return false;
    if (count > 0) std::memcpy(tensor.Extend(count), in.bytes().data(), count * sizeof(T));
    return true;
  }
  if (in.type() != (sizeof(T) == 4 ? WireReader::kFixed32 : WireReader::kFixed64)) return false;
  const uint64_t bits = in.fixed();
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  tensor.Push(value);
  return true;
}

/// All occurrences of the values' field. The number of values is bounded by the message's size.
Status ReadValues(const TensorSpec& spec, const Row& row, std::string_view proto, Tensor& tensor) {
  WireReader in(proto);
  bool in_range = true;
  while (in.Next()) {
    if (in.field() != row.field) continue;
    bool good;
    if (spec.type == DataType::kFp32) {
      good = PushFixed<float>(in, tensor);
    } else if (spec.type == DataType::kFp64) {
      good = PushFixed<double>(in, tensor);
    } else if (spec.type == DataType::kBytes) {
      good = in.type() == WireReader::kBytes;
      if (good) tensor.PushString(in.bytes());
    } else {
      good = (in.type() == WireReader::kVarint || in.type() == WireReader::kBytes) &&
             ForEachVarint(in, [&](uint64_t bits) {
               in_range = PushVarint(spec.type, bits, tensor) && in_range;
             });
    }
    if (!good) return Malformed(spec);
  }
  if (in_range) return OkStatus();
  return InvalidArgumentError(StrCat(Where(spec), ": a value of ", row.field_name,
                                     " does not fit into ", TensorFlowTypeName(spec.type)));
}

/// TensorFlow's rule: the last value stands for all that are missing; without any they are zero (or empty).
void Repeat(uint64_t missing, Tensor& tensor) {
  if (tensor.type() == DataType::kBytes) {
    const std::string last = tensor.element_count() == 0
                                 ? std::string()
                                 : std::string(tensor.View().as<std::string_view>().back());
    for (uint64_t i = 0; i < missing; ++i) tensor.PushString(last);
    return;
  }
  const size_t size = ElementSize(tensor.type());
  char last[8] = {};
  if (tensor.element_count() > 0) {
    const TensorView view = tensor.View();
    std::memcpy(last, static_cast<const char*>(view.data) + view.byte_size() - size, size);
  }
  auto* to = static_cast<char*>(tensor.Extend(missing));
  for (uint64_t i = 0; i < missing; ++i) std::memcpy(to + i * size, last, size);
}

template <typename T>
size_t VarintsSize(const TensorView& tensor) {
  size_t size = 0;
  for (T value : tensor.as<T>()) size += WireWriter::VarintSize(static_cast<uint64_t>(value));
  return size;
}
template <typename T>
void AppendVarints(WireWriter& out, const TensorView& tensor) {
  for (T value : tensor.as<T>()) out.Varint(static_cast<uint64_t>(value));
}

/// Calls `call` with a value of the C++ type that a packed varint field of `type` is read as.
template <typename Call>
auto WithVarintType(DataType type, Call call) {
  switch (type) {
    case DataType::kBool:
    case DataType::kUint8:
      return call(uint8_t());
    case DataType::kInt8:
      return call(int8_t());
    case DataType::kInt16:
      return call(int16_t());
    case DataType::kUint16:
    case DataType::kFp16:
    case DataType::kBf16:
      return call(uint16_t());
    case DataType::kInt32:
      return call(int32_t());
    case DataType::kUint32:
      return call(uint32_t());
    case DataType::kInt64:
      return call(int64_t());
    default:
      return call(uint64_t());
  }
}

bool IsFixed(DataType type) { return type == DataType::kFp32 || type == DataType::kFp64; }

/// Of what stands inside the packed field.
size_t PackedSize(const TensorView& tensor) {
  if (IsFixed(tensor.type)) return tensor.byte_size();
  return WithVarintType(tensor.type,
                        [&](auto value) { return VarintsSize<decltype(value)>(tensor); });
}

size_t DimSize(int64_t dim) {
  return dim == 0 ? 0 : 1 + WireWriter::VarintSize(static_cast<uint64_t>(dim));
}
size_t ShapeSize(const Shape& shape) {
  size_t size = 0;
  for (int64_t dim : shape.dims()) size += WireWriter::BytesSize(DimSize(dim));
  return size;
}

size_t TagSize(uint32_t field) { return WireWriter::VarintSize(field << 3); }

}  // namespace

uint32_t TensorFlowTypeNumber(DataType type) {
  const Row* row = RowOf(type);
  return row != nullptr ? row->number : 0;
}

DataType FromTensorFlowTypeNumber(uint64_t number) {
  for (const Row& row : kRows) {
    if (row.number == number) return row.type;
  }
  return DataType::kInvalid;
}

Status ReadTensorProto(const TensorSpec& spec, std::string_view proto, size_t limit,
                       Tensor& tensor) {
  uint64_t dtype = 0;
  std::string_view content;
  Shape shape;
  WireReader in(proto);
  while (in.Next()) {
    if (in.Is(kDtype, WireReader::kVarint)) dtype = in.varint();
    if (in.Is(kContent, WireReader::kBytes)) content = in.bytes();
    if (in.Is(kShape, WireReader::kBytes)) RETURN_IF_ERROR(ReadShape(spec, in.bytes(), shape));
  }
  if (!in.ok()) return Malformed(spec);
  const DataType type = FromTensorFlowTypeNumber(dtype);
  const Row* row = RowOf(spec.type);
  if (type != spec.type || row == nullptr) {
    return InvalidArgumentError(StrCat(Where(spec), " has the dtype ",
                                       type == DataType::kInvalid
                                           ? StrCat("number ", dtype)
                                           : std::string(TensorFlowTypeName(type)),
                                       ", the model takes ", TensorFlowTypeName(spec.type)));
  }
  std::optional<int64_t> elements = shape.ElementCount();
  if (!elements) {
    return InvalidArgumentError(
        StrCat(Where(spec), ": the shape ", shape.ToString(), " is too large"));
  }
  const auto count = static_cast<uint64_t>(*elements);
  tensor.Reset(spec.name, spec.type);
  tensor.shape() = shape;
  if (count > limit / ElementSize(spec.type)) {
    return InvalidArgumentError(StrCat(Where(spec), ": the shape ", shape.ToString(),
                                       " is too large: its values would take more than ", limit,
                                       " bytes (server.limits.max_body)"));
  }
  if (!content.empty()) {
    if (spec.type == DataType::kBytes) return ReadStringContent(spec, content, count, tensor);
    const uint64_t wanted = count * ElementSize(spec.type);
    if (content.size() != wanted) return WrongSize(spec, shape, wanted, content.size());
    std::memcpy(tensor.Extend(count), content.data(), wanted);
    if (spec.type == DataType::kBool) {
      for (uint8_t value : tensor.View().as<uint8_t>()) {
        if (value > 1)
          return InvalidArgumentError(
              StrCat(Where(spec), ": tensor_content holds a bool that is neither 0 nor 1"));
      }
    }
    return OkStatus();
  }
  RETURN_IF_ERROR(ReadValues(spec, *row, proto, tensor));
  const uint64_t given = tensor.element_count();
  if (given > count) {
    return InvalidArgumentError(StrCat(Where(spec), ": the shape ", shape.ToString(), " holds ",
                                       count, " values, but ", row->field_name, " has ", given));
  }
  if (given == count) return OkStatus();
  if (spec.type == DataType::kBytes && given > 0) {
    const uint64_t last = tensor.View().as<std::string_view>().back().size();
    if (last > 0 && count - given > limit / last) {
      return InvalidArgumentError(
          StrCat(Where(spec), ": the last string_val stands for ", count - given,
                 " that are missing, which would take more than ", limit, " bytes"));
    }
  }
  Repeat(count - given, tensor);
  return OkStatus();
}

size_t TensorProtoSize(const TensorView& tensor, TensorValues values) {
  const Row* row = RowOf(tensor.type);
  size_t size =
      1 + WireWriter::VarintSize(row->number) + WireWriter::BytesSize(ShapeSize(tensor.shape));
  if (tensor.type == DataType::kBytes) {
    for (std::string_view text : tensor.as<std::string_view>())
      size += WireWriter::BytesSize(text.size());
    return size;
  }
  if (tensor.element_count == 0) return size;
  if (values == TensorValues::kContent) return size + WireWriter::BytesSize(tensor.byte_size());
  const size_t packed = PackedSize(tensor);
  return size + TagSize(row->field) + WireWriter::VarintSize(packed) + packed;
}

void AppendTensorProto(WireWriter& out, const TensorView& tensor, TensorValues values) {
  const Row* row = RowOf(tensor.type);
  out.Number(kDtype, row->number);
  out.Tag(kShape, WireReader::kBytes);
  out.Varint(ShapeSize(tensor.shape));
  AppendShapeProto(out, tensor.shape);
  if (tensor.type == DataType::kBytes) {
    for (std::string_view text : tensor.as<std::string_view>()) out.Bytes(row->field, text);
    return;
  }
  if (tensor.element_count == 0) return;
  if (values == TensorValues::kContent) {
    out.Tag(kContent, WireReader::kBytes);
    out.Varint(tensor.byte_size());
    return out.Raw(tensor.data, tensor.byte_size());
  }
  out.Tag(row->field, WireReader::kBytes);
  out.Varint(PackedSize(tensor));
  if (IsFixed(tensor.type)) return out.Raw(tensor.data, tensor.byte_size());
  WithVarintType(tensor.type, [&](auto value) { AppendVarints<decltype(value)>(out, tensor); });
}

void AppendShapeProto(WireWriter& out, const Shape& shape) {
  for (int64_t dim : shape.dims()) {
    out.Tag(2, WireReader::kBytes);
    out.Varint(DimSize(dim));
    if (dim != 0) out.Number(1, static_cast<uint64_t>(dim));
  }
}

}  // namespace leadsman::rpc
