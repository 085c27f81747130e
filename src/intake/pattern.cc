#include "intake/pattern.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/strings.h"
#include "intake/byte_places.h"
#include "intake/find_byte.h"
#include "intake/format_note.h"
#include "intake/log_format.h"
#include "intake/program_line.h"
#include "intake/short_decimal.h"

namespace leadsman::intake {
namespace {

bool IsNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/// nginx's variables that a log may hold and that say nothing of what we want.
bool IsOtherVariable(std::string_view name) {
  static constexpr std::array<std::string_view, 15> kNames = {
      "remote_user",  "remote_port", "host",         "scheme",       "pipe",
      "hostname",     "gzip_ratio",  "namespace",    "ingress_name", "service_name",
      "service_port", "args",        "query_string", "pid",          "request_completion"};
  static constexpr std::array<std::string_view, 11> kPrefixes = {
      "http_", "upstream_", "proxy_", "ssl_",       "sent_http_", "cookie_",
      "arg_",  "server_",   "geoip_", "connection", "realip_"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end() ||
         std::any_of(kPrefixes.begin(), kPrefixes.end(),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

bool IsEscaped(const char* quote, const char* begin) {
  size_t backslashes = 0;
  while (quote != begin && quote[-1] == '\\') {
    --quote;
    ++backslashes;
  }
  return backslashes % 2 == 1;
}

/// A space that is part of a list: "10.0.0.1:80, 10.0.0.2:80", "0.001 : 0.002".
inline bool IsListSpace(const char* space, const char* begin, const char* end) {
  if (space != begin && space[-1] == ',') return true;
  if (end - space > 2 && space[1] == ':' && space[2] == ' ') return true;
  return space - begin > 1 && space[-1] == ':' && space[-2] == ' ';
}

float ToFloat(std::string_view text) {
  float value = 0;
  const char* const end = text.data() + text.size();
  if (!text.empty() && TakeFloat(text.data(), end, value) == end) return value;
  auto [p, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && p == text.data() + text.size()
             ? value
             : std::numeric_limits<float>::quiet_NaN();
}

Status At(size_t position, std::string_view what) {
  return InvalidArgumentError(StrCat("pattern, character ", position + 1, ": ", what));
}

}  // namespace

Status Pattern::AddField(std::string_view name, size_t position, Pattern& pattern) {
  if (!pattern.pieces_.empty() && pattern.pieces_.back().literal.empty())
    return At(position,
              StrCat("$", name,
                     " follows another field with nothing between them: where the "
                     "first ends cannot be told; put the text that separates them there"));
  Piece piece;
  piece.position = position;
  if (name != "_") {
    Result<FieldTarget> target = ParseFieldName(name, pattern.parts_);
    if (target.ok()) {
      piece.target = *target;
    } else if (std::optional<FieldTarget> known = FindKnownField(name)) {
      piece.target = *known;
    } else if (!IsOtherVariable(name)) {
      return At(position, StrCat(target.status().message(), "; $_ skips a field"));
    }
    if (piece.target.field == Field::kFeatures)
      return At(position, "features of a line of text are named one by one: ${feature.NAME}");
  }
  pattern.pieces_.push_back(std::move(piece));
  return OkStatus();
}

Result<Pattern> Pattern::Compile(std::string_view text) {
  Pattern pattern;
  if (text.size() > kMaxBytes)
    return InvalidArgumentError(StrCat("the pattern is longer than ", kMaxBytes, " bytes"));
  for (size_t at = 0; at < text.size();) {
    if (text[at] != '$' || text.substr(at, 2) == "$$") {
      std::string& literal =
          pattern.pieces_.empty() ? pattern.prefix_ : pattern.pieces_.back().literal;
      literal += text[at];
      at += text[at] == '$' ? 2 : 1;
      continue;
    }
    size_t begin = at + 1;
    bool braces = begin < text.size() && text[begin] == '{';
    size_t end = begin + braces;
    if (braces) {
      end = text.find('}', begin);
      if (end == std::string_view::npos) return At(at, "'${' without '}'");
    } else {
      while (end < text.size() && IsNameChar(text[end])) ++end;
    }
    std::string_view name = text.substr(begin + braces, end - begin - braces);
    if (name.empty()) return At(at, "'$' without a name; '$$' is a dollar of the line");
    RETURN_IF_ERROR(AddField(name, at, pattern));
    at = end + braces;
  }
  auto says = [](const Piece& piece) { return piece.target.field != Field::kSkip; };
  if (std::none_of(pattern.pieces_.begin(), pattern.pieces_.end(), says))
    return InvalidArgumentError(
        "the pattern names no field; for example: $client [$time] \"$method $path $_\" $status "
        "$latency_ms");
  for (size_t i = 0; i + 1 < pattern.pieces_.size(); ++i) {
    Field next = pattern.pieces_[i + 1].target.field;
    std::string_view literal = pattern.pieces_[i].literal;
    pattern.pieces_[i].before_number = next == Field::kStatus && literal.starts_with('"');
  }
  std::string& firsts = pattern.firsts_;
  for (Piece& piece : pattern.pieces_) {
    if (piece.literal.empty()) continue;
    piece.first = std::min(firsts.find(piece.literal[0]), firsts.size());
    if (piece.first == firsts.size()) firsts += piece.literal[0];
  }
  if (firsts.size() > BytePlaces::kMaxBytes) firsts.clear();
  return pattern;
}

/// `find(piece, at, end)`: the first of the literal's first byte in [at, end), or null.
template <typename FindFirst>
const char* Pattern::FindEnd(const Piece& piece, const char* at, const char* end, FindFirst find) {
  const std::string& literal = piece.literal;
  size_t size = literal.size();
  if (size == 0) return end;
  char first = literal[0];
  const char* begin = at;
  while (static_cast<size_t>(end - at) >= size) {
    const char* hit = find(piece, at, end - size + 1);
    if (hit == nullptr) return nullptr;
    at = hit + 1;
    if (!std::equal(literal.begin() + 1, literal.end(), hit + 1)) continue;
    if (first == '"') {
      if (hit != begin && hit[-1] == '\\' && IsEscaped(hit, begin)) continue;
      if (piece.before_number) {
        const char* next = hit + size;
        if (next == end || (*next != '-' && (*next < '0' || *next > '9'))) continue;
      }
    } else if (first == ' ' && IsListSpace(hit, begin, end)) {
      continue;
    }
    return hit;
  }
  return nullptr;
}

Pattern::Match Pattern::Apply(std::string_view line, TimeParser& time, std::span<float> features,
                              LogRecord& record) const {
  if (firsts_.empty() || line.size() > BytePlaces::kMaxText)
    return Apply(line, time, features, record,
                 [](const Piece& piece, const char* at, const char* end) {
                   return FindByte(at, end, piece.literal[0]);
                 });
  const BytePlaces places(line, firsts_);
  return Apply(
      line, time, features, record,
      [&](const Piece& piece, const char* at, const char* end) -> const char* {
        const size_t place = places.Find(piece.first, static_cast<size_t>(at - line.data()));
        return place < static_cast<size_t>(end - line.data()) ? line.data() + place : nullptr;
      });
}

template <typename FindFirst>
Pattern::Match Pattern::Apply(std::string_view line, TimeParser& time, std::span<float> features,
                              LogRecord& record, FindFirst find) const {
  if (!line.starts_with(prefix_)) return Match::kNo;
  const char* at = line.data() + prefix_.size();
  const char* end = line.data() + line.size();
  Match match = Match::kYes;
  for (const Piece& piece : pieces_) {
    const char* stop = FindEnd(piece, at, end, find);
    if (stop == nullptr) return Match::kNo;
    std::string_view text(at, static_cast<size_t>(stop - at));
    at = stop + piece.literal.size();
    Field field = piece.target.field;
    if (field == Field::kSkip) continue;
    if (field == Field::kFeature) {
      features[piece.target.feature] = ToFloat(text);
      continue;
    }
    if (!SetField(piece.target, text, time, record) &&
        (field == Field::kTime || field == Field::kStatus))
      match = Match::kBad;
  }
  if (at != end) return Match::kNo;
  FinishFields(record);
  return match;
}

bool Pattern::Has(Field field) const {
  return std::any_of(pieces_.begin(), pieces_.end(),
                     [&](const Piece& piece) { return piece.target.field == field; });
}

namespace {

class PatternParser final : public LineParser {
 public:
  PatternParser(Pattern pattern, const FormatOptions& options)
      : pattern_(std::move(pattern)),
        time_(options.zone_if_unsaid),
        features_(pattern_.feature_names().size()),
        names_(pattern_.feature_names().begin(), pattern_.feature_names().end()),
        segments_(pattern_.segment_names().begin(), pattern_.segment_names().end()) {
    note_.title = "declared pattern";
    AddUsualLacks([&](Field field) { return pattern_.Has(field); }, note_);
    if (!note_.lacks.empty()) note_.fix = "add it to the lines and to the pattern";
  }

  Verdict Parse(std::string_view line, LogRecord& record) override {
    record.Clear();
    if (line.size() > kMaxLineBytes) return Verdict::kMalformed;
    Pattern::Match match = pattern_.Apply(line, time_, features_, record);
    if (match == Pattern::Match::kNo) {
      record.Clear();
      return ClassifyProgramLine(line, time_, record);
    }
    if (!features_.empty()) {
      record.features = features_;
      record.feature_names = names_;
      record.names_key = names_key_;
    }
    record.segment_names = segments_;
    return match == Pattern::Match::kYes ? Verdict::kRequest : Verdict::kMalformed;
  }
  const FormatNote& note() const override { return note_; }

 private:
  Pattern pattern_;
  TimeParser time_;
  FormatNote note_;
  std::vector<float> features_;
  std::vector<std::string_view> names_;
  std::vector<std::string_view> segments_;
  const uint64_t names_key_ = NewNamesKey();
};

}  // namespace

ParserOrNull MakePatternParser(std::span<const std::string_view>, const FormatOptions& options) {
  if (options.pattern.empty()) return std::unique_ptr<LineParser>();
  ASSIGN_OR_RETURN(Pattern pattern, Pattern::Compile(options.pattern));
  return std::unique_ptr<LineParser>(new PatternParser(std::move(pattern), options));
}

}  // namespace leadsman::intake
