#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace leadsman::cli {

/// Reads labels from JSON lines or CSV, batch by batch, so that a pipe may go on for ever. Externally synchronised.
class LabelReader {
 public:
  enum class Format { kJsonLines, kCsv };
  LabelReader(std::istream& in, Format format) : in_(in), format_(format) {}

  /// CSV has two or three columns, or a header with request_id and label among its names. Up to `max` entries as the admin API wants them, each a JSON object; empty at the end. INVALID_ARGUMENT names the
  /// line; entries before it have been handed out or are in `entries`.
  Status Next(size_t max, std::vector<std::string>& entries);
  /// Rows whose label is empty, null or NaN, as pandas writes the gaps of a column: they say nothing, and are passed over.
  uint64_t without_label() const { return without_label_; }

 private:
  /// Nothing for a row without a label.
  Result<std::string> FromJson(const std::string& line) const;
  /// True when the first line names columns, which then stand in any order among others.
  Result<bool> TakeHeader(std::string_view line);
  Result<std::string> FromCsv(const std::string& line) const;

  std::istream& in_;
  Format format_;
  size_t line_ = 0;
  uint64_t without_label_ = 0;
  bool named_ = false;  ///< columns have names: fewer or more fields than those are no line
  size_t columns_ = 3;
  size_t id_ = 0, label_ = 1, row_ = 2;  ///< columns; row_ may be none of them
};

/// One entry from the command line.
std::string LabelEntry(const std::string& request_id, const std::string& label, uint32_t row);

}  // namespace leadsman::cli
