#include "gateway/outcome.h"

#include "events/http_outcome.h"

namespace leadsman::gateway {

StatusCode OutcomeOf(int status, Reason reason) {
  switch (reason) {
    case Reason::kClientGone:
      return StatusCode::kCancelled;
    // The head of an answer may have said that all is well.
    case Reason::kCut:
    case Reason::kBadAnswer:
      return StatusCode::kUnavailable;
    case Reason::kTotalTimeout:
      return StatusCode::kDeadlineExceeded;
    default:
      return OutcomeOfHttp(status);
  }
}

bool IsComparable(int tries, Reason reason) {
  return reason < Reason::kNoEndpoint || (tries > 1 && reason < Reason::kClientGone);
}

StatusCode FirstOutcome(int tries, StatusCode outcome) {
  return tries > 1 ? StatusCode::kUnavailable : outcome;
}

}  // namespace leadsman::gateway
