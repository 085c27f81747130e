#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "events/prediction_event.h"
#include "gateway/reason.h"
#include "gateway/upstreams.h"
#include "gateway/worker.h"

// What a request leaves behind, whatever it came by.

namespace leadsman::gateway {

struct EndedRequest {
  const Version& version;
  Endpoint* tried = nullptr;  ///< at last; null: none
  SteadyTime started{};
  Reason reason = Reason::kNone;
  int status = 0;             ///< of the answer, in HTTP's words; 0: none
  bool answer_begun = false;  ///< by the upstream
  bool failed = false;        ///< the answer says that the endpoint does not work
  bool prediction = false;
  bool drawn = false;
  uint64_t request_bytes = 0, answer_bytes = 0;
  std::string_view id;
  StatusCode outcome = StatusCode::kOk;
};

/// Counts it, and tells the passive checks of an answer that was good. The event, when it says something of the version; its texts are those
/// of `ended`.
std::optional<PredictionEvent> CountEnded(Worker& worker, const EndedRequest& ended);

/// What a client is told of a request that the gateway has no answer for, in JSON. Null: no version, or none of its endpoints, is to
/// blame.
std::string ErrorBody(Reason reason, std::string_view message, const Version* version,
                      const Endpoint* endpoint);

/// An answer that says of the endpoint that it does not work.
inline bool IsFailure(int status) { return status == 502 || status == 503 || status == 504; }

inline bool IsTimeout(Reason reason) {
  return reason == Reason::kTimeout || reason == Reason::kConnectTimeout ||
         reason == Reason::kTotalTimeout;
}

/// By its method it can be asked for twice.
bool IsIdempotent(std::string_view method);

}  // namespace leadsman::gateway
