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
  if (!json.is_object() || !json.contains("request_id") || !json.contains("label")) {
    return InvalidArgumentError(
        StrCat("line ", line_, ": must be {\"request_id\": \"…\", \"label\": …}"));
  }
  return Dump(json);
}

Result<std::string> LabelReader::FromCsv(const std::string& line) const {
  auto fields = SplitCsv(line);
  if (!fields || fields->size() < 2 || fields->size() > 3 || (*fields)[0].empty() ||
      (*fields)[1].empty()) {
    return InvalidArgumentError(
        StrCat("line ", line_, ": must be request_id,label or request_id,label,row"));
  }
  int64_t row = 0;
  if (fields->size() == 3) {
    auto number = ParseInt64(Trim((*fields)[2]));
    if (!number || *number < 0 || *number > std::numeric_limits<uint32_t>::max()) {
      return InvalidArgumentError(
          StrCat("line ", line_, ": the row must be a whole number from 0, not ", (*fields)[2]));
    }
    row = *number;
  }
  return LabelEntry((*fields)[0], (*fields)[1], static_cast<uint32_t>(row));
}

Status LabelReader::Next(size_t max, std::vector<std::string>& entries) {
  std::string line;
  while (entries.size() < max && std::getline(in_, line)) {
    ++line_;
    if (line.ends_with('\r')) line.pop_back();
    if (Trim(line).empty()) continue;
    if (format_ == Format::kCsv && line_ == 1 && line.starts_with("request_id,")) continue;
    auto entry = format_ == Format::kCsv ? FromCsv(line) : FromJson(line);
    if (!entry.ok()) return entry.status();
    entries.push_back(std::move(*entry));
  }
  if (in_.bad()) {
    return UnavailableError(StrCat("the file cannot be read beyond line ", line_,
                                   "; is it a file, and is its disk well?"));
  }
  return OkStatus();
}

}  // namespace leadsman::cli
