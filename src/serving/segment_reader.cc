#include "serving/segment_reader.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <type_traits>

#include "base/strings.h"

namespace leadsman {
namespace {

std::string NumberText(double number) {
  std::array<char, 32> text;
  char* end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  return {text.data(), end};
}

std::vector<std::string> BucketNames(const std::vector<double>& cuts) {
  std::vector<std::string> names;
  if (cuts.empty()) return names;
  names.push_back(StrCat("< ", NumberText(cuts.front())));
  for (size_t i = 1; i < cuts.size(); ++i) {
    names.push_back(StrCat(NumberText(cuts[i - 1]), " to ", NumberText(cuts[i])));
  }
  names.push_back(StrCat(">= ", NumberText(cuts.back())));
  return names;
}

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

using Text = std::array<char, Segments::kMaxBytes>;

/// Short enough, and without what would break a table or a stored list.
std::string_view Kept(std::string_view value, Text& text) {
  value = CutUtf8(Trim(value), text.size());
  if (value.empty()) return Segments::kNone;
  std::transform(value.begin(), value.end(), text.begin(), [](char c) {
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    return control ? '?' : c;
  });
  return {text.data(), value.size()};
}

template <typename Number>
std::string_view OfNumber(const SegmentReader::Rule& rule, Number number, Text& text) {
  if constexpr (std::is_floating_point_v<Number>) {
    if (std::isnan(number)) return "NaN";
  }
  if (!rule.cuts.empty()) {
    const auto value = static_cast<double>(number);
    auto above = std::upper_bound(rule.cuts.begin(), rule.cuts.end(), value);
    return rule.names[static_cast<size_t>(above - rule.cuts.begin())];
  }
  char* end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  return {text.data(), static_cast<size_t>(end - text.data())};
}

}  // namespace

SegmentReader::SegmentReader(const std::map<std::string, std::vector<SegmentRule>>& models) {
  for (const auto& [model, rules] : models) {
    if (rules.empty()) continue;
    std::vector<Rule>& of = models_[model];
    for (const SegmentRule& rule : rules) {
      Rule read{0, rule.input, rule.index, rule.cuts, BucketNames(rule.cuts)};
      if (rule.input.empty()) {
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
                                   std::span<const TensorView> inputs,
                                   std::array<char, kMaxBytes>& text) {
  auto input = std::find_if(inputs.begin(), inputs.end(),
                            [&](const TensorView& view) { return view.name == rule.input; });
  // The first row's values come first.
  if (input == inputs.end() || rule.index >= static_cast<size_t>(input->element_count))
    return kNone;
  const size_t at = rule.index;
  switch (input->type) {
    case DataType::kBool:
      return input->as<uint8_t>()[at] != 0 ? "true" : "false";
    case DataType::kUint8:
      return OfNumber(rule, input->as<uint8_t>()[at], text);
    case DataType::kUint16:
      return OfNumber(rule, input->as<uint16_t>()[at], text);
    case DataType::kUint32:
      return OfNumber(rule, input->as<uint32_t>()[at], text);
    case DataType::kUint64:
      return OfNumber(rule, input->as<uint64_t>()[at], text);
    case DataType::kInt8:
      return OfNumber(rule, input->as<int8_t>()[at], text);
    case DataType::kInt16:
      return OfNumber(rule, input->as<int16_t>()[at], text);
    case DataType::kInt32:
      return OfNumber(rule, input->as<int32_t>()[at], text);
    case DataType::kInt64:
      return OfNumber(rule, input->as<int64_t>()[at], text);
    case DataType::kFp32:
      return OfNumber(rule, input->as<float>()[at], text);
    case DataType::kFp64:
      return OfNumber(rule, input->as<double>()[at], text);
    case DataType::kBytes:
      return Kept(input->as<std::string_view>()[at], text);
    default:
      return kNone;
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
      values_[i] = rule.header < headers.size() ? Kept(headers[rule.header], text_[i]) : kNone;
    }
  }
}

}  // namespace leadsman
