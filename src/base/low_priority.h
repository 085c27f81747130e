#pragma once

#include <functional>
#include <span>
#include <vector>

namespace leadsman {

/// Runs `work` on another thread that gives way to all others, for the CPU and for the disk, and waits for it. Another
/// thread, because a process without privileges cannot take the way back; where there is none to have, it is run here as it is.
/// Exceptions of `work` come out here.
///
/// Threads and processes that `work` starts inherit the low priority: see RestorePriority.
void RunAtLowPriority(const std::function<void()>& work);

/// The threads of this process at the moment.
std::vector<int> ThreadIds();
/// Whether this process may give a thread that was lowered its normal priority back (CAP_SYS_NICE, or RLIMIT_NICE). Asked of the kernel
/// once.
bool MayRestorePriority();
/// Gives normal priority to the threads that are not in `before` and were lowered. Returns how many still are low.
int RestorePriority(std::span<const int> before);

}  // namespace leadsman
