#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

namespace leadsman::intake {

/// One value of a tensor that V2 sends as bytes.
struct BinaryValue {
  enum class Kind : uint8_t { kText, kWhole, kTruth, kFloat, kDouble };
  Kind kind = Kind::kDouble;
  double number = 0;  ///< of all but texts
  int64_t whole = 0;
  std::string_view text;
};

namespace binary_tensor_internal {

static_assert(std::endian::native == std::endian::little, "V2's tensors are little-endian");

template <typename T>
T Load(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

inline double HalfToDouble(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 0x1f;
  const uint32_t fraction = half & 0x3ff;
  if (exponent == 0) {  // so small that the fraction alone counts: in steps of 2^-24
    const double value = fraction * 0x1p-24;
    return sign != 0 ? -value : value;
  }
  const uint32_t wide = exponent == 31 ? 0xff : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

template <typename T, typename Visit>
void VisitWhole(std::string_view bytes, const Visit& visit) {
  for (size_t at = 0; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
    BinaryValue value;
    const T whole = Load<T>(bytes.data() + at);
    value.kind =
        std::in_range<int64_t>(whole) ? BinaryValue::Kind::kWhole : BinaryValue::Kind::kDouble;
    value.whole = static_cast<int64_t>(whole);  // NOLINT(bugprone-signed-char-misuse): a number
    value.number = static_cast<double>(whole);
    if (!visit(value)) return;
  }
}

template <size_t kSize, typename Visit, typename ToNumber>
void VisitNumbers(std::string_view bytes, BinaryValue::Kind kind, const Visit& visit,
                  const ToNumber& number) {
  for (size_t at = 0; at + kSize <= bytes.size(); at += kSize) {
    BinaryValue value;
    value.kind = kind;
    value.number = number(bytes.data() + at);
    if (!visit(value)) return;
  }
}

/// Each with its length before it. False: a length that goes beyond the end.
template <typename Visit>
bool VisitTexts(std::string_view bytes, const Visit& visit) {
  while (!bytes.empty()) {
    if (bytes.size() < sizeof(uint32_t)) return false;
    const size_t size = Load<uint32_t>(bytes.data());
    bytes.remove_prefix(sizeof(uint32_t));
    if (size > bytes.size()) return false;
    BinaryValue value;
    value.kind = BinaryValue::Kind::kText;
    value.text = bytes.substr(0, size);
    if (!visit(value)) return true;
    bytes.remove_prefix(size);
  }
  return true;
}

}  // namespace binary_tensor_internal

/// Calls visit(value) for the values of a tensor of the Open Inference Protocol's binary extension, in order, until it says
/// false. False: a data type that is not known, or texts that end too early.
template <typename Visit>
bool VisitBinary(std::string_view datatype, std::string_view bytes, const Visit& visit) {
  using namespace binary_tensor_internal;  // NOLINT: of this header
  using Kind = BinaryValue::Kind;
  if (datatype == "BYTES") return VisitTexts(bytes, visit);
  if (datatype == "FP32") {
    VisitNumbers<4>(bytes, Kind::kFloat, visit, [](const char* p) { return Load<float>(p); });
  } else if (datatype == "FP64") {
    VisitNumbers<8>(bytes, Kind::kDouble, visit, [](const char* p) { return Load<double>(p); });
  } else if (datatype == "FP16") {
    VisitNumbers<2>(bytes, Kind::kFloat, visit,
                    [](const char* p) { return HalfToDouble(Load<uint16_t>(p)); });
  } else if (datatype == "BF16") {
    VisitNumbers<2>(bytes, Kind::kFloat, visit, [](const char* p) {
      return std::bit_cast<float>(static_cast<uint32_t>(Load<uint16_t>(p)) << 16);
    });
  } else if (datatype == "BOOL") {
    VisitNumbers<1>(bytes, Kind::kTruth, visit, [](const char* p) { return *p != 0 ? 1.0 : 0.0; });
  } else if (datatype == "INT8") {
    VisitWhole<int8_t>(bytes, visit);
  } else if (datatype == "INT16") {
    VisitWhole<int16_t>(bytes, visit);
  } else if (datatype == "INT32") {
    VisitWhole<int32_t>(bytes, visit);
  } else if (datatype == "INT64") {
    VisitWhole<int64_t>(bytes, visit);
  } else if (datatype == "UINT8") {
    VisitWhole<uint8_t>(bytes, visit);
  } else if (datatype == "UINT16") {
    VisitWhole<uint16_t>(bytes, visit);
  } else if (datatype == "UINT32") {
    VisitWhole<uint32_t>(bytes, visit);
  } else if (datatype == "UINT64") {
    VisitWhole<uint64_t>(bytes, visit);
  } else {
    return false;
  }
  return true;
}

}  // namespace leadsman::intake
