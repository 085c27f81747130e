#include "events/prediction_event.h"

#include "events/feature_names.h"

namespace leadsman {

std::string_view ProtocolName(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTfServingRest:
      return "tfserving_rest";
    case Protocol::kV2Rest:
      return "v2_rest";
    case Protocol::kPlain:
      return "plain";
    case Protocol::kTfServingGrpc:
      return "tfserving_grpc";
    case Protocol::kV2Grpc:
      return "v2_grpc";
    case Protocol::kMlflow:
      return "mlflow";
    case Protocol::kUnknown:
      break;
  }
  return "unknown";
}

std::shared_ptr<FeatureNames> Sink::NamesOf(std::string_view) { return nullptr; }

std::span<const SegmentRule> Sink::SegmentsOf(std::string_view) const { return {}; }

}  // namespace leadsman
