#include <algorithm>
#include <optional>
#include <utility>

#include "backend/python/worker_pool_state.h"
#include "base/log.h"
#include "base/strings.h"

// What the loop's thread does for a pool. It waits for nobody, also not for whoever holds the mutex for long: nobody does.

namespace leadsman::python {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals

constexpr Duration kMemoryTick = 200ms;  ///< of a model that has a limit
constexpr Duration kIdleTick = 2s;
constexpr Duration kReapTick = 50ms;
constexpr size_t kMaxLoadedBytes = 1 << 20;

RestartReason ReasonOf(EndReason end) {
  switch (end) {
    case EndReason::kHang:
      return RestartReason::kHang;
    case EndReason::kMemory:
      return RestartReason::kMemory;
    case EndReason::kProtocol:
      return RestartReason::kProtocol;
    default:
      return RestartReason::kCrash;
  }
}

}  // namespace

/// Starts the process and watches it.
Status WorkerPool::State::Launch(const WorkerPtr& worker) {
  SpawnRequest request = settings.spawn;
  request.request_fd = worker->channel.request_fd();
  request.response_fd = worker->channel.response_fd();
  RETURN_IF_ERROR(SpawnWorker(request, worker->process));
  worker->channel.Attach(std::move(worker->process.channel));
  RETURN_IF_ERROR(worker->channel.SendLoad(settings.load_json));
  const bool watched = loop.Watch(worker->process.pidfd.get(), [this, worker] {
    OnExit(worker);
  }) && loop.Watch(worker->process.log.get(), [this, worker] {
    if (!worker->log.ReadFrom(worker->process.log.get())) {
      loop.Unwatch(worker->process.log.get());
    }
  }) && loop.Watch(worker->channel.fd(), [this, worker] { OnChannel(worker); });
  return watched ? OkStatus() : ResourceExhaustedError("the system watches no more descriptors");
}

/// Starts what a slot wants, now or when its time has come.
void WorkerPool::State::Fill(size_t slot) {
  RestartPolicy::Decision decision;
  {
    MutexLock lock(mutex);
    if (stopping || !start_error.ok()) return;  // a load that has failed does not go on
    decision = slots[slot].restarts.Decide(slots[slot].place(), clock.SteadyNow());
  }
  if (decision.ask_again) {
    loop.At(*decision.ask_again, this, [weak = weak_from_this(), slot] {
      if (auto self = weak.lock()) self->Fill(slot);
    });
  }
  if (decision.start != RestartPolicy::Start::kNothing) StartWorker(slot, decision.start);
}

void WorkerPool::State::StartWorker(size_t slot, RestartPolicy::Start which) {
  Result<WorkerChannel> channel =
      WorkerChannel::Create(clock, static_cast<size_t>(settings.options.max_tensor_bytes));
  if (!channel.ok()) return StartFailed(slot, channel.status());
  auto worker = std::make_shared<Worker>(std::move(channel).value(),
                                         WorkerLog(settings.model_name, settings.version, clock));
  worker->slot = slot;
  worker->since = clock.SteadyNow();
  Status status = Launch(worker);
  if (!status.ok()) {
    if (worker->process.guard > 0) {
      ForgetWatches(*worker);
      worker->process.lifeline.Reset();  // which ends it
      ReapLater(worker);
    }
    return StartFailed(slot, status);
  }
  LookAtAllAt(worker->since + settings.options.load_timeout);
  MutexLock lock(mutex);
  (which == RestartPolicy::Start::kSuccessor ? slots[slot].successor : slots[slot].current) =
      worker;
  all.push_back(std::move(worker));
}

void WorkerPool::State::StartFailed(size_t slot, const Status& status) {
  LOG_ERROR("a Python worker could not be started", {"model", settings.model_name},
            {"version", settings.version}, {"error", status});
  {
    MutexLock lock(mutex);
    if (loaded) {
      slots[slot].restarts.Ended(std::nullopt, std::string(status.message()), clock.SteadyNow());
    } else if (start_error.ok()) {
      start_error = status;
    }
  }
  changed.NotifyAll();
  Fill(slot);
}

/// Of a worker that nobody watches, so that it is to be no zombie. Its end takes as long as the kernel likes.
void WorkerPool::State::ReapLater(const WorkerPtr& worker) {
  if (ReapWorker(worker->process)) return;
  loop.At(clock.SteadyNow() + kReapTick, nullptr,
          [self = shared_from_this(), worker] { self->ReapLater(worker); });
}

void WorkerPool::State::OnChannel(const WorkerPtr& worker) {
  Phase phase{};
  {
    MutexLock lock(mutex);
    phase = worker->phase;
  }
  if (phase == Phase::kLate) {
    const CallEnd end = worker->channel.ReadLate();
    if (end == CallEnd::kLate) return;
    loop.Unwatch(worker->channel.fd());
    Release(worker, end, clock.SteadyNow());
    return;
  }
  Message message;
  const WorkerChannel::ReadEnd end = worker->channel.Read(message);
  if (end == WorkerChannel::ReadEnd::kNothing) return;
  if (end == WorkerChannel::ReadEnd::kMessage && phase == Phase::kStarting) {
    OnStarting(worker, message);
    return;
  }
  // Its end follows, should it not have come yet.
  loop.Unwatch(worker->channel.fd());
  MutexLock lock(mutex);
  if (end == WorkerChannel::ReadEnd::kMessage) End(*worker, EndReason::kProtocol);
}

void WorkerPool::State::OnStarting(const WorkerPtr& worker, const Message& message) {
  Status status;
  switch (message.kind) {
    case MessageKind::kHello:
      worker->pid = static_cast<pid_t>(message.a);
      return;
    case MessageKind::kLoaded:
      status = settings.accept(worker->channel.Text(message, kMaxLoadedBytes));
      if (status.ok()) {
        OnReady(worker);
        return;
      }
      break;
    case MessageKind::kFailed:
      status = worker->channel.FailureOf(message);
      break;
    default:
      status = InternalError(
          "the Python worker does not speak this server's language: install both from one release");
  }
  loop.Unwatch(worker->channel.fd());
  MutexLock lock(mutex);
  worker->load_error = std::move(status);
  End(*worker, EndReason::kProtocol);
}

void WorkerPool::State::OnReady(const WorkerPtr& worker) {
  loop.Unwatch(worker->channel.fd());
  const SteadyTime now = clock.SteadyNow();
  const Duration took = now - worker->since;
  const int64_t resident_bytes = ResidentBytesOf(worker->pid);
  WorkerPtr old;
  {
    MutexLock lock(mutex);
    worker->resident_bytes = resident_bytes;
    if (settings.options.max_memory > 0 && resident_bytes > settings.options.max_memory) {
      worker->load_error =
          ResourceExhaustedError(StrCat("a worker takes ", resident_bytes,
                                        " bytes once the model is loaded, more than its runtime "
                                        "option max_memory (",
                                        settings.options.max_memory, ") allows"));
      End(*worker, EndReason::kMemory);
      return;
    }
    Slot& slot = slots[worker->slot];
    if (slot.successor == worker) {
      old = std::exchange(slot.current, std::exchange(slot.successor, nullptr));
      slot.restarts.SuccessorTookOver();
    }
    worker->since = now;
    worker->was_ready = true;
    worker->phase = Phase::kIdle;
    idle.push_back(worker);
    if (old) {
      old->replaced = true;
      if (old->phase != Phase::kIdle) old = nullptr;  // it goes when it is free
    }
  }
  freed.NotifyOne();
  changed.NotifyAll();
  LOG_INFO("Python worker ready", {"model", settings.model_name}, {"version", settings.version},
           {"pid", worker->pid}, {"took_ms", took / 1ms}, {"resident_bytes", resident_bytes});
  if (old) Retire(old);
}

void WorkerPool::State::Retire(const WorkerPtr& worker) {
  MutexLock lock(mutex);
  if (worker->phase != Phase::kIdle) return;
  std::erase(idle, worker);
  worker->phase = Phase::kRetiring;
  worker->end_reason = EndReason::kRetired;
  worker->end_at = clock.SteadyNow() + settings.options.close_timeout;
  LookAtAllAt(worker->end_at);
  worker->channel.SendQuit();
}

void WorkerPool::State::OnExit(const WorkerPtr& worker) {
  const std::optional<WorkerExit> exit = ReapWorker(worker->process);
  if (!exit) return;
  worker->log.ReadFrom(worker->process.log.get());
  ForgetWatches(*worker);
  counters->log_lines_dropped.fetch_add(worker->log.TakeDropped(), std::memory_order_relaxed);
  worker->channel.Wake();
  bool busy = false;
  std::string replaced_for;
  {
    MutexLock lock(mutex);
    worker->exit_text = exit->ToString();
    busy = worker->phase == Phase::kBusy;
    worker->phase = Phase::kGone;
    std::erase(idle, worker);
    std::erase(all, worker);
    replaced_for = VacateSlot(worker);
  }
  changed.NotifyAll();
  freed.NotifyAll();
  if (!replaced_for.empty()) {
    LOG_WARN("a Python worker has ended and is replaced", {"model", settings.model_name},
             {"version", settings.version}, {"pid", worker->pid}, {"why", replaced_for},
             {"busy", busy}, {"last_line", worker->log.last_line()});
  }
  Fill(worker->slot);
}

/// Of a worker that has gone. Why it is replaced; empty when it is not.
std::string WorkerPool::State::VacateSlot(const WorkerPtr& worker) {
  Slot& slot = slots[worker->slot];
  const bool was_current = slot.current == worker;
  const bool was_successor = slot.successor == worker;
  if (was_current) slot.current = nullptr;
  if (was_successor) slot.successor = nullptr;
  if (stopping || (!was_current && !was_successor)) return "";
  const Status why = worker->was_ready ? OkStatus() : LoadFailure(*worker);
  if (!loaded) {
    if (start_error.ok())
      start_error = why.ok() ? InternalError(StrCat("a worker ", worker->exit_text)) : why;
    return "";
  }
  const std::string text = why.ok() ? worker->exit_text : std::string(why.message());
  const SteadyTime now = clock.SteadyNow();
  std::optional<Duration> served;
  if (worker->was_ready) {
    served = now - worker->since;
    CountRestart(*worker, ReasonOf(worker->end_reason));
  }
  slot.restarts.Ended(served, text, now);
  if (!why.ok()) return why.ToString();
  // One that we have ended goes with whatever status it likes.
  const RestartReason reason = ReasonOf(worker->end_reason);
  if (reason == RestartReason::kCrash) return worker->exit_text;
  return StrCat("was stopped (", RestartReasonName(reason), "), ", worker->exit_text);
}

Status WorkerPool::State::LoadedTooLate() const {
  return DeadlineExceededError(StrCat("the worker had not loaded the model after ",
                                      settings.options.load_timeout / 1ms,
                                      " ms; the model's runtime option load_timeout allows more"));
}

Status WorkerPool::State::LoadFailure(const Worker& worker) {
  if (!worker.load_error.ok()) return worker.load_error;
  if (worker.end_reason == EndReason::kLoadTimeout) return LoadedTooLate();
  if (worker.end_reason == EndReason::kMemory) {
    return ResourceExhaustedError(
        StrCat("the worker took more memory than the model's runtime option max_memory (",
               settings.options.max_memory, " bytes) allows while it loaded the model"));
  }
  const std::string& line = worker.log.last_line();
  return InternalError(StrCat("the Python worker ", worker.exit_text,
                              " before it had loaded the model",
                              line.empty() ? "" : StrCat("; it last printed: ", line)));
}

void WorkerPool::State::CheckMemory(const WorkerPtr& worker, int64_t resident_bytes) {
  worker->resident_bytes = resident_bytes;
  const int64_t limit = settings.options.max_memory;
  if (limit <= 0 || resident_bytes <= limit) return;
  if (resident_bytes > limit + limit / 4) {
    End(*worker, EndReason::kMemory);
  } else if (worker->was_ready && slots[worker->slot].current == worker) {
    WantSuccessor(*worker, RestartReason::kMemory);
  }
}

void WorkerPool::State::LookAtAll() {
  std::vector<WorkerPtr> workers;
  {
    MutexLock lock(mutex);
    workers = all;
  }
  const SteadyTime now = clock.SteadyNow();
  for (const WorkerPtr& worker : workers) LookAt(worker, now);
}

void WorkerPool::State::LookAtAllAt(SteadyTime time) {
  loop.At(time, this, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->LookAtAll();
  });
}

/// Memory is looked at now and then; everything else has a time of its own.
void WorkerPool::State::Tick() {
  LookAtAll();
  {
    MutexLock lock(mutex);
    if (stopping) return;
  }
  loop.At(clock.SteadyNow() + (settings.options.max_memory > 0 ? kMemoryTick : kIdleTick), this,
          [weak = weak_from_this()] {
            if (auto self = weak.lock()) self->Tick();
          });
}

void WorkerPool::State::LookAt(const WorkerPtr& worker, SteadyTime now) {
  counters->log_lines_dropped.fetch_add(worker->log.TakeDropped(), std::memory_order_relaxed);
  const int64_t resident_bytes = worker->pid > 0 ? ResidentBytesOf(worker->pid) : 0;
  MutexLock lock(mutex);
  switch (worker->phase) {
    case Phase::kStarting:
      if (now - worker->since >= settings.options.load_timeout)
        End(*worker, EndReason::kLoadTimeout);
      break;
    case Phase::kLate:
      if (now >= worker->end_at) End(*worker, EndReason::kHang);
      break;
    case Phase::kRetiring:
      if (now >= worker->end_at) End(*worker, EndReason::kRetired);
      return;
    case Phase::kEnding:
    case Phase::kGone:
      return;
    case Phase::kIdle:
    case Phase::kBusy:
      break;
  }
  CheckMemory(worker, resident_bytes);
}

void WorkerPool::State::ForgetWatches(const Worker& worker) {
  loop.Unwatch(worker.process.pidfd.get());
  loop.Unwatch(worker.process.log.get());
  loop.Unwatch(worker.channel.fd());
}

void WorkerPool::State::BeginStop() {
  std::vector<WorkerPtr> retire;
  {
    MutexLock lock(mutex);
    stopping = true;
    for (const WorkerPtr& worker : all) {
      if (worker->phase == Phase::kIdle) {
        retire.push_back(worker);
      } else if (worker->phase != Phase::kRetiring) {
        End(*worker, EndReason::kStopped);
      }
    }
  }
  for (const WorkerPtr& worker : retire) Retire(worker);
  freed.NotifyAll();
  changed.NotifyAll();
}

void WorkerPool::State::Abandon() {
  loop.ForgetTimers(this);  // or what they hold would stay until the last load timeout
  std::vector<WorkerPtr> left;
  {
    MutexLock lock(mutex);
    left.swap(all);
    idle.clear();
  }
  for (const WorkerPtr& worker : left) {
    LOG_ERROR("a Python worker does not end though it was killed; the kernel holds it",
              {"model", settings.model_name}, {"version", settings.version}, {"pid", worker->pid});
    ForgetWatches(*worker);
    ReapLater(worker);
  }
}

}  // namespace leadsman::python
