#include "serving/queued_execution.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <exception>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "base/turn.h"
#include "serving/predictor.h"
#include "serving/version_runtime.h"

namespace leadsman {
namespace {

/// A piece takes about a kilobyte, a row on the wire perhaps one byte: without a bound one request could fill the memory.
constexpr uint64_t kMostPieces = 16'384;
/// Of what waits for the end of a thread's turn: what comes then runs alone, at once.
constexpr size_t kMostInTurn = 1024;
constexpr size_t kMostBytesInTurn = 64 << 20;

constexpr const char* kGone = "the client closed the connection before the model could run";
constexpr const char* kLate =
    "the request's deadline passed while it waited for the model: it was too short for what else "
    "there is to do";
constexpr const char* kWaited =
    "the request waited in the model's queue for as long as the queue's policy lets it "
    "(batching.queue.default_timeout, "
    "default_timeout_microseconds of a config.pbtxt): the model is asked for more than it can do, "
    "or the timeout is too short";
constexpr const char* kPoolBytesKey = "server.pool_queue_bytes";
constexpr const char* kStopped = "the server is shutting down; send the request to another replica";

/// Whether it is the queue's policy that ended its wait, and no deadline of its own.
bool WaitedTooLong(const BatchTask& task) {
  return task.wait_until && (!task.deadline || *task.wait_until < *task.deadline);
}

Status DropStatus(DropReason reason, const BatchTask& task) {
  switch (reason) {
    case DropReason::kExpired:
      return DeadlineExceededError(WaitedTooLong(task) ? kWaited : kLate);
    case DropReason::kCancelled:
      return CancelledError(kGone);
    case DropReason::kStopping:
      break;
  }
  return UnavailableError(kStopped);
}

uint64_t Nanoseconds(Duration d) { return d.count() > 0 ? static_cast<uint64_t>(d.count()) : 0; }

uint32_t MaxBatch(const ServableVersion& version) {
  return version.config->batching ? version.config->batching->max_batch_size : 1;
}

/// What inputs take in memory: a few bytes on the wire can be a large tensor.
size_t BytesOf(std::span<const TensorView> inputs) {
  size_t bytes = 0;
  for (const TensorView& input : inputs) {
    bytes += input.byte_size();
    if (input.type != DataType::kBytes) continue;
    for (std::string_view text : input.as<std::string_view>()) bytes += text.size();
  }
  return bytes;
}

/// A tensor of its own with what `view` shows.
void Copy(const TensorView& view, Tensor& to) {
  to.Reset(view.name, view.type);
  to.shape() = view.shape;
  if (view.type == DataType::kBytes) {
    for (std::string_view text : view.as<std::string_view>()) to.PushString(text);
  } else if (view.element_count > 0) {
    std::memcpy(to.Extend(static_cast<size_t>(view.element_count)), view.data, view.byte_size());
  }
}

/// The rows of `part` behind those of `to`.
Status Append(const TensorView& part, Tensor& to) {
  bool alike = part.type == to.type() && part.shape.rank() == to.shape().rank();
  for (size_t i = 1; alike && i < part.shape.rank(); ++i) alike = part.shape[i] == to.shape()[i];
  if (!alike) {
    return InternalError(StrCat("the request was run in pieces, and the model gave the output ",
                                part.name, " in different shapes for them (", to.shape().ToString(),
                                " and ", part.shape.ToString(), "); send fewer rows at once"));
  }
  if (part.type == DataType::kBytes) {
    for (std::string_view text : part.as<std::string_view>()) to.PushString(text);
  } else if (part.element_count > 0) {
    std::memcpy(to.Extend(static_cast<size_t>(part.element_count)), part.data, part.byte_size());
  }
  if (part.shape.rank() > 0) to.shape()[0] += part.shape[0];
  return OkStatus();
}

}  // namespace

namespace {

void LeaveQueue(const PredictionCall& call) {
  VersionRuntime::Of(*call.handle).waiting.fetch_sub(1, std::memory_order_relaxed);
}

/// While a batch runs.
class RunningMark {
 public:
  explicit RunningMark(VersionRuntime& runtime) : runtime_(runtime) {
    runtime_.running.fetch_add(1, std::memory_order_relaxed);
  }
  ~RunningMark() { runtime_.running.fetch_sub(1, std::memory_order_relaxed); }
  RunningMark(const RunningMark&) = delete;
  RunningMark& operator=(const RunningMark&) = delete;

 private:
  VersionRuntime& runtime_;
};

/// The schedulers that this thread has promised to run what waits in, once its turn is over.
thread_local std::vector<std::shared_ptr<Scheduler>> promised;

void KeepPromises() {
  std::vector<std::shared_ptr<Scheduler>> schedulers;
  schedulers.swap(promised);
  for (const auto& scheduler : schedulers) {
    try {
      scheduler->RunWaiting();
    } catch (const std::exception& e) {  // no memory: what waits is an instance's
      LOG_ERROR("a batch could not be run by the thread that read it", {"error", e.what()});
      scheduler->WakeInstance();
    }
  }
}

/// Whether batches of this version are cheap enough to run on the thread that read the requests, as inline models do.
bool BatchesAreCheap(const ServableVersion& version, const ServiceTimes& times) {
  const ModelConfig& config = *version.config;
  if (!config.batching || config.instances > 0 || config.batching->max_delay.count() > 0 ||
      version.model->waits())
    return false;
  if (config.execution != ExecutionMode::kAuto) return config.execution == ExecutionMode::kInline;
  const Duration most = config.inline_below;
  if (version.warm_cost <= Duration::zero() || version.warm_cost >= most) return false;
  // Rows cost less in a batch: only while nothing is measured they count in full.
  const uint32_t full = config.batching->max_batch_size;
  const Duration measured = times.AtLeast(full);
  return (measured > Duration::zero() ? measured : version.warm_cost * full) < most;
}

/// Promises to run what waits in `scheduler` at the end of this thread's turn; false when it has no turns.
bool Promise(const std::shared_ptr<Scheduler>& scheduler) {
  Turn* turn = Turn::OfThisThread();
  if (turn == nullptr) return false;
  if (std::find(promised.begin(), promised.end(), scheduler) != promised.end()) return true;
  promised.push_back(scheduler);
  if (promised.size() > 1) return true;
  try {
    turn->AtEnd(KeepPromises);
  } catch (...) {
    promised.clear();
    throw;
  }
  return true;
}

}  // namespace

struct QueuedExecution::Item : BatchTask {
  explicit Item(bool piece) : is_piece(piece) {}
  const bool is_piece;
};

/// A call in a queue: as a whole, or as the sum of its pieces.
struct QueuedExecution::Queued final : Item {
  Queued() : Item(false) {}
  void OnDropped(DropReason reason) override {
    LeaveQueue(*call);
    call->status = DropStatus(reason, *this);
    Complete(*this);
  }

  PredictionCall* call = nullptr;
  QueuedExecution* owner = nullptr;  ///< of one that waits for the end of a turn
  std::function<void()> done;
  std::shared_ptr<Scheduler> scheduler;

  // Of a call in pieces. They stay until the call's next Submit, as Cancel may look at them.
  std::deque<Piece> pieces;
  Mutex mutex;
  size_t left GUARDED_BY(mutex) = 0;
  Status first_error GUARDED_BY(mutex);
  std::vector<Tensor> merged;
};

struct QueuedExecution::Piece final : Item {
  Piece() : Item(true) {}
  void OnDropped(DropReason reason) override {
    LeaveQueue(*parent->call);
    FinishPiece(*this, DropStatus(reason, *this));
  }

  Queued* parent = nullptr;
  std::vector<TensorView> views;
  std::vector<TensorView> output_views;
  std::vector<Tensor> outputs;
};

QueuedExecution::QueuedExecution(
    Clock& clock, Options options, BatchMetrics* metrics, std::shared_ptr<BatchStats> pool_stats,
    std::function<void(PredictionCall&)> run_alone,
    std::function<void(PredictionCall&, const ContextPool::Lease&)> sample)
    : clock_(clock),
      options_(options),
      metrics_(metrics),
      pool_stats_(std::move(pool_stats)),
      run_alone_(std::move(run_alone)),
      sample_(std::move(sample)),
      keeper_(std::make_shared<QueueKeeper>()),
      pool_(std::make_unique<SchedulerSlot>()) {
  Result<std::shared_ptr<Scheduler>> pool = PoolScheduler();
  if (!pool.ok()) LOG_ERROR("the compute pool could not be started", {"error", pool.status()});
}

QueuedExecution::~QueuedExecution() {
  while (!Stop(std::chrono::hours(1))) {
  }
}

std::vector<std::shared_ptr<Scheduler>> QueuedExecution::Schedulers() {
  std::vector<std::shared_ptr<Scheduler>> all;
  MutexLock lock(mutex_);
  for (const auto& weak : schedulers_) {
    if (auto scheduler = weak.lock()) all.push_back(std::move(scheduler));
  }
  return all;
}

void QueuedExecution::Drain() {
  {
    MutexLock lock(mutex_);
    draining_ = true;
  }
  for (const auto& scheduler : Schedulers()) scheduler->Drain();
}

bool QueuedExecution::Stop(std::chrono::milliseconds wait) {
  auto deadline = std::chrono::steady_clock::now() + wait;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  bool ended = true;
  for (const auto& scheduler : Schedulers()) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    ended = scheduler->Stop(std::max(left, std::chrono::milliseconds(0))) && ended;
  }
  return ended;
}

Result<std::shared_ptr<Scheduler>> QueuedExecution::NewScheduler(
    Scheduler::Options options, std::shared_ptr<BatchStats> stats) {
  ASSIGN_OR_RETURN(std::shared_ptr<Scheduler> scheduler,
                   Scheduler::Create(
                       clock_, keeper_, std::move(options), BatchRules::Share,
                       [this](const ClosedBatch& batch) { Run(batch); }, std::move(stats)));
  bool stopped = false;
  {
    MutexLock lock(mutex_);
    std::erase_if(schedulers_, [](const auto& weak) { return weak.expired(); });
    schedulers_.push_back(scheduler);
    stopped = stopped_;
    if (draining_) scheduler->Drain();
  }
  if (stopped) scheduler->Stop(std::chrono::milliseconds(0));
  return scheduler;
}

Result<std::shared_ptr<Scheduler>> QueuedExecution::PoolScheduler() {
  return pool_->Get([&] {
    return NewScheduler(
        {.name = "the queue of the compute pool",
         .bytes_key = kPoolBytesKey,
         .policy = {.max_rows = 1},
         .limits = {.max_requests = options_.pool_queue, .max_bytes = options_.pool_queue_bytes},
         .instances = options_.pool_threads},
        pool_stats_);
  });
}

Result<std::shared_ptr<Scheduler>> QueuedExecution::SchedulerOf(const ServableVersion& version,
                                                                VersionRuntime& runtime) {
  const ModelConfig& config = *version.config;
  // A model that waits for another process has threads of its own: the others' would wait with it.
  if (!config.HasOwnQueue() && !version.model->waits()) return PoolScheduler();
  return runtime.scheduler.Get([&] {
    Scheduler::Options options{.name = StrCat("the queue of model ", version.model_name),
                               .bytes_key = kPoolBytesKey};
    options.instances = std::max({config.instances, version.model->concurrency(), 1});
    options.policy.max_rows = MaxBatch(version);
    options.limits.max_requests = options_.pool_queue;
    options.limits.max_bytes = options_.pool_queue_bytes;
    if (config.batching) {
      options.policy.max_delay = config.batching->max_delay;
      options.policy.preferred = config.batching->preferred_sizes;
      options.bytes_key = "batching.queue.max_bytes";
      options.limits = {.max_requests = config.batching->queue.max_size,
                        .max_bytes = config.batching->queue.max_bytes,
                        .levels = config.batching->priorities.levels,
                        .per_level = config.batching->priorities.max_sizes};
    }
    runtime.NeedStats([&] { return StatsOf(version); });
    return NewScheduler(std::move(options), runtime.stats);
  });
}

std::shared_ptr<BatchStats> QueuedExecution::StatsOf(const ServableVersion& version) const {
  return metrics_ != nullptr ? metrics_->Of(version.model_name, version.version)
                             : std::make_shared<BatchStats>();
}

Status QueuedExecution::Prepare(const ServableVersion& version) {
  return SchedulerOf(version, VersionRuntime::Of(version)).status();
}

void QueuedExecution::Describe(PredictionCall& call, Queued& queued, VersionRuntime& runtime) {
  const ModelConfig& config = *call.handle->config;
  const SteadyTime now = clock_.SteadyNow();
  queued.rules = &runtime.rules(call.signature);
  queued.inputs = call.input_views;
  queued.bytes = BytesOf(queued.inputs);
  queued.rules->Describe(queued);
  if (runtime.batching_off.load()) queued.may_join = false;
  queued.arrived = now;
  call.decode_ns = std::max<uint64_t>(Nanoseconds(now - call.received), 1);
  queued.level = 1;
  queued.wait_until.reset();
  queued.delay_when_late = false;
  if (config.batching) {
    queued.level = config.batching->LevelOf(call.priority);
    const BatchingConfig::Queue queue = config.batching->QueueOf(queued.level);
    if (queue.default_timeout.count() > 0) {
      // Beside a deadline of the request's own, which ends its wait where it is the earlier of the two.
      queued.wait_until = now + queue.default_timeout;
      queued.delay_when_late = queue.timeout_action == BatchingConfig::TimeoutAction::kDelay;
    }
  }
  if (!call.deadline) call.deadline = now + options_.default_timeout;
  queued.deadline = call.deadline;
  const ServiceTimes& times = runtime.times(call.signature);
  const uint32_t full = std::max(MaxBatch(*call.handle), 1u);
  queued.batch_time = times.AtLeast(full);
  queued.least_time = times.AtLeast(std::min(queued.rows, full));
  queued.cost = queued.may_join ? queued.batch_time * queued.rows / full : queued.least_time;
  queued.cheap = BatchesAreCheap(*call.handle, times);
}

PredictionCall& QueuedExecution::CallOf(BatchTask& task) {
  return static_cast<Item&>(task).is_piece ? *static_cast<Piece&>(task).parent->call
                                           : *static_cast<Queued&>(task).call;
}

void QueuedExecution::Split(Queued& queued, std::vector<BatchTask*>& tasks) {
  const uint32_t max = MaxBatch(*queued.call->handle);
  for (uint64_t first = 0; first < queued.rows; first += max) {
    Piece& piece = queued.pieces.emplace_back();
    piece.parent = &queued;
    const auto rows = static_cast<uint32_t>(std::min<uint64_t>(max, queued.rows - first));
    queued.rules->SliceInputs(queued.inputs, first, rows, piece.views);
    piece.inputs = piece.views;
    piece.rules = queued.rules;
    piece.key = queued.key;
    piece.cheap = queued.cheap;
    piece.rows = rows;
    piece.bytes = queued.bytes * rows / queued.rows;
    piece.level = queued.level;
    piece.arrived = queued.arrived;
    piece.deadline = queued.deadline;
    piece.wait_until = queued.wait_until;
    piece.delay_when_late = queued.delay_when_late;
    piece.batch_time = queued.batch_time;
    piece.least_time = queued.least_time * static_cast<int64_t>((queued.rows + max - 1) / max);
    piece.cost = queued.cost * rows / queued.rows;
    tasks.push_back(&piece);
  }
  MutexLock lock(queued.mutex);
  queued.left = tasks.size();
  queued.first_error = OkStatus();
}

/// The calls that a thread runs once its turn is over.
struct QueuedExecution::InTurn {
  std::deque<Queued*> calls;  ///< in the order in which they came; null: taken out
  size_t bytes = 0;           ///< that their inputs take
  Turn* promised = nullptr;   ///< at the end of which RunTurn comes

  Queued* TakeFirst() {
    while (!calls.empty()) {
      Queued* first = calls.front();
      calls.pop_front();
      if (first == nullptr) continue;
      bytes -= first->bytes;
      return first;
    }
    return nullptr;
  }
  void Take(Queued*& place) {
    bytes -= place->bytes;
    place = nullptr;
  }
  bool AnyLeft() {
    while (!calls.empty() && calls.front() == nullptr) calls.pop_front();
    return !calls.empty();
  }
  void Promise(Turn& turn) {
    if (promised == &turn) return;
    turn.AtEnd(RunTurn);
    promised = &turn;
  }
};
thread_local QueuedExecution::InTurn QueuedExecution::in_turn;

void QueuedExecution::RunTurn() {
  InTurn& turn = in_turn;
  turn.promised = nullptr;
  // One batch, then the loop's other work, which sends the answers, then the next.
  while (Queued* first = turn.TakeFirst()) {
    try {
      first->owner->RunWithAlike(*first, turn);
    } catch (const std::exception& e) {
      LOG_ERROR("a batch of what a turn brought was not ended", {"error", e.what()});
    }
    if (turn.promised != nullptr) return;
  }
}

void QueuedExecution::RunWithAlike(Queued& first, InTurn& turn) {
  const SteadyTime now = clock_.SteadyNow();
  auto is_late = [now](const Queued& queued) { return queued.deadline && now >= *queued.deadline; };
  const ServableVersion& version = *first.call->handle;
  VersionRuntime& runtime = VersionRuntime::Of(version);
  if (is_late(first)) {
    runtime.stats->CountRejected(RejectReason::kExpired);
    return first.OnDropped(DropReason::kExpired);
  }
  ClosedBatch batch;
  try {
    batch.tasks.reserve(version.rows_together);
  } catch (const std::exception& e) {
    LeaveQueue(*first.call);
    return Fail(first, InternalError(StrCat("the request could not be run: ", e.what())));
  }
  batch.closed = now;
  batch.tasks.push_back(&first);
  batch.rows = first.rows;
  for (Queued*& other : turn.calls) {
    if (batch.rows == version.rows_together) break;
    if (other == nullptr || other->rules != first.rules || other->key != first.key ||
        batch.rows + other->rows > version.rows_together ||
        batch.tasks.size() == version.rows_together || is_late(*other) ||
        !BatchRules::Share(first, *other))
      continue;
    batch.tasks.push_back(other);
    batch.rows += other->rows;
    turn.Take(other);
  }
  batch.reason = batch.rows == version.rows_together ? CloseReason::kFull : CloseReason::kIdle;
  for (const BatchTask* task : batch.tasks) runtime.stats->CountWait(now - task->arrived);
  runtime.stats->CountBatch(batch.reason, batch.rows);
  try {
    if (turn.AnyLeft()) turn.Promise(*Turn::OfThisThread());
  } catch (const std::exception&) {  // no memory to be called again: all of them now
  }
  Run(batch);
}

bool QueuedExecution::SubmitToTurn(PredictionCall& call, std::function<void()>& done) {
  Turn* turn = Turn::OfThisThread();
  // While a rollout draws versions, requests are not sorted by them: the smaller share would always run last.
  if (turn == nullptr || call.signature != 0 || call.drawn) return false;
  try {
    if (!call.queued) call.queued = std::make_shared<Queued>();
    auto& queued = static_cast<Queued&>(*call.queued);
    VersionRuntime& runtime = VersionRuntime::Of(*call.handle);
    call.ViewInputs();
    queued.rules = &runtime.rules(call.signature);
    queued.inputs = call.input_views;
    queued.bytes = BytesOf(queued.inputs);
    queued.rules->Describe(queued);
    if (!queued.may_join || queued.rows >= call.handle->rows_together ||
        runtime.batching_off.load() || in_turn.calls.size() >= kMostInTurn ||
        in_turn.bytes + queued.bytes > kMostBytesInTurn)
      return false;
    runtime.NeedStats([&] { return StatsOf(*call.handle); });
    queued.call = &call;
    queued.owner = this;
    queued.pieces.clear();
    queued.scheduler.reset();
    queued.deadline = call.deadline;
    queued.arrived = clock_.SteadyNow();
    in_turn.Promise(*turn);
    in_turn.calls.push_back(&queued);
    in_turn.bytes += queued.bytes;
    queued.done = std::move(done);
    call.decode_ns = std::max<uint64_t>(Nanoseconds(queued.arrived - call.received), 1);
    runtime.waiting.fetch_add(1, std::memory_order_relaxed);
    return true;
  } catch (const std::exception&) {  // no memory: then alone
    return false;
  }
}

bool QueuedExecution::Submit(PredictionCall& call, std::function<void()> done) {
  if (!call.queued) call.queued = std::make_shared<Queued>();
  auto& queued = static_cast<Queued&>(*call.queued);
  auto refuse = [&](Status status) {
    call.status = std::move(status);
    done();
    return true;
  };
  std::vector<BatchTask*> tasks;
  bool run_here = false;
  try {
    VersionRuntime& runtime = VersionRuntime::Of(*call.handle);
    queued.call = &call;
    queued.pieces.clear();
    Result<std::shared_ptr<Scheduler>> scheduler = SchedulerOf(*call.handle, runtime);
    if (!scheduler.ok()) return refuse(scheduler.status());
    queued.scheduler = std::move(scheduler).value();
    call.ViewInputs();
    Describe(call, queued, runtime);
    const auto& batching = call.handle->config->batching;
    if (batching && queued.rows > batching->max_batch_size && queued.may_join) {
      const bool reject = batching->large_requests == BatchingConfig::LargeRequests::kReject;
      const uint64_t most = uint64_t{batching->max_batch_size} * (reject ? 1 : kMostPieces);
      if (queued.rows > most) {
        runtime.stats->CountRejected(RejectReason::kTooLarge);
        return refuse(InvalidArgumentError(StrCat(
            "the request has ", queued.rows, " rows, ", call.model_name, " takes at most ", most,
            " at once; send it in parts, or set ",
            reject ? "batching.large_requests: split" : "a larger batching.max_batch_size")));
      }
      Split(queued, tasks);
      runtime.stats->split.fetch_add(1, std::memory_order_relaxed);
    }
    run_here = tasks.empty() && queued.cheap && Promise(queued.scheduler);
  } catch (const std::exception& e) {
    return refuse(InternalError(StrCat("the request could not be queued: ", e.what())));
  }
  if (tasks.empty()) tasks.push_back(&queued);
  // Before it is in the queue: a moment later it may be over.
  queued.done = std::move(done);
  std::shared_ptr<Scheduler> scheduler = queued.scheduler;
  const auto count = static_cast<int64_t>(tasks.size());
  VersionRuntime::Of(*call.handle).waiting.fetch_add(count, std::memory_order_relaxed);
  Status taken = scheduler->Submit(tasks, run_here);
  if (taken.ok()) return false;
  VersionRuntime::Of(*call.handle).waiting.fetch_sub(count, std::memory_order_relaxed);
  done = std::move(queued.done);
  return refuse(std::move(taken));
}

bool QueuedExecution::Cancel(PredictionCall& call) {
  if (!call.queued) return false;
  auto& queued = static_cast<Queued&>(*call.queued);
  std::shared_ptr<Scheduler> scheduler = queued.scheduler;
  if (!scheduler) {
    auto found = std::find(in_turn.calls.begin(), in_turn.calls.end(), &queued);
    if (found == in_turn.calls.end()) return false;
    in_turn.Take(*found);
    VersionRuntime::Of(*call.handle).stats->CountRejected(RejectReason::kCancelled);
    queued.OnDropped(DropReason::kCancelled);
    return true;
  }
  if (queued.pieces.empty()) {
    if (!scheduler->Cancel(queued)) return false;
    queued.OnDropped(DropReason::kCancelled);
    return true;
  }
  // With the last piece the call is over and may begin anew: nothing of it is touched afterwards.
  const size_t count = queued.pieces.size();
  std::vector<Piece*> removed;
  for (Piece& piece : queued.pieces) {
    if (scheduler->Cancel(piece)) removed.push_back(&piece);
  }
  for (Piece* piece : removed) piece->OnDropped(DropReason::kCancelled);
  return removed.size() == count;
}

void QueuedExecution::Complete(Queued& queued) {
  // From `done` on the call may begin anew: nothing of it is touched afterwards.
  std::function<void()> done = std::move(queued.done);
  done();
}

void QueuedExecution::Fail(BatchTask& task, const Status& status) {
  if (static_cast<Item&>(task).is_piece) return FinishPiece(static_cast<Piece&>(task), status);
  auto& queued = static_cast<Queued&>(task);
  queued.call->outputs = {};
  queued.call->status = status;
  Complete(queued);
}

void QueuedExecution::FinishPiece(Piece& piece, const Status& status) {
  Queued& queued = *piece.parent;
  PredictionCall& call = *queued.call;
  {
    MutexLock lock(queued.mutex);
    if (!status.ok() && queued.first_error.ok()) queued.first_error = status;
    if (--queued.left > 0) return;
    call.status = queued.first_error;
  }
  // The last one puts them together.
  if (call.status.ok()) {
    queued.merged.clear();
    for (Piece& part : queued.pieces) {
      for (size_t i = 0; i < part.outputs.size() && call.status.ok(); ++i) {
        if (&part == &queued.pieces.front()) {
          queued.merged.push_back(std::move(part.outputs[i]));
        } else {
          const auto& shared = call.handle->config->batching->shared_outputs;
          const std::string& name = part.outputs[i].name();
          if (std::find(shared.begin(), shared.end(), name) != shared.end()) continue;
          call.status = Append(part.outputs[i].View(), queued.merged[i]);
        }
      }
    }
    call.output_views.clear();
    for (const Tensor& tensor : queued.merged) call.output_views.push_back(tensor.View());
    if (call.status.ok()) call.outputs = call.output_views;
  }
  for (Piece& part : queued.pieces) part.outputs.clear();
  Complete(queued);
}

void QueuedExecution::RunAlone(VersionRuntime& runtime, Queued& queued) {
  PredictionCall& call = *queued.call;
  run_alone_(call);
  if (call.status.ok()) {
    runtime.times(call.signature)
        .Record(queued.rows, Duration(static_cast<int64_t>(call.compute_ns)));
  }
  Complete(queued);
}

void QueuedExecution::RunSingly(VersionRuntime& runtime, const ServableVersion& version,
                                std::span<BatchTask* const> tasks) {
  runtime.stats->run_singly.fetch_add(tasks.size(), std::memory_order_relaxed);
  for (BatchTask* task : tasks) {
    if (static_cast<Item*>(task)->is_piece) {
      RunTogether(runtime, version, std::span(&task, 1), task->rows);
    } else {
      RunAlone(runtime, static_cast<Queued&>(*task));
    }
  }
}

void QueuedExecution::RunTogether(VersionRuntime& runtime, const ServableVersion& version,
                                  std::span<BatchTask* const> tasks, uint64_t rows) {
  auto piece_of = [](BatchTask* task) {
    return static_cast<Item*>(task)->is_piece ? static_cast<Piece*>(task) : nullptr;
  };
  const size_t signature = CallOf(*tasks[0]).signature;
  const BatchRules& rules = *tasks[0]->rules;
  const uint64_t padded = rules.PaddedRows(rows);
  std::shared_ptr<BatchWork> work;
  Result<std::span<const TensorView>> outputs = InternalError("not run");
  const SteadyTime begin = clock_.SteadyNow();
  SteadyTime joined = begin;
  SteadyTime ran = begin;
  try {
    work = runtime.TakeWork();
    Result<ContextPool::Lease> lease = runtime.contexts(signature).Acquire();
    if (lease.ok()) {
      work->lease = std::move(lease).value();
      std::span<const TensorView> inputs = tasks.size() == 1 && padded == rows
                                               ? tasks[0]->inputs
                                               : work->buffer.Join(rules, tasks, padded);
      joined = clock_.SteadyNow();
      // The last of the deadlines: the others' requests are none the worse for it.
      std::optional<SteadyTime> deadline = tasks[0]->deadline;
      for (const BatchTask* task : tasks) {
        deadline = deadline && task->deadline ? std::max(deadline, task->deadline) : std::nullopt;
      }
      outputs = deadline ? work->lease.context().ExecuteBefore(*deadline, inputs)
                         : work->lease.context().Execute(inputs);
      ran = clock_.SteadyNow();
    } else {
      outputs = lease.status();
    }
  } catch (const std::exception& e) {
    outputs = InternalError(StrCat("the batch could not be run: ", e.what()));
  }
  if (!outputs.ok()) {
    const auto& batching = version.config->batching;
    const StatusCode code = outputs.status().code();
    // Who has not asked for batches must not fail by what others have sent.
    const bool again = tasks.size() > 1 &&
                       (batching ? batching->retry_singly && code == StatusCode::kInvalidArgument
                                 : code != StatusCode::kDeadlineExceeded);
    work.reset();
    if (again) return RunSingly(runtime, version, tasks);
    for (BatchTask* task : tasks) Fail(*task, outputs.status());
    return;
  }
  runtime.times(signature).Record(static_cast<uint32_t>(rows), ran - joined);
  runtime.stats->padded_rows.fetch_add(padded - rows, std::memory_order_relaxed);

  uint64_t first = 0;
  bool apart = true;
  try {
    for (BatchTask* task : tasks) {
      Piece* piece = piece_of(task);
      std::vector<TensorView>& views =
          piece != nullptr ? piece->output_views : CallOf(*task).output_views;
      apart = apart && rules.TakeRows(*outputs, padded, first, task->rows, views);
      first += task->rows;
      if (!apart || piece == nullptr) continue;
      piece->outputs.resize(views.size());
      for (size_t i = 0; i < views.size(); ++i) Copy(views[i], piece->outputs[i]);
    }
  } catch (const std::exception& e) {
    work.reset();
    for (BatchTask* task : tasks)
      Fail(*task, InternalError(StrCat("the batch could not be taken apart: ", e.what())));
    return;
  }
  if (!apart) {
    work.reset();
    if (!runtime.batching_off.exchange(true)) {
      LOG_WARN(
          "the model's answers do not have a row for each row asked; its requests are not batched "
          "any more",
          {"model", version.model_name}, {"version", version.version});
    }
    if (piece_of(tasks[0]) == nullptr || tasks.size() > 1)
      return RunSingly(runtime, version, tasks);
    return Fail(*tasks[0],
                InvalidArgumentError(StrCat(
                    "the request has more rows than ", version.model_name,
                    " takes at once, and its answers cannot be put together; send fewer rows")));
  }
  const SteadyTime split = clock_.SteadyNow();
  bool counted = false;
  for (BatchTask* task : tasks) {
    PredictionCall& call = CallOf(*task);
    const uint32_t executed = counted ? 0 : static_cast<uint32_t>(rows);
    counted = true;
    if (Piece* piece = piece_of(task)) {
      MutexLock lock(piece->parent->mutex);
      call.input_ns += Nanoseconds(joined - begin);
      call.compute_ns += Nanoseconds(ran - joined);
      call.output_ns += Nanoseconds(split - ran);
      call.executed_rows = std::max(call.executed_rows, executed);
      continue;
    }
    call.input_ns = Nanoseconds(joined - begin);
    call.compute_ns = std::max<uint64_t>(Nanoseconds(ran - joined), 1);
    call.output_ns = Nanoseconds(split - ran);
    call.executed_rows = executed;
    call.outputs = call.output_views;
    call.status = OkStatus();
    call.batch = work;
    sample_(call, work->lease);
  }
  // Each request holds the answers now until it is finished.
  work.reset();
  for (BatchTask* task : tasks) {
    if (Piece* piece = piece_of(task)) {
      FinishPiece(*piece, OkStatus());
    } else {
      Complete(static_cast<Queued&>(*task));
    }
  }
}

void QueuedExecution::Run(const ClosedBatch& batch) {
  std::vector<BatchTask*> tasks;
  tasks.reserve(batch.tasks.size());
  uint64_t rows = 0;
  for (BatchTask* task : batch.tasks) {
    LeaveQueue(CallOf(*task));
    const auto* piece = static_cast<Item*>(task)->is_piece ? static_cast<Piece*>(task) : nullptr;
    if (piece == nullptr || piece == &piece->parent->pieces.front()) {
      CallOf(*task).queue_ns = Nanoseconds(batch.closed - task->arrived);
    }
    rows += task->rows;
    tasks.push_back(task);
  }
  if (tasks.empty()) return;
  // Held here: with the last of the calls the version may be unloaded, under this thread's feet.
  const Handle version = CallOf(*tasks[0]).handle;
  VersionRuntime& runtime = VersionRuntime::Of(*version);
  const RunningMark running(runtime);
  if (tasks.size() == 1 && !static_cast<Item*>(tasks[0])->is_piece &&
      (!tasks[0]->may_join || tasks[0]->rules->PaddedRows(rows) == rows)) {
    return RunAlone(runtime, static_cast<Queued&>(*tasks[0]));
  }
  RunTogether(runtime, *version, tasks, rows);
}

}  // namespace leadsman
