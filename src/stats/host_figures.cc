#include "stats/host_figures.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/strings.h"

namespace leadsman {
namespace {

/// Fewer say too little: 100 a second and core.
constexpr uint64_t kLeastTicks = 20;

std::string ReadProc(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// The number behind "Name:", in bytes: the file has kB.
std::optional<uint64_t> Bytes(std::string_view text, std::string_view name) {
  for (std::string_view line : Split(text, '\n')) {
    if (!line.starts_with(name)) continue;
    line = Trim(line.substr(name.size()));
    std::optional<int64_t> kib = ParseInt64(line.substr(0, line.find(' ')));
    if (kib && *kib >= 0 && *kib < INT64_MAX / 1024) return static_cast<uint64_t>(*kib) * 1024;
  }
  return std::nullopt;
}

}  // namespace

std::optional<HostMemory> ParseMeminfo(std::string_view text) {
  std::optional<uint64_t> total = Bytes(text, "MemTotal:");
  std::optional<uint64_t> available = Bytes(text, "MemAvailable:");
  if (!total || !available) return std::nullopt;
  return HostMemory{.total_bytes = *total, .used_bytes = *total - std::min(*total, *available)};
}

std::optional<HostMemory> ReadHostMemory() { return ParseMeminfo(ReadProc("/proc/meminfo")); }

std::optional<CpuTicks> ParseCpuTicks(std::string_view text) {
  // cpu user nice system idle iowait irq softirq steal …; guests are in user and nice already.
  std::string_view line = text.substr(0, text.find('\n'));
  if (!line.starts_with("cpu ")) return std::nullopt;
  CpuTicks ticks;
  size_t column = 0;
  for (std::string_view field : Split(line.substr(4), ' ')) {
    if (field.empty()) continue;
    std::optional<int64_t> value = ParseInt64(field);
    if (!value || *value < 0) return std::nullopt;
    const bool idle = column == 3 || column == 4;
    if (column < 8) {
      ticks.total += static_cast<uint64_t>(*value);
      if (!idle) ticks.busy += static_cast<uint64_t>(*value);
    }
    ++column;
  }
  return column < 5 ? std::nullopt : std::optional<CpuTicks>(ticks);
}

CpuUtilization::CpuUtilization()
    : last_(ParseCpuTicks(ReadProc("/proc/stat")).value_or(CpuTicks())) {}

double CpuUtilization::Read() {
  std::optional<CpuTicks> now = ParseCpuTicks(ReadProc("/proc/stat"));
  return Next(now.value_or(CpuTicks()));
}

double CpuUtilization::Next(const CpuTicks& now) {
  MutexLock lock(mutex_);
  if (now.total < last_.total + kLeastTicks) return share_;
  const uint64_t busy = now.busy > last_.busy ? now.busy - last_.busy : 0;
  share_ = std::min(1.0, static_cast<double>(busy) / static_cast<double>(now.total - last_.total));
  last_ = now;
  return share_;
}

}  // namespace leadsman
