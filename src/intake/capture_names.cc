#include "intake/capture_names.h"

#include <algorithm>
#include <string>

#include "base/strings.h"
#include "events/redactor.h"

namespace leadsman::intake {
namespace {

struct CaptureName {
  std::string_view name;
  Field field;
  Unit unit = Unit::kText;
};

/// As pandas, scikit-learn, Evidently, Arize, Fiddler and MLflow users name them.
constexpr CaptureName kCaptureNames[] = {
    {"prediction", Field::kPredicted},
    {"predictions", Field::kPredicted},
    {"predicted", Field::kPredicted},
    {"pred", Field::kPredicted},
    {"preds", Field::kPredicted},
    {"y_pred", Field::kPredicted},
    {"yhat", Field::kPredicted},
    {"y_hat", Field::kPredicted},
    {"predicted_class", Field::kPredicted},
    {"predicted_label", Field::kPredicted},
    {"predicted_value", Field::kPredicted},
    {"prediction_label", Field::kPredicted},
    {"label", Field::kLabel},
    {"labels", Field::kLabel},
    {"target", Field::kLabel},
    {"actual", Field::kLabel},
    {"actuals", Field::kLabel},
    {"actual_label", Field::kLabel},
    {"actual_value", Field::kLabel},
    {"ground_truth", Field::kLabel},
    {"groundtruth", Field::kLabel},
    {"truth", Field::kLabel},
    {"y_true", Field::kLabel},
    {"true_label", Field::kLabel},
    {"true_class", Field::kLabel},
    {"score", Field::kScore},
    {"prediction_score", Field::kScore},
    {"probability", Field::kScore},
    {"prediction_probability", Field::kScore},
    {"predicted_probability", Field::kScore},
    {"confidence", Field::kScore},
    {"proba", Field::kScore},
    {"prob", Field::kScore},
    {"timestamp", Field::kTime},
    {"@timestamp", Field::kTime},
    {"time", Field::kTime},
    {"ts", Field::kTime},
    {"datetime", Field::kTime},
    {"event_time", Field::kTime},
    {"event_timestamp", Field::kTime},
    {"prediction_timestamp", Field::kTime},
    {"prediction_ts", Field::kTime},
    {"created_at", Field::kTime},
    {"request_id", Field::kRequestId},
    {"requestid", Field::kRequestId},
    {"req_id", Field::kRequestId},
    {"prediction_id", Field::kRequestId},
    {"inference_id", Field::kRequestId},
    {"event_id", Field::kRequestId},
    {"correlation_id", Field::kRequestId},
    {"uuid", Field::kRequestId},
    {"id", Field::kRequestId},
    {"model", Field::kModel},
    {"model_name", Field::kModel},
    {"model_id", Field::kModel},
    {"model_version", Field::kVersion},
    {"version", Field::kVersion},
    {"status_code", Field::kStatus},
    {"http_status", Field::kStatus},
    {"latency_ns", Field::kLatency, Unit::kNanos},
    {"latency_us", Field::kLatency, Unit::kMicros},
    {"latency_ms", Field::kLatency, Unit::kMillis},
    {"latency_s", Field::kLatency, Unit::kSeconds},
    {"latency_seconds", Field::kLatency, Unit::kSeconds},
    {"response_time_ms", Field::kLatency, Unit::kMillis},
    {"response_time_seconds", Field::kLatency, Unit::kSeconds},
    {"inference_time_ms", Field::kLatency, Unit::kMillis},
    {"features", Field::kFeatures},
    {"inputs", Field::kFeatures},
    {"input", Field::kFeatures},
};

constexpr std::string_view kDerived[] = {"proba_",      "prob_",  "probability_", "prediction_",
                                         "predicted_",  "pred_",  "score_",       "label_",
                                         "confidence_", "actual_"};

std::string Plain(std::string_view name) {
  std::string plain(name);
  for (char& c : plain) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '-' || c == ' ' || c == '.') c = '_';
  }
  return plain;
}

}  // namespace

std::optional<FieldTarget> FindCaptureName(std::string_view name) {
  if (name.size() > 40) return std::nullopt;
  const std::string plain = Plain(name);
  const auto* found = std::find_if(std::begin(kCaptureNames), std::end(kCaptureNames),
                                   [&](const CaptureName& known) { return known.name == plain; });
  if (found == std::end(kCaptureNames)) return std::nullopt;
  return FieldTarget{found->field, found->unit, 0};
}

bool IsDerivedName(std::string_view name) {
  const std::string plain = Plain(name.substr(0, 40));
  return std::any_of(std::begin(kDerived), std::end(kDerived),
                     [&](std::string_view prefix) { return plain.starts_with(prefix); });
}

std::string SomeNames(const std::vector<std::string>& names) {
  constexpr size_t kTold = 6;
  const size_t told = std::min(names.size(), kTold);
  std::vector<std::string> some(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(told));
  if (names.size() > told) some.push_back(StrCat(names.size() - told, " more"));
  return HumanList(some);
}

std::string SomeFeatures(const std::vector<std::string>& names, const Redactor* redactor) {
  if (redactor == nullptr) return SomeNames(names);
  std::vector<std::string> kept;
  for (const std::string& name : names) {
    if (!redactor->dropped_inputs()->Has(name)) kept.push_back(name);
  }
  const size_t dropped = names.size() - kept.size();
  return StrCat(SomeNames(kept),
                dropped > 0 ? StrCat(" (monitor.redact drops ", dropped, ")") : "");
}

}  // namespace leadsman::intake
