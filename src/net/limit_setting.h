#pragma once

#include <string>
#include <string_view>

#include "base/strings.h"

// Internal to this room.

namespace leadsman::net {

/// " (server.limits.max_body)", for the refusals of a server whose limits are set in `section`; nothing where they are set nowhere.
inline std::string LimitSetting(std::string_view section, std::string_view name) {
  return section.empty() ? "" : StrCat(" (", section, ".", name, ")");
}

}  // namespace leadsman::net
