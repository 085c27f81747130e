#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "events/prediction_event.h"
#include "events/segment_text.h"
#include "intake/log_record.h"

namespace leadsman::intake {

/// The segments of records, as the sink tells their models' requests apart: what a record says of a segmentation by its name, else
/// the feature that the segmentation is of. Confined to one thread.
class RecordSegments {
 public:
  explicit RecordSegments(const Sink& sink) : sink_(sink) {}

  /// One for each of the model's segmentations, kNoSegment where the record says none; empty when it has none. Valid until the next
  /// call. Only few models are asked for: they stay known.
  std::span<const std::string_view> Of(std::string_view model, const LogRecord& record);
  /// Whether the last record named a segmentation that its model has not.
  bool met_unknown() const { return met_unknown_; }

 private:
  struct Rule {
    std::string name;
    std::string input;
    size_t index = 0;
    SegmentCuts cuts;
  };
  using Rules = std::vector<Rule>;

  const Rules& RulesOf(std::string_view model);
  static std::string_view Read(const Rule& rule, const LogRecord& record, SegmentText& text);

  const Sink& sink_;
  std::map<std::string, Rules, std::less<>> models_;
  const std::pair<const std::string, Rules>* last_ = nullptr;
  bool met_unknown_ = false;
  std::array<std::string_view, PredictionEvent::kMaxSegmentations> values_;
  std::array<SegmentText, PredictionEvent::kMaxSegmentations> text_;
};

}  // namespace leadsman::intake
