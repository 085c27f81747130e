#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "base/rng.h"
#include "math/alarm_budget.h"
#include "math/block_detector.h"
#include "math/distance.h"
#include "math/independence.h"

namespace leadsman {
namespace {

std::vector<double> Normal(size_t size, uint64_t seed) {
  Rng rng(seed);
  std::normal_distribution<double> normal;
  std::vector<double> values(size);
  for (double& v : values) v = normal(rng);
  return values;
}

void BM_RankEvidenceLook(benchmark::State& state) {
  Rng rng(1);
  RankEvidence evidence;
  for (auto _ : state) {
    double u = rng.Uniform();
    evidence.Look(u, 1 - u);
    benchmark::DoNotOptimize(evidence);
  }
}
BENCHMARK(BM_RankEvidenceLook);

/// One block of a detector with range(0) blocks of reference; at the largest it grows no longer.
void BM_BlockDetectorLook(benchmark::State& state) {
  std::vector<double> blocks = Normal(BlockDetector::kMaxBlocks, 2);
  BlockDetector detector(Normal(static_cast<size_t>(state.range(0)), 3), {});
  size_t i = 0;
  for (auto _ : state) {
    detector.Look(blocks[i++ % blocks.size()]);
    benchmark::DoNotOptimize(detector.evidence());
  }
}
BENCHMARK(BM_BlockDetectorLook)->Arg(200)->Arg(BlockDetector::kMaxBlocks);

/// 3000 blocks joining a reference of 1000, one after the other: per block.
void BM_BlockDetectorGrows(benchmark::State& state) {
  std::vector<double> reference = Normal(1000, 4), blocks = Normal(3000, 5);
  for (auto _ : state) {
    BlockDetector detector(reference, {});
    for (double block : blocks) detector.Look(block);
    benchmark::DoNotOptimize(detector.evidence());
  }
  state.SetItemsProcessed(state.iterations() * 3000);
}
BENCHMARK(BM_BlockDetectorGrows);

void BM_CheckIndependence(benchmark::State& state) {
  std::vector<double> blocks = Normal(1000, 6);
  for (auto _ : state) benchmark::DoNotOptimize(CheckIndependence(blocks));
}
BENCHMARK(BM_CheckIndependence);

void BM_DecideAlarm(benchmark::State& state) {
  std::vector<EvidenceStream> streams(static_cast<size_t>(state.range(0)));
  for (auto& stream : streams) stream = {1.0 / static_cast<double>(streams.size()), 1 / 60.0, 3};
  for (auto _ : state) benchmark::DoNotOptimize(DecideAlarm({}, streams));
}
BENCHMARK(BM_DecideAlarm)->Arg(1000);

void BM_DistancesOfTenBins(benchmark::State& state) {
  std::vector<uint64_t> reference{90, 110, 95, 105, 80, 120, 100, 100, 97, 103}, window(10, 50);
  for (auto _ : state) {
    benchmark::DoNotOptimize(PopulationStabilityIndex(reference, window));
    benchmark::DoNotOptimize(JensenShannonDistance(reference, window));
    benchmark::DoNotOptimize(ChiSquare(reference, window));
    benchmark::DoNotOptimize(KolmogorovSmirnovOfCells(reference, window));
  }
}
BENCHMARK(BM_DistancesOfTenBins);

void BM_WassersteinOfSketches(benchmark::State& state) {
  QuantileSketch one, other;
  for (double v : Normal(10'000, 7)) one.Add(v);
  for (double v : Normal(10'000, 8)) other.Add(v);
  WeightedValues reference = ValuesOf(one);
  for (auto _ : state) {
    benchmark::DoNotOptimize(WassersteinInSigmas(reference, ValuesOf(other)));
  }
}
BENCHMARK(BM_WassersteinOfSketches);

}  // namespace
}  // namespace leadsman
