// Decode and encode alone: what a request costs here apart from network and model.
#include <benchmark/benchmark.h>

#include <string>

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
  Signature signature{{{"x", DataType::kFp32, {-1, width}}}, {}};
  std::string body = StrCat("{\"instances\":[[", Values(width), "]]}");
  size_t size = body.size();
  body.append(64, ' ');
  tfserving::PredictCodec codec;
  PredictionCall call;
  for (auto _ : state) {
    if (!codec.Decode(std::string_view(body).substr(0, size), signature, call).ok())
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
