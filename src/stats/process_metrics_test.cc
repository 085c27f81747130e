#include "stats/process_metrics.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace leadsman {
namespace {

TEST(ProcessMetricsTest, FiguresArePlausible) {
  ProcessFigures figures = ReadProcessFigures();
  EXPECT_GT(figures.cpu_seconds, 0);
  EXPECT_GT(figures.resident_bytes, 1u << 20);
  EXPECT_GE(figures.open_fds, 3u);
  EXPECT_GE(figures.max_fds, figures.open_fds);
  EXPECT_GE(figures.threads, 1u);
  double now = UnixSeconds(SystemClock().Now());
  EXPECT_LE(figures.start_time_unix_seconds, now + 1);
  EXPECT_GT(figures.start_time_unix_seconds, now - 3600);
}

TEST(ProcessMetricsTest, RegistersTheStandardNames) {
  Registry registry;
  auto registrations = AddProcessMetrics(registry, "0.1.0");
  std::vector<std::string> names;
  for (const auto& family : registry.Collect()) {
    names.push_back(family.description->name);
    EXPECT_EQ(family.samples.size(), 1u);
  }
  for (const char* name :
       {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
        "process_start_time_seconds", "process_threads", "leadsman_build_info"}) {
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
  }
}

}  // namespace
}  // namespace leadsman
