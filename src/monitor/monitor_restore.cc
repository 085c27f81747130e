#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "monitor/drift/reference_file.h"
#include "monitor/monitor_impl.h"
#include "monitor/schema/schema_reports.h"
#include "monitor/watched_time.h"

namespace leadsman {
namespace {

constexpr size_t kMaxWindowsRestored = 20'000;
constexpr std::chrono::hours kRestoredHistory{6};
/// Of each model at most one a watch, and there are fewer watches.
constexpr size_t kMaxCountRows = 16 * kMaxVersions;
/// Edges, each with a few processes.
constexpr size_t kMaxEdgeMarks = 10'000;
/// References and evidence of three tracks, and the schema.
constexpr size_t kMaxDriftRows = DriftBook::kMaxVersions * 6 + SchemaBook::kMaxVersions;

/// A schema asks nothing of inputs of which nothing is to be kept.
void DropFeatures(FeatureNames* names, DataSchema& schema) {
  if (names == nullptr) return;
  std::vector<std::string> columns;
  auto places = [](const FeatureSchema& feature) { return std::max<size_t>(feature.values, 1); };
  for (const FeatureSchema& feature : schema.features)
    columns.insert(columns.end(), places(feature), feature.name);
  const std::vector<bool> keeps = names->Keeps(columns, columns.size());
  size_t place = 0;
  std::erase_if(schema.features, [&](const FeatureSchema& feature) {
    const size_t begin = std::exchange(place, place + places(feature));
    return std::none_of(keeps.begin() + static_cast<std::ptrdiff_t>(begin),
                        keeps.begin() + static_cast<std::ptrdiff_t>(place),
                        [](bool keep) { return keep; });
  });
}

}  // namespace

/// What the file of the model's reference says now.
Status Monitor::Impl::ReadReference(const std::string& model, const MonitorConfig& config) {
  if (config.reference.from != ReferenceConfig::From::kFile || !config.enabled) return OkStatus();
  auto reference = ReadReferenceFile(config.reference.path, options.wide_input,
                                     UnixMillis(clock.Now()), names.Of(model).get());
  if (!reference.ok()) {
    return Annotate(reference.status(), StrCat("monitoring.reference of model ", model));
  }
  MutexLock lock(state_mutex);
  drifts.UseFile(model, std::move(*reference));
  return OkStatus();
}

/// One that is wrong must not keep the other models from being served.
void Monitor::Impl::ReadReferences() {
  for (const auto& [model, config] : configs) {
    const Status read = ReadReference(model, config);
    if (read.ok()) continue;
    LOG_ERROR("the reference cannot be read; drift of the inputs of the model is not looked for",
              {"model", model}, {"reason", read});
    MutexLock lock(state_mutex);
    drifts.RefuseFile(model, std::string(read.message()));
  }
}

/// What the file of the model's schema says now.
Status Monitor::Impl::ReadSchema(const std::string& model, const MonitorConfig& config) {
  const SchemaConfig& of = config.schema;
  if (!config.enabled || !of.enabled || of.from != SchemaConfig::From::kFile) return OkStatus();
  auto schema = ReadOrInferSchema(of.path, of.margin, clock.Now());
  if (!schema.ok()) return Annotate(schema.status(), StrCat("monitoring.schema of model ", model));
  if (dropped != nullptr) DropFeatures(names.Of(model).get(), *schema);
  MutexLock lock(state_mutex);
  schemas.UseFile(model, std::make_shared<const DataSchema>(std::move(*schema)));
  return OkStatus();
}

/// As references: one that is wrong must not keep the other models from being served.
void Monitor::Impl::ReadSchemas() {
  for (const auto& [model, config] : configs) {
    const Status read = ReadSchema(model, config);
    if (read.ok()) continue;
    LOG_ERROR("the schema cannot be read; inputs of the model are held against none",
              {"model", model}, {"reason", read});
    MutexLock lock(state_mutex);
    schemas.RefuseFile(model, std::string(read.message()));
  }
}

Status Monitor::Impl::RestoreNames() {
  ASSIGN_OR_RETURN(auto kept, database->LoadFeatureNames());
  for (auto& [model, of_model] : kept) {
    for (const std::string& name : of_model) {
      if (dropped != nullptr && dropped->Has(name))
        LOG_WARN(
            "monitor.redact drops an input of which an earlier process has kept something; begin "
            "with a new data_dir",
            {"model", model}, {"input", name}, {"database", options.database});
    }
    if (auto known = names.Of(model)) known->Restore(std::move(of_model));
  }
  return OkStatus();
}

Status Monitor::Impl::RestoreDrift() {
  ASSIGN_OR_RETURN(auto rows, database->LoadDrift(kMaxDriftRows, UnixMillis(clock.Now()),
                                                  UnixMillis(clock.Now() - kKeepForgotten)));
  MutexLock lock(state_mutex);
  drifts.Restore(rows, configs, clock.SteadyNow());
  schemas.Restore(rows, configs, clock.SteadyNow());
  return OkStatus();
}

Status Monitor::Impl::Restore() {
  if (!options.database.empty()) {
    ASSIGN_OR_RETURN(database, Database::Open(options.database, clock.Now()));
    if (const Status why = database->why_not_open(); !why.ok())
      LOG_WARN(
          "the disk has no room for the monitor's database; going on in memory and trying again",
          {"database", options.database}, {"reason", why});
    RETURN_IF_ERROR(RestoreNames());  // columns of files are matched with them
  }
  ReadReferences();
  ReadSchemas();
  if (!database) return OkStatus();
  ASSIGN_OR_RETURN(auto quality, database->LoadQuality());
  ASSIGN_OR_RETURN(auto details, database->LoadDetails());
  ASSIGN_OR_RETURN(auto losses, database->LoadLosses());
  if (edges) {
    ASSIGN_OR_RETURN(auto marks, database->LoadEdges(kMaxEdgeMarks));
    edges->Restore(marks);
  }
  RETURN_IF_ERROR(RestoreDrift());
  WallTime from = clock.Now() - kRestoredHistory;
  ASSIGN_OR_RETURN(auto windows,
                   database->ReadWindows(std::nullopt, UnixMillis(from), kMaxWindowsRestored));
  MutexLock lock(state_mutex);
  in_memory_from = from;
  if (windows.size() == kMaxWindowsRestored) {
    in_memory_from = windows.front().second.start + std::chrono::milliseconds(1);
  }
  for (auto& [key, totals] : quality) {
    if (VersionState* state = FindByKey(key, true)) state->profile.Restore(totals);
  }
  for (auto& [key, bytes] : details) {
    VersionState* state = FindByKey(key, true);
    if (state == nullptr || state->detail.Restore(bytes, state->model.segments)) continue;
    LOG_WARN("what labels told of a version cannot be read; it begins anew", {"model", key.first},
             {"version", key.second});
  }
  for (const auto& [key, bytes] : losses) {
    VersionState* state = FindByKey(key, true);
    if (state == nullptr) continue;
    if (auto totals = LossTotals::FromBytes(bytes)) {
      state->profile.Restore(*totals);
    } else {
      LOG_WARN("the losses of a version cannot be read; they begin anew", {"model", key.first},
               {"version", key.second});
    }
  }
  for (auto& [key, window] : windows) {
    if (VersionState* state = FindByKey(key, true)) state->profile.Restore(std::move(window));
  }
  return OkStatus();
}

Status Monitor::Impl::OpenLabels() {
  LabelStore* store;
  if (options.labels.redis) {
    auto made = RedisLabelStore::Create(*options.labels.redis, clock);
    if (!made.ok()) return Annotate(made.status(), "monitor.labels.redis");
    redis = std::move(*made);
    store = redis.get();
  } else {
    own_labels = std::make_unique<OwnLabelStore>(database.get());
    store = own_labels.get();
  }
  join = std::make_unique<LabelJoin>(LabelJoin::Limits{}, *store);
  return OkStatus();
}

/// Versions of which watches may know something are there from the start, lest it is forgotten before their next request.
Status Monitor::Impl::RestoreSeen() {
  ASSIGN_OR_RETURN(auto seen, database->LoadSeen(kMaxSeen));
  ASSIGN_OR_RETURN(auto counts_stored, database->LoadCounts(kMaxCountRows));
  const int64_t from_ms = UnixMillis(clock.Now() - WatchedTime::kLongest);
  {
    MutexLock lock(state_mutex);
    for (const auto& [key, of] : seen) {
      seen_before.emplace(key, of);
      const bool wanted = of.observed || configs.contains(key.first);
      if (wanted && of.last_ms >= from_ms && versions.size() < kMaxVersions) FindByKey(key, true);
    }
  }
  MutexLock lock(inbox_mutex);
  counts_found = std::move(counts_stored);
  return OkStatus();
}

void Monitor::Impl::Start(Registry& registry) {
  if (database) writer = std::make_unique<DatabaseWriter>(*database);
  last_write = clock.SteadyNow();
  next_evidence = last_write + kKeepEvidence;
  collector = std::thread([this] { Run(); });
  pthread_setname_np(collector.native_handle(), "monitor");
  AddMetrics(registry);
}

}  // namespace leadsman
