#include <algorithm>
#include <charconv>
#include <limits>
#include <string>

#include "base/strings.h"
#include "intake/find_byte.h"
#include "intake/format_note.h"
#include "intake/log_format.h"
#include "intake/name_table.h"
#include "intake/program_line.h"

namespace leadsman::intake {
namespace {

/// One pair after another; a value is bare, or quoted with escapes. Nothing is read beyond the line.
class Pairs {
 public:
  /// `scratch` must keep its place: it has room for the whole line.
  Pairs(std::string_view line, std::string& scratch) : rest_(line), scratch_(scratch) {
    scratch_.clear();
    scratch_.reserve(line.size());
  }

  /// False at the end, or where it is no logfmt: broken() tells.
  bool Next(std::string_view& key, std::string_view& value) {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\t')) rest_.remove_prefix(1);
    if (rest_.empty()) return false;
    size_t end = 0;
    while (end < rest_.size() && rest_[end] != '=' && rest_[end] != ' ' && rest_[end] != '"') ++end;
    if (end == 0 || (end < rest_.size() && rest_[end] == '"')) return Broken();
    key = rest_.substr(0, end);
    value = {};
    bool bare = end == rest_.size() || rest_[end] == ' ';
    rest_ = rest_.substr(end);
    if (bare) return true;  // a name alone: "true"
    ++pairs_;
    rest_ = rest_.substr(1);
    if (rest_.starts_with('"')) return Quoted(value);
    const char* begin = rest_.data();
    const char* space = FindByte(begin, begin + rest_.size(), ' ');
    value = rest_.substr(0, space == nullptr ? rest_.size() : static_cast<size_t>(space - begin));
    rest_ = rest_.substr(value.size());
    return true;
  }
  bool broken() const { return broken_; }
  size_t pairs() const { return pairs_; }  ///< with '='

 private:
  bool Broken() {
    broken_ = true;
    return false;
  }

  bool Quoted(std::string_view& value) {
    size_t at = 1;
    bool escaped = false;
    while (true) {
      at = rest_.find_first_of("\"\\", at);
      if (at == std::string_view::npos) return Broken();
      if (rest_[at] == '"') break;
      escaped = true;
      at += 2;
    }
    value = rest_.substr(1, at - 1);
    rest_ = rest_.substr(at + 1);
    if (escaped) value = Unescape(value);
    return true;
  }

  std::string_view Unescape(std::string_view text) {
    size_t begin = scratch_.size();
    for (size_t i = 0; i < text.size(); ++i) {
      char c = text[i];
      if (c == '\\' && i + 1 < text.size()) {
        c = text[++i];
        if (c == 'n') c = '\n';
        if (c == 't') c = '\t';
      }
      scratch_ += c;
    }
    return std::string_view(scratch_).substr(begin);
  }

  std::string_view rest_;
  std::string& scratch_;
  bool broken_ = false;
  size_t pairs_ = 0;
};

class LogfmtParser final : public LineParser {
 public:
  LogfmtParser(const FieldMappings& mappings, const FormatOptions& options)
      : time_(options.zone_if_unsaid), parts_(mappings.parts) {
    ForEachKnownField([&](std::string_view name, FieldTarget target) {
      if (!mappings.Maps(target.field)) targets_[name] = {target, std::string(name)};
    });
    for (const FieldMapping& mapping : mappings.entries)
      targets_[mapping.source] = {mapping.target, mapping.source};
    features_.resize(parts_.features.size());
    names_.assign(parts_.features.begin(), parts_.features.end());
    segments_.assign(parts_.segments.begin(), parts_.segments.end());
    note_.title = "logfmt (key=value)";
  }

  Verdict Parse(std::string_view line, LogRecord& record) override {
    record.Clear();
    seen_ = 0;
    if (line.size() > kMaxLineBytes) return Verdict::kMalformed;
    bool any_feature = false;
    std::fill(features_.begin(), features_.end(), std::numeric_limits<float>::quiet_NaN());
    Pairs pairs(line, scratch_);
    std::string_view key, value;
    while (pairs.Next(key, value)) any_feature |= Take(key, value, record);
    if (pairs.broken() || pairs.pairs() < 2) {
      bool begun = pairs.pairs() >= 2;
      record.Clear();
      return begun ? Verdict::kMalformed : ClassifyProgramLine(line, time_, record);
    }
    FinishFields(record);
    if (any_feature) {
      record.features = features_;
      record.feature_names = names_;
    }
    record.segment_names = segments_;
    if (SaysRequest(record)) return Verdict::kRequest;
    if (record.error.empty() && record.level >= Level::kError) record.error = record.message;
    return Verdict::kOther;
  }
  const FormatNote& note() const override { return note_; }

  /// The number of lines that are logfmt.
  size_t Describe(std::span<const std::string_view> lines) {
    LogRecord record;
    uint64_t seen = 0;
    size_t good = 0;
    for (std::string_view line : lines) {
      Pairs pairs(line, scratch_);
      std::string_view key, value;
      while (pairs.Next(key, value)) {
      }
      good += !pairs.broken() && pairs.pairs() >= 2;
      if (Parse(line, record) == Verdict::kRequest) seen |= seen_;
    }
    AddUsualLacks([&](Field field) { return Contains(seen, field); }, note_);
    if (Contains(seen, Field::kLatency))
      note_.gives.push_back(StrCat("latency from ", latency_name_));
    if (time_.zone_was_unsaid()) note_.gives.emplace_back(kZoneUnsaid);
    if (!note_.lacks.empty())
      note_.fix = unitless_ ? "the duration has no unit: map it, for example latency_ms: duration"
                            : "map the keys that say it, for example latency_ms: took";
    return good;
  }

 private:
  struct Named {
    FieldTarget target;
    std::string name;
  };

  /// True when it was a feature.
  bool Take(std::string_view key, std::string_view value, LogRecord& record) {
    const Named* found = targets_.Find(key);
    if (found == nullptr) return false;
    FieldTarget target = found->target;
    if (target.field == Field::kFeature) {
      float& feature = features_[target.feature];
      std::from_chars(value.data(), value.data() + value.size(), feature);
      return true;
    }
    bool number = !value.empty() && value[0] >= '0' && value[0] <= '9';
    if (target.field == Field::kStatus && !number) return false;
    if (target.field == Field::kLatency && target.unit == Unit::kText &&
        value.find_first_not_of("0123456789.") == std::string_view::npos) {
      unitless_ = true;
      return false;
    }
    seen_ |= uint64_t{1} << static_cast<unsigned>(target.field);
    if (target.field == Field::kLatency && !record.latency_ns) latency_name_ = found->name;
    SetField(target, value, time_, record);
    return false;
  }

  TimeParser time_;
  const PartNames parts_;
  NameTable<Named> targets_;
  std::vector<float> features_;
  std::vector<std::string_view> names_;
  std::vector<std::string_view> segments_;
  FormatNote note_;
  std::string scratch_;
  bool unitless_ = false;
  std::string_view latency_name_;  ///< the key of the last latency
  uint64_t seen_ = 0;
};

}  // namespace

ParserOrNull MakeLogfmtParser(std::span<const std::string_view> lines,
                              const FormatOptions& options) {
  ASSIGN_OR_RETURN(FieldMappings mappings, ParseFieldMappings(options.fields));
  auto parser = std::make_unique<LogfmtParser>(mappings, options);
  if (parser->Describe(lines) == 0 && options.format.empty()) return std::unique_ptr<LineParser>();
  return std::unique_ptr<LineParser>(std::move(parser));
}

}  // namespace leadsman::intake
