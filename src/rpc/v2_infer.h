#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "serving/predictor.h"

namespace leadsman::rpc {

/// inference.ModelInferRequest ↔ PredictionCall, read and written by hand: the bytes of raw tensors are copied once in and
/// once out. Pure, confined to one request at a time; buffers are used again.
///
///   Parse(message) → selector, id → (Admit) → Decode(signature, call) → (Execute) → Encode(call, out)
///
/// `message` must stay as it is until Decode is over; id() and Encode need it no longer.
class ModelInferCodec {
 public:
  /// Takes the message apart; INVALID_ARGUMENT when it is no ModelInferRequest or names no usable version.
  Status Parse(std::string_view message);
  const ModelSelector& selector() const { return selector_; }
  std::string_view id() const { return id_; }

  /// Fills inputs, rows and, from the parameters, deadline. INVALID_ARGUMENT names the field; UNIMPLEMENTED: shared memory.
  Status Decode(const Signature& signature, PredictionCall& call);

  /// Appends a ModelInferResponse, with raw contents when the request had them, or when an output has no other form.
  Status Encode(const PredictionCall& call, std::string& out);

 private:
  struct Input {
    std::string_view name, datatype, contents;
    Shape shape;
    bool has_contents = false;
  };
  struct WantedOutput {
    std::string_view name;
    size_t index = 0;
    uint32_t classes = 0;  ///< of the classification extension; 0 = the tensor itself
  };
  Status ParseInput(std::string_view bytes);
  Status ParseOutput(std::string_view bytes);
  Status ParseParameter(std::string_view bytes);
  Status DecodeInput(const Signature& signature, PredictionCall& call, size_t at);
  Status FindOutputs(const Signature& signature);
  Status ChooseOutputs(const PredictionCall& call);

  ModelSelector selector_;
  std::string_view version_;
  std::vector<Input> inputs_;
  std::vector<WantedOutput> outputs_;
  std::vector<std::string_view> raw_;
  std::optional<uint64_t> timeout_us_;
  uint32_t priority_ = 0;
  bool final_response_flag_ = false;
  // What Encode needs after the message is gone.
  std::string id_;
  bool raw_answer_ = false;
  std::vector<size_t> sizes_;
  std::vector<TensorView> shown_;
  std::vector<Tensor> classified_;
};

}  // namespace leadsman::rpc
