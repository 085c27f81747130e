#include "stats/process_metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/strings.h"

namespace leadsman {
namespace {

/// The start of a /proc file; they are short.
std::string ReadSmallFile(const char* path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  std::string text(8192, '\0');
  ssize_t n = read(fd, text.data(), text.size());
  close(fd);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

uint64_t CountOpenFds() {
  DIR* dir = opendir("/proc/self/fd");
  if (dir == nullptr) return 0;
  uint64_t count = 0;
  while (const dirent* entry = readdir(dir)) {
    if (entry->d_name[0] != '.') ++count;
  }
  closedir(dir);
  return count > 0 ? count - 1 : 0;  // without the descriptor of this listing
}

double BootTimeUnixSeconds() {
  timespec wall{};
  timespec boot{};
  clock_gettime(CLOCK_REALTIME, &wall);
  clock_gettime(CLOCK_BOOTTIME, &boot);
  return static_cast<double>(wall.tv_sec - boot.tv_sec) +
         static_cast<double>(wall.tv_nsec - boot.tv_nsec) * 1e-9;
}

std::vector<MetricSample> One(double value) {
  MetricSample sample;
  sample.value = value;
  return {sample};
}

}  // namespace

namespace {

/// Everything but the descriptor count, which is costly with thousands of connections.
ProcessFigures ReadCheapFigures() {
  ProcessFigures figures;
  std::string stat = ReadSmallFile("/proc/self/stat");
  // The second field is the command in brackets and may hold blanks and brackets itself.
  if (size_t end = stat.rfind(')'); end != std::string::npos && end + 2 < stat.size()) {
    auto fields = Split(std::string_view(stat).substr(end + 2), ' ');
    auto field = [&](size_t number) -> double {  // numbered as in proc(5)
      size_t i = number - 3;
      return i < fields.size() ? ParseDouble(fields[i]).value_or(0) : 0;
    };
    const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    figures.threads = static_cast<uint64_t>(field(20));
    figures.virtual_bytes = static_cast<uint64_t>(field(23));
    figures.resident_bytes =
        static_cast<uint64_t>(field(24)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    // Taken once: the wall clock may jump later, the process did not start anew then.
    static const double start = BootTimeUnixSeconds() + field(22) / ticks;
    figures.start_time_unix_seconds = start;
  }
  timespec cpu{};
  if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0) {
    figures.cpu_seconds = static_cast<double>(cpu.tv_sec) + static_cast<double>(cpu.tv_nsec) * 1e-9;
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) figures.max_fds = limit.rlim_cur;
  return figures;
}

}  // namespace

ProcessFigures ReadProcessFigures() {
  ProcessFigures figures = ReadCheapFigures();
  figures.open_fds = CountOpenFds();
  return figures;
}

std::vector<Registry::Registration> AddProcessMetrics(Registry& registry, std::string version) {
  std::vector<Registry::Registration> out;
  auto add = [&](const char* name, const char* help, MetricType type,
                 double (*read)(const ProcessFigures&)) {
    out.push_back(
        registry.Add({name, help, type, {}}, [read] { return One(read(ReadCheapFigures())); }));
  };
  using F = const ProcessFigures&;
  add("process_cpu_seconds_total", "User and system CPU time spent, in seconds.",
      MetricType::kCounter, [](F f) { return f.cpu_seconds; });
  add("process_resident_memory_bytes", "Resident memory size in bytes.", MetricType::kGauge,
      [](F f) { return static_cast<double>(f.resident_bytes); });
  add("process_virtual_memory_bytes", "Virtual memory size in bytes.", MetricType::kGauge,
      [](F f) { return static_cast<double>(f.virtual_bytes); });
  out.push_back(
      registry.Add({"process_open_fds", "Number of open file descriptors.", MetricType::kGauge, {}},
                   [] { return One(static_cast<double>(CountOpenFds())); }));
  add("process_max_fds", "Maximum number of open file descriptors.", MetricType::kGauge,
      [](F f) { return static_cast<double>(f.max_fds); });
  add("process_threads", "Number of operating system threads in the process.", MetricType::kGauge,
      [](F f) { return static_cast<double>(f.threads); });
  add("process_start_time_seconds", "Start time of the process since the unix epoch, in seconds.",
      MetricType::kGauge, [](F f) { return f.start_time_unix_seconds; });
  out.push_back(registry.Add({"leadsman_build_info",
                              "Always 1; the labels say which build this is.",
                              MetricType::kGauge,
                              {"version", "compiler"}},
                             [version = std::move(version)] {
                               MetricSample sample;
                               sample.label_values = {version, __VERSION__};
                               sample.value = 1;
                               return std::vector<MetricSample>{sample};
                             }));
  return out;
}

Duration ThreadCpuTime() {
  timespec cpu{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
  return std::chrono::seconds(cpu.tv_sec) + std::chrono::nanoseconds(cpu.tv_nsec);
}

}  // namespace leadsman
