#include "monitor/finding.h"

#include <array>

namespace leadsman {

std::string_view AlarmKindName(AlarmKind kind) {
  static constexpr std::array<std::string_view, kAlarmKindCount> kNames{
      "error_burn",       "latency_burn",  "accuracy",        "quality",          "risk_increase",
      "prediction_drift", "feature_drift", "traffic_stopped", "schema_violation", "capture_loss"};
  return kNames[static_cast<size_t>(kind)];
}

std::string_view WhyNotGuaranteed(AlarmKind kind) {
  switch (kind) {
    case AlarmKind::kErrorBurn:
    case AlarmKind::kLatencyBurn:
      return "its windows slide: a look alone is wrong with a chance of at most 0.001, and for all "
             "looks together nothing is "
             "proven";
    case AlarmKind::kAccuracy:
    case AlarmKind::kQuality:
    case AlarmKind::kSchemaViolation:
      return "it looks again and again at a level of 0.001 each, and for all looks together "
             "nothing is proven";
    case AlarmKind::kTrafficStopped:
      return "its chance of 0.000001 supposes that traffic goes on as in the hour before: a rhythm "
             "of days or weeks is not "
             "known to it";
    case AlarmKind::kCaptureLoss:
      return "it is a limit on a share, and no test";
    case AlarmKind::kRiskIncrease:
    case AlarmKind::kPredictionDrift:
    case AlarmKind::kFeatureDrift:
      break;
  }
  return "";
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
