#include "monitor/value_variety.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/rng.h"
#include "monitor/content_profile.h"

namespace leadsman {
namespace {

TEST(ValueVarietyTest, ACategoryIsCountedExactly) {
  ValueVariety variety;
  for (int i = 0; i < 1000; ++i) variety.Add(static_cast<float>(i % 10 < 7 ? 1 : i % 10), 1);
  EXPECT_TRUE(variety.exact());
  EXPECT_EQ(variety.distinct(), 4);
  const auto frequent = variety.MostFrequent(10);
  ASSERT_EQ(frequent.size(), 4u);
  EXPECT_EQ(frequent[0].value, 1.0f);
  EXPECT_DOUBLE_EQ(frequent[0].at_least, 0.7);
  EXPECT_DOUBLE_EQ(frequent[0].at_most, 0.7);
  EXPECT_DOUBLE_EQ(frequent[1].at_least, 0.1);
  EXPECT_EQ(variety.MostFrequent(2).size(), 2u);
}

TEST(ValueVarietyTest, AValueThatStandsForMissingIsFoundAmongMeasurements) {
  Rng rng(7);
  ValueVariety variety;
  constexpr int kValues = 100'000;
  for (int i = 0; i < kValues; ++i)
    variety.Add(rng.Uniform() < 0.2 ? -999.0f : static_cast<float>(rng.Uniform()), 1);
  EXPECT_FALSE(variety.exact());
  EXPECT_NEAR(variety.distinct(), 0.8 * kValues, 4 * DistinctCount::kStandardError * 0.8 * kValues);
  const auto frequent = variety.MostFrequent(10);
  ASSERT_EQ(frequent.size(), 1u) << "and no measurement";
  EXPECT_EQ(frequent[0].value, -999.0f);
  EXPECT_NEAR(frequent[0].at_least, 0.2, 0.05);
  EXPECT_NEAR(frequent[0].at_most, 0.2, 0.05);
}

TEST(ValueVarietyTest, WhatCameSeldomIsNotTold) {
  ValueVariety variety;
  for (int i = 0; i < 19; ++i) variety.Add(41, 1);
  EXPECT_TRUE(variety.MostFrequent(10).empty()) << "it may be one person's";
  variety.Add(41, 1);
  EXPECT_EQ(variety.MostFrequent(10).size(), 1u);
  for (int i = 0; i < 10'000; ++i) variety.Add(1, 1);
  EXPECT_EQ(variety.MostFrequent(10).size(), 1u) << "a share of 0.2 % is none that matters";
}

TEST(ValueVarietyTest, WeightsCountAndWhatIsNotFiniteDoesNot) {
  ValueVariety variety;
  for (int i = 0; i < 30; ++i) variety.Add(3, 1);
  for (int i = 0; i < 30; ++i) variety.Add(4, 2.9);
  variety.Add(std::numeric_limits<float>::quiet_NaN(), 5);
  variety.Add(std::numeric_limits<float>::infinity(), 5);
  for (int i = 0; i < 40; ++i) variety.Add(i % 2 == 0 ? 0.0f : -0.0f, 2);
  EXPECT_EQ(variety.distinct(), 3);
  const auto frequent = variety.MostFrequent(10);
  ASSERT_EQ(frequent.size(), 2u) << "of 3 there may have been ten requests of weight three";
  EXPECT_EQ(frequent[0].value, 4.0f);
  EXPECT_DOUBLE_EQ(frequent[0].at_least, 0.45);
  EXPECT_EQ(frequent[1].value, 0.0f);
  EXPECT_DOUBLE_EQ(frequent[1].at_least, 0.4);
}

TEST(ValueVarietyTest, OneRequestThatStandsForManyIsOne) {
  ValueVariety variety;
  variety.Add(41, 1000);
  EXPECT_TRUE(variety.MostFrequent(10).empty());
}

TEST(ValueVarietyTest, MergedAndReadBackEqualsWhole) {
  Rng rng(3);
  ValueVariety parts[3], whole;
  for (int i = 0; i < 30'000; ++i) {
    const auto value = static_cast<float>(std::floor(rng.Uniform() * rng.Uniform() * 20));
    parts[i % 3].Add(value, 1);
    whole.Add(value, 1);
  }
  ValueVariety merged;
  for (const ValueVariety& part : parts) {
    ValueVariety read;
    ASSERT_TRUE(read.Parse(part.ToBytes()));
    merged.Merge(read);
  }
  EXPECT_EQ(merged.distinct(), whole.distinct());
  EXPECT_EQ(merged.ToBytes(), whole.ToBytes());

  // Of many values the number of different ones is the same, too.
  ValueVariety many[2], all;
  for (int i = 0; i < 50'000; ++i) {
    const auto value = static_cast<float>(rng.Uniform());
    many[i % 2].Add(value, 1);
    all.Add(value, 1);
  }
  ValueVariety read;
  ASSERT_TRUE(read.Parse(many[1].ToBytes()));
  EXPECT_LE(many[1].ToBytes().size(), 4096u);
  many[0].Merge(read);
  EXPECT_EQ(many[0].distinct(), all.distinct());
}

TEST(ValueVarietyTest, OtherBytesAreRefused) {
  ValueVariety variety;
  for (int i = 0; i < 300; ++i) variety.Add(static_cast<float>(i % 40), 1);
  const std::string bytes = variety.ToBytes();
  ValueVariety read;
  for (size_t cut = 0; cut < bytes.size(); ++cut)
    EXPECT_FALSE(read.Parse(bytes.substr(0, cut))) << cut;
  EXPECT_FALSE(read.Parse(bytes + "x"));
  EXPECT_EQ(read.distinct(), 0);
  EXPECT_TRUE(read.Parse(bytes));
  EXPECT_EQ(read.distinct(), 40);
}

TEST(ValueVarietyTest, AWideInputHasTheFirstFeaturesOnly) {
  ContentProfile content;
  std::vector<float> wide(784, 2.0f);
  PredictionEvent event;
  event.features = wide;
  content.Fold(event);
  EXPECT_EQ(content.features.size(), 784u);
  EXPECT_EQ(content.variety.size(), ContentProfile::kMaxVaried);
  ContentProfile other;
  other.Merge(content);
  EXPECT_EQ(other.variety.size(), ContentProfile::kMaxVaried);
  EXPECT_EQ(other.variety[5].distinct(), 1);
}

}  // namespace
}  // namespace leadsman
