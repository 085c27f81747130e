#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace leadsman::intake {

inline constexpr size_t kMaxModelName = 128;

/// What may be a model's name: up to kMaxModelName bytes without control characters. Spaces may stand within.
inline bool IsModelName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxModelName && name.front() != ' ' &&
         name.back() != ' ' && std::all_of(name.begin(), name.end(), [](char c) {
           return static_cast<unsigned char>(c) >= ' ' && c != 0x7f;
         });
}

}  // namespace leadsman::intake
