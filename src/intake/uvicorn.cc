#include "intake/format_note.h"
#include "intake/log_format.h"
#include "intake/program_line.h"

namespace leadsman::intake {
namespace {

/// `INFO:     127.0.0.1:54321 - "POST /predict HTTP/1.1" 200 OK`, with or without colours, behind any head that a logging
/// configuration puts before it. uvicorn escapes quotes of the path, so that the last one ends the request.
class UvicornParser final : public LineParser {
 public:
  explicit UvicornParser(const FormatOptions& options) : time_(options.zone_if_unsaid) {
    note_.title = "uvicorn access log";
    note_.fix = "log a line of your own with latency_ms as JSON, or put Envoy or nginx in front";
  }

  Verdict Parse(std::string_view line, LogRecord& record) override {
    record.Clear();
    if (line.size() > kMaxLineBytes) return Verdict::kMalformed;
    line = WithoutColours(line, scratch_);
    size_t open = line.find(" - \"");
    size_t close = line.rfind("\" ");
    if (open == std::string_view::npos || close == std::string_view::npos || close < open + 4)
      return ClassifyProgramLine(line, time_, record);
    Set(Field::kRequest, line.substr(open + 4, close - open - 4), record);
    Set(Field::kStatus, line.substr(close + 2), record);
    if (record.method.empty() || !record.status) {
      record.Clear();
      return ClassifyProgramLine(line, time_, record);
    }
    Head(line.substr(0, open), record);
    FinishFields(record);
    return Verdict::kRequest;
  }
  const FormatNote& note() const override { return note_; }
  void NoteTime(bool has_time) {
    note_.lacks = {"latency"};
    if (!has_time) note_.lacks.emplace_back("time");
  }

 private:
  /// The client is the last word, the time stands first if at all; the level somewhere between.
  void Head(std::string_view head, LogRecord& record) {
    size_t space = head.rfind(' ');
    Set(Field::kClient, head.substr(space == std::string_view::npos ? 0 : space + 1), record);
    size_t taken = 0;
    record.unix_ns = time_.ParsePrefix(head.starts_with('[') ? head.substr(1) : head, taken);
    size_t colon = head.find(':');
    if (!record.unix_ns && colon != std::string_view::npos)
      record.level = ParseLevel(head.substr(0, colon));
  }

  void Set(Field field, std::string_view text, LogRecord& record) {
    SetField({field, Unit::kText, 0}, text, time_, record);
  }

  FormatNote note_;
  TimeParser time_;
  std::string scratch_;
};

}  // namespace

ParserOrNull MakeUvicornParser(std::span<const std::string_view> lines,
                               const FormatOptions& options) {
  auto parser = std::make_unique<UvicornParser>(options);
  bool time = false;
  const size_t requests = ForEachRequest(
      *parser, lines, [&](const LogRecord& record) { time |= record.unix_ns.has_value(); });
  if (requests == 0 && options.format.empty()) return std::unique_ptr<LineParser>();
  parser->NoteTime(time);
  return std::unique_ptr<LineParser>(std::move(parser));
}

}  // namespace leadsman::intake
