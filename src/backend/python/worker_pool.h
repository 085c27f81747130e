#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/python/model_options.h"
#include "backend/python/worker_channel.h"
#include "backend/python/worker_loop.h"
#include "backend/python/worker_process.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"

namespace leadsman::python {

/// Why a worker was replaced.
enum class RestartReason { kCrash, kHang, kMemory, kMaxRequests, kProtocol };
inline constexpr size_t kRestartReasons = 5;
std::string_view RestartReasonName(RestartReason reason);  ///< "crash"

/// Counted over all versions of one model, also those that have gone. Thread-safe.
struct ModelCounters {
  std::array<std::atomic<uint64_t>, kRestartReasons> restarts{};
  std::atomic<uint64_t> log_lines_dropped{0};
};

/// What the workers of one version are doing now.
struct PoolVitals {
  int ready = 0;
  int starting = 0;
  int waiting = 0;  ///< slots whose worker ended again and again: the next start is put off
  int64_t resident_bytes = 0;
  std::string note;  ///< for the model's status; empty when all is well
};

/// The workers of one loaded version: started, watched, replaced. A slot is one worker's place; a planned replacement is
/// loaded beside the worker whose place it takes, an unplanned one after it has gone, later and later when that goes on.
///
///   kStarting → kIdle ⇄ kBusy;  kBusy → kLate → kIdle;  any → kRetiring | kEnding → kGone
///
/// Thread-safe. The loop's thread never blocks; Start, Call and the destructor do, each with a bound.
class WorkerPool {
 public:
  struct Settings {
    std::string model_name;
    int64_t version = 0;
    int instances = 1;      ///< workers
    std::string load_json;  ///< what the worker is told to load
    ModelOptions options;
    SpawnRequest spawn;  ///< the regions' descriptors are the pool's to fill in
    /// The kernel's time for ending processes that are killed.
    Duration kill_wait = std::chrono::seconds(5);
    /// Looks at what a worker says it has loaded (JSON); an error means that it cannot be used. On the loop's thread.
    std::function<Status(const std::string& loaded)> accept;
  };
  WorkerPool(Clock& clock, WorkerLoop& loop, Settings settings,
             std::shared_ptr<ModelCounters> counters);
  /// Ends the workers; waits for at most close_timeout and kill_wait. No Call may be running.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// The server goes, and does not wait any longer: ends all workers, and says whether one of them was at work. Its call gets
  /// UNAVAILABLE, as do all that come. Does not wait for their ends: the destructor does.
  bool EndCalls();

  /// Starts all workers, returns once each has loaded the model or one could not, or load_timeout is over. CANCELLED soon after `cancel`, which may
  /// be null, has become true.
  Status Start(const std::atomic<bool>* cancel);

  /// Runs one call on a free worker. UNAVAILABLE: none became free in time, or none is to be expected, or EndCalls;
  /// DEADLINE_EXCEEDED; INTERNAL: the worker ended while it worked on the call (which is not safe to try again: it may
  /// have been the reason); RESOURCE_EXHAUSTED: it needed too much memory; else what the model says.
  Status Call(const Signature& signature, std::span<const TensorView> inputs, SteadyTime deadline,
              OutputBuffer& out);

  PoolVitals GetVitals() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace leadsman::python
