#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace leadsman {

/// Of an id, in lower case.
template <size_t N>
std::string Hex(const std::array<uint8_t, N>& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * N);
  for (uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace leadsman
