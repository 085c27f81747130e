#include "lifecycle/model_control.h"

#include <algorithm>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"
#include "base/strings.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

constexpr size_t kMostWaiting = 256;
constexpr auto kPollInterval = 10ms;
bool InProgress(VersionState state) {
  return state == VersionState::kFetching || state == VersionState::kLoading ||
         state == VersionState::kWarming;
}

/// A version that has arrived in part, or has still to rest.
bool StillArriving(const VersionStatus& version) {
  return version.state == VersionState::kNew && !version.status.ok();
}

struct Progress {
  bool going = false;
  bool any_ready = false;
  Status failed;  ///< of the newest version, when it is newer than what serves
};

Progress ProgressOf(const ModelStatus& model) {
  Progress progress;
  for (const VersionStatus& version : model.versions) {  // ascending
    if (InProgress(version.state)) progress.going = true;
    if (version.state == VersionState::kReady) {
      progress.any_ready = true;
      progress.failed = OkStatus();
    } else if (version.state == VersionState::kFailed) {
      progress.failed =
          FailedPreconditionError(StrCat("failed to load ", model.name, ": version ",
                                         version.version, ": ", version.status.message()));
    } else if (StillArriving(version) && !progress.any_ready) {
      progress.going = true;
    }
  }
  // One that will be tried again has not failed yet.
  if (!progress.failed.ok() && !progress.any_ready && !model.settled) progress.going = true;
  return progress;
}

std::string WhatIsMissing(const ModelStatus& model) {
  for (const VersionStatus& version : model.versions) {
    if (!version.status.ok())
      return StrCat("version ", version.version, ": ", version.status.message());
  }
  return model.note.empty() ? StrCat("there is no version in ", model.path) : model.note;
}

}  // namespace

struct ModelControl::Impl {
  struct Waiter {
    std::string model;
    uint64_t round;  ///< looks at the folder after this one count
    SteadyTime deadline;
    Done done;
  };
  using Ended = std::vector<std::pair<Done, Status>>;

  Impl(LifecycleManager& l, Clock& c, Options o) : lifecycle(l), clock(c), options(std::move(o)) {}

  Status ApplyWanted() REQUIRES(mutex);
  std::optional<Status> Outcome(const Waiter& waiter, SteadyTime now) REQUIRES(mutex);
  void Look();
  void Loop();

  LifecycleManager& lifecycle;
  Clock& clock;
  const Options options;

  mutable Mutex mutex;
  CondVar changed;
  std::map<std::string, ModelConfig> configured GUARDED_BY(mutex);
  std::set<std::string> loaded GUARDED_BY(mutex);
  bool applied GUARDED_BY(mutex) = false;
  bool stopping GUARDED_BY(mutex) = false;
  std::vector<Waiter> waiters GUARDED_BY(mutex);
  std::thread thread;
};

Status ModelControl::Impl::ApplyWanted() {
  std::vector<ModelConfig> wanted;
  for (const std::string& name : loaded) wanted.push_back(configured.at(name));
  return lifecycle.Apply(std::move(wanted));
}

/// Nothing while it goes on.
std::optional<Status> ModelControl::Impl::Outcome(const Waiter& waiter, SteadyTime now) {
  if (stopping) return UnavailableError("the server is shutting down");
  if (!loaded.contains(waiter.model)) {
    return UnavailableError(
        StrCat("model ", waiter.model, " was unloaded before it had been loaded"));
  }
  Result<ModelStatus> status = lifecycle.GetStatus(waiter.model);
  if (!status.ok()) return status.status();
  const bool looked = status->listing_round > waiter.round;
  if (looked) {
    Progress progress = ProgressOf(*status);
    if (!progress.going) {
      if (!progress.any_ready) {
        if (!progress.failed.ok()) return progress.failed;
        return FailedPreconditionError(
            StrCat("failed to load ", waiter.model, ": ", WhatIsMissing(*status)));
      }
      if (progress.failed.ok()) return OkStatus();
      return Annotate(progress.failed, "what was loaded before goes on serving");
    }
  }
  if (now < waiter.deadline) return std::nullopt;
  return DeadlineExceededError(
      StrCat("model ", waiter.model,
             " was not ready within repository.load_timeout; the load goes "
             "on: ",
             WhatIsMissing(*status)));
}

void ModelControl::Impl::Look() {
  Ended ended;
  {
    MutexLock lock(mutex);
    SteadyTime now = clock.SteadyNow();
    for (size_t i = 0; i < waiters.size();) {
      std::optional<Status> outcome = Outcome(waiters[i], now);
      if (!outcome) {
        ++i;
        continue;
      }
      ended.emplace_back(std::move(waiters[i].done), std::move(*outcome));
      waiters.erase(waiters.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  for (auto& [done, status] : ended) done(status);
}

void ModelControl::Impl::Loop() {
  while (true) {
    {
      MutexLock lock(mutex);
      if (stopping) return;
      // Without anybody waiting there is nothing to look at.
      if (waiters.empty()) {
        changed.WaitFor(mutex, 1h);
        continue;
      }
      changed.WaitFor(mutex, kPollInterval);
    }
    Look();
  }
}

ModelControl::ModelControl(LifecycleManager& lifecycle, Clock& clock, Options options)
    : impl_(std::make_unique<Impl>(lifecycle, clock, std::move(options))) {
  if (impl_->options.mode == Mode::kExplicit && !impl_->options.manual)
    impl_->thread = std::thread([impl = impl_.get()] { impl->Loop(); });
}
ModelControl::~ModelControl() { Stop(); }

void ModelControl::Stop() {
  {
    MutexLock lock(impl_->mutex);
    impl_->stopping = true;
    impl_->changed.NotifyAll();
  }
  if (impl_->thread.joinable()) impl_->thread.join();
  impl_->Look();
}

Status ModelControl::Apply(std::vector<ModelConfig> models) {
  if (impl_->options.mode == Mode::kPoll) {
    std::vector<ModelConfig> copy = models;
    RETURN_IF_ERROR(impl_->lifecycle.Apply(std::move(copy)));
  }
  MutexLock lock(impl_->mutex);
  std::map<std::string, ModelConfig> next;
  for (ModelConfig& model : models) {
    std::string name = model.name;
    if (!next.emplace(name, std::move(model)).second)
      return InvalidArgumentError(StrCat("model ", name, ": is configured twice"));
  }
  std::swap(impl_->configured, next);
  if (impl_->options.mode == Mode::kPoll) return OkStatus();
  std::set<std::string> before = impl_->loaded;
  if (!impl_->applied) {
    for (const std::string& name : impl_->options.load_at_start) {
      for (const auto& [known, config] : impl_->configured) {
        if (name == "*" || name == known) impl_->loaded.insert(known);
      }
    }
  }
  std::erase_if(impl_->loaded, [&](const std::string& name) NO_THREAD_SAFETY_ANALYSIS {
    return !impl_->configured.contains(name);
  });
  Status status = impl_->ApplyWanted();
  if (status.ok()) {
    impl_->applied = true;
  } else {
    std::swap(impl_->configured, next);
    impl_->loaded = std::move(before);
  }
  return status;
}

void ModelControl::Load(const std::string& model, Done done) {
  auto begin = [&]() -> Status {
    if (impl_->options.mode == Mode::kPoll) return UnavailableError(kNotExplicit);
    MutexLock lock(impl_->mutex);
    if (impl_->stopping) return UnavailableError("the server is shutting down");
    if (!impl_->configured.contains(model)) {
      std::vector<std::string> names;
      for (const auto& [name, config] : impl_->configured) names.push_back(name);
      return NotFoundError(StrCat("failed to load '", model.substr(0, 128),
                                  "': it is not configured; models here: ", HumanList(names)));
    }
    if (impl_->waiters.size() >= kMostWaiting) {
      return ResourceExhaustedError(
          StrCat(kMostWaiting, " loads are being waited for already; try again later"));
    }
    // One that is under way may have passed the folder already.
    const uint64_t round = impl_->lifecycle.ListingRound();
    if (impl_->loaded.insert(model).second)
      LOG_INFO("a model is to be loaded by request", {"model", model});
    RETURN_IF_ERROR(impl_->ApplyWanted());
    impl_->lifecycle.RetryFailed(model);
    impl_->waiters.push_back(
        {model, round, impl_->clock.SteadyNow() + impl_->options.load_timeout, std::move(done)});
    impl_->changed.NotifyAll();
    return OkStatus();
  };
  Status status = begin();
  if (!status.ok()) done(status);
}

Status ModelControl::Unload(const std::string& model) {
  if (impl_->options.mode == Mode::kPoll) return UnavailableError(kNotExplicit);
  MutexLock lock(impl_->mutex);
  if (impl_->loaded.erase(model) == 0) return OkStatus();
  LOG_INFO("a model is unloaded by request", {"model", model});
  impl_->changed.NotifyAll();
  return impl_->ApplyWanted();
}

std::vector<ModelStatus> ModelControl::Index() const {
  std::map<std::string, ModelStatus> models;
  for (ModelStatus& status : impl_->lifecycle.GetStatus()) {
    std::string name = status.name;
    models.emplace(std::move(name), std::move(status));
  }
  MutexLock lock(impl_->mutex);
  for (const auto& [name, config] : impl_->configured) {
    ModelStatus& status = models[name];
    status.name = name;
    status.path = config.path;
  }
  std::vector<ModelStatus> index;
  for (auto& [name, status] : models) index.push_back(std::move(status));
  return index;
}

void ModelControl::Poll() {
  CHECK(impl_->options.manual);
  impl_->Look();
}

}  // namespace leadsman
