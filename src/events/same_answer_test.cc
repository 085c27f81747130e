#include "events/same_answer.h"

#include <gtest/gtest.h>

namespace leadsman {
namespace {

TEST(SameAnswerTest, ComparesNumbersAsNumbersAndLongOnesExactly) {
  EXPECT_TRUE(SameAnswer("7", "7.0"));
  EXPECT_TRUE(SameAnswer("cat", "cat"));
  EXPECT_FALSE(SameAnswer("cat", "dog"));
  EXPECT_FALSE(SameAnswer("9007199254740992", "9007199254740993"));
}

}  // namespace
}  // namespace leadsman
