#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/prediction_codec.h"

namespace leadsman::v2 {

/// The infer call of the Open Inference Protocol (V2), JSON form. The binary tensor extension is
/// refused with UNIMPLEMENTED and a hint.
class InferCodec final : public PredictionCodec {
 public:
  Status Decode(std::string_view body, PredictionCall& call) override;
  Status Decode(std::string_view body, const Signature& signature, PredictionCall& call);
  Status Encode(const PredictionCall& call, std::string& out) override;
  int HttpStatus(StatusCode code) const override { return V2HttpStatus(code); }

  /// `id` of the body in hand, for the answer's echo.
  const std::string& id() const { return id_; }

 private:
  bool DecodeInput(JsonCursor& json, const Signature& signature, PredictionCall& call, size_t at);
  bool DecodeOutput(JsonCursor& json, const Signature& signature, size_t at);
  bool DecodeParameters(JsonCursor& json, PredictionCall& call);
  bool RefuseBinary(JsonCursor& json, std::string_view parameter);

  DecodeBuffers buffers_;
  std::string id_;
  bool has_id_ = false;
  std::string name_;
  std::string datatype_;
  std::vector<size_t> wanted_;  ///< indexes of the outputs asked for; empty = all
};

}  // namespace leadsman::v2
