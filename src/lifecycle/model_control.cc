#include "lifecycle/model_control.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"
#include "base/strings.h"
#include "lifecycle/config_schema.h"
#include "lifecycle/given_folders.h"
#include "storage/store_uri.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

constexpr size_t kMostWaiting = 256;
constexpr size_t kMostMadeOfFiles = 100;
constexpr auto kPollInterval = 10ms;

/// A version that has arrived in part, or has still to rest.
bool StillArriving(const VersionStatus& version) {
  return version.state == VersionState::kNew && !version.status.ok();
}

struct Progress {
  bool going = false;
  bool any_ready = false;
  bool serves_as_wanted = false;  ///< one is ready that nothing is to take the place of
  Status failed;                  ///< of the newest version, when it is newer than what serves
};

Progress ProgressOf(const ModelStatus& model, bool may_arrive) {
  Progress progress;
  for (const VersionStatus& version : model.versions) {  // ascending
    if (IsOnItsWay(version.state)) progress.going = true;
    if (version.state == VersionState::kReady) {
      progress.any_ready = true;
      progress.serves_as_wanted = progress.serves_as_wanted || !version.outdated;
      progress.failed =
          version.replacing_failed.empty()
              ? OkStatus()
              : FailedPreconditionError(StrCat("failed to load ", model.name, ": version ",
                                               version.version, ": ", version.replacing_failed));
      const bool may_be_replaced =
          version.replacing_failed.empty() || (may_arrive && !version.status.ok());
      if (version.outdated && may_be_replaced) progress.going = true;
    } else if (version.state == VersionState::kFailed) {
      progress.failed =
          FailedPreconditionError(StrCat("failed to load ", model.name, ": version ",
                                         version.version, ": ", version.status.message()));
    } else if (may_arrive && StillArriving(version) && !progress.serves_as_wanted) {
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

namespace {
Status UnloadedFirst(const std::string& model) {
  return UnavailableError(StrCat("model ", model, " was unloaded before it had been loaded"));
}
}  // namespace

/// What a client has given for a model's present load.
struct ModelControl::Given {
  std::string config;
  std::shared_ptr<GivenFiles> files;
};

struct ModelControl::Impl {
  struct Waiter {
    std::vector<std::string> models;
    uint64_t round;        ///< looks at the folder after this one count
    bool vouched = false;  ///< what is there is said to be whole: nothing more is waited for
    std::shared_ptr<const Given> given;  ///< what a client gave to this load
    SteadyTime deadline{};
    Done done;
  };
  /// A load that waits until another of the same model, of something else, is over.
  struct Turn {
    std::string model;
    std::shared_ptr<const Given> given;
    SteadyTime deadline{};
    Done done;
  };
  using Ended = std::vector<std::pair<Done, Status>>;

  Impl(LifecycleManager& l, Clock& c, Options o) : lifecycle(l), clock(c), options(std::move(o)) {}

  Status ApplyWanted() REQUIRES(mutex);
  /// OK, or why another one cannot be waited for.
  Status CheckRoom() const REQUIRES(mutex);
  void AddWaiter(Waiter waiter) REQUIRES(mutex);
  /// Takes `done` over, but with an error.
  Status BeginLoad(const std::string& model, const std::shared_ptr<const Given>& given, Done& done)
      REQUIRES(mutex);
  /// Whether a load of the model goes on that is one of something else.
  bool IsBusy(const std::string& model, const std::shared_ptr<const Given>& given) const
      REQUIRES(mutex);
  /// Begins those loads whose turn it is.
  void TakeTurns(SteadyTime now, Ended& ended) REQUIRES(mutex);
  std::optional<Status> Outcome(const Waiter& waiter, SteadyTime now) REQUIRES(mutex);
  std::optional<Status> OutcomeOf(const std::string& model, const Waiter& waiter, SteadyTime now)
      REQUIRES(mutex);
  void Look();
  void Loop();

  LifecycleManager& lifecycle;
  Clock& clock;
  const Options options;
  Finder finder;                                ///< set before the first Load
  std::unique_ptr<GivenFolders> given_folders;  ///< likewise

  mutable Mutex mutex;
  CondVar changed;
  std::map<std::string, ModelConfig> configured GUARDED_BY(mutex);
  std::set<std::string> loaded GUARDED_BY(mutex);  ///< kPoll: all that are configured
  std::map<std::string, std::shared_ptr<const Given>> given
      GUARDED_BY(mutex);  ///< of those in `loaded`
  /// Looks at the folders after this one know of the last Apply.
  uint64_t applied_round GUARDED_BY(mutex) = 0;
  bool applied GUARDED_BY(mutex) = false;
  bool stopping GUARDED_BY(mutex) = false;
  std::vector<Waiter> waiters GUARDED_BY(mutex);
  std::deque<Turn> turns GUARDED_BY(mutex);  ///< none without a waiter for the same model
  std::thread thread;  ///< begun under the lock with the first waiter; ended by Stop
};

Status ModelControl::Impl::ApplyWanted() {
  std::vector<ModelConfig> wanted;
  for (const std::string& name : loaded) {
    const auto known = configured.find(name);
    ModelConfig& model =
        wanted.emplace_back(known != configured.end() ? known->second : ModelConfig());
    const auto said = given.find(name);
    if (said == given.end()) continue;
    if (known == configured.end()) {
      model.name = name;
      model.required = false;
    }
    model.triton_json = said->second->config;
    model.given = said->second->files;
    if (model.given) model.path = model.given->folder();
  }
  return lifecycle.Apply(std::move(wanted));
}

Status ModelControl::Impl::CheckRoom() const {
  if (stopping) return UnavailableError("the server is shutting down");
  if (waiters.size() + turns.size() < kMostWaiting) return OkStatus();
  return ResourceExhaustedError(
      StrCat(kMostWaiting, " loads are being waited for already; try again later"));
}

void ModelControl::Impl::AddWaiter(Waiter waiter) {
  waiter.deadline = clock.SteadyNow() + options.load_timeout;
  waiters.push_back(std::move(waiter));
  if (!thread.joinable() && !options.manual) thread = std::thread([this] { Loop(); });
  changed.NotifyAll();
}

Status ModelControl::Impl::BeginLoad(const std::string& model,
                                     const std::shared_ptr<const Given>& what, Done& done) {
  const auto held = given.find(model);
  const std::shared_ptr<const Given> before = held == given.end() ? nullptr : held->second;
  const bool added = loaded.insert(model).second;
  if (added) LOG_INFO("a model is to be loaded by request", {"model", model});
  if (what) {
    LOG_INFO("a model is configured by request", {"model", model},
             {"with_files", what->files != nullptr});
    given[model] = what;
  } else {
    given.erase(model);
  }
  if (Status status = ApplyWanted(); !status.ok()) {
    if (added) loaded.erase(model);
    given.erase(model);
    if (before) given[model] = before;
    return status;
  }
  lifecycle.RetryFailed(model);
  // A look that is under way may have passed the folder already.
  AddWaiter({.models = {model},
             .round = lifecycle.Vouch(model),
             .vouched = true,
             .given = what,
             .done = std::move(done)});
  return OkStatus();
}

bool ModelControl::Impl::IsBusy(const std::string& model,
                                const std::shared_ptr<const Given>& what) const {
  return std::any_of(waiters.begin(), waiters.end(), [&](const Waiter& waiter) {
    return waiter.vouched && waiter.models.front() == model && waiter.given != what;
  });
}

void ModelControl::Impl::TakeTurns(SteadyTime now, Ended& ended) {
  std::set<std::string> passed;  // a later one does not overtake
  for (size_t i = 0; i < turns.size();) {
    Turn& turn = turns[i];
    Status status = OkStatus();
    if (stopping) {
      status = UnavailableError("the server is shutting down");
    } else if (now >= turn.deadline) {
      status = DeadlineExceededError(
          StrCat("failed to load ", turn.model,
                 ": other loads of it have taken all of repository.load_timeout"));
    } else if (passed.contains(turn.model) || IsBusy(turn.model, turn.given)) {
      passed.insert(turn.model);
      ++i;
      continue;
    } else if (!configured.contains(turn.model) && !(turn.given && turn.given->files)) {
      status = NotFoundError(StrCat("failed to load ", turn.model, ": it is configured no more"));
    } else {
      status = BeginLoad(turn.model, turn.given, turn.done);
      if (status.ok()) waiters.back().deadline = turn.deadline;
    }
    if (!status.ok()) ended.emplace_back(std::move(turn.done), std::move(status));
    turns.erase(turns.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

/// Nothing while one of them goes on.
std::optional<Status> ModelControl::Impl::Outcome(const Waiter& waiter, SteadyTime now) {
  if (stopping) return UnavailableError("the server is shutting down");
  Status all = OkStatus();
  for (const std::string& model : waiter.models) {
    std::optional<Status> outcome = OutcomeOf(model, waiter, now);
    if (!outcome) return std::nullopt;
    if (outcome->ok()) continue;
    all = all.ok() ? std::move(*outcome)
                   : Status(all.code(), StrCat(all.message(), "; ", outcome->message()));
  }
  return all;
}

std::optional<Status> ModelControl::Impl::OutcomeOf(const std::string& model, const Waiter& waiter,
                                                    SteadyTime now) {
  if (!loaded.contains(model)) {
    return UnloadedFirst(model);
  }
  Result<ModelStatus> status = lifecycle.GetStatus(model);
  if (!status.ok()) return status.status();
  const bool looked = status->listing_round > waiter.round;
  if (looked) {
    Progress progress = ProgressOf(*status, !waiter.vouched);
    if (!progress.going) {
      if (!progress.any_ready) {
        if (!progress.failed.ok()) return progress.failed;
        return FailedPreconditionError(
            StrCat("failed to load ", model, ": ", WhatIsMissing(*status)));
      }
      if (progress.failed.ok()) return OkStatus();
      return Annotate(progress.failed, "what was loaded before goes on serving");
    }
  }
  if (now < waiter.deadline) return std::nullopt;
  return DeadlineExceededError(
      StrCat("model ", model,
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
    TakeTurns(now, ended);
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
    : impl_(std::make_unique<Impl>(lifecycle, clock, std::move(options))) {}
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
  const uint64_t round = impl_->lifecycle.ListingRound();
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
  impl_->applied_round = round;
  if (impl_->options.mode == Mode::kPoll) {
    impl_->loaded.clear();
    for (const auto& [name, config] : impl_->configured) impl_->loaded.insert(name);
    return OkStatus();
  }
  std::set<std::string> before = impl_->loaded;
  std::map<std::string, std::shared_ptr<const Given>> given_before = impl_->given;
  if (!impl_->applied) {
    for (const std::string& name : impl_->options.load_at_start) {
      for (const auto& [known, config] : impl_->configured) {
        if (name == "*" || name == known) impl_->loaded.insert(known);
      }
    }
  }
  std::erase_if(impl_->loaded, [&](const std::string& name) NO_THREAD_SAFETY_ANALYSIS {
    const auto given = impl_->given.find(name);
    const bool by_request = given != impl_->given.end() && given->second->files;
    return !impl_->configured.contains(name) && !by_request;
  });
  std::erase_if(impl_->given, [&](const auto& given) NO_THREAD_SAFETY_ANALYSIS {
    return !impl_->loaded.contains(given.first);
  });
  Status status = impl_->ApplyWanted();
  if (status.ok()) {
    impl_->applied = true;
  } else {
    std::swap(impl_->configured, next);
    impl_->loaded = std::move(before);
    impl_->given = std::move(given_before);
  }
  return status;
}

void ModelControl::FindBy(Finder finder) { impl_->finder = std::move(finder); }

void ModelControl::KeepGivenIn(std::string folder) {
  impl_->given_folders = std::make_unique<GivenFolders>(
      std::move(folder), impl_->options.max_files_size, !impl_->options.manual);
}

void ModelControl::Load(const std::string& model, GivenModel given, Done done) {
  if (impl_->options.mode == Mode::kPoll) return done(UnavailableError(kNotExplicit));
  Result<std::shared_ptr<const Given>> taken = Take(model, std::move(given));
  if (!taken.ok()) return done(taken.status());
  if (LoadConfigured(model, *taken, done)) return;
  if (!impl_->finder) return done(NotConfigured(model));
  impl_->finder([this, model, given = std::move(taken).value(),
                 done = std::move(done)](const Status& looked) mutable {
    if (!looked.ok()) return done(Annotate(looked, StrCat("failed to load '", model, "'")));
    if (!LoadConfigured(model, given, done)) done(NotConfigured(model));
  });
}

Result<std::shared_ptr<const ModelControl::Given>> ModelControl::Take(const std::string& model,
                                                                      GivenModel given) {
  if (given.empty()) return std::shared_ptr<const Given>();
  RETURN_IF_ERROR(CheckGivenModel(given));
  auto taken = std::make_shared<Given>();
  taken->config = std::move(*given.config);
  if (given.files.empty()) return std::shared_ptr<const Given>(std::move(taken));
  if (std::string wrong = CheckModelName(model); !wrong.empty())
    return InvalidArgumentError(StrCat("a model's name ", wrong));
  if (!impl_->given_folders) {
    return UnimplementedError(
        "parameters.file: set repository.files: true in the configuration to let clients send "
        "models");
  }
  {
    MutexLock lock(impl_->mutex);
    const auto made = std::count_if(impl_->given.begin(), impl_->given.end(), [&](const auto& one) {
      return one.second->files && one.first != model;
    });
    if (static_cast<size_t>(made) >= kMostMadeOfFiles) {
      return ResourceExhaustedError(StrCat("parameters.file: ", kMostMadeOfFiles,
                                           " models are made of files already; unload one"));
    }
  }
  ASSIGN_OR_RETURN(taken->files, impl_->given_folders->Create(std::move(given.files)));
  return std::shared_ptr<const Given>(std::move(taken));
}

Status ModelControl::NotConfigured(const std::string& model) const {
  const std::string& folder = impl_->options.path;
  std::vector<std::string> names;
  MutexLock lock(impl_->mutex);
  for (const auto& [name, config] : impl_->configured) names.push_back(name);
  return NotFoundError(StrCat(
      "failed to load '", CutUtf8(model, 128), "': it is not configured",
      folder.empty() ? std::string() : StrCat(", and there is no folder of that name in ", folder),
      "; models here: ", HumanList(names)));
}

bool ModelControl::LoadConfigured(const std::string& model,
                                  const std::shared_ptr<const Given>& given, Done& done) {
  bool known = true;
  auto begin = [&]() -> Status {
    MutexLock lock(impl_->mutex);
    RETURN_IF_ERROR(impl_->CheckRoom());
    known = impl_->configured.contains(model) || (given && given->files);
    if (!known) return OkStatus();
    const bool waits = std::any_of(impl_->turns.begin(), impl_->turns.end(),
                                   [&](const Impl::Turn& turn) { return turn.model == model; });
    if (!waits && !impl_->IsBusy(model, given)) return impl_->BeginLoad(model, given, done);
    impl_->turns.push_back(
        {model, given, impl_->clock.SteadyNow() + impl_->options.load_timeout, std::move(done)});
    return OkStatus();
  };
  Status status = begin();
  if (!status.ok()) done(status);
  return known;
}

void ModelControl::Await(std::vector<std::string> models, Done done) {
  Status status = OkStatus();
  {
    MutexLock lock(impl_->mutex);
    status = impl_->CheckRoom();
    if (status.ok()) {
      impl_->AddWaiter(
          {.models = std::move(models), .round = impl_->applied_round, .done = std::move(done)});
      return;
    }
  }
  done(status);
}

Status ModelControl::Unload(const std::string& model) {
  if (impl_->options.mode == Mode::kPoll) return UnavailableError(kNotExplicit);
  std::vector<Done> dropped;
  Status status = OkStatus();
  {
    MutexLock lock(impl_->mutex);
    std::erase_if(impl_->turns, [&](Impl::Turn& turn) {
      if (turn.model != model) return false;
      dropped.push_back(std::move(turn.done));
      return true;
    });
    if (impl_->loaded.erase(model) > 0) {
      impl_->given.erase(model);
      LOG_INFO("a model is unloaded by request", {"model", model});
      impl_->changed.NotifyAll();
      status = impl_->ApplyWanted();
    }
  }
  for (const Done& done : dropped) done(UnloadedFirst(model));
  return status;
}

bool ModelControl::IsLoaded(const std::string& model) const {
  MutexLock lock(impl_->mutex);
  return impl_->loaded.contains(model);
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
    status.path = RedactUrl(config.path);
  }
  std::vector<ModelStatus> index;
  for (auto& [name, status] : models) index.push_back(std::move(status));
  return index;
}

void ModelControl::Poll() {
  CHECK(impl_->options.manual);
  impl_->Look();
  if (impl_->given_folders) impl_->given_folders->DeleteHere();
}

}  // namespace leadsman
