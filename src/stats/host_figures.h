#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/mutex.h"

namespace leadsman {

/// What the kernel says about the whole machine, as the machine's /proc has it. The parsers are pure, for any text.

struct HostMemory {
  uint64_t total_bytes = 0;
  uint64_t used_bytes = 0;  ///< what is not available for new work
};
/// Of /proc/meminfo. Nothing when it does not say.
std::optional<HostMemory> ParseMeminfo(std::string_view text);
std::optional<HostMemory> ReadHostMemory();

/// Since boot, in ticks, of all cores together.
struct CpuTicks {
  uint64_t busy = 0;
  uint64_t total = 0;
};
/// Of /proc/stat. Nothing when it does not say.
std::optional<CpuTicks> ParseCpuTicks(std::string_view text);

/// The share of the machine's CPU time that was used, 0 to 1, from one reading to the next. Readings within a fraction of a
/// second say what the last one said. Thread-safe.
class CpuUtilization {
 public:
  CpuUtilization();
  double Read();
  /// The same for a reading made elsewhere.
  double Next(const CpuTicks& now);

 private:
  Mutex mutex_;
  CpuTicks last_ GUARDED_BY(mutex_);
  double share_ GUARDED_BY(mutex_) = 0;
};

}  // namespace leadsman
