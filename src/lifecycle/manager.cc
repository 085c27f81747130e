#include "lifecycle/manager.h"

#include <malloc.h>

#include <algorithm>
#include <limits>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/low_priority.h"
#include "base/rng.h"
#include "base/strings.h"
#include "lifecycle/inbox.h"
#include "lifecycle/load.h"
#include "lifecycle/loader_pool.h"
#include "lifecycle/memory_budget.h"
#include "lifecycle/model_machine.h"

namespace leadsman {
namespace {

/// Listing blocks for as long as a store or a mount does: one that hangs holds a thread for each of its models.
constexpr int kMaxListers = 64;
/// Of a store when the cache could stand in for it: one that is slower is listed once more, with all its time.
constexpr Duration kPatienceWithCache = std::chrono::seconds(10);
/// A look that takes longer is told.
constexpr Duration kSilent = std::chrono::seconds(5);
constexpr Duration kFirstRelist = std::chrono::milliseconds(500);
/// Of a folder with a version that is not complete: files that must rest for a while are seen at rest by a second look,
/// also when looks are a day apart.
constexpr Duration kArrivingRelist = std::chrono::seconds(1);

template <typename... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <typename... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;  // clang 16 does not deduce aggregates

bool IsArriving(const Result<std::vector<VersionFolder>>& folders) {
  return folders.ok() && std::any_of(folders->begin(), folders->end(),
                                     [](const VersionFolder& folder) { return !folder.complete; });
}

Status Validate(const std::vector<ModelConfig>& models) {
  std::vector<std::string> errors;
  std::set<std::string> names;
  for (const ModelConfig& model : models) {
    std::string at = StrCat("model ", model.name.empty() ? "(without name)" : model.name);
    if (model.name.empty()) errors.push_back(StrCat(at, ": name must not be empty"));
    if (!names.insert(model.name).second) errors.push_back(StrCat(at, ": is configured twice"));
    if (model.path.empty()) errors.push_back(StrCat(at, ": path must not be empty"));
    if (model.policy.kind == VersionPolicy::Kind::kLatest && model.policy.latest < 1) {
      errors.push_back(StrCat(at, ": latest must be at least 1"));
    }
    if (model.policy.kind == VersionPolicy::Kind::kSpecific && model.policy.specific.empty()) {
      errors.push_back(StrCat(at, ": specific must name at least one version"));
    }
  }
  return errors.empty() ? OkStatus() : InvalidArgumentError(Join(errors, "; "));
}

}  // namespace

struct LifecycleManager::Impl {
  Impl(Deps d, Options o)
      : deps(std::move(d)),
        options(o),
        own_stores(StorageOptions(), [](const char*) { return std::string(); }),
        stores(deps.stores != nullptr ? *deps.stores : own_stores),
        inbox(std::make_shared<LifecycleInbox>()),
        budget(o.memory_limit, ResidentBytes) {}

  /// When a model's store is to be looked at.
  struct Listing {
    SteadyTime due{};
    bool in_flight = false;
    SteadyTime asked{};  ///< when it went in flight
    std::shared_ptr<std::atomic<bool>> begun;
    bool again = false;  ///< somebody asked while it was in flight
    int failures = 0;    ///< in a row
  };

  void Loop();
  bool Step();
  /// Looks at the stores that are due, or at all: on the listers, in manual mode here.
  void LookAtStores(bool all);
  void ListDue(bool all, SteadyTime now, std::vector<Listed>& looks) REQUIRES(mutex);
  void ListSoon(const std::string& model) REQUIRES(mutex) {
    Listing& listing = listings[model];
    listing.due = {};
    listing.again = listing.in_flight;
  }
  void SubmitLook(Listed look);
  void Look(Listed& look);
  void OnListed(Listed& look, MachineEffects& effects) REQUIRES(mutex);
  void Absorb(std::vector<LifecycleMessage> messages, MachineEffects& effects) REQUIRES(mutex);
  void Decide(MachineEffects& effects) REQUIRES(mutex);
  void PublishTable() REQUIRES(mutex);
  /// The same for a version each time that it is loaded, until it is forgotten: what is counted by it does not grow then.
  uint32_t IdOf(const std::string& model, int64_t version) REQUIRES(mutex) {
    auto [it, added] = ids.try_emplace({model, version}, next_id);
    if (added) ++next_id;
    return it->second;
  }
  void Forget(const std::string& model, std::optional<int64_t> version) REQUIRES(mutex);
  void TellForgotten();
  void CarryOut(MachineEffects effects);
  void SubmitLoad(LoadRequest request);
  void SubmitUnload(std::unique_ptr<ServableVersion> servable);
  /// Whether loads and unloads give way to threads that serve.
  bool GivesWay() const { return options.low_priority && !options.manual; }
  bool StopWithin(std::chrono::milliseconds wait);
  void Stop();
  std::array<LoaderPool*, 5> Pools() {
    return {&file_lister, &remote_lister, &file_loader, &remote_loader, &unloader};
  }

  const Deps deps;
  const Options options;
  Stores own_stores;  ///< without any settings, when nobody gives others
  Stores& stores;
  const std::shared_ptr<LifecycleInbox> inbox;
  Snapshot<ServableTable> table;
  MemoryBudget budget;
  /// Each apart, so that a slow store keeps nobody from loading what is here, and no load an unload.
  LoaderPool file_loader, remote_loader, unloader;
  LoaderPool file_lister, remote_lister;
  std::thread control;
  std::atomic<bool> stopping{false};

  mutable Mutex mutex;
  std::map<std::string, ModelMachine> machines GUARDED_BY(mutex);
  std::map<std::string, VersionPins> pins GUARDED_BY(mutex);
  std::optional<std::set<std::string>> first_models GUARDED_BY(mutex);
  bool settled GUARDED_BY(mutex) = false;
  uint32_t next_id GUARDED_BY(mutex) = 1;
  std::map<std::string, Listing> listings GUARDED_BY(mutex);
  using Ids = std::map<std::pair<std::string, int64_t>, uint32_t>;
  Ids ids GUARDED_BY(mutex);
  Ids forgotten GUARDED_BY(mutex);  ///< to be told without the lock
  uint64_t listing_round GUARDED_BY(mutex) = 0;
};

void LifecycleManager::Impl::Loop() {
  // The pace is real time: deps.clock may stand still in tests of the rooms above.
  Clock& pace = SystemClock();
  while (!stopping.load()) {
    LookAtStores(inbox->TakeListRequest());
    Step();
    Duration wait = std::chrono::seconds(1);
    {
      MutexLock lock(mutex);
      SteadyTime now = deps.clock.SteadyNow();
      for (const auto& [name, machine] : machines) {
        if (auto retry = machine.NextRetry(now)) wait = std::min<Duration>(wait, *retry - now);
      }
      for (const auto& [name, listing] : listings) {
        if (!listing.in_flight) wait = std::min<Duration>(wait, listing.due - pace.SteadyNow());
      }
    }
    inbox->Wait(std::max<Duration>(wait, std::chrono::milliseconds(5)));
  }
}

bool LifecycleManager::Impl::Step() {
  std::vector<LifecycleMessage> messages = inbox->Take();
  bool happened = std::any_of(messages.begin(), messages.end(), [](const LifecycleMessage& m) {
    return !std::holds_alternative<Listed>(m);
  });
  // What became ready is told before the policy decides what may go: a rollout pins in between.
  MachineEffects absorbed;
  {
    MutexLock lock(mutex);
    Absorb(std::move(messages), absorbed);
    if (absorbed.table_changed) PublishTable();
  }
  happened = happened || !absorbed.changes.empty();
  CarryOut(std::move(absorbed));

  MachineEffects decided;
  {
    MutexLock lock(mutex);
    Decide(decided);
    if (decided.table_changed) PublishTable();
  }
  happened = happened || !decided.changes.empty();
  CarryOut(std::move(decided));
  return happened;
}

void LifecycleManager::Impl::LookAtStores(bool all) {
  std::vector<Listed> looks;
  {
    MutexLock lock(mutex);
    ListDue(all, SystemClock().SteadyNow(), looks);
  }
  for (Listed& look : looks) SubmitLook(std::move(look));
}

void LifecycleManager::Impl::ListDue(bool all, SteadyTime now, std::vector<Listed>& looks) {
  std::erase_if(listings, [&](const auto& entry) NO_THREAD_SAFETY_ANALYSIS {
    return !machines.contains(entry.first);
  });
  ++listing_round;
  for (const auto& [name, machine] : machines) {
    if (machine.removed()) continue;
    Listing& listing = listings[name];
    if (listing.in_flight) {
      listing.again = listing.again || all;
      continue;
    }
    if (!all && now < listing.due) continue;
    listing.in_flight = true;
    listing.asked = now;
    listing.begun = std::make_shared<std::atomic<bool>>(false);
    looks.push_back({.model = name,
                     .source = machine.source(),
                     .failed = machine.FailedVersions(),
                     .nothing_known = machine.NothingKnown(),
                     .round = listing_round,
                     .begun = listing.begun});
  }
}

void LifecycleManager::Impl::SubmitLook(Listed look) {
  if (options.manual) {
    Look(look);
    inbox->Post(std::move(look));
    return;
  }
  LoaderPool& lister = look.source->remote() ? remote_lister : file_lister;
  lister.Submit([this, held = std::make_shared<Listed>(std::move(look))] {
    Look(*held);
    inbox->Post(std::move(*held));
  });
}

void LifecycleManager::Impl::Look(Listed& look) {
  look.begun->store(true);
  StoreCall call{.deadline = SystemClock().SteadyNow() + stores.options().list_timeout,
                 .cancel = &stopping};
  if (look.nothing_known && look.source->remote()) {
    look.recalled = look.source->Recall(call);
    if (look.recalled->ok() && !(*look.recalled)->folders.empty()) {
      call.deadline = std::min(call.deadline, SystemClock().SteadyNow() + kPatienceWithCache);
    }
  }
  look.folders = look.source->List(deps.clock.SteadyNow(), call);
  if (look.folders.ok()) look.recalled.reset();
  look.triton = look.source->triton_config();
  for (int64_t version : look.failed)
    look.stamps.emplace_back(version, look.source->StampOfVersion(version));
}

void LifecycleManager::Impl::OnListed(Listed& look, MachineEffects& effects) {
  auto found = machines.find(look.model);
  auto listing = listings.find(look.model);
  if (found == machines.end() || listing == listings.end()) return;
  ModelMachine& machine = found->second;
  Listing& next = listing->second;
  next.in_flight = false;
  SteadyTime now = SystemClock().SteadyNow();
  // A reload may have given the model another path meanwhile: then this look is of the wrong place.
  if (machine.source() != look.source) {
    next = {};
    return;
  }
  Duration interval = options.poll_interval;
  if (look.source->remote()) {
    next.failures = look.folders.ok() ? 0 : next.failures + 1;
    // A store in trouble is asked again soon, then ever less often, and not by everybody at once.
    interval = stores.options().poll_interval;
    if (next.failures > 0) {
      interval =
          std::min<Duration>(10 * interval, kFirstRelist * (1 << std::min(next.failures, 16)));
    }
    interval += interval / 10 * static_cast<int64_t>(Rng(RandomSeed()).Below(5)) / 4;
  }
  if (!look.source->remote() && IsArriving(look.folders))
    interval = std::min<Duration>(interval, kArrivingRelist);
  next.due = std::exchange(next.again, false) ? now : now + interval;
  machine.OnListing(look.folders, deps.clock.Now(), effects);
  if (look.recalled)
    machine.OnRecalled(*look.recalled, look.folders.status(), deps.clock.Now(), effects);
  // A store that is away takes nothing away, the settings neither.
  if (look.folders.ok() || machine.ServedFromCache())
    machine.OnTritonConfig(std::move(look.triton));
  for (int64_t version : effects.forgotten) Forget(look.model, version);
  effects.forgotten.clear();
  machine.OnListingRound(look.round);
  for (const auto& [version, stamp] : look.stamps)
    machine.OnFolderStamp(version, stamp, deps.clock.SteadyNow());
}

void LifecycleManager::Impl::Absorb(std::vector<LifecycleMessage> messages,
                                    MachineEffects& effects) {
  WallTime now = deps.clock.Now();
  SteadyTime steady = deps.clock.SteadyNow();
  auto find = [&](const std::string& name) NO_THREAD_SAFETY_ANALYSIS {
    auto it = machines.find(name);
    return it == machines.end() ? nullptr : &it->second;
  };
  for (LifecycleMessage& message : messages) {
    std::visit(Overloaded{[&](LoadProgress& m) {
                            if (auto* machine = find(m.model)) {
                              machine->OnProgress(m.version, m.state, now, effects);
                            }
                          },
                          [&](LoadDone& m) NO_THREAD_SAFETY_ANALYSIS {
                            if (auto* machine = find(m.model)) {
                              uint32_t id = m.outcome.status.ok() ? IdOf(m.model, m.version) : 0;
                              machine->OnLoadDone(std::move(m), id, now, steady, effects);
                            }
                          },
                          [&](HandlesGone& m) {
                            if (auto* machine = find(m.servable->model_name)) {
                              machine->OnHandlesGone(std::move(m.servable), now, effects);
                            } else {
                              effects.unloads.push_back(std::move(m.servable));
                            }
                          },
                          [&](UnloadDone& m) NO_THREAD_SAFETY_ANALYSIS {
                            if (auto* machine = find(m.model)) {
                              machine->OnUnloadDone(m, now, effects);
                            }
                            for (auto& [name, machine] : machines) machine.OnRoomFreed(steady);
                          },
                          [&](Listed& m) NO_THREAD_SAFETY_ANALYSIS { OnListed(m, effects); }},
               message);
  }
}

void LifecycleManager::Impl::Decide(MachineEffects& effects) {
  WallTime now = deps.clock.Now();
  SteadyTime steady = deps.clock.SteadyNow();
  bool all_settled = first_models.has_value();
  const SteadyTime pace = SystemClock().SteadyNow();
  for (const auto& [name, listing] : listings) {
    auto machine = machines.find(name);
    if (machine == machines.end()) continue;
    const Duration waited = listing.in_flight ? pace - listing.asked : Duration::zero();
    if (waited < kSilent) {
      machine->second.OnSilence({});
    } else {
      machine->second.OnSilence(
          {.seconds = waited / std::chrono::seconds(1), .asked = listing.begun->load()});
    }
  }
  for (auto it = machines.begin(); it != machines.end();) {
    ModelMachine& machine = it->second;
    auto pin = pins.find(it->first);
    machine.SetPins(pin == pins.end() ? VersionPins() : pin->second);
    machine.Step(now, steady, effects);
    if (machine.removed() && machine.Empty()) {
      Forget(it->first, std::nullopt);
      it = machines.erase(it);
      continue;
    }
    if (first_models && first_models->contains(it->first) && !machine.removed() &&
        machine.required()) {
      all_settled = all_settled && machine.Settled();
    }
    ++it;
  }
  settled = settled || all_settled;
}

void LifecycleManager::Impl::PublishTable() {
  auto next = std::make_shared<ServableTable>();
  for (const auto& [name, machine] : machines) {
    if (!machine.removed()) next->models.emplace(name, machine.TableEntry());
  }
  table.Set(std::move(next));
}

/// One version of the model, or all: none of them is in memory.
void LifecycleManager::Impl::Forget(const std::string& model, std::optional<int64_t> version) {
  auto at = ids.lower_bound({model, version.value_or(std::numeric_limits<int64_t>::min())});
  while (at != ids.end() && at->first.first == model &&
         (!version || at->first.second == *version)) {
    forgotten.insert(ids.extract(at++));
  }
}

void LifecycleManager::Impl::TellForgotten() {
  Ids now;
  {
    MutexLock lock(mutex);
    now.swap(forgotten);
  }
  if (!deps.on_forget) return;
  for (const auto& [version, id] : now) deps.on_forget(version.first, version.second, id);
}

void LifecycleManager::Impl::CarryOut(MachineEffects effects) {
  TellForgotten();
  for (LoadRequest& load : effects.loads) SubmitLoad(std::move(load));
  for (auto& servable : effects.unloads) SubmitUnload(std::move(servable));
  if (!deps.on_change) return;
  for (const MachineEffects::Change& change : effects.changes) {
    deps.on_change(change.model, change.version, change.state, change.status);
  }
}

void LifecycleManager::Impl::SubmitLoad(LoadRequest request) {
  request.low_priority = GivesWay();
  request.budget = &budget;
  request.prepare = deps.prepare;
  request.replay_warmup = &deps.replay_warmup;
  request.version_settings = &deps.version_settings;
  LoaderPool& loader = request.source->remote() ? remote_loader : file_loader;
  request.pool = &loader;
  loader.Submit([this, request = std::move(request)] {
    LoadDone done{.model = request.config->name, .version = request.version};
    done.folder_stamp = request.source->StampOfVersion(request.version);
    done.outcome =
        LoadVersion(request, deps.backends, deps.clock, stopping, [&](VersionState state) {
          inbox->Post(LoadProgress{request.config->name, request.version, state});
        });
    inbox->Post(std::move(done));
  });
}

void LifecycleManager::Impl::SubmitUnload(std::unique_ptr<ServableVersion> servable) {
  unloader.Submit(
      [this, holder = std::make_shared<std::unique_ptr<ServableVersion>>(std::move(servable))] {
        UnloadDone done{
            .model = (*holder)->model_name, .version = (*holder)->version, .which = holder->get()};
        MemoryBudget::Reservation beside = budget.BesideLoads();
        const int64_t before = ResidentBytes();
        const int64_t outside = (*holder)->model->outside_memory_bytes();
        auto let_go = [&] {
          holder->reset();
          malloc_trim(0);  // or the allocator keeps what the runtime gave back
        };
        if (GivesWay()) {
          RunAtLowPriority(let_go);
        } else {
          let_go();
        }
        const int64_t after = ResidentBytes();
        if (budget.WasAlone(beside))
          done.returned_bytes = std::max<int64_t>(before - after, 0) + outside;
        LOG_INFO("version unloaded", {"model", done.model}, {"version", done.version},
                 {"resident_bytes_before", before}, {"resident_bytes_after", after},
                 {"outside_bytes_before", outside});
        inbox->Post(std::move(done));
      });
}

bool LifecycleManager::Impl::StopWithin(std::chrono::milliseconds wait) {
  auto deadline = std::chrono::steady_clock::now() + wait;
  stopping = true;
  inbox->Wake(false);
  if (control.joinable()) control.join();
  bool ended = true;
  for (LoaderPool* each : Pools()) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    ended = each->StopWithin(std::max(left, std::chrono::milliseconds(0))) && ended;
  }
  return ended;
}

void LifecycleManager::Impl::Stop() {
  StopWithin(std::chrono::milliseconds(0));  // so that none of them waits for another to be told
  for (LoaderPool* each : Pools()) each->Stop();
  std::vector<LifecycleMessage> left = inbox->Close();
  // Destroyed, with the models that nobody holds, after the lock is given back.
  std::shared_ptr<const ServableTable> old_table = table.Get();
  std::map<std::string, ModelMachine> old;
  MutexLock lock(mutex);
  old.swap(machines);
  PublishTable();
}

LifecycleManager::LifecycleManager(Deps deps, Options options)
    : impl_(std::make_unique<Impl>(std::move(deps), options)) {}
LifecycleManager::~LifecycleManager() { Stop(); }

Status LifecycleManager::Apply(std::vector<ModelConfig> models) {
  RETURN_IF_ERROR(Validate(models));
  {
    MutexLock lock(impl_->mutex);
    std::set<std::string> names;
    for (ModelConfig& model : models) {
      std::string name = model.name;
      names.insert(name);
      auto config = std::make_shared<const ModelConfig>(std::move(model));
      auto it = impl_->machines.find(name);
      if (it != impl_->machines.end()) {
        it->second.Configure(std::move(config));
      } else {
        impl_->machines.emplace(
            name, ModelMachine(std::move(config), impl_->stores, impl_->inbox,
                               impl_->options.drain_timeout, impl_->options.forget_after));
      }
    }
    for (auto& [name, machine] : impl_->machines) {
      if (!names.contains(name)) machine.Remove();
    }
    if (!impl_->first_models) impl_->first_models = std::move(names);
    impl_->PublishTable();
  }
  impl_->inbox->Wake(true);
  return OkStatus();
}

void LifecycleManager::Start() {
  if (impl_->options.manual) return;
  CHECK(!impl_->control.joinable());
  impl_->file_loader.Start(impl_->options.load_threads);
  impl_->remote_loader.Start(impl_->options.load_threads);
  impl_->unloader.Start(1);
  impl_->file_lister.Start(kMaxListers);
  impl_->remote_lister.Start(kMaxListers);
  impl_->control = std::thread([this] { impl_->Loop(); });
}

void LifecycleManager::Stop() { impl_->Stop(); }

bool LifecycleManager::StopWithin(std::chrono::milliseconds wait) {
  return impl_->StopWithin(wait);
}

void LifecycleManager::SetPins(const std::string& model, VersionPins pins) {
  {
    MutexLock lock(impl_->mutex);
    impl_->pins[model] = std::move(pins);
  }
  impl_->inbox->Wake(false);
}

Status LifecycleManager::SetLabel(const std::string& model, const std::string& label,
                                  int64_t version) {
  MutexLock lock(impl_->mutex);
  auto it = impl_->machines.find(model);
  if (it == impl_->machines.end() || it->second.removed()) {
    return NotFoundError(StrCat("there is no model ", model));
  }
  RETURN_IF_ERROR(it->second.SetLabel(label, version));
  impl_->PublishTable();
  return OkStatus();
}

Status LifecycleManager::Refresh(const std::string& model) {
  {
    MutexLock lock(impl_->mutex);
    auto it = impl_->machines.find(model);
    if (it == impl_->machines.end() || it->second.removed())
      return NotFoundError(StrCat("there is no model ", model));
    impl_->ListSoon(model);
  }
  impl_->inbox->Wake(false);
  return OkStatus();
}

void LifecycleManager::RetryFailed(const std::string& model) {
  {
    MutexLock lock(impl_->mutex);
    auto it = impl_->machines.find(model);
    if (it != impl_->machines.end()) it->second.RetryFailed(impl_->deps.clock.SteadyNow());
  }
  impl_->inbox->Wake(false);
}

uint64_t LifecycleManager::Vouch(const std::string& model) {
  uint64_t round = 0;
  {
    MutexLock lock(impl_->mutex);
    round = impl_->listing_round;
    auto it = impl_->machines.find(model);
    if (it == impl_->machines.end()) return round;
    it->second.source()->Vouch();
    impl_->ListSoon(model);
  }
  impl_->inbox->Wake(false);
  return round;
}

const Snapshot<ServableTable>& LifecycleManager::table() const { return impl_->table; }

std::vector<ModelStatus> LifecycleManager::GetStatus() const {
  MutexLock lock(impl_->mutex);
  std::vector<ModelStatus> all;
  for (const auto& [name, machine] : impl_->machines) all.push_back(machine.GetStatus());
  return all;
}

Result<ModelStatus> LifecycleManager::GetStatus(const std::string& model) const {
  MutexLock lock(impl_->mutex);
  auto it = impl_->machines.find(model);
  if (it != impl_->machines.end()) return it->second.GetStatus();
  std::vector<std::string> names;
  for (const auto& [name, machine] : impl_->machines) names.push_back(name);
  return NotFoundError(StrCat("there is no model ", model, "; there are ", HumanList(names)));
}

uint64_t LifecycleManager::ListingRound() const {
  MutexLock lock(impl_->mutex);
  return impl_->listing_round;
}

bool LifecycleManager::SettledOnce() const {
  MutexLock lock(impl_->mutex);
  return impl_->settled;
}

std::vector<UnreadyModel> LifecycleManager::NotReady() const {
  MutexLock lock(impl_->mutex);
  std::vector<UnreadyModel> unready;
  for (const auto& [name, machine] : impl_->machines) {
    const bool counts =
        machine.EverReady() || !impl_->first_models || impl_->first_models->contains(name);
    if (machine.removed() || !machine.required() || !counts) continue;
    if (std::optional<UnreadyModel> why = machine.WhyNotReady()) unready.push_back(std::move(*why));
  }
  return unready;
}

std::map<std::string, LifecycleCounters> LifecycleManager::GetCounters() const {
  MutexLock lock(impl_->mutex);
  std::map<std::string, LifecycleCounters> counters;
  for (const auto& [name, machine] : impl_->machines) counters[name] = machine.counters();
  return counters;
}

bool LifecycleManager::StepForTest() {
  CHECK(impl_->options.manual);
  impl_->LookAtStores(/*all=*/true);
  bool happened = impl_->Step();
  for (LoaderPool* pool : impl_->Pools()) {
    while (pool->RunOneHere()) happened = true;
  }
  return happened;
}

}  // namespace leadsman
