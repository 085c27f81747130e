#pragma once

#include <string>
#include <string_view>

#include "net/http_status.h"
#include "protocol/prediction_codec.h"
#include "protocol/tfserving/examples.h"

namespace leadsman::tfserving {

/// The REST classify and regress APIs of TensorFlow Serving 2.x:
///   {"signature_name": "…", "context": {…}, "examples": [{"feature": value or list, …}, …]}
/// is answered by {"results": [[["label", score], …], …]} or {"results": [value, …]}.
class ExamplesCodec final : public PredictionCodec {
 public:
  /// kClassify or kRegress, for the requests to come.
  void SetMethod(Method method) { method_ = method; }
  /// `limit` as of ExamplesToInputs.
  void SetLimit(size_t limit) { limit_ = limit; }

  /// Sets call.signature.
  Status Decode(std::string_view body, PredictionCall& call) override;
  Status Decode(std::string_view body, std::span<const NamedSignature> signatures,
                PredictionCall& call);
  Status Encode(const PredictionCall& call, std::string& out) override;
  int HttpStatus(StatusCode code) const override { return net::HttpStatusOf(code); }

 private:
  bool DecodeExample(JsonCursor& json, Example& example);
  bool DecodeValue(JsonCursor& json, Feature& feature);
  bool DecodeOne(JsonCursor& json, Feature& feature);
  bool Keep(JsonCursor& json, size_t bytes);

  Method method_ = Method::kClassify;
  size_t limit_ = 64 << 20;
  ExampleRoom room_{0};
  ExampleBatch batch_;
  std::string scratch_;
};

}  // namespace leadsman::tfserving
