#include "tensor/data_type.h"

#include <array>
#include <optional>
#include <string_view>

namespace leadsman {
namespace {

struct Row {
  std::string_view v2;
  std::string_view tensorflow;
  size_t size;
};
// Indexed by DataType.
constexpr std::array<Row, 15> kRows{{
    {"INVALID", "DT_INVALID", 0},
    {"BOOL", "DT_BOOL", 1},
    {"UINT8", "DT_UINT8", 1},
    {"UINT16", "DT_UINT16", 2},
    {"UINT32", "DT_UINT32", 4},
    {"UINT64", "DT_UINT64", 8},
    {"INT8", "DT_INT8", 1},
    {"INT16", "DT_INT16", 2},
    {"INT32", "DT_INT32", 4},
    {"INT64", "DT_INT64", 8},
    {"FP16", "DT_HALF", 2},
    {"FP32", "DT_FLOAT", 4},
    {"FP64", "DT_DOUBLE", 8},
    {"BYTES", "DT_STRING", sizeof(std::string_view)},
    {"BF16", "DT_BFLOAT16", 2},
}};

const Row& RowOf(DataType type) {
  auto index = static_cast<size_t>(type);
  return kRows[index < kRows.size() ? index : 0];
}

}  // namespace

std::string_view DataTypeName(DataType type) { return RowOf(type).v2; }

std::optional<DataType> ParseDataType(std::string_view v2_name) {
  for (size_t i = 1; i < kRows.size(); ++i) {
    if (kRows[i].v2 == v2_name) return static_cast<DataType>(i);
  }
  return std::nullopt;
}

std::string_view TensorFlowTypeName(DataType type) { return RowOf(type).tensorflow; }

size_t ElementSize(DataType type) { return RowOf(type).size; }

}  // namespace leadsman
