#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "intake/few_bytes.h"

namespace leadsman::intake {

/// "12.3456": a few digits, which logs are full of. Eight bytes are looked at in one step, without a branch for each digit, and
/// without reading a byte behind `end`.
struct ShortDecimal {
  uint32_t digits = 0;    ///< without the point: 123456
  uint32_t fraction = 0;  ///< how many of them stand behind the point
  uint32_t size =
      0;  ///< of the text, at most 8; 0: no digit stands there, or none behind the point

  /// What stands at `at`. A text that goes on with digits behind the eighth byte is cut off there: ask what follows.
  static ShortDecimal At(const char* at, const char* end);
};

/// Powers of ten that a float holds exactly.
inline constexpr float kExactTens[] = {1e0F, 1e1F, 1e2F, 1e3F, 1e4F, 1e5F, 1e6F, 1e7F};

namespace short_decimal_internal {

inline constexpr uint64_t kHighBits = 0x8080808080808080;
inline constexpr uint64_t kZeros = 0x3030303030303030;  // "00000000"

/// The number that eight digits make, as values and not as text, the first one in the lowest byte.
inline uint32_t Join(uint64_t digits) {
  const uint64_t pairs = (digits * 10 + (digits >> 8)) & 0x00FF00FF00FF00FF;
  const uint64_t fours = (pairs * 100 + (pairs >> 16)) & 0x0000FFFF0000FFFF;
  return static_cast<uint32_t>(fours * 10'000 + (fours >> 32));
}

}  // namespace short_decimal_internal

inline ShortDecimal ShortDecimal::At(const char* at, const char* end) {
  using namespace short_decimal_internal;
  static_assert(std::endian::native == std::endian::little);
  const auto room = static_cast<size_t>(end - at);
  uint64_t text = 0;
  if (room >= 8) {
    std::memcpy(&text, at, 8);
  } else {
    text = LoadFew(at, room);
  }
  uint64_t values = text ^ kZeros;  // of a digit 0 to 9
  uint64_t others = (((values & ~kHighBits) + 0x7676767676767676) | values) & kHighBits;
  auto first_other = [&] { return static_cast<uint32_t>(std::countr_zero(others)) / 8; };  // or 8
  ShortDecimal found;
  uint32_t count = first_other();
  if (count == 0) return found;
  uint32_t size = count;
  uint32_t fraction = 0;
  if (count < 8 && static_cast<char>(text >> count * 8) == '.') {
    others &= others - 1;
    size = first_other();
    fraction = size - count - 1;
    if (fraction == 0) return found;
    const uint64_t before = (uint64_t{1} << count * 8) - 1;
    values = (values & before) | ((values >> 8) & ~before);
    count = size - 1;
  }
  found.digits = Join(values << (8 - count) * 8);
  found.fraction = fraction;
  found.size = size;
  return found;
}

/// The whole of `text` as a number of at most eight digits.
inline std::optional<uint32_t> ShortWhole(std::string_view text) {
  if (text.size() > 8) return std::nullopt;
  const ShortDecimal found = ShortDecimal::At(text.data(), text.data() + text.size());
  if (found.size != text.size() || found.fraction > 0 || text.empty()) return std::nullopt;
  return found.digits;
}

/// As TakeFloat, of a number of more than eight bytes.
const char* TakeLongFloat(const char* at, const char* end, float& value);

/// Behind a plain decimal of up to fifteen digits at `at`, with a minus or without; null when something else or a longer one
/// stands there. `value` is what std::from_chars makes of the same text.
inline const char* TakeFloat(const char* at, const char* end, float& value) {
  const bool negative = at != end && *at == '-';
  const char* const digits = at + negative;
  const ShortDecimal found = ShortDecimal::At(digits, end);
  if (found.size == 0) return nullptr;
  const char* const stop = digits + found.size;
  if (found.size == 8 && stop != end && (*stop == '.' || (*stop >= '0' && *stop <= '9')))
    return TakeLongFloat(at, end, value);
  // With a point there are at most seven digits, which a float holds; without, the conversion is the only step that rounds.
  // Either way it is one rounding, of the exact value.
  value = static_cast<float>(static_cast<int32_t>(found.digits));
  if (found.fraction > 0) value /= kExactTens[found.fraction];
  if (negative) value = -value;
  return stop;
}

}  // namespace leadsman::intake
