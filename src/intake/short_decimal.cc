#include "intake/short_decimal.h"

#include <array>

namespace leadsman::intake {
namespace {

constexpr size_t kMostDigits = 15;  // below 2^53, and 10^15 is exact
constexpr std::array<double, kMostDigits + 1> kTens = {
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

}  // namespace

const char* TakeLongFloat(const char* at, const char* end, float& value) {
  const bool negative = at != end && *at == '-';
  if (negative) ++at;
  uint64_t digits = 0;
  size_t count = 0;
  auto take = [&] {
    const char* const begin = at;
    for (; at != end && *at >= '0' && *at <= '9' && count <= kMostDigits; ++at, ++count)
      digits = digits * 10 + static_cast<uint64_t>(*at - '0');
    return static_cast<size_t>(at - begin);
  };
  if (take() == 0) return nullptr;
  size_t fraction = 0;
  if (at != end && *at == '.') {
    ++at;
    fraction = take();
    if (fraction == 0) return nullptr;
  }
  if (count > kMostDigits) return nullptr;
  // One rounding to a double. The second one, to a float, is that of the exact value unless the first has ended in the middle of
  // two floats: then nobody knows any more on which side it was.
  const double exact = static_cast<double>(digits) / kTens[fraction];
  constexpr uint64_t kBelowFloat = (uint64_t{1} << 29) - 1;
  if ((std::bit_cast<uint64_t>(exact) & kBelowFloat) == uint64_t{1} << 28) return nullptr;
  value = static_cast<float>(negative ? -exact : exact);
  return at;
}

}  // namespace leadsman::intake
