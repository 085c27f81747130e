#include "protocol/json_writer.h"

#include <charconv>
#include <cmath>
#include <cstdint>

#include "base/base64.h"
#include "base/strings.h"
#include "base/wire.h"
#include "protocol/array_decoder.h"

namespace leadsman {
namespace {

template <typename T>
void AppendFloating(std::string& out, T value) {
  char buffer[40];
  if (!std::isfinite(value)) [[unlikely]] {
    out += std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
    return;
  }
  char* end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  bool whole = true;
  for (const char* p = buffer; p != end; ++p) whole = whole && *p != '.' && *p != 'e';
  if (whole) {
    *end++ = '.';
    *end++ = '0';
  }
  out.append(buffer, static_cast<size_t>(end - buffer));
}

template <typename T>
void AppendValue(std::string& out, T value) {
  char buffer[24];
  char* end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  out.append(buffer, static_cast<size_t>(end - buffer));
}
void AppendValue(std::string& out, float value) { AppendFloating(out, value); }
void AppendValue(std::string& out, double value) { AppendFloating(out, value); }

template <typename T>
void AppendRange(std::string& out, const TensorView& tensor, size_t first, size_t count) {
  const T* values = static_cast<const T*>(tensor.data) + first;
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) out += ',';
    AppendValue(out, values[i]);
  }
}

}  // namespace

void AppendFloat(std::string& out, float value) { AppendFloating(out, value); }
void AppendFloat(std::string& out, double value) { AppendFloating(out, value); }

BytesForm FormOfStrings(std::string_view output_name) {
  return output_name.ends_with("_bytes") ? BytesForm::kBase64Object
                                         : BytesForm::kTextOrBase64Object;
}

Status CheckJsonForm(const TensorView& tensor, BytesForm form) {
  if (tensor.type == DataType::kBytes && form == BytesForm::kText) {
    for (std::string_view text : tensor.as<std::string_view>()) {
      if (IsUtf8(text)) continue;
      return InvalidArgumentError(StrCat("output '", tensor.name,
                                         "' has a string that is not UTF-8, which has no JSON "
                                         "form; ask for it as binary data of the Open Inference "
                                         "Protocol ('binary_data'), or by gRPC"));
    }
  }
  if (tensor.type != DataType::kFp16 && tensor.type != DataType::kBf16 &&
      tensor.type != DataType::kInvalid) {
    return OkStatus();
  }
  return InvalidArgumentError(
      StrCat("output '", tensor.name, "' is ", DataTypeName(tensor.type),
             ", which has no JSON form; ask for it as binary data of the Open Inference Protocol "
             "('binary_data'), or export the model with an FP32 output"));
}

void AppendFlat(std::string& out, const TensorView& tensor, size_t first, size_t count,
                BytesForm form) {
  switch (tensor.type) {
    case DataType::kFp32:
      return AppendRange<float>(out, tensor, first, count);
    case DataType::kFp64:
      return AppendRange<double>(out, tensor, first, count);
    case DataType::kInt64:
      return AppendRange<int64_t>(out, tensor, first, count);
    case DataType::kInt32:
      return AppendRange<int32_t>(out, tensor, first, count);
    case DataType::kInt16:
      return AppendRange<int16_t>(out, tensor, first, count);
    case DataType::kInt8:
      return AppendRange<int8_t>(out, tensor, first, count);
    case DataType::kUint64:
      return AppendRange<uint64_t>(out, tensor, first, count);
    case DataType::kUint32:
      return AppendRange<uint32_t>(out, tensor, first, count);
    case DataType::kUint16:
      return AppendRange<uint16_t>(out, tensor, first, count);
    case DataType::kUint8:
      return AppendRange<uint8_t>(out, tensor, first, count);
    case DataType::kBool:
      for (size_t i = 0; i < count; ++i) {
        if (i > 0) out += ',';
        out += tensor.as<uint8_t>()[first + i] != 0 ? "true" : "false";
      }
      return;
    case DataType::kBytes:
      for (size_t i = 0; i < count; ++i) {
        std::string_view text = tensor.as<std::string_view>()[first + i];
        if (i > 0) out += ',';
        if (form == BytesForm::kBase64Object ||
            (form == BytesForm::kTextOrBase64Object && !IsUtf8(text))) {
          out += "{\"b64\":\"";
          AppendBase64(out, text);
          out += "\"}";
        } else {
          AppendJsonString(out, text);
        }
      }
      return;
    default:
      return;  // CheckJsonForm has refused the others
  }
}

void AppendNested(std::string& out, const TensorView& tensor, size_t level, size_t first,
                  BytesForm form) {
  size_t rank = tensor.shape.rank();
  if (level == rank) return AppendFlat(out, tensor, first, 1, form);
  auto length = static_cast<size_t>(tensor.shape[level]);
  out += '[';
  if (level + 1 == rank) {
    AppendFlat(out, tensor, first, length, form);
  } else {
    size_t stride = 1;
    for (size_t i = level + 1; i < rank; ++i) stride *= static_cast<size_t>(tensor.shape[i]);
    for (size_t i = 0; i < length; ++i) {
      if (i > 0) out += ',';
      AppendNested(out, tensor, level + 1, first + i * stride, form);
    }
  }
  out += ']';
}

}  // namespace leadsman
