#include <gtest/gtest.h>

#include "stats/latency_quantile.h"
#include "stats/latency_scheme.h"

namespace leadsman {
namespace {

TEST(LatencySchemeTest, EveryValueLiesInItsBucket) {
  for (uint64_t ns = 1024; ns < (1ull << 36); ns += 1 + ns / 97) {
    size_t i = LatencyScheme::Index(ns);
    ASSERT_LT(i, LatencyScheme::kBuckets);
    EXPECT_GE(ns, LatencyScheme::LowerEdge(i));
    EXPECT_LT(ns, LatencyScheme::LowerEdge(i + 1));
  }
  EXPECT_EQ(LatencyScheme::Index(0), 0u);
  EXPECT_EQ(LatencyScheme::Index(~0ull), LatencyScheme::kBuckets - 1);
}

TEST(LatencyQuantileTest, EmptyHistogramGivesZero) {
  EXPECT_EQ(LatencyQuantileSeconds(LatencyBuckets{}, 0.99), 0);
}

TEST(LatencyQuantileTest, StaysWithinTheBucketWidth) {
  LatencyBuckets buckets{};
  for (int us = 1; us <= 1000; ++us)
    ++buckets[LatencyScheme::Index(static_cast<uint64_t>(us) * 1000)];
  EXPECT_NEAR(LatencyQuantileSeconds(buckets, 0.5), 500e-6, 500e-6 * 0.125);
  EXPECT_NEAR(LatencyQuantileSeconds(buckets, 0.99), 990e-6, 990e-6 * 0.125);
  EXPECT_GE(LatencyQuantileSeconds(buckets, 1), LatencyQuantileSeconds(buckets, 0.999));
}

TEST(LatencySampleTest, CumulativeCountsAreExactAtTheBounds) {
  LatencyBuckets buckets{};
  buckets[LatencyScheme::Index(500)] += 3;             // below all bounds
  buckets[LatencyScheme::Index(1'000'000)] += 5;       // 1 ms
  buckets[LatencyScheme::Index(60'000'000'000)] += 2;  // above all
  MetricSample sample = LatencySample({"m"}, buckets, 120.005);
  ASSERT_EQ(sample.upper_bounds.size(), sample.cumulative.size());
  EXPECT_EQ(sample.upper_bounds.size(), 41u);
  EXPECT_EQ(sample.count, 10u);
  EXPECT_EQ(sample.cumulative.front(), 3u);
  EXPECT_EQ(sample.cumulative.back(), 8u);
  EXPECT_TRUE(std::is_sorted(sample.upper_bounds.begin(), sample.upper_bounds.end()));
}

}  // namespace
}  // namespace leadsman
