#include "rollout/freeze.h"

#include <gtest/gtest.h>

namespace leadsman {
namespace {

using std::chrono::minutes;

FreezeWindow Window(std::vector<const char*> days, const char* from, const char* to) {
  FreezeWindow window;
  for (const char* day : days) window.days.push_back(ParseDay(day).value());
  window.from = ParseTimeOfDay(from).value();
  window.to = ParseTimeOfDay(to).value();
  return window;
}

std::string Until(const std::vector<FreezeWindow>& windows, const char* now) {
  const auto until = FrozenUntil(windows, ParseRfc3339(now).value());
  return until ? MinuteName(*until) : "";
}

// 2026-03-06 is a Friday.
TEST(FreezeTest, WindowsAreOfTheWeekInUtc) {
  const std::vector<FreezeWindow> nights{Window({}, "22:00", "06:00")};
  EXPECT_EQ(Until(nights, "2026-03-06T21:59:59.9Z"), "");
  EXPECT_EQ(Until(nights, "2026-03-06T22:00:00Z"), "Sat 2026-03-07 06:00 UTC");
  EXPECT_EQ(Until(nights, "2026-03-07T05:59:59Z"), "Sat 2026-03-07 06:00 UTC");
  EXPECT_EQ(Until(nights, "2026-03-07T06:00:00Z"), "");
  // From Friday afternoon to Monday morning, across the end of the week; windows that touch are one.
  const std::vector<FreezeWindow> weekend{Window({"fri"}, "16:00", "24:00"),
                                          Window({"sat", "sun"}, "00:00", "24:00"),
                                          Window({"mon"}, "00:00", "07:30")};
  EXPECT_EQ(Until(weekend, "2026-03-06T15:59:00Z"), "");
  EXPECT_EQ(Until(weekend, "2026-03-06T16:00:00Z"), "Mon 2026-03-09 07:30 UTC");
  EXPECT_EQ(Until(weekend, "2026-03-08T23:59:00Z"), "Mon 2026-03-09 07:30 UTC");
  EXPECT_EQ(Until(weekend, "2026-03-09T07:30:00Z"), "");
  // A day alone, and one that begins on Saturday night and ends on Sunday.
  EXPECT_EQ(Until({Window({"sat"}, "23:00", "01:00")}, "2026-03-08T00:59:00Z"),
            "Sun 2026-03-08 01:00 UTC");
  EXPECT_EQ(Until({Window({"sat"}, "23:00", "01:00")}, "2026-03-07T00:30:00Z"), "");
  EXPECT_EQ(Until({}, "2026-03-07T00:30:00Z"), "");
}

TEST(FreezeTest, AWeekThatIsFrozenAltogetherLeavesNoTime) {
  EXPECT_TRUE(LeavesTime({Window({}, "00:01", "00:00")}));
  EXPECT_FALSE(LeavesTime({Window({}, "00:00", "24:00")}));
  EXPECT_FALSE(LeavesTime({Window({}, "12:00", "12:00")}));
  EXPECT_EQ(Until({Window({}, "00:00", "24:00")}, "2026-03-06T12:00:00Z"),
            "Fri 2026-03-13 12:00 UTC");
}

TEST(FreezeTest, TimesAndDaysAreReadAsTheyAreWritten) {
  for (const char* time : {"00:00", "09:05", "23:59", "24:00"})
    EXPECT_EQ(TimeOfDay(ParseTimeOfDay(time).value()), time);
  for (const char* wrong : {"", "9:00", "24:01", "12:60", "12-30", "-1:00", "ab:cd", "12:3"})
    EXPECT_FALSE(ParseTimeOfDay(wrong)) << wrong;
  for (const char* day : {"sun", "mon", "tue", "wed", "thu", "fri", "sat"})
    EXPECT_EQ(DayName(ParseDay(day).value()), day);
  EXPECT_FALSE(ParseDay("Monday"));
}

}  // namespace
}  // namespace leadsman
