#include "kube/work_queue.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "support/eventually.h"

namespace leadsman::kube {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

class WorkQueueTest : public testing::Test {
 protected:
  std::string Next() { return queue_.Take(0ms).value_or("-"); }
  FakeClock clock_;
  WorkQueue queue_{{.max_keys = 3, .first_retry = 10ms, .longest_retry = 1s}, clock_};
};

TEST_F(WorkQueueTest, AKeyIsInItOnce) {
  EXPECT_TRUE(queue_.Add("a"));
  EXPECT_TRUE(queue_.Add("b"));
  EXPECT_TRUE(queue_.Add("a"));
  EXPECT_EQ(Next(), "a");
  EXPECT_EQ(Next(), "b");
  EXPECT_EQ(Next(), "-");
}

TEST_F(WorkQueueTest, AKeyThatIsWorkedAtComesAgainAfterDone) {
  queue_.Add("a");
  EXPECT_EQ(Next(), "a");
  queue_.Add("a");
  EXPECT_EQ(Next(), "-");
  queue_.Done("a");
  EXPECT_EQ(Next(), "a");
  queue_.Done("a");
  EXPECT_EQ(Next(), "-");
}

TEST_F(WorkQueueTest, RetriesWaitTwiceAsLongEachTime) {
  for (Duration wait : {10ms, 20ms, 40ms}) {
    queue_.Retry("a");
    clock_.Advance(wait - Duration(1));
    EXPECT_EQ(Next(), "-");
    clock_.Advance(Duration(1));
    EXPECT_EQ(Next(), "a");
    queue_.Done("a");
  }
  EXPECT_EQ(queue_.retries("a"), 3);
  queue_.Forget("a");
  queue_.Retry("a");
  clock_.Advance(10ms);
  EXPECT_EQ(Next(), "a");
}

TEST_F(WorkQueueTest, NoRetryWaitsForEver) {
  for (int i = 0; i < 100; ++i) queue_.Retry("a");
  clock_.Advance(1s);
  EXPECT_EQ(Next(), "a");
}

TEST_F(WorkQueueTest, TheEarlierOfTwoTimesCounts) {
  queue_.AddAfter("a", 50ms);
  queue_.AddAfter("a", 20ms);
  queue_.AddAfter("a", 90ms);
  clock_.Advance(20ms);
  EXPECT_EQ(Next(), "a");
  queue_.Done("a");
  clock_.Advance(1s);
  EXPECT_EQ(Next(), "-");
}

TEST_F(WorkQueueTest, WhatDoesNotFitIsRefusedAndCounted) {
  queue_.Add("a");
  queue_.AddAfter("b", 10ms);
  queue_.Add("c");
  EXPECT_FALSE(queue_.Add("d"));
  EXPECT_FALSE(queue_.AddAfter("d", 1ms));
  EXPECT_TRUE(queue_.Add("a"));
  EXPECT_EQ(queue_.counters().refused, 2u);
  EXPECT_EQ(Next(), "a");
  EXPECT_TRUE(queue_.Add("d"));
}

TEST_F(WorkQueueTest, ShutDownSendsTakersHome) {
  std::thread taker([&] { EXPECT_EQ(queue_.Take(20s), std::nullopt); });
  queue_.ShutDown();
  taker.join();
  EXPECT_FALSE(queue_.Add("a"));
}

TEST(WorkQueueTakersTest, ATakerThatLeavesPassesOnWhatComesDue) {
  WorkQueue queue({}, SystemClock());
  std::atomic<bool> waits{false}, taken{false};
  std::thread leaves([&] {
    waits = true;
    (void)queue.Take(100ms);
  });
  EXPECT_TRUE(Eventually([&] { return waits.load(); }));
  std::thread stays([&] { taken = queue.Take(std::chrono::minutes(10)) == "a"; });
  queue.AddAfter("a", 300ms);
  leaves.join();
  EXPECT_TRUE(Eventually([&] { return taken.load(); }));
  queue.ShutDown();
  stays.join();
}

TEST(WorkQueueStressTest, NoKeyIsLostNorWorkedAtByTwo) {
  WorkQueue queue({.first_retry = std::chrono::microseconds(1)}, SystemClock());
  constexpr int kKeys = 20;
  std::array<std::atomic<int>, kKeys> inside{}, worked{};
  std::atomic<bool> twice{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      while (!queue.shut_down()) {
        auto key = queue.Take(5ms);
        if (!key) continue;
        const auto at = size_t(*ParseInt64(*key));
        if (++inside[at] != 1) twice = true;
        if (++worked[at] % 3 == 0) queue.Retry(*key);
        --inside[at];
        queue.Done(*key);
      }
    });
  }
  for (int i = 0; i < 200 * kKeys; ++i) queue.Add(StrCat(i % kKeys));
  EXPECT_TRUE(Eventually([&] {
    const auto counters = queue.counters();
    return queue.size() == 0 && counters.taken >= kKeys;
  }));
  queue.ShutDown();
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(twice);
  for (const auto& count : worked) EXPECT_GT(count, 0);
}

}  // namespace
}  // namespace leadsman::kube
