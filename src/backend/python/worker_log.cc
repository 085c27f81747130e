#include "backend/python/worker_log.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/log.h"
#include "base/strings.h"

namespace leadsman::python {
namespace {

constexpr size_t kMaxLine = 1024;
constexpr double kLinesPerSecond = 10;
constexpr double kBurst = 50;
constexpr int kReadsAtOnce = 8;

}  // namespace

bool WorkerLog::ReadFrom(int fd) {
  std::array<char, 16384> buffer;
  for (int i = 0; i < kReadsAtOnce; ++i) {
    const ssize_t size = read(fd, buffer.data(), buffer.size());
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    if (size == 0) {
      if (!line_.empty()) Line();
      return false;
    }
    Take({buffer.data(), static_cast<size_t>(size)});
  }
  return true;
}

void WorkerLog::Take(std::string_view text) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view part = text.substr(0, end);
    if (line_.size() < kMaxLine) line_.append(part.substr(0, kMaxLine - line_.size()));
    if (end == std::string_view::npos) return;
    Line();
    text.remove_prefix(end + 1);
  }
}

void WorkerLog::Line() {
  std::string line = std::exchange(line_, {});
  if (Trim(line).empty()) return;
  last_line_ = line;
  const SteadyTime now = clock_.SteadyNow();
  tokens_ = std::min(kBurst, tokens_ + ToSeconds(now - refilled_) * kLinesPerSecond);
  refilled_ = now;
  if (tokens_ < 1) {
    ++dropped_;
    ++dropped_told_;
    return;
  }
  tokens_ -= 1;
  if (dropped_told_ > 0) {
    LOG_WARN("a Python worker printed more than the log takes", {"model", model_},
             {"version", version_}, {"lines_dropped", std::exchange(dropped_told_, 0)});
  }
  LOG_INFO("Python worker", {"model", model_}, {"version", version_}, {"text", line});
}

uint64_t WorkerLog::TakeDropped() { return std::exchange(dropped_, 0); }

}  // namespace leadsman::python
