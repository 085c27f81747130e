#pragma once

#include <cstdint>
#include <string_view>

namespace leadsman {

/// The unary calls of gRPC whose messages are predictions that can be read without a model's signature.
enum class GrpcMethod : uint8_t {
  kNone,        ///< any other, or no call at all
  kModelInfer,  ///< inference.GRPCInferenceService (V2)
  kPredict,     ///< tensorflow.serving.PredictionService, as all that follow
  kClassify,
  kRegress,
};

/// `path`: "/package.Service/Method", without a query.
GrpcMethod GrpcMethodOf(std::string_view path);

}  // namespace leadsman
