#include "monitor/observed.h"

#include <numeric>

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

void ObservedTotals::Add(const PredictionEvent& event) {
  const ObservedOutcome outcome = ObservedOutcomeOf(event);
  ++requests[static_cast<size_t>(outcome)];
  if (!event.latency_known ||
      (outcome != ObservedOutcome::kOk && outcome != ObservedOutcome::kUnknown))
    return;
  ++latency[LatencyScheme::Index(event.latency_ns)];
  ++fine_latency[FineLatencyScheme::PlaceOf(event.latency_ns).index()];
  latency_seconds += static_cast<double>(event.latency_ns) / 1e9;
}

void ObservedTotals::Merge(const ObservedTotals& other) {
  for (size_t i = 0; i < requests.size(); ++i) requests[i] += other.requests[i];
  for (size_t i = 0; i < latency.size(); ++i) latency[i] += other.latency[i];
  for (size_t i = 0; i < fine_latency.size(); ++i) fine_latency[i] += other.fine_latency[i];
  latency_seconds += other.latency_seconds;
}

uint64_t ObservedTotals::total() const {
  return std::accumulate(requests.begin(), requests.end(), uint64_t{0});
}

}  // namespace leadsman
