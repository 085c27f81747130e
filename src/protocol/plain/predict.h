#pragma once

#include <string>
#include <string_view>

#include "net/http_status.h"
#include "protocol/prediction_codec.h"

namespace leadsman::plain {

/// Field names of the plain protocol and which output answers.
struct PlainOptions {
  std::string model;  ///< served at /predict; empty: the only model
  std::string input_field = "input_data";
  std::string prediction_field = "prediction";
  std::string output;  ///< empty: the model's first
};

/// The plain Flask-style call: {"input_data": rows} → {"prediction": answers}. Rows as TensorFlow
/// Serving's `instances`; one row may come without its list (or as one object) and is then answered
/// without a list.
class PredictCodec final : public PredictionCodec {
 public:
  /// Must outlive the codec.
  void SetOptions(const PlainOptions* options) { options_ = options; }
  Status Decode(std::string_view body, PredictionCall& call) override;
  Status Decode(std::string_view body, const Signature& signature, PredictionCall& call);
  Status Encode(const PredictionCall& call, std::string& out) override;
  int HttpStatus(StatusCode code) const override { return net::HttpStatusOf(code); }

 private:
  bool DecodeInput(JsonCursor& json, const Signature& signature, PredictionCall& call);

  const PlainOptions* options_ = nullptr;
  DecodeBuffers buffers_;
  bool single_row_ = false;
};

}  // namespace leadsman::plain
