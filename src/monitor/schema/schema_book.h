#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "events/feature_names.h"
#include "events/prediction_event.h"
#include "monitor/config.h"
#include "monitor/database.h"
#include "monitor/schema/row_check.h"
#include "monitor/schema/schema_builder.h"
#include "monitor/watched_versions.h"
#include "stats/registry.h"

namespace leadsman {

/// One version's schema: made of its first requests, or given; then later ones are held against it. Externally synchronised.
///
///   collecting → frozen; frozen → collecting (Relearn); unreadable: its file is, and nothing is held against it
class VersionSchema : public WatchedVersion {
 public:
  /// What is missing now and then is judged by its share of so many rows.
  static constexpr uint64_t kBlockRows = 500;

  /// Without `names` values go by their places.
  explicit VersionSchema(const SchemaConfig& config,
                         std::shared_ptr<const FeatureNames> names = nullptr)
      : config_(config),
        names_(std::move(names)),
        builder_(std::make_unique<SchemaBuilder>(config.margin)) {}

  /// Requests with inputs of numbers alone are of interest; of inputs with many values some are passed over, so that it is 16
  /// values a request at most on average.
  void Fold(const PredictionEvent& event, WallTime wall, SteadyTime now);
  void Use(std::shared_ptr<const DataSchema> schema);
  /// Drops what it has; learns from the rows from here on.
  void Relearn();
  void Refuse(std::string problem);

  /// Why no row is looked at; empty: they are.
  const std::string& problem() const { return problem_; }
  /// Null while collecting.
  const RowCheck* check() const { return check_ ? &*check_ : nullptr; }
  uint64_t collected() const { return builder_ ? builder_->rows() : 0; }
  uint64_t wanted() const { return wanted_; }
  /// The share of rows that may break it without an alarm: what is accepted, and what to expect of unchanged rows.
  double accepted_share() const;

  bool worth_keeping() const { return check_.has_value(); }

  bool written = false;
  bool dropped = false;  ///< what was written is to be deleted

 private:
  void Collect(const PredictionEvent& event, WallTime wall);
  void LearnNames();

  const SchemaConfig config_;
  const std::shared_ptr<const FeatureNames> names_;
  std::vector<std::string> known_names_;    ///< what LearnNames has read
  uint64_t requests_ = 0;                   ///< with inputs
  uint64_t wanted_ = 0;                     ///< rows; known with the first one
  std::unique_ptr<SchemaBuilder> builder_;  ///< while collecting
  std::optional<RowCheck> check_;
  std::string problem_;
};

/// What a version's rows did to its schema since the process started: sums that only grow.
struct SchemaCounts {
  std::string model;
  int64_t version = 0;
  uint64_t rows = 0, violating = 0;
  double accepted_share = 0;
  bool given = false;  ///< a file says what is right, not what came first
  std::vector<RowCheck::Violation> violations;
};

/// The schemas of all versions, as many as WatchedVersions has; a further one, while all are busy, is counted and not checked.
/// Externally synchronised (the monitor's state lock).
class SchemaBook {
 public:
  static constexpr size_t kMaxVersions = WatchedVersions<VersionSchema>::kMaxVersions;
  /// Features of a schema that metrics name, the first ones; the rest is (others).
  static constexpr size_t kMaxNamed = 64;
  using Key = VersionKey;

  /// Without `names` values go by their places.
  explicit SchemaBook(FeatureNameBook* names = nullptr) : names_(names) {}

  /// For all versions of a model.
  void UseFile(const std::string& model, std::shared_ptr<const DataSchema> schema) {
    files_[model] = std::move(schema);
    problems_.erase(model);
  }
  /// It cannot be read: rows of the model are held against nothing until UseFile and Relearn.
  void RefuseFile(const std::string& model, std::string reason) {
    files_.erase(model);
    problems_[model] = std::move(reason);
  }
  const std::map<std::string, std::string>& file_problems() const { return problems_; }
  /// Drops the schemas of a model's versions, or of one: they are those of the file, or learnt from the rows from here on. Returns
  /// the versions.
  std::vector<int64_t> Relearn(const std::string& model, std::optional<int64_t> version);
  /// What Collect gave, of models whose schema is still made of first requests.
  void Restore(const std::vector<DriftRow>& rows,
               const std::map<std::string, MonitorConfig>& configs, SteadyTime now);
  /// Null when there is no room, or its model is not to be checked.
  std::shared_ptr<VersionSchema> Find(const Key& key, const MonitorConfig& config, SteadyTime now);
  /// No longer asked: its alarms end, its schema stays for its return.
  void Forget(const Key& key) { versions_.Forget(key); }
  void DropForgotten(SteadyTime before) { versions_.DropForgotten(before); }

  /// Schemas that are complete since the last call, to be kept; of those that are to be kept no longer no bytes.
  void Collect(std::vector<DriftRow>& rows);

  std::vector<SchemaCounts> Counts() const;
  Result<std::string> Json(const std::string& model, int64_t version) const;
  std::vector<int64_t> Versions(const std::string& model) const { return versions_.Numbers(model); }

  enum class Metric { kViolations, kRows, kReady };
  std::vector<MetricSample> Samples(Metric metric) const;
  uint64_t refused() const { return refused_; }  ///< versions that found no room, or lost theirs

 private:
  FeatureNameBook* const names_;
  WatchedVersions<VersionSchema> versions_;
  std::map<std::string, std::shared_ptr<const DataSchema>> files_;
  std::map<std::string, std::string> problems_;  ///< why there is no file, by model
  uint64_t refused_ = 0;
};

}  // namespace leadsman
