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
  budget.Measured("m", 1, 10 * kMiB, 50 * kMiB);
  EXPECT_TRUE(budget.Reserve("m", 1, 10 * kMiB).ok());
  EXPECT_TRUE(budget.Reserve("m", 2, 20 * kMiB).ok());  // five times its files, as version 1
  EXPECT_FALSE(budget.Reserve("m", 2, 21 * kMiB).ok());
  budget.Measured("m", 1, 10 * kMiB, 0);  // it fitted into what was free: no reason to forget
  EXPECT_FALSE(budget.Reserve("m", 2, 21 * kMiB).ok());
}

}  // namespace
}  // namespace leadsman
