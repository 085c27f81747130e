#include "math/false_discovery.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "math/e_process.h"

namespace leadsman {
namespace {

using Named = std::vector<size_t>;

Named Name(const std::vector<double>& e, size_t family, double alpha) {
  std::vector<double> logs;
  for (double one : e) logs.push_back(std::log(one));
  return NameDiscoveries(logs, family, alpha);
}

TEST(NameDiscoveriesTest, TheMoreThereAreTheLessEachOfThemNeeds) {
  EXPECT_EQ(Name({}, 0, 0.1), Named{});
  EXPECT_EQ(Name({39}, 4, 0.1), Named{});
  EXPECT_EQ(Name({1, 41}, 4, 0.1), Named{1});
  EXPECT_EQ(Name({21, 1, 21}, 4, 0.1), (Named{0, 2})) << "each of two needs half of it";
  EXPECT_EQ(Name({1000, 19, 1}, 4, 0.1), Named{0});
  EXPECT_EQ(Name({14, 14, 14}, 4, 0.1), (Named{0, 1, 2}));
  EXPECT_EQ(Name({41, 1}, 8, 0.1), Named{}) << "those without evidence count";
  EXPECT_EQ(Name({0, 0}, 2, 0.1), Named{}) << "refuted alternatives are no evidence";
}

struct Found {
  double false_share = 0;  ///< of what was named, mean over the runs
  double any = 0;          ///< of the runs, those in which something false was ever named
  double of_harmed = 0;    ///< of the harmed segments, those named at the end
};

/// Runs of segments of which the first `harmed` have three times the rate of bad events, each counted by two tests that see nearly
/// the same events. The share is looked at when something is named first, or at the end.
Found Simulate(uint64_t seed, int runs, size_t harmed, double alpha, bool at_first) {
  constexpr size_t kSegments = 12, kTests = 2 * kSegments;
  std::mt19937_64 rng(seed);
  auto some = [&](uint64_t of, double share) {
    return std::binomial_distribution<uint64_t>(of, share)(rng);
  };
  Found found;
  for (int run = 0; run < runs; ++run) {
    std::vector<HarmTest> tests(kTests);
    std::vector<double> logs(kTests);
    Named named;
    bool any = false;
    for (int tick = 0; tick < 60 && !(at_first && !named.empty()); ++tick) {
      for (size_t i = 0; i < kSegments; ++i) {
        const ArmCounts theirs{50, some(50, 0.05)}, mine{50, some(50, i < harmed ? 0.15 : 0.05)};
        tests[2 * i].Update(mine, theirs);
        // Of the bad events one in ten is known to the other test alone.
        tests[2 * i + 1].Update({50, mine.events - some(mine.events, 0.1)},
                                {50, theirs.events - some(theirs.events, 0.1)});
        for (size_t k : {2 * i, 2 * i + 1}) logs[k] = tests[k].log_e();
      }
      named = NameDiscoveries(logs, kTests, alpha);
      for (size_t test : named) any = any || test >= 2 * harmed;
    }
    size_t wrong = 0;
    for (size_t test : named) wrong += test >= 2 * harmed;
    if (!named.empty())
      found.false_share += static_cast<double>(wrong) / static_cast<double>(named.size()) / runs;
    found.any += any ? 1.0 / runs : 0;
    if (harmed > 0)
      found.of_harmed += static_cast<double>(named.size() - wrong) / (2.0 * harmed) / runs;
  }
  return found;
}

TEST(NameDiscoveriesSimulation, OfWhatIsNamedAShareOfAlphaAtMostIsFalse) {
  constexpr double kAlpha = 0.2;
  constexpr int kRuns = 300;
  // Three standard deviations above what alpha allows.
  const double most = kAlpha + 3 * std::sqrt(kAlpha * (1 - kAlpha) / kRuns);
  for (size_t harmed : {0, 1, 4}) {
    EXPECT_LE(Simulate(1, kRuns, harmed, kAlpha, true).false_share, most) << harmed;
    EXPECT_LE(Simulate(2, kRuns, harmed, kAlpha, false).false_share, most) << harmed;
  }
  EXPECT_LE(Simulate(3, kRuns, 0, kAlpha, false).any, most)
      << "of segments that are all well, any is ever named with probability alpha at most";
  EXPECT_GE(Simulate(4, 50, 4, kAlpha, false).of_harmed, 0.95)
      << "and those that are not are found";
}

}  // namespace
}  // namespace leadsman
