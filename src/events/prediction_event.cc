#include "events/prediction_event.h"

namespace leadsman {

std::string_view ProtocolName(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTfServingRest:
      return "tfserving_rest";
    case Protocol::kV2Rest:
      return "v2_rest";
    case Protocol::kPlain:
      return "plain";
    case Protocol::kUnknown:
      break;
  }
  return "unknown";
}

}  // namespace leadsman
