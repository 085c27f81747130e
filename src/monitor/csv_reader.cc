#include "monitor/csv_reader.h"

#include <algorithm>

namespace leadsman {

CsvReader::CsvReader(std::string_view text) : rest_(text) {
  if (rest_.starts_with("\xef\xbb\xbf")) rest_.remove_prefix(3);
  std::string_view line = rest_.substr(0, rest_.find('\n'));
  size_t most = 0;
  for (char c : {',', ';', '\t'}) {
    auto n = static_cast<size_t>(std::count(line.begin(), line.end(), c));
    if (n > most) separator_ = c;
    most = std::max(most, n);
  }
}

bool CsvReader::NextRow(std::vector<std::string>& cells) {
  while (!rest_.empty() && (rest_[0] == '\n' || rest_[0] == '\r')) {
    if (rest_[0] == '\n') ++at_;
    rest_.remove_prefix(1);
  }
  line_ = at_;
  if (rest_.empty()) return false;
  size_t count = 0;
  bool more = true;
  while (more) {
    if (count == cells.size()) cells.emplace_back();
    more = NextCell(cells[count++]);
  }
  cells.resize(count);
  return true;
}

/// True when another cell of this row follows.
bool CsvReader::NextCell(std::string& cell) {
  cell.clear();
  if (rest_.starts_with('"')) Quoted(cell);
  size_t end = 0;
  while (end < rest_.size() && rest_[end] != separator_ && rest_[end] != '\n') ++end;
  cell.append(rest_.substr(0, end));
  if (end == rest_.size() || rest_[end] == '\n') {
    if (!cell.empty() && cell.back() == '\r') cell.pop_back();
    at_ += end < rest_.size() ? 1 : 0;
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    return false;
  }
  rest_.remove_prefix(end + 1);
  return true;
}

void CsvReader::Quoted(std::string& cell) {
  for (size_t i = 1; i < rest_.size(); ++i) {
    if (rest_[i] == '\n') ++at_;
    if (rest_[i] != '"') {
      cell += rest_[i];
    } else if (i + 1 < rest_.size() && rest_[i + 1] == '"') {
      cell += rest_[i++];
    } else {
      rest_.remove_prefix(i + 1);
      return;
    }
  }
  bad_ = true;
  rest_ = {};
}

}  // namespace leadsman
