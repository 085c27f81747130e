#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "base/clock.h"

namespace leadsman {
namespace {

std::atomic<int> g_level{static_cast<int>(LogLevel::kInfo)};
std::atomic<bool> g_json{false};

spdlog::logger& Logger() {
  static auto* logger = [] {
    auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
    auto* made = new spdlog::logger("leadsman",
                                    std::move(sink));  // never destroyed: threads may log at exit
    made->set_level(spdlog::level::trace);
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %^%L%$ %v", spdlog::pattern_time_type::utc);
    return made;
  }();
  return *logger;
}

spdlog::logger& RawLogger() {
  static auto* logger = [] {
    auto* made =
        new spdlog::logger("leadsman-json", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_level(spdlog::level::trace);
    made->set_pattern("%v");
    return made;
  }();
  return *logger;
}

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

/// logfmt: quotes where a reader could otherwise not tell where the value ends; never a raw line break.
void AppendValue(std::string& line, std::string_view value) {
  bool plain = !value.empty();
  for (char c : value) plain = plain && c > ' ' && c != '"' && c != '=';
  if (plain) {
    line += value;
    return;
  }
  line += '"';
  for (char c : value) {
    switch (c) {
      case '"':
        line += "\\\"";
        break;
      case '\\':
        line += "\\\\";
        break;
      case '\n':
        line += "\\n";
        break;
      case '\r':
        line += "\\r";
        break;
      case '\t':
        line += "\\t";
        break;
      default:
        line += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
    }
  }
  line += '"';
}

}  // namespace

LogValue::LogValue(double v) {
  char out[40];
  std::snprintf(out, sizeof out, "%.6g", v);
  text = out;
  json = std::isfinite(v);
}

void ConfigureLog(LogLevel level, bool json) {
  g_level = static_cast<int>(level);
  g_json = json;
}

bool LogEnabled(LogLevel level) {
  return static_cast<int>(level) >= g_level.load(std::memory_order_relaxed);
}

void WriteLog(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  try {
    if (g_json) {
      static constexpr const char* kNames[] = {"debug", "info", "warn", "error"};
      nlohmann::ordered_json line;
      line["time"] = FormatRfc3339(SystemClock().Now());
      line["level"] = kNames[static_cast<int>(level)];
      line["message"] = message;
      for (const LogField& field : fields) {
        nlohmann::ordered_json& value = line[std::string(field.key)];
        if (field.value.json) {
          value = nlohmann::ordered_json::parse(field.value.text);
        } else {
          value = field.value.text;
        }
      }
      RawLogger().log(ToSpdlog(level),
                      line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
      return;
    }
    std::string line(message);
    for (const LogField& field : fields) {
      line += "  ";
      line += field.key;
      line += '=';
      AppendValue(line, field.value.text);
    }
    Logger().log(ToSpdlog(level), spdlog::string_view_t(line.data(), line.size()));
  } catch (...) {  // a log line must never take the process down
  }
}

}  // namespace leadsman
