#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "math/quality.h"
#include "monitor/config.h"
#include "monitor/count_ring.h"
#include "monitor/finding.h"
#include "monitor/kept_counts.h"
#include "monitor/quality/version_quality.h"
#include "monitor/watched_time.h"

namespace leadsman {

/// What labels have told of one version so far, by requests: sums that only grow.
struct QualityEvidence {
  int64_t version = 0;
  std::vector<VersionQuality::ClassQuality> classes;
  RegressionErrors errors;
};

/// Whether the labels of the last 24 hours say that a measure misses its objective: the whole interval
/// does. Recall, precision and F1 of a class have the exact one of Clopper and Pearson (F1 through the
/// share of right ones among all that are or were predicted to be of the class); the mean absolute
/// error has one of the normal approximation. Counts requests, by their first row, never weighted,
/// from the first look at a version on, those of before a restart too. Confined to the thread that looks.
class QualityWatch final : public Watch, public Kept {
 public:
  static constexpr double kLevel = 0.001;
  static constexpr std::chrono::hours kWindow{24};
  /// The approximation is none with fewer.
  static constexpr uint64_t kLeastErrors = 30;
  /// The normal distribution exceeds so many deviations with a chance of kLevel.
  static constexpr double kDeviations = 3.0902;

  using Source = std::function<std::vector<QualityEvidence>(const std::string& model)>;
  QualityWatch(Source source, const WatchedTime& watched,
               std::map<std::string, std::vector<QualityObjective>> objectives)
      : source_(std::move(source)), watched_(watched), objectives_(std::move(objectives)) {}
  std::vector<Finding> Look(WallTime wall, SteadyTime now) override;
  /// Of how many requests the measure is a share, and how many of them count against it; not of the mean absolute error.
  static ObjectiveCounts SharesOf(const QualityObjective& objective,
                                  const QualityEvidence& evidence);
  /// The measure where so large a share is counted for it: itself, or F1 = 2 right / (predicted + labelled).
  static double MeasureOf(QualityObjective::Measure measure, double share);
  static std::string NameOf(const QualityObjective& objective);  ///< "recall of fraud"

  std::string_view name() const override { return AlarmKindName(AlarmKind::kQuality); }
  void Keep(SteadyTime now, std::vector<KeptCounts>& out) const override;
  bool Restore(const KeptCounts& kept, SteadyTime then, SteadyTime now) override;

 private:
  struct ErrorSums {
    double count = 0, absolute = 0, square = 0;
  };
  /// The past of one objective of one model, all versions together.
  struct Past {
    CountRing shares{std::chrono::minutes(10), 144};
    std::deque<std::pair<SteadyTime, ErrorSums>> errors;  ///< slots of ten minutes, oldest first
    std::map<int64_t, ObjectiveCounts> shares_before;     ///< by version, at the last look
    std::map<int64_t, ErrorSums> errors_before;
    uint64_t errors_added = 0;  ///< how often
  };
  static void WritePast(const Past& past, SteadyTime now, ByteWriter& to);
  static Past ReadPast(ByteReader& from, SteadyTime then, SteadyTime now);
  static void Count(const QualityObjective& objective, const std::vector<QualityEvidence>& evidence,
                    SteadyTime now, Past& past);
  Finding Judge(const std::string& model, const QualityObjective& objective, const Past& past,
                SteadyTime now) const;
  void JudgeShare(const QualityObjective& objective, const Past& past, SteadyTime now,
                  Finding& finding) const;
  void JudgeError(const QualityObjective& objective, const Past& past, SteadyTime now,
                  Finding& finding) const;
  bool LittleWatched(SteadyTime now) const { return watched_.Within(now, kWindow) < kWindow / 2; }

  const Source source_;
  const WatchedTime& watched_;
  const std::map<std::string, std::vector<QualityObjective>> objectives_;
  std::map<std::pair<std::string, size_t>, Past> past_;  ///< by model and place of the objective
};

}  // namespace leadsman
