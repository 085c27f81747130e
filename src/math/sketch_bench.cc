#include <benchmark/benchmark.h>

#include <array>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "base/rng.h"
#include "math/distinct_count.h"
#include "math/heavy_hitters.h"
#include "math/quantile_sketch.h"
#include "math/reference_bins.h"
#include "math/sketch_hash.h"

namespace leadsman {
namespace {

constexpr size_t kValues = 1 << 14;

const std::vector<double>& Values() {
  static const std::vector<double> values = [] {
    Rng rng(1);
    std::lognormal_distribution<double> draw(0, 2);
    std::vector<double> made(kValues);
    for (double& v : made) v = draw(rng) * (rng.Below(4) ? 1 : -1);
    return made;
  }();
  return values;
}

/// One value an iteration: the time is ns per value.
template <typename Step>
void PerValue(benchmark::State& state, Step step) {
  const std::vector<double>& values = Values();
  size_t i = 0;
  for (auto _ : state) step(values[i++ % kValues]);
  state.SetItemsProcessed(state.iterations());
}

void BM_QuantileSketchAdd(benchmark::State& state) {
  QuantileSketch sketch;
  PerValue(state, [&](double v) { sketch.Add(v); });
  benchmark::DoNotOptimize(sketch);
}
BENCHMARK(BM_QuantileSketchAdd);

void BM_QuantileSketchMerge(benchmark::State& state) {
  QuantileSketch sketch, sum;
  for (double v : Values()) sketch.Add(v);
  for (auto _ : state) sum.Merge(sketch);
}
BENCHMARK(BM_QuantileSketchMerge);

void BM_QuantileSketchQuantile(benchmark::State& state) {
  QuantileSketch sketch;
  for (double v : Values()) sketch.Add(v);
  for (auto _ : state) benchmark::DoNotOptimize(sketch.Quantile(0.9));
}
BENCHMARK(BM_QuantileSketchQuantile);

void BM_QuantileSketchToBytesAndBack(benchmark::State& state) {
  QuantileSketch sketch;
  for (double v : Values()) sketch.Add(v);
  for (auto _ : state) benchmark::DoNotOptimize(QuantileSketch::Parse(sketch.ToBytes()));
  state.counters["bytes"] = static_cast<double>(sketch.ToBytes().size());
}
BENCHMARK(BM_QuantileSketchToBytesAndBack);

/// range(0) different values.
void BM_DistinctCountAdd(benchmark::State& state) {
  DistinctCount distinct;
  uint64_t i = 0, different = static_cast<uint64_t>(state.range(0));
  for (auto _ : state) distinct.Add(SketchHash(i++ % different));
  benchmark::DoNotOptimize(distinct);
}
BENCHMARK(BM_DistinctCountAdd)->Arg(10)->Arg(128)->Arg(100'000);

void BM_DistinctCountMerge(benchmark::State& state) {
  DistinctCount one, other;
  for (uint64_t i = 0; i < 10'000; ++i) other.Add(SketchHash(i));
  for (auto _ : state) one.Merge(other);
}
BENCHMARK(BM_DistinctCountMerge);

void BM_DistinctCountEstimate(benchmark::State& state) {
  DistinctCount distinct;
  for (uint64_t i = 0; i < 10'000; ++i) distinct.Add(SketchHash(i));
  for (auto _ : state) benchmark::DoNotOptimize(distinct.Estimate());
}
BENCHMARK(BM_DistinctCountEstimate);

void BM_HashOfText(benchmark::State& state) {
  std::string text(static_cast<size_t>(state.range(0)), 'x');
  for (auto _ : state) {
    benchmark::DoNotOptimize(text.data());
    benchmark::DoNotOptimize(SketchHash(std::string_view(text)));
  }
}
BENCHMARK(BM_HashOfText)->Arg(8)->Arg(64);

/// Zipf-like words, range(0) of them; 64 are kept.
void BM_HeavyHittersAdd(benchmark::State& state) {
  Rng rng(2);
  std::vector<std::string> words(kValues);
  for (std::string& word : words) {
    double which = std::exp(rng.Uniform() * std::log(static_cast<double>(state.range(0))));
    word = "word-" + std::to_string(static_cast<int>(which));
  }
  HeavyHitters heavy(64);
  size_t i = 0;
  for (auto _ : state) heavy.Add(words[i++ % kValues]);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_HeavyHittersAdd)->Arg(50)->Arg(10'000);

void BM_BinnedCountsAdd(benchmark::State& state) {
  std::vector<float> sample(Values().begin(), Values().end());
  ReferenceBins bins = ReferenceBins::FromSample(sample, static_cast<size_t>(state.range(0)));
  BinnedCounts counts(bins);
  size_t i = 0;
  for (auto _ : state) counts.Add(bins, sample[i++ % kValues]);
  state.SetItemsProcessed(state.iterations());
  benchmark::DoNotOptimize(counts);
}
BENCHMARK(BM_BinnedCountsAdd)->Arg(10)->Arg(31);

}  // namespace
}  // namespace leadsman
