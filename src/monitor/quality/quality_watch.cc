#include "monitor/quality/quality_watch.h"

#include <algorithm>
#include <cmath>

#include "base/strings.h"
#include "monitor/accuracy_watch.h"
#include "monitor/words.h"

namespace leadsman {
namespace {

using Measure = QualityObjective::Measure;

/// The normal distribution exceeds so many deviations with a chance of QualityWatch::kLevel.
constexpr double kDeviations = 3.0902;
constexpr std::chrono::minutes kSlot{10};

std::string_view NameOf(Measure measure) {
  switch (measure) {
    case Measure::kRecall:
      return "recall";
    case Measure::kPrecision:
      return "precision";
    case Measure::kF1:
      return "f1";
    case Measure::kMeanAbsoluteError:
      break;
  }
  return "mean_absolute_error";
}

/// Of how many requests the measure is a share, and how many of them count against it.
ObjectiveCounts SharesOf(const QualityObjective& objective, const QualityEvidence& evidence) {
  for (const VersionQuality::ClassQuality& of : evidence.classes) {
    if (of.name != objective.of_class) continue;
    uint64_t total = of.actual;
    if (objective.measure == Measure::kPrecision) total = of.predicted;
    if (objective.measure == Measure::kF1) total = of.actual + of.predicted - of.hits;
    return {total, total - of.hits};
  }
  return {};
}

/// F1 = 2 right / (predicted + labelled) grows with the share that is counted for it.
double MeasureOf(Measure measure, double share) {
  return measure == Measure::kF1 ? 2 * share / (1 + share) : share;
}

}  // namespace

void QualityWatch::Count(const QualityObjective& objective,
                         const std::vector<QualityEvidence>& evidence, SteadyTime now, Past& past) {
  ErrorSums more;
  for (const QualityEvidence& of : evidence) {
    const ObjectiveCounts shares = SharesOf(objective, of);
    // A version that is new here may have labels of long ago.
    auto [before, fresh] = past.shares_before.try_emplace(of.version, shares);
    if (shares.total >= before->second.total && shares.bad >= before->second.bad) {
      past.shares.Add(now, {shares.total - before->second.total, shares.bad - before->second.bad});
    }
    before->second = shares;
    const double n = of.errors.count(), root = of.errors.RootMeanSquare();
    const ErrorSums sums{n, of.errors.MeanAbsolute() * n, root * root * n};
    const ErrorSums& sums_before = past.errors_before.try_emplace(of.version, sums).first->second;
    if (sums.count > sums_before.count) {
      more.count += sums.count - sums_before.count;
      more.absolute += sums.absolute - sums_before.absolute;
      more.square += sums.square - sums_before.square;
    }
    past.errors_before[of.version] = sums;
  }
  while (!past.errors.empty() && now - past.errors.front().first > kWindow) past.errors.pop_front();
  if (more.count == 0) return;
  if (past.errors.empty() || now - past.errors.back().first >= kSlot) {
    past.errors.emplace_back(now, ErrorSums());
  }
  ErrorSums& slot = past.errors.back().second;
  slot.count += more.count;
  slot.absolute += more.absolute;
  slot.square += more.square;
}

void QualityWatch::JudgeShare(const QualityObjective& objective, const Past& past, SteadyTime now,
                              Finding& finding) {
  const ObjectiveCounts counts = past.shares.Last(now, kWindow);
  finding.threshold = objective.at_least;
  finding.samples = counts.total;
  if (counts.total == 0) {
    finding.evidence = 1;
    finding.summary = StrCat("no label of the last 24 h says anything of the ", finding.subject.of);
    return;
  }
  const uint64_t good = counts.total - counts.bad;
  const auto [low, high] = ExactInterval(good, counts.total, kLevel);
  const double from = MeasureOf(objective.measure, low), to = MeasureOf(objective.measure, high);
  finding.evidence =
      MeasureOf(objective.measure, static_cast<double>(good) / static_cast<double>(counts.total));
  finding.wrong = to < objective.at_least;
  finding.summary = StrCat(finding.subject.of, " ", PercentText(finding.evidence), " (",
                           PercentText(from), " to ", PercentText(to), ") by ", counts.total,
                           " requests labelled in the last 24 h; at least ",
                           PercentText(objective.at_least), " is asked for");
  finding.details.emplace_back("interval", StrCat(PercentText(from), " to ", PercentText(to)));
}

void QualityWatch::JudgeError(const QualityObjective& objective, const Past& past,
                              Finding& finding) {
  ErrorSums sums;
  for (const auto& [since, more] : past.errors) {
    sums.count += more.count;
    sums.absolute += more.absolute;
    sums.square += more.square;
  }
  finding.threshold = objective.at_most;
  finding.samples = static_cast<uint64_t>(std::llround(sums.count));
  if (finding.samples < 2) {
    finding.summary = "too few labels of the last 24 h to say anything of the mean absolute error";
    return;
  }
  const double mean = sums.absolute / sums.count;
  const double variance = std::max(sums.square / sums.count - mean * mean, 0.0);
  const double margin = kDeviations * std::sqrt(variance / (sums.count - 1));
  finding.evidence = mean;
  finding.wrong = finding.samples >= kLeastErrors && mean - margin > objective.at_most;
  finding.summary = StrCat("mean absolute error ", ShortNumber(mean), " (",
                           ShortNumber(std::max(mean - margin, 0.0)), " to ",
                           ShortNumber(mean + margin), ", approximately) by ", finding.samples,
                           " requests labelled in the last 24 h; at most ",
                           ShortNumber(objective.at_most), " is asked for");
}

Finding QualityWatch::Judge(const std::string& model, const QualityObjective& objective,
                            const Past& past, SteadyTime now) {
  Finding finding;
  finding.subject = {.kind = AlarmKind::kQuality, .model = model, .of = ""};
  finding.subject.of = NameOf(objective.measure);
  if (!objective.of_class.empty()) finding.subject.of += StrCat(" of ", objective.of_class);
  finding.severity = AlarmSeverity::kPage;
  if (objective.measure == Measure::kMeanAbsoluteError) {
    JudgeError(objective, past, finding);
  } else {
    JudgeShare(objective, past, now, finding);
  }
  return finding;
}

std::vector<Finding> QualityWatch::Look(WallTime, SteadyTime now) {
  std::vector<Finding> findings;
  for (const auto& [model, objectives] : objectives_) {
    if (objectives.empty()) continue;
    const std::vector<QualityEvidence> evidence = source_(model);
    for (size_t i = 0; i < objectives.size(); ++i) {
      Past& past = past_[{model, i}];
      Count(objectives[i], evidence, now, past);
      findings.push_back(Judge(model, objectives[i], past, now));
    }
  }
  return findings;
}

}  // namespace leadsman
