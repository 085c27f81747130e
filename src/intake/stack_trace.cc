#include "intake/stack_trace.h"

#include <utility>

#include "base/strings.h"

namespace leadsman::intake {
namespace {

std::string Cut(std::string_view text) { return ToUtf8(CutUtf8(text, StackTraceJoiner::kMaxText)); }

ErrorEvent EventOf(const LogRecord& record) {
  ErrorEvent event;
  event.unix_ns = record.unix_ns;
  event.level = record.level;
  event.text = Cut(record.message.empty() ? record.error : record.message);
  // A structured line holds its trace: the last line of it names the exception.
  std::string_view error = Trim(record.error);
  size_t newline = error.rfind('\n');
  if (newline != std::string_view::npos)
    event.exception = Cut(error.substr(newline + 1));
  else if (!record.message.empty() && error != record.message)
    event.exception = Cut(error);
  event.model = Cut(record.model);
  event.version = Cut(record.version);
  return event;
}

}  // namespace

std::optional<ErrorEvent> StackTraceJoiner::Feed(Envelope::Stream stream, Verdict verdict,
                                                 std::string_view line, const LogRecord& record) {
  std::optional<ErrorEvent>& open = open_[static_cast<size_t>(stream)];
  bool begins =
      verdict == Verdict::kContinuation && line.starts_with("Traceback (most recent call last)");
  // A line of no known kind right behind a trace is the message's next line, as long as no exception has ended it.
  bool inside = open && open->lines > 1 && open->exception.empty() && verdict == Verdict::kOther &&
                record.level == Level::kNone;
  if (open && (verdict == Verdict::kContinuation || inside)) {
    if (begins && !open->exception.empty() && open->lines > 1) {
      // Either the cause was printed before, or another trace begins: the last exception counts.
      open->exception.clear();
    }
    ++open->lines;
    if (!record.error.empty()) open->exception = Cut(record.error);
    return std::nullopt;
  }
  std::optional<ErrorEvent> done = std::exchange(open, std::nullopt);
  if (begins) {  // a trace without a line before it
    open.emplace();
    open->text = Cut(line);
  } else if (verdict == Verdict::kOther && record.level >= Level::kError) {
    open = EventOf(record);
  }
  return done;
}

std::optional<ErrorEvent> StackTraceJoiner::Flush(Envelope::Stream stream) {
  return std::exchange(open_[static_cast<size_t>(stream)], std::nullopt);
}

}  // namespace leadsman::intake
