#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace leadsman::mlflow {

/// A table as pandas' DataFrame.to_csv(index=False) writes it: RFC 4180, the first line has the
/// names. Lines end with LF or CRLF; empty ones are skipped; a byte order mark is, too.
struct CsvTable {
  std::vector<std::string> columns;
  std::vector<std::string_view> cells;  ///< row by row; into the text, or into `unquoted`
  std::deque<std::string> unquoted;     ///< cells with a doubled quote in them
  size_t rows() const { return columns.empty() ? 0 : cells.size() / columns.size(); }
};

/// INVALID_ARGUMENT names the line, and what is wrong with it. `text` must outlive `table`.
Status ParseCsv(std::string_view text, CsvTable& table);

/// A cell as a JSON value of a number (or null, which stands for a missing one): as pandas reads it,
/// with its words for missing values. What is no number becomes a JSON string, for whoever wants a
/// number to refuse.
void AppendCsvNumber(std::string& json, std::string_view cell);
/// The same for true and false, in pandas' spellings.
void AppendCsvBool(std::string& json, std::string_view cell);

}  // namespace leadsman::mlflow
