#include <simdjson.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/check.h"
#include "net/http_server.h"
#include "protocol/json_cursor.h"
#include "protocol/plain/predict.h"
#include "protocol/tfserving/examples_codec.h"
#include "protocol/tfserving/predict.h"

namespace {

using namespace leadsman;

/// The first byte picks the signature.
const Signature& PickSignature(uint8_t byte) {
  static const Signature kSignatures[] = {
      {{{"x", DataType::kFp32, {-1, 4}}}, {{"y", DataType::kFp32, {-1}}}},
      {{{"a", DataType::kFp64, {-1}}, {"b", DataType::kInt8, {-1, 2}, true}},
       {{"y", DataType::kFp32, {-1}}}},
      {{{"s", DataType::kBytes, {-1}}}, {{"y", DataType::kFp32, {-1}}}},
      {{{"f", DataType::kBool, {}}, {"u", DataType::kUint64, {-1, -1}}},
       {{"y", DataType::kFp32, {-1}}}},
  };
  return kSignatures[byte % 4];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Signature& signature = PickSignature(data[0]);
  std::string buffer(reinterpret_cast<const char*>(data) + 1, size - 1);
  size_t length = buffer.size();
  buffer.append(net::HttpRequest::kBodyPadding, '7');
  std::string_view body = std::string_view(buffer).substr(0, length);

  static tfserving::PredictCodec tfs;
  static plain::PredictCodec plain_codec;
  static const plain::PlainOptions options;
  static PredictionCall call;
  plain_codec.SetOptions(&options);
  const NamedSignature signatures[] = {{"serving_default", "tensorflow/serving/predict", signature},
                                       {"classify", "tensorflow/serving/classify", signature}};
  call.signature = 0;
  (void)tfs.Decode(body, std::span(signatures, 1), call);
  (void)tfs.Decode(body, signatures, call);
  static tfserving::ExamplesCodec examples;
  for (auto method : {tfserving::Method::kClassify, tfserving::Method::kRegress}) {
    examples.SetMethod(method);
    (void)examples.Decode(body, signatures, call);
  }
  (void)plain_codec.Decode(body, signature, call);

  // The same documents as simdjson are taken, but for NaN and Infinity tokens, numbers out of range, and depth.
  JsonCursor json(body);
  bool taken = json.Skip() && json.End();
  simdjson::dom::parser parser(1 << 20);
  if (parser.allocate(1 << 20, 64) == simdjson::SUCCESS) {
    simdjson::dom::element root;
    auto error = parser.parse(buffer.data(), length, false).get(root);
    if (error == simdjson::SUCCESS && root.is_object()) CHECK(taken);
    if (taken && error != simdjson::SUCCESS) {
      bool tokens = body.find("NaN") != body.npos || body.find("Infinity") != body.npos;
      CHECK(tokens || error == simdjson::NUMBER_ERROR || error == simdjson::DEPTH_ERROR ||
            error == simdjson::CAPACITY);
    }
  }
  return 0;
}
