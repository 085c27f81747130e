#include "stats/host_figures.h"

#include <gtest/gtest.h>

namespace leadsman {
namespace {

TEST(HostFiguresTest, MemoryInUseIsWhatIsNotAvailable) {
  std::optional<HostMemory> memory =
      ParseMeminfo("MemTotal:       16384 kB\nMemFree:  100 kB\nMemAvailable:    4096 kB\n");
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->total_bytes, 16384u * 1024);
  EXPECT_EQ(memory->used_bytes, 12288u * 1024);
  for (const char* text : {"", "MemTotal: 1 kB\n", "MemTotal: x kB\nMemAvailable: 1 kB\n"})
    EXPECT_FALSE(ParseMeminfo(text)) << text;
}

TEST(HostFiguresTest, WaitingForDisksIsIdleTime) {
  std::optional<CpuTicks> ticks = ParseCpuTicks("cpu  10 1 20 100 50 3 4 5 9 9\ncpu0 1 1 1 1 1\n");
  ASSERT_TRUE(ticks);
  EXPECT_EQ(ticks->busy, 10u + 1 + 20 + 3 + 4 + 5);
  EXPECT_EQ(ticks->total, ticks->busy + 150);
  for (const char* text : {"", "cpu", "cpu0 1 2 3 4 5", "cpu 1 2 3 4", "cpu 1 2 -3 4 5"})
    EXPECT_FALSE(ParseCpuTicks(text)) << text;
}

TEST(HostFiguresTest, UtilizationIsThatSinceTheLastReading) {
  CpuUtilization utilization;
  const uint64_t start = uint64_t{1} << 50;  // later than this machine's own
  utilization.Next({.busy = 0, .total = start});
  EXPECT_DOUBLE_EQ(utilization.Next({.busy = 100, .total = start + 400}), 0.25);
  EXPECT_DOUBLE_EQ(utilization.Next({.busy = 105, .total = start + 405}), 0.25) << "too soon";
  EXPECT_DOUBLE_EQ(utilization.Next({.busy = 500, .total = start + 800}), 1);
  EXPECT_DOUBLE_EQ(utilization.Next({}), 1) << "nothing could be read";
}

TEST(HostFiguresTest, ThisMachineSaysSomething) {
  std::optional<HostMemory> memory = ReadHostMemory();
  ASSERT_TRUE(memory);
  EXPECT_GT(memory->total_bytes, memory->used_bytes);
  double share = CpuUtilization().Read();
  EXPECT_TRUE(share >= 0 && share <= 1) << share;
}

}  // namespace
}  // namespace leadsman
