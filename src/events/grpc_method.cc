#include "events/grpc_method.h"

namespace leadsman {

GrpcMethod GrpcMethodOf(std::string_view path) {
  constexpr std::string_view kTensorFlow = "/tensorflow.serving.PredictionService/";
  if (path == "/inference.GRPCInferenceService/ModelInfer") return GrpcMethod::kModelInfer;
  if (!path.starts_with(kTensorFlow)) return GrpcMethod::kNone;
  path.remove_prefix(kTensorFlow.size());
  if (path == "Predict") return GrpcMethod::kPredict;
  if (path == "Classify") return GrpcMethod::kClassify;
  if (path == "Regress") return GrpcMethod::kRegress;
  return GrpcMethod::kNone;
}

}  // namespace leadsman
