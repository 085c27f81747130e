#pragma once

#include <cstdint>
#include <string_view>

namespace leadsman {

/// A prediction whose label has come, and counts. Its texts are redacted as those that are kept, and valid during the call.
struct LabelledPrediction {
  std::string_view model;
  int64_t version = 0;
  std::string_view request_id;
  uint32_t row = 0;  ///< which row of the request
  std::string_view label;
  bool wrong = false;  ///< the prediction
};

}  // namespace leadsman
