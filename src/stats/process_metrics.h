#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "stats/registry.h"

namespace leadsman {

/// What the kernel says about this process. Fields that cannot be read stay 0.
struct ProcessFigures {
  double cpu_seconds = 0;  ///< user and system, all threads
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  uint64_t open_fds = 0;
  uint64_t max_fds = 0;
  uint64_t threads = 0;
  double start_time_unix_seconds = 0;
};
ProcessFigures ReadProcessFigures();

/// process_cpu_seconds_total, process_resident_memory_bytes, … under the names every Prometheus
/// dashboard knows, and leadsman_build_info. Reads /proc at each scrape. The families go with the
/// returned registrations.
[[nodiscard]] std::vector<Registry::Registration> AddProcessMetrics(Registry& registry,
                                                                    std::string version);

/// CPU time of the calling thread.
Duration ThreadCpuTime();

}  // namespace leadsman
