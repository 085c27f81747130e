#pragma once

#include <span>
#include <string>
#include <string_view>

#include "net/http_status.h"
#include "protocol/prediction_codec.h"

namespace leadsman::tfserving {

/// The REST predict API of TensorFlow Serving 2.x: row form (`instances` → `predictions`) and
/// column form (`inputs` → `outputs`), binary strings as {"b64": …}.
class PredictCodec final : public PredictionCodec {
 public:
  Status Decode(std::string_view body, PredictionCall& call) override;
  /// Sets call.signature when there are several to choose from.
  Status Decode(std::string_view body, std::span<const NamedSignature> signatures,
                PredictionCall& call);
  Status Encode(const PredictionCall& call, std::string& out) override;
  int HttpStatus(StatusCode code) const override { return net::HttpStatusOf(code); }

 private:
  static Status FindSignatureName(std::string_view body, std::span<const NamedSignature> signatures,
                                  PredictionCall& call);
  bool DecodeColumns(JsonCursor& json, const Signature& signature, PredictionCall& call);

  DecodeBuffers buffers_;
  LeftOutDimension dimension_;
  bool rows_ = true;  ///< the form of the request in hand
};

}  // namespace leadsman::tfserving
