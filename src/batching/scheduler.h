#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "batching/queue_keeper.h"
#include "batching/request_queue.h"
#include "batching/stats.h"

namespace leadsman {

/// What an instance is given to run.
struct ClosedBatch {
  std::vector<BatchTask*> tasks;  ///< at least one
  uint64_t rows = 0;
  CloseReason reason = CloseReason::kFull;
  SteadyTime closed{};
};

/// A bounded queue and the instances (threads) that run what is in it: of one model version, or of all models that share the
/// pool. An idle instance takes what is there, or waits for more as the policy says; what comes while all are busy
/// makes the next batches larger. An arrival wakes at most one thread, and none when all are busy.
///
/// Thread-safe. `run` is called on instance threads and has to do with each task what its owner waits for; tasks are not
/// touched afterwards. It must not throw.
class Scheduler final : public QueueKeeper::Queue {
 public:
  struct Options {
    std::string name;       ///< for messages: "the queue of model iris",
    std::string bytes_key;  ///< and the configuration key of limits.max_bytes
    BatchPolicy policy;
    RequestQueue::Limits limits;
    int instances = 1;
    /// Tests have threads that cannot be started.
    std::function<std::thread(std::function<void()>)> start_thread =
        [](std::function<void()> body) { return std::thread(std::move(body)); };
  };
  using Run = std::function<void(const ClosedBatch& batch)>;

  /// Starts the instances: fewer, when the system has no threads left, and a warning in the log; RESOURCE_EXHAUSTED
  /// when it has none at all.
  static Result<std::unique_ptr<Scheduler>> Create(Clock& clock,
                                                   std::shared_ptr<QueueKeeper> keeper,
                                                   Options options, MayShare may_share, Run run,
                                                   std::shared_ptr<BatchStats> stats);
  ~Scheduler() override;  ///< Stop, however long the running batches take

  /// Taken over: `run` or OnDropped will be called for each. Not taken (and nothing will be called):
  /// UNAVAILABLE when the queue is full, by its number of requests or by what their inputs take, and when stopped; DEADLINE_EXCEEDED when the deadline cannot be met.
  /// Several tasks are the pieces of one request: they are taken together, as one.
  ///
  /// The deadline is checked against what is known from below: the cost of what is ahead over the instances, and
  /// what the task's own run takes at least. With an idle instance nothing is refused, so that an estimate that was wrong
  /// once is measured again.
  ///
  /// `caller_runs`: the caller is going to call RunWaiting, so that no instance is woken.
  Status Submit(std::span<BatchTask* const> tasks, bool caller_runs = false);
  /// Runs what waits as one batch on this thread, beside the instances; what is left is theirs, and all of it when
  /// what is next is not BatchTask::cheap. For models that may run on any number of threads at once. Not with a
  /// policy that waits.
  void RunWaiting();
  /// Somebody else is to run what a caller promised and could not.
  void WakeInstance();
  /// True when the task waited: it is out of the queue, and nothing will be called for it. False: too late.
  bool Cancel(BatchTask& task);

  /// No batch waits for others any more.
  void Drain();
  /// Takes nothing more, drops what is queued (on this thread) and waits for the batches that run. False when some still
  /// run after `wait`; then it may be called again. Not from `run`.
  bool Stop(std::chrono::milliseconds wait);

  Duration Tend() override;
  size_t depth() const;

 private:
  Scheduler(Clock& clock, std::shared_ptr<QueueKeeper> keeper, Options options, MayShare may_share,
            Run run, std::shared_ptr<BatchStats> stats);
  Status Start();
  bool StartInstance(std::string& problem);
  void Loop();
  void RunBatch(ClosedBatch& batch);
  void Drop(const std::vector<BatchTask*>& tasks, DropReason reason);
  Status Refuse(RejectReason reason, const BatchTask& task);
  void NotifyIfNeeded(const BatchTask& task) REQUIRES(mutex_);
  void UpdateDepth() REQUIRES(mutex_);

  Clock& clock_;
  const std::shared_ptr<QueueKeeper> keeper_;
  Options
      options_;  ///< `instances` becomes the number that runs; not changed once Create has returned
  const Run run_;
  const std::shared_ptr<BatchStats> stats_;

  mutable Mutex mutex_;
  CondVar work_;     ///< idle instances
  CondVar collect_;  ///< the one instance that waits for more
  CondVar ended_;
  RequestQueue queue_ GUARDED_BY(mutex_);
  int idle_ GUARDED_BY(mutex_) = 0;
  bool collecting_ GUARDED_BY(mutex_) = false;
  SteadyTime collect_until_ GUARDED_BY(mutex_);
  bool draining_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  int alive_ GUARDED_BY(mutex_) = 0;    ///< instances, and callers of RunWaiting that run a batch
  int running_ GUARDED_BY(mutex_) = 0;  ///< instances that have a batch
  std::atomic<bool> removed_{false};
  Mutex stop_mutex_;                  ///< one Stop() at a time
  std::vector<std::thread> threads_;  ///< touched by Create() and Stop() only
};

}  // namespace leadsman
