#pragma once

#include <cstddef>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "intake/few_bytes.h"

namespace leadsman::intake {

/// The first `byte` in [at, end), or null. Fields of logs are short: a call of memchr costs more than the search, and so does a
/// branch for each byte of one.
inline const char* FindByte(const char* at, const char* end, char byte) {
#ifdef __SSE2__
  const __m128i wanted = _mm_set1_epi8(byte);
  auto hits_in = [&](__m128i block) {
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(block, wanted)));
  };
  auto load = [](const char* from) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  };
  auto load_half = [](const char* from) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  };
  const auto size = static_cast<size_t>(end - at);
  if (size >= 16) {
    for (; end - at >= 16; at += 16)
      if (const unsigned hits = hits_in(load(at)); hits != 0) return at + __builtin_ctz(hits);
    // What is left, with what has been looked at before it.
    const unsigned hits = hits_in(load(end - 16)) & (~0U << (16 - (end - at)));
    return hits != 0 ? end - 16 + __builtin_ctz(hits) : nullptr;
  }
  if (size >= 8) {  // from both ends: where they overlap both say the same
    const unsigned hits = hits_in(_mm_unpacklo_epi64(load_half(at), load_half(end - 8)));
    if (hits == 0) return nullptr;
    const int place = __builtin_ctz(hits);
    return place < 8 ? at + place : end - 16 + place;
  }
  const __m128i few = _mm_cvtsi64_si128(static_cast<int64_t>(LoadFew(at, size)));
  const unsigned hits = hits_in(few) & ~(~0U << size);
  return hits != 0 ? at + __builtin_ctz(hits) : nullptr;
#else
  for (; at != end; ++at)
    if (*at == byte) return at;
  return nullptr;
#endif
}

}  // namespace leadsman::intake
