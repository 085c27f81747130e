#include "rollout/simulation.h"

#include <gtest/gtest.h>

#include "rollout/config_schema.h"

namespace leadsman {
namespace {

TEST(SimulationTest, IsTheSameForTheSameSeedAndKeepsAHistogramsSum) {
  const SparseLatency histogram{{static_cast<uint32_t>(LatencyScheme::Index(20'000'000)), 960},
                                {static_cast<uint32_t>(LatencyScheme::Index(90'000'000)), 40}};
  const std::vector<double> tail = TailOf(histogram);
  EXPECT_EQ(HistogramOf(tail, 1000), histogram);
  EXPECT_EQ(CountAll(HistogramOf(tail, 333)), 333u);
  EXPECT_TRUE(TailOf({}).empty());
  auto play = [&](uint64_t seed) {
    RolloutSimulation one(DefaultRolloutPlan(), {{}, histogram}, seed);
    const SimulatedArm arm{.error_rate = 0.01, .tail = tail};
    for (int i = 0; i < 50; ++i) one.Tick(std::chrono::seconds(1), one.Arrivals(100), 0, arm, arm);
    return one.state();
  };
  EXPECT_TRUE(play(1) == play(1));
  EXPECT_FALSE(play(1) == play(2));
}

}  // namespace
}  // namespace leadsman
