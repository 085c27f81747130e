// Decode and encode alone: what a request costs here apart from network and model.
#include <benchmark/benchmark.h>
#include <simdjson.h>

#include <string>
#include <vector>

#include "base/rng.h"
#include "base/strings.h"
#include "protocol/tfserving/predict.h"
#include "protocol/v2/infer.h"

namespace leadsman {
namespace {

std::string Values(int count) {
  Rng rng(1);
  std::string text;
  for (int i = 0; i < count; ++i) {
    if (i > 0) text += ',';
    std::string number = std::to_string(rng.Below(1'000'000));
    text += count == 4 ? StrCat(rng.Below(8), ".", rng.Below(10))
                       : "0." + std::string(6 - number.size(), '0') + number;
  }
  return text;
}

void TfServingDecode(benchmark::State& state) {
  int width = static_cast<int>(state.range(0));
  const NamedSignature signatures[] = {
      {kDefaultSignatureName, kPredictMethod, {{{"x", DataType::kFp32, {-1, width}}}, {}}}};
  std::string body = StrCat("{\"instances\":[[", Values(width), "]]}");
  size_t size = body.size();
  body.append(64, ' ');
  tfserving::PredictCodec codec;
  PredictionCall call;
  for (auto _ : state) {
    if (!codec.Decode(std::string_view(body).substr(0, size), signatures, call).ok())
      state.SkipWithError("decode");
  }
}
BENCHMARK(TfServingDecode)->Arg(4)->Arg(784);

void V2Decode(benchmark::State& state) {
  int width = static_cast<int>(state.range(0));
  Signature signature{{{"x", DataType::kFp32, {-1, width}}}, {}};
  std::string body = StrCat("{\"id\":\"7\",\"inputs\":[{\"name\":\"x\",\"shape\":[1,", width,
                            "],\"datatype\":\"FP32\",\"data\":[", Values(width), "]}]}");
  size_t size = body.size();
  body.append(64, ' ');
  v2::InferCodec codec;
  PredictionCall call;
  for (auto _ : state) {
    if (!codec.Decode(std::string_view(body).substr(0, size), signature, call).ok())
      state.SkipWithError("decode");
  }
}
BENCHMARK(V2Decode)->Arg(4)->Arg(784);

/// The numbers of TfServingDecode's body by simdjson on demand, straight into floats: what is left
/// of a decoder when it need not check types, shapes and names or take NaN.
void SimdjsonOnDemandNumbers(benchmark::State& state) {
  int width = static_cast<int>(state.range(0));
  std::string body = StrCat("{\"instances\":[[", Values(width), "]]}");
  size_t size = body.size();
  body.append(simdjson::SIMDJSON_PADDING, ' ');
  simdjson::ondemand::parser parser;
  std::vector<float> values;
  for (auto _ : state) {
    values.clear();
    auto read = [&] {
      simdjson::ondemand::document document;
      simdjson::ondemand::array rows;
      if (parser.iterate(body.data(), size, body.size()).get(document) ||
          document["instances"].get_array().get(rows))
        return false;
      for (auto row : rows) {
        for (auto number : row) {
          double value;
          if (number.get_double().get(value)) return false;
          values.push_back(static_cast<float>(value));
        }
      }
      return values.size() == static_cast<size_t>(width);
    };
    if (!read()) state.SkipWithError("decode");
    benchmark::DoNotOptimize(values.data());
  }
}
BENCHMARK(SimdjsonOnDemandNumbers)->Arg(4)->Arg(784);

void V2DecodeBinary(benchmark::State& state) {
  auto width = static_cast<size_t>(state.range(0));
  Signature signature{{{"x", DataType::kFp32, {-1, state.range(0)}}}, {}};
  std::string body =
      StrCat("{\"id\":\"7\",\"inputs\":[{\"name\":\"x\",\"shape\":[1,", width,
             "],\"datatype\":\"FP32\",\"parameters\":{\"binary_data_size\":", width * sizeof(float),
             "}}]}");
  std::string length = std::to_string(body.size());
  body.append(width * sizeof(float), '\1');
  size_t size = body.size();
  body.append(64, ' ');
  v2::InferCodec codec;
  PredictionCall call;
  for (auto _ : state) {
    codec.SetLengthField(length);
    if (!codec.Decode(std::string_view(body).substr(0, size), signature, call).ok())
      state.SkipWithError("decode");
  }
}
BENCHMARK(V2DecodeBinary)->Arg(4)->Arg(784)->Arg(3 * 224 * 224);

/// 0: JSON, 1: binary.
void V2EncodeTenFloats(benchmark::State& state) {
  Rng rng(1);
  Tensor scores;
  scores.Reset("y", DataType::kFp32);
  scores.shape() = {1, 10};
  for (int i = 0; i < 10; ++i) scores.Push(static_cast<float>(rng.Uniform()));
  TensorView view = scores.View();
  Signature signature{{{"x", DataType::kFp32, {}}}, {{"y", DataType::kFp32, {-1, 10}}}};
  std::string body = StrCat(R"({"inputs":[{"name":"x","shape":[],"datatype":"FP32","data":[1]}],)",
                            R"("parameters":{"binary_data_output":)",
                            state.range(0) == 1 ? "true" : "false", "}}");
  size_t size = body.size();
  body.append(64, ' ');
  v2::InferCodec codec;
  PredictionCall call;
  if (!codec.Decode(std::string_view(body).substr(0, size), signature, call).ok())
    state.SkipWithError("decode");
  call.outputs = {&view, 1};
  std::string out;
  for (auto _ : state) {
    out.clear();
    if (!codec.Encode(call, out).ok()) state.SkipWithError("encode");
  }
}
BENCHMARK(V2EncodeTenFloats)->Arg(0)->Arg(1);

void TfServingEncodeTenFloats(benchmark::State& state) {
  Rng rng(1);
  Tensor scores;
  scores.Reset("y", DataType::kFp32);
  scores.shape() = {1, 10};
  for (int i = 0; i < 10; ++i) scores.Push(static_cast<float>(rng.Uniform()));
  TensorView view = scores.View();
  PredictionCall call;
  call.outputs = {&view, 1};
  tfserving::PredictCodec codec;
  std::string out;
  for (auto _ : state) {
    out.clear();
    if (!codec.Encode(call, out).ok()) state.SkipWithError("encode");
  }
}
BENCHMARK(TfServingEncodeTenFloats);

}  // namespace
}  // namespace leadsman
