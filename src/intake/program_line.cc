#include "intake/program_line.h"

#include <cctype>

#include "base/strings.h"

namespace leadsman::intake {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }

void SetLevel(Level level, std::string_view text, LogRecord& record) {
  record.level = level;
  if (level >= Level::kError) record.error = Trim(text);
}

/// "E1128 22:14:54.654339 7302 server.cc:241] text": glog (which names no year), and absl's before its start.
bool Glog(std::string_view line, LogRecord& record) {
  if (line.size() < 12 || std::string_view("IWEF").find(line[0]) == std::string_view::npos)
    return false;
  for (size_t i = 1; i < 5; ++i)
    if (!IsDigit(line[i])) return false;
  if (line[5] != ' ') return false;
  size_t bracket = line.find("] ");
  if (bracket == std::string_view::npos) return false;
  std::string_view text = Trim(line.substr(bracket + 2));
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"')  // Triton's
    text = text.substr(1, text.size() - 2);
  SetLevel(ParseLevel(line.substr(0, 1)), text, record);
  return true;
}

/// The word that is a level, in what follows the time: "ERROR in app: …", "[4324] [INFO] …", "WARNING mlflow.pyfunc: …",
/// "- name - ERROR - …", "E tensorflow/…". Only the first few words.
bool LevelWord(std::string_view rest, LogRecord& record) {
  size_t at = 0;
  for (int word = 0; word < 5; ++word) {
    at = rest.find_first_not_of(" \t[]-:|,", at);
    if (at == std::string_view::npos) return false;
    size_t end = rest.find_first_of(" \t[]:|,", at);
    if (end == std::string_view::npos) end = rest.size();
    std::string_view text = rest.substr(at, end - at);
    Level level = IsDigit(text[0]) ? Level::kNone : ParseLevel(text);
    if (level != Level::kNone) {
      size_t tail = rest.find_first_not_of(" \t[]-:|,", end);
      SetLevel(level, tail == std::string_view::npos ? "" : rest.substr(tail), record);
      return true;
    }
    at = end;
  }
  return false;
}

/// A time first, in brackets or not.
bool TimeFirst(std::string_view line, TimeParser& time, LogRecord& record) {
  std::string_view rest = line.starts_with('[') ? line.substr(1) : line;
  size_t taken = 0;
  std::optional<int64_t> when = time.ParsePrefix(rest, taken);
  if (!when) return false;
  rest = rest.substr(taken);
  // TF's "2026-11-28 22:11:25.123456: E tensorflow/…" and nginx's "2026/11/28 22:11:25 [error] 12#12: …" alike.
  if (!LevelWord(rest, record)) record.level = Level::kInfo;
  record.unix_ns = when;
  return true;
}

/// "ERROR:    text" of uvicorn, "ERROR:root:text" of logging, "Error: text".
bool LevelFirst(std::string_view line, LogRecord& record) {
  size_t colon = line.substr(0, 12).find(':');
  if (colon == std::string_view::npos || !IsUpper(line[0])) return false;
  Level level = ParseLevel(line.substr(0, colon));
  if (level == Level::kNone) return false;
  SetLevel(level, line.substr(colon + 1), record);
  return true;
}

/// Lines inside a Python, Java, Go, Node or C++ trace, and the first of a Python one.
bool IsTrace(std::string_view line) {
  if (line.empty()) return true;
  if (line[0] == ' ' || line[0] == '\t') return true;
  if (line[0] == '+' && line.size() > 1 && (line[1] == '-' || line[1] == '='))
    return true;  // a table's rule
  if (line[0] == '|') return true;
  return line.starts_with("Traceback (most recent call last)") || line.starts_with("Caused by: ") ||
         line.starts_with("The above exception was the direct cause") ||
         line.starts_with("During handling of the above exception") ||
         line.starts_with("goroutine ") || line.starts_with("at ");
}

/// "ValueError: text", "builtins.KeyError: 'x'", "java.lang.IllegalStateException": the last line of a trace.
bool IsException(std::string_view line) {
  size_t end = line.find(':');
  std::string_view name = line.substr(0, end);
  if (name.empty() || name.size() > 120) return false;
  for (char c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '.') return false;
  return name.ends_with("Error") || name.ends_with("Exception") || name.ends_with("Interrupt") ||
         name.ends_with("Exit") || name.ends_with("Warning");
}

}  // namespace

Verdict ClassifyProgramLine(std::string_view line, TimeParser& time, LogRecord& record) {
  if (IsTrace(line)) return Verdict::kContinuation;
  if (Glog(line, record) || TimeFirst(line, time, record) || LevelFirst(line, record))
    return Verdict::kOther;
  if (line.starts_with("panic: ") || line.starts_with("terminate called after throwing")) {
    SetLevel(Level::kFatal, line, record);
    return Verdict::kOther;
  }
  if (IsException(line)) {
    record.error = line;
    return Verdict::kContinuation;
  }
  return Verdict::kOther;
}

std::string_view WithoutColours(std::string_view text, std::string& scratch) {
  if (text.find('\x1b') == std::string_view::npos) return text;
  scratch.clear();
  size_t at = 0;
  while (at < text.size()) {
    size_t escape = text.find('\x1b', at);
    scratch.append(text.substr(at, escape - at));
    if (escape == std::string_view::npos) break;
    at = escape + 1;
    if (at < text.size() && text[at] == '[') {
      size_t end = text.find_first_not_of("0123456789;[", at);
      at = end == std::string_view::npos ? text.size() : end + 1;
    }
  }
  return scratch;
}

}  // namespace leadsman::intake
