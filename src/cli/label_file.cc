#include "cli/label_file.h"

#include <limits>
#include <optional>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace leadsman::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Fields of one CSV line (RFC 4180 without line breaks inside fields); nothing when a quote is not closed.
std::optional<std::vector<std::string>> SplitCsv(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    char c = line[i];
    if (quoted) {
      if (c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
        fields.back() += c;
        ++i;
      } else if (c == '"') {
        quoted = false;
      } else {
        fields.back() += c;
      }
    } else if (c == '"' && fields.back().empty()) {
      quoted = true;
    } else if (c == ',') {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  if (quoted) return std::nullopt;
  return fields;
}

}  // namespace

std::string LabelEntry(const std::string& request_id, const std::string& label, uint32_t row) {
  return Dump({{"request_id", request_id}, {"label", label}, {"row", row}});
}

Result<std::string> LabelReader::FromJson(const std::string& line) const {
  Json json = Json::parse(line, nullptr, false);
  if (json.is_discarded() && line.find("NaN") != std::string::npos) {
    // Python's json module writes it, though JSON has none.
    std::string plain = line;
    for (size_t at = 0; (at = plain.find("NaN", at)) != std::string::npos;)
      plain.replace(at, 3, "null");
    json = Json::parse(plain, nullptr, false);
  }
  if (json.is_object() && json.contains("request_id") && json.contains("label") &&
      (json["label"].is_null() || json["label"] == "" || json["label"] == "NaN"))
    return std::string();
  if (!json.is_object() || !json.contains("request_id") || !json.contains("label")) {
    return InvalidArgumentError(
        StrCat("line ", line_, ": must be {\"request_id\": \"…\", \"label\": …}"));
  }
  return Dump(json);
}

Result<bool> LabelReader::TakeHeader(std::string_view line) {
  if (line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
  auto names = SplitCsv(line);
  if (!names) return false;
  constexpr size_t kNone = std::numeric_limits<size_t>::max();
  size_t id = kNone, label = kNone, row = kNone;
  for (size_t i = 0; i < names->size(); ++i) {
    const std::string_view name = Trim((*names)[i]);
    if (id == kNone && EqualsIgnoreCase(name, "request_id")) id = i;
    if (label == kNone && EqualsIgnoreCase(name, "label")) label = i;
    if (row == kNone && EqualsIgnoreCase(name, "row")) row = i;
  }
  if (id == kNone && label == kNone) return false;
  if (id == kNone || label == kNone) {
    return InvalidArgumentError(
        StrCat("line ", line_, ": a header needs request_id and label, not ", HumanList(*names)));
  }
  named_ = true;
  columns_ = names->size();
  id_ = id;
  label_ = label;
  row_ = row;
  return true;
}

Result<std::string> LabelReader::FromCsv(const std::string& line) const {
  auto fields = SplitCsv(line);
  const bool fits = fields && (named_ ? fields->size() == columns_
                                      : fields->size() == 2 || fields->size() == columns_);
  if (fits && !(*fields)[id_].empty()) {
    const std::string_view label = Trim((*fields)[label_]);
    if (label.empty() || EqualsIgnoreCase(label, "nan")) return std::string();
  }
  if (!fits || (*fields)[id_].empty()) {
    return InvalidArgumentError(
        named_ ? StrCat("line ", line_, ": must have ", columns_, " fields as the header, with a ",
                        "request_id and a label")
               : StrCat("line ", line_, ": must be request_id,label or request_id,label,row, or ",
                        "the first line must name such columns"));
  }
  int64_t row = 0;
  if (row_ < fields->size()) {
    auto number = ParseInt64(Trim((*fields)[row_]));
    if (!number || *number < 0 || *number > std::numeric_limits<uint32_t>::max()) {
      return InvalidArgumentError(
          StrCat("line ", line_, ": the row must be a whole number from 0, not ", (*fields)[row_]));
    }
    row = *number;
  }
  return LabelEntry((*fields)[id_], (*fields)[label_], static_cast<uint32_t>(row));
}

Status LabelReader::Next(size_t max, std::vector<std::string>& entries) {
  std::string line;
  while (entries.size() < max && std::getline(in_, line)) {
    ++line_;
    if (line.ends_with('\r')) line.pop_back();
    if (Trim(line).empty()) continue;
    if (format_ == Format::kCsv && line_ == 1) {
      ASSIGN_OR_RETURN(const bool header, TakeHeader(line));
      if (header) continue;
    }
    auto entry = format_ == Format::kCsv ? FromCsv(line) : FromJson(line);
    if (!entry.ok()) return entry.status();
    if (entry->empty()) {
      ++without_label_;
    } else {
      entries.push_back(std::move(*entry));
    }
  }
  if (in_.bad()) {
    return UnavailableError(StrCat("the file cannot be read beyond line ", line_,
                                   "; is it a file, and is its disk well?"));
  }
  return OkStatus();
}

}  // namespace leadsman::cli
