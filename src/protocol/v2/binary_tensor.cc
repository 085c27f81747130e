#include "protocol/v2/binary_tensor.h"

#include <bit>
#include <cstring>

#include "base/strings.h"

namespace leadsman::v2 {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors go onto the wire as they are");

using Length = uint32_t;  // of an element of BYTES

Status ReadFixedSize(const TensorSpec& spec, const Shape& shape, uint64_t count,
                     std::string_view bytes, Tensor& tensor) {
  uint64_t wanted = 0;
  if (__builtin_mul_overflow(count, ElementSize(spec.type), &wanted) || wanted != bytes.size()) {
    return InvalidArgumentError(StrCat("input '", spec.name, "': the shape ", shape.ToString(),
                                       " of ", DataTypeName(spec.type), " holds ", count,
                                       " elements of ", ElementSize(spec.type),
                                       " bytes, but its binary data has ", bytes.size(), " bytes"));
  }
  if (spec.type == DataType::kBool) {
    // Any other value in a C++ bool is undefined behaviour in whoever reads it.
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (static_cast<unsigned char>(bytes[i]) <= 1) continue;
      return InvalidArgumentError(
          StrCat("input '", spec.name, "': byte ", i,
                 " of its binary data is neither 0 nor 1, which is all that BOOL knows"));
    }
  }
  tensor.Reset(spec.name, spec.type);
  // The body is aligned to nothing: copied, not pointed to.
  if (!bytes.empty()) std::memcpy(tensor.Extend(count), bytes.data(), bytes.size());
  return OkStatus();
}

Status ReadStrings(const TensorSpec& spec, const Shape& shape, uint64_t count,
                   std::string_view bytes, Tensor& tensor) {
  auto cut_short = [&](uint64_t at) {
    return InvalidArgumentError(StrCat("input '", spec.name, "': its ", bytes.size(),
                                       " bytes of binary data end within element ", at,
                                       "; the shape ", shape.ToString(), " holds ", count));
  };
  tensor.Reset(spec.name, spec.type);
  size_t at = 0;
  for (uint64_t i = 0; i < count; ++i) {
    Length length;
    if (bytes.size() - at < sizeof length) return cut_short(i);
    std::memcpy(&length, bytes.data() + at, sizeof length);
    at += sizeof length;
    if (bytes.size() - at < length) return cut_short(i);
    tensor.PushString(bytes.substr(at, length));
    at += length;
  }
  if (at == bytes.size()) return OkStatus();
  return InvalidArgumentError(StrCat("input '", spec.name, "': the shape ", shape.ToString(),
                                     " holds ", count, " elements, which end ", bytes.size() - at,
                                     " bytes before its binary data does"));
}

/// The shape that a raw request's body of `size` bytes has.
Result<Shape> DeduceShape(const TensorSpec& spec, size_t size) {
  Shape shape = spec.shape;
  size_t variable = 0;
  for (int64_t dim : shape.dims()) variable += dim < 0 ? 1 : 0;
  bool is_text = spec.type == DataType::kBytes;
  if (shape.rank() > 0 && shape[0] < 0 && (variable > 1 || is_text)) {
    shape[0] = 1;
    --variable;
  }
  if (variable > (is_text ? 0 : 1)) {
    return InvalidArgumentError(StrCat(
        "The shape of the raw input '", spec.name, "' can not be deduced from ",
        spec.shape.ToString(), ": too many variable-sized dimensions; send a JSON header with it"));
  }
  if (variable == 0) return shape;
  size_t unknown = 0;
  uint64_t step = ElementSize(spec.type);  // bytes of one step along the unknown dimension
  bool overflow = false;
  for (size_t i = 0; i < shape.rank(); ++i) {
    if (shape[i] < 0) {
      unknown = i;
    } else if (__builtin_mul_overflow(step, static_cast<uint64_t>(shape[i]), &step)) {
      overflow = true;
    }
  }
  if (overflow || step == 0 || size % step != 0) {
    return InvalidArgumentError(StrCat("the body of ", size, " bytes is no ",
                                       DataTypeName(spec.type), spec.shape.ToString(),
                                       " for the raw input '", spec.name, "'"));
  }
  shape[unknown] = static_cast<int64_t>(size / step);
  return shape;
}

}  // namespace

Status ReadBinary(const TensorSpec& spec, const Shape& shape, std::string_view bytes,
                  Tensor& tensor) {
  std::optional<int64_t> elements = shape.ElementCount();
  if (!elements) {
    return InvalidArgumentError(
        StrCat("input '", spec.name, "': the shape ", shape.ToString(), " is too large"));
  }
  auto count = static_cast<uint64_t>(*elements);
  RETURN_IF_ERROR(spec.type == DataType::kBytes ? ReadStrings(spec, shape, count, bytes, tensor)
                                                : ReadFixedSize(spec, shape, count, bytes, tensor));
  tensor.shape() = shape;
  return OkStatus();
}

Status ReadRaw(const TensorSpec& spec, std::string_view body, Tensor& tensor) {
  Result<Shape> shape = DeduceShape(spec, body.size());
  if (!shape.ok()) return shape.status();
  if (spec.type != DataType::kBytes) return ReadBinary(spec, *shape, body, tensor);
  if (shape->ElementCount() != 1) {
    return InvalidArgumentError(StrCat("For BYTES datatype raw input '", spec.name,
                                       "', the model must have input shape [1]; it has ",
                                       spec.shape.ToString(), "; send a JSON header with it"));
  }
  tensor.Reset(spec.name, spec.type);
  tensor.PushString(body);
  tensor.shape() = *shape;
  return OkStatus();
}

Result<uint64_t> BinarySize(const TensorView& tensor) {
  if (tensor.type != DataType::kBytes) return static_cast<uint64_t>(tensor.byte_size());
  uint64_t size = 0;
  for (std::string_view text : tensor.as<std::string_view>()) {
    if (text.size() > UINT32_MAX) {
      return OutOfRangeError(StrCat("output '", tensor.name, "' has an element of ", text.size(),
                                    " bytes; the length of one is a uint32"));
    }
    size += sizeof(Length) + text.size();
  }
  return size;
}

void AppendBinary(std::string& out, const TensorView& tensor) {
  if (tensor.type != DataType::kBytes) {
    out.append(static_cast<const char*>(tensor.data), tensor.byte_size());
    return;
  }
  for (std::string_view text : tensor.as<std::string_view>()) {
    auto length = static_cast<Length>(text.size());
    out.append(reinterpret_cast<const char*>(&length), sizeof length);
    out.append(text);
  }
}

}  // namespace leadsman::v2
