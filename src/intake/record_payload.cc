#include "intake/record_payload.h"

#include <algorithm>

#include "events/missing_text.h"

namespace leadsman::intake {

std::map<std::string, std::vector<std::string>> RecordPayload::features() const {
  std::map<std::string, std::vector<std::string>> features;
  MutexLock lock(mutex_);
  for (const auto& [model, names] : names_) features.emplace(model, names->names());
  return features;
}

FeaturePlacer& RecordPayload::PlacerOf(std::string_view model) {
  if (const uint64_t epoch = sink_.names_epoch(); epoch != names_epoch_) {
    names_epoch_ = epoch;
    last_placer_ = nullptr;
    placers_.clear();
    MutexLock lock(mutex_);
    names_.clear();
  }
  if (last_placer_ != nullptr && last_placer_->first == model) return last_placer_->second;
  auto found = placers_.find(model);
  if (found == placers_.end()) {
    auto names = sink_.NamesOf(model);
    if (names == nullptr) names = std::make_shared<FeatureNames>();
    {
      MutexLock lock(mutex_);
      names_.emplace(model, names);
    }
    found = placers_.emplace(model, FeaturePlacer(std::move(names))).first;
  }
  last_placer_ = &*found;
  return found->second;
}

void RecordPayload::TakeFeatures(const LogRecord& record, PredictionEvent& event) {
  if (record.features.empty()) return;
  FeaturePlacer* placer = record.feature_names.empty() ? nullptr : &PlacerOf(event.model);
  const size_t width = std::max(record.features.size(), placer != nullptr ? placer->width() : 0);
  const uint32_t stride = sink_.FeatureStride(width);
  if (stride == 0 || wide_++ % stride != 0) return;
  event.feature_weight *= static_cast<float>(stride);
  event.features = placer == nullptr
                       ? record.features
                       : placer->Place(record.feature_names, record.features, record.names_key);
}

void RecordPayload::TakeScores(const LogRecord& record, PredictionEvent& event) {
  if (record.score) event.score = *record.score;
  event.score_of = record.score_of;
  event.row_scores = record.row_scores;
  // One score of an answer of one row, as a log has it.
  if (event.row_scores.empty() && event.score_of != ScoreOf::kNothing) {
    score_ = event.score;
    event.row_scores = {&score_, 1};
  }
  if (event.row_scores.size() == event.predicted.size() && event.score_of != ScoreOf::kNothing) {
    event.answer = AnswerKind::kClass;
    if (!record.row_scores.empty()) event.class_scores = record.class_scores;
    return;
  }
  event.score_of = ScoreOf::kNothing;
  event.row_scores = {};
}

void RecordPayload::Fill(const LogRecord& record, PredictionEvent& event) {
  // A request that failed has no answer, whatever its line holds: a default, or that of an earlier try.
  if (!event.outcome_known || event.outcome == StatusCode::kOk) {
    if (!record.predictions.empty()) {
      event.predicted = record.predictions;
    } else if (!record.predicted.empty()) {
      event.predicted = {&record.predicted, 1};
    }
    TakeScores(record, event);
    if (!IsMissingText(record.label) && !event.predicted.empty()) event.labels = {&record.label, 1};
  }
  event.segments = segments_.Of(event.model, record);
  TakeFeatures(record, event);
}

}  // namespace leadsman::intake
