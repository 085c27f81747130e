#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/snapshot.h"
#include "base/status.h"
#include "events/labelled_prediction.h"
#include "events/prediction_event.h"
#include "monitor/config.h"
#include "monitor/observed.h"
#include "monitor/quality/loss_totals.h"
#include "stats/latency_scheme.h"
#include "stats/registry.h"

namespace leadsman {

class ByteRing;
class CountStore;
struct EdgeView;
struct IntervalProfile;
struct ProfileReceipt;
class Redactor;
class SchemaWatch;
class Watch;
class WatchedTime;
struct QualityEvidence;

/// Sums since the process started (quality: since the version was first seen, kept in the
/// database). Only ever grow while the process lives, except that a version which was forgotten or
/// made room (see Monitor) begins its requests anew should it come back. Weighted sums are kept exactly and rounded
/// to the nearest integer here.
struct VersionTotals {
  uint64_t requests = 0;  ///< that reached the version
  uint64_t errors = 0;  ///< of these, answered with an error (client cancellations are not counted)
  uint64_t answered = 0;       ///< with a known outcome, and not cancelled
  uint64_t server_errors = 0;  ///< of these, those that were not the request's fault
  LatencyBuckets latency{};    ///< of the successful ones
  uint64_t labelled = 0;       ///< rows whose label has come, weighted when ids are sampled
  uint64_t wrong = 0;          ///< of these, predicted otherwise
  /// Requests whose first row has been labelled, each counted once and never weighted: independent
  /// units, which tests of evidence need (a weight or several rows of one request would be taken
  /// for that many independent answers).
  uint64_t labelled_requests = 0;
  uint64_t wrong_requests = 0;
  /// Of these, those that an earlier process has counted, or this one before the version made room.
  uint64_t labelled_requests_before = 0;
  uint64_t wrong_requests_before = 0;

  /// The same of the requests alone that a rollout's split has drawn (PredictionEvent::drawn):
  /// evidence. Who names a version or a label may send it other requests than the split would, and
  /// labels of predictions from before the split have had longer to arrive.
  uint64_t drawn_requests = 0;
  uint64_t drawn_errors = 0;
  LatencyBuckets drawn_latency{};
  uint64_t drawn_labelled = 0;  ///< of labelled_requests
  uint64_t drawn_wrong = 0;     ///< of wrong_requests
  LossTotals losses;            ///< by the measure that CountLosses was told of; else of nothing

  uint64_t longest_failure_ns =
      0;  ///< until a request failed or timed out, 60 s at most; cancelled ones apart
};

/// One window of one version, for charts and reports.
struct WindowSummary {
  WallTime start{};
  double seconds = 0;
  uint64_t requests = 0;
  uint64_t errors = 0;
  double latency_p50_seconds = 0;
  double latency_p99_seconds = 0;
  uint64_t labelled = 0;  ///< labels that arrived in this window
  uint64_t wrong = 0;
  std::map<std::string, uint64_t>
      predicted;  ///< class → count, the 32 most frequent, others as "(other)"
};

/// What became of a batch of labels.
struct LabelReceipt {
  uint64_t accepted = 0;            ///< taken; joined with their predictions by the collector
  uint64_t rejected = 0;            ///< malformed, or the queue was full
  bool full = false;                ///< some of the rejected would be taken later
  std::vector<std::string> errors;  ///< the first few, each naming its entry
};

/// Takes events from per-thread rings that never block, folds them into profiles per (model,
/// version, window), joins late labels with predictions in SQLite or Redis, and answers what happened. One
/// collector thread does all the work; a second one writes to the database, so that a slow disk
/// does not fill the rings.
///
/// 1,024 versions at once: a further one takes the place of the one that has been quiet for the
/// longest; its events are counted as dropped while none has been for a minute.
///
/// Emit, AddLabels, Forget and all readers are thread-safe. Emit never blocks: a full ring counts a drop.
class Monitor final : public Sink {
 public:
  struct Deps {
    Clock& clock;
    Registry& registry;
    const Redactor* redactor =
        nullptr;  ///< of texts before they are counted, kept or shown; null: as they are
    /// Called by the collector for each label that has found its prediction; must not block. Null: nobody else wants them.
    std::function<void(const LabelledPrediction&)> labelled = nullptr;
  };
  /// A reference or schema file that cannot be read is logged, and the inputs of its model are not compared, or held against none.
  /// Opens (and if need be creates or repairs) the database. A database that cannot be opened is an
  /// error at start; one that fails later (disk full) degrades: logged once, counted, serving and
  /// in-memory windows go on.
  static Result<std::unique_ptr<Monitor>> Create(Deps deps, MonitorOptions options,
                                                 std::map<std::string, MonitorConfig> models);
  ~Monitor() override;

  void Emit(const PredictionEvent& event) override;
  bool TryEmit(const PredictionEvent& event) override;
  uint32_t FeatureStride(size_t width) const override;
  /// Kept in the database.
  std::shared_ptr<FeatureNames> NamesOf(std::string_view model) override;
  std::span<const SegmentRule> SegmentsOf(std::string_view model) const override;

  /// Queues labels for the join. Bounded; what does not fit is in `rejected`. Errors name a label by its place, "labels[3]" where
  /// none is given.
  LabelReceipt AddLabels(std::vector<GroundTruth> labels, std::span<const std::string> places = {});

  /// One, from somebody who can wait. False: there is no room for it now. What is malformed is counted as rejected.
  bool TryAddLabel(const GroundTruth& label);

  /// From here on the losses of the model's answers whose labels come are counted by this measure, until it is told of another one;
  /// what was counted by that begins anew. With the same as before nothing changes: sums of it go on, also those of an earlier
  /// process. Labels that an edge has joined have no losses here.
  void CountLosses(const std::string& model, const LossMeasure& measure);

  /// The version will not be asked for soon: the profile of its inputs and its sums of requests go;
  /// its quality and, with a database, its windows stay. Events that were emitted before count.
  void Forget(const std::string& model, int64_t version);

  /// Everything emitted or added before this call is folded and written to the database when it
  /// returns true. False after `timeout`, or when the database did not take it (folded all the
  /// same). Labels whose prediction has not been seen go on waiting. For tests, shutdown and
  /// occasional readers: the collector waits for the disk meanwhile.
  bool Flush(std::chrono::milliseconds timeout);

  VersionTotals Totals(const std::string& model, int64_t version) const;
  /// What a rollout's split has drawn, by segment ("tenant=acme") of a model that is told apart by some; of this process.
  struct SegmentTotals {
    uint64_t requests = 0, errors = 0;
    uint64_t labelled = 0, wrong = 0;  ///< as VersionTotals::drawn_labelled
    uint64_t all_requests = 0;         ///< drawn or not
  };
  std::map<std::string, SegmentTotals> TotalsBySegment(const std::string& model,
                                                       int64_t version) const;
  /// The versions that Totals knows, by model; 0 where what was observed names none.
  std::vector<std::pair<std::string, int64_t>> Versions() const;
  /// All versions of which something was observed (PredictionEvent::observed), by model and version.
  std::vector<ObservedVersion> Observed() const;
  /// All that were observed before the start and not since, by model and version; for as long as windows are kept.
  std::vector<ObservedBefore> Before() const;
  /// Whether any version of it was observed, by this process or one before.
  bool WasObserved(const std::string& model) const;
  /// Whether there is a profile or a window of any version of it.
  bool Knows(const std::string& model) const;
  /// Windows of all versions of a model since `from`, oldest first.
  std::map<int64_t, std::vector<WindowSummary>> Windows(const std::string& model,
                                                        WallTime from) const;
  /// JSON of one version's input profile: per feature count, mean, min, max, quantiles, non-finite;
  /// NOT_FOUND.
  Result<std::string> ProfileJson(const std::string& model, int64_t version) const;

  /// JSON of what labels tell of one version, and of its segments (docs/quality.md); NOT_FOUND.
  Result<std::string> QualityJson(const std::string& model, int64_t version) const;
  /// Labels of a model since the start that were not compared: Counters::labels_mismatched.
  uint64_t LabelsMismatched(const std::string& model) const;
  /// What labels have told of a model's versions, for QualityWatch.
  std::vector<QualityEvidence> EvidenceOf(const std::string& model) const;
  /// JSON of one version's drift: references, distances with their noise floors, evidence
  /// (docs/drift.md); NOT_FOUND.
  Result<std::string> DriftJson(const std::string& model, int64_t version) const;
  /// Versions that DriftJson knows.
  std::vector<int64_t> DriftVersions(const std::string& model) const;
  /// Takes the references of a model's versions, or of one, anew: from its file, which is read again,
  /// from the stable version, or from the requests from now on, and then those of now are in use until
  /// there are enough. Returns the versions; NOT_FOUND when none is compared, and the file's errors,
  /// after which all is as it was. Blocks for as long as a file takes.
  Result<std::vector<int64_t>> TakeReferenceAnew(const std::string& model,
                                                 std::optional<int64_t> version);
  /// Drops the schemas of a model's versions, or of one: they are those of the file, which is read again, or learnt from the
  /// requests from now on, and until there are enough nothing is held against one. Returns the versions; NOT_FOUND when none has
  /// one, and the file's errors, after which all is as it was. Blocks for as long as a file takes.
  Result<std::vector<int64_t>> RelearnSchema(const std::string& model,
                                             std::optional<int64_t> version);
  /// What is not watched as the configuration wants it, and why: a line each.
  std::vector<std::string> Notes() const;
  /// Decides which drift is an alarm; lives no longer than the monitor.
  std::unique_ptr<Watch> MakeDriftWatch();

  /// What was seen here since the last call, of all versions, for another monitor; with options.keep_intervals.
  std::vector<IntervalProfile> TakeIntervals();
  /// Takes a message of an edge (monitor/edges/edge_intake.h); what it tells is merged by the collector. UNIMPLEMENTED without
  /// options.edges.
  Result<ProfileReceipt> AddProfiles(std::string_view message);
  /// Nothing without options.edges.
  std::optional<std::vector<EdgeView>> Edges() const;

  /// JSON of what one version's inputs are held against, and what broke it (docs/schema.md); NOT_FOUND.
  Result<std::string> SchemaJson(const std::string& model, int64_t version) const;
  /// Versions that SchemaJson knows.
  std::vector<int64_t> SchemaVersions(const std::string& model) const;
  /// Lives no longer than the monitor.
  std::unique_ptr<SchemaWatch> MakeSchemaWatch(const WatchedTime& watched);

  /// Where counts of watches outlive the process: in the database, if there is one.
  CountStore& counts();

  /// Of the Redis that predictions wait in; nothing when they wait in this process' database.
  struct SharedLabels {
    std::string address;
    bool ready = false;
    WallTime since{};     ///< of this
    std::string reason;   ///< it is not ready
    uint64_t queued = 0;  ///< predictions that wait to be written
    uint64_t lost = 0;
  };
  std::optional<SharedLabels> shared_labels() const;

  struct Counters {
    uint64_t events = 0;  ///< folded, of versions and of refused requests
    uint64_t events_dropped = 0;
    uint64_t labels_joined = 0;
    uint64_t labels_unknown = 0;  ///< no such prediction, or not among the kept share
    uint64_t labels_duplicate = 0;
    uint64_t labels_conflicting =
        0;                     ///< of the duplicates: another value than the first, which stays
    uint64_t labels_late = 0;  ///< after label_timeout
    uint64_t labels_mismatched =
        0;  ///< text where the model answers numbers, or the other way round: not compared
    uint64_t labels_rejected = 0;  ///< malformed, or the queue was full
    uint64_t labels_pending = 0;   ///< waiting for a prediction that may still be on its way
    uint64_t edge_messages = 0;
    std::optional<uint64_t> edge_messages_lost;  ///< absent: profiles of edges are not taken
    uint64_t database_errors = 0;     ///< failed transactions and lookups; they are retried
    uint64_t database_rows_lost = 0;  ///< given up because the database failed for too long
    std::optional<uint64_t> predictions_lost;  ///< that a shared store of labels did not get
    Duration collector_cpu{};                  ///< CPU time of the collector and database threads
  };
  Counters counters() const;

 private:
  struct Impl;
  static bool Put(const PredictionEvent& event, ByteRing& ring);
  explicit Monitor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace leadsman
