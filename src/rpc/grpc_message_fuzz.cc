#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/wire.h"
#include "rpc/grpc_call.h"
#include "rpc/services.h"
#include "rpc/tfs_examples.h"
#include "rpc/tfs_predict.h"
#include "rpc/v2_infer.h"

using namespace leadsman;
using namespace leadsman::rpc;

namespace {

const Signature& TheSignature() {
  static const Signature signature{{{"x", DataType::kFp32, {-1, 4}},
                                    {"b", DataType::kInt16, {-1}, true},
                                    {"s", DataType::kBytes, {-1}, true},
                                    {"h", DataType::kFp16, {-1}, true},
                                    {"f", DataType::kBool, {}, true},
                                    {"d", DataType::kFp64, {-1}, true},
                                    {"u", DataType::kUint64, {-1}, true}},
                                   {{"y", DataType::kFp32, {-1}},
                                    {"z", DataType::kInt64, {-1}},
                                    {"t", DataType::kBytes, {-1}},
                                    {"h", DataType::kFp16, {-1}}}};
  return signature;
}

std::vector<Tensor> MakeOutputs() {
  std::vector<Tensor> outputs(TheSignature().outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorSpec& spec = TheSignature().outputs[i];
    outputs[i].Reset(spec.name, spec.type);
    outputs[i].shape() = {2};
    if (spec.type == DataType::kBytes) {
      outputs[i].PushString("a\xff");
      outputs[i].PushString("");
    } else {
      outputs[i].Extend(2);
    }
  }
  return outputs;
}

/// What a reader has taken agrees with the signature, and what is written for it is well-formed.
template <typename Codec>
void CheckTaken(Codec& codec, PredictionCall& call) {
  static const std::vector<Tensor> outputs = MakeOutputs();
  for (size_t i = 0; i < call.input_count; ++i) {
    if (call.inputs[i].type() != DataType::kInvalid)
      CHECK(CheckAgainst(TheSignature().inputs[i], call.inputs[i].View()).ok());
  }
  std::vector<TensorView> views;
  for (const Tensor& tensor : outputs) views.push_back(tensor.View());
  call.outputs = views;
  std::string answer;
  if (!codec.Encode(call, answer).ok()) return;
  WireReader in(answer);
  while (in.Next()) {
  }
  CHECK(in.ok());
}

}  // namespace

/// The first byte says which reader gets the rest.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // A copy of its own, so that a byte too far is seen.
  const std::string copy(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string_view message(copy);
  static PredictionCall call;
  switch (data[0] % 6) {
    case 0: {
      static ModelInferCodec codec;
      if (codec.Parse(message).ok() && codec.Decode(TheSignature(), call).ok())
        CheckTaken(codec, call);
      break;
    }
    case 1: {
      static PredictCodec codec;
      if (codec.Parse(message).ok() &&
          codec.Decode(TheSignature(), "serving_default", 1 << 20, call).ok()) {
        CheckTaken(codec, call);
      }
      break;
    }
    case 2: {
      static ExamplesCodec codec;
      const auto kind = static_cast<ExamplesCodec::Kind>(data[0] / 6 % 3);
      if (codec.Parse(kind, message, 1 << 20).ok()) CHECK(codec.task_count() > 0);
      break;
    }
    case 3: {
      std::string answer;
      if (Reflect(message, answer).ok()) {
        WireReader in(answer);
        while (in.Next()) {
        }
        CHECK(in.ok());
      }
      break;
    }
    case 4: {
      static MessageReader reader(MessageLimits{.wire = 1 << 16, .expanded = 1 << 16});
      reader.SetCompression(static_cast<Compression>(data[0] / 6 % 3));
      std::string_view body = message;
      for (size_t taken = 0; reader.Read(body, &taken) == MessageReader::Outcome::kMessage;) {
        CHECK(taken <= body.size() && reader.message().size() <= 1 << 16);
        body.remove_prefix(taken);
      }
      break;
    }
    default:
      if (auto timeout = ParseTimeout(message)) CHECK(timeout->count() >= 0);
      CHECK(EncodeStatusMessage(message).size() <= 3 * message.size());
      static_cast<void>(IsUtf8(message));
      static_cast<void>(HealthService(message));
      if (auto reload = ReloadRequest::Parse(message); reload.ok()) {
        std::string answer;
        AppendReloadResponse(*reload, std::vector<int64_t>(reload->metric_names.size(), -1),
                             answer);
        WireReader in(answer);
        while (in.Next()) {
        }
        CHECK(in.ok());
      }
      break;
  }
  return 0;
}
