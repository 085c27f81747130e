#include "batching/scheduler.h"

#include <algorithm>
#include <optional>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/strings.h"

namespace leadsman {
namespace {

int64_t Milliseconds(Duration d) { return d / std::chrono::milliseconds(1); }

}  // namespace

Scheduler::Scheduler(Clock& clock, std::shared_ptr<QueueKeeper> keeper, Options options,
                     MayShare may_share, Run run, std::shared_ptr<BatchStats> stats)
    : clock_(clock),
      keeper_(std::move(keeper)),
      options_(std::move(options)),
      run_(std::move(run)),
      stats_(stats ? std::move(stats) : std::make_shared<BatchStats>()),
      queue_(options_.limits, may_share) {}

Result<std::unique_ptr<Scheduler>> Scheduler::Create(Clock& clock,
                                                     std::shared_ptr<QueueKeeper> keeper,
                                                     Options options, MayShare may_share, Run run,
                                                     std::shared_ptr<BatchStats> stats) {
  std::unique_ptr<Scheduler> scheduler(new Scheduler(clock, std::move(keeper), std::move(options),
                                                     may_share, std::move(run), std::move(stats)));
  RETURN_IF_ERROR(scheduler->Start());
  return scheduler;
}

Status Scheduler::Start() {
  const int wanted = std::max(options_.instances, 1);
  std::string problem;
  threads_.reserve(static_cast<size_t>(wanted));
  while (static_cast<int>(threads_.size()) < wanted && StartInstance(problem)) {
  }
  if (threads_.empty()) {
    return ResourceExhaustedError(StrCat(options_.name, " has no thread: the system starts none (",
                                         problem,
                                         "); raise its limit of threads (ulimit -u, or pids.max of "
                                         "the container), or its memory"));
  }
  options_.instances = static_cast<int>(threads_.size());
  if (options_.instances < wanted) {
    LOG_WARN("fewer calls run at once than configured: the system starts no more threads",
             {"queue", options_.name}, {"instances", options_.instances}, {"wanted", wanted},
             {"error", problem});
  }
  stats_->instances.fetch_add(options_.instances, std::memory_order_relaxed);
  keeper_->Add(*this);
  return OkStatus();
}

bool Scheduler::StartInstance(std::string& problem) {
  {
    MutexLock lock(mutex_);
    ++alive_;
  }
  try {
    threads_.push_back(options_.start_thread([this] { Loop(); }));
    return true;
  } catch (const std::system_error& error) {
    problem = error.code().message();
    MutexLock lock(mutex_);
    --alive_;
    return false;
  }
}

Scheduler::~Scheduler() {
  while (!Stop(std::chrono::hours(1))) {
  }
}

void Scheduler::UpdateDepth() {
  stats_->depth.store(static_cast<int64_t>(queue_.size()), std::memory_order_relaxed);
  stats_->bytes.store(static_cast<int64_t>(queue_.bytes()), std::memory_order_relaxed);
}

Status Scheduler::Refuse(RejectReason reason, const BatchTask& task) {
  stats_->CountRejected(reason);
  switch (reason) {
    case RejectReason::kStopping:
      return UnavailableError("the server is shutting down; send the request to another replica");
    case RejectReason::kDeadline:
      return DeadlineExceededError(
          StrCat("the request could not be answered within its deadline, because ", options_.name,
                 " is too long and the model takes ", Milliseconds(task.least_time),
                 " ms or more; it was not begun"));
    // What passes is UNAVAILABLE, as TensorFlow Serving and Triton have it: their clients, and meshes, try again on that.
    case RejectReason::kMemory:
      return UnavailableError(StrCat(options_.name,
                                     " is full: the inputs that wait there would take more than ",
                                     options_.limits.max_bytes, " bytes (", options_.bytes_key,
                                     "); retry after a moment, or send fewer at once"));
    default:
      return UnavailableError(
          StrCat(options_.name, " is full (", options_.limits.max_requests,
                 " requests); retry after a moment, send fewer at once, or give the server more "
                 "instances, pool threads or replicas"));
  }
}

Status Scheduler::Submit(std::span<BatchTask* const> tasks, bool caller_runs) {
  BatchTask& first = *tasks[0];
  std::vector<BatchTask*> expired;
  Status refused;
  Duration look_in = QueueKeeper::kNever;
  {
    MutexLock lock(mutex_);
    // What one turn brings is run together at its end: what of it is there already does not keep the rest waiting.
    const bool busy = running_ >= options_.instances || (!queue_.empty() && !caller_runs);
    size_t bytes = 0;
    for (const BatchTask* task : tasks) bytes += task->bytes;
    if (!stopping_ && !(queue_.HasRoom(first.level) && queue_.HasMemory(bytes))) {
      // The room is for the living.
      queue_.Sweep(clock_.SteadyNow(), expired);
    }
    if (stopping_) {
      refused = Refuse(RejectReason::kStopping, first);
    } else if (!queue_.HasRoom(first.level)) {
      refused = Refuse(RejectReason::kFull, first);
    } else if (!queue_.HasMemory(bytes)) {
      refused = Refuse(RejectReason::kMemory, first);
    } else if (busy && first.deadline &&
               first.arrived + queue_.CostAhead(first.level) / options_.instances +
                       first.least_time >
                   *first.deadline) {
      refused = Refuse(RejectReason::kDeadline, first);
    } else {
      for (BatchTask* task : tasks) queue_.Add(*task);
      UpdateDepth();
      if (!caller_runs) NotifyIfNeeded(first);
      // What an idle instance, or the caller, is about to take needs no keeper.
      if (!caller_runs && (busy || collecting_)) {
        if (first.deadline) look_in = std::min(look_in, *first.deadline - first.arrived);
        if (first.wait_until) look_in = std::min(look_in, *first.wait_until - first.arrived);
      }
    }
  }
  if (look_in < QueueKeeper::kNever) keeper_->Watch(look_in);
  Drop(expired, DropReason::kExpired);
  return refused;
}

void Scheduler::NotifyIfNeeded(const BatchTask& task) {
  if (collecting_) {
    // It knows its time; only what may close the batch earlier is worth a wake-up.
    const uint64_t enough = options_.policy.preferred.empty() ? options_.policy.max_rows
                                                              : options_.policy.preferred.front();
    const std::optional<SteadyTime> start_by = task.StartBy();
    const bool urgent = start_by && *start_by < collect_until_;
    if (queue_.rows() >= enough || urgent || draining_) collect_.NotifyOne();
  } else if (idle_ > 0) {
    work_.NotifyOne();
  }
}

bool Scheduler::Cancel(BatchTask& task) {
  MutexLock lock(mutex_);
  if (!queue_.Remove(task)) return false;
  UpdateDepth();
  stats_->CountRejected(RejectReason::kCancelled);
  return true;
}

void Scheduler::Drop(const std::vector<BatchTask*>& tasks, DropReason reason) {
  for (BatchTask* task : tasks) {
    stats_->CountRejected(reason == DropReason::kExpired ? RejectReason::kExpired
                                                         : RejectReason::kStopping);
    task->OnDropped(reason);
  }
}

Duration Scheduler::Tend() {
  std::vector<BatchTask*> expired;
  Duration next = QueueKeeper::kNever;
  {
    MutexLock lock(mutex_);
    if (queue_.empty()) return next;
    SteadyTime now = clock_.SteadyNow();
    queue_.Sweep(now, expired);
    UpdateDepth();
    if (auto expiry = queue_.NextExpiry()) next = *expiry - now;
    if (collecting_) collect_.NotifyOne();  // its first request may be gone
  }
  Drop(expired, DropReason::kExpired);
  return next;
}

size_t Scheduler::depth() const {
  MutexLock lock(mutex_);
  return queue_.size();
}

void Scheduler::Drain() {
  MutexLock lock(mutex_);
  draining_ = true;
  collect_.NotifyAll();
}

bool Scheduler::Stop(std::chrono::milliseconds wait) {
  auto deadline = std::chrono::steady_clock::now() + wait;
  MutexLock one_at_a_time(stop_mutex_);
  std::vector<BatchTask*> left;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    queue_.TakeAll(left);
    UpdateDepth();
    work_.NotifyAll();
    collect_.NotifyAll();
  }
  Drop(left, DropReason::kStopping);
  if (!removed_.exchange(true)) keeper_->Remove(*this);
  {
    MutexLock lock(mutex_);
    while (alive_ > 0) {
      auto remaining = deadline - std::chrono::steady_clock::now();
      if (remaining <= remaining.zero()) return false;
      ended_.WaitFor(mutex_, remaining);
    }
  }
  for (std::thread& thread : threads_) thread.join();
  if (!threads_.empty()) {
    stats_->instances.fetch_sub(static_cast<int64_t>(threads_.size()), std::memory_order_relaxed);
  }
  threads_.clear();
  return true;
}

void Scheduler::Loop() {
  ClosedBatch batch;
  std::vector<BatchTask*> expired;
  for (;;) {
    const bool was_running = !batch.tasks.empty();
    batch.tasks.clear();
    expired.clear();
    {
      MutexLock lock(mutex_);
      if (was_running) --running_;
      for (;;) {
        if (stopping_) {
          if (--alive_ == 0) ended_.NotifyAll();
          return;
        }
        if (queue_.empty() || collecting_) {
          ++idle_;
          work_.WaitFor(mutex_, std::chrono::seconds(10));
          --idle_;
          continue;
        }
        SteadyTime now = clock_.SteadyNow();
        queue_.Sweep(now, expired);
        if (!expired.empty()) {
          UpdateDepth();
          break;  // told first, without the lock
        }
        if (queue_.empty()) continue;
        BatchDecision decision = queue_.Ask(options_.policy, now, draining_, batch.tasks);
        if (decision.close) {
          batch.reason = decision.reason;
          batch.closed = now;
          ++running_;
          UpdateDepth();
          // What is left is another instance's, if there is one without work.
          if (!queue_.empty() && idle_ > 0) work_.NotifyOne();
          break;
        }
        collecting_ = true;
        collect_until_ = decision.wait_until;
        collect_.WaitFor(mutex_,
                         std::max<Duration>(collect_until_ - now, std::chrono::microseconds(1)));
        collecting_ = false;
      }
    }
    if (batch.tasks.empty()) {
      Drop(expired, DropReason::kExpired);
      continue;
    }
    RunBatch(batch);
  }
}

void Scheduler::RunBatch(ClosedBatch& batch) {
  batch.rows = 0;
  for (const BatchTask* task : batch.tasks) {
    batch.rows += task->rows;
    stats_->CountWait(batch.closed - task->arrived);
  }
  stats_->CountBatch(batch.reason, batch.rows);
  stats_->busy.fetch_add(1, std::memory_order_relaxed);
  run_(batch);
  stats_->busy.fetch_sub(1, std::memory_order_relaxed);
}

void Scheduler::RunWaiting() {
  /// Stop waits for it.
  struct Caller {
    explicit Caller(Scheduler& s) : scheduler(s) {}
    ~Caller() {
      MutexLock lock(scheduler.mutex_);
      if (--scheduler.alive_ == 0) scheduler.ended_.NotifyAll();
    }
    Scheduler& scheduler;
  };
  std::optional<Caller> caller;
  ClosedBatch batch;
  std::vector<BatchTask*> expired;
  Duration look_in = QueueKeeper::kNever;
  {
    MutexLock lock(mutex_);
    if (stopping_ || queue_.empty()) return;
    ++alive_;
    caller.emplace(*this);
    batch.closed = clock_.SteadyNow();
    queue_.Sweep(batch.closed, expired);
    // What is dear is an instance's, though it came first: other connections wait for this thread.
    if (!queue_.empty() && queue_.Next().cheap) {
      BatchDecision decision = queue_.Ask(options_.policy, batch.closed, draining_, batch.tasks);
      DCHECK(decision.close);
      batch.reason = decision.reason;
    }
    UpdateDepth();
    if (!queue_.empty()) {
      if (idle_ > 0) work_.NotifyOne();
      if (auto expiry = queue_.NextExpiry()) look_in = *expiry - batch.closed;
    }
  }
  if (look_in < QueueKeeper::kNever) keeper_->Watch(look_in);
  Drop(expired, DropReason::kExpired);
  if (!batch.tasks.empty()) RunBatch(batch);
}

void Scheduler::WakeInstance() {
  MutexLock lock(mutex_);
  work_.NotifyOne();
}

}  // namespace leadsman
