#include "monitor/observed.h"

namespace leadsman {

std::string_view ObservedOutcomeName(ObservedOutcome outcome) {
  switch (outcome) {
    case ObservedOutcome::kOk:
      return "ok";
    case ObservedOutcome::kClientError:
      return "client_error";
    case ObservedOutcome::kServerError:
      return "server_error";
    case ObservedOutcome::kCancelled:
      return "cancelled";
    case ObservedOutcome::kUnknown:
      break;
  }
  return "unknown";
}

ObservedOutcome ObservedOutcomeOf(const PredictionEvent& event) {
  return event.outcome_known ? ObservedOutcomeOf(event.outcome) : ObservedOutcome::kUnknown;
}

ObservedOutcome ObservedOutcomeOf(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return ObservedOutcome::kOk;
    case StatusCode::kCancelled:
      return ObservedOutcome::kCancelled;
    case StatusCode::kInvalidArgument:
    case StatusCode::kNotFound:
    case StatusCode::kAlreadyExists:
    case StatusCode::kPermissionDenied:
    case StatusCode::kFailedPrecondition:
    case StatusCode::kOutOfRange:
    case StatusCode::kUnauthenticated:
      return ObservedOutcome::kClientError;
    case StatusCode::kUnknown:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kResourceExhausted:
    case StatusCode::kAborted:
    case StatusCode::kUnimplemented:
    case StatusCode::kInternal:
    case StatusCode::kUnavailable:
    case StatusCode::kDataLoss:
      break;
  }
  return ObservedOutcome::kServerError;
}

}  // namespace leadsman
