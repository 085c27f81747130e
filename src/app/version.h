#pragma once

namespace leadsman {

inline constexpr const char* kLeadsmanVersion = "0.1.0";

}  // namespace leadsman
