#include "monitor/quality/quality_metrics.h"

#include <algorithm>
#include <optional>

namespace leadsman {
namespace {

using Labels = std::vector<std::string>;
using Samples = std::vector<MetricSample>;
using Figures = ConfusionMatrix::ClassFigures;

/// As many as leadsman_monitor_predictions_total has; the rest is pooled.
constexpr size_t kMaxShown = 32;

void Add(const Labels& version, std::initializer_list<std::string> more, double value,
         Samples& samples) {
  MetricSample sample;
  sample.label_values = version;
  sample.label_values.insert(sample.label_values.end(), more.begin(), more.end());
  sample.value = value;
  samples.push_back(std::move(sample));
}

/// Of each class by itself, and of all beyond kMaxShown as if each of their rows were of one class.
template <double (Figures::*Figure)() const, double Figures::*Of>
void ByClass(QualityDetail& detail, int64_t, const Labels& version, Samples& samples) {
  Figures rest;
  const auto classes = detail.quality().Classes();
  for (size_t i = 0; i < classes.size(); ++i) {
    const Figures& rows = classes[i].rows;
    const bool own = i < kMaxShown && classes[i].name != VersionQuality::kOtherClasses;
    if (own && rows.*Of > 0) Add(version, {classes[i].name}, (rows.*Figure)(), samples);
    if (own) continue;
    rest.actual += rows.actual;
    rest.predicted += rows.predicted;
    rest.hits += rows.hits;
  }
  if (rest.*Of > 0) {
    Add(version, {std::string(VersionQuality::kOtherClasses)}, (rest.*Figure)(), samples);
  }
}

template <double ConfusionMatrix::MacroFigures::*Of>
void Macro(QualityDetail& detail, int64_t, const Labels& version, Samples& samples) {
  if (detail.quality().class_rows() > 0) {
    Add(version, {}, detail.quality().Macro().*Of, samples);
  }
}

std::optional<ManyClassScores::Figures> Areas(const QualityDetail& detail) {
  const ManyClassScores* many = detail.quality().many_classes();
  return many != nullptr ? many->Areas() : std::nullopt;
}

void Auc(QualityDetail& detail, int64_t, const Labels& version, Samples& samples) {
  if (auto areas = Areas(detail)) Add(version, {}, areas->macro.value, samples);
  auto two = detail.quality().TwoClasses();
  if (two && two->scores.positives() > 0 && two->scores.negatives() > 0) {
    Add(version, {}, two->scores.AreaUnderCurve().value, samples);
  }
}

void WeightedAuc(QualityDetail& detail, int64_t, const Labels& version, Samples& samples) {
  if (auto areas = Areas(detail)) Add(version, {}, areas->weighted.value, samples);
}

void ClassAuc(QualityDetail& detail, int64_t, const Labels& version, Samples& samples) {
  const auto areas = Areas(detail);
  if (!areas) return;
  for (const auto& of : areas->classes) Add(version, {of.name}, of.auc.value, samples);
}

void Loss(QualityDetail& detail, int64_t, const Labels& version, Samples& samples) {
  if (Areas(detail)) Add(version, {}, detail.quality().many_classes()->loss().Mean(), samples);
  auto two = detail.quality().TwoClasses();
  if (two && two->loss.count() > 0) Add(version, {}, two->loss.Mean(), samples);
}

void Calibration(QualityDetail& detail, int64_t, const Labels& version, Samples& samples) {
  if (auto two = detail.quality().TwoClasses(); two && two->loss.count() > 0) {
    Add(version, {"second_class"}, two->scores.CalibrationError(), samples);
  }
  if (const ScoreHistogram* best = detail.quality().best_scores()) {
    Add(version, {"best_class"}, best->CalibrationError(), samples);
  }
}

template <double (RegressionErrors::*Of)() const>
void Error(QualityDetail& detail, int64_t, const Labels& version, Samples& samples) {
  const RegressionErrors& errors = detail.quality().errors();
  if (errors.count() > 0) Add(version, {}, (errors.*Of)(), samples);
}

void Coverage(QualityDetail& detail, int64_t now_ms, const Labels& version, Samples& samples) {
  for (const LabelCoverage::Age& age : detail.coverage().ByAge(now_ms)) {
    Add(version, {age.up_to}, std::min(age.labelled / age.predictions, 1.0), samples);
  }
}

template <typename Read>
void EachSegment(const QualityDetail& detail, Read read) {
  for (const auto& [rule, segments] : detail.segments().counts()) {
    for (const auto& [segment, counts] : segments) read(rule, segment, counts);
  }
}

void SegmentRequests(QualityDetail& detail, int64_t, const Labels& version, Samples& samples) {
  EachSegment(detail, [&](auto& rule, auto& segment, const SegmentCounts::Counts& counts) {
    for (size_t i = 0; i < kObservedOutcomes; ++i) {
      if (counts.requests[i] == 0) continue;
      Add(version,
          {rule, segment, std::string(ObservedOutcomeName(static_cast<ObservedOutcome>(i)))},
          static_cast<double>(counts.requests[i]), samples);
    }
  });
}

template <double SegmentCounts::Counts::*Of>
void SegmentLabels(QualityDetail& detail, int64_t, const Labels& version, Samples& samples) {
  EachSegment(detail, [&](auto& rule, auto& segment, const SegmentCounts::Counts& counts) {
    if (counts.labelled_requests > 0) Add(version, {rule, segment}, counts.*Of, samples);
  });
}

void SegmentAccuracy(QualityDetail& detail, int64_t, const Labels& version, Samples& samples) {
  EachSegment(detail, [&](auto& rule, auto& segment, const SegmentCounts::Counts& counts) {
    if (counts.labelled > 0)
      Add(version, {rule, segment}, 1 - counts.wrong / counts.labelled, samples);
  });
}

}  // namespace

const std::vector<QualityFamily>& QualityFamilies() {
  using Macros = ConfusionMatrix::MacroFigures;
  static const Labels kVersion = {"model", "version"};
  static const Labels kClass = {"model", "version", "class"};
  static const Labels kSegment = {"model", "version", "by", "segment"};
  static const std::vector<QualityFamily> families = {
      {"leadsman_monitor_precision",
       "Of the labelled rows that were predicted to be of the class, the share that are; the first "
       "32 classes, the rest pooled as (other).",
       MetricType::kGauge, kClass, ByClass<&Figures::Precision, &Figures::predicted>},
      {"leadsman_monitor_recall",
       "Of the rows labelled with the class, the share that were predicted to be; the first 32 "
       "classes, the rest pooled as (other).",
       MetricType::kGauge, kClass, ByClass<&Figures::Recall, &Figures::actual>},
      {"leadsman_monitor_f1",
       "Harmonic mean of the class's precision and recall; the first 32 classes, the rest pooled "
       "as "
       "(other).",
       MetricType::kGauge, kClass, ByClass<&Figures::F1, &Figures::actual>},
      {"leadsman_monitor_macro_precision", "Plain mean of the precision of all classes.",
       MetricType::kGauge, kVersion, Macro<&Macros::precision>},
      {"leadsman_monitor_macro_recall", "Plain mean of the recall of all classes.",
       MetricType::kGauge, kVersion, Macro<&Macros::recall>},
      {"leadsman_monitor_macro_f1", "Plain mean of the F1 of all classes.", MetricType::kGauge,
       kVersion, Macro<&Macros::f1>},
      {"leadsman_monitor_auc",
       "Area under the ROC curve of a model that gives probabilities of two classes; of more, the "
       "plain mean over its classes, each against the rest.",
       MetricType::kGauge, kVersion, Auc},
      {"leadsman_monitor_weighted_auc",
       "Of a model that gives probabilities of more than two classes: the mean of "
       "leadsman_monitor_class_auc, weighted by the classes' labelled rows.",
       MetricType::kGauge, kVersion, WeightedAuc},
      {"leadsman_monitor_class_auc",
       "Area under the ROC curve of one of more than two classes against the rest.",
       MetricType::kGauge, kClass, ClassAuc},
      {"leadsman_monitor_log_loss",
       "Mean of -ln(probability given to the true class), of a model that gives probabilities.",
       MetricType::kGauge, kVersion, Loss},
      {"leadsman_monitor_calibration_error",
       "Expected calibration error in ten bins: of the second of two classes, or of the highest "
       "probability of more.",
       MetricType::kGauge,
       {"model", "version", "of"},
       Calibration},
      {"leadsman_monitor_mean_absolute_error", "Mean of |predicted - label| of numbers.",
       MetricType::kGauge, kVersion, Error<&RegressionErrors::MeanAbsolute>},
      {"leadsman_monitor_root_mean_square_error",
       "Root of the mean of (predicted - label)^2 of numbers.", MetricType::kGauge, kVersion,
       Error<&RegressionErrors::RootMeanSquare>},
      {"leadsman_monitor_bias", "Mean of predicted - label of numbers.", MetricType::kGauge,
       kVersion, Error<&RegressionErrors::Bias>},
      {"leadsman_monitor_label_coverage_ratio",
       "Share of the predictions kept for labels that have got one, by how long ago they were "
       "made, "
       "at most.",
       MetricType::kGauge,
       {"model", "version", "age"},
       Coverage},
      {"leadsman_monitor_segment_requests_total",
       "Requests by segment (monitoring.segments) and outcome; further segments as (other).",
       MetricType::kCounter,
       {"model", "version", "by", "segment", "outcome"},
       SegmentRequests},
      {"leadsman_monitor_segment_labelled_total",
       "Requests by segment whose first row's label has come, weighted when only a share of "
       "predictions is kept.",
       MetricType::kCounter, kSegment, SegmentLabels<&SegmentCounts::Counts::labelled>},
      {"leadsman_monitor_segment_wrong_total", "Of these, those that were predicted otherwise.",
       MetricType::kCounter, kSegment, SegmentLabels<&SegmentCounts::Counts::wrong>},
      {"leadsman_monitor_segment_accuracy",
       "Share of a segment's labelled requests that were predicted right.", MetricType::kGauge,
       kSegment, SegmentAccuracy},
  };
  return families;
}

}  // namespace leadsman
