#include "math/sample_ratio.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace leadsman {
namespace {

const double kBound = std::log(1 / 0.001);

/// Requests until the split is found to be another one, looking after every ten; `most` when it is not.
uint64_t Detect(std::mt19937_64& rng, double share, double truth, double tolerance, uint64_t most) {
  SampleRatio split;
  while (split.candidate + split.stable < most) {
    const uint64_t mine = std::binomial_distribution<uint64_t>(10, truth)(rng);
    split.candidate += mine;
    split.stable += 10 - mine;
    if (split.LogE(share, tolerance) >= kBound) break;
  }
  return split.candidate + split.stable;
}

double Median(double share, double truth, double tolerance, int runs) {
  std::mt19937_64 rng(3);
  std::vector<double> took;
  for (int run = 0; run < runs; ++run)
    took.push_back(static_cast<double>(Detect(rng, share, truth, tolerance, 10'000'000)));
  std::nth_element(took.begin(), took.begin() + runs / 2, took.end());
  return took[static_cast<size_t>(runs / 2)];
}

TEST(SampleRatioTest, StartsAtOneAndTakesNoEvidenceWhereNothingIsSplit) {
  EXPECT_EQ(SampleRatio{}.LogE(0.1), 0);
  EXPECT_EQ((SampleRatio{100, 0}.LogE(1)), 0);
  EXPECT_EQ((SampleRatio{0, 100}.LogE(0)), 0);
  EXPECT_LT((SampleRatio{100, 900}.LogE(0.1)), 0);
  EXPECT_GT((SampleRatio{0, 900}.LogE(0.1)), kBound);
  EXPECT_GT((SampleRatio{900, 0}.LogE(0.5)), kBound);
}

TEST(SampleRatioTest, FindsAnotherSplitAsFastAsTheTableOfSimulationsSays) {
  // Requests, median, 10 % configured, no tolerance; 200 and 60 runs here.
  EXPECT_NEAR(Median(0.1, 0.15, 0, 200), 718, 0.15 * 718);
  EXPECT_NEAR(Median(0.1, 0.12, 0, 200), 3681, 0.15 * 3681);
  EXPECT_NEAR(Median(0.1, 0.08, 0, 200), 3402, 0.15 * 3402);
  EXPECT_NEAR(Median(0.1, 0.11, 0, 60), 16'000, 0.2 * 16'000);
  // What the tolerance costs.
  EXPECT_LT(Median(0.1, 0.15, SampleRatio::kTolerance, 200), 850);
  EXPECT_LT(Median(0.1, 0.12, SampleRatio::kTolerance, 200), 5000);
}

TEST(SampleRatioTest, ASplitWithinTheToleranceIsSeldomFound) {
  std::mt19937_64 rng(5);
  for (double truth : {0.1, 0.102, 0.098}) {
    for (int run = 0; run < 100; ++run) {
      EXPECT_GE(Detect(rng, 0.1, truth, SampleRatio::kTolerance, 100'000), 100'000u)
          << "one in a thousand at most";
    }
  }
  int found = 0;
  for (int run = 0; run < 200; ++run) found += Detect(rng, 0.1, 0.1, 0, 50'000) < 50'000;
  EXPECT_LE(found, 2) << "of 200 without a tolerance; 0.2 to be expected at most";
}

}  // namespace
}  // namespace leadsman
