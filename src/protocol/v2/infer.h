#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/prediction_codec.h"
#include "protocol/v2/parameters.h"

namespace leadsman::v2 {

/// The infer call of the Open Inference Protocol (V2): JSON, and the binary tensor data extension,
/// input by input and output by output. A body is
///
///   JSON header │ raw bytes of the binary inputs, in the order in which the header lists them
///
/// where the request's header field Inference-Header-Content-Length says how long the JSON is. An
/// answer that holds binary outputs is built alike. The length 0 is a raw binary request: no JSON,
/// the whole body is the only input, and all outputs are answered in binary.
class InferCodec final : public PredictionCodec {
 public:
  /// The request header's name, for messages and answers alike.
  static constexpr std::string_view kLengthField = "Inference-Header-Content-Length";

  /// The value of that field for the next Decode, which uses it up; empty: the body is all JSON.
  void SetLengthField(std::string_view value) { length_field_.assign(value); }

  Status Decode(std::string_view body, PredictionCall& call) override;
  Status Decode(std::string_view body, const Signature& signature, PredictionCall& call);
  Status Encode(const PredictionCall& call, std::string& out) override;
  int HttpStatus(StatusCode code) const override { return V2HttpStatus(code); }

  /// `id` of the body in hand, for the answer's echo.
  const std::string& id() const { return id_; }
  /// Of the last Encode: how long the JSON is, when binary outputs follow it.
  std::optional<size_t> json_size() const { return json_size_; }

 private:
  struct InputInHand;
  struct WantedOutput {
    size_t index;                ///< in the signature
    std::optional<bool> binary;  ///< as asked for this output; else binary_data_output decides
    uint32_t classes = 0;        ///< answer the largest ones as text; 0 = the values
  };

  Status SplitBody(std::string_view body, std::string_view& json);
  Status DecodeRaw(std::string_view body, const Signature& signature, PredictionCall& call);
  bool DecodeInput(JsonCursor& json, const Signature& signature, PredictionCall& call, size_t at);
  bool DecodeInputParameters(JsonCursor& json, InputInHand& input);
  bool FindSpec(JsonCursor& json, const Signature& signature, InputInHand& input);
  bool DecodeData(JsonCursor& json, const Signature& signature, InputInHand& input);
  bool TakeBinary(JsonCursor& json, const Signature& signature, const InputInHand& input,
                  PredictionCall& call);
  bool DecodeOutput(JsonCursor& json, const Signature& signature, size_t at);
  bool DecodeOutputParameters(JsonCursor& json, WantedOutput& output);
  /// Fills shown_ with what is answered.
  Status ChooseOutputs(const PredictionCall& call);
  void AppendOutput(std::string& out, const TensorView& output);
  std::string Where(size_t at) const;
  bool IsBinary(size_t at) const;

  DecodeBuffers buffers_;
  std::string length_field_;
  std::string_view binary_;  ///< what is left of the bytes behind the JSON; during Decode only
  bool has_length_ = false;
  std::string id_;
  bool has_id_ = false;
  std::string name_;
  std::string datatype_;
  std::vector<WantedOutput> wanted_;  ///< empty = all
  RequestParameters parameters_;
  std::vector<TensorView> shown_;   ///< the answer's outputs
  std::vector<Tensor> classified_;  ///< what those of shown_ point to that are classes
  std::optional<size_t> json_size_;
};

}  // namespace leadsman::v2
