#include "base/schema.h"

#include <array>
#include <cmath>
#include <set>

#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace leadsman::schema {

using std::chrono::nanoseconds;

void Reader::FailAt(int line, int column, std::string path, std::string message) {
  ++count_;
  if (problems_.size() < kMaxProblems)
    problems_.push_back({std::move(path), line, column, std::move(message)});
}

void Reader::FailMissing(const ConfigNode& map, std::string_view key, std::string message) {
  unsound_.insert(path_.empty() ? std::string(key) : StrCat(path_, ".", key));
  FailAt(map.line, map.column, path_, std::move(message));
}

bool Reader::IsSound(std::string_view path) const {
  if (unsound_.empty()) return true;
  // A list with a bad element is no list to draw conclusions from.
  std::string element = StrCat(path, "[");
  for (auto it = unsound_.lower_bound(element); it != unsound_.end(); ++it) {
    if (!it->starts_with(element)) break;
    if (it->ends_with(']')) return false;
  }
  for (size_t end = path.size();;) {
    if (unsound_.contains(path.substr(0, end))) return false;
    if (end == 0) return true;
    end = path.find_last_of(".[", end - 1);
    if (end == std::string_view::npos || end == 0) return true;
  }
}

Reader::Step::Step(Reader& reader, std::string_view key)
    : reader_(reader), size_(reader.path_.size()) {
  if (size_ > 0) reader_.path_ += '.';
  reader_.path_ += key;
}
Reader::Step::Step(Reader& reader, size_t index) : reader_(reader), size_(reader.path_.size()) {
  reader_.path_ += StrCat("[", index, "]");
}

std::string Problems::FullPath(const std::string& path) const {
  std::string full = reader_.path();
  if (!full.empty() && !path.empty() && !path.starts_with('[')) full += '.';
  return full + path;
}

void Problems::Add(const std::string& path, std::string message) {
  std::string full = FullPath(path);
  if (!reader_.IsSound(full)) return;
  const ConfigNode& at = node_.Nearest(path);
  reader_.FailAt(at.line, at.column, std::move(full), std::move(message));
}

bool Problems::IsGiven(const std::string& path) const {
  size_t end = path.find_last_of('.');
  const ConfigNode& parent =
      end == std::string::npos ? node_ : node_.Nearest(std::string_view(path).substr(0, end));
  // Of what is not there, the nearest is what would hold it.
  const ConfigNode& found = node_.Nearest(path);
  return &found != &parent && &found != &node_ && found.kind != ConfigNode::Kind::kNull;
}

// ---- Times and sizes
// ---------------------------------------------------------------------------------------------

namespace {

struct TimeUnit {
  std::string_view name;
  int64_t ns;
};
constexpr std::array<TimeUnit, 7> kTimeUnits{{{"d", 86'400'000'000'000},
                                              {"h", 3'600'000'000'000},
                                              {"m", 60'000'000'000},
                                              {"s", 1'000'000'000},
                                              {"ms", 1'000'000},
                                              {"us", 1'000},
                                              {"ns", 1}}};
// 290 years fit into nanoseconds.
constexpr double kMaxTimeNs = 9.0e18;

/// The number at the front: digits with at most one point. Advances `text`.
std::optional<double> TakeNumber(std::string_view& text) {
  size_t end = text.find_first_not_of("0123456789.");
  if (end == std::string_view::npos) end = text.size();
  auto value = ParseDouble(text.substr(0, end));
  if (value) text.remove_prefix(end);
  return value;
}

std::string_view TakeLetters(std::string_view& text) {
  size_t end = 0;
  while (end < text.size() &&
         ((text[end] >= 'a' && text[end] <= 'z') || (text[end] >= 'A' && text[end] <= 'Z')))
    ++end;
  std::string_view letters = text.substr(0, end);
  text.remove_prefix(end);
  return letters;
}

}  // namespace

std::optional<nanoseconds> ParseTime(std::string_view text) {
  if (text == "0") return nanoseconds(0);
  if (text.empty()) return std::nullopt;
  double total = 0;
  size_t next_unit = 0;  // units come from large to small, each once
  while (!text.empty()) {
    auto number = TakeNumber(text);
    if (!number) return std::nullopt;
    std::string_view unit = TakeLetters(text);
    size_t i = next_unit;
    while (i < kTimeUnits.size() && kTimeUnits[i].name != unit) ++i;
    if (i == kTimeUnits.size()) return std::nullopt;
    total += *number * static_cast<double>(kTimeUnits[i].ns);
    next_unit = i + 1;
  }
  if (!(total <= kMaxTimeNs)) return std::nullopt;
  return nanoseconds(std::llround(total));
}

std::string FormatTime(nanoseconds time) {
  int64_t rest = time.count();
  if (rest == 0) return "0s";
  std::string out;
  if (rest < 0) {
    out = "-";
    rest = -rest;
  }
  // Within one day hours and smaller; "90m" reads better as "1h30m", "24h" as "1d".
  for (const TimeUnit& unit : kTimeUnits) {
    if (rest >= unit.ns) {
      out += StrCat(rest / unit.ns, unit.name);
      rest %= unit.ns;
    }
  }
  return out;
}

std::optional<int64_t> ParseBytes(std::string_view text) {
  static constexpr std::pair<std::string_view, double> kUnits[] = {
      {"", 1},          {"B", 1},        {"kB", 1e3},      {"KB", 1e3},
      {"MB", 1e6},      {"GB", 1e9},     {"KiB", 1 << 10}, {"MiB", 1 << 20},
      {"GiB", 1 << 30}, {"Ki", 1 << 10}, {"Mi", 1 << 20},  {"Gi", 1 << 30}};
  auto number = TakeNumber(text);
  if (!number) return std::nullopt;
  for (const auto& [name, factor] : kUnits) {
    if (text != name) continue;
    double bytes = *number * factor;
    if (!(bytes <= 9.0e15)) return std::nullopt;
    return std::llround(bytes);
  }
  return std::nullopt;
}

std::string FormatBytes(int64_t bytes) {
  static constexpr std::pair<int64_t, const char*> kUnits[] = {
      {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}};
  for (const auto& [factor, name] : kUnits) {
    if (bytes >= factor && bytes % factor == 0) return StrCat(bytes / factor, name);
  }
  return std::to_string(bytes);
}

// ---- Reading
// -----------------------------------------------------------------------------------------------------

namespace internal {
namespace {

std::string Shown(const ConfigNode& node) {
  switch (node.kind) {
    case ConfigNode::Kind::kNull:
      return "nothing";
    case ConfigNode::Kind::kList:
      return "a list";
    case ConfigNode::Kind::kMap:
      return "a map";
    case ConfigNode::Kind::kScalar:
      break;
  }
  std::string text = node.text.substr(0, 40);
  if (node.text.size() > 40) text += "…";
  std::string quoted;
  AppendJsonString(quoted, text);
  return node.quoted ? "the text " + quoted : quoted;
}

bool ExpectScalar(const ConfigNode& node, std::string_view wanted, Reader& reader) {
  if (node.kind == ConfigNode::Kind::kScalar) return true;
  reader.Fail(node, StrCat("must be ", wanted, ", not ", Shown(node)));
  return false;
}

std::string NumberText(double value) {
  std::string out;
  WriteNumber(value, out);
  return out;
}

}  // namespace

std::optional<int64_t> ReadInteger(const ConfigNode& node, int64_t min, int64_t max,
                                   Reader& reader) {
  if (!ExpectScalar(node, "a whole number", reader)) return std::nullopt;
  auto value = node.quoted ? std::nullopt : ParseInt64(node.text);
  if (!value) {
    reader.Fail(node, StrCat("must be a whole number, not ", Shown(node)));
    return std::nullopt;
  }
  if (*value < min || *value > max) {
    reader.Fail(node, StrCat("must be ", IntegerRange(min, max), ", not ", *value));
    return std::nullopt;
  }
  return value;
}

std::optional<double> ReadNumber(const ConfigNode& node, double min, bool min_excluded, double max,
                                 bool share, Reader& reader) {
  std::string_view wanted = share ? "a share like 0.1 or \"10%\"" : "a number";
  if (!ExpectScalar(node, wanted, reader)) return std::nullopt;
  std::string_view text = node.text;
  bool percent = share && text.ends_with('%');
  if (percent) text = Trim(text.substr(0, text.size() - 1));
  auto value = node.quoted && !percent ? std::nullopt : ParseDouble(text);
  if (!value || !std::isfinite(*value)) {
    reader.Fail(node, StrCat("must be ", wanted, ", not ", Shown(node)));
    return std::nullopt;
  }
  if (percent) *value /= 100;
  if (*value < min || (min_excluded && *value == min) || *value > max) {
    std::string hint = share && !percent && *value > 1 && *value <= 100
                           ? StrCat("; did you mean ", *value, "%?")
                           : "";
    reader.Fail(node, StrCat("must be ", NumberRange(min, min_excluded, max, share), ", not ",
                             node.text, hint));
    return std::nullopt;
  }
  return value;
}

std::optional<bool> ReadBool(const ConfigNode& node, Reader& reader) {
  if (!ExpectScalar(node, "true or false", reader)) return std::nullopt;
  if (!node.quoted && (node.text == "true" || node.text == "True")) return true;
  if (!node.quoted && (node.text == "false" || node.text == "False")) return false;
  reader.Fail(node, StrCat("must be true or false, not ", Shown(node)));
  return std::nullopt;
}

std::optional<std::string> ReadString(const ConfigNode& node, Reader& reader) {
  if (!ExpectScalar(node, "a text", reader)) return std::nullopt;
  return node.text;
}

std::optional<nanoseconds> ReadTime(const ConfigNode& node, nanoseconds min, nanoseconds max,
                                    nanoseconds unit, Reader& reader) {
  if (!ExpectScalar(node, "a duration like 5s or 200ms", reader)) return std::nullopt;
  auto value = ParseTime(node.text);
  if (!value) {
    bool bare = ParseDouble(node.text).has_value();
    reader.Fail(
        node, bare ? StrCat("needs a unit: ", node.text, "s, ", node.text, "ms, ", node.text, "m?")
                   : StrCat("must be a duration like 5s, 200ms or 1h30m, not ", Shown(node)));
    return std::nullopt;
  }
  if (*value < min || *value > max) {
    reader.Fail(node, StrCat("must be ", TimeRange(min, max), ", not ", node.text));
    return std::nullopt;
  }
  if (value->count() % unit.count() != 0) {
    reader.Fail(node,
                StrCat("must be a whole multiple of ", FormatTime(unit), ", not ", node.text));
    return std::nullopt;
  }
  return value;
}

std::optional<int64_t> ReadBytes(const ConfigNode& node, int64_t min, int64_t max, Reader& reader) {
  if (!ExpectScalar(node, "a size like 64KiB or 1MiB", reader)) return std::nullopt;
  auto value = ParseBytes(node.text);
  if (!value) {
    reader.Fail(node, StrCat("must be a size like 65536, 64KiB or 1MiB, not ", Shown(node)));
    return std::nullopt;
  }
  if (*value < min || *value > max) {
    reader.Fail(node, StrCat("must be ", BytesRange(min, max), ", not ", node.text));
    return std::nullopt;
  }
  return value;
}

std::optional<size_t> ReadEnum(const ConfigNode& node, const std::vector<std::string>& names,
                               Reader& reader) {
  std::string wanted = "one of " + HumanList(names);
  if (!ExpectScalar(node, wanted, reader)) return std::nullopt;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == node.text) return i;
  }
  auto near = DidYouMean(node.text, names);
  reader.Fail(node, StrCat("must be ", wanted, ", not ", Shown(node),
                           near ? StrCat("; did you mean ", *near, "?") : ""));
  return std::nullopt;
}

bool ExpectList(const ConfigNode& node, size_t min_items, size_t max_items, Reader& reader) {
  if (node.kind != ConfigNode::Kind::kList) {
    reader.Fail(node, StrCat("must be a list, not ", Shown(node)));
    return false;
  }
  if (node.items.size() < min_items || node.items.size() > max_items) {
    reader.Fail(
        node, StrCat("must have ",
                     IntegerRange(static_cast<int64_t>(min_items), static_cast<int64_t>(max_items)),
                     " entries, not ", node.items.size()));
    return false;
  }
  return true;
}

bool ExpectMap(const ConfigNode& node, std::string_view what, Reader& reader) {
  if (node.kind == ConfigNode::Kind::kMap) return true;
  reader.Fail(node, StrCat("must be a map of keys and values (", what, "), not ", Shown(node)));
  return false;
}

void FailUnknownKey(const ConfigNode::Entry& entry,
                    const std::vector<StructInfo::FieldInfo>& fields, Reader& reader) {
  std::vector<std::string> keys;
  for (const auto& field : fields) keys.push_back(field.key);
  auto near = DidYouMean(entry.key, keys);
  Reader::Step step(reader, std::string_view(entry.key).substr(0, 100));
  reader.FailAt(entry.line, entry.column, reader.path(),
                near ? StrCat("unknown key; did you mean ", *near, "?")
                     : StrCat("unknown key; known here: ", HumanList(keys)));
}

// ---- Writing
// -----------------------------------------------------------------------------------------------------

void WriteString(std::string_view text, std::string& json) { AppendJsonString(json, text); }

void WriteNumber(double value, std::string& json) {
  if (std::isfinite(value)) {
    json += StrCat(value);
  } else {
    json += "null";
  }
}

std::string IntegerRange(int64_t min, int64_t max) {
  // Bounds that only say what a machine word holds are no news to anyone.
  bool low = min > std::numeric_limits<int32_t>::min();
  bool high = max < std::numeric_limits<int32_t>::max();
  if (low && high) return StrCat(min, " to ", max);
  if (low) return StrCat("at least ", min);
  if (high) return StrCat("at most ", max);
  return "";
}

std::string NumberRange(double min, bool min_excluded, double max, bool share) {
  bool low = std::isfinite(min);
  bool high = std::isfinite(max);
  (void)share;
  std::string from = StrCat(min_excluded ? "above " : "at least ", NumberText(min));
  if (low && high)
    return StrCat(min_excluded ? from : StrCat("from ", NumberText(min)),
                  min_excluded ? " and at most " : " to ", NumberText(max));
  if (low) return from;
  if (high) return StrCat("at most ", NumberText(max));
  return "";
}

std::string TimeRange(nanoseconds min, nanoseconds max) {
  return StrCat(FormatTime(min), " to ", FormatTime(max));
}
std::string BytesRange(int64_t min, int64_t max) {
  return StrCat(FormatBytes(min), " to ", FormatBytes(max));
}

void AppendNumberSchema(double min, bool min_excluded, double max, bool share, std::string& out) {
  std::string number = R"({"type":"number")";
  if (std::isfinite(min))
    number += StrCat(min_excluded ? ",\"exclusiveMinimum\":" : ",\"minimum\":", NumberText(min));
  if (std::isfinite(max)) number += StrCat(",\"maximum\":", NumberText(max));
  number += '}';
  if (share) {
    out += StrCat(R"({"anyOf":[)", number,
                  R"(,{"type":"string","pattern":"^[0-9]+(\\.[0-9]+)? ?%$"}]})");
  } else {
    out += number;
  }
}

void AppendEnumSchema(const std::vector<std::string>& names, std::string& out) {
  out += R"({"type":"string","enum":[)";
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += ',';
    WriteString(names[i], out);
  }
  out += "]}";
}

void AppendStringSchema(std::string_view kind, std::string& out) {
  if (kind == "duration") {
    out +=
        R"({"anyOf":[{"type":"string","pattern":"^(0|([0-9]+(\\.[0-9]+)?(d|h|m|s|ms|us|ns))+)$"},{"const":0}]})";
  } else if (kind == "size") {
    out +=
        R"({"anyOf":[{"type":"integer","minimum":0},)"
        R"({"type":"string","pattern":"^[0-9]+(\\.[0-9]+)?(B|kB|KB|MB|GB|KiB|MiB|GiB|Ki|Mi|Gi)?$"}]})";
  } else {
    out += R"({"type":"string"})";
  }
}

}  // namespace internal

// ---- Plain types
// -------------------------------------------------------------------------------------------------

namespace {

class NumberType final : public Type<double> {
 public:
  NumberType(double min, bool min_excluded, double max, bool share)
      : min_(min), max_(max), min_excluded_(min_excluded), share_(share) {}
  std::string Name() const override { return share_ ? "share" : "number"; }
  std::string Range() const override {
    return internal::NumberRange(min_, min_excluded_, max_, share_);
  }
  void AppendJsonSchema(std::string& out) const override {
    internal::AppendNumberSchema(min_, min_excluded_, max_, share_, out);
  }
  void Read(const ConfigNode& node, double& out, Reader& reader) const override {
    if (auto value = internal::ReadNumber(node, min_, min_excluded_, max_, share_, reader))
      out = *value;
  }
  void Write(const double& value, std::string& json) const override {
    internal::WriteNumber(value, json);
  }

 private:
  double min_, max_;
  bool min_excluded_, share_;
};

class BooleanType final : public Type<bool> {
 public:
  std::string Name() const override { return "boolean"; }
  void AppendJsonSchema(std::string& out) const override { out += R"({"type":"boolean"})"; }
  void Read(const ConfigNode& node, bool& out, Reader& reader) const override {
    if (auto value = internal::ReadBool(node, reader)) out = *value;
  }
  void Write(const bool& value, std::string& json) const override {
    json += value ? "true" : "false";
  }
};

class TextType final : public Type<std::string> {
 public:
  TextType(std::string rule, std::function<std::string(const std::string&)> check)
      : rule_(std::move(rule)), check_(std::move(check)) {}
  std::string Name() const override { return "text"; }
  std::string Range() const override { return rule_; }
  void AppendJsonSchema(std::string& out) const override { out += R"({"type":"string"})"; }
  void Read(const ConfigNode& node, std::string& out, Reader& reader) const override {
    auto value = internal::ReadString(node, reader);
    if (!value) return;
    std::string wrong = check_ ? check_(*value) : "";
    if (wrong.empty()) {
      out = std::move(*value);
    } else {
      reader.Fail(node, std::move(wrong));
    }
  }
  void Write(const std::string& value, std::string& json) const override {
    internal::WriteString(value, json);
  }

 private:
  std::string rule_;
  std::function<std::string(const std::string&)> check_;
};

}  // namespace

TypePtr<double> Number(double min, double max) {
  return std::make_shared<NumberType>(min, false, max, false);
}
TypePtr<double> NumberAbove(double min, double max) {
  return std::make_shared<NumberType>(min, true, max, false);
}
TypePtr<double> Share(double min, double max, bool min_excluded) {
  return std::make_shared<NumberType>(min, min_excluded, max, true);
}
TypePtr<bool> Boolean() { return std::make_shared<BooleanType>(); }
TypePtr<std::string> Text() { return std::make_shared<TextType>("", nullptr); }
TypePtr<std::string> TextWith(std::string rule,
                              std::function<std::string(const std::string&)> check) {
  return std::make_shared<TextType>(std::move(rule), std::move(check));
}

// ---- Documentation
// -----------------------------------------------------------------------------------------------

void StructInfo::AppendDefinition(std::string& out) const {
  out += R"({"type":"object","description":)";
  internal::WriteString(doc_, out);
  out += R"(,"additionalProperties":false,"properties":{)";
  std::string required;
  for (size_t i = 0; i < infos_.size(); ++i) {
    const FieldInfo& field = infos_[i];
    if (i > 0) out += ',';
    internal::WriteString(field.key, out);
    // Next to "$ref" further keywords are allowed since draft 2019-09; so the description stands in
    // the same object.
    std::string type;
    field.type->AppendJsonSchema(type);
    type.pop_back();
    out += StrCat(":", type, ",\"description\":");
    internal::WriteString(field.doc, out);
    if (!field.default_json.empty() && field.default_json != "null")
      out += StrCat(",\"default\":", field.default_json);
    out += '}';
    if (field.required) {
      if (!required.empty()) required += ',';
      internal::WriteString(field.key, required);
    }
  }
  out += '}';
  if (!required.empty()) out += StrCat(",\"required\":[", required, "]");
  out += '}';
}

namespace {

void CollectStructs(const StructInfo& info, std::vector<const StructInfo*>& found) {
  for (const StructInfo* known : found) {
    if (known == &info) return;
  }
  found.push_back(&info);
  for (const auto& field : info.fields()) {
    if (const StructInfo* inner = field.type->struct_info()) CollectStructs(*inner, found);
  }
}

std::string MarkdownCell(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

void AppendSection(const StructInfo& info, const std::string& path,
                   std::set<const StructInfo*>& done, std::string& out) {
  if (!done.insert(&info).second) return;
  out += StrCat("\n## ", path.empty() ? "The file" : StrCat("`", path, "`"), "\n\n", info.doc(),
                "\n\n");
  out += "| key | type | default | what it does |\n| --- | --- | --- | --- |\n";
  for (const auto& field : info.fields()) {
    std::string type = field.type->Name();
    if (field.type->struct_info()) {
      std::string suffix = field.type->PathSuffix();
      type = suffix == "[]" ? "list, see below" : suffix == ".*" ? "map, see below" : "see below";
    }
    std::string range = field.type->Range();
    std::string value = field.required ? "**required**" : field.default_json;
    if (value == "null") value = "";
    if (!field.required && !value.empty())
      value = StrCat(
          "`",
          value.starts_with('"') && value.size() > 2 ? value.substr(1, value.size() - 2) : value,
          "`");
    out += StrCat("| `", field.key, "` | ", MarkdownCell(type), " | ", MarkdownCell(value), " | ",
                  MarkdownCell(field.doc));
    if (!range.empty()) out += StrCat(" (", MarkdownCell(range), ")");
    out += " |\n";
  }
  for (const auto& field : info.fields()) {
    const StructInfo* inner = field.type->struct_info();
    if (inner)
      AppendSection(*inner,
                    StrCat(path, path.empty() ? "" : ".", field.key, field.type->PathSuffix()),
                    done, out);
  }
}

}  // namespace

std::string MarkdownReference(const StructInfo& root, std::string_view title,
                              std::string_view introduction) {
  std::string out = StrCat("# ", title, "\n\n", introduction, "\n");
  std::set<const StructInfo*> done;
  AppendSection(root, "", done, out);
  return out;
}

std::string PrettyJson(std::string_view json) {
  auto parsed = nlohmann::ordered_json::parse(json, nullptr, false);
  return parsed.is_discarded() ? std::string(json) : parsed.dump(2);
}

std::string JsonSchema(const StructInfo& root, std::string_view id, std::string_view title) {
  std::vector<const StructInfo*> structs;
  CollectStructs(root, structs);
  std::string out = R"({"$schema":"https://json-schema.org/draft/2020-12/schema","$id":)";
  internal::WriteString(id, out);
  out += ",\"title\":";
  internal::WriteString(title, out);
  out += StrCat(",\"$ref\":\"#/$defs/", root.name(), "\",\"$defs\":{");
  for (size_t i = 0; i < structs.size(); ++i) {
    if (i > 0) out += ',';
    internal::WriteString(structs[i]->name(), out);
    out += ':';
    structs[i]->AppendDefinition(out);
  }
  out += "}}";
  return PrettyJson(out) + "\n";
}

}  // namespace leadsman::schema
