#include "intake/byte_places.h"

#include <gtest/gtest.h>

#include <string>

namespace leadsman::intake {
namespace {

TEST(BytePlacesTest, FindsWhatASearchFindsInTextsOfAnyLength) {
  constexpr std::string_view kBytes = " \"]";
  uint32_t state = 1;
  for (size_t size = 0; size <= BytePlaces::kMaxText; size += size < 200 ? 1 : 103) {
    std::string text;
    while (text.size() < size) {
      state = state * 1664525 + 1013904223;
      text += "abcd ]\"\x80"[state >> 29];
    }
    const BytePlaces places(text, kBytes);
    for (size_t which = 0; which < kBytes.size(); ++which)
      for (size_t from = 0; from <= size; ++from)
        ASSERT_EQ(places.Find(which, from), text.find(kBytes[which], from)) << size;
  }
}

}  // namespace
}  // namespace leadsman::intake
