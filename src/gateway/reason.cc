#include "gateway/reason.h"

namespace leadsman::gateway {

std::string_view ReasonName(Reason reason) {
  switch (reason) {
    case Reason::kNone:
      return "none";
    case Reason::kConnectRefused:
      return "connect_refused";
    case Reason::kConnectTimeout:
      return "connect_timeout";
    case Reason::kConnectFailed:
      return "connect_failed";
    case Reason::kTlsFailed:
      return "tls_failed";
    case Reason::kClosed:
      return "closed";
    case Reason::kTimeout:
      return "timeout";
    case Reason::kTotalTimeout:
      return "total_timeout";
    case Reason::kBadAnswer:
      return "bad_answer";
    case Reason::kCut:
      return "cut";
    case Reason::kNoEndpoint:
      return "no_endpoint";
    case Reason::kOverloaded:
      return "overloaded";
    case Reason::kClientGone:
      return "client_gone";
    case Reason::kClientSlow:
      return "client_slow";
    case Reason::kBadRequest:
      return "bad_request";
    case Reason::kTooLarge:
      return "too_large";
    case Reason::kNoRoute:
      return "no_route";
    case Reason::kProtocol:
      return "protocol";
  }
  return "none";
}

}  // namespace leadsman::gateway
