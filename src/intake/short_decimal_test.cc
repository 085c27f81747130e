#include "intake/short_decimal.h"

#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "base/strings.h"

namespace leadsman::intake {
namespace {

/// In memory of its own size, so that a byte beside it that is read is found by the sanitizers.
std::string TakenFrom(std::string_view text) {
  const std::vector<char> alone(text.begin(), text.end());
  float value = 0;
  const char* const begin = alone.data();
  const char* const stop = TakeFloat(begin, begin + alone.size(), value);
  if (stop == nullptr) return "-";
  char shortest[64];
  const char* const end = std::to_chars(shortest, shortest + sizeof(shortest), value).ptr;
  return StrCat(std::string_view(shortest, static_cast<size_t>(end - shortest)), " ", stop - begin);
}

TEST(ShortDecimalTest, TakesPlainDecimalsAndLeavesTheRest) {
  EXPECT_EQ(TakenFrom("7"), "7 1");
  EXPECT_EQ(TakenFrom("-7.25,3"), "-7.25 5");
  EXPECT_EQ(TakenFrom("0.5"), "0.5 3");
  EXPECT_EQ(TakenFrom("12345678"), "12345678 8");
  EXPECT_EQ(TakenFrom("12345678,9"), "12345678 8");
  EXPECT_EQ(TakenFrom("1234.567]"), "1234.567 8");
  EXPECT_EQ(TakenFrom("0.30000001192"), "0.3 13");
  EXPECT_EQ(TakenFrom("123456789012345 "), "1.2345679e+14 15");
  EXPECT_EQ(TakenFrom("007"), "7 3");
  EXPECT_EQ(TakenFrom("1e5"), "1 1");  // whoever asks sees that the number goes on
  EXPECT_EQ(TakenFrom("1.2.3"), "1.2 3");
  for (std::string_view text : {"", "-", "--1", ".5", "1.", "1.,", "-.5", "+1", "nan", "x", " 1",
                                "1234567890123456", "0.1234567890123456", "1234567.", "\0001"})
    EXPECT_EQ(TakenFrom(text), "-") << text;
}

TEST(ShortDecimalTest, IsWhatFromCharsSays) {
  std::mt19937 random(5);
  size_t taken = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text = random() % 4 == 0 ? "-" : "";
    const size_t whole = 1 + random() % 9, fraction = random() % 9;
    for (size_t d = 0; d < whole; ++d) text += static_cast<char>('0' + random() % 10);
    if (fraction > 0) text += '.';
    for (size_t d = 0; d < fraction; ++d) text += static_cast<char>('0' + random() % 10);
    float expected = 0, value = 0;
    std::from_chars(text.data(), text.data() + text.size(), expected);
    const char* const stop = TakeFloat(text.data(), text.data() + text.size(), value);
    if (stop == nullptr) continue;
    ++taken;
    ASSERT_EQ(stop, text.data() + text.size()) << text;
    ASSERT_EQ(std::bit_cast<uint32_t>(value), std::bit_cast<uint32_t>(expected)) << text;
  }
  EXPECT_GT(taken, 150'000U);
}

TEST(ShortDecimalTest, HalfwayBetweenTwoFloatsIsRoundedOnce) {
  // 2^24 + 1 and its neighbours: in the middle of two floats, and so little beside it that a double does not show it.
  for (std::string_view text : {"16777217", "16777217.0", "16777217.000001", "16777216.999999",
                                "33554434.0000001", "0.50000002980232", "0.50000002980233"}) {
    float expected = 0, value = 0;
    std::from_chars(text.data(), text.data() + text.size(), expected);
    if (TakeFloat(text.data(), text.data() + text.size(), value) != nullptr) {
      EXPECT_EQ(std::bit_cast<uint32_t>(value), std::bit_cast<uint32_t>(expected)) << text;
    }
  }
}

TEST(ShortDecimalTest, WholeNumbersOfUpToEightDigits) {
  EXPECT_EQ(ShortWhole("0"), 0U);
  EXPECT_EQ(ShortWhole("200"), 200U);
  EXPECT_EQ(ShortWhole("99999999"), 99'999'999U);
  for (std::string_view text : {"", "-1", "1.5", "12a", "123456789", "1 "})
    EXPECT_EQ(ShortWhole(text), std::nullopt) << text;
}

}  // namespace
}  // namespace leadsman::intake
