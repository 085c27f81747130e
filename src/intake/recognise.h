#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "intake/envelope.h"
#include "intake/log_format.h"

namespace leadsman::intake {

/// How many of a log's first lines are looked at.
inline constexpr size_t kRecogniseLines = 64;

/// What a log is, by its first lines, and the words for the user.
struct Recognition {
  EnvelopeKind envelope = EnvelopeKind::kNone;
  std::string_view format;             ///< one of LogFormats()' names
  std::unique_ptr<LineParser> parser;  ///< never null
  size_t lines = 0;                    ///< looked at, pieces joined
  size_t requests = 0;
  size_t other = 0;  ///< of the program itself, stack traces among them
  size_t malformed = 0;
  bool fields_unused = false;        ///< options.fields does not apply to this format
  std::vector<std::string> nowhere;  ///< PlacesNowhere() of options.fields
  /// False when no line was a request yet, though the format may have them: a program that has just started. Ask again with
  /// more lines.
  bool settled = false;

  /// "nginx access log with request time; 60 of 64 lines are requests; latency from $request_time; not in this format: …"
  std::string Sentence() const;
};

/// Finds the envelope and the format of a log's first lines (raw, without newlines; at most kRecogniseLines are looked at).
/// With `options.format` or `options.pattern` only that one is tried. INVALID_ARGUMENT when the options are wrong; NOT_FOUND
/// when nothing explains the lines, or two formats equally well: with a line and the fix. No lines at all are NOT_FOUND too.
Result<Recognition> Recognise(std::span<const std::string_view> raw, const FormatOptions& options);

}  // namespace leadsman::intake
