#include "math/rate_difference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <random>

#include "math/special_functions.h"

namespace leadsman {
namespace {

TEST(SpecialFunctionsTest, TheBetaFunctionIsWhatItIs) {
  EXPECT_NEAR(LogBeta(0.5, 0.5), std::log(std::numbers::pi), 1e-14);
  EXPECT_NEAR(LogBeta(2, 3), -std::log(12.0), 1e-14);
}

TEST(RateDifferenceTest, NothingIsKnownOfNothing) {
  const RateDifference none = DifferenceOfRates({0, 0}, {100, 5}, 0.95);
  EXPECT_EQ(none.low, -1);
  EXPECT_EQ(none.high, 1);
  const RateDifference little = DifferenceOfRates({1, 0}, {1, 0}, 0.95);
  EXPECT_LT(little.low, -0.5);
  EXPECT_GT(little.high, 0.5);
}

TEST(RateDifferenceTest, ItIsAntisymmetricAndNarrowsWithTheCounts) {
  const RateDifference one = DifferenceOfRates({1000, 30}, {900, 45}, 0.95);
  const RateDifference other = DifferenceOfRates({900, 45}, {1000, 30}, 0.95);
  EXPECT_NEAR(one.low, -other.high, 1e-9);
  EXPECT_NEAR(one.high, -other.low, 1e-9);
  const double measured = 0.03 - 0.05;
  EXPECT_LT(one.low, measured);
  EXPECT_GT(one.high, measured);
  const RateDifference more = DifferenceOfRates({100'000, 3'000}, {90'000, 4'500}, 0.95);
  EXPECT_LT(more.high - more.low, (one.high - one.low) / 7);
  EXPECT_LT(more.high, 0) << "shown to be lower";
}

TEST(RateDifferenceTest, ItsEndsAreWhereTheEvidenceIs) {
  // Against a grid over both rates.
  const ArmCounts mine{200, 12}, theirs{150, 20};
  auto log_e = [](const ArmCounts& counts, double rate) {
    const double s = static_cast<double>(counts.events),
                 f = static_cast<double>(counts.exposure - counts.events);
    return std::lgamma(s + 0.5) + std::lgamma(f + 0.5) - std::lgamma(s + f + 1) -
           std::log(std::acos(-1.0)) - s * std::log(rate) - f * std::log1p(-rate);
  };
  double low = 1, high = -1;
  for (double p = 0.0005; p < 0.5; p += 0.0005) {
    for (double q = 0.0005; q < 0.5; q += 0.0005) {
      if (log_e(mine, p) + log_e(theirs, q) > std::log(20.0)) continue;
      low = std::min(low, p - q);
      high = std::max(high, p - q);
    }
  }
  const RateDifference found = DifferenceOfRates(mine, theirs, 0.95);
  EXPECT_NEAR(found.low, low, 0.002);
  EXPECT_NEAR(found.high, high, 0.002);
}

TEST(RateDifferenceTest, TheTrueOneIsInItAtEveryLook) {
  std::mt19937_64 rng(11);
  auto some = [&](uint64_t of, double rate) {
    return std::binomial_distribution<uint64_t>(of, rate)(rng);
  };
  for (const auto& [p, q] : {std::pair{0.02, 0.02}, {0.10, 0.05}, {0.5, 0.45}}) {
    constexpr int kRuns = 100;
    int missed = 0;
    for (int run = 0; run < kRuns; ++run) {
      ArmCounts mine, theirs;
      bool out = false;
      for (int look = 0; look < 16 && !out; ++look) {
        const uint64_t more = look < 6 ? 10 : 200;
        mine.exposure += more;
        mine.events += some(more, p);
        theirs.exposure += 2 * more;
        theirs.events += some(2 * more, q);
        const RateDifference found = DifferenceOfRates(mine, theirs, 0.9);
        out = p - q < found.low || p - q > found.high;
      }
      missed += out ? 1 : 0;
    }
    EXPECT_LE(missed, 0.1 * kRuns + 3 * std::sqrt(kRuns * 0.1 * 0.9)) << p << " " << q;
  }
}

}  // namespace
}  // namespace leadsman
