#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace leadsman {

/// How many threads can run at once in this process: the least of the machine's cores, the process's affinity mask, and the
/// CPU quota of its control group and of those above it (v1 and v2), rounded up. At least 1. Reads a few files in /proc and
/// /sys; `root` stands before them in tests.
int AvailableCores(const std::string& root = "");

/// Cores by the quotas of the control groups alone; nothing when there is no limit, or none can be read.
std::optional<double> CgroupCpuLimit(const std::string& root = "");

/// "150000 100000" → 1.5; "max 100000" → nothing.
std::optional<double> ParseCpuMax(std::string_view text);

}  // namespace leadsman
