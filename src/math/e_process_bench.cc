#include <benchmark/benchmark.h>

#include "math/e_process.h"

namespace leadsman {
namespace {

void BM_HarmUpdate(benchmark::State& state) {
  HarmTest test;
  for (auto _ : state) {
    test.Update({100, 1}, {900, 9});
    benchmark::DoNotOptimize(test);
  }
}
BENCHMARK(BM_HarmUpdate);

void BM_HarmLogE(benchmark::State& state) {
  HarmTest test;
  test.Update({100, 5}, {900, 9});
  for (auto _ : state) benchmark::DoNotOptimize(test.log_e());
}
BENCHMARK(BM_HarmLogE);

void BM_SafeUpdate(benchmark::State& state) {
  SafeTest test(1.5);
  for (auto _ : state) {
    test.Update({100, 1}, {900, 9});
    benchmark::DoNotOptimize(test);
  }
}
BENCHMARK(BM_SafeUpdate);

}  // namespace
}  // namespace leadsman
