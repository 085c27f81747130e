#include "math/poisson_interval.h"

#include <gtest/gtest.h>

namespace leadsman {
namespace {

// Garwood's intervals (Biometrika 1936).
TEST(PoissonIntervalTest, IsGarwoods) {
  EXPECT_EQ(PoissonInterval(0).first, 0);
  EXPECT_NEAR(PoissonInterval(0).second, 3.6889, 1e-4);
  EXPECT_NEAR(PoissonInterval(1).first, 0.0253, 1e-4);
  EXPECT_NEAR(PoissonInterval(1).second, 5.5716, 1e-4);
  EXPECT_NEAR(PoissonInterval(10).first, 4.7954, 1e-4);
  EXPECT_NEAR(PoissonInterval(10).second, 18.3904, 1e-4);
  EXPECT_NEAR(PoissonInterval(0, 0.9).second, 2.9957, 1e-4);
}

}  // namespace
}  // namespace leadsman
