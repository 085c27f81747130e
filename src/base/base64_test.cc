#include "base/base64.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace leadsman {
namespace {

TEST(Base64Test, ReadsWhatItWrites) {
  Rng rng(9);
  for (size_t length = 0; length < 50; ++length) {
    std::string bytes, text, back;
    for (size_t i = 0; i < length; ++i) bytes += static_cast<char>(rng());
    AppendBase64(text, bytes);
    EXPECT_EQ(text.size() % 4, 0u);
    ASSERT_TRUE(DecodeBase64(text, back)) << text;
    EXPECT_EQ(back, bytes);
    while (text.ends_with('=')) text.pop_back();
    ASSERT_TRUE(DecodeBase64(text, back));
    EXPECT_EQ(back, bytes);
  }
  std::string out;
  for (std::string_view bad : {"*", "A", "AB=C", "AB C", "====", "AB\n"})
    EXPECT_FALSE(DecodeBase64(bad, out)) << bad;
}

}  // namespace
}  // namespace leadsman
