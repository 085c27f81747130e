#include "monitor/drift/reference_file.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <set>

#include "base/clock.h"
#include "base/fs.h"
#include "base/strings.h"
#include "events/feature_names.h"
#include "events/missing_text.h"
#include "monitor/csv_reader.h"
#include "monitor/drift/wide_summary.h"

namespace leadsman {
namespace {

constexpr size_t kMaxFile = 1 << 30;
constexpr size_t kMaxValues = 256 << 20;  // a GiB of floats
constexpr size_t kMaxRows = 1'000'000;
constexpr size_t kMaxWidth = 4096;
constexpr size_t kFewestRows = 500;
constexpr size_t kLongestAnswer = 255;
constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

// ---- CSV

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::optional<float> CellValue(std::string_view text) {
  text = Trimmed(text);
  if (IsMissingText(text)) return kMissing;
  if (text == "true" || text == "True") return 1.0f;
  if (text == "false" || text == "False") return 0.0f;
  auto value = ParseDouble(text);
  if (!value) return std::nullopt;
  return static_cast<float>(*value);
}

// ---- NPZ

struct Array {
  std::vector<size_t> shape;
  char kind = 'f';  ///< of the type: f, i, u, b
  size_t size = 4;  ///< bytes of a value
  std::string_view values;
};

/// The text behind 'key': in the header of an array, a Python literal that NumPy writes.
std::string_view HeaderValue(std::string_view header, std::string_view key) {
  size_t at = header.find(StrCat("'", key, "':"));
  if (at == std::string_view::npos) return {};
  return Trimmed(header.substr(at + key.size() + 3));
}

Result<Array> ParseArray(std::string_view bytes) {
  if (!bytes.starts_with("\x93NUMPY") || bytes.size() < 12) {
    return InvalidArgumentError("is no array of NumPy");
  }
  auto byte = [&](size_t at) { return static_cast<size_t>(static_cast<unsigned char>(bytes[at])); };
  const bool first_version = byte(6) == 1;
  size_t begin = first_version ? 10 : 12;
  size_t length = byte(8) | byte(9) << 8;
  if (!first_version) length |= byte(10) << 16 | byte(11) << 24;
  if (length > bytes.size() - begin) return InvalidArgumentError("its header is cut off");
  std::string_view header = bytes.substr(begin, length);

  Array array;
  std::string_view type = HeaderValue(header, "descr");
  if (type.size() < 5 || type[0] != '\'') {
    return InvalidArgumentError("has fields: only arrays of numbers are read");
  }
  array.kind = type[2];
  array.size = static_cast<size_t>(type[3] - '0');
  bool known = (array.kind == 'f' && (array.size == 4 || array.size == 8)) ||
               ((array.kind == 'i' || array.kind == 'u') &&
                (array.size == 1 || array.size == 2 || array.size == 4 || array.size == 8)) ||
               (array.kind == 'b' && array.size == 1);
  if (type[1] == '>' || !known || type[4] != '\'') {
    return InvalidArgumentError(
        StrCat("has type ", type.substr(0, std::min<size_t>(type.find('\'', 1) + 1, 20)),
               ": only little-endian float32, float64, integers and booleans are read; save it "
               "with .astype('float32')"));
  }
  if (!HeaderValue(header, "fortran_order").starts_with("False")) {
    return InvalidArgumentError("is in Fortran order: save numpy.ascontiguousarray of it");
  }
  std::string_view shape = HeaderValue(header, "shape");
  if (!shape.starts_with('(')) return InvalidArgumentError("has no shape");
  shape = shape.substr(1, shape.find(')') - 1);
  size_t count = 1;
  for (std::string_view part : Split(shape, ',')) {
    if (Trimmed(part).empty()) continue;
    auto extent = ParseInt64(Trimmed(part));
    if (!extent || *extent < 0 || *extent > static_cast<int64_t>(kMaxValues)) {
      return InvalidArgumentError("has a shape that cannot be");
    }
    array.shape.push_back(static_cast<size_t>(*extent));
    count *= array.shape.back();
    if (count > kMaxValues) return ResourceExhaustedError("has too many values");
  }
  array.values = bytes.substr(begin + length);
  if (array.values.size() < count * array.size) return InvalidArgumentError("is cut off");
  return array;
}

template <typename T>
float ValueAt(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return static_cast<float>(value);
}

using Convert = float (*)(const char*);
Convert ConverterOf(const Array& array) {
  if (array.kind == 'f') return array.size == 4 ? ValueAt<float> : ValueAt<double>;
  const bool is_signed = array.kind == 'i';
  switch (array.size) {
    case 1:
      return is_signed ? ValueAt<int8_t> : ValueAt<uint8_t>;
    case 2:
      return is_signed ? ValueAt<int16_t> : ValueAt<uint16_t>;
    case 4:
      return is_signed ? ValueAt<int32_t> : ValueAt<uint32_t>;
    default:
      return is_signed ? ValueAt<int64_t> : ValueAt<uint64_t>;
  }
}

/// Files of a zip archive by name. Nothing larger than kMaxFile in all.
Result<std::map<std::string, std::string>> Unzip(std::string_view bytes) {
  std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
  archive_read_support_format_zip(reader.get());
  if (archive_read_open_memory(reader.get(), bytes.data(), bytes.size()) != ARCHIVE_OK) {
    return InvalidArgumentError("is no .npz file");
  }
  std::map<std::string, std::string> files;
  size_t left = kMaxFile;
  archive_entry* entry = nullptr;
  int rc;
  while ((rc = archive_read_next_header(reader.get(), &entry)) == ARCHIVE_OK) {
    const char* name = archive_entry_pathname(entry);
    std::string& file = files[name != nullptr ? name : ""];
    char buffer[64 << 10];
    la_ssize_t n;
    while ((n = archive_read_data(reader.get(), buffer, sizeof buffer)) > 0) {
      if (static_cast<size_t>(n) > left) return ResourceExhaustedError("is larger than 1 GiB");
      left -= static_cast<size_t>(n);
      file.append(buffer, static_cast<size_t>(n));
    }
    if (n < 0) return InvalidArgumentError("is damaged");
  }
  if (rc != ARCHIVE_EOF || files.empty()) return InvalidArgumentError("is no .npz file");
  return files;
}

Result<std::string> TableName(const std::map<std::string, std::string>& files) {
  for (const char* name : {"x", "X", "inputs", "data"}) {
    if (files.contains(StrCat(name, ".npy"))) return StrCat(name, ".npy");
  }
  std::string found;
  for (const auto& [name, bytes] : files) {
    auto array = ParseArray(bytes);
    if (!array.ok() || array->shape.size() < 2) continue;
    if (!found.empty()) {
      return InvalidArgumentError(StrCat("has several tables, ", found, " and ", name,
                                         ": name the one of the model's inputs x"));
    }
    found = name;
  }
  if (found.empty()) {
    return InvalidArgumentError(
        "has no table of numbers: save one as numpy.savez(file, x=inputs), a row for each example");
  }
  return found;
}

}  // namespace

namespace {

std::optional<int64_t> CellTime(std::string_view text) {
  constexpr double kFirstMilliseconds = 1e11;  // of seconds that would be the year 5138
  text = Trimmed(text);
  if (auto time = ParseRfc3339(text)) return UnixMillis(*time);
  auto number = ParseDouble(text);
  if (!number || !(*number >= 0 && *number < 1e15)) return std::nullopt;
  return static_cast<int64_t>(*number < kFirstMilliseconds ? *number * 1000 : *number);
}

/// The place of a named column; none for an empty name.
Result<size_t> ColumnOf(const std::vector<std::string>& names, const std::string& name) {
  if (name.empty()) return SIZE_MAX;
  auto at = std::find(names.begin(), names.end(), name);
  if (at != names.end()) return static_cast<size_t>(at - names.begin());
  return InvalidArgumentError(StrCat("has no column ", name, "; columns: ", HumanList(names)));
}

}  // namespace

Result<ReferenceTable> ParseReferenceCsv(std::string_view text, const TableColumns& columns) {
  CsvReader reader(text);
  ReferenceTable table;
  if (!reader.NextRow(table.names)) return InvalidArgumentError("is empty");
  for (std::string& name : table.names) name = std::string(Trimmed(name)).substr(0, 255);
  const size_t cells_wanted = table.names.size();
  if (cells_wanted > kMaxWidth) {
    return InvalidArgumentError(StrCat("has ", cells_wanted, " columns; ", kMaxWidth, " at most"));
  }
  ASSIGN_OR_RETURN(const size_t time, ColumnOf(table.names, columns.time));
  ASSIGN_OR_RETURN(const size_t answer, ColumnOf(table.names, columns.answer));
  ASSIGN_OR_RETURN(const size_t label, ColumnOf(table.names, columns.label));
  const std::vector<std::string> names = table.names;
  for (size_t i = cells_wanted; i-- > 0;) {
    if (i == time || i == answer || i == label)
      table.names.erase(table.names.begin() + static_cast<ptrdiff_t>(i));
  }
  table.width = table.names.size();
  if (table.width == 0) return InvalidArgumentError("has no column of inputs");
  std::vector<std::string> cells;
  while (table.rows() < kMaxRows && reader.NextRow(cells)) {
    if (cells.size() != cells_wanted) {
      return InvalidArgumentError(StrCat("line ", reader.line(), " has ", cells.size(),
                                         " cells, the header ", cells_wanted));
    }
    for (size_t i = 0; i < cells.size(); ++i) {
      if (i == answer) table.answers.push_back(cells[i].substr(0, kLongestAnswer));
      if (i == label) table.labels.push_back(cells[i].substr(0, kLongestAnswer));
      if (i == time) {
        auto at = CellTime(cells[i]);
        if (!at) {
          return InvalidArgumentError(
              StrCat("line ", reader.line(), ", column ", names[i], ": ", cells[i].substr(0, 40),
                     " is no time; it must be like 2026-03-01T12:00:00Z, or seconds or "
                     "milliseconds since 1970"));
        }
        table.unix_ms.push_back(*at);
      }
      if (i == answer || i == time || i == label) continue;
      auto value = CellValue(cells[i]);
      if (!value) {
        return InvalidArgumentError(StrCat(
            "line ", reader.line(), ", column ", names[i], ": ", cells[i].substr(0, 40),
            " is no number; the columns must be the model's numeric inputs, in their order"));
      }
      table.values.push_back(*value);
    }
    if (table.values.size() > kMaxValues) return ResourceExhaustedError("has too many values");
  }
  if (reader.bad()) return InvalidArgumentError("a quoted cell does not end");
  return table;
}

Result<ReferenceTable> ParseReferenceNpz(std::string_view bytes) {
  ASSIGN_OR_RETURN(auto files, Unzip(bytes));
  ASSIGN_OR_RETURN(std::string name, TableName(files));
  auto array = ParseArray(files[name]);
  if (!array.ok()) return Annotate(array.status(), name);
  if (array->shape.size() < 2 || array->shape[0] == 0) {
    return InvalidArgumentError(StrCat(name, " needs two dimensions: rows and values"));
  }
  ReferenceTable table;
  table.width = 1;
  for (size_t i = 1; i < array->shape.size(); ++i) table.width *= array->shape[i];
  if (table.width == 0) return InvalidArgumentError(StrCat(name, " has rows without values"));
  size_t rows = std::min(array->shape[0], kMaxRows);
  table.values.reserve(rows * table.width);
  Convert convert = ConverterOf(*array);
  for (size_t i = 0; i < rows * table.width; ++i) {
    table.values.push_back(convert(array->values.data() + i * array->size));
  }
  return table;
}

Result<ReferenceTable> ReadTable(const std::string& path, const TableColumns& columns) {
  const bool npz = path.ends_with(".npz");
  if (!npz && !path.ends_with(".csv")) {
    return InvalidArgumentError(StrCat(path, ": the name must end in .csv or .npz"));
  }
  ASSIGN_OR_RETURN(std::string content, ReadFile(path, kMaxFile));
  auto table = npz ? ParseReferenceNpz(content) : ParseReferenceCsv(content, columns);
  if (!table.ok()) return Annotate(table.status(), path);
  return table;
}

bool ReferenceTable::named() const {
  std::set<std::string_view> different(names.begin(), names.end());
  return !names.empty() && names.size() == width && different.size() == width;
}

namespace {

void KeepColumns(const std::vector<bool>& keeps, ReferenceTable& table) {
  std::vector<std::string> names;
  std::vector<float> values;
  for (size_t i = 0; i < table.names.size(); ++i) {
    if (keeps[i]) names.push_back(std::move(table.names[i]));
  }
  for (size_t i = 0; i < table.values.size(); ++i) {
    if (keeps[i % table.width]) values.push_back(table.values[i]);
  }
  table.names = std::move(names);
  table.values = std::move(values);
  table.width = static_cast<size_t>(std::count(keeps.begin(), keeps.end(), true));
}

/// Without those of which nothing is to be kept.
Status DropColumns(FeatureNames* names, ReferenceTable& table) {
  if (names == nullptr) return OkStatus();
  const std::vector<bool> keeps = names->Keeps(table.names, table.width);
  if (std::find(keeps.begin(), keeps.end(), false) == keeps.end()) return OkStatus();
  KeepColumns(keeps, table);
  if (table.width > 0) return OkStatus();
  return InvalidArgumentError(
      "has no column but those that monitor.redact drops: take one with other inputs, or leave the "
      "reference out");
}

/// Where the columns' values stand in a request; empty: in their own order.
Result<std::vector<size_t>> PlacesOf(const ReferenceTable& table, FeatureNames* names) {
  std::vector<size_t> places;
  if (names == nullptr || table.names.empty()) return places;
  if (!table.named()) {
    if (!names->named()) return places;
    return InvalidArgumentError(
        "has two columns of one name: requests of the model name their values, so that columns are "
        "found by their names");
  }
  names->Suggest(table.names);
  if (!names->named()) return places;
  for (const std::string& column : table.names) {
    auto place = names->PlaceOf(column);
    if (!place) {
      return ResourceExhaustedError(StrCat("the model has ", FeatureNames::kMaxNames,
                                           " names of values already, and column ", column,
                                           " is none of them"));
    }
    places.push_back(*place);
  }
  return places;
}

std::vector<std::string> NumberNames(const ReferenceTable& table,
                                     const std::vector<std::string>& known, size_t width) {
  std::vector<std::string> names = known.empty() ? table.names : known;
  const size_t size = std::min(width, Reference::kMaxNumbers);
  if (names.size() > size) names.resize(size);
  for (size_t i = names.size(); i < size; ++i) names.push_back(StrCat("f", i));
  return names;
}

}  // namespace

Result<std::shared_ptr<const Reference>> ReadReferenceFile(const std::string& path,
                                                           size_t wide_input, int64_t now_ms,
                                                           FeatureNames* names) {
  auto table = ReadTable(path);
  RETURN_IF_ERROR(table.status());
  if (table->rows() < kFewestRows) {
    return InvalidArgumentError(
        StrCat(path, " has ", table->rows(), " rows; a reference needs ", kFewestRows));
  }
  RETURN_IF_ERROR(Annotate(DropColumns(names, *table), path));
  auto places = PlacesOf(*table, names);
  if (!places.ok()) return Annotate(places.status(), path);
  const size_t width =
      places->empty() ? table->width : 1 + *std::max_element(places->begin(), places->end());
  const bool wide = width > wide_input;
  ReferenceBuilder builder(
      wide ? WideNames()
           : NumberNames(*table, places->empty() ? std::vector<std::string>() : names->names(),
                         width));
  // Of a place without a column nothing is known; in a summary it counts as little as it may.
  std::vector<float> placed(width, wide ? 0 : std::numeric_limits<float>::quiet_NaN());
  for (size_t row = 0; row < table->rows(); ++row) {
    std::span<const float> values(table->values.data() + row * table->width, table->width);
    for (size_t i = 0; i < places->size(); ++i) placed[(*places)[i]] = values[i];
    if (!places->empty()) values = placed;
    if (wide) {
      builder.Add(SummariseWide(values), {});
    } else {
      builder.Add(values, {});
    }
  }
  Reference reference = builder.Build(ReferenceFrom::kFile, now_ms);
  reference.wide = wide;
  return std::make_shared<const Reference>(std::move(reference));
}

}  // namespace leadsman
