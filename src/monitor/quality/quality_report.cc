#include "monitor/quality/quality_report.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "monitor/accuracy_watch.h"

namespace leadsman {
namespace {

using Json = nlohmann::ordered_json;

/// Of each side, for intervals to look at. They hold at one look, not at every look.
constexpr double kLevel = 0.025;

Json Share(double part, double whole) { return whole > 0 ? Json(part / whole) : Json(nullptr); }

uint64_t Whole(const Json& json, const char* key) { return json.at(key).get<uint64_t>(); }

void AddInterval(const std::string& name, uint64_t hits, uint64_t n, Json& to) {
  if (n == 0) return;
  const auto [low, high] = ExactInterval(hits, n, kLevel);
  to[name + "_low"] = low;
  to[name + "_high"] = high;
}

void AddClassIntervals(Json& json) {
  const uint64_t hits = Whole(json, "right_requests");
  const uint64_t actual = Whole(json, "labelled_requests");
  const uint64_t predicted = Whole(json, "predicted_requests");
  AddInterval("precision", hits, predicted, json);
  AddInterval("recall", hits, actual, json);
  // F1 grows with the share of right ones among all that are or were predicted to be of the class.
  if (const uint64_t any = actual + predicted - hits; any > 0) {
    const auto [low, high] = ExactInterval(hits, any, kLevel);
    json["f1_low"] = 2 * low / (1 + low);
    json["f1_high"] = 2 * high / (1 + high);
  }
}

void AddAccuracyInterval(Json& json) {
  const uint64_t labelled = Whole(json, "labelled_requests");
  AddInterval("accuracy", labelled - Whole(json, "wrong_requests"), labelled, json);
}

void AddIntervals(Json& version) {
  if (version.contains("accuracy")) AddAccuracyInterval(version);
  if (version.contains("classes")) {
    for (Json& of : version["classes"]["of"]) AddClassIntervals(of);
  }
  if (version.contains("segments")) {
    for (Json& of : version["segments"]) AddAccuracyInterval(of);
  }
}

Json ClassJson(const VersionQuality::ClassQuality& of) {
  const ConfusionMatrix::ClassFigures& rows = of.rows;
  return {{"class", of.name},
          {"labelled", rows.actual},
          {"predicted", rows.predicted},
          {"right", rows.hits},
          {"precision", Share(rows.hits, rows.predicted)},
          {"recall", Share(rows.hits, rows.actual)},
          {"f1", Share(2 * rows.hits, rows.actual + rows.predicted)},
          {"labelled_requests", of.actual},
          {"predicted_requests", of.predicted},
          {"right_requests", of.hits}};
}

Json ClassesJson(const VersionQuality& quality) {
  Json classes = Json::array(), confusion = Json::array();
  for (const auto& of : quality.Classes()) classes.push_back(ClassJson(of));
  for (const auto& cell : quality.Confusion()) {
    confusion.push_back(
        {{"label", cell.label}, {"predicted", cell.predicted}, {"rows", cell.rows}});
  }
  const ConfusionMatrix::MacroFigures macro = quality.Macro();
  return {{"rows", quality.class_rows()},
          {"macro", {{"precision", macro.precision}, {"recall", macro.recall}, {"f1", macro.f1}}},
          {"of", std::move(classes)},
          {"confusion", std::move(confusion)}};
}

Json CalibrationJson(const ScoreHistogram& scores) {
  Json bins = Json::array();
  const auto calibration = scores.Calibration();
  for (size_t i = 0; i < calibration.size(); ++i) {
    const auto& bin = calibration[i];
    if (bin.count <= 0) continue;
    bins.push_back({{"from", static_cast<double>(i) / ScoreHistogram::kCalibrationBins},
                    {"to", static_cast<double>(i + 1) / ScoreHistogram::kCalibrationBins},
                    {"rows", bin.count},
                    {"mean_score", bin.mean_score},
                    {"share", bin.positive_share}});
  }
  return bins;
}

Json TwoClassJson(const VersionQuality::TwoClassScores& two) {
  Json json = {{"of", "second_class"},
               {"class", two.second_class.empty() ? Json(nullptr) : Json(two.second_class)},
               {"rows", two.scores.positives() + two.scores.negatives()}};
  if (two.scores.positives() > 0 && two.scores.negatives() > 0) {
    const ScoreHistogram::Auc auc = two.scores.AreaUnderCurve();
    json["auc"] = auc.value;
    json["auc_error"] = auc.error;
  }
  json["log_loss"] = two.loss.Mean();
  json["calibration_error"] = two.scores.CalibrationError();
  json["calibration"] = CalibrationJson(two.scores);
  if (two.other_labels > 0) json["other_labels"] = two.other_labels;
  return json;
}

Json BestScoreJson(const ScoreHistogram& scores) {
  return {{"of", "best_class"},
          {"rows", scores.positives() + scores.negatives()},
          {"calibration_error", scores.CalibrationError()},
          {"calibration", CalibrationJson(scores)}};
}

Json ManyClassJson(const ManyClassScores& many) {
  Json json = {{"of", "all_classes"}, {"rows", many.rows()}};
  if (many.left_out() > 0) json["left_out"] = many.left_out();
  const auto areas = many.Areas();
  if (!areas) return json;
  json["auc"] = areas->macro.value;
  json["auc_error"] = areas->macro.error;
  json["weighted_auc"] = areas->weighted.value;
  json["weighted_auc_error"] = areas->weighted.error;
  json["log_loss"] = many.loss().Mean();
  Json classes = Json::array();
  for (const ManyClassScores::ClassArea& of : areas->classes) {
    classes.push_back({{"class", of.name},
                       {"rows", of.rows},
                       {"auc", of.auc.value},
                       {"auc_error", of.auc.error}});
  }
  json["classes"] = std::move(classes);
  return json;
}

Json NumbersJson(const VersionQuality& quality) {
  const RegressionErrors& errors = quality.errors();
  const RegressionErrors& requests = quality.request_errors();
  Json json = {{"rows", errors.count()},
               {"mean_absolute_error", errors.MeanAbsolute()},
               {"root_mean_square_error", errors.RootMeanSquare()},
               {"bias", errors.Bias()}};
  if (requests.count() > 1) {
    json["mean_absolute_error_standard_error"] =
        requests.AbsoluteDeviation() / std::sqrt(requests.count() - 1);
  }
  if (errors.non_finite() > 0) json["not_finite"] = errors.non_finite();
  return json;
}

Json CoverageJson(LabelCoverage& coverage, int64_t now_ms) {
  auto counts = [](const LabelCoverage::Age& age) {
    // A crash may have lost the prediction and kept its label.
    const double labelled = std::min(age.labelled, age.predictions);
    return Json{{"predictions", age.predictions},
                {"labelled", labelled},
                {"share", Share(labelled, age.predictions)}};
  };
  Json ages = Json::array();
  for (const LabelCoverage::Age& age : coverage.ByAge(now_ms)) {
    Json one = {{"up_to", age.up_to}};
    one.update(counts(age));
    ages.push_back(std::move(one));
  }
  Json json = counts(coverage.All());
  json["by_age"] = std::move(ages);
  return json;
}

Json SegmentsJson(const SegmentCounts& counts) {
  Json segments = Json::array();
  for (const auto& [rule, by_segment] : counts.counts()) {
    for (const auto& [segment, of] : by_segment) {
      Json requests;
      for (size_t i = 0; i < kObservedOutcomes; ++i) {
        requests[std::string(ObservedOutcomeName(static_cast<ObservedOutcome>(i)))] =
            of.requests[i];
      }
      Json one = {{"by", rule},
                  {"segment", segment},
                  {"requests", std::move(requests)},
                  {"labelled", of.labelled},
                  {"wrong", of.wrong},
                  {"accuracy", Share(of.labelled - of.wrong, of.labelled)},
                  {"labelled_requests", of.labelled_requests},
                  {"wrong_requests", of.wrong_requests}};
      segments.push_back(std::move(one));
    }
  }
  return segments;
}

}  // namespace

std::function<std::string()> QualityReport(int64_t version, const QualityTotals& totals,
                                           QualityDetail& detail, int64_t now_ms) {
  const VersionQuality& quality = detail.quality();
  const bool numbers = quality.errors().count() + quality.errors().non_finite() > 0;
  Json json = {{"version", version},
               {"labelled", totals.labelled},
               {"wrong", totals.wrong},
               {"labelled_requests", totals.labelled_requests},
               {"wrong_requests", totals.wrong_requests},
               {"drawn_labelled_requests", totals.drawn_labelled},
               {"drawn_wrong_requests", totals.drawn_wrong}};
  // Of numbers, "wrong" only says that they were not met to the last digit.
  if (!numbers && totals.labelled > 0) json["accuracy"] = 1 - totals.wrong / totals.labelled;
  if (quality.class_rows() > 0) json["classes"] = ClassesJson(quality);
  Json scores = Json::array();
  if (auto two = quality.TwoClasses(); two && two->loss.count() > 0) {
    scores.push_back(TwoClassJson(*two));
  }
  if (quality.best_scores() != nullptr) scores.push_back(BestScoreJson(*quality.best_scores()));
  if (quality.many_classes() != nullptr) scores.push_back(ManyClassJson(*quality.many_classes()));
  if (!scores.empty()) json["scores"] = std::move(scores);
  if (numbers) json["numbers"] = NumbersJson(quality);
  json["coverage"] = CoverageJson(detail.coverage(), now_ms);
  Json segments = SegmentsJson(detail.segments());
  if (!segments.empty()) json["segments"] = std::move(segments);
  return [json = std::move(json)]() mutable {
    AddIntervals(json);
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
  };
}

}  // namespace leadsman
