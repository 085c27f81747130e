#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/python/restart_policy.h"
#include "backend/python/worker.h"
#include "backend/python/worker_pool.h"

namespace leadsman::python {

/// What a WorkerPool is made of. The loop's thread starts workers, sees their ends and looks after them; callers take and
/// release them; what both touch is under one mutex, held for nothing that may block and for no line of the log.
struct WorkerPool::State : std::enable_shared_from_this<WorkerPool::State> {
  State(Clock& c, WorkerLoop& l, Settings s, std::shared_ptr<ModelCounters> n)
      : clock(c), loop(l), settings(std::move(s)), counters(std::move(n)) {
    slots.resize(static_cast<size_t>(settings.instances));
  }

  /// The place of one worker.
  struct Slot {
    WorkerPtr current;
    WorkerPtr successor;
    RestartPolicy restarts;
    /// The one to speak of: a successor that loads has the place when the worker has gone.
    const WorkerPtr& shown() const { return current ? current : successor; }
    RestartPolicy::Place place() const { return {current != nullptr, successor != nullptr}; }
  };

  /// A worker that a call holds. Given back as broken, and so replaced, when the call ends by an exception: nobody knows
  /// what is under way in its channel.
  class Held {
   public:
    Held(State& state, WorkerPtr worker)
        : state_(state), worker_(std::move(worker)), began_(state.clock.SteadyNow()) {}
    ~Held() {
      if (worker_) Release(CallEnd::kBroken);
    }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    const WorkerPtr& worker() const { return worker_; }
    void Release(CallEnd end) { state_.Release(std::exchange(worker_, nullptr), end, began_); }

   private:
    State& state_;
    WorkerPtr worker_;
    const SteadyTime began_;
  };

  // On the loop's thread: worker_pool_loop.cc.
  void Fill(size_t slot);
  void StartWorker(size_t slot, RestartPolicy::Start which);
  Status Launch(const WorkerPtr& worker);
  void StartFailed(size_t slot, const Status& status);
  void ReapLater(const WorkerPtr& worker);
  void OnChannel(const WorkerPtr& worker);
  void OnStarting(const WorkerPtr& worker, const Message& message);
  void OnReady(const WorkerPtr& worker);
  void OnExit(const WorkerPtr& worker);
  void Tick();
  void LookAtAll();
  void LookAtAllAt(SteadyTime time);
  void LookAt(const WorkerPtr& worker, SteadyTime now);
  void Retire(const WorkerPtr& worker);
  void BeginStop();
  void Abandon();
  void ForgetWatches(const Worker& worker);
  void CheckMemory(const WorkerPtr& worker, int64_t resident_bytes) REQUIRES(mutex);
  std::string VacateSlot(const WorkerPtr& worker) REQUIRES(mutex);
  Status LoadFailure(const Worker& worker) REQUIRES(mutex);

  // Anywhere: worker_pool.cc.
  void WantSuccessor(Worker& worker, RestartReason reason) REQUIRES(mutex);
  Status LoadedTooLate() const;
  void End(Worker& worker, EndReason reason) REQUIRES(mutex);
  Result<WorkerPtr> Acquire(SteadyTime deadline);
  void Release(const WorkerPtr& worker, CallEnd end, SteadyTime began);
  Status WhyBroken(const WorkerPtr& worker, Status status);
  Status NoneExpected(SteadyTime deadline) REQUIRES(mutex);
  std::string Note(SteadyTime now) REQUIRES(mutex);
  void CountRestart(Worker& worker, RestartReason reason) REQUIRES(mutex) {
    if (std::exchange(worker.restart_counted, true)) return;
    counters->restarts[static_cast<size_t>(reason)].fetch_add(1, std::memory_order_relaxed);
  }

  Clock& clock;
  WorkerLoop& loop;
  const Settings settings;
  const std::shared_ptr<ModelCounters> counters;

  Mutex mutex;
  CondVar freed;    ///< a worker is idle, or the pool stops, or nothing is to be expected
  CondVar changed;  ///< loads and exits
  std::vector<Slot> slots GUARDED_BY(mutex);
  std::vector<WorkerPtr> idle
      GUARDED_BY(mutex);  ///< the one used last is used next: its caches are warm
  std::vector<WorkerPtr> all GUARDED_BY(mutex);  ///< those that have not gone
  bool loaded GUARDED_BY(mutex) = false;         ///< Start has succeeded
  bool stopping GUARDED_BY(mutex) = false;
  bool server_stops GUARDED_BY(mutex) = false;  ///< why: else the version alone goes
  Status start_error GUARDED_BY(mutex);
};

}  // namespace leadsman::python
