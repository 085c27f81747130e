#include "monitor/finding.h"

#include <array>

namespace leadsman {

std::string_view AlarmKindName(AlarmKind kind) {
  static constexpr std::array<std::string_view, kAlarmKindCount> kNames{
      "error_burn",       "latency_burn",  "accuracy",        "quality",          "risk_increase",
      "prediction_drift", "feature_drift", "traffic_stopped", "schema_violation", "capture_loss"};
  return kNames[static_cast<size_t>(kind)];
}

std::string_view AlarmSeverityName(AlarmSeverity severity) {
  switch (severity) {
    case AlarmSeverity::kPage:
      return "page";
    case AlarmSeverity::kTicket:
      return "ticket";
    case AlarmSeverity::kInfo:
      break;
  }
  return "info";
}

}  // namespace leadsman
