#include "math/reference_bins.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/rng.h"

namespace leadsman {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> LogUniform(size_t size, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(size);
  for (float& v : values) {
    v = static_cast<float>(std::exp(6 * rng.Uniform()) * (rng.Below(4) ? 1 : -1));
  }
  return values;
}

BinnedCounts CountOf(const ReferenceBins& bins, std::span<const float> values) {
  BinnedCounts counts(bins);
  for (float v : values) counts.Add(bins, v);
  return counts;
}

TEST(ReferenceBinsTest, EachBinHoldsAPartOfTheReference) {
  std::vector<float> values = LogUniform(10'000, 1);
  for (size_t parts : {2u, 10u, 31u}) {
    ReferenceBins bins = ReferenceBins::FromSample(values, parts);
    ASSERT_EQ(bins.size(), parts);
    BinnedCounts counts = CountOf(bins, values);
    for (uint64_t count : counts.bins()) {
      EXPECT_NEAR(static_cast<double>(count), 10'000.0 / static_cast<double>(parts), 2);
    }
  }
}

TEST(ReferenceBinsTest, AFrequentValueHasABinOfItsOwn) {
  std::vector<float> values(600, 0.0f);
  for (float v : LogUniform(400, 2)) values.push_back(v);
  ReferenceBins bins = ReferenceBins::FromSample(values);
  BinnedCounts counts = CountOf(bins, values);
  size_t zero = bins.IndexOf(0);
  EXPECT_EQ(counts.bins()[zero], 600u);
  EXPECT_NE(bins.IndexOf(1e-30f), zero);
  EXPECT_NE(bins.IndexOf(-1e-30f), zero);
}

TEST(ReferenceBinsTest, AConstantHasABinBelowAndOneAbove) {
  std::vector<float> values(50, 0.1f);
  ReferenceBins bins = ReferenceBins::FromSample(values);
  ASSERT_EQ(bins.size(), 3u);
  EXPECT_EQ(bins.IndexOf(0.1f), 1u);
  EXPECT_EQ(bins.IndexOf(std::nextafter(0.1f, 0.0f)), 0u);
  EXPECT_EQ(bins.IndexOf(std::nextafter(0.1f, 1.0f)), 2u);
}

TEST(ReferenceBinsTest, SmallIntegersFallIntoOneBinEach) {
  std::vector<float> values;
  for (int i = 0; i < 700; ++i) values.push_back(static_cast<float>(i % 7));
  ReferenceBins bins = ReferenceBins::FromSample(values);
  BinnedCounts counts = CountOf(bins, values);
  for (int i = 0; i < 7; ++i) {
    EXPECT_EQ(counts.bins()[bins.IndexOf(static_cast<float>(i))], 100u) << i;
  }
  EXPECT_EQ(counts.bins()[bins.IndexOf(2.5f)], 0u);
}

TEST(ReferenceBinsTest, AlmostAllValuesEqualAndTheWorstTiesStayWithinTheCuts) {
  std::vector<float> values;
  for (int i = 0; i < 31; ++i) {
    for (int k = 0; k < 4; ++k) values.push_back(static_cast<float>(3 * i));
  }
  ReferenceBins bins = ReferenceBins::FromSample(values, 31);
  EXPECT_EQ(bins.cuts().size(), 62u);
  for (int i = 0; i < 31; ++i) {
    EXPECT_EQ(CountOf(bins, values).bins()[bins.IndexOf(static_cast<float>(3 * i))], 4u);
  }
}

TEST(ReferenceBinsTest, AnEmptyReferenceHasOneBinAndExtremesHaveOne) {
  EXPECT_EQ(ReferenceBins::FromSample({}).size(), 1u);
  EXPECT_EQ(ReferenceBins::FromSketch({}).size(), 1u);
  std::vector<float> values{-std::numeric_limits<float>::max(), std::numeric_limits<float>::max(),
                            kInfinity, std::nanf("")};
  ReferenceBins bins = ReferenceBins::FromSample(values);
  BinnedCounts counts = CountOf(bins, values);
  EXPECT_EQ(counts.total(), 4u);
  EXPECT_EQ(counts.non_finite(), 2u);
}

TEST(ReferenceBinsTest, OfASketchTheReferenceIsCountedExactly) {
  std::vector<float> values = LogUniform(20'000, 3);
  for (int i = 0; i < 3000; ++i) values.push_back(0);
  for (int i = 0; i < 4000; ++i) values.push_back(42.5f);
  values.push_back(kInfinity);
  QuantileSketch sketch;
  for (float v : values) sketch.Add(v);
  ReferenceBins bins = ReferenceBins::FromSketch(sketch);
  BinnedCounts exact = CountOf(bins, values);
  EXPECT_EQ(bins.Count(sketch), exact);
  EXPECT_GE(bins.size(), 9u);
  for (size_t i = 0; i < bins.size(); ++i) {
    bool frequent = i == bins.IndexOf(0) || i == bins.IndexOf(42.5f);
    if (!frequent) {
      EXPECT_LE(exact.bins()[i], 27'000u / 10 * 12 / 10) << i;
    }
  }
}

TEST(ReferenceBinsTest, OfASketchOfOneValueItHasThreeBins) {
  QuantileSketch sketch;
  sketch.Add(0.1f, 100);
  ReferenceBins bins = ReferenceBins::FromSketch(sketch);
  EXPECT_EQ(bins.size(), 3u);
  EXPECT_EQ(bins.IndexOf(0.1f), 1u);
  EXPECT_EQ(bins.Count(sketch).bins()[1], 100u);
}

TEST(BinnedCountsTest, MissingAndNonFiniteHaveTheirOwnCells) {
  ReferenceBins bins = ReferenceBins::FromSample(LogUniform(100, 4));
  BinnedCounts counts(bins);
  counts.AddMissing(3);
  counts.Add(bins, std::nanf(""));
  counts.Add(bins, -kInfinity);
  counts.Add(bins, 1);
  EXPECT_EQ(counts.missing(), 3u);
  EXPECT_EQ(counts.non_finite(), 2u);
  EXPECT_EQ(counts.total(), 6u);
  EXPECT_EQ(counts.cells().size(), bins.size() + 2);
}

TEST(BinnedCountsTest, MergedEqualsWholeAndOtherBinsAreRefused) {
  std::vector<float> values = LogUniform(3000, 5);
  ReferenceBins bins = ReferenceBins::FromSample(values);
  BinnedCounts left = CountOf(bins, std::span(values).first(1000));
  BinnedCounts right = CountOf(bins, std::span(values).subspan(1000));
  ASSERT_TRUE(left.Merge(right));
  EXPECT_EQ(left, CountOf(bins, values));
  EXPECT_FALSE(left.Merge(BinnedCounts(ReferenceBins())));
}

TEST(ReferenceBinsTest, BytesGiveTheSameAndDamagedOnesAreRefused) {
  ReferenceBins bins = ReferenceBins::FromSample(LogUniform(1000, 6));
  BinnedCounts counts = CountOf(bins, LogUniform(777, 7));
  EXPECT_EQ(ReferenceBins::Parse(bins.ToBytes()), bins);
  EXPECT_EQ(BinnedCounts::Parse(counts.ToBytes()), counts);
  Rng rng(8);
  for (int round = 0; round < 3000; ++round) {
    for (std::string bytes : {bins.ToBytes(), counts.ToBytes()}) {
      bytes[rng.Below(bytes.size())] = static_cast<char>(rng());
      if (rng.Below(2)) bytes.resize(rng.Below(bytes.size()));
      if (auto b = ReferenceBins::Parse(bytes)) {
        ASSERT_EQ(ReferenceBins::Parse(b->ToBytes()), b);
      }
      if (auto c = BinnedCounts::Parse(bytes)) {
        ASSERT_EQ(BinnedCounts::Parse(c->ToBytes()), c);
      }
    }
  }
}

}  // namespace
}  // namespace leadsman
