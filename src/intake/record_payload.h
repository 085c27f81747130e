#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "events/prediction_event.h"
#include "intake/feature_placer.h"
#include "intake/log_record.h"
#include "intake/record_segments.h"

namespace leadsman::intake {

/// Puts what a record says of inputs and the answer into an event: features in their places, predictions, scores, the label of a
/// row, segments. Confined to one thread, but for features().
class RecordPayload {
 public:
  explicit RecordPayload(Sink& sink) : sink_(sink), segments_(sink) {}

  /// Needs the event's model and outcome. What it points to then is the record's, or valid until the next call.
  void Fill(const LogRecord& record, PredictionEvent& event);
  /// Whether the last record named a segmentation that its model has not.
  bool met_unknown_segment() const { return segments_.met_unknown(); }
  /// By model the names of features in the order of their places in events; of models whose requests name them. Thread-safe.
  std::map<std::string, std::vector<std::string>> features() const;

 private:
  void TakeFeatures(const LogRecord& record, PredictionEvent& event);
  FeaturePlacer& PlacerOf(std::string_view model);
  void TakeScores(const LogRecord& record, PredictionEvent& event);

  Sink& sink_;
  std::map<std::string, FeaturePlacer, std::less<>> placers_;  ///< by model
  std::pair<const std::string, FeaturePlacer>* last_placer_ = nullptr;
  uint64_t names_epoch_ = 0;  ///< of the sink, when placers_ were made
  RecordSegments segments_;
  float score_ = -1;
  uint64_t wide_ = 0;  ///< requests with features
  mutable Mutex mutex_;
  std::map<std::string, std::shared_ptr<FeatureNames>> names_ GUARDED_BY(mutex_);  ///< of placers_
};

}  // namespace leadsman::intake
