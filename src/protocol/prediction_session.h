#pragma once

#include <string>
#include <string_view>

#include "net/http_server.h"
#include "protocol/mlflow/ignored_params.h"
#include "protocol/mlflow/invocations.h"
#include "protocol/plain/predict.h"
#include "protocol/prediction_codec.h"
#include "protocol/tfserving/examples_codec.h"
#include "protocol/tfserving/predict.h"
#include "protocol/v2/infer.h"
#include "serving/predictor.h"

namespace leadsman {

/// One prediction at a time over one connection, from bytes to bytes: admit, decode, execute,
/// encode, finish. Kept with the connection, so that a request in the steady state allocates
/// nothing here.
///
/// Cheap models run to the end inside Start; for others the exchange is deferred and finished by a
/// pool thread. An exception on the way (no memory) becomes INTERNAL for that one request, whose Finish and
/// FinishFromAnyThread are called as ever. Confined to the exchange's thread, and to the pool thread in between.
class PredictionSession {
 public:
  void Start(net::HttpExchange& exchange, Predictor& predictor, Protocol protocol,
             const ModelSelector& selector, const plain::PlainOptions& plain_options);
  /// Before Start with Protocol::kTfServingRest. `limit`: of an input, as of tfserving::ExamplesToInputs.
  void PrepareTfServing(tfserving::Method method, size_t limit, bool cors) {
    method_ = method;
    examples_.SetMethod(method);
    examples_.SetLimit(limit);
    cors_ = cors;
  }
  /// Before Start with Protocol::kMlflow. `options` and `ignored` must outlive the session.
  void PrepareMlflow(const mlflow::MlflowOptions& options, mlflow::ContentType type,
                     mlflow::IgnoredParams& ignored) {
    mlflow_.SetOptions(&options);
    mlflow_.SetContentType(type);
    ignored_params_ = &ignored;
  }

 private:
  Status Decode(std::string_view body, const ModelSelector& selector);
  Status Encode();
  void Complete();
  void Answer(Status status);
  PredictionCodec& CodecFor(Protocol protocol);

  net::HttpExchange* exchange_ = nullptr;
  Predictor* predictor_ = nullptr;
  PredictionCodec* codec_ = nullptr;
  bool deferred_ = false;
  tfserving::Method method_ = tfserving::Method::kPredict;  ///< of TensorFlow Serving's
  bool cors_ = false;  ///< the response carries kCorsHeaders, also when it is an error
  PredictionCall call_;
  tfserving::PredictCodec tfserving_;
  tfserving::ExamplesCodec examples_;
  v2::InferCodec v2_;
  plain::PredictCodec plain_;
  mlflow::InvocationsCodec mlflow_;
  mlflow::IgnoredParams* ignored_params_ = nullptr;
};

}  // namespace leadsman
