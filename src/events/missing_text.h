#pragma once

#include <algorithm>
#include <iterator>
#include <string_view>

namespace leadsman {

/// Whether a text stands for "no value", as pandas, R, Python and databases write one.
inline bool IsMissingText(std::string_view text) {
  static constexpr std::string_view kMissing[] = {"",     "NA",  "NaN",  "nan",  "NAN", "N/A",
                                                  "<NA>", "NaT", "null", "NULL", "None"};
  return text.size() <= 4 &&
         std::find(std::begin(kMissing), std::end(kMissing), text) != std::end(kMissing);
}

}  // namespace leadsman
