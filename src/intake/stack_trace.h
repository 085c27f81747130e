#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "intake/envelope.h"
#include "intake/log_format.h"

namespace leadsman::intake {

/// A program said that something went wrong: one line of level error, or a stack trace, however many lines it has.
struct ErrorEvent {
  std::optional<int64_t> unix_ns;
  Level level = Level::kError;
  std::string text;       ///< what the line said: "Exception in ASGI application"
  std::string exception;  ///< "ValueError: input has no feature_7"; empty without one
  std::string model;      ///< when the line names it: a load that failed
  std::string version;
  uint32_t lines = 1;
};

/// Makes one event of an error line and the stack trace behind it. An event is complete when another line of the same stream
/// comes, or at Flush(). Keeps at most kMaxText bytes of each text. Confined to one thread.
class StackTraceJoiner {
 public:
  static constexpr size_t kMaxText = 1024;

  /// A line with its verdict and record. Returns the event that it completes.
  std::optional<ErrorEvent> Feed(Envelope::Stream stream, Verdict verdict, std::string_view line,
                                 const LogRecord& record);
  std::optional<ErrorEvent> Flush(Envelope::Stream stream);
  /// Whether the next line of the stream may complete an event.
  bool open(Envelope::Stream stream) const {
    return open_[static_cast<size_t>(stream)].has_value();
  }

 private:
  std::array<std::optional<ErrorEvent>, 2> open_;
};

}  // namespace leadsman::intake
