#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace leadsman {

/// One way to tell a model's requests apart: by a header, or by one value of the first row of an
/// input. Immutable once made.
struct SegmentRule {
  std::string name;    ///< "tenant"
  std::string header;  ///< in lower case; empty: by an input
  std::string input;   ///< its name
  size_t index = 0;    ///< which of the row's values
  /// Ascending; a number's segment is what it lies between: "< 18", "18 to 35", ">= 35". Empty: its
  /// segment is the value itself.
  std::vector<double> cuts;
  /// Those that have a segment of their own however late they come.
  std::vector<std::string> values;
};

}  // namespace leadsman
