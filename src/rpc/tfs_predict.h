#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/wire.h"
#include "protocol/prediction_codec.h"
#include "rpc/tensor_proto.h"
#include "serving/predictor.h"

namespace leadsman::rpc {

/// Whether a message says which model it is for, or that is known without.
enum class SpecName { kRequired, kOptional };

/// tensorflow.serving.ModelSpec, taken apart; views into the message.
struct ModelSpec {
  ModelSelector selector;
  std::string_view signature_name;
  /// INVALID_ARGUMENT: malformed, or without a name that is required.
  Status Parse(std::string_view bytes, SpecName name = SpecName::kRequired);
};
/// The spec of an answer: the version that was in fact used.
void AppendModelSpec(WireWriter& out, uint32_t field, std::string_view name, int64_t version,
                     std::string_view signature);

/// tensorflow.serving.PredictRequest ↔ PredictionCall, as ModelInferCodec.
class PredictCodec {
 public:
  Status Parse(std::string_view message, SpecName name = SpecName::kRequired);
  const ModelSelector& selector() const { return spec_.selector; }
  std::string_view signature_name() const { return spec_.signature_name; }
  /// `limit`: bytes of values that one input may take once its repeated last value is written out.
  Status Decode(const Signature& signature, std::string_view signature_name, size_t limit,
                PredictionCall& call);
  Status Encode(const PredictionCall& call, std::string& out,
                TensorValues values = TensorValues::kTyped);

 private:
  struct Input {
    std::string_view name, tensor;
  };
  ModelSpec spec_;
  LeftOutDimension dimension_;
  std::vector<Input> inputs_;
  std::vector<std::string_view> filter_;
  std::vector<size_t> wanted_;  ///< indexes of outputs; empty = all
  std::vector<size_t> sizes_;
  std::string signature_name_;  ///< for the answer
};

}  // namespace leadsman::rpc
