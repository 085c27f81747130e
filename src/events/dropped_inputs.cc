#include "events/dropped_inputs.h"

#include "base/strings.h"

namespace leadsman {

std::string InputOfPlace(size_t place) { return StrCat("[", place, "]"); }

DroppedInputs::DroppedInputs(std::span<const std::string> inputs)
    : inputs_(inputs.begin(), inputs.end()) {
  for (const std::string& input : inputs) {
    if (input.size() < 3 || input.front() != '[' || input.back() != ']') continue;
    const auto place = ParseInt64(std::string_view(input).substr(1, input.size() - 2));
    if (place && *place >= 0) places_.insert(static_cast<size_t>(*place));
  }
}

}  // namespace leadsman
