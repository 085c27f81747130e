#include "base/status.h"

#include <array>
#include <cstdio>
#include <cstdlib>

namespace leadsman {

void CheckFailed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: invariant broken: %s\n", file, line, condition);
  std::abort();
}

std::string_view StatusCodeName(StatusCode code) {
  static constexpr std::array<std::string_view, kStatusCodeCount> kNames = {"OK",
                                                                            "CANCELLED",
                                                                            "UNKNOWN",
                                                                            "INVALID_ARGUMENT",
                                                                            "DEADLINE_EXCEEDED",
                                                                            "NOT_FOUND",
                                                                            "ALREADY_EXISTS",
                                                                            "PERMISSION_DENIED",
                                                                            "RESOURCE_EXHAUSTED",
                                                                            "FAILED_PRECONDITION",
                                                                            "ABORTED",
                                                                            "OUT_OF_RANGE",
                                                                            "UNIMPLEMENTED",
                                                                            "INTERNAL",
                                                                            "UNAVAILABLE",
                                                                            "DATA_LOSS",
                                                                            "UNAUTHENTICATED"};
  auto index = static_cast<size_t>(code);
  return index < kNames.size() ? kNames[index] : "UNKNOWN";
}

std::string Status::ToString() const {
  if (ok()) return "OK";
  return std::string(StatusCodeName(code())) + ": " + rep_->message;
}

Status CancelledError(std::string m) { return {StatusCode::kCancelled, std::move(m)}; }
Status UnknownError(std::string m) { return {StatusCode::kUnknown, std::move(m)}; }
Status InvalidArgumentError(std::string m) { return {StatusCode::kInvalidArgument, std::move(m)}; }
Status DeadlineExceededError(std::string m) {
  return {StatusCode::kDeadlineExceeded, std::move(m)};
}
Status NotFoundError(std::string m) { return {StatusCode::kNotFound, std::move(m)}; }
Status AlreadyExistsError(std::string m) { return {StatusCode::kAlreadyExists, std::move(m)}; }
Status PermissionDeniedError(std::string m) {
  return {StatusCode::kPermissionDenied, std::move(m)};
}
Status ResourceExhaustedError(std::string m) {
  return {StatusCode::kResourceExhausted, std::move(m)};
}
Status FailedPreconditionError(std::string m) {
  return {StatusCode::kFailedPrecondition, std::move(m)};
}
Status AbortedError(std::string m) { return {StatusCode::kAborted, std::move(m)}; }
Status OutOfRangeError(std::string m) { return {StatusCode::kOutOfRange, std::move(m)}; }
Status UnimplementedError(std::string m) { return {StatusCode::kUnimplemented, std::move(m)}; }
Status InternalError(std::string m) { return {StatusCode::kInternal, std::move(m)}; }
Status UnavailableError(std::string m) { return {StatusCode::kUnavailable, std::move(m)}; }
Status DataLossError(std::string m) { return {StatusCode::kDataLoss, std::move(m)}; }

Status Annotate(Status status, std::string_view context) {
  if (status.ok()) return status;
  return {status.code(), std::string(context) + ": " + std::string(status.message())};
}

}  // namespace leadsman
