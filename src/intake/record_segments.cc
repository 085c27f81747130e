#include "intake/record_segments.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace leadsman::intake {
namespace {

/// Nothing: the record does not say it, or a text where a number is asked for.
std::optional<float> FeatureOf(std::string_view name, size_t index, const LogRecord& record) {
  if (!record.feature_names.empty()) {
    auto found = std::find(record.feature_names.begin(), record.feature_names.end(), name);
    index = static_cast<size_t>(found - record.feature_names.begin());
  }
  if (index >= record.features.size() || std::isnan(record.features[index])) return std::nullopt;
  return record.features[index];
}

}  // namespace

const RecordSegments::Rules& RecordSegments::RulesOf(std::string_view model) {
  if (last_ != nullptr && last_->first == model) return last_->second;
  auto found = models_.find(model);
  if (found == models_.end()) {
    Rules rules;
    for (const SegmentRule& rule : sink_.SegmentsOf(model))
      rules.push_back({rule.name, rule.input, rule.index, SegmentCuts(rule.cuts)});
    found = models_.emplace(model, std::move(rules)).first;
  }
  last_ = &*found;
  return found->second;
}

std::string_view RecordSegments::Read(const Rule& rule, const LogRecord& record,
                                      SegmentText& text) {
  auto named = std::find(record.segment_names.begin(), record.segment_names.end(), rule.name);
  if (named != record.segment_names.end()) {
    const auto at = static_cast<size_t>(named - record.segment_names.begin());
    if (!record.segments[at].empty()) return rule.cuts.OfText(record.segments[at], text);
  }
  if (rule.input.empty()) return kNoSegment;
  const std::optional<float> value = FeatureOf(rule.input, rule.index, record);
  return value ? rule.cuts.Of(*value, text) : kNoSegment;
}

std::span<const std::string_view> RecordSegments::Of(std::string_view model,
                                                     const LogRecord& record) {
  const Rules& rules = RulesOf(model);
  met_unknown_ = std::any_of(
      record.segment_names.begin(), record.segment_names.end(), [&](std::string_view name) {
        return std::none_of(rules.begin(), rules.end(),
                            [&](const Rule& rule) { return rule.name == name; });
      });
  const size_t count = std::min(rules.size(), values_.size());
  for (size_t i = 0; i < count; ++i) values_[i] = Read(rules[i], record, text_[i]);
  return {values_.data(), count};
}

}  // namespace leadsman::intake
