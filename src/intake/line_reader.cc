#include "intake/line_reader.h"

#include <algorithm>
#include <utility>

namespace leadsman::intake {

LineReader::LineReader(std::unique_ptr<LineParser> parser, EnvelopeKind envelope)
    : parser_(std::move(parser)), envelope_(envelope) {
  const std::vector<std::string>& lacks = parser_->note().lacks;
  pathless_ = std::find(lacks.begin(), lacks.end(), "path") != lacks.end();
}

void LineReader::Feed(std::string_view raw, RecordSink& sink) {
  ++counts_.lines;
  if (std::optional<Envelope::Line> line = envelope_.Feed(raw)) Take(*line, sink);
}

void LineReader::Take(const Envelope::Line& line, RecordSink& sink) {
  Verdict verdict = Verdict::kMalformed;
  if (line.cut) {
    record_.Clear();  // its start would be mistaken for the whole
  } else {
    verdict = parser_->Parse(line.content, record_);
  }
  unfinished_ = verdict == Verdict::kUnfinished;
  if (unfinished_) return;
  if (!record_.unix_ns) record_.unix_ns = line.unix_ns;
  // A request begins no error.
  if (verdict != Verdict::kRequest || traces_.open(line.stream))
    Emit(traces_.Feed(line.stream, verdict, line.content, record_), sink);
  switch (verdict) {
    case Verdict::kRequest:
      ++counts_.requests;
      counts_.unreadable += record_.unreadable;
      record_.pathless = pathless_;
      sink.OnRequest(record_);
      break;
    case Verdict::kMalformed:
      ++counts_.malformed;
      break;
    case Verdict::kOther:
    case Verdict::kContinuation:
      ++counts_.other;
      break;
    case Verdict::kUnfinished:
      break;
  }
}

void LineReader::Emit(std::optional<ErrorEvent> event, RecordSink& sink) {
  if (!event) return;
  ++counts_.errors;
  sink.OnError(*event);
}

void LineReader::Flush(RecordSink& sink) {
  for (Envelope::Stream stream : {Envelope::Stream::kStdout, Envelope::Stream::kStderr}) {
    if (std::optional<Envelope::Line> line = envelope_.Flush(stream)) Take(*line, sink);
    Emit(traces_.Flush(stream), sink);
  }
}

void LineReader::End(RecordSink& sink) {
  Flush(sink);
  if (std::exchange(unfinished_, false)) ++counts_.malformed;
}

}  // namespace leadsman::intake
