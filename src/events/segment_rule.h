#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace leadsman {

/// One way to tell a model's requests apart: by a header, by one value of the first row of an input, or, of requests that others
/// tell of, by what they say of the segmentation's name. Immutable once made.
struct SegmentRule {
  std::string name;    ///< "tenant"
  std::string header;  ///< in lower case; empty: not by one
  std::string input;   ///< its name; empty: not by one
  size_t index = 0;    ///< which of the row's values
  /// Ascending; a number's segment is what it lies between: "< 18", "18 to 35", ">= 35". Empty: its
  /// segment is the value itself.
  std::vector<double> cuts;
  /// Those that have a segment of their own however late they come.
  std::vector<std::string> values;
};

/// 1 to 40 letters, digits, - and _.
bool IsSegmentationName(std::string_view name);

}  // namespace leadsman
