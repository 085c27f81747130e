#pragma once

#include <string>

#include "base/clock.h"

namespace leadsman::kube {

/// The API's MicroTime: RFC 3339 with six digits behind the point.
inline std::string MicroTime(WallTime time) {
  std::string text = FormatRfc3339(time);  // "…:56.789Z"
  text.pop_back();
  return text += "000Z";
}

}  // namespace leadsman::kube
