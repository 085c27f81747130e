#pragma once

#include <array>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "events/prediction_event.h"
#include "events/segment_rule.h"
#include "events/segment_text.h"
#include "tensor/tensor.h"

namespace leadsman {

/// How each model's requests are told apart, and which headers that needs. Immutable; safe from any
/// thread.
class SegmentReader {
 public:
  struct Rule {
    size_t header =
        0;  ///< of headers(), when `input` is empty; beyond them: a request says neither
    std::string input;
    size_t index = 0;
    SegmentCuts cuts;
  };

  explicit SegmentReader(const std::map<std::string, std::vector<SegmentRule>>& models);

  /// Those that any model is segmented by.
  const std::vector<std::string>& headers() const { return headers_; }
  /// Keeps their values with a call, at its beginning; `value` gives that of a name. Nothing is looked
  /// for when no model is segmented by one.
  template <typename Value>
  void TakeHeaders(Value value, std::vector<std::string>& values) const {
    if (headers_.empty()) return;
    values.resize(headers_.size());
    for (size_t i = 0; i < headers_.size(); ++i) values[i].assign(value(headers_[i]));
  }
  bool empty() const { return models_.empty(); }
  /// Empty: the model is not segmented.
  std::span<const Rule> RulesOf(std::string_view model) const;

 private:
  std::vector<std::string> headers_;
  std::map<std::string, std::vector<Rule>, std::less<>> models_;
};

/// The segments of one request, for its event. "(none)" where there is no such header or value. Holds
/// its own text: at most 64 bytes of a value, without control characters. For the stack.
class Segments {
 public:
  /// `inputs` are empty when the request was not run.
  void Extract(std::span<const SegmentReader::Rule> rules, std::span<const std::string> headers,
               std::span<const TensorView> inputs);
  std::span<const std::string_view> values() const { return {values_.data(), count_}; }

 private:
  std::string_view OfInput(const SegmentReader::Rule& rule, std::span<const TensorView> inputs,
                           SegmentText& text);

  size_t count_ = 0;
  std::array<std::string_view, PredictionEvent::kMaxSegmentations> values_;
  std::array<SegmentText, PredictionEvent::kMaxSegmentations> text_;
};

}  // namespace leadsman
