#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "events/missing_text.h"
#include "intake/capture_names.h"
#include "intake/format_note.h"
#include "intake/json_layout.h"
#include "intake/json_text.h"
#include "intake/log_format.h"
#include "intake/name_table.h"
#include "intake/program_line.h"
#include "intake/short_decimal.h"

namespace leadsman::intake {
namespace {

namespace ondemand = simdjson::ondemand;
using simdjson::SUCCESS;

/// Where in an object the fields stand: a tree of names. What is not in it is skipped unread.
struct Node {
  FieldTarget target;
  bool known = false;               ///< target counts
  std::optional<uint32_t> segment;  ///< whatever else it is: which of LogRecord::segments
  std::string name;                 ///< for the note
  NameTable<std::unique_ptr<Node>> members;
};

/// Names with dots stand for themselves ("http.method") and for objects in objects.
void Insert(Node& root, std::string_view name, FieldTarget target, bool replace) {
  constexpr size_t kMaxDepth = 8;
  Node* node = &root;
  auto put = [&](Node& at, std::string_view key) -> Node& {
    std::unique_ptr<Node>& member = at.members[key];
    if (!member) member = std::make_unique<Node>();
    return *member;
  };
  auto set = [&](Node& leaf) {
    if (target.field == Field::kSegment) {
      leaf.segment = target.feature;
      return;
    }
    if (leaf.known && !replace) return;
    leaf.target = target;
    leaf.name = name;
    leaf.known = true;
  };
  set(put(root, name));
  std::vector<std::string_view> parts = Split(name, '.');
  if (parts.size() < 2 || parts.size() > kMaxDepth) return;
  for (std::string_view part : parts) node = &put(*node, part);
  set(*node);
}

constexpr size_t kMaxFeatures = 4096;
/// What a program writes by turns: requests with and without an error, each kind laid out in its own way.
constexpr size_t kMaxLayouts = 4;
/// Of lines that no layout reads, once there are enough of those, every so many is learned from.
constexpr uint64_t kLearnEvery = 64;
/// Lines of a layout after which it is asked what they have in common.
constexpr uint64_t kLinesForCommon = 64;
/// When of so many lines that have it not less than every kRareth is, it is asked again.
constexpr uint64_t kLooksForCommon = 16;
constexpr uint64_t kRare = 64;
/// Longer ones are not kept for comparison.
constexpr size_t kMaxSample = 16 << 10;

/// JSON lines. simdjson's on-demand reading: only what is asked for is read, in one pass over the line. A line that is laid out as one
/// before it is read by its layout, with the same result.
class JsonLinesParser final : public LineParser {
 public:
  JsonLinesParser(FieldMappings mappings, const FormatOptions& options)
      : mappings_(std::move(mappings)), time_(options.zone_if_unsaid), redactor_(options.redactor) {
    single_values_.resize(mappings_.parts.features.size());
    single_names_.assign(mappings_.parts.features.begin(), mappings_.parts.features.end());
    segments_.assign(mappings_.parts.segments.begin(), mappings_.parts.segments.end());
    for (const FieldMapping& mapping : mappings_.entries)
      Insert(root_, mapping.source, mapping.target, true);
    note_.title = "JSON lines";
  }

  Verdict Parse(std::string_view line, LogRecord& record) override {
    const size_t begin = line.starts_with('{') ? 0 : line.find_first_not_of(" \t");
    if (begin == std::string_view::npos || line[begin] != '{') {
      seen_ = 0;
      record.Clear();
      return ClassifyProgramLine(line, time_, record);
    }
    if (line.size() > kMaxLineBytes) {
      record.Clear();
      return Verdict::kMalformed;
    }
    line.remove_prefix(begin);
    if (!ReadByLayout(line, record)) {
      seen_ = 0;
      record.Clear();
      if (!Read(line, record)) {
        record.Clear();
        return Verdict::kMalformed;
      }
      Learn(line);
    }
    FinishFields(record);
    record.segment_names = segments_;
    if (SaysRequest(record)) return Verdict::kRequest;
    if (record.error.empty() && record.level >= Level::kError) record.error = record.message;
    return Verdict::kOther;
  }
  void Restart() override {
    layouts_.clear();
    unread_ = 0;
  }
  const FormatNote& note() const override { return note_; }

  /// The names that have a meaning without being mapped, less the fields that the configuration maps.
  void AddKnownNames(std::span<const std::string_view> lines);
  /// The names of a capture file as well, as far as they stand in the lines. True when one of them says what was predicted.
  bool AddCaptureNames(std::span<const std::string_view> lines);
  bool Maps(Field field) const { return mappings_.Maps(field); }
  void Describe(std::span<const std::string_view> lines);

 private:
  /// Most lines of one layout differ in a few values only: what the others say is in `record` already, and they are compared along
  /// with what stands between them.
  struct Common {
    JsonLayout layout;
    std::vector<const Node*> nodes;
    LogRecord record;   ///< points into the sample
    uint64_t seen = 0;  ///< seen_
  };
  /// How some lines are laid out, and what each of their values is for; null: for nothing.
  struct Known {
    JsonLayout layout;
    std::vector<const Node*> nodes;
    /// The line that it was learned from, with its values; null: there is nothing in common.
    std::unique_ptr<const std::string> sample;
    std::vector<JsonLayout::Value> values;
    std::vector<bool> same;  ///< which of them all later lines had, as far as they were looked at
    uint64_t looks = 0;      ///< at lines, since it was last asked what they have in common
    uint64_t common_lines = 0;  ///< read by `common` since then
    std::optional<Common> common;
  };

  bool ReadByLayout(std::string_view line, LogRecord& record);
  void Compare(Known& known);
  void FindCommon(Known& known);
  static bool MayBeCommon(const Known& known, size_t value);
  /// False when it takes more than a layout to say what stands there.
  bool TakeValue(const Node& node, const JsonLayout::Value& value, LogRecord& record);
  bool TakeFeatures(const JsonLayout::Value& value, LogRecord& record);
  void Learn(std::string_view line);
  std::optional<std::vector<const Node*>> NodesOf(const JsonLayout& layout) const;
  bool CanTakeAll(const JsonLayout& layout, const std::vector<const Node*>& nodes,
                  std::string_view line);
  void BeginFeatures();
  void EndFeatures(LogRecord& record);
  bool Read(std::string_view line, LogRecord& record);
  bool ReadObject(ondemand::object object, const Node& node, LogRecord& record);
  bool ReadValue(ondemand::value value, const Node& node, LogRecord& record);
  bool ReadFeatures(ondemand::value value, const Node& node, LogRecord& record);
  bool ReadNumbers(ondemand::array array, LogRecord& record);
  bool ReadFirst(ondemand::value value, std::string_view& text);
  bool ReadScores(ondemand::value value, std::string_view& text);
  void SetSegment(const Node& node, std::string_view text, LogRecord& record) {
    SetField({Field::kSegment, Unit::kText, *node.segment}, text, time_, record);
  }
  void Set(const Node& node, std::string_view text, LogRecord& record) {
    FieldTarget target = node.target;
    if (target.field == Field::kLatency && target.unit == Unit::kText && !text.empty() &&
        text.find_first_not_of("0123456789.eE+-") == std::string_view::npos) {
      unitless_ = true;  // a number without unit: not taken, and no fault of the line
      return;
    }
    if (target.field == Field::kStatus && !text.empty() && (text[0] < '0' || text[0] > '9'))
      return;  // "status": "ok" is of another kind
    seen_ |= uint64_t{1} << static_cast<unsigned>(target.field);
    if (target.field == Field::kLatency && !record.latency_ns) latency_name_ = node.name;
    SetField(target, text, time_, record);
  }

  FieldMappings mappings_;
  TimeParser time_;
  const Redactor* redactor_;  ///< null: no rules
  Node root_;
  FormatNote note_;
  ondemand::parser parser_;
  std::string padded_;
  std::vector<float> values_;            ///< of kFeatures
  std::vector<std::string_view> names_;  ///< of kFeatures, an object's
  std::vector<float> single_values_;     ///< of kFeature
  std::vector<std::string_view> single_names_;
  std::vector<std::string_view> segments_;  ///< names, of the mappings
  uint64_t names_key_ = NewNamesKey();      ///< of single_names_
  std::array<char, 24> class_{};            ///< the index of the highest score
  bool any_single_ = false;
  bool unitless_ = false;
  std::string_view latency_name_;  ///< where the last latency stood
  uint64_t seen_ = 0;              ///< fields of the last line
  std::vector<Known> layouts_;     ///< the one that was read by last comes first
  std::vector<JsonLayout::Value> laid_out_;
  uint64_t unread_ = 0;  ///< lines that no layout has read
};

/// The text of a string, number or word; an array's first element. False when the JSON is broken.
bool JsonLinesParser::ReadFirst(ondemand::value value, std::string_view& text) {
  std::string_view token = TokenOf(value);
  if (token.empty()) return false;
  if (token[0] == '"') return StringOf(value, token, text);
  if (token[0] == '{') return true;  // says nothing that fits into a text
  if (token[0] != '[') {
    text = token;
    return true;
  }
  ondemand::array array;
  if (value.get_array().get(array) != SUCCESS) return false;
  for (auto element : array) {
    ondemand::value first;
    if (element.get(first) != SUCCESS) return false;
    std::string_view inner = TokenOf(first);
    if (inner.empty()) return false;
    if (inner[0] == '"') return StringOf(first, inner, text);
    if (inner[0] != '[' && inner[0] != '{') text = inner;  // rows of rows are mapped too high up
    break;
  }
  return true;
}

float ToFloat(std::string_view token) {
  float value = 0;
  const char* const end = token.data() + token.size();
  if (!token.empty() && TakeFloat(token.data(), end, value) == end) return value;
  auto [p, error] = std::from_chars(token.data(), token.data() + token.size(), value);
  if (error == std::errc() && p == token.data() + token.size()) return value;
  if (token == "true") return 1;
  if (token == "false") return 0;
  return std::numeric_limits<float>::quiet_NaN();
}

/// A prediction that is a list: the index of the highest of several scores; else its first element. Of rows: the first.
bool JsonLinesParser::ReadScores(ondemand::value value, std::string_view& text) {
  ondemand::array array;
  if (value.get_array().get(array) != SUCCESS) return false;
  size_t count = 0, best = 0;
  float highest = 0;
  bool numbers = true;
  std::string_view first;
  for (auto element : array) {
    ondemand::value one;
    if (element.get(one) != SUCCESS) return false;
    std::string_view token = TokenOf(one);
    if (token.empty()) return false;
    if (token[0] == '[') return count > 0 || ReadScores(one, text);
    if (token[0] == '{') return true;
    if (token[0] == '"') {
      if (count++ == 0 && !StringOf(one, token, first)) return false;
      numbers = false;
      continue;
    }
    const float score = ToFloat(token);
    numbers = numbers && score == score;
    if (count == 0) first = token;
    if (count == 0 || score > highest) {
      best = count;
      highest = score;
    }
    ++count;
  }
  text = first;
  if (!numbers || count < 2) return true;
  char* end = std::to_chars(class_.data(), class_.data() + class_.size(), best).ptr;
  text = {class_.data(), static_cast<size_t>(end - class_.data())};
  return true;
}

bool JsonLinesParser::ReadNumbers(ondemand::array array, LogRecord& record) {
  for (auto element : array) {
    ondemand::value value;
    if (element.get(value) != SUCCESS) return false;
    std::string_view token = TokenOf(value);
    if (token.empty()) return false;
    if (token[0] == '[' && values_.empty()) {  // rows: the first one
      ondemand::array row;
      if (value.get_array().get(row) != SUCCESS) return false;
      for (auto inner : row) {
        ondemand::value number;
        if (inner.get(number) != SUCCESS) return false;
        if (values_.size() < kMaxFeatures) {
          values_.push_back(ToFloat(TokenOf(number)));
        } else {
          record.features_cut = true;
        }
      }
      return true;
    }
    if (values_.size() == kMaxFeatures) {
      record.features_cut = true;
      continue;
    }
    values_.push_back(ToFloat(token));
  }
  return true;
}

bool JsonLinesParser::ReadFeatures(ondemand::value value, const Node& node, LogRecord& record) {
  if (!values_.empty()) return true;
  std::string_view token = TokenOf(value);
  if (token.empty()) return false;
  if (token[0] == '[') {
    ondemand::array array;
    if (value.get_array().get(array) != SUCCESS) return false;
    return ReadNumbers(array, record);
  }
  if (token[0] != '{') {
    ++record.unreadable;
    return true;
  }
  ondemand::object object;
  if (value.get_object().get(object) != SUCCESS) return false;
  for (auto member : object) {
    std::string_view name;
    ondemand::value number;
    if (!KeyOf(member, name) || member.value().get(number) != SUCCESS) return false;
    const std::string_view of_number = TokenOf(number);
    if (values_.size() == kMaxFeatures) {
      record.features_cut = true;
    } else {
      values_.push_back(ToFloat(of_number));
      names_.push_back(name);
    }
    const std::unique_ptr<Node>* also = node.members.Find(name);
    if (also == nullptr || !(*also)->segment || of_number.starts_with('[')) continue;
    std::string_view text;
    if (!ReadFirst(number, text)) return false;
    SetSegment(**also, text, record);
  }
  return true;
}

bool JsonLinesParser::ReadValue(ondemand::value value, const Node& node, LogRecord& record) {
  if (node.known && node.target.field == Field::kFeatures) return ReadFeatures(value, node, record);
  std::string_view token = TokenOf(value);
  if (token.empty()) return false;
  if (token[0] == '{') {
    if (node.members.empty()) return true;
    ondemand::object object;
    if (value.get_object().get(object) != SUCCESS) return false;
    return ReadObject(object, node, record);
  }
  std::string_view text;
  const bool segment = node.segment && token[0] != '[';
  if (segment) {
    if (!ReadFirst(value, text)) return false;
    SetSegment(node, text, record);
  }
  if (!node.known) return true;
  if (node.target.field == Field::kFeature) {
    single_values_[node.target.feature] = ToFloat(token);
    any_single_ = true;
    return true;
  }
  if (node.target.field == Field::kPredicted && token[0] == '[') {
    if (!ReadScores(value, text)) return false;
  } else if (!segment && !ReadFirst(value, text)) {
    return false;
  }
  Set(node, text, record);
  return true;
}

bool JsonLinesParser::ReadObject(ondemand::object object, const Node& node, LogRecord& record) {
  for (auto member : object) {
    std::string_view key;
    ondemand::value value;
    if (!KeyOf(member, key)) return false;
    if (member.value().get(value) != SUCCESS) return false;
    const std::unique_ptr<Node>* found = node.members.Find(key);
    if (found == nullptr) continue;
    if (!ReadValue(value, **found, record)) return false;
  }
  return true;
}

void JsonLinesParser::BeginFeatures() {
  values_.clear();
  names_.clear();
  any_single_ = false;
  std::fill(single_values_.begin(), single_values_.end(), std::numeric_limits<float>::quiet_NaN());
}

void JsonLinesParser::EndFeatures(LogRecord& record) {
  if (!values_.empty()) {
    record.features = values_;
    record.feature_names = names_;
  } else if (any_single_) {
    record.features = single_values_;
    record.feature_names = single_names_;
    record.names_key = names_key_;
  }
}

bool JsonLinesParser::Read(std::string_view line, LogRecord& record) {
  BeginFeatures();
  if (padded_.size() < line.size() + simdjson::SIMDJSON_PADDING)
    padded_.resize(line.size() + simdjson::SIMDJSON_PADDING);
  std::memcpy(padded_.data(), line.data(), line.size());
  // What is behind is of longer lines before; simdjson reads it and does not mind.
  ondemand::document document;
  ondemand::object object;
  if (parser_.iterate(padded_.data(), line.size(), padded_.size()).get(document) != SUCCESS)
    return false;
  if (document.get_object().get(object) != SUCCESS) return false;
  if (!ReadObject(object, root_, record)) return false;
  EndFeatures(record);
  return AtEnd(document);
}

bool JsonLinesParser::ReadByLayout(std::string_view line, LogRecord& record) {
  bool common = false;
  auto fits = std::find_if(layouts_.begin(), layouts_.end(), [&](const Known& known) {
    common = known.common && known.common->layout.Read(line, laid_out_);
    return common || known.layout.Read(line, laid_out_);
  });
  if (fits == layouts_.end()) return false;
  if (fits != layouts_.begin()) std::iter_swap(fits, layouts_.begin());
  Known& known = layouts_.front();
  if (common) {
    ++known.common_lines;
    record.CopyFrom(known.common->record);
    seen_ = known.common->seen;
  } else {
    record.Clear();
    seen_ = 0;
  }
  BeginFeatures();
  const std::vector<const Node*>& nodes = common ? known.common->nodes : known.nodes;
  for (size_t i = 0; i < nodes.size(); ++i)
    if (nodes[i] != nullptr && !TakeValue(*nodes[i], laid_out_[i], record)) return false;
  EndFeatures(record);
  if (!common && known.sample != nullptr) Compare(known);
  return true;
}

/// A line that has been read as it is, without what it has in common with others.
void JsonLinesParser::Compare(Known& known) {
  for (size_t i = 0; i < known.same.size(); ++i)
    known.same[i] = known.same[i] && laid_out_[i].text == known.values[i].text &&
                    laid_out_[i].quoted == known.values[i].quoted;
  if (++known.looks < (known.common ? kLooksForCommon : kLinesForCommon)) return;
  // What is rare, as an error is, costs little: it stays so.
  if (!known.common || known.common_lines < known.looks * kRare) FindCommon(known);
  known.looks = known.common_lines = 0;
}

void JsonLinesParser::FindCommon(Known& known) {
  known.common.reset();
  for (size_t i = 0; i < known.same.size(); ++i)
    known.same[i] = known.same[i] && MayBeCommon(known, i);
  if (std::find(known.same.begin(), known.same.end(), true) == known.same.end()) {
    known.sample.reset();
    return;
  }
  const uint64_t seen = std::exchange(seen_, 0);
  Common& common =
      known.common.emplace(Common{known.layout.With(known.values, known.same), {}, {}});
  for (size_t i = 0; i < known.same.size(); ++i) {
    if (!known.same[i]) {
      common.nodes.push_back(known.nodes[i]);
    } else if (known.nodes[i] != nullptr) {
      Set(*known.nodes[i], known.values[i].text, common.record);
    }
  }
  common.seen = std::exchange(seen_, seen);
}

/// A value that says nothing, or something that is told by no other value, so that it does not matter which is read first.
bool JsonLinesParser::MayBeCommon(const Known& known, size_t value) {
  const Node* node = known.nodes[value];
  if (node == nullptr) return true;
  const Field field = node->target.field;
  switch (field) {
    case Field::kMethod:
    case Field::kTarget:
    case Field::kProtocol:
    case Field::kStatus:
    case Field::kClient:
    case Field::kUserAgent:
    case Field::kModel:
    case Field::kVersion:
    case Field::kVersionLabel:
    case Field::kLevel:
    case Field::kMessage:
      break;
    default:
      return false;
  }
  return std::count_if(known.nodes.begin(), known.nodes.end(), [&](const Node* other) {
           return other != nullptr &&
                  (other->target.field == field || other->target.field == Field::kRequest);
         }) == 1;
}

bool JsonLinesParser::TakeValue(const Node& node, const JsonLayout::Value& value,
                                LogRecord& record) {
  const bool list = !value.quoted && value.text[0] == '[';
  if (node.segment && !list) SetSegment(node, value.text, record);
  if (!node.known) return true;
  switch (node.target.field) {
    case Field::kFeatures:
      return TakeFeatures(value, record);
    case Field::kFeature:
      single_values_[node.target.feature] =
          value.quoted ? std::numeric_limits<float>::quiet_NaN() : ToFloat(value.text);
      any_single_ = true;
      return true;
    default:
      if (!list) Set(node, value.text, record);
      return !list;
  }
}

bool JsonLinesParser::TakeFeatures(const JsonLayout::Value& value, LogRecord& record) {
  if (!values_.empty()) return true;
  if (value.quoted || value.text[0] != '[') {
    ++record.unreadable;
    return true;
  }
  const char* at = value.text.data() + 1;
  const char* const end = value.text.data() + value.text.size() - 1;
  auto skip_spaces = [&] {
    while (at != end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) ++at;
  };
  for (skip_spaces(); at != end; skip_spaces()) {
    if (values_.size() == kMaxFeatures) return false;
    const char* const begin = at;
    float number = 0;
    const char* const stop = TakeFloat(at, end, number);
    at = stop != nullptr ? stop : at;
    skip_spaces();
    if (stop == nullptr || (at != end && *at != ',')) {
      at = std::find(begin, end, ',');
      number = ToFloat(Trim({begin, static_cast<size_t>(at - begin)}));
    }
    values_.push_back(number);
    if (at != end) ++at;
  }
  return true;
}

/// Null members: values that nobody asks for. Nothing when something is asked for that no layout can give.
std::optional<std::vector<const Node*>> JsonLinesParser::NodesOf(const JsonLayout& layout) const {
  std::vector<const Node*> nodes;
  for (const std::vector<std::string>& path : layout.paths()) {
    const Node* node = &root_;
    for (const std::string& name : path) {
      // Features by their names, in an object.
      if (node->known && node->target.field == Field::kFeatures) return std::nullopt;
      const std::unique_ptr<Node>* member = node->members.Find(name);
      node = member == nullptr ? nullptr : member->get();
      if (node == nullptr) break;
    }
    nodes.push_back(node != nullptr && (node->known || node->segment) ? node : nullptr);
  }
  return nodes;
}

/// A list where one value is asked for is read by the library alone: such a layout would be of no use.
bool JsonLinesParser::CanTakeAll(const JsonLayout& layout, const std::vector<const Node*>& nodes,
                                 std::string_view line) {
  if (!layout.Read(line, laid_out_)) return false;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i] == nullptr || !nodes[i]->known) continue;
    const Field field = nodes[i]->target.field;
    const bool list = !laid_out_[i].quoted && laid_out_[i].text[0] == '[';
    if (list && field != Field::kFeatures && field != Field::kFeature) return false;
  }
  return true;
}

/// From a line that has been read.
void JsonLinesParser::Learn(std::string_view line) {
  ++unread_;
  if (unread_ > kMaxLayouts && unread_ % kLearnEvery != 0) return;
  std::optional<JsonLayout> layout = JsonLayout::Of(line);
  if (!layout) return;
  std::optional<std::vector<const Node*>> nodes = NodesOf(*layout);
  if (!nodes || !CanTakeAll(*layout, *nodes, line)) return;
  if (layouts_.size() == kMaxLayouts) layouts_.pop_back();
  Known& known = layouts_.emplace_back();
  known.layout = std::move(*layout);
  known.nodes = std::move(*nodes);
  if (line.size() > kMaxSample) return;
  known.sample = std::make_unique<const std::string>(line);
  known.layout.Read(*known.sample, known.values);
  known.same.assign(known.values.size(), true);
}

void JsonLinesParser::AddKnownNames(std::span<const std::string_view> lines) {
  // "duration" is milliseconds where Envoy's other names are, seconds in Caddy's access log.
  bool envoy = false, caddy = false;
  for (std::string_view line : lines) {
    envoy |= line.find("\"response_flags\"") != std::string_view::npos ||
             line.find("\"upstream_service_time\"") != std::string_view::npos;
    caddy |= line.find("\"http.log.access") != std::string_view::npos;
  }
  if (envoy) note_.title = "Envoy access log as JSON";
  if (caddy) note_.title = "Caddy access log";
  ForEachKnownField([&](std::string_view name, FieldTarget target) {
    if (mappings_.Maps(target.field)) return;
    if (name == "duration" && envoy) target.unit = Unit::kMillis;
    if (name == "duration" && caddy) target.unit = Unit::kSeconds;
    Insert(root_, name, target, false);
  });
}

bool JsonLinesParser::AddCaptureNames(std::span<const std::string_view> lines) {
  std::vector<std::string> from;
  std::vector<std::pair<std::string, bool>>
      others;  // in their order; whether only numbers stand there
  uint64_t put = 0;
  for (std::string_view line : lines) {
    const simdjson::padded_string padded(line);
    ondemand::document document;
    ondemand::object object;
    if (line.size() > kMaxLineBytes || parser_.iterate(padded).get(document) != SUCCESS ||
        document.get_object().get(object) != SUCCESS)
      continue;
    for (auto member : object) {
      std::string_view name;
      ondemand::value value;
      if (!KeyOf(member, name) || member.value().get(value) != SUCCESS) break;
      const std::string_view token = TokenOf(value);
      // As in CSV: what is not there says nothing of what the others are.
      const bool quoted = token.size() >= 2 && token.starts_with('"') && token.ends_with('"');
      const bool number = ToFloat(token) == ToFloat(token) || token == "-NaN" ||
                          IsMissingText(quoted ? token.substr(1, token.size() - 2) : token);
      std::optional<FieldTarget> target = FindCaptureName(name);
      if (target && target->field == Field::kFeatures && number) target.reset();
      if (!target) {
        auto known = std::find_if(others.begin(), others.end(),
                                  [&](const auto& other) { return other.first == name; });
        if (known != others.end()) {
          known->second = known->second && number;
        } else if (others.size() < kMaxFeatures && !FindKnownField(name) && !IsDerivedName(name)) {
          others.emplace_back(name, number);
        }
        continue;
      }
      if (Contains(put, target->field) || mappings_.Maps(target->field)) continue;
      if (target->field == Field::kFeatures && mappings_.Maps(Field::kFeature)) continue;
      put |= uint64_t{1} << static_cast<unsigned>(target->field);
      Insert(root_, name, *target, true);
      from.emplace_back(name);
    }
  }
  if (!Contains(put, Field::kPredicted) && !Contains(put, Field::kScore)) return false;
  note_.title = "JSON capture file";
  note_.gives.push_back(StrCat("taken by their names: ", HumanList(from)));
  if (Contains(put, Field::kFeatures) || mappings_.Maps(Field::kFeatures) ||
      mappings_.Maps(Field::kFeature))
    return true;
  // A flat line, as pandas' to_json writes it: the numbers that are left.
  std::vector<std::string> left;
  for (const auto& [name, number] : others) {
    const std::unique_ptr<Node>* mapped = root_.members.Find(name);
    const bool known = mapped != nullptr && (*mapped)->known;
    if (!number || known) {
      if (!known && (mapped == nullptr || !(*mapped)->segment)) left.push_back(name);
      continue;
    }
    const auto place = static_cast<uint32_t>(mappings_.parts.features.size());
    mappings_.parts.features.push_back(name);
    Insert(root_, name, {Field::kFeature, Unit::kText, place}, true);
  }
  single_values_.resize(mappings_.parts.features.size());
  single_names_.assign(mappings_.parts.features.begin(), mappings_.parts.features.end());
  names_key_ = NewNamesKey();
  if (!mappings_.parts.features.empty())
    note_.gives.push_back(StrCat("features: ", SomeFeatures(mappings_.parts.features, redactor_)));
  if (!left.empty()) note_.gives.push_back(StrCat("members left out: ", SomeNames(left)));
  return true;
}

void JsonLinesParser::Describe(std::span<const std::string_view> lines) {
  uint64_t seen = 0;
  bool grpc_unsaid = false;
  ForEachRequest(*this, lines, [&](const LogRecord& record) {
    seen |= seen_;
    grpc_unsaid |= record.grpc && !record.grpc_status;
  });
  AddUsualLacks([&](Field field) { return Contains(seen, field); }, note_);
  bool latency = Contains(seen, Field::kLatency);
  if (latency) {
    note_.gives.push_back(StrCat("latency from ", latency_name_));
  } else if (unitless_) {
    note_.fix = "the duration has no unit: map it, for example latency_ms: duration";
  }
  if (time_.zone_was_unsaid()) note_.gives.emplace_back(kZoneUnsaid);
  if (note_.lacks.empty() && grpc_unsaid) {
    note_.lacks.emplace_back("gRPC status");
    note_.fix = "add %GRPC_STATUS_NUMBER% as grpc_status";
  }
  if (!note_.lacks.empty() && note_.fix.empty())
    note_.fix = "map the fields that say it, for example latency_ms: timing.total";
}

}  // namespace

ParserOrNull MakeJsonLinesParser(std::span<const std::string_view> lines,
                                 const FormatOptions& options) {
  bool object = std::any_of(lines.begin(), lines.end(), [](std::string_view line) {
    return line.starts_with('{') && line.ends_with('}');
  });
  if (!object && options.format.empty()) return std::unique_ptr<LineParser>();
  ASSIGN_OR_RETURN(FieldMappings mappings, ParseFieldMappings(options.fields));
  auto parser = std::make_unique<JsonLinesParser>(mappings, options);
  parser->AddKnownNames(lines);
  // Where no line is a request without them, names are enough to say what was predicted: that is a capture file, no service's log.
  // Features that are mapped make no service of it.
  FieldMappings others = mappings;
  std::erase_if(others.entries, [](const FieldMapping& entry) {
    return entry.target.field == Field::kFeature || entry.target.field == Field::kFeatures;
  });
  JsonLinesParser probe(std::move(others), options);
  probe.AddKnownNames(lines);
  if (ForEachRequest(probe, lines, [](const LogRecord&) {}) == 0 &&
      !parser->Maps(Field::kPredicted)) {
    auto capture = std::make_unique<JsonLinesParser>(std::move(mappings), options);
    capture->AddKnownNames(lines);
    if (capture->AddCaptureNames(lines)) parser = std::move(capture);
  }
  parser->Describe(lines);
  return std::unique_ptr<LineParser>(std::move(parser));
}

}  // namespace leadsman::intake
