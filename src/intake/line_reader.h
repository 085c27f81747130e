#pragma once

#include <cstdint>
#include <string_view>

#include "intake/recognise.h"
#include "intake/stack_trace.h"

namespace leadsman::intake {

/// What becomes of lines.
class RecordSink {
 public:
  virtual ~RecordSink() = default;
  /// The record and all it points to are valid during the call.
  virtual void OnRequest(const LogRecord& record) = 0;
  virtual void OnError(const ErrorEvent& event) = 0;
};

/// Lines of one log in, requests and errors out. Where a line says no time, its record has that of the container runtime.
/// Confined to one thread.
///
///   ASSIGN_OR_RETURN(Recognition log, Recognise(first_lines, options));
///   LineReader reader(std::move(log.parser), log.envelope);
///   for each line: reader.Feed(line, sink);
class LineReader {
 public:
  struct Counts {
    uint64_t lines = 0;  ///< as they stand in the file
    uint64_t requests = 0;
    uint64_t errors = 0;      ///< error events: a stack trace is one
    uint64_t other = 0;       ///< lines of the program about itself
    uint64_t malformed = 0;   ///< begun like a request's, and none
    uint64_t unreadable = 0;  ///< fields that cannot be right, left absent
  };

  LineReader(std::unique_ptr<LineParser> parser, EnvelopeKind envelope);

  void Feed(std::string_view raw, RecordSink& sink);
  /// What is still open: a line without its last piece, a stack trace without a line behind it. At the end of a file, and when no
  /// line has come for a while.
  void Flush(RecordSink& sink);
  /// As Flush, when no line will come any more: a record whose rest is missing is malformed.
  void End(RecordSink& sink);

  const Counts& counts() const { return counts_; }
  const Envelope::Counts& envelope_counts() const { return envelope_.counts(); }

 private:
  void Take(const Envelope::Line& line, RecordSink& sink);
  void Emit(std::optional<ErrorEvent> event, RecordSink& sink);

  std::unique_ptr<LineParser> parser_;
  bool pathless_;
  bool unfinished_ = false;  ///< the last line was the begin of a record
  Envelope envelope_;
  StackTraceJoiner traces_;
  LogRecord record_;
  Counts counts_;
};

}  // namespace leadsman::intake
