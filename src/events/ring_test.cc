#include "events/ring.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "events/prediction_event.h"
#include "events/ring_set.h"

namespace leadsman {
namespace {

bool Put(ByteRing& ring, const std::string& text) {
  std::byte* p = ring.Reserve(text.size());
  if (p == nullptr) return false;
  std::memcpy(p, text.data(), text.size());
  ring.Commit(text.size());
  return true;
}
std::vector<std::string> Take(ByteRing& ring, size_t max_records = SIZE_MAX) {
  std::vector<std::string> out;
  ring.Drain(
      [&](const std::byte* p, size_t n) { out.emplace_back(reinterpret_cast<const char*>(p), n); },
      max_records);
  return out;
}

TEST(ByteRingTest, GivesRecordsBackInOrder) {
  ByteRing ring(1024);
  EXPECT_TRUE(Put(ring, "one"));
  EXPECT_TRUE(Put(ring, ""));
  EXPECT_TRUE(Put(ring, "three bytes and more"));
  EXPECT_EQ(Take(ring), (std::vector<std::string>{"one", "", "three bytes and more"}));
  EXPECT_TRUE(Take(ring).empty());
}

TEST(ByteRingTest, CountsWhatDoesNotFitAndGoesOn) {
  ByteRing ring(1024);
  int taken = 0;
  while (Put(ring, std::string(56, 'x'))) ++taken;
  EXPECT_EQ(taken, 16);
  EXPECT_EQ(ring.dropped(), 1u);
  EXPECT_EQ(Take(ring).size(), 16u);
  EXPECT_TRUE(Put(ring, "again"));
  EXPECT_EQ(Take(ring), std::vector<std::string>{"again"});
}

TEST(ByteRingTest, RefusesRecordsLongerThanAQuarterOfItself) {
  ByteRing ring(1024);
  EXPECT_FALSE(Put(ring, std::string(257, 'x')));
  EXPECT_TRUE(Put(ring, std::string(256, 'x')));
  EXPECT_EQ(ring.dropped(), 1u);
}

TEST(ByteRingTest, KeepsRecordsWholeWhenItWraps) {
  ByteRing ring(1024);
  uint64_t state = 1;
  for (int i = 0; i < 10'000; ++i) {
    std::vector<std::string> expected;
    for (int k = 0; k < 3; ++k) {
      state = state * 6364136223846793005ull + 1442695040888963407ull;
      expected.emplace_back((state >> 33) % 200, static_cast<char>('a' + i % 26));
      ASSERT_TRUE(Put(ring, expected.back()));
    }
    ASSERT_EQ(Take(ring), expected);
  }
}

TEST(ByteRingTest, TakesNoMoreThanAskedFor) {
  ByteRing ring(1024);
  for (int i = 0; i < 5; ++i) Put(ring, std::to_string(i));
  EXPECT_EQ(Take(ring, 2), (std::vector<std::string>{"0", "1"}));
  EXPECT_EQ(Take(ring), (std::vector<std::string>{"2", "3", "4"}));
}

TEST(ByteRingTest, AnEmptyRingStartsAgainAtItsBeginning) {
  ByteRing ring(1 << 20);
  std::set<const std::byte*> touched;
  for (int i = 0; i < 100'000; ++i) {
    touched.insert(ring.Reserve(100));
    ring.Commit(100);
    Take(ring);
  }
  EXPECT_LT(touched.size() * 112, size_t{20} << 10);
}

TEST(ByteRingTest, AfterStartingAgainAllItsRoomIsThere) {
  ByteRing ring(64 << 10);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::string> expected;
    size_t bytes = 0;
    while (bytes < (60u << 10)) {
      expected.emplace_back(static_cast<size_t>(round) * 7 % 500 + expected.size() % 50, 'x');
      ASSERT_TRUE(Put(ring, expected.back())) << round << " after " << bytes;
      bytes += 16 + expected.back().size();
    }
    ASSERT_EQ(Take(ring), expected);
  }
  EXPECT_EQ(ring.dropped(), 0u);
}

/// Every record carries writer, number and a body that depends on both: lost, mixed or repeated
/// ones are seen.
TEST(RingSetStressTest, NothingIsLostMixedOrRepeatedAndDropsAreCounted) {
  constexpr int kThreads = 4;
  constexpr uint32_t kEach = 30'000;
  RingSet rings(64 << 10);
  std::atomic<uint64_t> sent{0};
  std::atomic<int> running{kThreads};
  std::vector<std::thread> writers;
  for (int t = 0; t < kThreads; ++t) {
    writers.emplace_back([&, t] {
      for (uint32_t i = 0; i < kEach; ++i) {
        ByteRing* ring = rings.ForThisThread();
        size_t size = 8 + (i * 7 + static_cast<uint32_t>(t)) % 120;
        std::byte* p = ring->Reserve(size);
        if (p == nullptr) {
          std::this_thread::yield();
          continue;
        }
        uint32_t head[2] = {static_cast<uint32_t>(t), i};
        std::memcpy(p, head, 8);
        std::memset(p + 8, static_cast<int>(i + static_cast<uint32_t>(t)) & 0xff, size - 8);
        ring->Commit(size);
        ++sent;
      }
      --running;
    });
  }
  std::map<uint32_t, int64_t> last;
  uint64_t received = 0;
  bool good = true;
  auto visit = [&](const std::byte* p, size_t n) {
    uint32_t head[2];
    std::memcpy(head, p, 8);
    auto [it, fresh] = last.try_emplace(head[0], -1);
    good = good && it->second < head[1] && n == 8 + (head[1] * 7 + head[0]) % 120;
    it->second = head[1];
    for (size_t i = 8; i < n; ++i) {
      good = good && p[i] == static_cast<std::byte>((head[0] + head[1]) & 0xff);
    }
    ++received;
  };
  while (running > 0) rings.Drain(visit, 100);
  for (auto& w : writers) w.join();
  rings.Drain(visit);
  EXPECT_TRUE(good);
  EXPECT_EQ(received, sent.load());
  EXPECT_EQ(received + rings.dropped(), uint64_t{kThreads} * kEach);
}

TEST(RingSetTest, FreesTheRingOfAnEndedThreadOnceItIsEmpty) {
  RingSet rings(1024);
  std::thread([&] { Put(*rings.ForThisThread(), "last words"); }).join();
  EXPECT_EQ(rings.size(), 1u);
  std::string seen;
  rings.Drain(
      [&](const std::byte* p, size_t n) { seen.assign(reinterpret_cast<const char*>(p), n); });
  EXPECT_EQ(seen, "last words");
  EXPECT_EQ(rings.size(), 0u);
}

TEST(RingSetTest, KeepsTheDropsOfFreedRings) {
  RingSet rings(1024);
  std::thread([&] { EXPECT_FALSE(Put(*rings.ForThisThread(), std::string(5000, 'x'))); }).join();
  rings.Drain([](const std::byte*, size_t) {});
  EXPECT_EQ(rings.size(), 0u);
  EXPECT_EQ(rings.dropped(), 1u);
}

TEST(RingSetTest, CountsDropsOfThreadsBeyondTheLimit) {
  RingSet rings(1024, 1);
  EXPECT_NE(rings.ForThisThread(), nullptr);
  std::thread([&] { EXPECT_EQ(rings.ForThisThread(), nullptr); }).join();
  EXPECT_EQ(rings.dropped(), 1u);
}

TEST(RingSetTest, SetsOfOneThreadAreApart) {
  auto a = std::make_unique<RingSet>(1024);
  auto b = std::make_unique<RingSet>(1024);
  Put(*a->ForThisThread(), "a");
  Put(*b->ForThisThread(), "b");
  Put(*a->ForThisThread(), "aa");
  b.reset();
  std::vector<std::string> seen;
  a->Drain([&](const std::byte* p, size_t n) {
    seen.emplace_back(reinterpret_cast<const char*>(p), n);
  });
  EXPECT_EQ(seen, (std::vector<std::string>{"a", "aa"}));
  RingSet c(1024);
  Put(*c.ForThisThread(), "c");
  EXPECT_EQ(c.size(), 1u);
}

TEST(ProtocolNameTest, NamesEveryProtocol) {
  EXPECT_EQ(ProtocolName(Protocol::kTfServingRest), "tfserving_rest");
  EXPECT_EQ(ProtocolName(Protocol::kV2Rest), "v2_rest");
  EXPECT_EQ(ProtocolName(Protocol::kPlain), "plain");
  EXPECT_EQ(ProtocolName(Protocol::kUnknown), "unknown");
}

}  // namespace
}  // namespace leadsman
