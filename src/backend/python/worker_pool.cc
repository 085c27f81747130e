#include "backend/python/worker_pool.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "backend/python/worker_log.h"
#include "base/log.h"
#include "base/strings.h"

namespace leadsman::python {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals

constexpr Duration kMemoryTick = 200ms;  ///< of a model that has a limit
constexpr Duration kIdleTick = 2s;
/// A worker that served this long had no trouble starting: its end begins a new count.
constexpr Duration kProvenAfter = 60s;
constexpr Duration kFirstDelay = 500ms;
constexpr Duration kLongestDelay = 30s;
constexpr Duration kReapTick = 50ms;
constexpr size_t kMaxLoadedBytes = 1 << 20;

enum class Phase { kStarting, kIdle, kBusy, kLate, kRetiring, kEnding, kGone };
/// Why the server ended a worker; kNone: it ended by itself.
enum class EndReason { kNone, kHang, kMemory, kProtocol, kLoadTimeout, kRetired, kStopped };

struct Worker {
  Worker(WorkerChannel c, WorkerLog l) : channel(std::move(c)), log(std::move(l)) {}

  WorkerChannel
      channel;  ///< of whoever holds the worker: the caller while kBusy, else the loop's thread
  WorkerProcess process;
  WorkerLog log;  ///< loop's thread
  pid_t pid = 0;  ///< loop's thread
  size_t slot = 0;

  // Guarded by State::mutex.
  Phase phase = Phase::kStarting;
  EndReason end_reason = EndReason::kNone;
  SteadyTime since{};   ///< of its start, then of its readiness
  SteadyTime end_at{};  ///< kLate, kRetiring: it is ended then
  int64_t calls = 0;
  int64_t resident_bytes = 0;
  bool replaced = false;  ///< to be retired when it is free
  bool was_ready = false;
  std::string exit_text;
  Status load_error;
};
using WorkerPtr = std::shared_ptr<Worker>;

/// What became of a worker, for the decision on its successor.
struct Ended {
  bool was_ready = false;
  EndReason reason = EndReason::kNone;
  SteadyTime since{};
  std::string why;
};

struct Slot {
  WorkerPtr current;
  WorkerPtr successor;
  bool wants_successor = false;
  int failures = 0;  ///< in a row
  SteadyTime next_start{};
  std::string last_failure;
};

}  // namespace

std::string_view RestartReasonName(RestartReason reason) {
  switch (reason) {
    case RestartReason::kCrash:
      return "crash";
    case RestartReason::kHang:
      return "hang";
    case RestartReason::kMemory:
      return "memory";
    case RestartReason::kMaxRequests:
      return "max_requests";
    case RestartReason::kProtocol:
      return "protocol";
  }
  return "crash";
}

struct WorkerPool::State : std::enable_shared_from_this<WorkerPool::State> {
  State(Clock& c, WorkerLoop& l, Settings s, std::shared_ptr<ModelCounters> n)
      : clock(c), loop(l), settings(std::move(s)), counters(std::move(n)) {
    slots.resize(static_cast<size_t>(settings.options.instances));
  }

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

  // On the loop's thread.
  void StartWorker(size_t slot, bool as_successor);
  Status Launch(const WorkerPtr& worker);
  void StartFailed(size_t slot, bool as_successor, const Status& status);
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
  void PlanRestart(size_t slot, const Ended& ended) REQUIRES(mutex);
  void PutOff(Slot& slot, std::string why) REQUIRES(mutex);
  void WantSuccessor(size_t slot, RestartReason reason) REQUIRES(mutex);
  Status LoadFailure(const Worker& worker) REQUIRES(mutex);

  // Anywhere.
  Status LoadedTooLate() const;
  void End(Worker& worker, EndReason reason) REQUIRES(mutex);
  Result<WorkerPtr> Acquire(SteadyTime deadline);
  void Release(const WorkerPtr& worker, CallEnd end, SteadyTime began);
  Status WhyBroken(const WorkerPtr& worker, Status status);
  Status NoneExpected(SteadyTime deadline) REQUIRES(mutex);
  std::string Note(SteadyTime now) REQUIRES(mutex);
  void Count(RestartReason reason) {
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
  Status start_error GUARDED_BY(mutex);
};

// ---- On the loop's thread ---------------------------------------------------------------------------------------------

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

void WorkerPool::State::StartWorker(size_t slot, bool as_successor) {
  {
    MutexLock lock(mutex);
    const Slot& place = slots[slot];
    if (stopping || (as_successor ? place.successor : place.current)) return;
  }
  Result<WorkerChannel> channel =
      WorkerChannel::Create(clock, static_cast<size_t>(settings.options.max_tensor_bytes));
  if (!channel.ok()) return StartFailed(slot, as_successor, channel.status());
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
    return StartFailed(slot, as_successor, status);
  }
  LookAtAllAt(worker->since + settings.options.load_timeout);
  MutexLock lock(mutex);
  (as_successor ? slots[slot].successor : slots[slot].current) = worker;
  all.push_back(std::move(worker));
}

void WorkerPool::State::StartFailed(size_t slot, bool as_successor, const Status& status) {
  LOG_ERROR("a Python worker could not be started", {"model", settings.model_name},
            {"version", settings.version}, {"error", status});
  MutexLock lock(mutex);
  if (!loaded && start_error.ok()) start_error = status;
  if (as_successor) {
    PutOff(slots[slot], std::string(status.message()));
  } else if (loaded) {
    PlanRestart(slot, {.why = std::string(status.message())});
  }
  changed.NotifyAll();
}

/// Of a worker that nobody watches, so that it is to be no zombie. Its end takes as long as the kernel likes.
void WorkerPool::State::ReapLater(const WorkerPtr& worker) {
  if (ReapWorker(worker->process)) return;
  loop.At(clock.SteadyNow() + kReapTick,
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
      slot.wants_successor = false;
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
  if (replaced_for.empty()) return;
  LOG_WARN("a Python worker has ended and is replaced", {"model", settings.model_name},
           {"version", settings.version}, {"pid", worker->pid}, {"why", replaced_for},
           {"busy", busy}, {"last_line", worker->log.last_line()});
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
  if (was_successor) PutOff(slot, text);
  if (was_current && !slot.successor) {
    PlanRestart(worker->slot, {worker->was_ready, worker->end_reason, worker->since, text});
  }
  return why.ok() ? worker->exit_text : why.ToString();
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

/// The next start in this slot is later the more often it was in vain.
void WorkerPool::State::PutOff(Slot& slot, std::string why) {
  slot.wants_successor = false;
  slot.failures += 1;
  slot.last_failure = std::move(why);
  Duration delay = 0ms;
  if (slot.failures > 1) {
    delay = std::min<Duration>(kFirstDelay * (1 << std::min(slot.failures - 2, 10)), kLongestDelay);
  }
  slot.next_start = clock.SteadyNow() + delay;
}

void WorkerPool::State::PlanRestart(size_t slot_number, const Ended& ended) {
  Slot& slot = slots[slot_number];
  if (ended.was_ready) {
    Count(ended.reason == EndReason::kHang       ? RestartReason::kHang
          : ended.reason == EndReason::kMemory   ? RestartReason::kMemory
          : ended.reason == EndReason::kProtocol ? RestartReason::kProtocol
                                                 : RestartReason::kCrash);
    if (clock.SteadyNow() - ended.since >= kProvenAfter) slot.failures = 0;
  }
  PutOff(slot, ended.why);
  loop.At(slot.next_start, [weak = weak_from_this(), slot_number] {
    if (auto self = weak.lock()) self->StartWorker(slot_number, /*as_successor=*/false);
  });
}

void WorkerPool::State::WantSuccessor(size_t slot_number, RestartReason reason) {
  Slot& slot = slots[slot_number];
  if (slot.wants_successor || slot.successor || stopping || clock.SteadyNow() < slot.next_start)
    return;
  slot.wants_successor = true;
  Count(reason);
  loop.Post([weak = weak_from_this(), slot_number] {
    if (auto self = weak.lock()) self->StartWorker(slot_number, /*as_successor=*/true);
  });
}

void WorkerPool::State::CheckMemory(const WorkerPtr& worker, int64_t resident_bytes) {
  worker->resident_bytes = resident_bytes;
  const int64_t limit = settings.options.max_memory;
  if (limit <= 0 || resident_bytes <= limit) return;
  if (resident_bytes > limit + limit / 4) {
    End(*worker, EndReason::kMemory);
  } else if (worker->was_ready && slots[worker->slot].current == worker) {
    WantSuccessor(worker->slot, RestartReason::kMemory);
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
  loop.At(time, [weak = weak_from_this()] {
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
  loop.At(clock.SteadyNow() + (settings.options.max_memory > 0 ? kMemoryTick : kIdleTick),
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

// ---- Anywhere ---------------------------------------------------------------------------------------------------------

void WorkerPool::State::End(Worker& worker, EndReason reason) {
  if (worker.end_reason == EndReason::kNone) worker.end_reason = reason;
  if (worker.phase == Phase::kIdle)
    std::erase_if(idle, [&](const WorkerPtr& w) { return w.get() == &worker; });
  // A caller that waits for a busy one finds out by itself, and needs the phase for it.
  if (worker.phase != Phase::kGone && worker.phase != Phase::kBusy) worker.phase = Phase::kEnding;
  worker.process.lifeline.Reset();
}

Status WorkerPool::State::NoneExpected(SteadyTime deadline) {
  SteadyTime next = SteadyTime::max();
  for (const Slot& slot : slots) {
    if (slot.current || slot.successor) return OkStatus();
    next = std::min(next, slot.next_start);
  }
  if (next < deadline && next - clock.SteadyNow() < 1s) return OkStatus();
  return UnavailableError(StrCat("no Python worker runs: ", Note(clock.SteadyNow())));
}

Result<WorkerPtr> WorkerPool::State::Acquire(SteadyTime deadline) {
  MutexLock lock(mutex);
  for (;;) {
    if (stopping) return UnavailableError("the model is being unloaded");
    if (!idle.empty()) {
      WorkerPtr worker = std::move(idle.back());
      idle.pop_back();
      worker->phase = Phase::kBusy;
      return worker;
    }
    RETURN_IF_ERROR(NoneExpected(deadline));
    const Duration left = deadline - clock.SteadyNow();
    if (left <= Duration::zero()) {
      std::string note = Note(clock.SteadyNow());
      return UnavailableError(
          StrCat("no Python worker became free before the request's deadline: all ", slots.size(),
                 " are busy",
                 note.empty() ? "; more of them: the model's runtime option instances"
                              : StrCat("; ", note)));
    }
    freed.WaitFor(mutex, std::min<Duration>(left, 1s));
  }
}

void WorkerPool::State::Release(const WorkerPtr& worker, CallEnd end, SteadyTime began) {
  bool retire = false;
  {
    MutexLock lock(mutex);
    if (worker->phase == Phase::kGone || worker->phase == Phase::kEnding) return;
    if (worker->end_reason != EndReason::kNone) {  // ended while it worked
      worker->phase = Phase::kEnding;
      return;
    }
    const SteadyTime now = clock.SteadyNow();
    switch (end) {
      case CallEnd::kAnswered:
        worker->phase = Phase::kIdle;
        ++worker->calls;
        retire = worker->replaced || stopping;
        if (retire) break;
        idle.push_back(worker);
        if (settings.options.max_requests > 0 && worker->calls >= settings.options.max_requests) {
          WantSuccessor(worker->slot, RestartReason::kMaxRequests);
        }
        break;
      case CallEnd::kLate:
        worker->phase = Phase::kLate;
        worker->end_at = std::max(began + settings.options.hang_timeout, now);
        loop.Post([weak = weak_from_this(), worker] {
          auto self = weak.lock();
          if (!self) return;
          {
            MutexLock again(self->mutex);
            if (worker->phase != Phase::kLate) return;
            self->LookAtAllAt(worker->end_at);
          }
          if (self->loop.Watch(worker->channel.fd(),
                               [raw = self.get(), worker] { raw->OnChannel(worker); }))
            return;
          MutexLock again(self->mutex);
          self->End(*worker, EndReason::kHang);
        });
        return;
      case CallEnd::kNotSent:
      case CallEnd::kBroken:
        worker->phase = Phase::kEnding;
        End(*worker, EndReason::kProtocol);
        return;
    }
  }
  freed.NotifyOne();
  if (retire) {
    loop.Post([weak = weak_from_this(), worker] {
      if (auto self = weak.lock()) self->Retire(worker);
    });
  }
}

/// After a call that broke: waits a moment for the worker's end, which says more than a closed channel.
Status WorkerPool::State::WhyBroken(const WorkerPtr& worker, Status status) {
  MutexLock lock(mutex);
  const SteadyTime begin = clock.SteadyNow();
  // What a broken answer says stands; what is gone is asked why.
  if (status.code() != StatusCode::kUnavailable) return status;
  while (worker->phase != Phase::kGone && clock.SteadyNow() - begin < settings.kill_wait) {
    if (clock.SteadyNow() - begin > 300ms)
      End(*worker, EndReason::kProtocol);  // it lives, but does not listen
    changed.WaitFor(mutex, 100ms);
  }
  switch (worker->end_reason) {
    case EndReason::kMemory:
      return ResourceExhaustedError(
          StrCat("the Python worker took more memory than the model's runtime option max_memory (",
                 settings.options.max_memory,
                 " bytes) while it worked on this request, and "
                 "was ended"));
    case EndReason::kProtocol:
      return InternalError(
          "the Python worker closed its channel while it worked on this request; it is replaced");
    default:
      return InternalError(StrCat("the Python worker ",
                                  worker->exit_text.empty() ? "went away" : worker->exit_text,
                                  " while it worked on this request; it is replaced"));
  }
}

std::string WorkerPool::State::Note(SteadyTime now) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < slots.size(); ++i) {
    const Slot& slot = slots[i];
    const bool ready = slot.current && slot.current->was_ready &&
                       (slot.current->phase == Phase::kIdle || slot.current->phase == Phase::kBusy);
    if (ready) continue;
    std::string which = StrCat("Python worker ", i + 1, " of ", slots.size());
    const std::string last =
        slot.last_failure.empty() ? "" : StrCat(" (before: ", slot.last_failure, ")");
    if (slot.current && slot.current->phase == Phase::kLate) {
      parts.push_back(StrCat(which, " still works on a request whose deadline has passed"));
    } else if (slot.current) {
      parts.push_back(StrCat(
          which, slot.current->phase == Phase::kStarting ? " is starting" : " is ending", last));
    } else {
      const int64_t wait = std::max<int64_t>(0, (slot.next_start - now) / 1ms);
      parts.push_back(StrCat(which, " has ended ", slot.failures,
                             slot.failures == 1 ? " time" : " times in a row", last,
                             ", its next start is in ", wait, " ms"));
    }
  }
  return Join(parts, ", ");
}

// ---- The pool ---------------------------------------------------------------------------------------------------------

WorkerPool::WorkerPool(Clock& clock, WorkerLoop& loop, Settings settings,
                       std::shared_ptr<ModelCounters> counters)
    : state_(std::make_shared<State>(clock, loop, std::move(settings), std::move(counters))) {}

WorkerPool::~WorkerPool() {
  State& state = *state_;
  state.loop.Post([self = state_] { self->BeginStop(); });
  {
    MutexLock lock(state.mutex);
    const SteadyTime until =
        state.clock.SteadyNow() + state.settings.options.close_timeout + state.settings.kill_wait;
    while ((!state.stopping || !state.all.empty()) && state.clock.SteadyNow() < until) {
      state.changed.WaitFor(state.mutex, 100ms);
    }
  }
  // After this nothing refers to the state, but for what holds it weakly.
  state.loop.Post([self = state_] { self->Abandon(); });
}

Status WorkerPool::Start(const std::atomic<bool>* cancel) {
  State& state = *state_;
  state.loop.Post([self = state_] {
    for (size_t i = 0; i < static_cast<size_t>(self->settings.options.instances); ++i)
      self->StartWorker(i, false);
    self->Tick();
  });
  // Those that are too late are ended then.
  const SteadyTime until =
      state.clock.SteadyNow() + state.settings.options.load_timeout + state.settings.kill_wait;
  MutexLock lock(state.mutex);
  for (;;) {
    if (!state.start_error.ok()) return state.start_error;
    const bool ready = std::all_of(state.slots.begin(), state.slots.end(),
                                   [](const Slot& s) { return s.current && s.current->was_ready; });
    if (ready) break;
    if (cancel != nullptr && cancel->load()) return CancelledError("the server is shutting down");
    if (state.clock.SteadyNow() >= until) return state.LoadedTooLate();
    state.changed.WaitFor(state.mutex, 100ms);
  }
  state.loaded = true;
  return OkStatus();
}

Status WorkerPool::Call(const Signature& signature, std::span<const TensorView> inputs,
                        SteadyTime deadline, OutputBuffer& out) {
  State& state = *state_;
  for (;;) {
    ASSIGN_OR_RETURN(WorkerPtr worker, state.Acquire(deadline));
    State::Held held(state, std::move(worker));
    WorkerChannel::CallResult result = held.worker()->channel.Run(signature, inputs, deadline, out);
    if (result.end == CallEnd::kBroken)
      result.status = state.WhyBroken(held.worker(), std::move(result.status));
    held.Release(result.end);
    if (result.end != CallEnd::kNotSent) return std::move(result.status);
  }
}

PoolVitals WorkerPool::GetVitals() const {
  State& state = *state_;
  MutexLock lock(state.mutex);
  PoolVitals vitals;
  for (const Slot& slot : state.slots) {
    if (!slot.current) {
      ++vitals.waiting;
    } else if (slot.current->was_ready && slot.current->phase != Phase::kEnding) {
      ++vitals.ready;
    } else {
      ++vitals.starting;
    }
  }
  for (const WorkerPtr& worker : state.all) vitals.resident_bytes += worker->resident_bytes;
  vitals.note = state.Note(state.clock.SteadyNow());
  return vitals;
}

}  // namespace leadsman::python
