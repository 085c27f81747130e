#include "intake/find_byte.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace leadsman::intake {
namespace {

TEST(FindByteTest, FindsTheFirstOneInTextsOfAnyLength) {
  uint32_t state = 1;
  for (size_t size = 0; size < 100; ++size) {
    for (int round = 0; round < 50; ++round) {
      std::vector<char> text(size);  // alone in its memory: nothing beside it may be read
      for (char& c : text) {
        state = state * 1664525 + 1013904223;
        c = "abcdefg\0abcdefg "[state >> 28];
      }
      const char* const end = text.data() + size;
      for (char wanted : {' ', '\0', 'x'}) {
        const void* expected = size == 0 ? nullptr : std::memchr(text.data(), wanted, size);
        ASSERT_EQ(FindByte(text.data(), end, wanted), expected) << size;
      }
    }
  }
}

TEST(FewBytesTest, SameTextsAreTheSameAtAnyLength) {
  const std::string text = "abcdefghijklmnopqrstuvwxyz";
  for (size_t size = 0; size <= text.size(); ++size) {
    const std::string same = text.substr(0, size);
    EXPECT_TRUE(SameText(same, text.substr(0, size)));
    EXPECT_FALSE(SameText(same, text.substr(0, size) + "x"));
    for (size_t at = 0; at < size; ++at) {
      std::string other = same;
      other[at] = '!';
      EXPECT_FALSE(SameText(same, other)) << size << " " << at;
    }
  }
}

}  // namespace
}  // namespace leadsman::intake
