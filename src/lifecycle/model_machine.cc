#include "lifecycle/model_machine.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "lifecycle/config_schema.h"
#include "lifecycle/triton_settings.h"
#include "storage/store_uri.h"

namespace leadsman {
namespace {

constexpr int kGoneVersionsListed = 32;
constexpr Duration kShortestWait = std::chrono::seconds(1);
constexpr Duration kLongestStoreWait = std::chrono::minutes(5);
/// An unload ends it sooner; this is for what other processes give back.
constexpr Duration kLongestRoomWait = std::chrono::seconds(30);

bool InMemory(VersionState state) {
  return state == VersionState::kReady || state == VersionState::kDraining ||
         state == VersionState::kUnloading;
}
bool Idle(VersionState state) {
  return state == VersionState::kNew || state == VersionState::kGone ||
         state == VersionState::kFailed;
}
std::string_view ExecutionName(const ServableVersion& servable) {
  const ModelConfig& config = *servable.config;
  if (config.HasOwnQueue()) return config.batching ? "batched" : "instances";
  if (servable.model->waits()) return "instances";
  if (servable.rows_together > 0) return "batched";
  return servable.run_inline ? "inline" : "pool";
}

/// Nobody answered, or only that it cannot answer now.
bool IsOutOfReach(const Status& status) {
  return status.code() == StatusCode::kUnavailable ||
         status.code() == StatusCode::kDeadlineExceeded;
}

/// What the status tells of a version that has been loaded.
void ShowLoaded(const LoadOutcome& outcome, VersionStatus& shown) {
  shown.execution = ExecutionName(*outcome.servable);
  shown.warm_cost = outcome.servable->warm_cost;
  shown.load_took = outcome.took;
  shown.memory_bytes = outcome.memory_bytes;
}

void Count(LifecycleCounters& counters, const LoadOutcome& outcome) {
  ++(outcome.status.ok() ? counters.loads_ok : counters.loads_failed);
  counters.warmup_requests += outcome.warmup_requests;
  double seconds = ToSeconds(outcome.took);
  counters.load_seconds += seconds;
  const auto& bounds = LifecycleCounters::kBounds;
  size_t bucket =
      static_cast<size_t>(std::lower_bound(bounds.begin(), bounds.end(), seconds) - bounds.begin());
  ++counters.buckets[bucket];
}

}  // namespace

ModelMachine::ModelMachine(std::shared_ptr<const ModelConfig> config, Stores& stores,
                           std::shared_ptr<LifecycleInbox> inbox, Duration drain_timeout,
                           Duration forget_after)
    : stores_(stores),
      inbox_(std::move(inbox)),
      drain_timeout_(drain_timeout),
      forget_after_(forget_after) {
  Configure(std::move(config));
}

void ModelMachine::Configure(std::shared_ptr<const ModelConfig> config) {
  // One that comes back begins with a look: what was found before it went may hold no more.
  if (std::exchange(removed_, false)) listed_once_ = false;
  Source::Options looking{.require_manifest = config->require_manifest,
                          .settle_time = config->settle_time,
                          .format = config->format,
                          .model_file = config->model_file,
                          .triton_json = config->triton_json,
                          .given = config->given};
  if (!source_ || source_->path() != config->path || source_->options() != looking) {
    // What the old one found beside the versions holds until the new one has been listed.
    source_ = stores_.Open(config->path, std::move(looking));
    list_ok_at_.reset();
    list_fails_since_.reset();
    from_cache_.reset();
    recall_error_.clear();
    for (auto& [version, entry] : entries_) {
      // What is wrong with the files there says nothing of those here.
      entry.failed_for_good = false;
      entry.attempts = entry.waits = 0;
      entry.retry_at = {};
      entry.replacing_failed.clear();
    }
    list_error_.clear();
    listed_once_ = false;
  }
  if (own_config_) {
    // A label that the new configuration moves is no longer what somebody set by hand.
    for (const auto& [label, version] : config->labels) {
      auto before = own_config_->labels.find(label);
      if (before == own_config_->labels.end() || before->second != version)
        set_labels_.erase(label);
    }
  }
  own_config_ = std::move(config);
  TakeSettings();
}

void ModelMachine::TakeSettings() {
  config_ =
      triton_ && triton_->ok()
          ? std::make_shared<const ModelConfig>(WithTritonConfig(*own_config_, triton_->value()))
          : own_config_;
}

void ModelMachine::OnTritonConfig(TritonConfigFound found) {
  if (found == triton_) return;
  // Touched, or looked at by a source anew: nothing is loaded again for that.
  if (found && triton_ && found->ok() && triton_->ok() && found->value() == triton_->value())
    return;
  triton_ = std::move(found);
  TakeSettings();
  if (!triton_) return;
  if (!triton_->ok()) {
    LOG_WARN(
        "a model's config.pbtxt cannot be honoured; none of its versions is loaded until it can",
        {"model", config_->name}, {"status", triton_->status()});
    return;
  }
  if (!triton_->value().name.empty() && triton_->value().name != config_->name) {
    LOG_INFO("a model has another name in its config.pbtxt", {"model", config_->name},
             {"there", triton_->value().name});
  }
  for (const std::string& warning : triton_->value().warnings)
    LOG_WARN("without effect", {"model", config_->name}, {"what", warning});
}

bool ModelMachine::Empty() const {
  return std::all_of(entries_.begin(), entries_.end(), [](const auto& e) {
    return Idle(e.second.shown.state) && !e.second.replacing && e.second.in_memory == 0;
  });
}

std::map<std::string, int64_t> ModelMachine::AllLabels() const {
  std::map<std::string, int64_t> labels = set_labels_;
  labels.insert(config_->labels.begin(), config_->labels.end());
  return labels;
}

Status ModelMachine::SetLabel(const std::string& label, int64_t version) {
  if (std::string wrong = CheckModelName(label); !wrong.empty())
    return InvalidArgumentError(StrCat("the label \"", CutUtf8(label, 128), "\" ", wrong));
  auto it = entries_.find(version);
  if (it == entries_.end() || it->second.shown.state != VersionState::kReady) {
    std::vector<std::string> ready;
    for (const auto& [v, entry] : entries_) {
      if (entry.shown.state == VersionState::kReady) ready.push_back(std::to_string(v));
    }
    return FailedPreconditionError(StrCat("label ", label, " can only point at a ready version of ",
                                          config_->name, "; version ", version,
                                          " is not, ready: ", HumanList(ready)));
  }
  set_labels_[label] = version;
  return OkStatus();
}

void ModelMachine::Enter(Entry& entry, VersionState state, Status status, WallTime now,
                         MachineEffects& effects) {
  entry.shown.state = state;
  entry.shown.status = std::move(status);
  entry.shown.since = now;
  if (state == VersionState::kGone) entry.source = nullptr;  // what it holds may go, too
  effects.changes.push_back({config_->name, entry.shown.version, state, entry.shown.status});
}

void ModelMachine::OnListing(const Result<std::vector<VersionFolder>>& folders, WallTime now,
                             MachineEffects& effects) {
  ++(folders.ok() ? counters_.listings_ok : counters_.listings_failed);
  if (!folders.ok()) {
    // Nothing is known, which is not the same as nothing being there: what serves goes on serving.
    if (list_error_.empty() && !removed_) {
      LOG_WARN("a model's versions cannot be listed", {"model", config_->name},
               {"status", folders.status()});
    }
    if (!list_fails_since_) list_fails_since_ = now;
    list_error_ = folders.status().message();
    return;
  }
  if (from_cache_) {
    LOG_INFO("a model's store answers again", {"model", config_->name});
    // What the cache had not whole need not wait for its turn any more.
    for (auto& [version, entry] : entries_) {
      if (entry.failed_for_good) continue;
      entry.retry_at = {};
      entry.waits = 0;
    }
  }
  from_cache_.reset();
  list_fails_since_.reset();
  recall_error_.clear();
  list_error_.clear();
  list_ok_at_ = now;
  TakeListing(*folders, now, effects);
}

void ModelMachine::OnRecalled(const Result<RecalledVersions>& recalled, const Status& why,
                              WallTime now, MachineEffects& effects) {
  if (!NothingKnown() || recalled.status().code() == StatusCode::kNotFound) return;
  if (recalled.status() == why) return;  // the cache itself is the trouble
  std::string error;
  if (!recalled.ok()) {
    error = StrCat("the cache cannot stand in: ", recalled.status().message());
  } else if (recalled->folders.empty()) {
    return;
  } else if (why.code() == StatusCode::kUnauthenticated ||
             why.code() == StatusCode::kPermissionDenied) {
    error = "what the cache has is not served to whom the store refuses";
  } else if (!IsOutOfReach(why)) {
    error = "what the cache has is served only while the store is out of reach, and it answered";
  } else if (std::none_of(recalled->folders.begin(), recalled->folders.end(),
                          [](const VersionFolder& folder) { return folder.complete; })) {
    std::vector<std::string> torn;
    for (const VersionFolder& folder : recalled->folders)
      torn.push_back(StrCat("version ", folder.version, " is ", folder.waiting));
    error = StrCat("the cache cannot stand in: ", Join(torn, ", "));
  }
  if (!error.empty()) {
    if (error != recall_error_)
      LOG_WARN("nothing is served from the cache", {"model", config_->name}, {"why", error});
    recall_error_ = std::move(error);
    return;
  }
  recall_error_.clear();
  from_cache_ = FromCache{list_fails_since_.value_or(now), recalled->listed_at};
  LOG_WARN(
      "a model's store cannot be reached; it is served from the cache, which may not have the "
      "newest version",
      {"model", config_->name}, {"listed_at", FormatRfc3339(recalled->listed_at)}, {"status", why});
  TakeListing(recalled->folders, now, effects);
}

void ModelMachine::TakeListing(const std::vector<VersionFolder>& folders, WallTime now,
                               MachineEffects& effects) {
  listed_once_ = true;
  for (auto& [version, entry] : entries_) {
    entry.folder_there = entry.complete = false;
    entry.waiting.clear();
  }
  for (const VersionFolder& folder : folders) {
    Entry& entry = entries_[folder.version];
    entry.shown.version = folder.version;
    entry.folder_there = true;
    entry.complete = folder.complete;
    if (folder.complete)
      entry.manifest = folder.manifest;
    else
      entry.waiting = folder.waiting;
    bool known_by_files = entry.shown.state == VersionState::kNew;
    if (known_by_files && !folder.complete) {
      if (!entry.listed) entry.shown.since = now;
      entry.listed = true;
      entry.shown.status = UnavailableError(folder.waiting);
    } else if (known_by_files) {
      entry.shown.status = OkStatus();
      entry.listed = false;  // waited for no more; if it is wanted, that is said next
    } else if (entry.shown.state == VersionState::kReady && folder.complete &&
               !(entry.manifest == entry.loaded_manifest) && !entry.changed_since &&
               !Moved(entry)) {
      entry.changed_since = true;
      LOG_WARN("a version's files changed after it was loaded; it is served as it was",
               {"model", config_->name}, {"version", folder.version});
    }
  }
  Forget(effects, now);
}

void ModelMachine::Forget(MachineEffects& effects, WallTime now) {
  int newer = 0;
  for (auto it = entries_.end(); it != entries_.begin();) {
    auto at = std::prev(it);
    Entry& entry = at->second;
    bool there = entry.folder_there;
    if (!there && entry.shown.state == VersionState::kFailed) {
      Enter(entry, VersionState::kGone, OkStatus(), now, effects);
    }
    const bool gone = entry.shown.state == VersionState::kGone && entry.in_memory == 0;
    const bool past = gone && newer >= kGoneVersionsListed;
    const bool forgotten = past || (gone && now - entry.shown.since >= forget_after_);
    if (forgotten && std::exchange(entry.remembered, false)) effects.forgotten.push_back(at->first);
    if (!there && (past || entry.shown.state == VersionState::kNew)) {
      it = entries_.erase(at);
    } else {
      newer += entry.listed ? 1 : 0;
      it = at;
    }
  }
}

std::vector<int64_t> ModelMachine::FailedVersions() const {
  std::vector<int64_t> versions;
  for (const auto& [version, entry] : entries_) {
    if (entry.failed_for_good && entry.folder_there) versions.push_back(version);
  }
  return versions;
}

void ModelMachine::OnFolderStamp(int64_t version, uint64_t stamp, SteadyTime now) {
  auto it = entries_.find(version);
  if (it == entries_.end() || !it->second.failed_for_good) return;
  Entry& entry = it->second;
  // Two looks that agree: a copy in progress is left alone.
  bool settled = stamp == entry.seen_stamp;
  entry.seen_stamp = stamp;
  if (!settled || stamp == entry.failed_stamp || stamp == 0) return;
  LOG_INFO("a failed version's files have changed; it is tried again", {"model", config_->name},
           {"version", version});
  entry.failed_for_good = false;
  entry.attempts = entry.waits = 0;
  entry.retry_at = now;
}

void ModelMachine::RetryFailed(SteadyTime now) {
  for (auto& [version, entry] : entries_) {
    if (!entry.replacing_failed.empty()) {
      entry.replacing_failed.clear();
      entry.refused_triton = nullptr;
      entry.waits = 0;
      entry.retry_at = now;
    }
    if (!entry.failed_for_good) continue;
    entry.failed_for_good = false;
    entry.attempts = 0;
    entry.retry_at = now;
    settled_ = false;
  }
}

ModelView ModelMachine::View(SteadyTime steady) const {
  ModelView view{
      .swap = config_->swap, .policy = config_->policy, .pins = pins_, .removed = removed_};
  for (const auto& [version, entry] : entries_) {
    VersionState state = entry.shown.state;
    // Other settings hold by now: it has to go before it may come back.
    if (state == VersionState::kDraining && entry.loaded_triton != triton_)
      state = VersionState::kUnloading;
    const bool moved = Moved(entry);
    view.versions.push_back(
        {.version = version,
         .state = state,
         .available = entry.folder_there && (entry.complete || (!Idle(state) && !moved)),
         .moved_away = moved,
         .failed_before = entry.failed_before,
         .failed_for_good = entry.failed_for_good,
         .retry_due = !entry.failed_for_good && steady >= entry.retry_at});
  }
  return view;
}

void ModelMachine::Step(WallTime now, SteadyTime steady, MachineEffects& effects) {
  if (!listed_once_ && !removed_) {
    // After a change of path too: until something is known of it, everything stays as it is.
    WarnOfSlowDrains(steady);
    decided_round_ = listing_round_;
    return;
  }
  while (true) {
    ModelView view = View(steady);
    Action action = NextAction(view);
    if (action.kind == Action::Kind::kNothing) {
      std::set<int64_t> wanted = WantedVersions(view);
      bool hopeless = !wanted.empty();
      bool ready = false;
      for (auto& [version, entry] : entries_) {
        ready = ready || entry.shown.state == VersionState::kReady;
        if (!wanted.contains(version)) continue;
        entry.listed = true;
        hopeless = hopeless && entry.failed_for_good;
      }
      settled_ = settled_ || ready || hopeless;
      BeginReplacements(wanted, steady, effects);
      WarnOfSlowDrains(steady);
      decided_round_ = listing_round_;
      return;
    }
    Entry& entry = entries_.at(action.version);
    if (action.kind == Action::Kind::kUnload) {
      BeginDrain(entry, now, steady, effects);
    } else if (entry.shown.state == VersionState::kDraining) {
      entry.handle = entry.draining.lock();
      if (entry.handle) {
        effects.table_changed = true;
        Enter(entry, VersionState::kReady, OkStatus(), now, effects);
      } else {
        // The last handle is just back; the message that says so is in the inbox.
        Enter(entry, VersionState::kUnloading, OkStatus(), now, effects);
      }
    } else {
      BeginLoad(entry, now, effects);
      effects.loads.push_back(RequestFor(entry));
    }
  }
}

void ModelMachine::BeginLoad(Entry& entry, WallTime now, MachineEffects& effects) {
  entry.listed = true;
  entry.loaded_manifest = entry.manifest;
  entry.changed_since = false;
  entry.source = source_;
  entry.loaded_triton = triton_;
  entry.shown.execution.clear();
  entry.shown.warm_cost = {};
  entry.shown.memory_bytes = 0;
  Enter(entry, VersionState::kFetching, OkStatus(), now, effects);
}

LoadRequest ModelMachine::RequestFor(Entry& entry) const {
  entry.progress = std::make_shared<FetchProgress>();
  return {.config = config_,
          .version = entry.shown.version,
          .source = source_,
          .triton = triton_,
          .progress = entry.progress,
          .fetch_timeout = stores_.options().fetch_timeout};
}

bool ModelMachine::Moved(const Entry& entry) const {
  return entry.source && entry.source->path() != source_->path();
}

bool ModelMachine::ServesFromHere() const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& e) {
    return e.second.shown.state == VersionState::kReady && !Moved(e.second);
  });
}

/// Why no version of the place that the model was moved to serves; empty while one does, or is on its way.
std::string ModelMachine::WhyNothingHere() const {
  std::string failed, waiting;
  bool any_complete = false;
  for (const auto& [version, entry] : entries_) {
    const VersionState state = entry.shown.state;
    const bool ready = state == VersionState::kReady;
    if (IsOnItsWay(state) || entry.replacing || (ready && !Moved(entry))) return "";
    if (!entry.folder_there) continue;
    const std::string at = StrCat("version ", version, ": ");
    any_complete = any_complete || entry.complete;
    if (!entry.complete) {
      waiting += StrCat(waiting.empty() ? "" : "; ", at, entry.waiting);
    } else if (ready && !entry.replacing_failed.empty()) {
      failed = StrCat(at, entry.replacing_failed);
    } else if (state == VersionState::kFailed) {
      failed = StrCat(at, entry.shown.status.message());
    }
  }
  if (!failed.empty()) return failed;
  const std::string where = config_->given ? "the files of the load" : RedactUrl(source_->path());
  if (any_complete) return StrCat("no version in ", where, " is one that is wanted");
  return StrCat("there is no version in ", where, waiting.empty() ? "" : ": ", waiting);
}

/// Its config.pbtxt says something else now, and something that can be honoured.
bool ModelMachine::ConfiguredAnew(const Entry& entry) const {
  const bool sound = !triton_ || triton_->ok();
  return sound && entry.loaded_triton != triton_ &&
         (!entry.refused_triton || entry.refused_triton != triton_);
}

void ModelMachine::BeginReplacements(const std::set<int64_t>& wanted, SteadyTime steady,
                                     MachineEffects& effects) {
  for (auto& [version, entry] : entries_) {
    const bool here = entry.folder_there && entry.complete && wanted.contains(version);
    const bool outdated = Moved(entry) || ConfiguredAnew(entry);
    if (entry.shown.state != VersionState::kReady || !outdated || !here) continue;
    if (entry.replacing || steady < entry.retry_at) continue;
    entry.replacing = source_;
    entry.replacing_triton = triton_;
    effects.loads.push_back(RequestFor(entry));
  }
}

void ModelMachine::OnReplacement(Entry& entry, LoadOutcome& outcome, uint32_t id, WallTime now,
                                 SteadyTime steady, MachineEffects& effects) {
  std::shared_ptr<Source> from = std::exchange(entry.replacing, nullptr);
  if (!outcome.status.ok() && (from != source_ || entry.replacing_triton != triton_)) {
    entry.retry_at = steady;  // what has failed is wanted no more
    return;
  }
  if (!outcome.status.ok()) {
    entry.retry_at = steady + NextWait(entry, kLongestStoreWait);
    entry.replacing_failed = outcome.status.message();
    if (Moved(entry)) {
      LOG_WARN("a version could not be loaded from the model's new path; it is served from the old",
               {"model", config_->name}, {"version", entry.shown.version},
               {"status", outcome.status});
    } else {
      if (!outcome.retry) entry.refused_triton = std::move(entry.replacing_triton);
      LOG_WARN(
          "a version could not be loaded as its config.pbtxt has it now; it is served as before",
          {"model", config_->name}, {"version", entry.shown.version}, {"status", outcome.status});
    }
    return;
  }
  if (entry.shown.state != VersionState::kReady) {
    effects.unloads.push_back(std::move(outcome.servable));
    return;
  }
  LOG_INFO(Moved(entry) ? "version replaced by that of the model's new path"
                        : "version loaded anew, for its config.pbtxt has changed",
           {"model", config_->name}, {"version", entry.shown.version});
  entry.source = std::move(from);
  entry.loaded_triton = std::exchange(entry.replacing_triton, nullptr);
  entry.refused_triton = nullptr;
  entry.loaded_manifest = entry.manifest;
  entry.changed_since = false;
  entry.waits = 0;
  entry.replacing_failed.clear();
  ShowLoaded(outcome, entry.shown);
  outcome.servable->id = id;
  Publish(entry, std::move(outcome.servable), now, effects);
}

/// Twice as long each time, and not the same for every process of a fleet.
Duration ModelMachine::NextWait(Entry& entry, Duration longest) {
  Duration wait = std::max<Duration>(kShortestWait, config_->load_retry_delay);
  wait = std::min<Duration>(longest, wait * (int64_t{1} << std::min(entry.waits++, 20)));
  return wait / 4 * 3 + wait / 200 * static_cast<int64_t>(rng_.Below(101));
}

void ModelMachine::BeginDrain(Entry& entry, WallTime now, SteadyTime steady,
                              MachineEffects& effects) {
  entry.draining = entry.handle;
  entry.drain_began = steady;
  entry.drain_warned = false;
  effects.table_changed = true;
  Enter(entry, VersionState::kDraining, OkStatus(), now, effects);
  LOG_INFO("version draining", {"model", config_->name}, {"version", entry.shown.version});
  entry.handle = nullptr;
}

void ModelMachine::WarnOfSlowDrains(SteadyTime steady) {
  for (auto& [version, entry] : entries_) {
    if (entry.shown.state != VersionState::kDraining || entry.drain_warned ||
        steady - entry.drain_began < drain_timeout_) {
      continue;
    }
    entry.drain_warned = true;
    entry.shown.status = DeadlineExceededError(
        StrCat("requests have held it for more than ", drain_timeout_ / std::chrono::seconds(1),
               " s since it was to be unloaded; it goes when they end"));
    LOG_WARN("requests hold a version that is to be unloaded", {"model", config_->name},
             {"version", version});
  }
}

void ModelMachine::OnProgress(int64_t version, VersionState state, WallTime now,
                              MachineEffects& effects) {
  auto it = entries_.find(version);
  if (it == entries_.end() || it->second.replacing) return;
  Enter(it->second, state, OkStatus(), now, effects);
}

void ModelMachine::OnLoadDone(LoadDone done, uint32_t id, WallTime now, SteadyTime steady,
                              MachineEffects& effects) {
  decided_round_ = 0;  // the policy may have more to do
  auto it = entries_.find(done.version);
  if (it == entries_.end()) return;
  Entry& entry = it->second;
  LoadOutcome& outcome = done.outcome;
  Count(counters_, outcome);
  entry.shown.format = outcome.format;
  entry.shown.backend = outcome.backend;
  if (outcome.status.ok()) {
    entry.remembered = true;
    ++entry.in_memory;
  }
  if (entry.replacing) {
    OnReplacement(entry, outcome, id, now, steady, effects);
    return;
  }
  // What has failed is wanted no more: what is there now has not been tried yet.
  const bool other = entry.source != source_ || entry.loaded_triton != triton_;
  if (!outcome.status.ok() && other) {
    LOG_INFO("version failed to load, and is loaded as it is wanted now", {"model", config_->name},
             {"version", done.version}, {"status", outcome.status});
    entry.attempts = entry.waits = 0;
    entry.failed_for_good = entry.waits_for_room = false;
    entry.retry_at = steady;
    Enter(entry, VersionState::kFailed, std::move(outcome.status), now, effects);
    return;
  }
  if (!outcome.status.ok()) {
    entry.failed_before = true;
    entry.failed_stamp = entry.seen_stamp = done.folder_stamp;
    int allowed = 1 + std::max(0, config_->load_retries);
    // A store that is away, full or locked comes back in its own time: that is waited for as long as
    // it takes, ever less often. What is wrong with the files themselves is not.
    bool store_trouble =
        !outcome.fetched && outcome.retry && outcome.status.code() != StatusCode::kDataLoss;
    Duration delay = config_->load_retry_delay;
    if (store_trouble) {
      ++counters_.fetches_failed;
      delay = NextWait(entry, kLongestStoreWait);
    } else if (outcome.no_room) {
      delay = NextWait(entry, kLongestRoomWait);
    } else {
      ++entry.attempts;
    }
    entry.failed_for_good = !outcome.retry || entry.attempts >= allowed;
    entry.retry_at = steady + delay;
    // One that waits for room is tried again and again: told once.
    if (!std::exchange(entry.waits_for_room, outcome.no_room) || !outcome.no_room) {
      LOG_WARN("version failed to load", {"model", config_->name}, {"version", done.version},
               {"attempt", entry.attempts}, {"for_good", entry.failed_for_good},
               {"status", outcome.status});
    }
    auto delay_ms = std::chrono::duration_cast<std::chrono::milliseconds>(delay).count();
    std::string next =
        outcome.no_room ? std::string()
        : entry.failed_for_good
            ? std::string(" (not tried again until its files change or the model is refreshed)")
        : store_trouble ? StrCat(" (tried again in ", delay_ms, " ms)")
                        : StrCat(" (attempt ", entry.attempts, " of ", allowed, ", the next in ",
                                 config_->load_retry_delay.count(), " ms)");
    Enter(entry, VersionState::kFailed,
          Status(outcome.status.code(), StrCat(outcome.status.message(), next)), now, effects);
    return;
  }
  entry.attempts = entry.waits = 0;
  entry.failed_before = entry.failed_for_good = entry.waits_for_room = false;
  ShowLoaded(outcome, entry.shown);
  bool rejected = pins_.exclude.contains(done.version) && !pins_.keep.contains(done.version);
  entry.current = outcome.servable.get();
  if (removed_ || rejected) {
    Enter(entry, VersionState::kUnloading, OkStatus(), now, effects);
    effects.unloads.push_back(std::move(outcome.servable));
    return;
  }
  LOG_INFO(
      "version ready", {"model", config_->name}, {"version", done.version},
      {"backend", outcome.backend}, {"took_s", ToSeconds(outcome.took)},
      {"call_us", ToSeconds(entry.shown.warm_cost) * 1e6}, {"execution", entry.shown.execution},
      {"memory_bytes", outcome.memory_bytes ? std::to_string(*outcome.memory_bytes)
                                            : "not measured: another load or unload overlapped"});
  outcome.servable->id = id;
  Publish(entry, std::move(outcome.servable), now, effects);
}

void ModelMachine::Publish(Entry& entry, std::unique_ptr<ServableVersion> servable, WallTime now,
                           MachineEffects& effects) {
  entry.current = servable.get();
  // Whoever lets go last hands the version back here: unloading takes long and is not a request's
  // work.
  entry.handle =
      std::shared_ptr<ServableVersion>(servable.release(), [inbox = inbox_](ServableVersion* gone) {
        inbox->Post(HandlesGone{std::unique_ptr<ServableVersion>(gone)});
      });
  effects.table_changed = true;
  ever_ready_ = true;
  Enter(entry, VersionState::kReady, OkStatus(), now, effects);
}

void ModelMachine::OnHandlesGone(std::unique_ptr<ServableVersion> servable, WallTime now,
                                 MachineEffects& effects) {
  auto it = entries_.find(servable->version);
  const bool current = it != entries_.end() && it->second.current == servable.get();
  if (current && it->second.shown.state == VersionState::kDraining) {
    Enter(it->second, VersionState::kUnloading, OkStatus(), now, effects);
  }
  effects.unloads.push_back(std::move(servable));
}

void ModelMachine::OnUnloadDone(const UnloadDone& done, WallTime now, MachineEffects& effects) {
  decided_round_ = 0;  // the policy may have more to do
  ++counters_.unloads;
  auto it = entries_.find(done.version);
  if (it == entries_.end()) return;
  --it->second.in_memory;
  if (it->second.current != done.which) return;
  it->second.current = nullptr;
  it->second.shown.memory_bytes = 0;
  it->second.shown.returned_bytes = done.returned_bytes;
  Enter(it->second, VersionState::kGone, OkStatus(), now, effects);
}

void ModelMachine::OnRoomFreed(SteadyTime now) {
  for (auto& [version, entry] : entries_) {
    if (entry.waits_for_room && entry.shown.state == VersionState::kFailed) entry.retry_at = now;
  }
}

std::optional<SteadyTime> ModelMachine::NextRetry(SteadyTime now) const {
  std::optional<SteadyTime> next;
  for (const auto& [version, entry] : entries_) {
    bool replaced_later =
        entry.shown.state == VersionState::kReady && (Moved(entry) || ConfiguredAnew(entry));
    bool tried_later = entry.shown.state == VersionState::kFailed && !entry.failed_for_good;
    if (!(replaced_later || tried_later) || entry.retry_at <= now) continue;
    if (!next || entry.retry_at < *next) next = entry.retry_at;
  }
  return next;
}

ServableTable::Model ModelMachine::TableEntry() const {
  ServableTable::Model model;
  model.known = true;
  for (const auto& [version, entry] : entries_) {
    if (entry.handle) model.ready.emplace(version, entry.handle);
  }
  for (const auto& [label, version] : AllLabels()) {
    if (model.ready.contains(version)) model.labels.emplace(label, version);
  }
  return model;
}

void ModelMachine::OnSilence(Silence silence) {
  const bool before = silence_.seconds > 0;
  const bool now = silence.seconds > 0;
  silence_ = silence;
  if (now && !before) {
    LOG_WARN("a model's store does not answer", {"model", config_->name},
             {"path", RedactUrl(source_->path())}, {"for_s", silence.seconds});
  } else if (before && !now && list_error_.empty()) {
    LOG_INFO("a model's store answers again", {"model", config_->name});
  }
}

std::string ModelMachine::SilenceNote() const {
  const std::string what =
      StrCat(source_->remote() ? "the store " : "the folder ", RedactUrl(source_->path()));
  if (silence_.asked) return StrCat(what, " has not answered for ", silence_.seconds, " s");
  return StrCat(what, " has not been looked at for ", silence_.seconds,
                " s: too many others do not answer");
}

std::string ModelMachine::ListingNote() const {
  if (from_cache_) {
    Result<StoreUri> uri = ParseStoreUri(config_->path);
    std::string alias = uri.ok() ? uri->alias : "";
    return StrCat("not listed by its store since ", FormatRfc3339(from_cache_->since), " (",
                  list_error_, "); served from the cache as last listed at ",
                  FormatRfc3339(from_cache_->listed_at),
                  alias.empty() ? "" : StrCat(", with the alias ", alias, " where it was then"),
                  ", may not be the newest");
  }
  std::string note = list_error_;
  if (list_ok_at_ && source_->remote())
    note += StrCat(" (last listed at ", FormatRfc3339(*list_ok_at_), ")");
  if (!recall_error_.empty()) note += StrCat("; ", recall_error_);
  return note;
}

std::string ModelMachine::Note() const {
  std::vector<std::string> notes;
  if (removed_) notes.push_back("no longer configured; being unloaded");
  if (silence_.seconds > 0 && !removed_) notes.push_back(SilenceNote());
  if (!list_error_.empty()) notes.push_back(ListingNote());
  bool any = false;
  const bool serves_here = ServesFromHere();
  for (const auto& [version, entry] : entries_) {
    any = any || entry.folder_there;
    bool waiting = entry.shown.state == VersionState::kNew && entry.folder_there && !entry.complete;
    if (waiting) notes.push_back(StrCat(version, ": ", entry.shown.status.message()));
    if (entry.handle) {
      std::string own = entry.handle->model->note();
      if (!own.empty()) notes.push_back(StrCat(version, ": ", own));
    }
    int64_t total = entry.progress ? entry.progress->total.load() : 0;
    if (entry.shown.state == VersionState::kFetching && total > 0) {
      notes.push_back(StrCat(version, ": ", entry.progress->done * 100 / total, "% of ",
                             std::max<int64_t>(1, total / 1'000'000), " MB fetched"));
    }
    const bool former = entry.shown.state == VersionState::kReady && Moved(entry) && listed_once_;
    if (former && entry.folder_there && entry.complete) {
      notes.push_back(StrCat(version,
                             ": served from the model's former path until it is loaded from ",
                             RedactUrl(source_->path()), entry.replacing_failed.empty() ? "" : ": ",
                             entry.replacing_failed));
    } else if (former && !serves_here) {
      const std::string why = WhyNothingHere();
      notes.push_back(StrCat(version,
                             ": served from the model's former path until a version is ready in ",
                             RedactUrl(source_->path()), why.empty() ? "" : ": ", why));
    }
    const bool other_config = entry.loaded_triton != triton_ && !Moved(entry);
    if (entry.shown.state == VersionState::kReady && other_config && entry.folder_there) {
      const std::string why = triton_ && !triton_->ok() ? std::string(triton_->status().message())
                                                        : entry.replacing_failed;
      notes.push_back(StrCat(version, ": ", kTritonConfigName,
                             " has changed; it is served as it was before",
                             why.empty() ? " until it is loaded anew" : ": ", why));
    }
    if (entry.changed_since && InMemory(entry.shown.state)) {
      notes.push_back(StrCat(version,
                             ": its files changed after it was loaded; it is served as it was. "
                             "Release a new version instead"));
    }
    const bool explained = former && !serves_here;
    if (!entry.folder_there && listed_once_ && entry.shown.state == VersionState::kReady &&
        !explained) {
      notes.push_back(StrCat(version, ": its folder is gone",
                             pins_.keep.contains(version)
                                 ? "; it serves on because it is pinned"
                                 : "; it serves until another takes over"));
    }
  }
  if (listed_once_ && !any && list_error_.empty()) {
    notes.push_back(StrCat(
        "no version yet: ", RedactUrl(config_->path),
        config_->path.starts_with("models:/")
            ? " has no version; register one or remove the model"
            : StrCat(" holds no version folder (a number is its name), nor a model's files",
                     IsFilePath(config_->path) ? ": is it mounted?" : ".",
                     " Add a version as a folder 1 in it, or remove the model (`leadsman models "
                     "inspect` says what a folder is taken for)")));
  }
  for (int64_t version : pins_.keep) {
    auto it = entries_.find(version);
    bool there =
        it != entries_.end() && (it->second.folder_there || InMemory(it->second.shown.state));
    if (!there && listed_once_)
      notes.push_back(StrCat("pinned version ", version, " is not in the folder"));
  }
  for (const auto& [label, version] : AllLabels()) {
    auto it = entries_.find(version);
    if (it != entries_.end() && it->second.handle) continue;
    notes.push_back(StrCat("label ", label, " waits: version ", version, " is not ready"));
  }
  return Join(notes, "; ");
}

std::optional<UnreadyModel> ModelMachine::WhyNotReady() const {
  bool ready = std::any_of(entries_.begin(), entries_.end(), [](const auto& e) {
    return e.second.shown.state == VersionState::kReady;
  });
  if (ready) return std::nullopt;
  const ModelStatus status = GetStatus();
  UnreadyModel why{
      .model = config_->name, .state = std::string(ModelStateName(status)), .detail = status.note};
  if (const VersionStatus* version = TellingVersion(status)) {
    why.detail = StrCat("version ", version->version,
                        version->waits_for_room ? " waits for room" : StrCat(" is ", why.state));
    if (!version->status.ok()) why.detail += StrCat(": ", version->status.message());
    if (silence_.seconds > 0) why.detail += StrCat("; ", SilenceNote());
  }
  if (why.detail.empty()) why.detail = "no version has been found yet";
  return why;
}

ModelStatus ModelMachine::GetStatus() const {
  ModelStatus status{.name = config_->name, .path = RedactUrl(config_->path), .note = Note()};
  if (from_cache_) status.from_cache_since = from_cache_->since;
  status.settled = settled_;
  status.required = config_->required;
  status.silent_seconds = silence_.seconds;
  status.listing_round = decided_round_;
  const bool serves_here = ServesFromHere();
  int newer = 0;
  for (auto it = entries_.rbegin(); it != entries_.rend(); ++it) {
    const Entry& entry = it->second;
    bool rejected = entry.folder_there && pins_.exclude.contains(it->first);
    if (!entry.listed && !rejected) continue;
    if (entry.shown.state == VersionState::kGone && newer >= kGoneVersionsListed) continue;
    status.versions.push_back(entry.shown);
    VersionStatus& shown = status.versions.back();
    shown.in_folder = entry.folder_there;
    shown.waits_for_room = entry.waits_for_room && shown.state == VersionState::kFailed;
    // Until the place that it comes from has been looked at, nobody knows whether it is what is to be served.
    const bool here = entry.folder_there && entry.complete;
    const bool former = Moved(entry) && !here && !serves_here;
    const bool other =
        Moved(entry) ? here || former : entry.folder_there && entry.loaded_triton != triton_;
    shown.outdated = shown.state == VersionState::kReady && (!listed_once_ || other);
    if (shown.outdated && listed_once_ && former) {
      shown.replacing_failed = WhyNothingHere();
      // It may be complete yet, where nobody has said that it is whole.
      if (entry.folder_there) shown.status = UnavailableError(entry.waiting);
    } else if (shown.outdated) {
      shown.replacing_failed = !listed_once_ ? list_error_
                               : triton_ && !triton_->ok()
                                   ? std::string(triton_->status().message())
                                   : entry.replacing_failed;
    }
    if (shown.state == VersionState::kFetching && entry.progress) {
      shown.fetched_bytes = entry.progress->done;
      shown.fetch_total_bytes = entry.progress->total;
    }
    if (!entry.listed && shown.state == VersionState::kNew) shown.state = VersionState::kGone;
    ++newer;
  }
  std::reverse(status.versions.begin(), status.versions.end());
  for (const auto& [version, entry] : entries_) {
    if (entry.folder_there) status.found.push_back(version);
  }
  status.labels = TableEntry().labels;
  return status;
}

}  // namespace leadsman
