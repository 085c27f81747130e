#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "lifecycle/inbox.h"
#include "lifecycle/manager.h"
#include "lifecycle/policy.h"
#include "storage/stores.h"

namespace leadsman {

/// What a step of a ModelMachine asks its owner to carry out.
struct MachineEffects {
  struct Change {
    std::string model;
    int64_t version;
    VersionState state;
    Status status;
  };
  std::vector<LoadRequest> loads;
  std::vector<std::unique_ptr<ServableVersion>> unloads;
  std::vector<Change> changes;
  std::vector<int64_t> forgotten;  ///< versions that were loaded once, long ago
  bool table_changed = false;
};

/// The versions of one model and where each stands. Passive: it is told what happened (a listing, a
/// finished load, handles that came back) and answers with effects; it starts no thread, reads no
/// file, and takes the time as an argument. Externally synchronised.
class ModelMachine {
 public:
  /// `stores` must outlive it and its sources.
  ModelMachine(std::shared_ptr<const ModelConfig> config, Stores& stores,
               std::shared_ptr<LifecycleInbox> inbox, Duration drain_timeout,
               Duration forget_after);

  /// Takes a changed configuration over. Ready versions keep the settings they were loaded with. With another path, they serve
  /// on until what that path holds under their numbers has been loaded in their place.
  void Configure(std::shared_ptr<const ModelConfig> config);
  /// No longer configured: everything goes. Configure() brings it back.
  void Remove() { removed_ = true; }
  bool removed() const { return removed_; }
  /// True when nothing of it is in memory or on its way there.
  bool Empty() const;

  /// Tries again what had failed for good.
  void RetryFailed(SteadyTime now);
  void SetPins(const VersionPins& pins) { pins_ = pins; }
  Status SetLabel(const std::string& label, int64_t version);

  /// What the look that brought the last listing found beside the versions.
  void OnTritonConfig(TritonConfigFound found);
  void OnListing(const Result<std::vector<VersionFolder>>& folders, WallTime now,
                 MachineEffects& effects);
  /// After a look that failed with `why` while NothingKnown(): what the cache has is served until a look works. Not to one
  /// whose credentials the store refuses, and not where the store answers something else: only one that is out of reach.
  void OnRecalled(const Result<RecalledVersions>& recalled, const Status& why, WallTime now,
                  MachineEffects& effects);
  /// Since when the look under way has had no answer; no seconds: it has, or not for long.
  struct Silence {
    int64_t seconds = 0;
    bool asked =
        true;  ///< else it waits for a thread, of which others that have no answer hold all
  };
  void OnSilence(Silence silence);
  /// The number of the look that brought the last listing; shown once Step has decided on it.
  void OnListingRound(uint64_t round) { listing_round_ = round; }
  /// The stamps (Source::StampOfVersion) of FailedVersions(), as they are now.
  void OnFolderStamp(int64_t version, uint64_t stamp, SteadyTime now);
  void OnProgress(int64_t version, VersionState state, WallTime now, MachineEffects& effects);
  void OnLoadDone(LoadDone done, uint32_t id, WallTime now, SteadyTime steady,
                  MachineEffects& effects);
  void OnHandlesGone(std::unique_ptr<ServableVersion> servable, WallTime now,
                     MachineEffects& effects);
  void OnUnloadDone(const UnloadDone& done, WallTime now, MachineEffects& effects);
  /// A version of some model has left memory: one that waits for room is tried now.
  void OnRoomFreed(SteadyTime now);

  /// Asks the policy until there is nothing more to do.
  void Step(WallTime now, SteadyTime steady, MachineEffects& effects);

  const std::shared_ptr<Source>& source() const { return source_; }
  /// Versions that failed for good: they are tried again when their files change.
  std::vector<int64_t> FailedVersions() const;
  /// When a version that failed is due next, after `now`: Step() has looked at those due by then.
  std::optional<SteadyTime> NextRetry(SteadyTime now) const;
  /// There is nothing to go by: no look at the store has worked, and nothing is in memory.
  bool NothingKnown() const { return !listed_once_ && !removed_ && Empty(); }
  bool ServedFromCache() const { return from_cache_.has_value(); }
  bool Settled() const { return settled_; }
  bool required() const { return config_->required; }
  bool EverReady() const { return ever_ready_; }
  /// Nothing when a version is ready.
  std::optional<UnreadyModel> WhyNotReady() const;

  ServableTable::Model TableEntry() const;
  ModelStatus GetStatus() const;
  const LifecycleCounters& counters() const { return counters_; }

 private:
  struct Entry {
    VersionStatus shown;
    bool listed = false;  ///< it was wanted once, or is being waited for
    bool folder_there = false;
    bool complete = false;
    std::string waiting;        ///< as listed: why it is not complete
    FileStamp manifest;         ///< as listed
    FileStamp loaded_manifest;  ///< as listed when the load began
    bool changed_since = false;
    int attempts = 0;                         ///< failed ones in a row
    int waits = 0;                            ///< in a row, for a store or for room: each longer
    std::shared_ptr<FetchProgress> progress;  ///< while fetching
    bool failed_before = false;
    bool failed_for_good = false;
    bool waits_for_room = false;  ///< the memory limit stood in the way of the last attempt
    SteadyTime retry_at{};
    uint64_t failed_stamp = 0;  ///< of the folder that failed
    uint64_t seen_stamp = 0;    ///< of the folder at the last look
    Handle handle;              ///< while ready
    int in_memory = 0;        ///< as often as it is, with those that others have taken the place of
    bool remembered = false;  ///< it has been in memory, and has not been forgotten since
    const ServableVersion* current = nullptr;  ///< what `handle` is or was of; never followed
    std::shared_ptr<Source> source;            ///< that it comes from
    TritonConfigFound loaded_triton;           ///< what held when its load began
    TritonConfigFound replacing_triton;        ///< what holds of what takes its place
    TritonConfigFound refused_triton;          ///< with this it cannot be loaded
    std::shared_ptr<Source> replacing;         ///< what is being loaded from there takes its place
    std::string replacing_failed;              ///< why the last such attempt did
    std::weak_ptr<const ServableVersion> draining;
    SteadyTime drain_began{};
    bool drain_warned = false;
  };

  /// While the versions come from the cache.
  struct FromCache {
    WallTime since{};
    WallTime listed_at{};
  };

  void TakeSettings();
  void TakeListing(const std::vector<VersionFolder>& folders, WallTime now,
                   MachineEffects& effects);
  std::string ListingNote() const;
  std::string SilenceNote() const;
  ModelView View(SteadyTime steady) const;
  void Enter(Entry& entry, VersionState state, Status status, WallTime now,
             MachineEffects& effects);
  void BeginLoad(Entry& entry, WallTime now, MachineEffects& effects);
  LoadRequest RequestFor(Entry& entry) const;
  bool Moved(const Entry& entry) const;
  bool ServesFromHere() const;
  std::string WhyNothingHere() const;
  bool ConfiguredAnew(const Entry& entry) const;
  void BeginReplacements(const std::set<int64_t>& wanted, SteadyTime steady,
                         MachineEffects& effects);
  void OnReplacement(Entry& entry, LoadOutcome& outcome, uint32_t id, WallTime now,
                     SteadyTime steady, MachineEffects& effects);
  Duration NextWait(Entry& entry, Duration longest);
  void BeginDrain(Entry& entry, WallTime now, SteadyTime steady, MachineEffects& effects);
  void Publish(Entry& entry, std::unique_ptr<ServableVersion> servable, WallTime now,
               MachineEffects& effects);
  void WarnOfSlowDrains(SteadyTime steady);
  void Forget(MachineEffects& effects, WallTime now);
  std::map<std::string, int64_t> AllLabels() const;
  std::string Note() const;

  Stores& stores_;
  std::shared_ptr<const ModelConfig> own_config_;
  TritonConfigFound triton_;
  std::shared_ptr<const ModelConfig> config_;  ///< own_config_ with what triton_ says
  std::shared_ptr<LifecycleInbox> inbox_;
  Duration drain_timeout_;
  Duration forget_after_;
  std::shared_ptr<Source> source_;
  std::map<int64_t, Entry> entries_;
  VersionPins pins_;
  std::map<std::string, int64_t> set_labels_;  ///< by SetLabel, over the configured ones
  Silence silence_;
  std::string list_error_;
  std::optional<WallTime> list_ok_at_;  ///< the last listing that worked
  std::optional<WallTime> list_fails_since_;
  std::optional<FromCache> from_cache_;
  std::string recall_error_;  ///< why nothing comes from the cache, where there is something
  bool listed_once_ = false;
  uint64_t listing_round_ = 0;
  uint64_t decided_round_ = 0;
  bool removed_ = false;
  bool settled_ = false;
  bool ever_ready_ = false;
  LifecycleCounters counters_;
  Rng rng_{RandomSeed()};
};

}  // namespace leadsman
