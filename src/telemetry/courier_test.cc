#include "telemetry/courier.h"

#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "base/testing/fake_clock.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;
using Outcome = Courier::Outcome;

/// The courier has a thread of its own: bounded at ten seconds.
bool Await(const std::function<bool()>& done) {
  for (int i = 0; i < 2000 && !done(); ++i) std::this_thread::sleep_for(5ms);
  return done();
}

std::unique_ptr<Courier> Started(Clock& clock, Courier::Carry carry,
                                 std::chrono::milliseconds grace = 1s) {
  auto courier =
      Courier::Start({.thread = "test", .peer = "test", .grace = grace}, clock, std::move(carry));
  CHECK(courier.ok());
  return std::move(*courier);
}

TEST(CourierTest, CarriesUntilThereIsNothingLeft) {
  FakeClock clock;
  std::atomic<int> left{3};
  auto courier = Started(clock, [&](const Courier::Errand&) -> Courier::Report {
    if (left == 0) return {};
    --left;
    return {.outcome = Outcome::kSent};
  });
  courier->Wake();
  ASSERT_TRUE(Await([&] { return courier->counters().sent == 3; }));
  left = 1;
  courier->Wake();
  EXPECT_TRUE(Await([&] { return courier->counters().sent == 4; }));
}

TEST(CourierTest, SaysWhatIsWrongAndSinceWhen) {
  FakeClock clock;
  const WallTime start = clock.Now();
  std::atomic<bool> away{true};
  auto courier = Started(clock, [&](const Courier::Errand& errand) -> Courier::Report {
    if (errand.last) return {};
    if (away) return {Outcome::kAgain, UnavailableError("no answer")};
    return {Outcome::kSent, {}};
  });
  EXPECT_FALSE(courier->trouble());
  courier->Wake();
  ASSERT_TRUE(Await([&] { return courier->counters().failed == 1; }));
  clock.Advance(1s);
  courier->Wake();
  ASSERT_TRUE(Await([&] { return courier->counters().failed == 2; }));
  ASSERT_TRUE(courier->trouble());
  EXPECT_EQ(courier->trouble()->why, "no answer");
  EXPECT_EQ(courier->trouble()->since, start);
  away = false;
  clock.Advance(2s);
  courier->Wake();
  ASSERT_TRUE(Await([&] { return courier->counters().sent > 0; }));
  EXPECT_FALSE(courier->trouble());
}

TEST(CourierTest, WaitsLongerAfterEachFailureWhoeverWakesIt) {
  FakeClock clock;
  std::atomic<int> calls{0};
  auto courier = Started(clock, [&](const Courier::Errand& errand) -> Courier::Report {
    if (errand.last) return {};
    ++calls;
    return {Outcome::kAgain, UnavailableError("away")};
  });
  courier->Wake();
  ASSERT_TRUE(Await([&] { return courier->counters().failed == 1; }));
  clock.Advance(999ms);
  courier->Wake();
  clock.Advance(1ms);
  courier->Wake();
  ASSERT_TRUE(Await([&] { return courier->counters().failed == 2; }));
  clock.Advance(1s);  // of two
  courier->Wake();
  clock.Advance(1s);
  courier->Wake();
  ASSERT_TRUE(Await([&] { return courier->counters().failed == 3; }));
  EXPECT_EQ(calls, 3);
}

TEST(CourierTest, RestsAfterAMessageAndCarriesTheNextByItself) {
  FakeClock clock;
  auto courier = Started(clock, [&](const Courier::Errand& errand) -> Courier::Report {
    if (errand.last) return {};
    return {.outcome = Outcome::kSent, .rest = 1min};
  });
  courier->Wake();
  ASSERT_TRUE(Await([&] { return courier->counters().sent == 1; }));
  courier->Wake();
  clock.Advance(1min);
  courier->Wake();
  ASSERT_TRUE(Await([&] { return courier->counters().sent == 2; }));
}

TEST(CourierTest, AtItsEndWhatWaitsIsTriedOnceMore) {
  FakeClock clock;
  std::atomic<int> calls{0};
  auto courier = Started(clock, [&](const Courier::Errand&) -> Courier::Report {
    ++calls;
    return {Outcome::kAgain, UnavailableError("away")};
  });
  courier->Wake();
  ASSERT_TRUE(Await([&] { return calls == 1; }));
  courier.reset();
  EXPECT_EQ(calls, 2);
}

TEST(CourierTest, AtItsEndItCancelsWhatIsUnderWay) {
  FakeClock clock;
  std::atomic<bool> hangs{false};
  auto courier = Started(
      clock,
      [&](const Courier::Errand& errand) -> Courier::Report {
        hangs = true;
        while (!errand.cancelled) std::this_thread::sleep_for(1ms);
        return {Outcome::kAgain, CancelledError("cancelled")};
      },
      10ms);
  courier->Wake();
  ASSERT_TRUE(Await([&] { return hangs.load(); }));
  courier.reset();  // or the test never ends
}

TEST(BackoffTest, DoublesUpToTheLongest) {
  EXPECT_EQ(Backoff(1, 60s), 1s);
  EXPECT_EQ(Backoff(2, 60s), 2s);
  EXPECT_EQ(Backoff(6, 60s), 32s);
  EXPECT_EQ(Backoff(7, 60s), 60s);
  EXPECT_EQ(Backoff(1'000'000, 60s), 60s);
  EXPECT_EQ(Backoff(1, 100ms), 100ms);
}

}  // namespace
}  // namespace leadsman
