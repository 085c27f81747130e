#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace leadsman {

/// One value of a row that is looked at. Texts point into the reader's buffers.
struct DataValue {
  enum class Kind : uint8_t { kMissing, kNumber, kBoolean, kText };
  Kind kind = Kind::kMissing;
  double number = 0;  ///< kNumber; 1 or 0 of kBoolean
  /// How it is written. Where everything is text, as in CSV, of all kinds; else of kText alone and null.
  std::string_view text;

  bool has_text() const { return text.data() != nullptr; }
};

struct DataField {
  std::string_view name;  ///< empty: the place says which one
  std::span<const DataValue> values;
};

struct DataRow {
  uint64_t at = 0;  ///< its line, or its index where there are no lines
  std::span<const DataField> fields;
};

}  // namespace leadsman
