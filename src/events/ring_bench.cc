#include <benchmark/benchmark.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "events/ring.h"
#include "events/ring_set.h"

namespace leadsman {
namespace {

/// One record in and out on one thread: the cost without cache misses between cores.
void BM_RingWriteAndRead(benchmark::State& state) {
  RingSet rings(1 << 20);
  const auto size = static_cast<size_t>(state.range(0));
  std::vector<char> payload(size, 'x');
  uint64_t sum = 0;
  for (auto _ : state) {
    ByteRing* ring = rings.ForThisThread();
    for (int i = 0; i < 64; ++i) {
      if (std::byte* p = ring->Reserve(size)) {
        std::memcpy(p, payload.data(), size);
        ring->Commit(size);
      }
    }
    rings.Drain([&](const std::byte* p, size_t n) { sum += n + static_cast<size_t>(p[0]); });
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations() * 64);
}
BENCHMARK(BM_RingWriteAndRead)->Arg(128)->Arg(3200);

/// The writer's cost while another thread drains.
void BM_RingWriteAgainstReader(benchmark::State& state) {
  RingSet rings(1 << 20);
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    while (!stop) {
      if (rings.Drain([](const std::byte* p, size_t) { benchmark::DoNotOptimize(p[0]); }) == 0) {
        std::this_thread::yield();
      }
    }
  });
  char payload[128] = {};
  for (auto _ : state) {
    ByteRing* ring = rings.ForThisThread();
    std::byte* p = ring->Reserve(sizeof(payload));
    while (p == nullptr) {  // only records that got through count
      std::this_thread::yield();
      p = ring->Reserve(sizeof(payload));
    }
    std::memcpy(p, payload, sizeof(payload));
    ring->Commit(sizeof(payload));
  }
  stop = true;
  reader.join();
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_RingWriteAgainstReader);

}  // namespace
}  // namespace leadsman
