#include "net/body_share.h"

#include <gtest/gtest.h>

namespace leadsman::net {
namespace {

constexpr size_t kPiece = 64 << 10;

TEST(BodyShareTest, ConnectionsShareItAndGiveItBack) {
  auto budget = std::make_shared<ByteBudget>(3 * kPiece);
  {
    BodyShare one(budget), other(budget);
    EXPECT_TRUE(one.Hold(kPiece));
    EXPECT_EQ(budget->held(), 0u) << "the first piece of each is free";
    EXPECT_TRUE(one.Hold(kPiece + 1));
    EXPECT_TRUE(one.Hold(2 * kPiece));
    EXPECT_EQ(budget->held(), kPiece);
    EXPECT_TRUE(other.Hold(3 * kPiece));
    EXPECT_EQ(budget->held(), 3 * kPiece);
    EXPECT_FALSE(one.Hold(3 * kPiece));
    EXPECT_EQ(budget->held(), 3 * kPiece) << "what it held before is still counted";
    EXPECT_TRUE(other.Hold(kPiece));
    EXPECT_TRUE(one.Hold(3 * kPiece));
    EXPECT_EQ(budget->held(), 2 * kPiece);
  }
  EXPECT_EQ(budget->held(), 0u);
  EXPECT_TRUE(BodyShare(nullptr).Hold(size_t{1} << 60));
}

}  // namespace
}  // namespace leadsman::net
