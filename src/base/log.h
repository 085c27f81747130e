#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/status.h"

namespace leadsman {

enum class LogLevel { kDebug, kInfo, kWarn, kError };

/// One value of a log line, already text. Strings, numbers, bools, Status and milliseconds convert.
struct LogValue {
  LogValue(std::string_view v) : text(v) {}                     // NOLINT: implicit on purpose
  LogValue(const char* v) : text(v) {}                          // NOLINT
  LogValue(const std::string& v) : text(v) {}                   // NOLINT
  LogValue(bool v) : text(v ? "true" : "false"), json(true) {}  // NOLINT
  LogValue(double v);                                           // NOLINT
  LogValue(const Status& s) : text(s.ToString()) {}             // NOLINT
  LogValue(std::chrono::milliseconds v) : LogValue(int64_t{v.count()}) {}  // NOLINT
  template <typename T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
  LogValue(T v) : text(std::to_string(v)), json(true) {}  // NOLINT
  std::string text;
  bool json = false;  ///< `text` is a value of JSON as it stands: a number, true or false
};
struct LogField {
  std::string_view key;
  LogValue value;
};

/// Lines below `level` are dropped; the default is kInfo. `json` writes one JSON object a line instead of text.
void ConfigureLog(LogLevel level, bool json);
bool LogEnabled(LogLevel level);

/// Writes one line to stderr: time, level, constant message, key=value pairs. Thread-safe; never throws.
void WriteLog(LogLevel level, std::string_view message, std::initializer_list<LogField> fields);

}  // namespace leadsman

// LOG_INFO("model loaded", {"model", name}, {"version", v}, {"took_ms", ms});
// INFO tells the story of the process to an operator, one line per event; nothing per request at INFO.
#define LEADSMAN_LOG(level, message, ...)                                                   \
  do {                                                                                      \
    if (::leadsman::LogEnabled(level)) ::leadsman::WriteLog(level, message, {__VA_ARGS__}); \
  } while (false)
#define LOG_DEBUG(message, ...) LEADSMAN_LOG(::leadsman::LogLevel::kDebug, message, ##__VA_ARGS__)
#define LOG_INFO(message, ...) LEADSMAN_LOG(::leadsman::LogLevel::kInfo, message, ##__VA_ARGS__)
#define LOG_WARN(message, ...) LEADSMAN_LOG(::leadsman::LogLevel::kWarn, message, ##__VA_ARGS__)
#define LOG_ERROR(message, ...) LEADSMAN_LOG(::leadsman::LogLevel::kError, message, ##__VA_ARGS__)
