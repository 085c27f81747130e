#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>

#include "base/rng.h"

namespace leadsman {

/// 64 well-mixed bits of a value, the same in every process and release: sketches of different
/// machines are merged by them. Not keyed: who may choose the values can make them collide, and so
/// make a sketch count too few. Thread-safe.
inline uint64_t SketchHash(uint64_t value) { return Rng::Mix(value + 0x9e3779b97f4a7c15ull); }

/// Equal numbers have one hash: 0 and -0 are equal, and every NaN is taken for the same.
inline uint64_t SketchHash(double value) {
  if (value == 0) value = 0;
  if (value != value) value = std::numeric_limits<double>::quiet_NaN();
  return SketchHash(std::bit_cast<uint64_t>(value));
}

inline uint64_t SketchHash(std::string_view text) {
  uint64_t hash = SketchHash(static_cast<uint64_t>(text.size()));
  for (size_t at = 0; at < text.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + at, text.size() - at < 8 ? text.size() - at : 8);
    hash = std::rotl(hash ^ Rng::Mix(word), 27) * 0x9fb21c651e98df25ull + word;
  }
  return Rng::Mix(hash);
}

}  // namespace leadsman
