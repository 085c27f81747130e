#include "base/low_priority.h"

#include <dirent.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/strings.h"

namespace leadsman {
namespace {

/// Low, but not SCHED_IDLE: a thread that is never let in would keep the locks that it holds, of the allocator and of the
/// address space, from those that serve.
constexpr int kLowNice = 15;
/// Since Linux 6.6 a thread that has begun to run may go on to the end of its slice, 3 ms and longer, however low it is;
/// since 6.12 it may ask for a short one. Older kernels pass the wish over.
constexpr uint64_t kLowSliceNs = 100'000;

// <linux/ioprio.h> is not everywhere.
constexpr int kIoprioWhoProcess = 1;
constexpr int kIoprioBestEffort = 2 << 13;
constexpr int kLowestLevel = 7;

/// The kernel's `struct sched_attr`, whose header does not go together with the C library's.
struct SchedAttr {
  uint32_t size = sizeof(SchedAttr);
  uint32_t policy = SCHED_OTHER;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime = 0;  ///< here: the slice, in nanoseconds
  uint64_t deadline = 0;
  uint64_t period = 0;
};

/// Of one thread: on Linux each has its own. A `slice_ns` of 0 is the kernel's choice.
bool SetPriority(int thread, int nice, uint64_t slice_ns) {
  SchedAttr wanted;
  wanted.nice = nice;
  wanted.runtime = slice_ns;
  if (syscall(SYS_sched_setattr, thread, &wanted, 0) == 0) return true;
  return setpriority(PRIO_PROCESS, static_cast<id_t>(thread), nice) == 0;
}

int ThisThread() { return static_cast<int>(syscall(SYS_gettid)); }

void Lower() {
  // What cannot be had is done without.
  SetPriority(ThisThread(), kLowNice, kLowSliceNs);
  syscall(SYS_ioprio_set, kIoprioWhoProcess, 0, kIoprioBestEffort | kLowestLevel);
}

bool IsLow(int thread) { return getpriority(PRIO_PROCESS, static_cast<id_t>(thread)) >= kLowNice; }

}  // namespace

namespace {

/// A low thread that is used again: a new one for each load would leave the allocator with ever more arenas.
struct Worker {
  Mutex mutex;
  CondVar changed;
  const std::function<void()>* work GUARDED_BY(mutex) = nullptr;
  std::exception_ptr thrown GUARDED_BY(mutex);

  void Loop() {
    for (;;) {
      const std::function<void()>* next = nullptr;
      {
        MutexLock lock(mutex);
        while (work == nullptr) changed.WaitFor(mutex, std::chrono::hours(1));
        next = work;
      }
      std::exception_ptr error;
      Lower();  // each time: the work before may have restored it
      try {
        (*next)();
      } catch (...) {
        error = std::current_exception();
      }
      MutexLock lock(mutex);
      thrown = error;
      work = nullptr;
      changed.NotifyAll();
    }
  }
  void Run(const std::function<void()>& what) {
    std::exception_ptr error;
    {
      MutexLock lock(mutex);
      work = &what;
      changed.NotifyAll();
      while (work != nullptr) changed.WaitFor(mutex, std::chrono::hours(1));
      error = std::exchange(thrown, nullptr);
    }
    if (error) std::rethrow_exception(error);
  }
};

/// The workers that have nothing to do. Never destroyed: their threads sleep until the process ends.
struct IdleWorkers {
  Mutex mutex;
  std::vector<Worker*> idle GUARDED_BY(mutex);

  static IdleWorkers& Get() {
    static auto* workers = new IdleWorkers();
    return *workers;
  }
  /// Null when the system has no thread to give.
  Worker* Take() {
    {
      MutexLock lock(mutex);
      if (!idle.empty()) {
        Worker* worker = idle.back();
        idle.pop_back();
        return worker;
      }
    }
    auto worker = std::make_unique<Worker>();
    try {
      std::thread([loop = worker.get()] { loop->Loop(); }).detach();
    } catch (const std::system_error&) {
      return nullptr;
    }
    return worker.release();
  }
  void GiveBack(Worker* worker) {
    MutexLock lock(mutex);
    idle.push_back(worker);
  }
};

}  // namespace

void RunAtLowPriority(const std::function<void()>& work) {
  struct Lease {
    Worker* worker = IdleWorkers::Get().Take();
    ~Lease() {
      if (worker != nullptr) IdleWorkers::Get().GiveBack(worker);
    }
  } lease;
  if (lease.worker == nullptr) return work();
  lease.worker->Run(work);
}

std::vector<int> ThreadIds() {
  std::vector<int> ids;
  DIR* folder = opendir("/proc/self/task");
  if (folder == nullptr) return ids;
  while (const dirent* entry =
             readdir(folder)) {  // NOLINT(concurrency-mt-unsafe): the stream is ours alone
    if (auto id = ParseInt64(entry->d_name)) ids.push_back(static_cast<int>(*id));
  }
  closedir(folder);
  return ids;
}

bool MayRestorePriority() {
  static const bool may = [] {
    bool restored = false;
    RunAtLowPriority([&] { restored = SetPriority(ThisThread(), 0, 0); });
    return restored;
  }();
  return may;
}

int RestorePriority(std::span<const int> before) {
  int still_low = 0;
  for (int thread : ThreadIds()) {
    if (std::find(before.begin(), before.end(), thread) != before.end() || !IsLow(thread)) continue;
    if (!SetPriority(thread, 0, 0)) ++still_low;
  }
  return still_low;
}

}  // namespace leadsman
