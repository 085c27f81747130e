#include "serving/segment_reader.h"

#include <algorithm>
#include <cctype>
#include <limits>

namespace leadsman {
namespace {

constexpr size_t kNoHeader = std::numeric_limits<size_t>::max();

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

SegmentReader::SegmentReader(const std::map<std::string, std::vector<SegmentRule>>& models) {
  for (const auto& [model, rules] : models) {
    if (rules.empty()) continue;
    std::vector<Rule>& of = models_[model];
    for (const SegmentRule& rule : rules) {
      Rule read{kNoHeader, rule.input, rule.index, SegmentCuts(rule.cuts)};
      if (rule.input.empty() && !rule.header.empty()) {
        const std::string header = Lower(rule.header);
        auto found = std::find(headers_.begin(), headers_.end(), header);
        read.header = static_cast<size_t>(found - headers_.begin());
        if (found == headers_.end()) headers_.push_back(header);
      }
      of.push_back(std::move(read));
    }
  }
}

std::span<const SegmentReader::Rule> SegmentReader::RulesOf(std::string_view model) const {
  auto found = models_.find(model);
  if (found == models_.end()) return {};
  return found->second;
}

std::string_view Segments::OfInput(const SegmentReader::Rule& rule,
                                   std::span<const TensorView> inputs, SegmentText& text) {
  auto input = std::find_if(inputs.begin(), inputs.end(),
                            [&](const TensorView& view) { return view.name == rule.input; });
  // The first row's values come first.
  if (input == inputs.end() || rule.index >= static_cast<size_t>(input->element_count))
    return kNoSegment;
  const size_t at = rule.index;
  switch (input->type) {
    case DataType::kBool:
      return input->as<uint8_t>()[at] != 0 ? "true" : "false";
    case DataType::kUint8:
      return rule.cuts.Of(input->as<uint8_t>()[at], text);
    case DataType::kUint16:
      return rule.cuts.Of(input->as<uint16_t>()[at], text);
    case DataType::kUint32:
      return rule.cuts.Of(input->as<uint32_t>()[at], text);
    case DataType::kUint64:
      return rule.cuts.Of(input->as<uint64_t>()[at], text);
    case DataType::kInt8:
      return rule.cuts.Of(input->as<int8_t>()[at], text);
    case DataType::kInt16:
      return rule.cuts.Of(input->as<int16_t>()[at], text);
    case DataType::kInt32:
      return rule.cuts.Of(input->as<int32_t>()[at], text);
    case DataType::kInt64:
      return rule.cuts.Of(input->as<int64_t>()[at], text);
    case DataType::kFp32:
      return rule.cuts.Of(input->as<float>()[at], text);
    case DataType::kFp64:
      return rule.cuts.Of(input->as<double>()[at], text);
    case DataType::kBytes:
      return KeptSegment(input->as<std::string_view>()[at], text);
    default:
      return kNoSegment;
  }
}

void Segments::Extract(std::span<const SegmentReader::Rule> rules,
                       std::span<const std::string> headers, std::span<const TensorView> inputs) {
  count_ = std::min(rules.size(), values_.size());
  for (size_t i = 0; i < count_; ++i) {
    const SegmentReader::Rule& rule = rules[i];
    if (!rule.input.empty()) {
      values_[i] = OfInput(rule, inputs, text_[i]);
    } else {
      values_[i] =
          rule.header < headers.size() ? KeptSegment(headers[rule.header], text_[i]) : kNoSegment;
    }
  }
}

}  // namespace leadsman
