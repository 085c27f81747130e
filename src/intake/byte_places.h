#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace leadsman::intake {

/// Where some bytes stand in a short text: looked for once, in whole words, where a search for each field's end would stop and
/// begin anew at each. Of one text; not copied.
class BytePlaces {
 public:
  static constexpr size_t kMaxText = 1024;
  static constexpr size_t kMaxBytes = 4;

  /// At most so long a text, and so many bytes.
  BytePlaces(std::string_view text, std::string_view bytes)
      : words_((text.size() + kWordBits - 1) / kWordBits) {
    const size_t whole = text.size() / kWordBits;
    for (size_t word = 0; word < whole; ++word)
      for (size_t i = 0; i < bytes.size(); ++i)
        places_[i][word] = PlacesIn(text.data() + word * kWordBits, bytes[i]);
    if (whole == words_) return;
    // What stands behind the text must not be read: its last word is looked at with what is before.
    const size_t rest = text.size() % kWordBits;
    for (size_t i = 0; i < bytes.size(); ++i)
      places_[i][whole] = whole > 0 ? PlacesIn(text.data() + text.size() - kWordBits, bytes[i]) >>
                                          (kWordBits - rest)
                                    : PlacesInShort(text, bytes[i]);
  }
  BytePlaces(const BytePlaces&) = delete;
  BytePlaces& operator=(const BytePlaces&) = delete;

  /// The first place of bytes[which] from `from` on, or npos.
  size_t Find(size_t which, size_t from) const {
    size_t word = from / kWordBits;
    if (word >= words_) return std::string_view::npos;
    uint64_t places = places_[which][word] & (~uint64_t{0} << (from % kWordBits));
    while (places == 0) {
      if (++word == words_) return std::string_view::npos;
      places = places_[which][word];
    }
    return word * kWordBits + static_cast<size_t>(std::countr_zero(places));
  }

 private:
  static constexpr size_t kWordBits = 64;

  static uint64_t PlacesInShort(std::string_view text, char byte) {
    uint64_t places = 0;
    for (size_t i = 0; i < text.size(); ++i) places |= uint64_t{text[i] == byte} << i;
    return places;
  }
  /// In a whole word.
  static uint64_t PlacesIn(const char* text, char byte) {
#ifdef __SSE2__
    const __m128i wanted = _mm_set1_epi8(byte);
    auto quarter = [&](size_t at) {
      const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + at));
      const auto hits = static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(block, wanted)));
      return uint64_t{hits} << at;
    };
    return quarter(0) | quarter(16) | quarter(32) | quarter(48);
#else
    return PlacesInShort({text, kWordBits}, byte);
#endif
  }

  const size_t words_;
  std::array<std::array<uint64_t, kMaxText / kWordBits>, kMaxBytes> places_;  ///< bits
};

}  // namespace leadsman::intake
