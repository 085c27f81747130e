#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "net/http_server.h"
#include "protocol/v2/infer.h"

using namespace leadsman;

namespace {

std::vector<Tensor> MakeOutputs(const Signature& signature) {
  std::vector<Tensor> outputs(signature.outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorSpec& spec = signature.outputs[i];
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

}  // namespace

/// "#<value>\n" at the front is the header field Inference-Header-Content-Length; the rest is the
/// body. Without it the body is all JSON.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Signature signature{{{"x", DataType::kFp32, {-1, 4}},
                                    {"b", DataType::kInt16, {-1}, true},
                                    {"s", DataType::kBytes, {-1}, true},
                                    {"h", DataType::kFp16, {-1}, true},
                                    {"f", DataType::kBool, {}, true}},
                                   {{"y", DataType::kFp32, {-1}},
                                    {"z", DataType::kInt64, {-1}},
                                    {"t", DataType::kBytes, {-1}},
                                    {"h", DataType::kFp16, {-1}}}};
  // For raw requests, which are for models with one input.
  static const Signature raw[] = {{{{"x", DataType::kFp32, {-1, -1, 4}}}, signature.outputs},
                                  {{{"s", DataType::kBytes, {-1, 1}}}, signature.outputs}};
  static const std::vector<Tensor> outputs = MakeOutputs(signature);

  std::string_view input(reinterpret_cast<const char*>(data), size);
  std::string_view length;
  if (size_t end = input.find('\n'); input.starts_with('#') && end != std::string_view::npos) {
    length = input.substr(1, end - 1);
    input.remove_prefix(end + 1);
  }
  std::string buffer(input);
  buffer.append(net::HttpRequest::kBodyPadding, '7');
  std::string_view body = std::string_view(buffer).substr(0, input.size());

  static v2::InferCodec codec;
  static PredictionCall call;
  std::vector<TensorView> views;
  for (const Tensor& tensor : outputs) views.push_back(tensor.View());
  for (const Signature* one : {&signature, &raw[0], &raw[1]}) {
    codec.SetLengthField(length);
    if (!codec.Decode(body, *one, call).ok()) continue;
    for (size_t i = 0; i < call.input_count; ++i) {
      if (call.inputs[i].type() != DataType::kInvalid)
        CHECK(CheckAgainst(one->inputs[i], call.inputs[i].View()).ok());
    }
    call.outputs = views;
    std::string answer = "before";
    if (codec.Encode(call, answer).ok() && codec.json_size()) {
      std::string_view json = std::string_view(answer).substr(6, *codec.json_size());
      CHECK(json.starts_with('{') && json.ends_with("]}"));
      CHECK(6 + json.size() < answer.size());
    }
  }
  return 0;
}
