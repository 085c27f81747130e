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
#include "monitor/quality/version_quality.h"

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
/// from the first look at a version on. Confined to the thread that looks.
class QualityWatch final : public Watch {
 public:
  static constexpr double kLevel = 0.001;
  static constexpr std::chrono::hours kWindow{24};
  /// The approximation is none with fewer.
  static constexpr uint64_t kLeastErrors = 30;

  using Source = std::function<std::vector<QualityEvidence>(const std::string& model)>;
  QualityWatch(Source source, std::map<std::string, std::vector<QualityObjective>> objectives)
      : source_(std::move(source)), objectives_(std::move(objectives)) {}
  std::vector<Finding> Look(WallTime wall, SteadyTime now) override;

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
  };
  static void Count(const QualityObjective& objective, const std::vector<QualityEvidence>& evidence,
                    SteadyTime now, Past& past);
  static Finding Judge(const std::string& model, const QualityObjective& objective,
                       const Past& past, SteadyTime now);
  static void JudgeShare(const QualityObjective& objective, const Past& past, SteadyTime now,
                         Finding& finding);
  static void JudgeError(const QualityObjective& objective, const Past& past, Finding& finding);

  const Source source_;
  const std::map<std::string, std::vector<QualityObjective>> objectives_;
  std::map<std::pair<std::string, size_t>, Past> past_;  ///< by model and place of the objective
};

}  // namespace leadsman
