#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "intake/log_follower.h"

namespace leadsman {
namespace {

double CpuSeconds() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Bytes a second of a file in the page cache, lines counted only.
void BM_Read(benchmark::State& state) {
  TempDir dir;
  const auto length = static_cast<size_t>(state.range(0));
  {
    std::ofstream out(dir.file("a.log"));
    const std::string line(length - 1, 'x');
    for (size_t i = 0; i < (256u << 20) / length; ++i) out << line << '\n';
  }
  FollowerOptions options;
  options.globs = {dir.file("*.log")};
  options.from = FollowerOptions::From::kBeginning;
  uint64_t lines = 0, bytes = 0;
  for (auto _ : state) {
    FakeClock clock;
    LogFollower* self = nullptr;
    LogFollower follower({clock}, options, std::nullopt, [&](const LineBatch& batch) {
      lines += batch.lines.size();
      self->Accept(batch.ticket);
    });
    self = &follower;
    while (follower.Poll().more) {
    }
    bytes += follower.counters().bytes;
  }
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
  state.SetItemsProcessed(static_cast<int64_t>(lines));
}
BENCHMARK(BM_Read)->Arg(100)->Arg(300)->Arg(2000)->Unit(benchmark::kMillisecond);

/// One look at files that nobody writes to, in folders as Kubernetes has them or in one folder.
void BM_IdleLook(benchmark::State& state) {
  TempDir dir;
  const bool pods = state.range(1) != 0;
  for (int64_t i = 0; i < state.range(0); ++i) {
    const std::string folder = pods ? StrCat("pods/ns_pod-", i, "_uid/web") : std::string("pods");
    std::filesystem::create_directories(dir.path() / folder);
    std::ofstream(dir.file(StrCat(folder, "/", i, ".log"))) << "a line\n";
  }
  FollowerOptions options;
  options.globs = {dir.file(pods ? "pods/*/*/*.log" : "pods/*.log")};
  FakeClock clock;
  LogFollower follower({clock}, options, std::nullopt, [](const LineBatch&) {});
  (void)follower.Poll();
  const double begin = CpuSeconds();
  for (auto _ : state) {
    clock.Advance(options.look_interval);
    (void)follower.Poll();
  }
  state.counters["cpu_us_per_look"] =
      benchmark::Counter((CpuSeconds() - begin) * 1e6 / double(state.iterations()));
}
BENCHMARK(BM_IdleLook)
    ->Args({200, 0})
    ->Args({200, 1})
    ->Args({1000, 1})
    ->Unit(benchmark::kMicrosecond);

/// Positions of so many files as text: what a journal costs at most once a second, without the disk.
void BM_Positions(benchmark::State& state) {
  TempDir dir;
  for (int64_t i = 0; i < state.range(0); ++i) {
    std::ofstream(dir.file(StrCat(i, ".log"))) << "a line\n";
  }
  FollowerOptions options;
  options.globs = {dir.file("*.log")};
  FakeClock clock;
  LogFollower follower({clock}, options, std::nullopt, [](const LineBatch&) {});
  (void)follower.Poll();
  for (auto _ : state) benchmark::DoNotOptimize(SerializePositions(follower.Accepted()));
}
BENCHMARK(BM_Positions)->Arg(200)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace leadsman
