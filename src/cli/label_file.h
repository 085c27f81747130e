#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

#include "base/status.h"

namespace leadsman::cli {

/// Reads labels from JSON lines or CSV, batch by batch, so that a pipe may go on for ever. Externally synchronised.
class LabelReader {
 public:
  enum class Format { kJsonLines, kCsv };
  LabelReader(std::istream& in, Format format) : in_(in), format_(format) {}

  /// Up to `max` entries as the admin API wants them, each a JSON object; empty at the end. INVALID_ARGUMENT names the
  /// line; entries before it have been handed out or are in `entries`.
  Status Next(size_t max, std::vector<std::string>& entries);

 private:
  Result<std::string> FromJson(const std::string& line) const;
  Result<std::string> FromCsv(const std::string& line) const;

  std::istream& in_;
  Format format_;
  size_t line_ = 0;
};

/// One entry from the command line.
std::string LabelEntry(const std::string& request_id, const std::string& label, uint32_t row);

}  // namespace leadsman::cli
