#include "base/cpu.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <thread>
#include <vector>

#include "base/fs.h"
#include "base/strings.h"

namespace leadsman {
namespace {

constexpr size_t kMaxBytes = 64 << 10;

std::optional<double> Ratio(std::optional<int64_t> quota, std::optional<int64_t> period) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

std::optional<int64_t> NumberIn(const std::string& path) {
  Result<std::string> text = ReadFile(path, kMaxBytes);
  if (!text.ok()) return std::nullopt;
  return ParseInt64(Trim(*text));
}

/// The least that `read` finds in the group's folder and those above it. In a container the path of /proc/self/cgroup may be the
/// host's, which is not there: the mount's root is the container's own group then.
template <typename Read>
std::optional<double> LeastUpwards(const std::string& mount, std::string group, Read read) {
  std::optional<double> least;
  for (;;) {
    std::optional<double> limit = read(group == "/" ? mount : mount + group);
    if (limit && (!least || *limit < *least)) least = limit;
    if (group == "/" || group.empty()) return least;
    size_t slash = group.rfind('/');
    group = slash == 0 || slash == std::string::npos ? "/" : group.substr(0, slash);
  }
}

}  // namespace

std::optional<double> ParseCpuMax(std::string_view text) {
  std::vector<std::string_view> words = Split(Trim(text), ' ');
  if (words.size() != 2) return std::nullopt;
  return Ratio(ParseInt64(words[0]), ParseInt64(words[1]));
}

std::optional<double> CgroupCpuLimit(const std::string& root) {
  Result<std::string> groups = ReadFile(root + "/proc/self/cgroup", kMaxBytes);
  if (!groups.ok()) return std::nullopt;
  std::optional<double> least;
  auto take = [&](std::optional<double> limit) {
    if (limit && (!least || *limit < *least)) least = limit;
  };
  const std::string mount = root + "/sys/fs/cgroup";
  for (std::string_view line : Split(*groups, '\n')) {
    // "0::/path" is v2; "4:cpu,cpuacct:/path" is v1.
    size_t first = line.find(':');
    size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    std::string_view controllers = line.substr(first + 1, second - first - 1);
    std::string group(line.substr(second + 1));
    if (group.empty() || group[0] != '/') continue;
    if (controllers.empty()) {
      take(LeastUpwards(mount, group, [](const std::string& folder) -> std::optional<double> {
        Result<std::string> text = ReadFile(folder + "/cpu.max", kMaxBytes);
        return text.ok() ? ParseCpuMax(*text) : std::nullopt;
      }));
      continue;
    }
    for (std::string_view controller : Split(controllers, ',')) {
      if (controller != "cpu") continue;
      for (const char* name : {"/cpu", "/cpu,cpuacct"}) {
        take(LeastUpwards(mount + name, group, [](const std::string& folder) {
          return Ratio(NumberIn(folder + "/cpu.cfs_quota_us"),
                       NumberIn(folder + "/cpu.cfs_period_us"));
        }));
      }
    }
  }
  return least;
}

int AvailableCores(const std::string& root) {
  int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof mask, &mask) == 0)
    cores = std::min(cores, std::max(1, CPU_COUNT(&mask)));
  if (std::optional<double> limit = CgroupCpuLimit(root)) {
    cores = std::min(cores, std::max(1, static_cast<int>(std::ceil(*limit))));
  }
  return cores;
}

}  // namespace leadsman
