#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace leadsman::intake {

/// What Windows programs put in front of UTF-8.
inline constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// Whether a quoted field is open behind `piece`, a line of a CSV record; `open`: one is open before it. A quote opens a field
/// only where the field begins, as csv modules write it, so that 5" within a text is an ordinary character.
bool QuoteStaysOpen(std::string_view piece, char delimiter, bool open);

/// The first record of a text, which may span lines; the whole text when no record ends in it. Without a byte order mark.
std::string_view FirstCsvRecord(std::string_view text);

/// Takes records apart. Confined to one thread; keeps its buffers.
class CsvFields {
 public:
  /// The fields of a whole record, without their quotes, doubled ones single. Valid until the next call and while `record` is.
  std::span<const std::string_view> Split(std::string_view record, char delimiter);

 private:
  std::vector<std::string_view> fields_;
  std::string unquoted_;
};

}  // namespace leadsman::intake
