#include "gateway/outcome.h"

namespace leadsman::gateway {

StatusCode OutcomeOf(int status, Reason reason) {
  if (reason == Reason::kClientGone) return StatusCode::kCancelled;
  if (reason == Reason::kCut || reason == Reason::kBadAnswer) return StatusCode::kUnavailable;
  if (status < 400) return StatusCode::kOk;
  switch (status) {
    case 401:
      return StatusCode::kUnauthenticated;
    case 403:
      return StatusCode::kPermissionDenied;
    case 404:
      return StatusCode::kNotFound;
    case 409:
      return StatusCode::kAlreadyExists;
    case 412:
      return StatusCode::kFailedPrecondition;
    case 429:
      return StatusCode::kResourceExhausted;
    case 499:
      return StatusCode::kCancelled;
    case 500:
      return StatusCode::kInternal;
    case 501:
      return StatusCode::kUnimplemented;
    case 502:
    case 503:
      return StatusCode::kUnavailable;
    case 408:
    case 504:
      return StatusCode::kDeadlineExceeded;
    default:
      return status < 500 ? StatusCode::kInvalidArgument : StatusCode::kInternal;
  }
}

}  // namespace leadsman::gateway
