#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "events/feature_names.h"
#include "events/prediction_event.h"
#include "monitor/config.h"
#include "monitor/database.h"
#include "monitor/drift/drift_report.h"
#include "monitor/drift/drift_track.h"
#include "monitor/finding.h"
#include "monitor/watched_versions.h"
#include "stats/registry.h"

namespace leadsman {

/// One version's references and detectors: of its inputs, its answers and its labels.
/// Externally synchronised.
class VersionDrift : public WatchedVersion {
 public:
  /// Without `names` values are named by their places.
  VersionDrift(const MonitorConfig& config, size_t wide_input,
               std::shared_ptr<const FeatureNames> names, DriftTrack::Admit admit);

  /// What was observed elsewhere goes by its own time, so that what comes at once is compared as if it had
  /// come when it was.
  void Fold(const PredictionEvent& event, WallTime wall, SteadyTime now);
  void AddLabel(bool wrong, WallTime wall, SteadyTime now);
  /// Compares with what the first of them that has such a reference is compared with, for each kind of
  /// rows: where nothing is known yet, or `anew`.
  void Follow(const std::vector<std::shared_ptr<VersionDrift>>& older, SteadyTime now,
              bool anew = false);
  /// Collects references from here on; those of now stay in use until then.
  void TakeAnew();
  /// Null while no input was seen.
  DriftTrack* inputs() { return inputs_.get(); }
  const DriftTrack* inputs() const { return inputs_.get(); }
  const DriftTrack& answers() const { return answers_; }
  const DriftTrack& labels() const { return labels_; }
  std::vector<DriftTrack*> tracks();
  std::vector<const DriftTrack*> tracks() const;

  /// By name of the track; those not known or not of this build are passed over.
  void RestoreReference(const std::string& track, std::string_view bytes, SteadyTime now);
  void RestoreEvidence(const std::string& track, std::string_view bytes, SteadyTime now);
  void UseForInputs(std::shared_ptr<const Reference> reference, SteadyTime now);

  /// Values that the reference has, and of which no request has had one since there is something to
  /// compare: columns of a table that mean nothing, or another name.
  std::vector<std::string> NeverSeen() const;
  /// Values that requests have, and the reference has not.
  std::vector<std::string> NotCompared() const;
  /// The reference is of values by their places, and requests name them now: the same places may mean others. So it is of one that
  /// was collected before names came, as by a release that did not keep them.
  bool GoesByPlaces() const;
  /// Requests with more values than are compared.
  uint64_t wider_requests() const { return wider_requests_; }

  bool worth_keeping() const;

  /// Why inputs are not compared; empty: they are.
  std::string inputs_problem;
  bool told = false;  ///< of NeverSeen, NotCompared and GoesByPlaces, in the log
  /// Of a track what was last handed to be written.
  struct Written {
    int64_t taken_ms = -1;  ///< of the reference
    uint64_t changes = 0;   ///< of the evidence
  };
  std::map<std::string, Written> written;

 private:
  DriftTrack* track(DriftTrack::Of of);
  const DriftTrack* track(DriftTrack::Of of) const;
  void BeginInputs(const Reference& reference);
  void FoldInputs(const PredictionEvent& event, WallTime wall, SteadyTime now, SteadyTime at);
  void BeginInputs(size_t width);
  void SeeWidth(size_t width);
  std::vector<std::string> ValueNames(size_t width) const;
  std::span<const float> WithoutUnmet(std::span<const float> values);
  static uint64_t StrideOf(size_t width);

  const DriftOptions options_;
  const CollectOptions collect_;
  const size_t wide_input_;
  const std::shared_ptr<const FeatureNames> names_;
  const DriftTrack::Admit admit_;
  bool wide_ = false;
  uint64_t requests_ = 0;  ///< with inputs
  size_t widest_ = 0;      ///< of these
  size_t wide_width_ = 0;  ///< of the first wide one
  uint64_t wider_requests_ = 0;
  // Of wide inputs with names.
  std::vector<uint8_t> met_;  ///< by place: a request has had a value
  std::vector<float> filled_;
  std::unique_ptr<DriftTrack> inputs_;
  DriftTrack answers_;
  DriftTrack labels_;
};

std::string_view TrackName(DriftTrack::Of of);  ///< "inputs", "answers", "labels"
AlarmKind KindOf(DriftTrack::Of of);

/// The drift of all versions, and the one budget they share. As many as WatchedVersions has, with
/// kMaxStreams detectors in all; a further one takes the place of the version that has been quiet for the
/// longest, or, while all are busy, is counted and not watched.
/// Externally synchronised (the monitor's state lock).
class DriftBook {
 public:
  static constexpr size_t kMaxVersions = WatchedVersions<VersionDrift>::kMaxVersions;
  static constexpr size_t kMaxStreams = 2048;
  using Key = VersionKey;

  /// Without `names` values are named by their places.
  DriftBook(AlarmBudget budget, size_t wide_input, FeatureNameBook* names = nullptr)
      : budget_(budget), wide_input_(wide_input), names_(names) {}

  /// A reference from a file, for all versions of a model.
  void UseFile(const std::string& model, std::shared_ptr<const Reference> reference) {
    files_[model] = std::move(reference);
    problems_.erase(model);
  }
  /// It cannot be read: inputs of the model are not compared until UseFile and TakeAnew.
  void RefuseFile(const std::string& model, std::string reason) {
    files_.erase(model);
    problems_[model] = std::move(reason);
  }
  const std::map<std::string, std::string>& file_problems() const { return problems_; }
  void Restore(const std::vector<DriftRow>& rows,
               const std::map<std::string, MonitorConfig>& configs, SteadyTime now);
  /// Null when there is no room, or its model is not to be watched.
  std::shared_ptr<VersionDrift> Find(const Key& key, const MonitorConfig& config, SteadyTime now);
  /// Takes the references of a model's versions, or of one, anew from where they come from: the file,
  /// the stable version, or the requests from here on. Returns the versions.
  std::vector<int64_t> TakeAnew(const std::string& model, std::optional<int64_t> version,
                                const MonitorConfig& config, SteadyTime now);
  /// No longer asked: its alarms end, its reference stays for its return.
  void Forget(const Key& key);
  void DropForgotten(SteadyTime before) { versions_.DropForgotten(before); }

  /// References taken since the last call; with `evidence`, all evidence that has changed too.
  void Collect(bool evidence, SteadyTime now, std::vector<DriftRow>& rows);

  /// Decides, fires, and says how all are.
  std::vector<Finding> Look(SteadyTime now);
  Result<std::string> Json(const std::string& model, int64_t version, SteadyTime now) const;
  std::vector<int64_t> Versions(const std::string& model) const { return versions_.Numbers(model); }

  enum class Metric {
    kDistance,
    kNoise,
    kEvidence,
    kReferenceRows,
    kReferenceReady,
    kNotGuaranteed,
    kWiderRequests
  };
  std::vector<MetricSample> Samples(Metric metric, SteadyTime now) const;
  /// Versions that found no room, or lost theirs, and references that have no detectors.
  uint64_t refused() const { return refused_; }
  uint64_t alarms() const { return alarms_; }  ///< decided since the start
  double level() const { return level_; }      ///< of AlarmDecision, at the last look
  BudgetShares Shares() const;                 ///< of all that are active

 private:
  /// The model's versions before it, the oldest first.
  std::vector<std::shared_ptr<VersionDrift>> OlderThan(const Key& key) const;
  size_t StreamCount() const;
  bool Admit(size_t more, SteadyTime now);
  void Refuse(const char* what, bool room);

  const AlarmBudget budget_;
  const size_t wide_input_;
  FeatureNameBook* const names_;
  WatchedVersions<VersionDrift> versions_;
  std::map<std::string, std::shared_ptr<const Reference>> files_;
  std::map<std::string, std::string> problems_;  ///< why there is no file, by model
  uint64_t refused_ = 0;
  bool told_ = false;  ///< of a refusal, in the log
  uint64_t alarms_ = 0;
  uint64_t looks_at_last_ = 0;
  double level_ = 0;
};

}  // namespace leadsman
