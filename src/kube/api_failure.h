#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "kube/object.h"

namespace leadsman::kube {

/// Why the API server has refused: its Status object, or what its HTTP answer says where there is none. A value.
struct ApiFailure {
  int http_status = 0;
  std::string reason;   ///< "NotFound", "AlreadyExists", "Conflict", "Expired", …; may be empty
  std::string message;  ///< the server's own
  std::optional<std::chrono::seconds> retry_after;  ///< an hour at most

  /// One code for each case that a caller treats in another way:
  ///   NOT_FOUND, ALREADY_EXISTS · ABORTED: another has written it meanwhile, or owns the field (409 Conflict) ·
  ///   OUT_OF_RANGE: the resource version is too old (410, or reason Expired or Gone), list again · INVALID_ARGUMENT: the object or the request is no
  ///   good (400, 413, 415, 422) · UNAUTHENTICATED · PERMISSION_DENIED · RESOURCE_EXHAUSTED: too many requests (429) ·
  ///   DEADLINE_EXCEEDED (504) · UNAVAILABLE (502, 503) · UNIMPLEMENTED: no such method (405, 406) · INTERNAL: the rest
  StatusCode code() const;
  /// `doing` says what was asked for: "list pods in namespace \"a\"". Of an RBAC denial the message says what to allow.
  Status ToStatus(std::string_view doing) const;
};

/// Of an answer that is not 2xx. `retry_after` is its header. Pure; takes any bytes.
ApiFailure ParseFailure(int http_status, std::string_view retry_after, std::string_view body);
/// Of an ERROR event of a watch.
ApiFailure FailureOf(const Json& status);

}  // namespace leadsman::kube
