#include <benchmark/benchmark.h>

#include "base/rng.h"
#include "serving/metrics.h"

namespace leadsman {
namespace {

/// What counting one request costs the thread that serves it. Latencies spread over a factor of eight, as those of one model do.
void BM_CountRequest(benchmark::State& state) {
  Registry registry;
  ServingMetrics metrics(registry);
  ServableVersion version;
  version.model_name = "iris";
  version.version = 1;
  version.id = 1;
  Rng rng(7);
  std::vector<RequestTimes> times(1024);
  for (RequestTimes& one : times)
    one = {.latency_ns = 100'000 + rng.Below(700'000), .compute_ns = 20'000 + rng.Below(140'000)};
  size_t i = 0;
  for (auto _ : state) {
    metrics.Started();
    metrics.Finished(&version, "iris", Protocol::kV2Rest, TfServingApi::kUncounted, StatusCode::kOk,
                     times[i++ % times.size()], 1, 1);
  }
}
BENCHMARK(BM_CountRequest);

/// Reading all of it, with so many versions.
void BM_Collect(benchmark::State& state) {
  Registry registry;
  ServingMetrics metrics(registry);
  for (int64_t i = 0; i < state.range(0); ++i) {
    ServableVersion version;
    version.model_name = "iris";
    version.version = i;
    version.id = static_cast<uint32_t>(i + 1);
    metrics.Finished(&version, "iris", Protocol::kV2Rest, TfServingApi::kUncounted, StatusCode::kOk,
                     {.latency_ns = 300'000, .compute_ns = 100'000}, 1, 1);
  }
  for (auto _ : state) benchmark::DoNotOptimize(registry.Collect());
}
BENCHMARK(BM_Collect)->Arg(10)->Arg(1000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace leadsman
