#include "monitor/schema/data_file.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <set>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/fs.h"
#include "base/strings.h"
#include "events/missing_text.h"
#include "monitor/csv_reader.h"
#include "monitor/drift/reference_file.h"
#include "monitor/schema/data_schema.h"

namespace leadsman {
namespace {

using Kind = DataValue::Kind;

constexpr size_t kMaxFile = 1 << 30;
constexpr int kMaxDepth = 8;  // of lists in a value

std::string_view TrimBlanks(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

DataValue NumberValue(double number, std::string_view text = {}) {
  if (std::isnan(number)) return {};
  return {Kind::kNumber, number, text};
}

DataValue CellValue(std::string_view text) {
  if (IsMissingText(text)) return {};
  if (text == "true" || text == "True" || text == "TRUE") return {Kind::kBoolean, 1, text};
  if (text == "false" || text == "False" || text == "FALSE") return {Kind::kBoolean, 0, text};
  if (auto number = ParseDouble(text)) return NumberValue(*number, text);
  return {Kind::kText, 0, text};
}

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & '\x80') == 0; });
}

/// The names of the columns: each there, each once.
Status CheckHeader(std::vector<std::string>& names) {
  if (names.size() > DataSchema::kMaxFeatures) {
    return InvalidArgumentError(
        StrCat("has ", names.size(), " columns; ", DataSchema::kMaxFeatures, " at most"));
  }
  std::set<std::string_view> seen;
  for (size_t i = 0; i < names.size(); ++i) {
    names[i] = ToUtf8(TrimBlanks(names[i]));
    if (names[i].empty()) names[i] = StrCat("column ", i + 1);
    if (names[i].size() > DataSchema::kMaxName) {
      return InvalidArgumentError(
          StrCat("the name of column ", i + 1, " has more than ", DataSchema::kMaxName, " bytes"));
    }
  }
  for (const std::string& name : names) {
    if (!seen.insert(name).second) {
      return InvalidArgumentError(StrCat("has two columns ", CutUtf8(name, 40), ": rename one"));
    }
  }
  return OkStatus();
}

/// Members keep their order: it is that of the features.
using Json = nlohmann::ordered_json;

/// One line of JSON as a row.
class JsonRow {
 public:
  explicit JsonRow(std::string_view text) : root_(Json::parse(text, nullptr, false)) {}

  Status Read(const DataRowSink& sink, uint64_t line) {
    if (root_.is_discarded())
      return InvalidArgumentError(
          "is not JSON; for NaN and Infinity, which JSON has not, write null");
    const Json* row = &root_;
    if (auto features = root_.find("features");
        root_.is_object() && features != root_.end() && features->is_structured())
      row = &*features;
    if (!row->is_structured()) {
      return InvalidArgumentError("is no object of values by name, and no list of values");
    }
    if (row->size() > DataSchema::kMaxFeatures && row->is_object()) return TooMany();
    std::vector<DataField> fields;
    std::vector<size_t> ends;
    if (row->is_object()) {
      for (auto it = row->begin(); it != row->end(); ++it) {
        if (it.key().empty() || it.key().size() > DataSchema::kMaxName) {
          return InvalidArgumentError(StrCat("has a feature whose name is empty or has more than ",
                                             DataSchema::kMaxName, " bytes"));
        }
        RETURN_IF_ERROR(Flatten(it.value(), 0));
        fields.push_back({it.key(), {}});
        ends.push_back(values_.size());
      }
    } else {
      RETURN_IF_ERROR(AddList(*row, fields, ends));
    }
    size_t begin = 0;
    for (size_t i = 0; i < fields.size(); ++i) {
      fields[i].values = std::span(values_).subspan(begin, ends[i] - begin);
      begin = ends[i];
    }
    sink({line, fields});
    return OkStatus();
  }

 private:
  static Status TooMany() {
    return ResourceExhaustedError(StrCat("has more than ", DataSchema::kMaxFeatures,
                                         " features, or ", DataSchema::kMaxValues, " values"));
  }

  /// A list without names: a field for each value, or one for all of them.
  Status AddList(const Json& list, std::vector<DataField>& fields, std::vector<size_t>& ends) {
    for (const Json& value : list) {
      RETURN_IF_ERROR(Flatten(value, 0));
      ends.push_back(values_.size());
    }
    if (values_.size() > DataSchema::kMaxPlaces) ends = {values_.size()};
    fields.resize(ends.size());
    return OkStatus();
  }

  Status Flatten(const Json& value, int depth) {
    if (values_.size() > DataSchema::kMaxValues) return TooMany();
    if (value.is_array()) {
      if (depth == kMaxDepth) return InvalidArgumentError("has lists in lists, too deep");
      for (const Json& one : value) RETURN_IF_ERROR(Flatten(one, depth + 1));
    } else if (value.is_number()) {
      values_.push_back(NumberValue(value.get<double>()));
    } else if (value.is_boolean()) {
      values_.push_back({Kind::kBoolean, value.get<bool>() ? 1.0 : 0.0, {}});
    } else if (value.is_string()) {
      const std::string& text = value.get_ref<const std::string&>();
      values_.push_back({Kind::kText, 0, text});
    } else if (value.is_null()) {
      values_.emplace_back();
    } else {
      return InvalidArgumentError("has an object for a value: features are flat");
    }
    return OkStatus();
  }

  Json root_;
  std::vector<DataValue> values_;
};

}  // namespace

Status ReadCsvRows(std::string_view text, const DataRowSink& sink) {
  return ReadCsvRows(text, sink, nullptr);
}

Status ReadCsvRows(std::string_view text, const DataRowSink& sink, MisfitRows* misfits) {
  constexpr size_t kTold = 10;
  CsvReader reader(text);
  std::vector<std::string> names, cells;
  if (!reader.NextRow(names)) return InvalidArgumentError("is empty");
  RETURN_IF_ERROR(CheckHeader(names));
  std::vector<DataValue> values(names.size());
  std::vector<DataField> fields(names.size());
  for (size_t i = 0; i < names.size(); ++i) fields[i] = {names[i], {&values[i], 1}};
  while (reader.NextRow(cells)) {
    if (cells.size() != names.size() && misfits != nullptr) {
      misfits->columns = names.size();
      ++misfits->count;
      if (misfits->first.size() < kTold) misfits->first.push_back(reader.line());
      continue;
    }
    if (cells.size() != names.size()) {
      return InvalidArgumentError(StrCat("line ", reader.line(), " has ", cells.size(),
                                         " cells, the header ", names.size()));
    }
    for (size_t i = 0; i < cells.size(); ++i) {
      if (!IsAscii(cells[i])) cells[i] = ToUtf8(cells[i]);
      values[i] = CellValue(TrimBlanks(cells[i]));
    }
    sink({reader.line(), fields});
  }
  if (reader.bad()) return InvalidArgumentError("a quoted cell does not end");
  return OkStatus();
}

Status ReadJsonRows(std::string_view text, const DataRowSink& sink) {
  uint64_t line = 0;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  while (!text.empty()) {
    ++line;
    std::string_view one = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(one.size() + 1, text.size()));
    one = Trim(one);
    if (one.empty()) continue;
    Status status = JsonRow(one).Read(sink, line);
    if (!status.ok()) return Annotate(std::move(status), StrCat("line ", line));
  }
  return OkStatus();
}

Status ReadNpzRows(std::string_view bytes, const DataRowSink& sink) {
  ASSIGN_OR_RETURN(ReferenceTable table, ParseReferenceNpz(bytes));
  if (table.width > DataSchema::kMaxValues) {
    return InvalidArgumentError(
        StrCat("has rows of ", table.width, " values; ", DataSchema::kMaxValues, " at most"));
  }
  std::vector<DataValue> values(table.width);
  const bool wide = table.width > DataSchema::kMaxPlaces;
  std::vector<DataField> fields(wide ? 1 : table.width);
  for (size_t i = 0; i < fields.size(); ++i) {
    fields[i].values = wide ? std::span<const DataValue>(values) : std::span(&values[i], 1);
  }
  for (size_t row = 0; row < table.rows(); ++row) {
    for (size_t i = 0; i < table.width; ++i)
      values[i] = NumberValue(double{table.values[row * table.width + i]});
    sink({row, fields});
  }
  return OkStatus();
}

bool IsDataFileName(std::string_view path) {
  return path.ends_with(".csv") || path.ends_with(".npz") || path.ends_with(".jsonl") ||
         path.ends_with(".ndjson");
}

std::string_view RowWord(std::string_view path) { return path.ends_with(".npz") ? "row" : "line"; }

Status ReadDataFile(const std::string& path, const DataRowSink& sink, MisfitRows* misfits) {
  if (!IsDataFileName(path)) {
    return InvalidArgumentError(
        StrCat(path, ": the name of a table must end in .csv, .jsonl, .ndjson or .npz"));
  }
  ASSIGN_OR_RETURN(std::string content, ReadFile(path, kMaxFile));
  Status status = path.ends_with(".csv")   ? ReadCsvRows(content, sink, misfits)
                  : path.ends_with(".npz") ? ReadNpzRows(content, sink)
                                           : ReadJsonRows(content, sink);
  return status.ok() ? status : Annotate(std::move(status), path);
}

}  // namespace leadsman
