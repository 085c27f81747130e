#include "backend/python/worker_pool.h"

#include <algorithm>
#include <utility>

#include "backend/python/worker_pool_state.h"
#include "base/log.h"
#include "base/strings.h"

namespace leadsman::python {

using namespace std::chrono_literals;  // NOLINT: literals

namespace {

constexpr const char* kServerStops =
    "the server is shutting down; send the request to another replica";

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

void WorkerPool::State::WantSuccessor(Worker& worker, RestartReason reason) {
  const size_t slot = worker.slot;
  if (stopping || !slots[slot].restarts.Replace(slots[slot].place(), clock.SteadyNow())) return;
  CountRestart(worker, reason);
  loop.Post(
      [weak = weak_from_this(), slot, reason, pid = worker.pid, resident = worker.resident_bytes] {
        auto self = weak.lock();
        if (!self) return;
        LOG_INFO("a Python worker is replaced by another once that is ready",
                 {"model", self->settings.model_name}, {"version", self->settings.version},
                 {"pid", pid}, {"why", RestartReasonName(reason)}, {"resident_bytes", resident},
                 {"max_memory", self->settings.options.max_memory});
        self->Fill(slot);
      });
}

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
    if (slot.shown()) return OkStatus();
    next = std::min(next, slot.restarts.next_start());
  }
  if (next < deadline && next - clock.SteadyNow() < 1s) return OkStatus();
  return UnavailableError(StrCat("no Python worker runs: ", Note(clock.SteadyNow())));
}

Result<WorkerPtr> WorkerPool::State::Acquire(SteadyTime deadline) {
  MutexLock lock(mutex);
  for (;;) {
    if (server_stops) return UnavailableError(kServerStops);
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
      return DeadlineExceededError(
          StrCat("no Python worker became free before the request's deadline: all ", slots.size(),
                 " are busy",
                 note.empty() ? "; more of them: the model's `instances`" : StrCat("; ", note)));
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
          WantSuccessor(*worker, RestartReason::kMaxRequests);
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
      case CallEnd::kNotSent:  // it has gone, and its exit is about to be told
        End(*worker, EndReason::kNone);
        worker->phase = Phase::kEnding;
        return;
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
    if (clock.SteadyNow() - begin > 1s)
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
    case EndReason::kStopped:
      return UnavailableError(
          StrCat("the Python worker was ended while it worked on this request: ",
                 server_stops ? kServerStops : "the model is being unloaded"));
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
    const Worker* const worker = slot.shown().get();
    const Phase phase = worker != nullptr ? worker->phase : Phase::kGone;
    if (phase == Phase::kIdle || phase == Phase::kBusy) continue;
    std::string which = StrCat("Python worker ", i + 1, " of ", slots.size());
    const std::string& last_failure = slot.restarts.last_failure();
    const std::string last = last_failure.empty() ? "" : StrCat(" (before: ", last_failure, ")");
    if (phase == Phase::kLate) {
      parts.push_back(StrCat(which, " still works on a request whose deadline has passed"));
    } else if (worker != nullptr) {
      parts.push_back(
          StrCat(which, phase == Phase::kStarting ? " is starting" : " is ending", last));
    } else {
      const int64_t wait = std::max<int64_t>(0, (slot.restarts.next_start() - now) / 1ms);
      parts.push_back(StrCat(which, " has ended ", slot.restarts.failures(),
                             slot.restarts.failures() == 1 ? " time" : " times in a row", last,
                             ", its next start is in ", wait, " ms"));
    }
  }
  return Join(parts, ", ");
}

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

bool WorkerPool::EndCalls() {
  State& state = *state_;
  bool at_work = false;
  {
    MutexLock lock(state.mutex);
    state.server_stops = true;
    at_work = std::any_of(state.all.begin(), state.all.end(), [](const WorkerPtr& worker) {
      return worker->phase == Phase::kBusy || worker->phase == Phase::kLate;
    });
  }
  state.loop.Post([self = state_] { self->BeginStop(); });
  return at_work;
}

Status WorkerPool::Start(const std::atomic<bool>* cancel) {
  State& state = *state_;
  state.loop.Post([self = state_] {
    for (size_t i = 0; i < static_cast<size_t>(self->settings.instances); ++i) self->Fill(i);
    self->Tick();
  });
  // Those that are too late are ended then.
  const SteadyTime until =
      state.clock.SteadyNow() + state.settings.options.load_timeout + state.settings.kill_wait;
  MutexLock lock(state.mutex);
  for (;;) {
    if (!state.start_error.ok()) return state.start_error;
    const bool ready =
        std::all_of(state.slots.begin(), state.slots.end(),
                    [](const State::Slot& s) { return s.current && s.current->was_ready; });
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
  for (const State::Slot& slot : state.slots) {
    const Worker* const worker = slot.shown().get();
    if (worker == nullptr) {
      ++vitals.waiting;
    } else if (worker->was_ready && worker->phase != Phase::kEnding) {
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
