#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/backend.h"
#include "base/clock.h"
#include "base/snapshot.h"
#include "lifecycle/types.h"
#include "lifecycle/warmup.h"
#include "storage/stores.h"

namespace leadsman {

/// What requests read: every ready version of every model. Immutable; swapped whole.
struct ServableTable {
  struct Model {
    std::map<int64_t, Handle> ready;
    std::map<std::string, int64_t> labels;  ///< only labels whose version is ready
    bool known = false;
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
  };
  /// Every configured model, ready or not.
  std::unordered_map<std::string, Model, Hash, std::equal_to<>> models;
};

/// What one model's loads have come to since it was configured; for lifecycle/metrics.h.
struct LifecycleCounters {
  /// Upper bounds of `buckets`, in seconds; the last bucket takes what is longer.
  static constexpr std::array<double, 9> kBounds = {0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60};
  uint64_t loads_ok = 0;
  uint64_t loads_failed = 0;
  uint64_t unloads = 0;
  uint64_t warmup_requests = 0;  ///< of those that lay beside the models
  uint64_t listings_ok = 0;
  uint64_t listings_failed = 0;
  uint64_t fetches_failed = 0;                         ///< of loads_failed: for the store's sake
  std::array<uint64_t, kBounds.size() + 1> buckets{};  ///< durations of all loads, failed ones too
  double load_seconds = 0;
};

/// Brings the wanted versions into memory and the others out: one control thread that lists the
/// stores, asks the pure policy (lifecycle/policy.h) for the next action of each model, and carries
/// it out on a small pool of loader threads. A version that cannot be loaded never takes the place
/// of one that can.
///
/// Thread-safe. Nothing here blocks a request.
class LifecycleManager {
 public:
  struct Deps {
    Clock& clock;
    const BackendRegistry& backends;
    /// Called on the control thread after a version's state changed; must not block.
    std::function<void(const std::string& model, int64_t version, VersionState state,
                       const Status& status)>
        on_change;
    /// Where models' paths lead. Must outlive the manager. Null: the file system only.
    Stores* stores = nullptr;
    /// Makes ready, on a loader's thread, what is needed to serve a version that is in memory and warm; its `id` is not set
    /// yet. An error fails the load. May be empty.
    std::function<Status(const ServableVersion& version)> prepare{};
    /// Called on the control thread for a version that has been in memory once: it has been gone for `forget_after`, 32 newer
    /// ones have been since, or its model has gone. What is counted by it may go. Should it come back, it has
    /// another ServableVersion::id.
    std::function<void(const std::string& model, int64_t version, uint32_t id)> on_forget{};
    /// The settings that a version is loaded with, whose files are in `directory`; on a loader's thread. May be empty: the
    /// model's. An error fails the load.
    VersionSettings version_settings{};
    ReplayWarmup replay_warmup{};  ///< empty: versions are warmed up with zeros alone
  };
  struct Options {
    std::chrono::milliseconds poll_interval{
        1000};  ///< how often file systems are listed; others: storage.poll_interval
    /// Each for versions that are here and for those that are fetched first.
    int load_threads = 2;
    /// Loads give way to what serves (base/low_priority.h).
    bool low_priority = true;
    /// Bytes of resident memory beyond which nothing more is loaded; 0 = no limit.
    int64_t memory_limit = 0;
    /// How long handles may hold an unwanted version before a WARN.
    std::chrono::milliseconds drain_timeout{30'000};
    /// How long a version is out of memory until Deps::on_forget is told.
    std::chrono::milliseconds forget_after{24 * 3'600'000};
    /// For tests: Start() starts no thread, the control loop and its loads run in StepForTest().
    bool manual = false;
  };

  LifecycleManager(Deps deps, Options options);
  ~LifecycleManager();  ///< Stop()

  /// The whole wanted set of models; what is missing from it is drained and unloaded. May be called
  /// again (reload): ready versions stay where they are still wanted, and keep the execution
  /// settings they were loaded with. INVALID_ARGUMENT names every wrong model; then nothing
  /// changes.
  Status Apply(std::vector<ModelConfig> models);
  /// Starts the control thread.
  void Start();
  /// Ends all threads; loaded versions go once their handles are back, those still held by then on
  /// the thread that lets go. Waits for a load that is inside a runtime, which cannot be
  /// interrupted; everything else (verification, queued loads, warm-up) is cut short.
  void Stop();
  /// The same, waiting for at most `wait`. False when a load or a listing still runs: then it must go on
  /// existing, which at the end of a process means that the process goes first.
  bool StopWithin(std::chrono::milliseconds wait);

  /// Replaces the pins of one model, known or yet to come. Takes effect at the next step of the
  /// control loop, which this call wakes; may be called from on_change, and then takes effect
  /// before the next version is taken out of memory.
  void SetPins(const std::string& model, VersionPins pins);
  /// FAILED_PRECONDITION when the version is not ready, NOT_FOUND when there is no such model.
  Status SetLabel(const std::string& model, const std::string& label, int64_t version);

  /// Lists the model's store now instead of at the next poll: somebody knows that it has changed.
  /// NOT_FOUND when there is no such model.
  Status Refresh(const std::string& model);
  /// Versions of the model that failed for good are tried again, though their files have not
  /// changed. Takes effect at the next step of the control loop.
  void RetryFailed(const std::string& model);
  /// Who has put the versions there says that they are whole: the model's store is listed now, and those without a manifest need
  /// not rest. Looks of a number above the one that it gives know of it.
  uint64_t Vouch(const std::string& model);

  const Snapshot<ServableTable>& table() const;
  std::vector<ModelStatus> GetStatus() const;
  Result<ModelStatus> GetStatus(const std::string& model) const;

  /// The number of the last look at the stores that has begun; compare ModelStatus::listing_round.
  uint64_t ListingRound() const;

  /// True once every required model of the first Apply() has a ready version or has failed for good.
  /// A model that has no complete version yet has not settled; its note says what it waits for.
  bool SettledOnce() const;

  /// The required models that have no ready version now: of the first Apply(), and of those that
  /// came later only such as have been ready before, so that adding a model takes nobody out of
  /// service. Empty: for /readyz.
  std::vector<UnreadyModel> NotReady() const;

  /// By model. For RegisterLifecycleMetrics().
  std::map<std::string, LifecycleCounters> GetCounters() const;

  /// With Options::manual only: one round of the control loop (messages, listing, policy,
  /// callbacks), then the loads and unloads it asked for, all on this thread. False when nothing
  /// happened.
  bool StepForTest();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace leadsman
