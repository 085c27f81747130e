#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "events/feature_names.h"
#include "events/redactor.h"
#include "events/ring_set.h"
#include "monitor/database.h"
#include "monitor/database_writer.h"
#include "monitor/drift/drift_book.h"
#include "monitor/edges/edge_intake.h"
#include "monitor/edges/interval_profile.h"
#include "monitor/event_codec.h"
#include "monitor/kept_counts.h"
#include "monitor/label_join.h"
#include "monitor/labels/own_label_store.h"
#include "monitor/labels/redis_label_store.h"
#include "monitor/monitor.h"
#include "monitor/quality/quality_detail.h"
#include "monitor/schema/schema_book.h"
#include "monitor/version_profile.h"
#include "stats/registry.h"

namespace leadsman {

inline constexpr size_t kMaxVersions = 1024;
/// Of versions that are no longer, and of those that earlier processes saw.
inline constexpr size_t kMaxSeen = 4 * kMaxVersions;
/// What a crash may lose of the evidence of drift; a stop loses none. It can be megabytes.
inline constexpr std::chrono::minutes kKeepEvidence{30};
/// References and schemas of versions of which no request comes: longer than a month, as some models are
/// asked once in one.
inline constexpr std::chrono::hours kKeepForgotten{24 * 90};

/// What a Monitor is inside, for its own files alone: monitor.cc (what goes in), monitor_collector.cc (the thread that folds it),
/// monitor_restore.cc (what an earlier process left), monitor_reads.cc and monitor_metrics.cc (what comes out).
struct Monitor::Impl {
  /// What of a model's configuration the collector needs; one for each model.
  struct ModelState {
    explicit ModelState(const MonitorConfig& c)
        : config(c), sampler(c.max_join_rate_per_second), segments(c.segments, c.max_segments) {}
    MonitorConfig config;
    JoinSampler sampler;
    SegmentNames segments;
    std::optional<LossMeasure> loss;  ///< absent: losses are not counted
  };
  struct VersionState {
    VersionState(VersionKey key, ModelState& m)
        : model(m), profile(std::move(key), m.config.window) {}
    ModelState& model;
    VersionProfile profile;
    QualityDetail detail;
    std::shared_ptr<FeatureNames> names;  ///< where inputs are dropped; null: not asked yet
    std::shared_ptr<VersionDrift> drift;  ///< null: not watched, or not asked yet
    SteadyTime next_drift_try = SteadyTime::min();
    std::shared_ptr<VersionSchema> schema;  ///< likewise
    SteadyTime next_schema_try = SteadyTime::min();
    SteadyTime last_used = SteadyTime::min();  ///< min: not since it was read from the database
    bool rows_kept = false;                    ///< KeepRows was told of a request
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
        redactor(deps.redactor == nullptr || deps.redactor->empty() ? nullptr : deps.redactor),
        dropped(deps.redactor == nullptr || deps.redactor->dropped_inputs()->empty()
                    ? nullptr
                    : deps.redactor->dropped_inputs()),
        labelled(std::move(deps.labelled)),
        options(std::move(o)),
        configs(std::move(m)),
        rings(options.ring_bytes),
        names(dropped),
        edges(options.edges ? std::make_unique<EdgeIntake>(clock, *options.edges, deps.registry)
                            : nullptr),
        drifts({options.alarm_budget.false_alarms, ToSeconds(options.alarm_budget.period)},
               options.wide_input, &names),
        schemas(&names) {}
  ~Impl();

  Status Restore();
  Status ReadReference(const std::string& model, const MonitorConfig& config);
  void ReadReferences();
  Status ReadSchema(const std::string& model, const MonitorConfig& config);
  void ReadSchemas();
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
  void DropInputs(PredictionEvent& event, VersionState& state) REQUIRES(state_mutex);
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
  static bool IsOf(const VersionState& state, const PredictionEvent& event);
  VersionState* FindByKey(const VersionKey& key, bool restoring) REQUIRES(state_mutex);
  ModelState& ModelOf(const std::string& name) REQUIRES(state_mutex);
  static std::optional<IntervalProfile> TakeInterval(VersionState& state);
  void FoldProfiles();
  void FoldProfile(IntervalProfile&& profile) REQUIRES(state_mutex);
  void ForgetVersions(const std::vector<VersionKey>& gone);
  bool MakeRoom() REQUIRES(state_mutex);
  void Drop(std::map<VersionKey, std::unique_ptr<VersionState>>::iterator version)
      REQUIRES(state_mutex);

  Clock& clock;
  const Redactor* const redactor;
  const std::shared_ptr<const DroppedInputs> dropped;             ///< null: none
  const std::function<void(const LabelledPrediction&)> labelled;  ///< null: nobody listens
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
  /// Of versions that had to make room: their totals go on when they come back, and the details of the last kMaxVersions of
  /// them. Those without a label are kMaxSeen at most.
  struct Gone {
    QualityTotals quality;
    LossTotals losses;
    std::string detail;
  };
  std::map<VersionKey, Gone> quality_of_gone GUARDED_BY(state_mutex);
  std::map<VersionKey, SeenVersion> seen_before GUARDED_BY(state_mutex);  ///< by earlier processes
  std::deque<VersionKey> gone_in_order GUARDED_BY(state_mutex);           ///< oldest first
  std::unordered_map<uint32_t, VersionState*> by_id GUARDED_BY(state_mutex);
  uint32_t last_id GUARDED_BY(state_mutex) = 0;
  VersionState* last_state GUARDED_BY(state_mutex) = nullptr;
  /// By NameSlot, what was found last there: a log tells of several versions by turns, and names them.
  std::array<VersionState*, 64> by_name GUARDED_BY(state_mutex){};
  uint64_t events GUARDED_BY(state_mutex) = 0;
  uint64_t events_without_profile GUARDED_BY(state_mutex) = 0;
  bool inputs_came GUARDED_BY(state_mutex) = false;  ///< where inputs are dropped
  /// Of edges, or for the monitor that this one sends to: there were too many versions.
  uint64_t profile_requests_lost GUARDED_BY(state_mutex) = 0;
  bool told_of_limit GUARDED_BY(state_mutex) = false;
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
      redacted;                    ///< texts of `decoded`
  std::vector<float> kept_inputs;  ///< of `decoded`, where some are dropped
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

}  // namespace leadsman
