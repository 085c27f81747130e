#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "batching/scheduler.h"
#include "batching/stats.h"
#include "lifecycle/types.h"
#include "serving/context_pool.h"

namespace leadsman {

struct PredictionCall;
class SchedulerSlot;
class VersionRuntime;

/// Runs calls that do not run at once on the thread that brought them: through the queue of their version (`batching`,
/// `instances`), alone or in batches, through the pool that all other models share, or together with what else the thread's
/// turn brings (ServableVersion::rows_together).
///
/// Thread-safe. `done` is called exactly once for every call: on an instance's thread, on the queue keeper's when the call expires
/// in the queue, or on the caller's own.
class QueuedExecution {
 public:
  struct Options {
    int pool_threads = 2;
    size_t pool_queue = 1024;
    size_t pool_queue_bytes = 256 << 20;
    std::chrono::milliseconds default_timeout{60'000};
  };
  /// `metrics` may be null. `run_alone` runs one call on the thread it is called on and sets its status and outputs.
  QueuedExecution(Clock& clock, Options options, BatchMetrics* metrics,
                  std::shared_ptr<BatchStats> pool_stats,
                  std::function<void(PredictionCall&)> run_alone,
                  std::function<void(PredictionCall&, const ContextPool::Lease&)> sample);
  ~QueuedExecution();  ///< Stop, however long the running calls take

  /// Starts the instances of a version that has its own, so that it is not the first request that finds out that there
  /// are no threads left. RESOURCE_EXHAUSTED then.
  Status Prepare(const ServableVersion& version);

  /// False: `done` will be called. True: it has been called, the call was refused; call.status says why.
  bool Submit(PredictionCall& call, std::function<void()> done);
  /// For versions with rows_together: the call is run at the end of this thread's turn, with what else the turn brings. False: it is to run
  /// alone, here and now (no turn, too many rows, an input that does not join, a rollout's draw, no room); `done` is untouched then.
  bool SubmitToTurn(PredictionCall& call, std::function<void()>& done);
  /// Takes a call whose client has gone out of its queue; `done` is then called before this returns (true). False: it is
  /// running, or over. Only between Submit and what `done` starts; for versions with rows_together, by the thread that submitted it.
  bool Cancel(PredictionCall& call);

  /// Batches do not wait for more any longer.
  void Drain();
  /// As Predictor::Stop.
  bool Stop(std::chrono::milliseconds wait);

 private:
  struct Item;
  struct Queued;
  struct Piece;
  struct InTurn;
  static thread_local InTurn in_turn;
  static void RunTurn();
  /// In one batch with those of the turn's others that may share it, which are taken out.
  void RunWithAlike(Queued& first, InTurn& turn);
  std::shared_ptr<BatchStats> StatsOf(const ServableVersion& version) const;
  Result<std::shared_ptr<Scheduler>> SchedulerOf(const ServableVersion& version,
                                                 VersionRuntime& runtime);
  Result<std::shared_ptr<Scheduler>> PoolScheduler();
  Result<std::shared_ptr<Scheduler>> NewScheduler(Scheduler::Options options,
                                                  std::shared_ptr<BatchStats> stats);
  std::vector<std::shared_ptr<Scheduler>> Schedulers();
  void Describe(PredictionCall& call, Queued& queued, VersionRuntime& runtime);
  static void Split(Queued& queued, std::vector<BatchTask*>& tasks);
  void Run(const ClosedBatch& batch);
  void RunTogether(VersionRuntime& runtime, const ServableVersion& version,
                   std::span<BatchTask* const> tasks, uint64_t rows);
  void RunSingly(VersionRuntime& runtime, const ServableVersion& version,
                 std::span<BatchTask* const> tasks);
  void RunAlone(VersionRuntime& runtime, Queued& queued);
  static PredictionCall& CallOf(BatchTask& task);
  static void Fail(BatchTask& task, const Status& status);
  static void Complete(Queued& queued);
  static void FinishPiece(Piece& piece, const Status& status);

  Clock& clock_;
  const Options options_;
  BatchMetrics* const metrics_;
  const std::shared_ptr<BatchStats> pool_stats_;
  const std::function<void(PredictionCall&)> run_alone_;
  const std::function<void(PredictionCall&, const ContextPool::Lease&)> sample_;
  const std::shared_ptr<QueueKeeper> keeper_;
  Mutex mutex_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  bool draining_ GUARDED_BY(mutex_) = false;
  std::vector<std::weak_ptr<Scheduler>> schedulers_ GUARDED_BY(mutex_);
  const std::unique_ptr<SchedulerSlot> pool_;
};

}  // namespace leadsman
