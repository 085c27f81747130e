#include "monitor/monitor.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <thread>
#include <unordered_map>

#include "base/check.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/strings.h"
#include "events/feature_names.h"
#include "events/redactor.h"
#include "events/ring_set.h"
#include "monitor/database.h"
#include "monitor/database_writer.h"
#include "monitor/drift/drift_book.h"
#include "monitor/drift/reference_file.h"
#include "monitor/edges/edge_intake.h"
#include "monitor/edges/profile_message.h"
#include "monitor/event_codec.h"
#include "monitor/finding.h"
#include "monitor/kept_counts.h"
#include "monitor/label_join.h"
#include "monitor/labels/own_label_store.h"
#include "monitor/labels/redis_label_store.h"
#include "monitor/quality/quality_detail.h"
#include "monitor/quality/quality_metrics.h"
#include "monitor/quality/quality_report.h"
#include "monitor/quality/quality_watch.h"
#include "monitor/schema/schema_book.h"
#include "monitor/schema/schema_reports.h"
#include "monitor/schema/schema_watch.h"
#include "monitor/version_profile.h"
#include "monitor/watched_time.h"
#include "stats/latency_quantile.h"
#include "stats/process_metrics.h"

namespace leadsman {
namespace {

constexpr size_t kMaxVersions = 1024;
/// A version that has been quiet for so long makes room for a new one when there are too many.
constexpr std::chrono::minutes kQuietVersion{1};
/// More rounds than all queues of labels together can need.
constexpr int kMaxForcedRounds = 1000;
constexpr size_t kMaxWindowsRestored = 20'000;
constexpr std::chrono::hours kRestoredHistory{6};
constexpr size_t kMaxLabelQueue = 64 << 10;
constexpr size_t kMaxLabelBytes = 255;
constexpr size_t kMaxReceiptErrors = 10;
/// Records folded under one hold of the state lock.
constexpr size_t kFoldBatch = 256;
constexpr std::chrono::milliseconds kIdlePoll{50};
constexpr size_t kMaxWindowsRead = 20'000;  // one answer: the admin API makes it on its only thread
/// For a store of labels on another machine, when everything is to be written.
constexpr std::chrono::seconds kSettleLabels{2};
/// What a crash may lose of the evidence of drift; a stop loses none. It can be megabytes.
constexpr std::chrono::minutes kKeepEvidence{30};
/// References and schemas of versions of which no request comes: longer than a month, as some models are
/// asked once in one.
constexpr std::chrono::hours kKeepForgotten{24 * 90};
constexpr size_t kMaxSeen = 4 * kMaxVersions;
/// How often it is written that a version is still there.
constexpr std::chrono::minutes kKeepSeen{1};
/// Of each model at most one a watch, and there are fewer watches.
constexpr size_t kMaxCountRows = 16 * kMaxVersions;
/// Edges, each with a few processes.
constexpr size_t kMaxEdgeMarks = 10'000;
/// References and evidence of three tracks, and the schema.
constexpr size_t kMaxDriftRows = DriftBook::kMaxVersions * 6 + SchemaBook::kMaxVersions;

MetricSample Sample(std::vector<std::string> labels, double value) {
  MetricSample sample;
  sample.label_values = std::move(labels);
  sample.value = value;
  return sample;
}

}  // namespace

struct Monitor::Impl {
  /// What of a model's configuration the collector needs; one for each model.
  struct ModelState {
    explicit ModelState(const MonitorConfig& c)
        : config(c), sampler(c.max_join_rate_per_second), segments(c.segments, c.max_segments) {}
    MonitorConfig config;
    JoinSampler sampler;
    SegmentNames segments;
  };
  struct VersionState {
    VersionState(VersionKey key, ModelState& m)
        : model(m), profile(std::move(key), m.config.window) {}
    ModelState& model;
    VersionProfile profile;
    QualityDetail detail;
    std::shared_ptr<VersionDrift> drift;  ///< null: not watched, or not asked yet
    SteadyTime next_drift_try = SteadyTime::min();
    std::shared_ptr<VersionSchema> schema;  ///< likewise
    SteadyTime next_schema_try = SteadyTime::min();
    SteadyTime last_used = SteadyTime::min();  ///< min: not since it was read from the database
    SteadyTime seen_kept = SteadyTime::min();  ///< when that was written last
  };
  /// By way of the collector.
  class Counts final : public CountStore {
   public:
    explicit Counts(Impl& impl) : impl_(impl) {}
    std::vector<Stored> TakeStored() override {
      MutexLock lock(impl_.inbox_mutex);
      return std::exchange(impl_.counts_found, {});
    }
    void Store(std::vector<Stored> changed) override {
      if (!impl_.database) return;
      MutexLock lock(impl_.inbox_mutex);
      for (Stored& one : changed) {
        std::pair key(one.counts.watch, one.counts.model);
        impl_.counts_inbox.insert_or_assign(std::move(key), std::move(one));
      }
    }

   private:
    Impl& impl_;
  };

  Impl(Deps deps, MonitorOptions o, std::map<std::string, MonitorConfig> m)
      : clock(deps.clock),
        redactor(deps.redactor),
        options(std::move(o)),
        configs(std::move(m)),
        rings(options.ring_bytes),
        edges(options.edges ? std::make_unique<EdgeIntake>(clock, *options.edges, deps.registry)
                            : nullptr),
        drifts({options.alarm_budget.false_alarms, ToSeconds(options.alarm_budget.period)},
               options.wide_input, &names),
        schemas(&names) {}
  ~Impl();

  Status Restore();
  Status ReadReference(const std::string& model, const MonitorConfig& config);
  void ReadReferences();
  Status ReadSchemas();
  Status RestoreNames();
  Status RestoreDrift();
  Status OpenLabels();
  Status RestoreSeen();
  void Start(Registry& registry);
  void AddMetrics(Registry& registry);
  template <typename Add>
  void AddRedisMetrics(Add add);

  // The collector.
  void Run();
  /// The bytes that came; `settled`: no label waits for the next round.
  struct Taken {
    size_t bytes = 0;
    bool settled = false;
  };
  Taken Cycle(bool force_flush, bool stopping, bool& flushed);
  Duration NextWait(Duration last, const Taken& taken) const;
  bool SettleLabels(SteadyTime until);
  size_t DrainRings();  ///< the bytes of what it took
  void FoldRecord(const std::byte* record) REQUIRES(state_mutex);
  void AdmitSegments(ModelState& model) REQUIRES(state_mutex);
  void KeepForLabels(const PredictionEvent& event, VersionState& state) REQUIRES(state_mutex);
  void Redact(DecodedEvent& event);
  KeptPrediction KeptOf(const PredictionEvent& event, size_t row, const ModelState& model,
                        double weight) const;
  void JoinAtOnce(const PredictionEvent& event, VersionState& state) REQUIRES(state_mutex);
  void CountJoined(const LabelJoin::Joined& joined, VersionState& state) REQUIRES(state_mutex);
  bool TakeLabels();
  void FoldJoined();
  void CloseWindows();
  void CutWindows();
  void CollectDetails(bool force);
  void CollectSeen(bool force);
  bool WriteDatabase(bool force);
  void FoldDrift(const PredictionEvent& event, VersionState& state) REQUIRES(state_mutex);
  void FoldSchema(const PredictionEvent& event, VersionState& state) REQUIRES(state_mutex);
  void KeepRows(const VersionKey& key, bool keep);
  void CollectDrift(bool evidence);
  VersionState* Find(const PredictionEvent& event) REQUIRES(state_mutex);
  VersionState* FindByKey(const VersionKey& key, bool restoring) REQUIRES(state_mutex);
  static std::optional<IntervalProfile> TakeInterval(VersionState& state);
  void FoldProfiles();
  void FoldProfile(IntervalProfile&& profile) REQUIRES(state_mutex);
  void ForgetVersions(const std::vector<VersionKey>& gone);
  bool MakeRoom() REQUIRES(state_mutex);
  void Drop(std::map<VersionKey, std::unique_ptr<VersionState>>::iterator version)
      REQUIRES(state_mutex);

  Clock& clock;
  const Redactor* const redactor;
  const MonitorOptions options;
  const std::map<std::string, MonitorConfig> configs;
  RingSet rings;
  FeatureNameBook names;
  const std::unique_ptr<EdgeIntake> edges;  ///< null: profiles of others are not taken

  Mutex inbox_mutex;
  std::vector<GroundTruth> inbox GUARDED_BY(inbox_mutex);
  std::vector<VersionKey> to_forget GUARDED_BY(inbox_mutex);
  std::vector<CountStore::Stored> counts_found GUARDED_BY(inbox_mutex);
  std::map<std::pair<std::string, std::string>, CountStore::Stored> counts_inbox
      GUARDED_BY(inbox_mutex);
  Counts counts{*this};
  std::atomic<uint64_t> labels_rejected{0};

  Mutex control_mutex;
  CondVar control_changed;
  uint64_t flush_wanted GUARDED_BY(control_mutex) = 0;
  uint64_t flush_done GUARDED_BY(control_mutex) = 0;
  bool flush_ok GUARDED_BY(control_mutex) = true;
  bool stop GUARDED_BY(control_mutex) = false;

  // Written by the collector, read by anybody.
  mutable Mutex state_mutex;
  std::map<std::string, ModelState> models GUARDED_BY(state_mutex);
  std::map<VersionKey, std::unique_ptr<VersionState>> versions GUARDED_BY(state_mutex);
  /// Of versions that had to make room: their totals go on when they come back, and the details of
  /// the kMaxVersions that went last.
  struct Gone {
    QualityTotals quality;
    std::string detail;
  };
  std::map<VersionKey, Gone> quality_of_gone GUARDED_BY(state_mutex);
  std::map<VersionKey, SeenVersion> seen_before GUARDED_BY(state_mutex);  ///< by earlier processes
  std::deque<VersionKey> details_of_gone GUARDED_BY(state_mutex);         ///< oldest first
  std::unordered_map<uint32_t, VersionState*> by_id GUARDED_BY(state_mutex);
  uint32_t last_id GUARDED_BY(state_mutex) = 0;
  VersionState* last_state GUARDED_BY(state_mutex) = nullptr;
  uint64_t events GUARDED_BY(state_mutex) = 0;
  uint64_t events_without_profile GUARDED_BY(state_mutex) = 0;
  /// Not taken yet, of versions that had to make room; at most kMaxVersions.
  std::vector<IntervalProfile> intervals_of_gone GUARDED_BY(state_mutex);
  DriftBook drifts GUARDED_BY(state_mutex);
  SchemaBook schemas GUARDED_BY(state_mutex);
  /// Windows from before this process may lie in the database alone if they are older than this.
  WallTime in_memory_from GUARDED_BY(state_mutex){};
  LabelJoin::Counters label_counters GUARDED_BY(state_mutex);
  std::map<std::string, uint64_t> labels_mismatched GUARDED_BY(state_mutex);  ///< by model
  uint64_t labels_waiting GUARDED_BY(state_mutex) = 0;
  uint64_t lookup_errors GUARDED_BY(state_mutex) = 0;
  std::atomic<int64_t> collector_cpu_ns{0};

  // Of the collector alone.
  WallTime wall_now{};
  SteadyTime now{};
  DecodedEvent decoded;
  std::array<std::string,
             1 + 2 * PredictionEvent::kMaxPredictions + PredictionEvent::kMaxSegmentations>
      redacted;  ///< texts of `decoded`
  Database::Batch batch;
  SteadyTime last_write{};  ///< when a write was last considered
  SteadyTime last_offer{};  ///< when one was last begun
  SteadyTime next_window_close = SteadyTime::min();
  SteadyTime next_evidence{};              ///< when it is written next
  bool purge_forgotten = false;            ///< with the next write
  std::unique_ptr<Database> database;      ///< null: everything in memory
  std::unique_ptr<DatabaseWriter> writer;  ///< null likewise
  // One of both; the other is null.
  std::unique_ptr<OwnLabelStore> own_labels;
  std::unique_ptr<RedisLabelStore> redis;
  std::unique_ptr<LabelJoin> join;
  std::thread collector;
  std::vector<Registry::Registration>
      registrations;  ///< go first: their readers look at all of the above
};

Monitor::Impl::~Impl() {
  registrations.clear();
  if (collector.joinable()) {
    {
      MutexLock lock(control_mutex);
      stop = true;
    }
    control_changed.NotifyAll();
    collector.join();
  }
}

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

Status Monitor::Impl::ReadSchemas() {
  MutexLock lock(state_mutex);
  for (const auto& [model, config] : configs) {
    const SchemaConfig& of = config.schema;
    if (!config.enabled || !of.enabled || of.from != SchemaConfig::From::kFile) continue;
    auto schema = ReadOrInferSchema(of.path, of.margin, clock.Now());
    if (!schema.ok()) {
      return Annotate(schema.status(), StrCat("monitoring.schema of model ", model));
    }
    schemas.UseFile(model, std::make_shared<const DataSchema>(std::move(*schema)));
  }
  return OkStatus();
}

Status Monitor::Impl::RestoreNames() {
  ASSIGN_OR_RETURN(auto kept, database->LoadFeatureNames());
  for (auto& [model, of_model] : kept) {
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
    RETURN_IF_ERROR(RestoreNames());  // columns of files are matched with them
  }
  ReadReferences();
  RETURN_IF_ERROR(ReadSchemas());
  if (!database) return OkStatus();
  ASSIGN_OR_RETURN(auto quality, database->LoadQuality());
  ASSIGN_OR_RETURN(auto details, database->LoadDetails());
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

void Monitor::Impl::Run() {
  Duration wait = options.poll;
  while (true) {
    uint64_t wanted;
    bool stopping;
    {
      MutexLock lock(control_mutex);
      if (flush_wanted == flush_done && !stop) control_changed.WaitFor(control_mutex, wait);
      wanted = flush_wanted;
      stopping = stop;
    }
    bool force = stopping || [&] {
      MutexLock lock(control_mutex);
      return wanted != flush_done;
    }();
    bool flushed = true;
    const Taken taken = Cycle(force, stopping, flushed);
    collector_cpu_ns = ThreadCpuTime().count();
    if (force) {
      MutexLock lock(control_mutex);
      flush_done = wanted;
      flush_ok = flushed;
      control_changed.NotifyAll();
    }
    if (stopping) return;
    wait = NextWait(wait, taken);
  }
}

/// So long that at the present rate an eighth of one ring is filled by all writers together: each look costs the CPU a
/// thread that sleeps and wakes, and an idle server is to use next to none.
Duration Monitor::Impl::NextWait(Duration last, const Taken& taken) const {
  if (!taken.settled) return options.poll;
  const Duration shortest = options.poll, longest = std::max(options.poll, kIdlePoll);
  const size_t wanted = options.ring_bytes / 8;
  if (taken.bytes * 2 <= wanted) return std::min(last * 2, longest);
  return std::clamp<Duration>(
      last * static_cast<int64_t>(wanted) / static_cast<int64_t>(taken.bytes), shortest, longest);
}

Monitor::Impl::Taken Monitor::Impl::Cycle(bool force_flush, bool stopping, bool& flushed) {
  wall_now = clock.Now();
  now = clock.SteadyNow();
  CloseWindows();
  std::vector<VersionKey> gone;  // told before what is drained now: their last events are in it
  {
    MutexLock lock(inbox_mutex);
    gone.swap(to_forget);
    for (auto& [key, stored] : counts_inbox) batch.counts.insert_or_assign(key, std::move(stored));
    counts_inbox.clear();
  }
  Taken taken;
  const SteadyTime until = SystemClock().SteadyNow() + kSettleLabels;
  for (int round = 0; !taken.settled && round < (force_flush ? kMaxForcedRounds : 1); ++round) {
    taken.bytes += DrainRings();
    taken.settled = TakeLabels();
    taken.settled = join->Resolve(wall_now, now) && taken.settled;
    FoldJoined();
    if (force_flush && redis && !SettleLabels(until)) break;
  }
  FoldProfiles();
  ForgetVersions(gone);
  if (stopping) CutWindows();
  CollectDrift(stopping);
  flushed = WriteDatabase(force_flush);
  if (force_flush && redis) flushed = SettleLabels(until) && flushed;
  return taken;
}

/// Redis has answered everything and keeps everything; false when it has not by then.
bool Monitor::Impl::SettleLabels(SteadyTime until) {
  return redis->Settle(std::chrono::duration_cast<std::chrono::milliseconds>(
      std::max(until - SystemClock().SteadyNow(), Duration::zero())));
}

size_t Monitor::Impl::DrainRings() {
  size_t bytes = 0;
  size_t records;
  // A bound, for writers may be as fast as this thread for a while and labels wait their turn.
  for (int round = 0; round < 1000; ++round) {
    MutexLock lock(state_mutex);
    records = rings.Drain(
        [this, &bytes](const std::byte* record, size_t size) NO_THREAD_SAFETY_ANALYSIS {
          FoldRecord(record);
          bytes += size;
        },
        kFoldBatch);
    if (records == 0) break;
  }
  return bytes;
}

void Monitor::Impl::FoldRecord(const std::byte* record) {
  DecodeEvent(record, decoded);
  if (redactor != nullptr) Redact(decoded);
  const PredictionEvent& event = decoded.event;
  ++events;
  // Refused here before any version saw it. What a log names no version of was answered all the same.
  if (event.version == 0 && event.version_id == 0 && !event.observed) return;
  VersionState* state = Find(event);
  if (state == nullptr || !state->model.config.enabled) return;
  if (state->last_used == SteadyTime::min()) KeepRows(state->profile.key(), true);
  state->last_used = now;
  state->profile.Fold(event, wall_now, now);
  if (!event.segments.empty()) {
    AdmitSegments(state->model);
    state->detail.AddRequest(state->model.segments, event.segments, ObservedOutcomeOf(event));
  }
  FoldDrift(event, *state);
  FoldSchema(event, *state);
  if (auto closes = state->profile.closes(); closes && *closes < next_window_close) {
    next_window_close = *closes;
  }
  if (event.outcome != StatusCode::kOk || event.predicted.empty()) return;
  if (!event.labels.empty()) {
    JoinAtOnce(event, *state);
  } else if (!event.request_id.empty()) {
    KeepForLabels(event, *state);
  }
}

/// Before anything is counted by it or kept. What was dropped is as if the request had not had it.
void Monitor::Impl::Redact(DecodedEvent& of) {
  PredictionEvent& event = of.event;
  event.request_id = redactor->Apply(RequestText::kRequestId, event.request_id, redacted[0]);
  size_t next = 1;
  bool any = false;
  auto classes = [&](std::span<const std::string_view> given,
                     std::array<std::string_view, PredictionEvent::kMaxPredictions>& texts) {
    for (size_t i = 0; i < given.size(); ++i) {
      texts[i] = redactor->Apply(RequestText::kClass, given[i], redacted[next++]);
      any = any || !texts[i].empty();
    }
  };
  classes(event.predicted, of.predicted);
  if (!any) event.predicted = {};
  classes(event.labels, of.labels);
  for (size_t i = 0; i < event.segments.size(); ++i)
    of.segments[i] = redactor->Apply(RequestText::kSegment, event.segments[i], redacted[next++]);
}

/// Whether what is kept of a version for drift and schemas stays for good.
void Monitor::Impl::KeepRows(const VersionKey& key, bool keep) {
  if (writer) batch.drift[{key, std::string(DriftRow::kForgotten)}] = keep ? "" : "1";
}

void Monitor::Impl::FoldDrift(const PredictionEvent& event, VersionState& state) {
  if ((!state.drift || state.drift->retired) && now >= state.next_drift_try) {
    state.drift = drifts.Find(state.profile.key(), state.model.config, now);
    state.next_drift_try = now + std::chrono::seconds(1);
  }
  if (state.drift && !state.drift->retired) state.drift->Fold(event, wall_now, now);
}

void Monitor::Impl::FoldSchema(const PredictionEvent& event, VersionState& state) {
  if (event.features.empty()) return;
  if ((!state.schema || state.schema->retired) && now >= state.next_schema_try) {
    state.schema = schemas.Find(state.profile.key(), state.model.config, now);
    state.next_schema_try = now + std::chrono::seconds(1);
  }
  if (state.schema && !state.schema->retired) state.schema->Fold(event, wall_now, now);
}

/// Into the next batch: references and schemas that are new, and now and then the evidence.
void Monitor::Impl::CollectDrift(bool evidence) {
  if (!writer) return;
  evidence = evidence || now >= next_evidence;
  if (!evidence && now - last_write < options.flush) return;
  if (evidence) {
    next_evidence = now + kKeepEvidence;
    purge_forgotten = true;
  }
  // In the same transaction as what goes by them.
  for (auto& name : names.TakeNew()) batch.names[{name.model, name.place}] = std::move(name.name);
  std::vector<DriftRow> rows;
  MutexLock lock(state_mutex);
  if (evidence) {
    // Before the database does: what comes back later is written anew.
    drifts.DropForgotten(now - kKeepForgotten);
    schemas.DropForgotten(now - kKeepForgotten);
  }
  drifts.Collect(evidence, now, rows);
  schemas.Collect(rows);
  for (DriftRow& row : rows) batch.drift[{row.key, row.what}] = std::move(row.bytes);
}

std::optional<IntervalProfile> Monitor::Impl::TakeInterval(VersionState& state) {
  auto interval = state.profile.TakeInterval();
  if (interval) interval->labels = state.detail.TakeInterval();
  return interval;
}

/// One at a time, so that a long one of many versions holds nobody up for long.
void Monitor::Impl::FoldProfiles() {
  if (!edges) return;
  for (EdgeIntake::Message& message : edges->TakeAll()) {
    auto header = ReadProfileMessage(message.bytes, [this](IntervalProfile&& profile) {
      MutexLock lock(state_mutex);
      FoldProfile(std::move(profile));
    });
    CHECK(header.ok());  // as it was when it was taken
    if (database) {
      batch.edges[{message.mark.edge, message.mark.process}] = std::move(message.mark);
    }
  }
}

void Monitor::Impl::FoldProfile(IntervalProfile&& profile) {
  if (redactor != nullptr) {
    for (auto& [name, count] : profile.classes)
      name = redactor->Apply(RequestText::kClass, name, redacted[0]);
  }
  const VersionKey key(profile.model, profile.version);
  VersionState* state = FindByKey(key, false);
  if (state == nullptr) {
    events_without_profile += profile.requests.total();
    return;
  }
  if (!state->model.config.enabled) return;
  state->last_used = now;
  state->profile.Merge(profile, wall_now, now);
  next_window_close = std::min(next_window_close, *state->profile.closes());
  if (profile.labels) state->detail.Merge(*profile.labels);
  if (profile.quality.labelled > 0) batch.quality[key] = state->profile.quality();
}

/// In place: what is kept with the prediction is what was counted.
void Monitor::Impl::AdmitSegments(ModelState& model) {
  const size_t count = std::min(decoded.event.segments.size(), model.segments.rules().size());
  for (size_t i = 0; i < count; ++i) {
    decoded.segments[i] = model.segments.Admit(i, decoded.segments[i]);
  }
}

void Monitor::Impl::KeepForLabels(const PredictionEvent& event, VersionState& state) {
  ModelState& model = state.model;
  double weight = model.sampler.Weigh(event.request_id, event.predicted.size(), now);
  if (weight <= 0) return;
  for (size_t row = 0; row < event.predicted.size(); ++row) {
    if (event.predicted[row].empty()) continue;
    KeptPrediction kept = KeptOf(event, row, model, weight);
    const int64_t at_ms = kept.at_ms;
    if (join->AddPrediction(std::move(kept), wall_now, now))
      state.detail.AddKept(at_ms, weight, UnixMillis(wall_now));
  }
}

KeptPrediction Monitor::Impl::KeptOf(const PredictionEvent& event, size_t row,
                                     const ModelState& model, double weight) const {
  int64_t at_ms = event.unix_ms > 0 ? event.unix_ms : UnixMillis(wall_now);
  int64_t timeout_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(model.config.label_timeout).count();
  const bool scored = row < event.row_scores.size();
  return KeptPrediction{std::string(event.request_id), static_cast<uint32_t>(row),
                        std::string(event.model), event.version, std::string(event.predicted[row]),
                        scored ? double{event.row_scores[row]} : -1.0, at_ms, at_ms + timeout_ms,
                        weight, event.drawn, event.answer,
                        scored ? event.score_of : ScoreOf::kNothing,
                        // Segments are of the first row.
                        row == 0 ? KeptSegments(model.segments, event.segments) : ""};
}

void Monitor::Impl::JoinAtOnce(const PredictionEvent& event, VersionState& state) {
  const int64_t at_ms = event.unix_ms > 0 ? event.unix_ms : UnixMillis(wall_now);
  for (size_t row = 0; row < event.predicted.size(); ++row) {
    if (event.predicted[row].empty()) continue;
    state.detail.AddKept(at_ms, 1, UnixMillis(wall_now));
    if (row >= event.labels.size() || event.labels[row].empty()) continue;
    auto joined =
        join->JoinAtOnce(KeptOf(event, row, state.model, 1), std::string(event.labels[row]));
    if (joined) CountJoined(*joined, state);
  }
}

Monitor::Impl::VersionState* Monitor::Impl::Find(const PredictionEvent& event) {
  if (event.version_id != 0 && event.version_id == last_id) return last_state;
  if (event.version_id == 0 && last_id == 0 && last_state != nullptr) {
    const VersionKey& last = last_state->profile.key();
    if (last.second == event.version && last.first == event.model) return last_state;
  }
  VersionState* state = nullptr;
  if (event.version_id != 0) {
    auto it = by_id.find(event.version_id);
    if (it != by_id.end()) state = it->second;
  }
  if (state == nullptr) {
    state = FindByKey({std::string(event.model), event.version}, false);
    if (state == nullptr) {
      ++events_without_profile;
      return nullptr;
    }
    if (event.version_id != 0) by_id[event.version_id] = state;
  }
  last_id = event.version_id;
  last_state = state;
  return state;
}

Monitor::Impl::VersionState* Monitor::Impl::FindByKey(const VersionKey& key, bool restoring) {
  auto it = versions.find(key);
  if (it != versions.end()) return it->second.get();
  if (versions.size() >= kMaxVersions && !MakeRoom()) {
    if (!restoring && events_without_profile == 0) {
      LOG_WARN("too many model versions to monitor; further ones are not profiled",
               {"limit", kMaxVersions}, {"model", key.first}, {"version", key.second});
    }
    return nullptr;
  }
  auto config = configs.find(key.first);
  auto model = models.find(key.first);
  if (model == models.end()) {
    model =
        models.try_emplace(key.first, config != configs.end() ? config->second : MonitorConfig{})
            .first;
  }
  auto state = std::make_unique<VersionState>(key, model->second);
  if (options.keep_intervals) {
    state->profile.KeepIntervals();
    state->detail.KeepIntervals();
  }
  if (auto gone = quality_of_gone.find(key); gone != quality_of_gone.end()) {
    state->profile.Restore(gone->second.quality);
    state->detail.Restore(gone->second.detail, model->second.segments);
    quality_of_gone.erase(gone);
    std::erase(details_of_gone, key);
  }
  return versions.emplace(key, std::move(state)).first->second.get();
}

/// Lets the version go that has been quiet for the longest; false when all are busy.
bool Monitor::Impl::MakeRoom() {
  auto quietest = std::min_element(
      versions.begin(), versions.end(),
      [](const auto& a, const auto& b) { return a.second->last_used < b.second->last_used; });
  SteadyTime last_used = quietest->second->last_used;
  if (last_used != SteadyTime::min() && now - last_used < kQuietVersion) return false;
  Drop(quietest);
  return true;
}

/// What its open window holds is written, its quality kept; the rest goes.
void Monitor::Impl::Drop(std::map<VersionKey, std::unique_ptr<VersionState>>::iterator version) {
  VersionState* state = version->second.get();
  if (auto summary = state->profile.CutWindow(now)) {
    batch.windows.emplace_back(version->first, std::move(*summary));
  }
  if (auto interval = TakeInterval(*state)) {
    if (intervals_of_gone.size() < kMaxVersions) {
      intervals_of_gone.push_back(std::move(*interval));
    } else {
      events_without_profile += interval->requests.total();
    }
  }
  if (state->detail.Changed(SteadyTime::max())) {
    batch.details[version->first] = state->detail.Take(now);
  }
  quality_of_gone[version->first] = {state->profile.quality(), state->detail.Take(now)};
  details_of_gone.push_back(version->first);
  if (details_of_gone.size() > kMaxVersions) {
    quality_of_gone[details_of_gone.front()].detail.clear();
    details_of_gone.pop_front();
  }
  drifts.Forget(version->first);
  schemas.Forget(version->first);
  KeepRows(version->first, false);
  std::erase_if(by_id, [state](const auto& entry) { return entry.second == state; });
  if (last_state == state) {
    last_id = 0;
    last_state = nullptr;
  }
  versions.erase(version);
  in_memory_from = WallTime::max();
}

void Monitor::Impl::ForgetVersions(const std::vector<VersionKey>& gone) {
  if (gone.empty()) return;
  MutexLock lock(state_mutex);
  for (const VersionKey& key : gone) {
    auto it = versions.find(key);
    if (it != versions.end()) Drop(it);
  }
}

/// False when some have to wait for the next round.
bool Monitor::Impl::TakeLabels() {
  if (join->full()) return false;
  std::vector<GroundTruth> labels;
  {
    MutexLock lock(inbox_mutex);
    labels.swap(inbox);
  }
  for (GroundTruth& label : labels) {
    if (redactor != nullptr) {
      label.request_id = redactor->Apply(RequestText::kRequestId, label.request_id, redacted[0]);
      label.label = redactor->Apply(RequestText::kClass, label.label, redacted[1]);
    }
    join->AddLabel(std::move(label), wall_now, now);
  }
  return true;
}

void Monitor::Impl::CountJoined(const LabelJoin::Joined& joined, VersionState& state) {
  state.last_used = now;
  state.profile.AddJoined(joined, wall_now, now);
  state.detail.AddJoined(joined, state.model.config.task, state.model.segments);
  if (state.drift && joined.first_of_request()) state.drift->AddLabel(joined.wrong, wall_now, now);
  next_window_close = std::min(next_window_close, *state.profile.closes());
  batch.quality[joined.version()] = state.profile.quality();
}

void Monitor::Impl::FoldJoined() {
  std::vector<LabelJoin::Joined> joined = join->TakeJoined();
  auto append = [](auto& to, auto from) {
    if (to.empty()) {
      to = std::move(from);
    } else {
      std::move(from.begin(), from.end(), std::back_inserter(to));
    }
  };
  if (own_labels) {
    append(batch.predictions, own_labels->TakePredictions());
    append(batch.marks, own_labels->TakeMarks());
  }
  MutexLock lock(state_mutex);
  for (const LabelJoin::Joined& j : joined) {
    VersionState* state = FindByKey(j.version(), false);
    if (state != nullptr) CountJoined(j, *state);
  }
  if (join->counters().mismatched != label_counters.mismatched)
    labels_mismatched = join->Mismatched();
  label_counters = join->counters();
  labels_waiting = join->waiting();
  lookup_errors = own_labels ? own_labels->errors() : 0;
}

void Monitor::Impl::CloseWindows() {
  if (now < next_window_close) return;
  MutexLock lock(state_mutex);
  next_window_close = SteadyTime::max();
  for (auto& [key, state] : versions) {
    if (auto summary = state->profile.CloseWindow(now)) {
      batch.windows.emplace_back(key, std::move(*summary));
    }
    if (auto closes = state->profile.closes()) {
      next_window_close = std::min(next_window_close, *closes);
    }
  }
}

/// The end: what the open windows hold is written too.
void Monitor::Impl::CutWindows() {
  MutexLock lock(state_mutex);
  for (auto& [key, state] : versions) {
    if (auto summary = state->profile.CutWindow(now)) {
      batch.windows.emplace_back(key, std::move(*summary));
    }
  }
}

/// Into the batch that is about to be offered. `force`: all that has changed.
void Monitor::Impl::CollectDetails(bool force) {
  MutexLock lock(state_mutex);
  for (auto& [key, state] : versions) {
    if (state->detail.Changed(force ? SteadyTime::max() : now)) {
      batch.details[key] = state->detail.Take(now);
    }
  }
}

void Monitor::Impl::CollectSeen(bool force) {
  MutexLock lock(state_mutex);
  for (auto& [key, state] : versions) {
    const bool first = state->seen_kept == SteadyTime::min();
    if (state->last_used <= state->seen_kept) continue;
    if (!first && !force && now - state->seen_kept < kKeepSeen) continue;
    state->seen_kept = now;
    auto before = seen_before.find(key);  // a label that comes after a restart makes it no other
    const bool observed = state->profile.observed() != nullptr ||
                          (before != seen_before.end() && before->second.observed);
    batch.seen[key] = {observed, UnixMillis(wall_now - (now - state->last_used))};
  }
}

bool Monitor::Impl::WriteDatabase(bool force) {
  if (!writer) {
    batch = {};
    return true;
  }
  if (!force && now - last_write < options.flush) return true;
  // Nothing new and nothing much to delete: an idle server leaves the disk alone.
  if (!force && batch.empty() && now - last_offer < std::chrono::seconds(10)) return true;
  CollectDetails(force);
  CollectSeen(force);
  Database::Purge purge;
  purge.now_ms = UnixMillis(wall_now);
  purge.max_predictions = 5000;
  purge.predictions_expired_before_ms = UnixMillis(wall_now - LabelStore::kLateGrace);
  purge.windows_before_ms = UnixMillis(wall_now - options.history);
  if (purge_forgotten) purge.forgotten_before_ms = UnixMillis(wall_now - kKeepForgotten);
  purge.edges_before_ms = purge.windows_before_ms;
  // While the disk is slow the present batch grows until the writer is free again.
  if (force) {
    constexpr std::chrono::seconds kPatience{30};
    writer->WaitIdle(kPatience);
    last_write = last_offer = now;
    const bool offered = writer->Offer(batch, purge, now, true);
    purge_forgotten = purge_forgotten && !offered;
    return offered && writer->WaitIdle(kPatience);
  }
  last_write = now;
  if (writer->Offer(batch, purge, now, false)) {
    last_offer = now;
    purge_forgotten = false;
  }
  return true;
}

template <typename Add>
void Monitor::Impl::AddRedisMetrics(Add add) {
  auto single = [](auto read) {
    return [read] { return std::vector<MetricSample>{Sample({}, static_cast<double>(read()))}; };
  };
  add("leadsman_monitor_redis_ready",
      "Whether the Redis of monitor.labels takes predictions and labels.", MetricType::kGauge, {},
      single([this] { return redis->state().ready; }));
  add("leadsman_monitor_redis_errors_total",
      "Connections and round trips to the Redis of labels that failed, which are repeated, and "
      "predictions or labels that it refuses.",
      MetricType::kCounter, {}, single([this] { return redis->counters().errors; }));
  add("leadsman_monitor_redis_predictions_queued",
      "Predictions that wait to be written to the Redis of labels.", MetricType::kGauge, {},
      single([this] { return redis->counters().queued; }));
  add("leadsman_monitor_redis_predictions_lost_total",
      "Predictions whose label another process will not find: there was no room while Redis was "
      "away, or it refused them.",
      MetricType::kCounter, {}, single([this] { return redis->counters().predictions_lost; }));
}

void Monitor::Impl::AddMetrics(Registry& registry) {
  auto add = [&](const char* name, const char* help, MetricType type,
                 std::vector<std::string> labels, Registry::Reader reader) {
    registrations.push_back(registry.Add({name, help, type, std::move(labels)}, std::move(reader)));
  };
  auto version_family = [this](double (*read)(const VersionTotals&)) {
    return [this, read] {
      std::vector<MetricSample> samples;
      MutexLock lock(state_mutex);
      for (const auto& [key, state] : versions) {
        samples.push_back(
            Sample({key.first, std::to_string(key.second)}, read(state->profile.Totals())));
      }
      return samples;
    };
  };
  auto single = [](auto read) {
    return [read] { return std::vector<MetricSample>{Sample({}, static_cast<double>(read()))}; };
  };

  add("leadsman_monitor_events_total", "Prediction events folded into profiles.",
      MetricType::kCounter, {}, single([this] {
        MutexLock lock(state_mutex);
        return events;
      }));
  add("leadsman_monitor_events_dropped_total",
      "Prediction events not folded: a ring was full, or too many threads or versions.",
      MetricType::kCounter, {}, single([this] {
        MutexLock lock(state_mutex);
        return rings.dropped() + events_without_profile;
      }));
  add("leadsman_monitor_requests_total",
      "Requests seen from outside, in logs, by outcome; unknown: the log does not say. Version 0: "
      "the log names none. Requests served here are leadsman_serving_requests_total.",
      MetricType::kCounter, {"model", "version", "outcome"}, [this] {
        std::vector<MetricSample> samples;
        MutexLock lock(state_mutex);
        for (const auto& [key, state] : versions) {
          const ObservedTotals* totals = state->profile.observed();
          for (size_t i = 0; totals != nullptr && i < kObservedOutcomes; ++i) {
            samples.push_back(
                Sample({key.first, std::to_string(key.second),
                        std::string(ObservedOutcomeName(static_cast<ObservedOutcome>(i)))},
                       static_cast<double>(totals->requests[i])));
          }
        }
        return samples;
      });
  add("leadsman_monitor_request_duration_seconds",
      "How long requests took that were seen from outside and are not known to have failed, as "
      "their log says; absent where it does not.",
      MetricType::kHistogram, {"model", "version"}, [this] {
        std::vector<MetricSample> samples;
        MutexLock lock(state_mutex);
        for (const auto& [key, state] : versions) {
          const ObservedTotals* totals = state->profile.observed();
          if (totals == nullptr || TotalCount(totals->latency) == 0) continue;
          samples.push_back(LatencySample({key.first, std::to_string(key.second)}, totals->latency,
                                          totals->latency_seconds));
          samples.back().native = ToNative(totals->fine_latency);
        }
        return samples;
      });
  add("leadsman_monitor_labels_total",
      "Labels by what became of them: joined, unknown, duplicate, late, mismatched (text for a "
      "model of numbers, or the other way round) or rejected.",
      MetricType::kCounter, {"result"}, [this] {
        MutexLock lock(state_mutex);
        const auto& c = label_counters;
        return std::vector<MetricSample>{
            Sample({"joined"}, static_cast<double>(c.joined)),
            Sample({"unknown"}, static_cast<double>(c.unknown)),
            Sample({"duplicate"}, static_cast<double>(c.duplicate)),
            Sample({"late"}, static_cast<double>(c.late)),
            Sample({"mismatched"}, static_cast<double>(c.mismatched)),
            Sample({"rejected"}, static_cast<double>(labels_rejected.load()))};
      });
  add("leadsman_monitor_labels_conflicting_total",
      "Labels that gave another value than an earlier one of the same row (the first one stays).",
      MetricType::kCounter, {}, single([this] {
        MutexLock lock(state_mutex);
        return label_counters.conflicting;
      }));
  add("leadsman_monitor_labels_pending", "Labels waiting for their prediction.", MetricType::kGauge,
      {}, single([this] {
        MutexLock lock(state_mutex);
        return labels_waiting;
      }));
  add("leadsman_monitor_labelled_total",
      "Rows whose label has come, weighted when only a share of predictions is kept.",
      MetricType::kCounter, {"model", "version"},
      version_family([](const VersionTotals& t) { return static_cast<double>(t.labelled); }));
  add("leadsman_monitor_wrong_total", "Labelled rows that were predicted otherwise.",
      MetricType::kCounter, {"model", "version"},
      version_family([](const VersionTotals& t) { return static_cast<double>(t.wrong); }));
  add("leadsman_monitor_accuracy", "Share of labelled rows predicted right, over all labels.",
      MetricType::kGauge, {"model", "version"}, [this] {
        std::vector<MetricSample> samples;
        MutexLock lock(state_mutex);
        for (const auto& [key, state] : versions) {
          const QualityTotals& q = state->profile.quality();
          if (q.labelled <= 0) continue;  // no labels, no accuracy
          samples.push_back(
              Sample({key.first, std::to_string(key.second)}, 1 - q.wrong / q.labelled));
        }
        return samples;
      });
  add("leadsman_monitor_predictions_total",
      "Rows by predicted class; the first 32 classes that were seen, the rest as (other).",
      MetricType::kCounter, {"model", "version", "class"}, [this] {
        std::vector<MetricSample> samples;
        MutexLock lock(state_mutex);
        for (const auto& [key, state] : versions) {
          for (const auto& [name, count] : state->profile.PredictedGrowing()) {
            samples.push_back(
                Sample({key.first, std::to_string(key.second), name}, static_cast<double>(count)));
          }
        }
        return samples;
      });
  for (const QualityFamily& family : QualityFamilies()) {
    add(family.name, family.help, family.type, family.labels, [this, &family] {
      std::vector<MetricSample> samples;
      const int64_t now_ms = UnixMillis(clock.Now());
      MutexLock lock(state_mutex);
      for (const auto& [key, state] : versions) {
        family.read(state->detail, now_ms, {key.first, std::to_string(key.second)}, samples);
      }
      return samples;
    });
  }
  add("leadsman_monitor_segments_folded_total",
      "Times that a request's segment was counted as (other): the model has "
      "monitoring.max_segments of them already.",
      MetricType::kCounter, {"model"}, [this] {
        std::vector<MetricSample> samples;
        MutexLock lock(state_mutex);
        for (const auto& [name, model] : models) {
          if (model.segments.rules().empty()) continue;
          samples.push_back(Sample({name}, static_cast<double>(model.segments.folded())));
        }
        return samples;
      });
  auto drift_family = [this](DriftBook::Metric metric) {
    return [this, metric] {
      MutexLock lock(state_mutex);
      return drifts.Samples(metric, clock.SteadyNow());
    };
  };
  add("leadsman_monitor_drift_distance",
      "Distance of the last window from the reference, by the number it is of: psi, "
      "kolmogorov_smirnov, jensen_shannon, or wasserstein in standard deviations.",
      MetricType::kGauge, {"model", "version", "of", "feature", "distance"},
      drift_family(DriftBook::Metric::kDistance));
  add("leadsman_monitor_drift_noise_floor",
      "What the same distance exceeds once in a hundred windows when nothing has changed.",
      MetricType::kGauge, {"model", "version", "of", "feature", "distance"},
      drift_family(DriftBook::Metric::kNoise));
  add("leadsman_monitor_drift_evidence_ratio",
      "Evidence of a change beyond the tolerance, as a share of what raises an alarm by itself.",
      MetricType::kGauge, {"model", "version", "of", "stream"},
      drift_family(DriftBook::Metric::kEvidence));
  add("leadsman_monitor_reference_ready", "Whether there is a reference to compare with.",
      MetricType::kGauge, {"model", "version", "of"},
      drift_family(DriftBook::Metric::kReferenceReady));
  add("leadsman_monitor_reference_rows", "Rows of the reference, or collected for it so far.",
      MetricType::kGauge, {"model", "version", "of"},
      drift_family(DriftBook::Metric::kReferenceRows));
  add("leadsman_monitor_reference_unreadable",
      "1: the reference file of the model cannot be read; drift of its inputs is not looked for.",
      MetricType::kGauge, {"model"}, [this] {
        std::vector<MetricSample> samples;
        MutexLock lock(state_mutex);
        for (const auto& [model, reason] : drifts.file_problems())
          samples.push_back(Sample({model}, 1));
        return samples;
      });
  add("leadsman_monitor_drift_level", "All evidence of drift together; at 1 an alarm is raised.",
      MetricType::kGauge, {}, single([this] {
        MutexLock lock(state_mutex);
        return drifts.level();
      }));
  add("leadsman_monitor_drift_refused_total",
      "Times that a version could not be compared, gave up its reference, or got no detectors, as "
      "there are too many.",
      MetricType::kCounter, {}, single([this] {
        MutexLock lock(state_mutex);
        return drifts.refused();
      }));
  add("leadsman_monitor_drift_wider_requests_total",
      "Requests with more input values than are compared: the further ones are not looked at.",
      MetricType::kCounter, {"model", "version"}, drift_family(DriftBook::Metric::kWiderRequests));
  add("leadsman_monitor_feature_names_refused_total",
      "Times that a named value of a request had no place: its name is too long, or there are too "
      "many.",
      MetricType::kCounter, {}, single([this] { return names.refused(); }));
  auto schema_family = [this](SchemaBook::Metric metric) {
    return [this, metric] {
      MutexLock lock(state_mutex);
      return schemas.Samples(metric);
    };
  };
  add("leadsman_monitor_schema_violations_total",
      "Rows that broke the schema of the model's input, by feature and rule; the first 64 features "
      "by name, the rest as (others).",
      MetricType::kCounter, {"model", "version", "feature", "rule"},
      schema_family(SchemaBook::Metric::kViolations));
  add("leadsman_monitor_schema_rows_total",
      "Rows that were held against the schema: kept it, or violating.", MetricType::kCounter,
      {"model", "version", "result"}, schema_family(SchemaBook::Metric::kRows));
  add("leadsman_monitor_schema_ready", "Whether there is a schema to hold inputs against.",
      MetricType::kGauge, {"model", "version"}, schema_family(SchemaBook::Metric::kReady));
  add("leadsman_monitor_schema_refused_total",
      "Times that a version was not checked, or gave up its schema, as there are too many.",
      MetricType::kCounter, {}, single([this] {
        MutexLock lock(state_mutex);
        return schemas.refused();
      }));
  add("leadsman_monitor_database_errors_total",
      "Failed transactions and lookups of the monitor's database; they are retried.",
      MetricType::kCounter, {}, single([this] {
        MutexLock lock(state_mutex);
        return lookup_errors + (writer ? writer->errors() : 0);
      }));
  add("leadsman_monitor_database_rows_lost_total",
      "Rows given up because the database failed for too long.", MetricType::kCounter, {},
      single([this] { return writer ? writer->rows_lost() : 0; }));
  if (redis) AddRedisMetrics(add);
  add("leadsman_monitor_collector_cpu_seconds_total",
      "CPU time of the threads that fold events and write the database.", MetricType::kCounter, {},
      single([this] {
        return ToSeconds(Duration(collector_cpu_ns.load()) + (writer ? writer->cpu() : Duration{}));
      }));
}

Monitor::Monitor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Monitor::~Monitor() = default;

Result<std::unique_ptr<Monitor>> Monitor::Create(Deps deps, MonitorOptions options,
                                                 std::map<std::string, MonitorConfig> models) {
  auto impl = std::make_unique<Impl>(deps, std::move(options), std::move(models));
  RETURN_IF_ERROR(impl->Restore());
  RETURN_IF_ERROR(impl->OpenLabels());
  if (impl->database) RETURN_IF_ERROR(impl->RestoreSeen());
  impl->Start(deps.registry);
  return std::unique_ptr<Monitor>(new Monitor(std::move(impl)));
}

void Monitor::Emit(const PredictionEvent& event) {
  ByteRing* ring = impl_->rings.ForThisThread();
  if (ring == nullptr) return;  // counted by the set
  if (!Put(event, *ring)) ring->CountDrop();
}

bool Monitor::TryEmit(const PredictionEvent& event) {
  ByteRing* ring = impl_->rings.ForThisThread();
  if (ring == nullptr || Put(event, *ring)) return true;
  impl_->control_changed.NotifyAll();  // somebody waits: the collector need not sleep on
  return false;
}

bool Monitor::Put(const PredictionEvent& event, ByteRing& ring) {
  size_t features = std::min(event.features.size(), VersionProfile::kMaxFeatures);
  size_t bound = EncodedSizeBound(event, features);
  if (bound > ring.max_record()) {
    // A small ring and a wide input: the rest of the event is worth more than the features.
    features = 0;
    bound = EncodedSizeBound(event, 0);
  }
  std::byte* to = ring.TryReserve(bound);
  if (to == nullptr) return false;
  ring.Commit(EncodeEvent(event, features, to));
  return true;
}

uint32_t Monitor::FeatureStride(size_t width) const {
  const size_t wide = std::max<size_t>(impl_->options.wide_input, 1);
  return width <= wide ? 1 : static_cast<uint32_t>((2 * width + wide - 1) / wide);
}

std::shared_ptr<FeatureNames> Monitor::NamesOf(std::string_view model) {
  return impl_->names.Of(model);
}

LabelReceipt Monitor::AddLabels(std::vector<GroundTruth> labels) {
  LabelReceipt receipt;
  auto reject = [&](size_t index, std::string reason) {
    ++receipt.rejected;
    ++impl_->labels_rejected;
    if (receipt.errors.size() < kMaxReceiptErrors) {
      receipt.errors.push_back(StrCat("labels[", index, "]: ", reason));
    }
  };
  std::vector<std::pair<size_t, GroundTruth>> good;
  good.reserve(labels.size());
  for (size_t i = 0; i < labels.size(); ++i) {
    GroundTruth& label = labels[i];
    if (label.request_id.empty()) {
      reject(i, "request_id is empty");
    } else if (label.request_id.size() > kMaxRequestId) {
      reject(i, StrCat("request_id is longer than ", kMaxRequestId, " bytes"));
    } else if (label.row >= PredictionEvent::kMaxPredictions) {
      reject(i, StrCat("row ", label.row, " is not kept: only the first ",
                       PredictionEvent::kMaxPredictions, " rows of a request are (0 to ",
                       PredictionEvent::kMaxPredictions - 1, ")"));
    } else if (label.label.empty()) {
      reject(i, "label is empty");
    } else if (label.label.size() > kMaxLabelBytes) {
      reject(i, StrCat("label is longer than ", kMaxLabelBytes, " bytes"));
    } else {
      good.emplace_back(i, std::move(label));
    }
  }
  MutexLock lock(impl_->inbox_mutex);
  for (auto& [index, label] : good) {
    if (impl_->inbox.size() >= kMaxLabelQueue) {
      reject(index, "the label queue is full; send it again later");
      continue;
    }
    impl_->inbox.push_back(std::move(label));
    ++receipt.accepted;
  }
  return receipt;
}

bool Monitor::TryAddLabel(const GroundTruth& label) {
  {
    MutexLock lock(impl_->inbox_mutex);
    if (impl_->inbox.size() >= kMaxLabelQueue) return false;
  }
  AddLabels({label});
  return true;
}

void Monitor::Forget(const std::string& model, int64_t version) {
  MutexLock lock(impl_->inbox_mutex);
  impl_->to_forget.emplace_back(model, version);
}

bool Monitor::Flush(std::chrono::milliseconds timeout) {
  // Real time, as all waiting is: the given clock may stand still.
  const auto until = SystemClock().SteadyNow() + timeout;
  MutexLock lock(impl_->control_mutex);
  const uint64_t mine = ++impl_->flush_wanted;
  impl_->control_changed.NotifyAll();
  while (impl_->flush_done < mine) {
    auto left = until - SystemClock().SteadyNow();
    if (left <= Duration::zero()) return false;
    impl_->control_changed.WaitFor(impl_->control_mutex, left);
  }
  return impl_->flush_ok;
}

VersionTotals Monitor::Totals(const std::string& model, int64_t version) const {
  MutexLock lock(impl_->state_mutex);
  auto it = impl_->versions.find({model, version});
  return it == impl_->versions.end() ? VersionTotals{} : it->second->profile.Totals();
}

std::vector<std::pair<std::string, int64_t>> Monitor::Versions() const {
  std::vector<std::pair<std::string, int64_t>> all;
  MutexLock lock(impl_->state_mutex);
  for (const auto& [key, state] : impl_->versions) all.push_back(key);
  return all;
}

std::vector<ObservedVersion> Monitor::Observed() const {
  std::vector<ObservedVersion> all;
  MutexLock lock(impl_->state_mutex);
  for (const auto& [key, state] : impl_->versions) {
    const ObservedTotals* totals = state->profile.observed();
    if (totals == nullptr) continue;
    const VersionTotals sums = state->profile.Totals();
    all.push_back({key.first, key.second, *totals, state->profile.Predicted(), sums.labelled,
                   sums.wrong, impl_->clock.Now() - (impl_->clock.SteadyNow() - state->last_used)});
  }
  return all;
}

std::vector<ObservedBefore> Monitor::Before() const {
  std::vector<ObservedBefore> all;
  MutexLock lock(impl_->state_mutex);
  for (const auto& [key, seen] : impl_->seen_before) {
    if (!seen.observed) continue;
    auto now = impl_->versions.find(key);
    if (now != impl_->versions.end() && now->second->profile.observed() != nullptr) continue;
    all.push_back({key.first, key.second, FromUnixMillis(seen.last_ms)});
  }
  return all;
}

bool Monitor::WasObserved(const std::string& model) const {
  MutexLock lock(impl_->state_mutex);
  auto before = impl_->seen_before.lower_bound({model, INT64_MIN});
  for (; before != impl_->seen_before.end() && before->first.first == model; ++before) {
    if (before->second.observed) return true;
  }
  auto now = impl_->versions.lower_bound({model, INT64_MIN});
  for (; now != impl_->versions.end() && now->first.first == model; ++now) {
    if (now->second->profile.observed() != nullptr) return true;
  }
  return false;
}

CountStore& Monitor::counts() { return impl_->counts; }

bool Monitor::Knows(const std::string& model) const {
  MutexLock lock(impl_->state_mutex);
  auto it = impl_->versions.lower_bound({model, INT64_MIN});
  return it != impl_->versions.end() && it->first.first == model;
}

std::map<int64_t, std::vector<WindowSummary>> Monitor::Windows(const std::string& model,
                                                               WallTime from) const {
  std::map<int64_t, std::vector<WindowSummary>> windows;
  bool older_on_disk = false;
  {
    MutexLock lock(impl_->state_mutex);
    older_on_disk = from < impl_->in_memory_from;
    auto it = impl_->versions.lower_bound({model, INT64_MIN});
    for (; it != impl_->versions.end() && it->first.first == model; ++it) {
      const VersionProfile& profile = it->second->profile;
      for (const WindowSummary& w : profile.closed()) {
        if (w.start >= from) windows[it->first.second].push_back(w);
      }
      older_on_disk = older_on_disk || (profile.forgot_windows() && !profile.closed().empty() &&
                                        profile.closed().front().start > from);
    }
  }
  if (!impl_->database || !older_on_disk) return windows;
  auto stored = impl_->database->ReadWindows(model, UnixMillis(from), kMaxWindowsRead);
  if (!stored.ok()) {
    LOG_WARN("older windows cannot be read", {"model", model}, {"reason", stored.status()});
    return windows;
  }
  std::map<int64_t, std::vector<WindowSummary>> older;
  for (auto& [key, window] : *stored) {
    auto in_memory = windows.find(key.second);
    if (in_memory != windows.end() && window.start >= in_memory->second.front().start) continue;
    older[key.second].push_back(std::move(window));
  }
  for (auto& [version, list] : windows) {
    auto& all = older[version];
    std::move(list.begin(), list.end(), std::back_inserter(all));
  }
  return older;
}

Result<std::string> Monitor::ProfileJson(const std::string& model, int64_t version) const {
  MutexLock lock(impl_->state_mutex);
  auto it = impl_->versions.find({model, version});
  if (it == impl_->versions.end()) {
    return NotFoundError(StrCat("no profile of model ", model, " version ", version,
                                ": it has served no request yet"));
  }
  auto names = impl_->names.Of(model);
  return it->second->profile.ToJson(names && names->named() ? names->names()
                                                            : std::vector<std::string>());
}

Result<std::string> Monitor::QualityJson(const std::string& model, int64_t version) const {
  std::function<std::string()> report;
  {
    MutexLock lock(impl_->state_mutex);
    auto it = impl_->versions.find({model, version});
    if (it == impl_->versions.end()) {
      return NotFoundError(StrCat("nothing is known of model ", model, " version ", version,
                                  ": it has served no request yet"));
    }
    Impl::VersionState& state = *it->second;
    report = QualityReport(version, state.profile.quality(), state.detail,
                           UnixMillis(impl_->clock.Now()));
  }
  return report();
}

uint64_t Monitor::LabelsMismatched(const std::string& model) const {
  MutexLock lock(impl_->state_mutex);
  auto of = impl_->labels_mismatched.find(model);
  return of != impl_->labels_mismatched.end() ? of->second : 0;
}

std::vector<QualityEvidence> Monitor::EvidenceOf(const std::string& model) const {
  std::vector<QualityEvidence> all;
  MutexLock lock(impl_->state_mutex);
  auto it = impl_->versions.lower_bound({model, INT64_MIN});
  for (; it != impl_->versions.end() && it->first.first == model; ++it) {
    const VersionQuality& quality = it->second->detail.quality();
    all.push_back({it->first.second, quality.Classes(), quality.request_errors()});
  }
  return all;
}

Result<std::string> Monitor::DriftJson(const std::string& model, int64_t version) const {
  MutexLock lock(impl_->state_mutex);
  return impl_->drifts.Json(model, version, impl_->clock.SteadyNow());
}

std::vector<int64_t> Monitor::DriftVersions(const std::string& model) const {
  MutexLock lock(impl_->state_mutex);
  return impl_->drifts.Versions(model);
}

Result<std::vector<int64_t>> Monitor::TakeReferenceAnew(const std::string& model,
                                                        std::optional<int64_t> version) {
  auto configured = impl_->configs.find(model);
  const MonitorConfig config =
      configured != impl_->configs.end() ? configured->second : MonitorConfig{};
  RETURN_IF_ERROR(impl_->ReadReference(model, config));
  MutexLock lock(impl_->state_mutex);
  std::vector<int64_t> versions =
      impl_->drifts.TakeAnew(model, version, config, impl_->clock.SteadyNow());
  if (!versions.empty()) return versions;
  return NotFoundError(StrCat("drift of ", version ? StrCat("version ", *version, " of ") : "",
                              "model ", model,
                              " is not looked for: it has served no request yet, "
                              "or monitoring.drift.enabled of the model is false"));
}

std::vector<std::string> Monitor::Notes() const {
  std::vector<std::string> notes;
  MutexLock lock(impl_->state_mutex);
  for (const auto& [model, reason] : impl_->drifts.file_problems()) {
    notes.push_back(StrCat("drift of the inputs of ", model, " is not looked for: ", reason));
  }
  return notes;
}

std::vector<IntervalProfile> Monitor::TakeIntervals() {
  MutexLock lock(impl_->state_mutex);
  std::vector<IntervalProfile> taken = std::move(impl_->intervals_of_gone);
  impl_->intervals_of_gone.clear();
  for (auto& [key, state] : impl_->versions) {
    if (auto interval = Impl::TakeInterval(*state)) taken.push_back(std::move(*interval));
  }
  return taken;
}

Result<ProfileReceipt> Monitor::AddProfiles(std::string_view message) {
  if (!impl_->edges)
    return UnimplementedError(
        "profiles of edges are not taken here: set monitor.edges, as in docs/edges.md");
  return impl_->edges->Add(message);
}

std::optional<std::vector<EdgeView>> Monitor::Edges() const {
  if (!impl_->edges) return std::nullopt;
  return impl_->edges->Views();
}

std::unique_ptr<Watch> Monitor::MakeDriftWatch() {
  class DriftWatch final : public Watch {
   public:
    explicit DriftWatch(Impl& impl) : impl_(impl) {}
    std::vector<Finding> Look(WallTime, SteadyTime now) override {
      MutexLock lock(impl_.state_mutex);
      return impl_.drifts.Look(now);
    }

   private:
    Impl& impl_;
  };
  return std::make_unique<DriftWatch>(*impl_);
}

Result<std::string> Monitor::SchemaJson(const std::string& model, int64_t version) const {
  MutexLock lock(impl_->state_mutex);
  return impl_->schemas.Json(model, version);
}

std::vector<int64_t> Monitor::SchemaVersions(const std::string& model) const {
  MutexLock lock(impl_->state_mutex);
  return impl_->schemas.Versions(model);
}

std::unique_ptr<SchemaWatch> Monitor::MakeSchemaWatch(const WatchedTime& watched) {
  return std::make_unique<SchemaWatch>(
      [impl = impl_.get()] {
        MutexLock lock(impl->state_mutex);
        return impl->schemas.Counts();
      },
      watched);
}

std::optional<Monitor::SharedLabels> Monitor::shared_labels() const {
  if (!impl_->redis) return std::nullopt;
  const RedisLabelStore::State state = impl_->redis->state();
  const RedisLabelStore::Counters counters = impl_->redis->counters();
  return SharedLabels{.address = impl_->redis->options().address,
                      .ready = state.ready,
                      .since = state.since,
                      .reason = std::string(state.why.message()),
                      .queued = counters.queued,
                      .lost = counters.predictions_lost};
}

Monitor::Counters Monitor::counters() const {
  MutexLock lock(impl_->state_mutex);
  const LabelJoin::Counters l = impl_->label_counters;
  Counters c;
  c.events = impl_->events;
  c.events_dropped = impl_->rings.dropped() + impl_->events_without_profile;
  c.labels_joined = l.joined;
  c.labels_unknown = l.unknown;
  c.labels_duplicate = l.duplicate;
  c.labels_conflicting = l.conflicting;
  c.labels_late = l.late;
  c.labels_mismatched = l.mismatched;
  c.labels_rejected = impl_->labels_rejected;
  c.labels_pending = impl_->labels_waiting;
  if (impl_->edges) {
    const EdgeBook::Counters edges = impl_->edges->counters();
    c.edge_messages = edges.intervals;
    c.edge_messages_lost = edges.lost;
  }
  c.database_errors = impl_->lookup_errors + (impl_->writer ? impl_->writer->errors() : 0);
  c.database_rows_lost = impl_->writer ? impl_->writer->rows_lost() : 0;
  if (impl_->redis) c.predictions_lost = impl_->redis->counters().predictions_lost;
  c.collector_cpu =
      Duration(impl_->collector_cpu_ns) + (impl_->writer ? impl_->writer->cpu() : Duration{});
  return c;
}

}  // namespace leadsman
