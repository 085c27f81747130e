#include <benchmark/benchmark.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "base/testing/temp_dir.h"
#include "monitor/monitor.h"
#include "stats/process_metrics.h"

namespace leadsman {
namespace {

/// What one monitored request costs in all: the emitting thread's CPU time and that of the
/// collector and database threads, at a steady rate as a server would have it (a request every 9.5
/// or 28 µs, here spent spinning).
void BM_EmitAndCollect(benchmark::State& state) {
  const auto width = static_cast<size_t>(state.range(0));
  const auto gap = std::chrono::nanoseconds(state.range(1));
  const bool with_ids = state.range(2) != 0;
  const bool is_edge = state.range(3) != 0;  // whose profiles are sent elsewhere
  TempDir dir;
  Registry registry;
  MonitorOptions options;
  options.database = dir.file("monitor.db");
  options.keep_intervals = is_edge;
  auto monitor = Monitor::Create({SystemClock(), registry}, options, {});
  if (!monitor.ok()) return state.SkipWithError("no monitor");
  const uint32_t stride = (*monitor)->FeatureStride(width);
  std::vector<float> features(width);
  for (size_t i = 0; i < width; ++i) features[i] = static_cast<float>(i % 255) / 255;
  std::string_view predicted[] = {"7"};
  std::string id = "0f8fad5b-d9cb-469f-a165-70867728950e";
  PredictionEvent event;
  event.model = "digits";
  event.version = 1;
  event.version_id = 1;
  event.unix_ms = UnixMillis(SystemClock().Now());
  event.predicted = predicted;
  event.score = 0.9f;
  uint64_t n = 0;
  auto emit = [&] {
    if (with_ids) {
      for (size_t k = 0; k < 8; ++k) id[k] = static_cast<char>('a' + ((n >> (4 * k)) & 15));
      event.request_id = id;
    }
    event.latency_ns = 9'000 + n % 5'000;
    event.features = n % stride == 0 ? std::span<const float>(features) : std::span<const float>();
    event.feature_weight = static_cast<float>(stride);
    features[n % width] += 0.001f;
    (*monitor)->Emit(event);
    ++n;
  };
  // Until the share of kept predictions has found its level.
  auto warm = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
  for (auto next = std::chrono::steady_clock::now(); next < warm; next += gap * 32) {
    for (int i = 0; i < 32; ++i) emit();
    while (std::chrono::steady_clock::now() < next) {
    }
  }
  (void)(*monitor)->Flush(std::chrono::seconds(5));
  Duration collector_before = (*monitor)->counters().collector_cpu;
  Duration emitting{};
  uint64_t emitted = 0;
  auto started = std::chrono::steady_clock::now();
  for (auto _ : state) {
    // In bursts, as reading the clock costs as much as emitting.
    constexpr int kBurst = 32;
    auto next = std::chrono::steady_clock::now() + gap * kBurst;
    auto begin = ThreadCpuTime();
    for (int i = 0; i < kBurst; ++i) emit();
    emitting += ThreadCpuTime() - begin;
    emitted += kBurst;
    while (std::chrono::steady_clock::now() < next) {
    }
  }
  (void)(*monitor)->Flush(std::chrono::seconds(5));
  auto counters = (*monitor)->counters();
  auto per_event = [&](Duration d) {
    return static_cast<double>(d.count()) / static_cast<double>(emitted);
  };
  state.counters["emit_ns"] = per_event(emitting);
  state.counters["collector_ns"] = per_event(counters.collector_cpu - collector_before);
  state.counters["total_ns"] = per_event(emitting + counters.collector_cpu - collector_before);
  state.counters["events_per_s"] =
      static_cast<double>(emitted) / ToSeconds(std::chrono::steady_clock::now() - started);
  state.counters["dropped"] = static_cast<double>(counters.events_dropped);
}
BENCHMARK(BM_EmitAndCollect)
    ->ArgNames({"width", "gap_ns", "ids", "edge"})
    ->Args({4, 9'500, 0, 0})
    ->Args({4, 9'500, 0, 1})
    ->Args({4, 9'500, 1, 0})
    ->Args({64, 28'000, 0, 0})
    ->Args({784, 28'000, 0, 0})
    ->Args({784, 28'000, 0, 1})
    ->Args({784, 28'000, 1, 0})
    ->MinTime(2.0)
    ->UseRealTime();

}  // namespace
}  // namespace leadsman
