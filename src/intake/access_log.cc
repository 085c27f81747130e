#include <algorithm>
#include <map>
#include <optional>

#include "base/strings.h"
#include "intake/format_note.h"
#include "intake/log_format.h"
#include "intake/pattern.h"
#include "intake/program_line.h"

namespace leadsman::intake {
namespace {

constexpr std::string_view kBase =
    R"($remote_addr $_ $remote_user [$time_local] "$request" $status $body_bytes_sent)";
constexpr std::string_view kIngressTail =
    " $request_length $request_time [$_] [$_] $upstream_addr $_ $upstream_response_time $_ $req_id";
constexpr std::string_view kAskForTime =
    "add $request_time to nginx's log_format, %(L)s to gunicorn's --access-logformat, or %D to "
    "Apache's LogFormat";

/// One column behind "$status $bytes".
struct Column {
  char kind = 'b';  ///< q quoted, [ in brackets, k key=value, K key="value", b bare
  std::string_view key;
  std::string_view text;
};

/// The end of a quoted text: the quote that is followed by a space or by nothing.
size_t QuoteEnd(std::string_view tail, size_t at) {
  for (; (at = tail.find('"', at)) != std::string_view::npos; ++at) {
    bool escaped = at > 0 && tail[at - 1] == '\\' && !(at > 1 && tail[at - 2] == '\\');
    if (!escaped && (at + 1 == tail.size() || tail[at + 1] == ' ')) return at;
  }
  return std::string_view::npos;
}

/// The end of a bare text: a space that follows no comma.
size_t BareEnd(std::string_view tail, size_t at) {
  for (; (at = tail.find(' ', at)) != std::string_view::npos; ++at)
    if (at == 0 || tail[at - 1] != ',') return at;
  return tail.size();
}

/// ` "-" "curl/7.88.1" 0.002 rt="0.001"` taken apart; nothing when it is laid out in no such way.
std::optional<std::vector<Column>> Columns(std::string_view tail) {
  constexpr size_t kMax = 40;
  std::vector<Column> columns;
  size_t at = 0;
  while (at < tail.size()) {
    if (tail[at] != ' ' || columns.size() == kMax) return std::nullopt;
    ++at;
    Column column;
    size_t equals = tail.find_first_of("= \"[", at);
    if (equals != std::string_view::npos && tail[equals] == '=' && equals > at) {
      column.kind = 'k';
      column.key = tail.substr(at, equals - at);
      at = equals + 1;
    }
    size_t end = 0;
    if (at < tail.size() && tail[at] == '"') {
      column.kind = column.kind == 'k' ? 'K' : 'q';
      end = QuoteEnd(tail, ++at);
    } else if (at < tail.size() && tail[at] == '[' && column.kind == 'b') {
      column.kind = '[';
      end = tail.find(']', ++at);
    } else {
      end = BareEnd(tail, at);
    }
    if (end == std::string_view::npos) return std::nullopt;
    column.text = tail.substr(at, end - at);
    at = column.kind == 'b' || column.kind == 'k' ? end : end + 1;
    columns.push_back(column);
  }
  return columns;
}

/// What the values of one column look like, over all lines.
class ColumnShape {
 public:
  void Add(std::string_view text) {
    if (text == "-") {
      dashes_ = true;
      return;
    }
    any_ = true;
    bool list = text.find(", ") != std::string_view::npos;
    lists_ |= list;
    std::string_view first = text.substr(0, text.find(", "));
    size_t digits = first.find_first_not_of("0123456789");
    const bool none = digits == std::string_view::npos;
    bool whole = none && !first.empty();
    size_t decimals = 0;
    if (!none && digits > 0 && first[digits] == '.' &&
        first.find_first_not_of("0123456789", digits + 1) == std::string_view::npos)
      decimals = first.size() - digits - 1;
    whole_ &= whole;
    millis_ &= decimals == 3;
    if (decimals == 3 && !list) sum_ += ParseDuration(text, Unit::kSeconds).value_or(0);
    micros_ &= decimals == 6;
    bool hex = text.find_first_not_of("0123456789abcdefABCDEF-") == std::string_view::npos;
    id_ &= hex && (text.size() == 32 || text.size() == 36);
    traceparent_ &= hex && text.size() == 55 && text[2] == '-';
  }
  bool whole() const { return any_ && whole_ && !lists_; }
  bool own_seconds() const { return any_ && millis_ && !dashes_ && !lists_; }
  int64_t sum() const { return sum_; }  ///< of the seconds
  bool seconds() const { return any_ && millis_; }
  bool micro_seconds() const { return any_ && micros_ && !lists_; }
  bool id() const { return any_ && id_; }
  bool traceparent() const { return any_ && traceparent_; }

 private:
  int64_t sum_ = 0;
  bool any_ = false, dashes_ = false, lists_ = false;
  bool whole_ = true, millis_ = true, micros_ = true, id_ = true, traceparent_ = true;
};

/// The layout of most of the lines: learned column by column.
class Layout {
 public:
  Layout(const std::vector<std::vector<Column>>& lines, const FormatOptions& options)
      : lines_(lines), options_(options) {
    const std::vector<Column>& first = lines.front();
    size_t from = 0;
    if (first.size() >= 2 && first[0].kind == 'q' && first[1].kind == 'q') {
      pattern_ += R"( "$http_referer" "$http_user_agent")";
      from = 2;
      combined_ = true;
    }
    if (IsIngress(from)) {
      pattern_ += kIngressTail;
      return;
    }
    FindRequestTime(from);
    for (size_t i = from; i < first.size(); ++i) AddColumn(i, i + 1 == first.size());
  }

  const std::string& pattern() const { return pattern_; }

  FormatNote Note(bool werkzeug) const {
    FormatNote note;
    note.title = Title(werkzeug);
    if (!latency_.empty())
      note.gives.push_back(
          StrCat("latency from ", latency_, millis_ ? " (whole milliseconds)" : ""));
    if (!upstream_.empty()) note.gives.push_back(StrCat("upstream latency from ", upstream_));
    if (latency_.empty()) {
      note.lacks.emplace_back("latency");
      note.fix = kAskForTime;
      if (unknown_integer_)
        note.fix =
            "the last field is a whole number: say its unit with integer_latency (us for "
            "gunicorn's %(D)s and "
            "Apache's %D, ms for gunicorn's %(M)s)";
      if (werkzeug)
        note.fix =
            "Werkzeug cannot log it: run the app under gunicorn with %(L)s in --access-logformat";
    }
    if (werkzeug) note.gives.emplace_back(kZoneUnsaid);
    return note;
  }

 private:
  bool IsIngress(size_t from) {
    std::string kinds;
    for (size_t i = from; i < lines_.front().size(); ++i) kinds += lines_.front()[i].kind;
    if (kinds != "bb[[bbbbb" || !Shape(from).whole() || !Shape(from + 1).own_seconds())
      return false;
    latency_ = "$request_time";
    upstream_ = "$upstream_response_time";
    ingress_ = millis_ = true;
    return true;
  }

  /// nginx's own time contains that of the server behind it: of several columns of seconds the one with the largest sum.
  void FindRequestTime(size_t from) {
    int64_t largest = -1;
    for (size_t i = from; i < lines_.front().size(); ++i) {
      ColumnShape shape = Shape(i);
      if (!lines_.front()[i].key.empty() || !shape.own_seconds() || shape.sum() <= largest)
        continue;
      largest = shape.sum();
      request_time_ = i;
    }
  }

  ColumnShape Shape(size_t i) const {
    ColumnShape shape;
    for (const std::vector<Column>& line : lines_) shape.Add(line[i].text);
    return shape;
  }

  void AddColumn(size_t i, bool last) {
    const Column& column = lines_.front()[i];
    std::string name = column.key.empty()
                           ? NameByShape(Shape(i), i == request_time_, last && column.kind == 'b')
                           : NameByKey(column.key);
    pattern_ += ' ';
    for (char c : column.key) pattern_.append(c == '$' ? "$$" : std::string(1, c));
    if (!column.key.empty()) pattern_ += '=';
    bool quoted = column.kind == 'q' || column.kind == 'K';
    std::string_view open = quoted ? "\"" : "";
    std::string_view close = open;
    if (column.kind == '[') {
      open = "[";
      close = "]";
    }
    pattern_ += StrCat(open, "${", name, "}", close);
  }

  std::string NameByKey(std::string_view key) {
    std::optional<FieldTarget> known = FindKnownField(key);
    if (!known) return "_";
    if (known->field == Field::kLatency) SetLatency(StrCat(key, "="));
    if (known->field == Field::kUpstreamLatency) SetUpstream(StrCat(key, "="));
    return std::string(key);
  }

  std::string NameByShape(const ColumnShape& shape, bool request_time, bool last_bare) {
    if (shape.traceparent()) return "traceparent";
    if (shape.id()) return "request_id";
    if (request_time && SetLatency("$request_time")) {
      millis_ = true;
      return "latency_seconds";
    }
    if (shape.seconds() && SetUpstream("$upstream_response_time"))
      return "upstream_latency_seconds";
    if (shape.micro_seconds() && SetLatency("%(L)s")) {
      gunicorn_ = true;
      return "latency_seconds";
    }
    if (shape.whole() && last_bare && latency_.empty()) {
      if (options_.integer_latency == Unit::kText) unknown_integer_ = true;
      if (options_.integer_latency == Unit::kMicros && SetLatency("%D (microseconds)"))
        return "latency_us";
      if (options_.integer_latency == Unit::kMillis && SetLatency("%M (milliseconds)"))
        return "latency_ms";
      if (options_.integer_latency == Unit::kSeconds && SetLatency("%T (seconds)"))
        return "latency_seconds";
    }
    return "_";
  }

  std::string Title(bool werkzeug) const {
    if (werkzeug) return "access log of Werkzeug (Flask's own server)";
    if (ingress_) return "ingress-nginx access log";
    if (gunicorn_) return "gunicorn access log with request time";
    if (latency_.starts_with('%')) return "access log of gunicorn or Apache with request time";
    if (!latency_.empty()) return "nginx access log with request time";
    return combined_ ? "access log in the combined format (nginx, Apache, gunicorn)"
                     : "access log in the common format (Apache)";
  }

  /// True when it was free.
  bool SetLatency(std::string from) { return Claim(latency_, std::move(from)); }
  bool SetUpstream(std::string from) { return Claim(upstream_, std::move(from)); }
  static bool Claim(std::string& field, std::string from) {
    if (!field.empty()) return false;
    field = std::move(from);
    return true;
  }

  const std::vector<std::vector<Column>>& lines_;
  const FormatOptions& options_;
  std::string pattern_{kBase};
  size_t request_time_ = SIZE_MAX;  ///< the column of nginx's own seconds
  bool combined_ = false, gunicorn_ = false, ingress_ = false;
  bool millis_ = false, unknown_integer_ = false;
  std::string latency_, upstream_;  ///< where they come from, for the user
};

class AccessLogParser final : public LineParser {
 public:
  AccessLogParser(Pattern pattern, FormatNote note, bool colours, const FormatOptions& options)
      : pattern_(std::move(pattern)),
        note_(std::move(note)),
        colours_(colours),
        time_(options.zone_if_unsaid) {}

  Verdict Parse(std::string_view line, LogRecord& record) override {
    record.Clear();
    if (line.size() > kMaxLineBytes) return Verdict::kMalformed;
    if (colours_) line = WithoutColours(line, scratch_);
    switch (pattern_.Apply(line, time_, {}, record)) {
      case Pattern::Match::kYes:
        return Verdict::kRequest;
      case Pattern::Match::kBad:
        return Verdict::kMalformed;
      case Pattern::Match::kNo:
        break;
    }
    record.Clear();
    // Begun like a line of requests, ended otherwise: half written, or of another layout.
    size_t bracket = line.substr(0, 300).find(" [");
    size_t taken = 0;
    if (bracket != std::string_view::npos && bracket > 0 && !line.starts_with('[') &&
        line.substr(bracket + 2).size() > 3 && line[bracket + 4] == '/' &&
        time_.ParsePrefix(line.substr(bracket + 2), taken))
      return Verdict::kMalformed;
    return ClassifyProgramLine(line, time_, record);
  }
  const FormatNote& note() const override { return note_; }

 private:
  Pattern pattern_;
  FormatNote note_;
  bool colours_;  ///< Werkzeug paints what is not 200
  TimeParser time_;
  std::string scratch_;
};

}  // namespace

ParserOrNull MakeAccessLogParser(std::span<const std::string_view> lines,
                                 const FormatOptions& options) {
  // What stands behind the base is cut off by hand: its length is not known before.
  static const Pattern kWhole = *Pattern::Compile(kBase);
  static const Pattern kWithTail = *Pattern::Compile(StrCat(kBase, " $_"));
  std::map<std::string, std::vector<std::vector<Column>>> by_layout;
  TimeParser time(options.zone_if_unsaid);
  bool werkzeug = false;
  std::string scratch;
  std::vector<std::string> kept;  // lines without colours: the columns point into them
  kept.reserve(lines.size());
  for (std::string_view raw : lines) {
    std::string_view line = kept.emplace_back(WithoutColours(raw, scratch));
    LogRecord record;
    std::optional<std::vector<Column>> columns;
    if (kWithTail.Apply(line, time, {}, record) == Pattern::Match::kYes) {
      // The tail begins behind "status bytes": two words behind the request's closing quote.
      size_t request = static_cast<size_t>(line.find("] \"") + 3);
      size_t at = line.find("\" ", request);
      while (at != std::string_view::npos && at + 2 < line.size() &&
             (line[at + 2] < '0' || line[at + 2] > '9'))
        at = line.find("\" ", at + 1);
      if (at == std::string_view::npos) continue;
      at = line.find(' ', at + 2);
      if (at != std::string_view::npos) at = line.find(' ', at + 1);
      if (at == std::string_view::npos) continue;
      columns = Columns(line.substr(at));
    } else {
      record.Clear();
      if (kWhole.Apply(line, time, {}, record) != Pattern::Match::kYes) continue;
      columns.emplace();
    }
    if (!columns || !record.unix_ns) continue;
    size_t bracket = line.find(" [");
    werkzeug |= bracket != std::string_view::npos && line.size() > bracket + 13 &&
                line[bracket + 13] == ' ';
    std::string kinds;
    for (const Column& column : *columns) kinds += StrCat(column.kind, column.key, ";");
    by_layout[kinds].push_back(std::move(*columns));
  }
  if (by_layout.empty()) return std::unique_ptr<LineParser>();
  auto most = std::max_element(
      by_layout.begin(), by_layout.end(),
      [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  Layout layout(most->second, options);
  ASSIGN_OR_RETURN(Pattern pattern, Pattern::Compile(layout.pattern()));
  return std::unique_ptr<LineParser>(
      new AccessLogParser(std::move(pattern), layout.Note(werkzeug), werkzeug, options));
}

}  // namespace leadsman::intake
