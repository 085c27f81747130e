#include "intake/log_time.h"

#include <gtest/gtest.h>

namespace leadsman::intake {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(LogTimeTest, ReadsWhatLogsAreWrittenWith) {
  struct Case {
    const char* text;
    int64_t unix_ns;
  };
  const Case kCases[] = {
      {"10/Oct/2000:13:55:36 -0700", 971211336 * kSecond},
      {"10/Oct/2000:13:55:36 +0000", 971186136 * kSecond},
      {"28/Nov/2026 22:11:21", 1795903881 * kSecond},
      {"2016-10-06T00:17:09.669794202Z", 1475713029 * kSecond + 669794202},
      {"2016-10-06T00:17:09.669794202+00:00", 1475713029 * kSecond + 669794202},
      {"2016-10-06T05:47:09+05:30", 1475713029 * kSecond},
      {"2016-10-05t17:17:09.5-07", 1475713029 * kSecond + 500'000'000},
      {"2026-11-28 22:11:21,710", 1795903881 * kSecond + 710'000'000},
      {"2026-11-28 22:11:21 +0000", 1795903881 * kSecond},
      {"2026/11/28 22:11:21", 1795903881 * kSecond},
      {"2024-02-29T00:00:00Z", 1709164800 * kSecond},
      {"2016-12-31T23:59:60Z", 1483228800 * kSecond},  // a leap second
      {"2016-10-06T00:17:09.1234567891234Z", 1475713029 * kSecond + 123456789},
      {"1970-01-01T00:00:00Z", 0},
      {"1795903881", 1795903881 * kSecond},
      {"1795903881.710", 1795903881 * kSecond + 710'000'000},
      {"1795903881710", 1795903881 * kSecond + 710'000'000},
      {"1795903881710123", 1795903881 * kSecond + 710'123'000},
      {"1795903881710123456", 1795903881 * kSecond + 710'123'456},
  };
  for (const Case& c : kCases) {
    TimeParser time;
    EXPECT_EQ(time.Parse(c.text), c.unix_ns) << c.text;
  }
}

TEST(LogTimeTest, SaysNothingOfWhatIsNoTime) {
  for (const char* text : {"",
                           "-",
                           "now",
                           "10/Foo/2000:13:55:36 -0700",
                           "32/Oct/2000:13:55:36 -0700",
                           "10/Oct/2000:25:55:36 -0700",
                           "10/Oct/2000:13:55",
                           "10/Oct/2000:13:55:36 -0700 ",
                           "2023-02-29T00:00:00Z",
                           "2016-10-06T00:17:09ZZ",
                           "2016-10-06",
                           "2016-10-06T00:17:61Z",
                           "1969-12-31T23:59:59Z",
                           "2300-01-01T00:00:00Z",
                           "-5",
                           "1e400",
                           "99999999999999999999",
                           "1795903881.71x",
                           "2016-10-06T00:17:09+99:00",
                           "\x00\xff\xfe 0000000000000000"}) {
    TimeParser time;
    EXPECT_EQ(time.Parse(text), std::nullopt) << text;
  }
}

TEST(LogTimeTest, TheKeptDayIsUsedForItsOwnTextOnly) {
  TimeParser time;
  EXPECT_EQ(time.Parse("2016-10-06T00:17:09.25Z"), 1475713029 * kSecond + 250'000'000);
  EXPECT_EQ(time.Parse("2016-10-06T00:17:09.75+01:00"), 1475709429 * kSecond + 750'000'000);
  EXPECT_EQ(time.Parse("2016-10-06T00:17:10Z"), 1475713030 * kSecond);
  EXPECT_EQ(time.Parse("06/Oct/2016:00:17:10 +0000"), 1475713030 * kSecond);
  EXPECT_EQ(time.Parse("06/Oct/2016:00:17:10 +0100"), 1475709430 * kSecond);
}

TEST(LogTimeTest, TheKeptMinuteIsUsedForItsOwnTextOnly) {
  TimeParser time;
  EXPECT_EQ(time.Parse("2016-10-06T00:17:09Z"), 1475713029 * kSecond);
  EXPECT_EQ(time.Parse("2016-10-06T00:17:59Z"), 1475713079 * kSecond);
  EXPECT_EQ(time.Parse("2016-10-06T00:17:61Z"), std::nullopt);
  EXPECT_EQ(time.Parse("2016-10-06T00:17:6xZ"), std::nullopt);
  EXPECT_EQ(time.Parse("2016-10-06T00:18:09Z"), 1475713089 * kSecond);
  EXPECT_EQ(time.Parse("2016-10-06 00:18:10Z"), 1475713090 * kSecond);
  EXPECT_EQ(time.Parse("06/Oct/2016:00:18:11 +0000"), 1475713091 * kSecond);
  EXPECT_EQ(time.Parse("06/Oct/2016 00:18:12 +0100"), 1475709492 * kSecond);
  EXPECT_EQ(time.Parse("06/Oct/2016:00:18:xx +0000"), std::nullopt);
}

TEST(LogTimeTest, ATimeWithoutZoneIsReadInTheGivenOne) {
  TimeParser time(std::chrono::hours(2));
  EXPECT_FALSE(time.zone_was_unsaid());
  EXPECT_EQ(time.Parse("2016-10-06 02:17:09"), 1475713029 * kSecond);
  EXPECT_TRUE(time.zone_was_unsaid());
}

}  // namespace
}  // namespace leadsman::intake
