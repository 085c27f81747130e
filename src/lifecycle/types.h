#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "backend/backend.h"
#include "base/clock.h"
#include "base/status.h"
#include "batching/config.h"
#include "storage/given_files.h"
#include "storage/triton_config.h"
#include "tensor/tensor.h"

namespace leadsman {

/// Which versions found in the store are wanted in memory.
struct VersionPolicy {
  enum class Kind { kLatest, kAll, kSpecific };
  Kind kind = Kind::kLatest;
  int latest = 1;                 ///< kLatest: how many of the highest
  std::vector<int64_t> specific;  ///< kSpecific
};

/// How one version takes another's place.
enum class SwapPolicy {
  kAvailabilityPreserving,  ///< the old version goes only after the new one is ready (default)
  kResourcePreserving,      ///< the old version goes first: never two in memory, a gap in service
};

enum class ExecutionMode {
  kAuto,    ///< by measured cost: inline when one call takes less than `inline_below`
  kInline,  ///< always on the I/O thread
  kPool,    ///< always in the bounded pool
};

/// Everything the lifecycle and the serving room need to know of one model. Parsed from the
/// configuration by app/.
struct ModelConfig {
  std::string name;
  /// Folder with one sub-folder a version (path/1, path/2, …), or the URI of a store
  /// (storage/store_uri.h).
  std::string path;
  /// The format of versions without a manifest; empty: found by looking at their files.
  std::string format;
  /// The model's file in a version's folder without a manifest; empty: found by looking.
  std::string model_file;
  bool require_manifest = false;  ///< versions without a manifest are never loaded
  /// How long the files of a version without a manifest must rest before it is loaded.
  std::chrono::milliseconds settle_time{5000};
  VersionPolicy policy;
  SwapPolicy swap = SwapPolicy::kAvailabilityPreserving;
  std::map<std::string, int64_t> labels;  ///< label → version
  int load_retries = 3;
  std::chrono::milliseconds load_retry_delay{2000};
  /// Zero-valued rows sent through a version before it is ready; 0 = none (then kAuto means kPool).
  int warmup_requests = 5;
  /// How often each of the requests that lie beside a version's model is sent through it before it is ready; then zeros are
  /// not. 0 = never.
  int warmup_repeats = 1;
  ExecutionMode execution = ExecutionMode::kAuto;
  std::chrono::microseconds inline_below{2000};
  int intra_op_threads = 1;
  /// Executions at once, each on a thread of its own behind a queue of the model's own; 0 = as
  /// `execution` says, or with `batching` one.
  int instances = 0;
  std::optional<BatchingConfig> batching;
  /// `batching` is what files in a version's folder say (LifecycleManager::Deps::version_settings).
  bool batching_from_files = false;
  /// Without `batching`: requests for a cheap model that one turn of an event loop brings are run together, where its
  /// rows are found to be independent (ServableVersion::rows_together).
  bool auto_batching = true;
  /// Whether the process is ready only once this model is.
  bool required = true;
  std::map<std::string, std::string> runtime_options;
  /// By request: Triton's ModelConfig as JSON, which counts instead of the config.pbtxt beside the versions; empty: that does.
  std::string triton_json;
  /// By request: keeps the folder that `path` leads to. Null: it is there.
  std::shared_ptr<GivenFiles> given;

  /// Its requests wait in a queue of their own, for instances of their own.
  bool HasOwnQueue() const { return instances > 0 || batching.has_value(); }
};

/// As LifecycleManager::Deps::version_settings.
using VersionSettings = std::function<Result<std::shared_ptr<const ModelConfig>>(
    std::shared_ptr<const ModelConfig> model, const std::string& directory)>;

/// kNew → kFetching → kVerifying → kLoading → kWarming → kReady → kDraining → kUnloading → kGone; any → kFailed
/// with the reason.
enum class VersionState {
  kNew,
  kFetching,
  kVerifying,  ///< its files against its manifest; skipped without one
  kLoading,
  kWarming,
  kReady,
  kDraining,
  kUnloading,
  kGone,
  kFailed
};
std::string_view VersionStateName(VersionState state);  ///< "ready"
/// It is being brought into memory.
inline bool IsOnItsWay(VersionState state) {
  return state == VersionState::kFetching || state == VersionState::kVerifying ||
         state == VersionState::kLoading || state == VersionState::kWarming;
}

/// A place for state that a higher room makes on first use and that lives as long as its owner.
struct LazySlot {
  std::once_flag once;
  std::shared_ptr<void> value;
};

/// One loaded version as requests see it. Immutable but for its statistics; shared by all requests
/// that use it. The serving room keeps execution contexts in `contexts`; they end before `model`
/// does.
struct ServableVersion {
  std::string model_name;
  int64_t version = 0;
  uint32_t id = 0;  ///< small, unique in this process: indexes per-version counters
  std::string backend_name;
  std::string format;
  std::shared_ptr<const ModelConfig> config;
  std::shared_ptr<const void> files;  ///< keeps the version's files where they are
  std::unique_ptr<LoadedModel> model;
  /// What the config.pbtxt beside the versions said when this one was loaded; null: there was none.
  std::shared_ptr<const TritonConfig> triton;
  /// The names of an output's classes; empty when there are none.
  std::span<const std::string> ClassLabels(std::string_view output) const;
  /// Whether the first dimension of this tensor counts rows: a config.pbtxt says so, else an open one does.
  bool HasRows(const TensorSpec& spec) const;
  /// For how many inferences a request of so many rows counts: one where rows are not told apart.
  uint32_t InferencesOf(uint32_t rows) const;
  /// Declared after `model`: ends before it does.
  std::unique_ptr<LazySlot> contexts = std::make_unique<LazySlot>();
  /// Median duration of one warm-up call: what the execution mode is chosen by.
  Duration warm_cost{};
  bool run_inline = true;
  /// How many rows of what one turn of an event loop brings for the default signature are run at once, by the thread that read
  /// them. 0 = each request for itself; else `run_inline` is false, though no other thread is needed.
  uint32_t rows_together = 0;
};

/// Keeps a version loaded while one request uses it: hold it for one request, then drop it.
/// Unloading happens on the lifecycle's thread, never on the thread that drops the last handle.
using Handle = std::shared_ptr<const ServableVersion>;

/// One version's state for status pages, the status API and the rollout.
struct VersionStatus {
  int64_t version = 0;
  VersionState state = VersionState::kNew;
  Status status;     ///< why it failed, or what is being waited for
  WallTime since{};  ///< when the state was entered
  std::string format;
  std::string backend;
  std::string execution;  ///< "inline", "pool", "instances" or "batched", once known
  Duration warm_cost{};
  Duration load_took{};  ///< of the load that succeeded last, fetching and warm-up included
  /// Growth of the process's resident memory over the load, an estimate; nothing where it cannot be told from that of
  /// another load, or of an unload, at the same time. 0 while it is not in memory.
  std::optional<int64_t> memory_bytes = 0;
  /// By how much that memory shrank when the version was unloaded the last time; nothing before that, nor where it cannot be
  /// told from what another load or unload did at the same time.
  std::optional<int64_t> returned_bytes;
  int64_t fetched_bytes = 0;  ///< while fetching: how many are here
  int64_t fetch_total_bytes =
      0;                        ///< while fetching: of how many; 0 = not known, or nothing to fetch
  bool in_folder = false;       ///< its folder was there when the store was last listed
  bool waits_for_room = false;  ///< failed, for now: lifecycle.memory_limit stands in its way
  /// Ready, and to be replaced: its model has another path, or another config.pbtxt, by now.
  bool outdated = false;
  std::string
      replacing_failed;  ///< outdated: why what was to replace it has failed; empty: it goes on
};

struct ModelStatus {
  std::string name;
  std::string path;
  bool required = true;  ///< as ModelConfig::required
  /// Ascending. Versions that were never wanted are not listed, those gone until 32 newer ones are.
  /// A version in the folder that VersionPins::exclude names is listed as gone, also when this
  /// process has never loaded it.
  std::vector<VersionStatus> versions;
  std::map<std::string, int64_t> labels;
  /// Ascending: what the last look at the store that worked has found, wanted or not.
  std::vector<int64_t> found;
  std::string note;  ///< e.g. "3: waiting for manifest.json (still being copied?)"
  /// Since when its store has been out of reach and the versions that the cache had are served.
  std::optional<WallTime> from_cache_since;
  bool settled = false;  ///< it has had a ready version, or all that are wanted failed for good
  /// For how long the look at its store that is under way has had no answer; 0: it has, or not for long.
  int64_t silent_seconds = 0;
  /// What the look at the stores of this number (LifecycleManager::ListingRound) brought is in here,
  /// and the loads that it asked for have begun. 0 = none yet.
  uint64_t listing_round = 0;
};

/// Of a model without a ready version, the one that says best where it stands: the newest on its way, else the newest that
/// has failed or is leaving. Null: there is none.
const VersionStatus* TellingVersion(const ModelStatus& model);
/// "ready" when a version is, "empty" without any ("fetching" while its store does not answer), "memory" when TellingVersion() waits for room, else the name of its state. The
/// one vocabulary for a model's state in status pages and in /readyz.
std::string_view ModelStateName(const ModelStatus& model);

/// A model that the process is not ready without, and has not.
struct UnreadyModel {
  std::string model;
  std::string state;   ///< as ModelStateName()
  std::string detail;  ///< for people: which version, what is missing
};

/// Whether the process should get requests, and why not.
struct Readiness {
  std::vector<std::string> reasons;  ///< for people; empty: it is ready
  std::vector<UnreadyModel> models;
  bool ready() const { return reasons.empty(); }
};

/// What a rollout asks of the lifecycle: these stay whatever the policy says, those are not to be
/// loaded again.
struct VersionPins {
  std::set<int64_t> keep;
  std::set<int64_t> exclude;
  friend bool operator==(const VersionPins&, const VersionPins&) = default;
};

}  // namespace leadsman
