#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace leadsman::intake {

/// The bytes of a text shorter than eight in one word, the first one lowest, NUL behind them; no byte beside the text is read.
inline uint64_t LoadFew(const char* at, size_t size) {
  if (size >= 4) {
    uint32_t head = 0, tail = 0;
    std::memcpy(&head, at, 4);
    std::memcpy(&tail, at + size - 4, 4);
    return head | uint64_t{tail} << (size - 4) * 8;
  }
  if (size == 0) return 0;
  auto byte = [&](size_t i) { return uint64_t{static_cast<unsigned char>(at[i])} << i * 8; };
  return byte(0) | byte(size / 2) | byte(size - 1);
}

/// a == b, of short texts: without a call and a branch for each byte.
inline bool SameText(std::string_view a, std::string_view b) {
  const size_t size = a.size();
  if (size != b.size()) return false;
  if (size < 8) return LoadFew(a.data(), size) == LoadFew(b.data(), size);
  if (size > 16) return a == b;
  auto load = [](const char* at) {
    uint64_t bytes = 0;
    std::memcpy(&bytes, at, 8);
    return bytes;
  };
  return load(a.data()) == load(b.data()) && load(a.data() + size - 8) == load(b.data() + size - 8);
}

}  // namespace leadsman::intake
