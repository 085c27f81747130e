#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace leadsman {

/// Reads rows of cells off a text: comma, semicolon or tab, whichever the first line has most of;
/// quotes as in RFC 4180. The text must outlive it. Confined to one thread.
class CsvReader {
 public:
  explicit CsvReader(std::string_view text);

  /// False at the end of the text. Lines without anything are passed over.
  bool NextRow(std::vector<std::string>& cells);
  /// On which line, from 1, the latest row began.
  size_t line() const { return line_; }
  /// A quoted cell did not end; there are no rows behind it.
  bool bad() const { return bad_; }

 private:
  bool NextCell(std::string& cell);
  void Quoted(std::string& cell);

  std::string_view rest_;
  char separator_ = ',';
  size_t at_ = 1;
  size_t line_ = 1;
  bool bad_ = false;
};

}  // namespace leadsman
