#pragma once

#include <string>
#include <string_view>

#include "protocol/prediction_codec.h"

namespace leadsman::tfserving {

/// The REST predict API of TensorFlow Serving 2.x: row form (`instances` → `predictions`) and
/// column form (`inputs` → `outputs`), binary strings as {"b64": …}.
class PredictCodec final : public PredictionCodec {
 public:
  Status Decode(std::string_view body, PredictionCall& call) override;
  Status Decode(std::string_view body, const Signature& signature, PredictionCall& call);
  Status Encode(const PredictionCall& call, std::string& out) override;
  int HttpStatus(StatusCode code) const override { return TfServingHttpStatus(code); }

 private:
  bool DecodeColumns(JsonCursor& json, const Signature& signature, PredictionCall& call);

  DecodeBuffers buffers_;
  bool rows_ = true;  ///< the form of the request in hand
};

}  // namespace leadsman::tfserving
