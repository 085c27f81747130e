#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace leadsman {

/// Element types, numbered as in the backend ABI (backend/leadsman_backend.h). kBytes holds strings.
enum class DataType : uint8_t {
  kInvalid = 0,
  kBool = 1,
  kUint8 = 2,
  kUint16 = 3,
  kUint32 = 4,
  kUint64 = 5,
  kInt8 = 6,
  kInt16 = 7,
  kInt32 = 8,
  kInt64 = 9,
  kFp16 = 10,
  kFp32 = 11,
  kFp64 = 12,
  kBytes = 13,
  kBf16 = 14,
};

/// The Open Inference Protocol's spelling: "FP32", "INT64", "BYTES", …
std::string_view DataTypeName(DataType type);
std::optional<DataType> ParseDataType(std::string_view v2_name);
/// TensorFlow's spelling: "DT_FLOAT", "DT_INT64", "DT_STRING", …
std::string_view TensorFlowTypeName(DataType type);

/// Bytes of one element; of kBytes: sizeof(std::string_view), which is how this process keeps strings in a tensor.
size_t ElementSize(DataType type);

}  // namespace leadsman
