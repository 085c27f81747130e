#include "math/mean_e_process.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <vector>

namespace leadsman {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kRuns = 100;
#else
constexpr int kRuns = 1000;
#endif
// All with fixed seeds: the same result every time. What is promised is held without a tolerance where it is an error rate, for the
// tests are on the safe side; times are medians of so many runs, within what stands beside them.
const double kHarmBound = std::log(1 / 0.05);
const double kSafeBound = std::log(1 / 0.05);
constexpr int kTimingRuns = 201;

/// Losses between 0 and 1 of a mean: many small ones and a few large.
class Losses {
 public:
  explicit Losses(uint64_t seed) : rng_(seed) {}
  double Uniform() { return std::uniform_real_distribution<double>(0, 1)(rng_); }
  /// u^2 scaled; of mean `mean`, up to 3 * mean.
  double Skewed(double mean) {
    const double u = Uniform();
    return 3 * mean * u * u;
  }
  LossSums Window(uint64_t count, const std::function<double()>& loss) {
    LossSums sums;
    for (uint64_t i = 0; i < count; ++i) sums.Add(loss(), 1);
    return sums;
  }
  uint64_t Split(uint64_t count, double share) {
    return std::binomial_distribution<uint64_t>(count, share)(rng_);
  }

 private:
  std::mt19937_64 rng_;
};

double Median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

TEST(LossSumsTest, WhatIsAboveTheHighestCountsAsThatAndIsCounted) {
  LossSums sums;
  for (double loss : {0.0, 5.0, 20.0, -1.0, std::numeric_limits<double>::quiet_NaN(),
                      std::numeric_limits<double>::infinity()})
    sums.Add(loss, 10);
  EXPECT_EQ(sums.count, 6u);
  EXPECT_EQ(sums.clipped, 3u);
  EXPECT_DOUBLE_EQ(sums.sum, 3.5);
  EXPECT_DOUBLE_EQ(sums.squares, 3.25);
  LossSums twice = sums;
  twice.Add(sums);
  EXPECT_EQ(twice.count, 12u);
  EXPECT_DOUBLE_EQ(twice.Mean(), sums.Mean());
  EXPECT_DOUBLE_EQ(twice.Spread(), sums.Spread());
  EXPECT_EQ(LossSums{}.Spread(), 0);
  twice.Subtract(sums);
  EXPECT_EQ(twice, sums);
  twice.Subtract(sums);
  EXPECT_EQ(twice, LossSums{});
}

TEST(MeanHarmTestTest, AWindowWithOneArmOnlyIsNoEvidence) {
  MeanHarmTest test;
  EXPECT_EQ(test.log_e(), 0);
  LossSums some;
  for (int i = 0; i < 100; ++i) some.Add(0.9, 1);
  test.Update(some, {});
  test.Update({}, some);
  EXPECT_EQ(test.log_e(), 0);
}

TEST(MeanHarmTestTest, TheStateIsRestoredToTheBit) {
  Losses losses(1);
  MeanHarmTest whole;
  for (int i = 0; i < 20; ++i) {
    whole.Update(losses.Window(7, [&] { return losses.Skewed(0.2); }),
                 losses.Window(50, [&] { return losses.Skewed(0.1); }));
    MeanHarmTest stored;
    ASSERT_TRUE(stored.Set(whole.logs(), whole.seen()));
    ASSERT_EQ(stored, whole);
  }
  const std::vector<double> short_one{1, 2};
  EXPECT_FALSE(whole.Set(short_one, {}));
}

/// How often an equal candidate is taken for a harmful one, ever, within `windows` looks.
double FalseHarm(const std::function<double(int window)>& mean, double share, int windows) {
  int harmed = 0;
  for (int run = 0; run < kRuns; ++run) {
    Losses losses(1000 + run);
    MeanHarmTest test;
    for (int window = 0; window < windows; ++window) {
      const double m = mean(window);
      const uint64_t mine = losses.Split(40, share);
      test.Update(losses.Window(mine, [&] { return losses.Skewed(m); }),
                  losses.Window(40 - mine, [&] { return losses.Skewed(m); }));
      if (test.log_e() >= kHarmBound) {
        ++harmed;
        break;
      }
    }
  }
  return harmed / double{kRuns};
}

TEST(MeanHarmTestTest, AnEqualVersionIsTakenBackWithProbabilityAlphaAtMost) {
  EXPECT_LE(FalseHarm([](int) { return 0.1; }, 0.1, 300), 0.05);
  EXPECT_LE(FalseHarm([](int) { return 0.3; }, 0.5, 300), 0.05);
  EXPECT_LE(FalseHarm([](int) { return 0.02; }, 0.8, 300), 0.05);
}

TEST(MeanHarmTestTest, WhatHitsBothVersionsIsNoHarm) {
  EXPECT_LE(FalseHarm([](int window) { return window % 50 < 10 ? 0.33 : 0.02; }, 0.1, 300), 0.05)
      << "an incident";
  EXPECT_LE(FalseHarm([](int window) { return 0.01 + 0.001 * window; }, 0.3, 300), 0.05)
      << "a drift";
}

TEST(MeanHarmTestTest, OnlyTheWorstKindOfLossIsAsRareAsItMayBe) {
  // Losses of 0 or 1: the widest there are.
  int harmed = 0;
  for (int run = 0; run < kRuns; ++run) {
    Losses losses(run);
    MeanHarmTest test;
    auto loss = [&] { return losses.Uniform() < 0.05 ? 1.0 : 0.0; };
    for (int window = 0; window < 300 && test.log_e() < kHarmBound; ++window)
      test.Update(losses.Window(5, loss), losses.Window(35, loss));
    if (test.log_e() >= kHarmBound) ++harmed;
  }
  EXPECT_LE(harmed / double{kRuns}, 0.05);
}

/// Losses of the candidate until `test` has reached its bound, the median.
double Needed(double share, double candidate, double stable,
              const std::function<double(const LossSums&, const LossSums&, bool fresh)>& look) {
  std::vector<double> needed;
  for (int run = 0; run < kTimingRuns; ++run) {
    Losses losses(run);
    double exposure = 0;
    for (int window = 0; window < 100'000; ++window) {
      const uint64_t mine = losses.Split(40, share);
      const LossSums c = losses.Window(mine, [&] { return losses.Skewed(candidate); });
      const LossSums s = losses.Window(40 - mine, [&] { return losses.Skewed(stable); });
      exposure += static_cast<double>(mine);
      if (look(c, s, window == 0) >= 0) break;
    }
    needed.push_back(exposure);
  }
  return Median(needed);
}

TEST(MeanHarmTestTest, HarmIsFoundInTheTimeThatPlanningSays) {
  struct Case {
    double share, candidate, stable;
  };
  for (const auto& [share, candidate, stable] :
       {Case{0.1, 0.13, 0.1}, Case{0.5, 0.12, 0.1}, Case{0.2, 0.06, 0.04}}) {
    MeanHarmTest test;
    const double needed =
        Needed(share, candidate, stable, [&](const LossSums& c, const LossSums& s, bool fresh) {
          if (fresh) test = {};
          test.Update(c, s);
          return test.log_e() - kHarmBound;
        });
    // The spread of 3 m u^2 is m sqrt(4/5).
    const double planned =
        planning::MeanHarmExposure(kHarmBound, share, candidate - stable,
                                   (share * stable + (1 - share) * candidate) * std::sqrt(0.8));
    EXPECT_NEAR(needed / planned, 1, 0.3) << needed << " against " << planned;
    EXPECT_NEAR(planning::SmallestMeanHarm(
                    kHarmBound, share, (share * stable + (1 - share) * candidate) * std::sqrt(0.8),
                    planned),
                candidate - stable, 1e-6);
  }
}

TEST(MeanHarmTestTest, ANarrowSpreadWithinTheRangeIsWorthMuch) {
  // As rates would see them: the same means, of losses that are 0 or 1.
  const double narrow = planning::MeanHarmExposure(kHarmBound, 0.1, 0.02, 0.05);
  const double wide = planning::MeanHarmExposure(kHarmBound, 0.1, 0.02, std::sqrt(0.1 * 0.9));
  EXPECT_LT(5 * narrow, wide);
  EXPECT_EQ(planning::SmallestMeanHarm(kHarmBound, 0.1, 0.3, 1),
            std::numeric_limits<double>::infinity());
  EXPECT_EQ(planning::MeanHarmExposure(kHarmBound, 0.1, -0.1, 0.3),
            std::numeric_limits<double>::infinity());
}

TEST(MeanSafeTestTest, AVersionAtTheMarginIsTakenForSafeWithProbabilityBetaAtMost) {
  for (double share : {0.1, 0.5}) {
    int passed = 0;
    for (int run = 0; run < kRuns; ++run) {
      Losses losses(run);
      MeanSafeTest test(1.25);
      for (int window = 0; window < 300 && test.log_e() < kSafeBound; ++window) {
        const double m = window % 60 < 20 ? 0.2 : 0.05;  // and the traffic is not the same
        const uint64_t mine = losses.Split(40, share);
        test.Update(losses.Window(mine, [&] { return losses.Skewed(1.25 * m); }),
                    losses.Window(40 - mine, [&] { return losses.Skewed(m); }));
      }
      if (test.log_e() >= kSafeBound) ++passed;
    }
    EXPECT_LE(passed / double{kRuns}, 0.05) << share;
  }
}

TEST(MeanSafeTestTest, AnEqualVersionPassesInTheTimeThatPlanningSays) {
  MeanSafeTest test(1.25);
  const double needed =
      Needed(0.1, 0.1, 0.1, [&](const LossSums& c, const LossSums& s, bool fresh) {
        if (fresh) test = MeanSafeTest(1.25);
        test.Update(c, s);
        return test.log_e() - kSafeBound;
      });
  const double planned =
      planning::MeanSafeExposure(kSafeBound, 0.1, 0.1, 0.1 * std::sqrt(0.8), 1.25, 0);
  EXPECT_NEAR(needed / planned, 1, 0.3) << needed << " against " << planned;
}

TEST(MeanFloorTestTest, ABoundIsHeldOnBothSides) {
  int harmed = 0, passed = 0;
  for (int run = 0; run < kRuns; ++run) {
    Losses losses(run);
    MeanHarmTest harm;
    MeanFloorTest safe(0.1);
    bool high = false, low = false;
    for (int window = 0; window < 300; ++window) {
      const LossSums sums = losses.Window(20, [&] { return losses.Skewed(0.1); });
      harm.UpdateAgainst(0.1, sums);
      safe.Update(sums);
      high = high || harm.log_e() >= kHarmBound;
      low = low || safe.log_e() >= kSafeBound;
    }
    harmed += high ? 1 : 0;
    passed += low ? 1 : 0;
  }
  EXPECT_LE(harmed / double{kRuns}, 0.05);
  EXPECT_LE(passed / double{kRuns}, 0.05);
  Losses losses(1);
  MeanFloorTest safe(0.1);
  MeanHarmTest harm;
  for (int window = 0; window < 20; ++window) {
    safe.Update(losses.Window(20, [&] { return losses.Skewed(0.05); }));
    harm.UpdateAgainst(0.1, losses.Window(20, [&] { return losses.Skewed(0.2); }));
  }
  EXPECT_GT(safe.log_e(), kSafeBound);
  EXPECT_GT(harm.log_e(), kHarmBound);
  EXPECT_LT(planning::MeanSafeExposure(kSafeBound, 0.1, 0.05, 0.045, 1.5, 0.1),
            planning::MeanSafeExposure(kSafeBound, 0.1, 0.05, 0.045, 1.5, 0));
}

}  // namespace
}  // namespace leadsman
