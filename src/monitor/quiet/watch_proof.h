#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "events/feature_names.h"
#include "monitor/alarm_book.h"
#include "monitor/config.h"
#include "monitor/drift/request_history.h"
#include "monitor/finding.h"
#include "monitor/quality/quality_watch.h"
#include "monitor/quality/version_quality.h"
#include "monitor/quiet/count_series.h"
#include "monitor/quiet/smallest_change.h"
#include "monitor/request_meter.h"
#include "monitor/schema/schema_book.h"
#include "monitor/version_profile.h"
#include "monitor/watched_time.h"

namespace leadsman {

/// One time that something fired in the past.
struct QuietFiring {
  int64_t unix_ms = 0;
  double seconds = 0;  ///< for how long, `keep_firing_for` with it
  bool ended = false;  ///< before the past did
  AlarmSeverity severity = AlarmSeverity::kTicket;
  std::string summary;
};

/// What a replay says of one alarm of a watch.
struct QuietWatch {
  AlarmSubject subject;
  std::string not_replayed;  ///< why the past cannot tell of it; empty: it was replayed
  uint64_t firings = 0;
  std::vector<QuietFiring> fired;  ///< the first kMostTold
  /// What is usual in the past and what it would have to be: shares of what is counted (errors, slow answers, right answers, the
  /// measure, rows that break the schema), or seconds without a request.
  std::optional<double> smallest, usual, found;
  std::string unit;               ///< of `smallest`: "points", "seconds", or that of an error
  std::string none_because;       ///< why there is no smallest one
  bool by_formula = false;        ///< else it was put into the past
  std::optional<double> longest;  ///< of seconds: at the worst of the moments tried
};

struct WatchReport {
  double days = 0;
  double look_seconds = 0;
  uint64_t alarms = 0;
  std::vector<QuietWatch> watches;
};

/// Replays the past through the watches that count, before they are armed: burn rates, accuracy, quality, traffic, schemas. They are
/// those of a server, with its alarm book, on a clock that the past moves; it begins as a server that starts with the past's first
/// request. Then searches what each would find (smallest_change.h). QuietProof does the same for drift and risk.
///
/// Looks are `interval` apart, and rarer where they would be at more than 300,000 versions in all.
/// Pure: no clock of its own. Confined to one thread.
class WatchProof {
 public:
  static constexpr size_t kMostTold = 10;

  struct Options {
    AlarmBookOptions book;
    std::chrono::milliseconds interval{10'000};
    bool times_known = true;  ///< when the requests came; else they were spread evenly
    bool search = true;       ///< for what would be found; else it is told what fires alone
  };
  /// Without `names` values are named by their places.
  explicit WatchProof(const Options& options, FeatureNameBook* names = nullptr)
      : options_(options), schemas_(names), book_(options.book) {}
  void UseSchema(const std::string& model, std::shared_ptr<const DataSchema> schema) {
    schemas_.UseFile(model, std::move(schema));
  }
  /// Histories are sorted before; of models without a configuration the defaults are taken. Once.
  WatchReport Run(const std::map<VersionKey, RequestHistory>& histories,
                  const std::map<std::string, MonitorConfig>& configs);

 private:
  struct Version {
    Version(const VersionKey& key, const MonitorConfig& config) : profile(key, config.window) {}
    VersionProfile profile;
    VersionQuality quality;
    std::shared_ptr<VersionSchema> schema;
    uint64_t rows = 0, violating = 0;  ///< at the last look
    CountSeries broken;                ///< rows that broke the schema
    double accepted_share = 0;
    bool has_inputs = false;
  };
  struct Model {
    MonitorConfig config;
    CountSeries requests, errors, slow, wrong;
    std::vector<CountSeries> quality;             ///< by objective
    std::vector<ObjectiveCounts> quality_before;  ///< likewise
  };
  struct Told {
    uint64_t firings = 0;
    std::vector<QuietFiring> fired;
    bool open = false;  ///< the last of `fired` goes on
  };

  void AddWatches();
  void Fold(const VersionKey& key, const PredictionEvent& event);
  void Look();
  void Record();
  void Take(const AlarmTransition& transition);
  std::vector<VersionCounts> Counts() const;
  std::vector<QualityEvidence> EvidenceOf(const std::string& model) const;
  Objectives AskedOf(const std::string& model) const;

  void Report(uint32_t looks);
  QuietWatch& Add(AlarmKind kind, const std::string& model, const std::string& why_not);
  ChangeSearch Search(double step_seconds) const;
  static void Say(QuietWatch& watch, const SmallestChange& change, const CountSeries& series,
                  const char* what);
  void AddOff(const std::string& model);
  void ReportBurn(const std::string& name, const Model& model, bool errors);
  void ReportAccuracy(const std::string& name, const Model& model);
  void ReportQuality(const std::string& name, const Model& model);
  void ReportError(const std::string& name, const QualityObjective& objective, QuietWatch& watch);
  void ReportTraffic(const std::string& name, const Model& model);
  void ReportSchema(const VersionKey& key, const Version& version, const Model& model);

  const Options options_;
  std::map<std::string, Model> models_;
  std::map<VersionKey, Version> versions_;
  SchemaBook schemas_;
  LabelReplay labels_;
  AlarmBook book_;
  std::unique_ptr<WatchedTime> watched_;
  std::unique_ptr<RequestMeter> meter_;
  std::vector<std::unique_ptr<Watch>> watches_;
  std::map<AlarmSubject, Told> told_;
  int64_t first_ms_ = 0;
  double look_seconds_ = 0;
  uint32_t look_ = 0;  ///< the next one; the first is at the beginning
  SteadyTime now_{};
  WallTime wall_{};
  WatchReport report_;
};

}  // namespace leadsman
