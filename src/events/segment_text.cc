#include "events/segment_text.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "events/segment_rule.h"

namespace leadsman {
namespace {

std::string NumberText(double number) {
  SegmentText text;
  char* end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  return {text.data(), end};
}

}  // namespace

bool IsSegmentationName(std::string_view name) {
  return !name.empty() && name.size() <= 40 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '-';
  });
}

SegmentCuts::SegmentCuts(std::vector<double> cuts) : cuts_(std::move(cuts)) {
  if (cuts_.empty()) return;
  names_.push_back(StrCat("< ", NumberText(cuts_.front())));
  for (size_t i = 1; i < cuts_.size(); ++i)
    names_.push_back(StrCat(NumberText(cuts_[i - 1]), " to ", NumberText(cuts_[i])));
  names_.push_back(StrCat(">= ", NumberText(cuts_.back())));
}

std::string_view SegmentCuts::Between(double number) const {
  auto above = std::upper_bound(cuts_.begin(), cuts_.end(), number);
  return names_[static_cast<size_t>(above - cuts_.begin())];
}

std::string_view SegmentCuts::OfText(std::string_view value, SegmentText& text) const {
  if (cuts_.empty()) return KeptSegment(value, text);
  value = Trim(value);
  double number = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  const bool whole = error == std::errc() && end == value.data() + value.size();
  return whole && !std::isnan(number) ? Between(number) : kNoSegment;
}

std::string_view KeptSegment(std::string_view value, SegmentText& text) {
  value = CutUtf8(Trim(value), text.size());
  if (value.empty()) return kNoSegment;
  std::transform(value.begin(), value.end(), text.begin(), [](char c) {
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    return control ? '?' : c;
  });
  return {text.data(), value.size()};
}

}  // namespace leadsman
