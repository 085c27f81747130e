#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "intake/field.h"
#include "intake/log_record.h"
#include "intake/log_time.h"

namespace leadsman {
class Redactor;
}

namespace leadsman::intake {

/// A line beyond this is not looked at: its start would be mistaken for the whole.
inline constexpr size_t kMaxLineBytes = size_t{1} << 20;

/// What a line is.
enum class Verdict {
  kRequest,       ///< the record says what the line says of one request
  kContinuation,  ///< belongs to the line before: a stack trace, a table
  kOther,         ///< the program speaks of itself; the record has level and error
  kMalformed,     ///< begins like a request's line and is none
  kUnfinished,    ///< a record that goes on in the next line
};

/// What a parser says of its format, for the user.
struct FormatNote {
  std::string title;               ///< "nginx access log with request time"
  std::vector<std::string> gives;  ///< "latency from $request_time"
  std::vector<std::string> lacks;  ///< "latency"
  std::string fix;                 ///< how to get what it lacks; empty when nothing can be done
  bool requests =
      true;  ///< false: lines of this format never tell of single requests (logs of model servers)
  std::string header;  ///< of CSV: the line with the names by which the others are read
};

/// Reads one format. Confined to one thread; no allocation in the steady state. The line is without its newline.
class LineParser {
 public:
  virtual ~LineParser() = default;
  /// Clears the record and fills it. Whatever the bytes, it returns; views in the record are valid until the next Parse() and
  /// while `line` is.
  virtual Verdict Parse(std::string_view line, LogRecord& record) = 0;
  /// The next line does not follow the last one: a record that was begun is none, and what the lines before have changed is as
  /// it was made.
  virtual void Restart() {}
  virtual const FormatNote& note() const = 0;
};

/// What the configuration may say of a log, and what its reader knows of the file beside the lines.
struct FormatOptions {
  std::string format;   ///< one of LogFormats()' names; empty: recognised
  std::string pattern;  ///< of the format "pattern"
  /// JSON and logfmt: (field, where it stands): {"latency_ms", "timing.total"}, {"feature.age", "payload.age"}, {"predicted", "label"}.
  std::vector<std::pair<std::string, std::string>> fields;
  /// Access logs: what a whole number after the user agent is (gunicorn's %(D)s and Apache's %D are microseconds, %(M)s
  /// milliseconds). kText: unknown, no latency is taken.
  Unit integer_latency = Unit::kText;
  std::chrono::seconds zone_if_unsaid{0};  ///< of times that name no zone
  /// The file's first record, where the lines begin behind it; and the header of the file that stood in its place before, for one
  /// that has none: its writer goes on after a rotation without writing the names again.
  std::string first_record;
  std::string former_header;
  const Redactor* redactor = nullptr;  ///< of lines that are told; null: as they are
};

/// One family of formats. `make` looks at some lines and returns a parser for them; null when they are of another family;
/// an error when the options cannot be honoured.
struct LogFormat {
  std::string_view name;
  std::string_view reads;  ///< for the list of formats that users see
  Result<std::unique_ptr<LineParser>> (*make)(std::span<const std::string_view> lines,
                                              const FormatOptions& options);
};
/// All of them, the most particular first. To add one: a .cc with its Make…Parser, a line here in log_format.cc.
std::span<const LogFormat> LogFormats();
const LogFormat* FindLogFormat(std::string_view name);

using ParserOrNull = Result<std::unique_ptr<LineParser>>;
ParserOrNull MakeAccessLogParser(std::span<const std::string_view> lines, const FormatOptions&);
ParserOrNull MakeEnvoyTextParser(std::span<const std::string_view> lines, const FormatOptions&);
ParserOrNull MakeUvicornParser(std::span<const std::string_view> lines, const FormatOptions&);
ParserOrNull MakeJsonLinesParser(std::span<const std::string_view> lines, const FormatOptions&);
ParserOrNull MakeCaptureParser(std::span<const std::string_view> lines, const FormatOptions&);
ParserOrNull MakeCsvParser(std::span<const std::string_view> lines, const FormatOptions&);
ParserOrNull MakeLogfmtParser(std::span<const std::string_view> lines, const FormatOptions&);
ParserOrNull MakeServerLogParser(std::span<const std::string_view> lines, const FormatOptions&);
ParserOrNull MakePatternParser(std::span<const std::string_view> lines, const FormatOptions&);

}  // namespace leadsman::intake
