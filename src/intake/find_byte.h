#pragma once

#include <cstddef>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace leadsman::intake {

/// The first `byte` in [at, end), or null. Fields of logs are short: a call of memchr costs more than the search.
inline const char* FindByte(const char* at, const char* end, char byte) {
#ifdef __SSE2__
  const __m128i wanted = _mm_set1_epi8(byte);
  for (; end - at >= 16; at += 16) {
    __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    auto hits = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(block, wanted)));
    if (hits != 0) return at + __builtin_ctz(hits);
  }
#endif
  for (; at != end; ++at)
    if (*at == byte) return at;
  return nullptr;
}

}  // namespace leadsman::intake
