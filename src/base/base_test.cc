#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "base/detached_call.h"
#include "base/gate.h"
#include "base/rng.h"
#include "base/snapshot.h"
#include "base/status.h"
#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/wire.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

TEST(StatusTest, AnnotatePutsContextInFront) {
  Status s = Annotate(NotFoundError("no such file"), "load digits:3");
  EXPECT_EQ(s.ToString(), "NOT_FOUND: load digits:3: no such file");
  EXPECT_TRUE(Annotate(OkStatus(), "anything").ok());
}

TEST(SnapshotTest, ReadersSeeTheNewValueAndQuietThreadsLetGoOfTheOld) {
  Snapshot<int> snapshot(std::make_shared<const int>(1));
  std::weak_ptr<const int> old;
  std::atomic<int> phase{0};
  std::thread quiet([&] {
    EXPECT_EQ(*snapshot.Get(), 1);
    phase = 1;
    phase.notify_all();
    phase.wait(1);  // reads no more until the test is over
  });
  phase.wait(0);
  {
    auto value = std::make_shared<const int>(2);
    old = value;
    snapshot.Set(std::move(value));
  }
  EXPECT_EQ(*snapshot.Get(), 2);
  snapshot.Set(std::make_shared<const int>(3));
  EXPECT_TRUE(old.expired());
  EXPECT_EQ(*snapshot.Get(), 3);
  phase = 2;
  phase.notify_all();
  quiet.join();
}

TEST(SnapshotTest, ConcurrentReadersNeverSeeAnOlderValueAfterANewer) {
  Snapshot<int> snapshot(std::make_shared<const int>(0));
  std::atomic<bool> stop{false};
  std::atomic<bool> failed{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      int last = 0;
      while (!stop) {
        int now = *snapshot.Get();
        if (now < last) failed = true;
        last = now;
      }
    });
  }
  for (int i = 1; i <= 2000; ++i) snapshot.Set(std::make_shared<const int>(i));
  stop = true;
  for (auto& reader : readers) reader.join();
  EXPECT_FALSE(failed);
}

TEST(GateTest, CloseWaitsForPassesAndLetsNobodyIn) {
  Gate gate;
  Gate::Pass pass = gate.Enter();
  ASSERT_TRUE(pass);
  EXPECT_FALSE(gate.Close(1ms));
  EXPECT_FALSE(gate.Enter());
  pass = Gate::Pass();
  EXPECT_TRUE(gate.Close(1s));
}

TEST(StringsTest, JsonStringsAreEscapedAndAlwaysUtf8) {
  std::string out;
  AppendJsonString(out, "a\"\\\n\x01\xC3\xA9\xFF");
  EXPECT_EQ(out, "\"a\\\"\\\\\\n\\u0001\xC3\xA9\xEF\xBF\xBD\"");
}

TEST(StringsTest, CutsTextsBetweenCharacters) {
  EXPECT_EQ(CutUtf8("abc", 3), "abc");
  EXPECT_EQ(CutUtf8("abcd", 3), "abc");
  EXPECT_EQ(CutUtf8("ab\xC3\xA9", 3), "ab");
  EXPECT_EQ(CutUtf8("a\xF0\x9F\x98\x80", 4), "a");
  EXPECT_EQ(CutUtf8("a\xF0\x9F\x98\x80 ", 5), "a\xF0\x9F\x98\x80");
  EXPECT_EQ(CutUtf8("\xA9", 0), "");
  // Of what is no text the length is kept, but for a character's.
  EXPECT_EQ(CutUtf8(std::string(100, '\x80'), 64).size(), 61u);
}

TEST(StringsTest, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(ToUtf8("a\xC3\xA9"), "a\xC3\xA9");
  EXPECT_TRUE(IsUtf8("a\xC3\xA9") && IsUtf8(""));
  EXPECT_FALSE(IsUtf8("a\xC3") || IsUtf8("\xED\xA0\x80"));
  EXPECT_EQ(ToUtf8("a\xFF\xC3"), "a\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(StringsTest, UrlDecodeRefusesBrokenEscapes) {
  EXPECT_EQ(UrlDecode("a%2Fb"), "a/b");
  EXPECT_EQ(UrlDecode("a%2"), std::nullopt);
  EXPECT_EQ(UrlDecode("a%zz"), std::nullopt);
}

TEST(StringsTest, DidYouMeanFindsASlipOfTheHand) {
  EXPECT_EQ(DidYouMean("wieght", {"weight", "duration"}), "weight");
  EXPECT_EQ(DidYouMean("nmae", {"name", "path"}), "name");
  EXPECT_EQ(DidYouMean("completely", {"weight", "duration"}), std::nullopt);
}

TEST(ClockTest, TimesBeyondWhatCanBeToldAreAsFarAsCan) {
  EXPECT_EQ(FormatRfc3339(ParseRfc3339("9999-12-31T00:00:00Z").value()),
            "2261-12-31T00:00:00.000Z");
  EXPECT_EQ(FormatRfc3339(ParseRfc3339("0001-01-01T00:00:00Z").value()),
            "1678-01-01T00:00:00.000Z");
  EXPECT_FALSE(ParseRfc3339("abcd-01-01T00:00:00Z"));
}
TEST(ClockTest, FormatsRfc3339) {
  EXPECT_EQ(FormatRfc3339(FromUnixMillis(1'700'000'000'123)), "2023-11-14T22:13:20.123Z");
  FakeClock clock;
  SteadyTime before = clock.SteadyNow();
  clock.JumpWall(-1h);
  EXPECT_EQ(clock.SteadyNow(), before);
}

TEST(RngTest, BelowStaysBelowAndIsRoughlyUniform) {
  Rng rng(7);
  int counts[10] = {};
  for (int i = 0; i < 100000; ++i) ++counts[rng.Below(10)];
  for (int count : counts) EXPECT_NEAR(count, 10000, 500);
}

TEST(DetachedCallTest, WhoWaitsIsNotKept) {
  auto gate = std::make_shared<std::promise<int>>();
  auto call = DetachedCall<int>::Start("hangs", [gate] { return gate->get_future().get(); });
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_EQ((*call)->WaitFor(std::chrono::milliseconds(1)), std::nullopt);
  gate->set_value(7);
  EXPECT_EQ((*call)->WaitFor(std::chrono::seconds(30)), 7);
  EXPECT_EQ((*call)->WaitFor(std::chrono::milliseconds(1)), std::nullopt);  // it has been taken
}

}  // namespace
}  // namespace leadsman
