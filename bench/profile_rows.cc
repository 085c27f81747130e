// Rows of numbers → the monitor's profiles, without a file format in between: what `./dev bench monitor` compares with programs
// that profile data frames. Prints one JSON object.
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/strings.h"
#include "events/prediction_event.h"
#include "monitor/monitor.h"
#include "stats/registry.h"

namespace leadsman {
namespace {

double ProcessCpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

/// `path` holds rows of `width` 32-bit numbers, one behind the other.
int Run(const std::string& path, size_t width) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const auto bytes = static_cast<size_t>(file.tellg());
  std::vector<float> values(bytes / sizeof(float));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(float)));
  if (!file || values.size() % width != 0) {
    std::fprintf(stderr, "%s does not hold rows of %zu numbers\n", path.c_str(), width);
    return 1;
  }
  Registry registry;
  auto monitor = Monitor::Create({SystemClock(), registry}, MonitorOptions(), {});
  if (!monitor.ok()) return 1;
  Mutex mutex;
  CondVar never;

  const double cpu = ProcessCpuSeconds();
  const SteadyTime begin = SystemClock().SteadyNow();
  PredictionEvent event;
  event.model = "rows";
  event.version = 1;
  event.observed = true;
  event.latency_known = false;
  for (size_t at = 0; at < values.size(); at += width) {
    event.features = {&values[at], width};
    while (!(*monitor)->TryEmit(event)) {
      MutexLock lock(mutex);
      (void)never.WaitFor(mutex, std::chrono::milliseconds(1));
    }
  }
  if (!(*monitor)->Flush(std::chrono::minutes(1))) return 1;
  const double seconds = ToSeconds(SystemClock().SteadyNow() - begin);
  const size_t rows = values.size() / width;
  if ((*monitor)->counters().events != rows) return 1;
  std::printf("{\"rows\": %zu, \"cpu_seconds\": %.6f, \"seconds\": %.6f}\n", rows,
              ProcessCpuSeconds() - cpu, seconds);
  return 0;
}

}  // namespace
}  // namespace leadsman

int main(int argc, char** argv) {
  const auto width = leadsman::ParseInt64(argc == 3 ? argv[2] : "");
  if (!width || *width < 1) {
    std::fprintf(stderr, "usage: profile_rows FILE WIDTH\n");
    return 2;
  }
  return leadsman::Run(argv[1], static_cast<size_t>(*width));
}
