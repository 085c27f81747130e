#include <cstdint>
#include <string>
#include <string_view>

#include "net/http_server.h"
#include "protocol/v2/infer.h"

using namespace leadsman;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Signature signature{{{"x", DataType::kFp32, {-1, 4}},
                                    {"b", DataType::kInt16, {-1}, true},
                                    {"s", DataType::kBytes, {-1}, true},
                                    {"f", DataType::kBool, {}, true}},
                                   {{"y", DataType::kFp32, {-1}}, {"z", DataType::kInt64, {-1}}}};
  std::string buffer(reinterpret_cast<const char*>(data), size);
  buffer.append(net::HttpRequest::kBodyPadding, '7');
  static v2::InferCodec codec;
  static PredictionCall call;
  if (codec.Decode(std::string_view(buffer).substr(0, size), signature, call).ok()) {
    for (size_t i = 0; i < call.input_count; ++i) {
      if (call.inputs[i].type() != DataType::kInvalid)
        CHECK(CheckAgainst(signature.inputs[i], call.inputs[i].View()).ok());
    }
  }
  return 0;
}
