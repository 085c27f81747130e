#include "intake/recent_ids.h"

#include <gtest/gtest.h>

#include "base/testing/fake_clock.h"

namespace leadsman::intake {
namespace {

using namespace std::chrono_literals;

TEST(RecentIdsTest, AnIdIsOfItsModelAndVersion) {
  FakeClock clock;
  RecentIds ids({});
  const SteadyTime now = clock.SteadyNow();
  EXPECT_FALSE(ids.Contains(RecentIds::KeyOf({"a", "1", "r"}), now));
  ids.Add(RecentIds::KeyOf({"a", "1", "r"}), now);
  EXPECT_TRUE(ids.Contains(RecentIds::KeyOf({"a", "1", "r"}), now));
  EXPECT_FALSE(ids.Contains(RecentIds::KeyOf({"a", "2", "r"}), now));
  EXPECT_FALSE(ids.Contains(RecentIds::KeyOf({"b", "1", "r"}), now));
  EXPECT_FALSE(ids.Contains(RecentIds::KeyOf({"a", "", "1r"}), now));
}

TEST(RecentIdsTest, ForgetsTheOldestBeyondItsBounds) {
  FakeClock clock;
  RecentIds ids({.max = 2, .age = 1min});
  ids.Add(1, clock.SteadyNow());
  ids.Add(1, clock.SteadyNow());
  ids.Add(2, clock.SteadyNow());
  EXPECT_EQ(ids.size(), 2u);
  EXPECT_TRUE(ids.Contains(1, clock.SteadyNow()));
  clock.Advance(30s);
  ids.Add(3, clock.SteadyNow());
  EXPECT_FALSE(ids.Contains(1, clock.SteadyNow())) << "there is room for two";
  clock.Advance(30s);
  EXPECT_FALSE(ids.Contains(2, clock.SteadyNow())) << "a minute has passed";
  EXPECT_TRUE(ids.Contains(3, clock.SteadyNow()));
  clock.Advance(30s);
  EXPECT_FALSE(ids.Contains(3, clock.SteadyNow()));
  EXPECT_EQ(ids.size(), 0u);
}

}  // namespace
}  // namespace leadsman::intake
