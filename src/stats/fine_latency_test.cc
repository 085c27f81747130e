#include "stats/fine_latency.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

#include "base/rng.h"

namespace leadsman {
namespace {

using Scheme = FineLatencyScheme;

/// The native bucket of a time, by the definition: the least i with ns ≤ 10^9 · 2^(i / 8).
int NativeBucketOf(uint64_t ns) {
  int i = static_cast<int>(std::ceil(8 * std::log2(static_cast<long double>(ns) * 1e-9L))) - 1;
  while (static_cast<long double>(ns) > 1e9L * std::exp2(static_cast<long double>(i) / 8)) ++i;
  return i;
}

/// Values around every edge of both kinds, and random ones.
std::vector<uint64_t> Values() {
  std::vector<uint64_t> values = {0, 1, 1023, 1024, 1025, 1ull << 37, (1ull << 37) + 1, ~0ull};
  for (int k = Scheme::kFirstOctave; k <= Scheme::kEndOctave; ++k) {
    for (int d = -1; d <= 1; ++d) values.push_back((1ull << k) + static_cast<uint64_t>(d));
  }
  for (int i = -158; i <= 56; ++i) {
    const auto edge = static_cast<uint64_t>(1e9L * std::exp2(static_cast<long double>(i) / 8));
    for (int d = -1; d <= 2; ++d) values.push_back(edge + static_cast<uint64_t>(d));
  }
  Rng rng(7);
  for (int i = 0; i < 100'000; ++i) values.push_back(rng() >> (27 + rng.Below(30)));
  return values;
}

TEST(FineLatencySchemeTest, EveryValueIsInItsOctaveAndInItsNativeBucket) {
  for (uint64_t ns : Values()) {
    const Scheme::Place place = Scheme::PlaceOf(ns);
    ASSERT_LT(place.index(), Scheme::kBuckets);
    if (ns <= 1024) {
      EXPECT_EQ(place.index(), 0u) << ns;
    } else if (ns > (1ull << Scheme::kEndOctave)) {
      EXPECT_EQ(place.index(), Scheme::kBuckets - 1) << ns;
    } else {
      const auto octave = static_cast<int>(place.octave) - 1 + Scheme::kFirstOctave;
      EXPECT_GT(ns, 1ull << octave);
      EXPECT_LE(ns, 1ull << (octave + 1));
      EXPECT_EQ(Scheme::NativeBucket(place.octave, place.part), NativeBucketOf(ns)) << ns;
    }
  }
}

TEST(FineLatencySchemeTest, OneSecondIsAnEdgeOfTheNativeSchema) {
  const Scheme::Place place = Scheme::PlaceOf(1'000'000'000);
  EXPECT_EQ(Scheme::NativeBucket(place.octave, place.part), 0);
  const Scheme::Place above = Scheme::PlaceOf(1'000'000'001);
  EXPECT_EQ(Scheme::NativeBucket(above.octave, above.part), 1);
}

TEST(FineLatencySampleTest, BothFormsAreExact) {
  FineLatencyBuckets buckets{};
  std::map<int, uint64_t> native;
  std::vector<uint64_t> values;
  uint64_t zero = 0;
  for (uint64_t ns : Values()) {
    if (ns > (1ull << Scheme::kEndOctave)) continue;
    values.push_back(ns);
    ++buckets[Scheme::PlaceOf(ns).index()];
    if (ns == 0 || NativeBucketOf(ns) <= -159) {
      ++zero;
    } else {
      ++native[NativeBucketOf(ns)];
    }
  }
  const MetricSample sample = FineLatencySample({"m"}, buckets, 1.5, 13, 34);
  EXPECT_EQ(sample.count, values.size());
  EXPECT_EQ(sample.sum, 1.5);
  ASSERT_EQ(sample.upper_bounds.size(), 22u);
  for (size_t i = 0; i < sample.upper_bounds.size(); ++i) {
    EXPECT_EQ(sample.upper_bounds[i], std::ldexp(1e-9, 13 + static_cast<int>(i)));
    const uint64_t edge = 1ull << (13 + i);
    EXPECT_EQ(sample.cumulative[i],
              std::count_if(values.begin(), values.end(), [&](uint64_t ns) { return ns <= edge; }));
  }
  ASSERT_NE(sample.native, nullptr);
  EXPECT_EQ(sample.native->schema, 3);
  EXPECT_EQ(sample.native->zero_count, zero);
  EXPECT_EQ(sample.native->zero_threshold, std::exp2(-159.0 / 8));
  ASSERT_FALSE(sample.native->counts.empty());
  EXPECT_NE(sample.native->counts.front(), 0u);
  EXPECT_NE(sample.native->counts.back(), 0u);
  for (size_t i = 0; i < sample.native->counts.size(); ++i) {
    const int bucket = sample.native->first_bucket + static_cast<int>(i);
    EXPECT_EQ(sample.native->counts[i], native[bucket]) << bucket;
  }
}

TEST(FineLatencySampleTest, NothingCountedIsNothingShown) {
  const MetricSample sample = FineLatencySample({}, {}, 0, 13, 34);
  EXPECT_EQ(sample.count, 0u);
  EXPECT_TRUE(sample.native->counts.empty());
  EXPECT_EQ(sample.native->zero_count, 0u);
}

}  // namespace
}  // namespace leadsman
