#include "protocol/mlflow/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/strings.h"

namespace leadsman::mlflow {
namespace {

class Reader {
 public:
  Reader(std::string_view text, CsvTable& table) : text_(text), table_(table) {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
  }

  Status Read() {
    std::vector<std::string_view> record;
    while (SkipEmptyLines()) {
      record.clear();
      const size_t line = line_;
      RETURN_IF_ERROR(Record(record));
      if (table_.columns.empty()) {
        table_.columns.assign(record.begin(), record.end());
        continue;
      }
      if (record.size() != table_.columns.size()) {
        return InvalidArgumentError(StrCat("CSV line ", line, " has ", record.size(),
                                           record.size() == 1 ? " value" : " values",
                                           ", the line of names has ", table_.columns.size()));
      }
      table_.cells.insert(table_.cells.end(), record.begin(), record.end());
    }
    if (table_.columns.empty())
      return InvalidArgumentError("the CSV is empty; its first line must have the columns' names");
    return OkStatus();
  }

 private:
  bool SkipEmptyLines() {
    while (at_ < text_.size() && (text_[at_] == '\n' || text_.substr(at_, 2) == "\r\n")) {
      at_ += text_[at_] == '\n' ? 1 : 2;
      ++line_;
    }
    return at_ < text_.size();
  }

  Status Record(std::vector<std::string_view>& record) {
    while (true) {
      std::string_view cell;
      if (at_ < text_.size() && text_[at_] == '"') {
        RETURN_IF_ERROR(Quoted(cell));
      } else {
        size_t end = std::min(text_.find_first_of(",\n", at_), text_.size());
        cell = text_.substr(at_, end - at_);
        at_ = end;
        if ((at_ == text_.size() || text_[at_] == '\n') && cell.ends_with('\r'))
          cell.remove_suffix(1);
      }
      record.push_back(cell);
      if (at_ == text_.size()) return OkStatus();
      const char c = text_[at_++];
      if (c == ',') continue;
      ++line_;
      return OkStatus();  // the line's end
    }
  }

  /// With its end at a comma, a line's end, or the text's.
  Status Quoted(std::string_view& cell) {
    const size_t begin_line = line_;
    const size_t begin = ++at_;
    bool doubled = false;
    while (true) {
      size_t quote = text_.find('"', at_);
      if (quote == std::string_view::npos) {
        return InvalidArgumentError(
            StrCat("CSV line ", begin_line, ": a value begins with a quote and never ends"));
      }
      line_ +=
          static_cast<size_t>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         text_.begin() + static_cast<std::ptrdiff_t>(quote), '\n'));
      at_ = quote + 1;
      if (at_ == text_.size() || text_[at_] != '"') break;
      doubled = true;
      ++at_;
    }
    cell = text_.substr(begin, at_ - 1 - begin);
    if (doubled) {
      std::string& copy = table_.unquoted.emplace_back();
      for (size_t i = 0; i < cell.size(); ++i) {
        copy += cell[i];
        if (cell[i] == '"') ++i;
      }
      cell = copy;
    }
    if (text_.substr(at_, 2) == "\r\n" || text_.substr(at_) == "\r") ++at_;
    if (at_ == text_.size() || text_[at_] == ',' || text_[at_] == '\n') return OkStatus();
    return InvalidArgumentError(
        StrCat("CSV line ", line_, ": something follows the quote that ends a value"));
  }

  std::string_view text_;
  CsvTable& table_;
  size_t at_ = 0;
  size_t line_ = 1;
};

/// What pandas.read_csv takes for a missing value unless told otherwise.
bool IsMissing(std::string_view cell) {
  static constexpr std::string_view kMissing[] = {
      "",     "#N/A",   "#N/A N/A", "#NA",  "-1.#IND", "-1.#QNAN", "-NaN",
      "-nan", "1.#IND", "1.#QNAN",  "<NA>", "N/A",     "NA",       "NULL",
      "NaN",  "None",   "n/a",      "nan",  "null"};
  return std::find(std::begin(kMissing), std::end(kMissing), cell) != std::end(kMissing);
}

bool IsJsonNumber(std::string_view text) {
  size_t at = text.starts_with('-') ? 1 : 0;
  auto digits = [&] {
    size_t begin = at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
    return at - begin;
  };
  const size_t first = at;
  const size_t whole = digits();
  if (whole == 0 || (whole > 1 && text[first] == '0')) return false;
  if (at < text.size() && text[at] == '.') {
    ++at;
    if (digits() == 0) return false;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    if (digits() == 0) return false;
  }
  return at == text.size();
}

void AppendDouble(std::string& json, double value) {
  if (std::isnan(value)) {
    json += "NaN";
    return;
  }
  if (std::isinf(value)) {
    json += value < 0 ? "-Infinity" : "Infinity";
    return;
  }
  char buffer[32];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
  json.append(buffer, end.ptr);
}

}  // namespace

Status ParseCsv(std::string_view text, CsvTable& table) {
  table.columns.clear();
  table.cells.clear();
  table.unquoted.clear();
  return Reader(text, table).Read();
}

void AppendCsvNumber(std::string& json, std::string_view cell) {
  cell = Trim(cell);
  if (IsMissing(cell)) {
    json += "null";
    return;
  }
  if (IsJsonNumber(cell)) {
    json += cell;
    return;
  }
  std::string_view number = cell.starts_with('+') ? cell.substr(1) : cell;
  double value = 0;
  auto read = std::from_chars(number.data(), number.data() + number.size(), value);
  if (read.ec == std::errc() && read.ptr == number.data() + number.size()) {
    AppendDouble(json, value);
  } else {
    AppendJsonString(json, cell);
  }
}

void AppendCsvBool(std::string& json, std::string_view cell) {
  cell = Trim(cell);
  if (cell == "true" || cell == "True" || cell == "TRUE") {
    json += "true";
  } else if (cell == "false" || cell == "False" || cell == "FALSE") {
    json += "false";
  } else {
    AppendJsonString(json, cell);
  }
}

}  // namespace leadsman::mlflow
