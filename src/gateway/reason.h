#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace leadsman::gateway {

/// Why a request was not answered by an upstream, or not to its end. The names are labels of metrics and stand in answers.
enum class Reason : uint8_t {
  kNone,
  kConnectRefused,
  kConnectTimeout,
  kConnectFailed,  ///< another error: no route, no descriptors
  kTlsFailed,      ///< no agreement, or a certificate that is not trusted
  kClosed,         ///< ended before the answer's head
  kTimeout,        ///< no answer's head in time
  kTotalTimeout,
  kBadAnswer,   ///< what came is not HTTP
  kCut,         ///< ended, broke or stalled in the answer's body
  kNoEndpoint,  ///< none is healthy
  kOverloaded,  ///< no connection is free, and too many wait, or for too long
  // Not the upstream's fault:
  kClientGone,
  kClientSlow,
  kBadRequest,
  kTooLarge,
  kNoRoute,
  kProtocol,  ///< the service speaks another version of HTTP
};
inline constexpr size_t kReasons = static_cast<size_t>(Reason::kProtocol) + 1;
/// Whether one try has died of it: then it was counted when that ended, before the answer to the request.
inline bool IsOfATry(Reason reason) {
  return reason < Reason::kNoEndpoint && reason != Reason::kTotalTimeout;
}
std::string_view ReasonName(Reason reason);  ///< "connect_refused"

}  // namespace leadsman::gateway
