#include "lifecycle/memory_budget.h"

#include <gtest/gtest.h>

namespace leadsman {
namespace {

constexpr int64_t kMiB = 1 << 20;

TEST(MemoryBudgetTest, WithoutALimitThereIsAlwaysRoom) {
  MemoryBudget budget(0, [] { return int64_t{1} << 50; });
  EXPECT_TRUE(budget.Reserve("m", 1, int64_t{1} << 50).ok());
}

TEST(MemoryBudgetTest, RefusesWhatDoesNotFitAndSaysHowMuchIsMissing) {
  MemoryBudget budget(100 * kMiB, [] { return 60 * kMiB; });
  EXPECT_TRUE(budget.Reserve("m", 1, 20 * kMiB).ok());  // about 30 of 40
  auto refused = budget.Reserve("m", 1, 30 * kMiB);
  EXPECT_EQ(refused.status().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(refused.status().message().starts_with("memory: needs about 45 MiB, free 40 MiB of "))
      << refused.status();
}

TEST(MemoryBudgetTest, LoadsUnderWayCountUntilTheyAreOver) {
  MemoryBudget budget(100 * kMiB, [] { return int64_t{0}; });
  {
    auto first = budget.Reserve("a", 1, 40 * kMiB);
    ASSERT_TRUE(first.ok());
    EXPECT_FALSE(budget.Reserve("b", 1, 40 * kMiB).ok());
  }
  EXPECT_TRUE(budget.Reserve("b", 1, 40 * kMiB).ok());
}

TEST(MemoryBudgetTest, LearnsFromWhatWasMeasured) {
  MemoryBudget budget(100 * kMiB, [] { return int64_t{0}; });
  {
    auto room = budget.Reserve("m", 1, 10 * kMiB);
    ASSERT_TRUE(room.ok());
    budget.Measured(*room, "m", 1, 10 * kMiB, 50 * kMiB);
  }
  EXPECT_TRUE(budget.Reserve("m", 1, 10 * kMiB).ok());
  EXPECT_TRUE(budget.Reserve("m", 2, 20 * kMiB).ok());  // five times its files, as version 1
  EXPECT_FALSE(budget.Reserve("m", 2, 21 * kMiB).ok());
  {
    auto room = budget.Reserve("m", 1, 10 * kMiB);
    budget.Measured(*room, "m", 1, 10 * kMiB, 0);  // it fitted into what was free
  }
  EXPECT_FALSE(budget.Reserve("m", 2, 21 * kMiB).ok());
}

TEST(MemoryBudgetTest, ALoadBesideAnotherIsNoMeasurement) {
  MemoryBudget budget(1000 * kMiB, [] { return int64_t{0}; });
  {
    auto before = budget.Reserve("m", 1, 10 * kMiB);
    auto after = budget.Reserve("n", 1, 10 * kMiB);
    budget.Measured(*before, "m", 1, 10 * kMiB, 900 * kMiB);
    budget.Measured(*after, "n", 1, 10 * kMiB, 900 * kMiB);
  }
  auto next = budget.Reserve("m", 2, 600 * kMiB);  // as guessed: 900
  EXPECT_TRUE(next.ok());
  EXPECT_FALSE(budget.Reserve("n", 2, 67 * kMiB).ok());
}

TEST(MemoryBudgetTest, KnowsWhoWasAloneWithoutALimitToo) {
  MemoryBudget budget(0, [] { return int64_t{0}; });
  {
    auto alone = budget.Reserve("m", 1, 1000 * kMiB);
    ASSERT_TRUE(alone.ok());
    EXPECT_TRUE(budget.WasAlone(*alone));
  }
  {
    auto before = budget.Reserve("m", 1, kMiB);
    { auto after = budget.Reserve("n", 1, kMiB); }
    EXPECT_FALSE(budget.WasAlone(*before)) << "though the other has ended";
  }
  {
    auto unload = budget.BesideLoads();
    auto load = budget.Reserve("m", 1, kMiB);
    EXPECT_FALSE(budget.WasAlone(*load));
  }
  {
    auto load = budget.Reserve("m", 1, kMiB);
    { auto unload = budget.BesideLoads(); }
    EXPECT_FALSE(budget.WasAlone(*load));
  }
}

}  // namespace
}  // namespace leadsman
