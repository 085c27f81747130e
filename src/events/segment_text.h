#pragma once

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace leadsman {

/// Of a request that says nothing of a segmentation.
inline constexpr std::string_view kNoSegment = "(none)";
inline constexpr size_t kMaxSegmentBytes = 64;
/// Room for one segment's text.
using SegmentText = std::array<char, kMaxSegmentBytes>;

/// The segments that a rule's cuts make of numbers: "< 18", "18 to 35", ">= 35". Without cuts each number is a segment of its own.
/// Immutable; safe from any thread.
class SegmentCuts {
 public:
  SegmentCuts() = default;
  explicit SegmentCuts(std::vector<double> cuts);

  /// Valid as long as `text` and this are.
  template <typename Number>
  std::string_view Of(Number number, SegmentText& text) const {
    if constexpr (std::is_floating_point_v<Number>) {
      if (std::isnan(number)) return "NaN";
    }
    if (!cuts_.empty()) return Between(static_cast<double>(number));
    char* end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
    return {text.data(), static_cast<size_t>(end - text.data())};
  }
  /// Of a number that is written down; kNoSegment when it is none. Without cuts the text itself is the segment.
  std::string_view OfText(std::string_view value, SegmentText& text) const;

 private:
  std::string_view Between(double number) const;

  std::vector<double> cuts_;
  std::vector<std::string> names_;  ///< of what lies between them: one more than those
};

/// A text as a segment: short enough, and without what would break a table or a stored list. kNoSegment when it is empty.
std::string_view KeptSegment(std::string_view value, SegmentText& text);

}  // namespace leadsman
