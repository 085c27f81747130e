#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "backend/backend.h"
#include "base/clock.h"
#include "lifecycle/types.h"
#include "lifecycle/warmup.h"
#include "storage/manifest.h"
#include "storage/source.h"

namespace leadsman {

class LoaderPool;
class MemoryBudget;

/// What a loader thread needs to bring one version into memory.
struct LoadRequest {
  std::shared_ptr<const ModelConfig> config;
  int64_t version = 0;
  std::shared_ptr<Source> source;
  TritonConfigFound triton;  ///< `config` has what it says already
  std::shared_ptr<FetchProgress> progress = std::make_shared<FetchProgress>();
  Duration fetch_timeout = std::chrono::hours(1);
  bool low_priority = false;                          ///< gives way to what serves
  MemoryBudget* budget = nullptr;                     ///< null: there is always room
  LoaderPool* pool = nullptr;                         ///< whose thread it runs on; null: of no pool
  const ReplayWarmup* replay_warmup = nullptr;        ///< null or empty: with zeros alone
  const VersionSettings* version_settings = nullptr;  ///< null or empty: `config`
  /// As LifecycleManager::Deps::prepare.
  std::function<Status(const ServableVersion& version)> prepare;
};

struct LoadOutcome {
  Status status;
  bool fetched = false;  ///< its files were here: what failed is not the store's
  bool no_room = false;  ///< the memory limit stands in the way: it waits, and was no attempt
  bool retry = true;     ///< after a failure: whether the same attempt could succeed later
  std::unique_ptr<ServableVersion> servable;  ///< when status is OK; its `id` is not set yet
  std::string format;                         ///< as far as known
  std::string backend;
  /// Growth of the process's resident memory; nothing where another load or unload went on beside it.
  std::optional<int64_t> memory_bytes;
  int64_t file_bytes = 0;        ///< of the version's folder
  uint64_t warmup_requests = 0;  ///< of those that lay beside the model
  Duration took{};
};

/// Fetched → manifest → verified files → runtime → signature compared → warmed up → prepared. Blocks for as long as all
/// that takes; tells `progress` when it goes from kFetching to kVerifying, to kLoading and to kWarming. `cancel`
/// ends it between two pieces of work, but not inside the runtime. Thread-safe; no exception leaves
/// it.
LoadOutcome LoadVersion(const LoadRequest& request, const BackendRegistry& backends, Clock& clock,
                        const std::atomic<bool>& cancel,
                        const std::function<void(VersionState)>& progress);

/// INVALID_ARGUMENT naming the tensor and both sides where the manifest does not say what the
/// runtime found. An empty manifest signature agrees with everything. Every input must be named on
/// both sides (but for optional ones); outputs that the manifest leaves out are allowed.
Status CompareSignatures(const Signature& manifest, const Signature& runtime);

/// The process's resident memory now; 0 where the kernel does not say.
int64_t ResidentBytes();

}  // namespace leadsman
