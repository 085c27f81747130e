#include "intake/log_record.h"

#include <array>
#include <atomic>
#include <string>
#include <utility>

#include "base/strings.h"
#include "events/http_outcome.h"

namespace leadsman::intake {
namespace {

Outcome OfGrpc(int code) {
  switch (code) {
    case 0:
      return Outcome::kOk;
    case 1:
      return Outcome::kClientGone;
    case 3:   // INVALID_ARGUMENT
    case 5:   // NOT_FOUND
    case 6:   // ALREADY_EXISTS
    case 7:   // PERMISSION_DENIED
    case 9:   // FAILED_PRECONDITION
    case 11:  // OUT_OF_RANGE
    case 16:  // UNAUTHENTICATED
      return Outcome::kClientError;
    default:
      return Outcome::kServerError;
  }
}

}  // namespace

std::string_view LevelName(Level level) {
  switch (level) {
    case Level::kNone:
      return "";
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarning:
      return "warning";
    case Level::kError:
      return "error";
    case Level::kFatal:
      return "fatal";
  }
  return "";
}

Level ParseLevel(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, Level>, 34> kSpellings = {{
      {"info", Level::kInfo},       {"w", Level::kWarning},      {"e", Level::kError},
      {"f", Level::kFatal},         {"d", Level::kDebug},        {"c", Level::kFatal},
      {"i", Level::kInfo},          {"notice", Level::kInfo},    {"warn", Level::kWarning},
      {"warning", Level::kWarning}, {"error", Level::kError},    {"err", Level::kError},
      {"fatal", Level::kFatal},     {"critical", Level::kFatal}, {"crit", Level::kFatal},
      {"alert", Level::kFatal},     {"emerg", Level::kFatal},    {"emergency", Level::kFatal},
      {"panic", Level::kFatal},     {"debug", Level::kDebug},    {"trace", Level::kDebug},
      {"exception", Level::kError}, {"severe", Level::kError},   {"information", Level::kInfo},
      {"verbose", Level::kDebug},   {"default", Level::kInfo},   {"dpanic", Level::kFatal},
      {"off", Level::kNone},        {"10", Level::kDebug},       {"20", Level::kDebug},
      {"30", Level::kInfo},         {"40", Level::kWarning},     {"50", Level::kError},
      {"60", Level::kFatal},
  }};
  if (text.empty() || text.size() > 11) return Level::kNone;
  auto lower = [](char c) { return static_cast<char>(c | 0x20); };  // digits stay as they are
  for (const auto& [spelling, level] : kSpellings)
    if (spelling.size() == text.size() && spelling[0] == lower(text[0]) &&
        EqualsIgnoreCase(spelling, text))
      return level;
  return Level::kNone;
}

uint64_t NewNamesKey() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

Outcome LogRecord::outcome() const {
  if (grpc_status) return OfGrpc(*grpc_status);
  if (!status) return Outcome::kUnknown;
  int code = *status;
  if (code == 0) return Outcome::kClientGone;
  if (code >= 100 && code < 400) return grpc ? Outcome::kUnknown : Outcome::kOk;
  if (code >= 400 && code < 600) return OfGrpc(static_cast<int>(OutcomeOfHttp(code)));
  return Outcome::kUnknown;
}

}  // namespace leadsman::intake
