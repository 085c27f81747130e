#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/rng.h"
#include "math/distinct_count.h"
#include "math/heavy_hitters.h"
#include "math/quantile_sketch.h"
#include "math/sketch_hash.h"

namespace leadsman {
namespace {

/// A value of a stream that has everything: many magnitudes, both signs, zeros, ties, what is not
/// finite.
double AnyValue(Rng& rng) {
  switch (rng.Below(12)) {
    case 0:
      return 0;
    case 1:
      return static_cast<double>(rng.Below(5));
    case 2:
      return rng.Below(50) ? -7.5 : std::numeric_limits<double>::infinity();
    case 3:
      return rng.Below(50) ? 1e-12 * rng.Uniform() : std::nan("");
    case 4:
      return std::ldexp(rng.Uniform() - 0.5, static_cast<int>(rng.Below(200)) - 100);
    default:
      return std::exp(8 * (rng.Uniform() - 0.5)) * (rng.Below(2) ? 1 : -1);
  }
}

// --- quantiles ------------------------------------------------------------------------------------

TEST(QuantileSketchTest, EveryQuantileIsWithinTheStatedRelativeError) {
  Rng rng(1);
  for (double spread : {0.01, 1.0, 4.0}) {
    std::vector<double> values(20'000);
    QuantileSketch sketch;
    for (double& v : values) {
      v = std::exp(spread * (rng.Uniform() + rng.Uniform() + rng.Uniform() - 1.5)) *
          (rng.Below(3) ? 1 : -1);
      sketch.Add(v);
    }
    std::sort(values.begin(), values.end());
    for (size_t rank = 1; rank <= values.size(); rank += 37) {
      double exact = values[rank - 1];
      double q = static_cast<double>(rank) / static_cast<double>(values.size());
      ASSERT_NEAR(sketch.Quantile(q), exact,
                  QuantileSketch::kRelativeError * std::fabs(exact) * (1 + 1e-12))
          << "spread " << spread << " rank " << rank;
    }
    EXPECT_EQ(sketch.Quantile(0), values.front());
    EXPECT_EQ(sketch.Quantile(1), values.back());
  }
}

TEST(QuantileSketchTest, ZerosAndWhatIsNotFiniteAreCountedApart) {
  QuantileSketch sketch;
  sketch.Add(0, 4);
  sketch.Add(-0.0);
  sketch.Add(1e-310);
  sketch.Add(std::nan(""), 2);
  sketch.Add(-std::numeric_limits<double>::infinity());
  sketch.Add(3, 0);
  EXPECT_EQ(sketch.zeros(), 6u);
  EXPECT_EQ(sketch.non_finite(), 3u);
  EXPECT_EQ(sketch.count(), 6u);
  EXPECT_EQ(sketch.Quantile(0.5), 0);
}

TEST(QuantileSketchTest, AnEmptyOneAnswersZero) {
  QuantileSketch sketch;
  EXPECT_EQ(sketch.Quantile(0.5), 0);
  EXPECT_EQ(sketch.Rank(1), 0);
  EXPECT_TRUE(sketch.Bins().empty());
}

TEST(QuantileSketchTest, StaysBoundedAndKeepsTheLargeEndOverTheWholeRangeOfDoubles) {
  for (bool rising : {true, false}) {
    QuantileSketch sketch;
    for (int i = 0; i <= 2000; ++i) sketch.Add(std::ldexp(1.0, rising ? i - 1000 : 1000 - i));
    sketch.Add(std::numeric_limits<double>::max());
    EXPECT_EQ(sketch.count(), 2002u);
    EXPECT_TRUE(sketch.collapsed());
    EXPECT_LE(sketch.Bins().size(), QuantileSketch::kMaxBins);
    EXPECT_EQ(sketch.min(), std::ldexp(1.0, -1000));
    double near_top = std::ldexp(1.0, 1000);
    EXPECT_NEAR(sketch.Quantile(2001.0 / 2002), near_top,
                near_top * QuantileSketch::kRelativeError);
    EXPECT_TRUE(std::isfinite(sketch.Quantile(0.5)));
  }
}

TEST(QuantileSketchTest, MergedEqualsWholeInAnyOrder) {
  Rng rng(2);
  for (int round = 0; round < 60; ++round) {
    QuantileSketch whole;
    std::vector<QuantileSketch> parts(1 + rng.Below(5));
    for (int i = 0; i < 400; ++i) {
      double value = AnyValue(rng);
      uint64_t count = 1 + rng.Below(3);
      whole.Add(value, count);
      parts[rng.Below(parts.size())].Add(value, count);
    }
    QuantileSketch forward, backward;
    for (size_t i = 0; i < parts.size(); ++i) {
      forward.Merge(parts[i]);
      backward.Merge(parts[parts.size() - 1 - i]);
    }
    ASSERT_EQ(forward, whole);
    ASSERT_EQ(backward, whole);
  }
}

TEST(QuantileSketchTest, RankIsTheShareBelow) {
  QuantileSketch sketch;
  for (int i = 1; i <= 1000; ++i) sketch.Add(i);
  EXPECT_NEAR(sketch.Rank(250), 0.25, 0.01);
  EXPECT_EQ(sketch.Rank(-1), 0);
  EXPECT_EQ(sketch.Rank(5000), 1);
}

TEST(QuantileSketchTest, BytesGiveTheSameSketchAndAreFew) {
  Rng rng(3);
  for (int round = 0; round < 30; ++round) {
    QuantileSketch sketch;
    for (uint64_t i = rng.Below(500); i > 0; --i) sketch.Add(AnyValue(rng));
    auto again = QuantileSketch::Parse(sketch.ToBytes());
    ASSERT_TRUE(again.has_value());
    ASSERT_EQ(*again, sketch);
  }
  QuantileSketch latency;  // 1 ms to 1 s
  for (int i = 0; i < 100'000; ++i) latency.Add(std::pow(10, 3 * rng.Uniform() - 3));
  EXPECT_LE(latency.ToBytes().size(), 800u);
}

// --- distinct values ------------------------------------------------------------------------------

TEST(DistinctCountTest, IsExactForFew) {
  DistinctCount distinct;
  for (int round = 0; round < 3; ++round) {
    for (uint64_t i = 0; i < DistinctCount::kMaxExact; ++i) distinct.Add(SketchHash(i));
  }
  EXPECT_TRUE(distinct.exact());
  EXPECT_EQ(distinct.Estimate(), 128);
}

TEST(DistinctCountTest, ErrorsAreWithinTheStatedStandardErrorAndCentredAtEverySize) {
  // 100 streams a size: the root mean square within 25 % of 1.6 % (its own standard error is 7 %;
  // below the number of registers the estimate is better), the mean within three of its own.
  for (uint64_t size : {129u, 500u, 2'000u, 6'000u, 12'000u, 40'000u}) {
    double sum = 0, squares = 0;
    constexpr int kStreams = 100;
    for (uint64_t stream = 0; stream < kStreams; ++stream) {
      DistinctCount distinct;
      for (uint64_t i = 0; i < size; ++i) distinct.Add(SketchHash((stream << 32) + i));
      double error = distinct.Estimate() / static_cast<double>(size) - 1;
      sum += error;
      squares += error * error;
    }
    double rms = std::sqrt(squares / kStreams);
    EXPECT_LE(rms, 1.25 * DistinctCount::kStandardError) << size;
    EXPECT_LE(std::fabs(sum / kStreams), 3 * rms / std::sqrt(kStreams)) << size;
  }
}

TEST(DistinctCountTest, MergedEqualsWhole) {
  Rng rng(4);
  for (uint64_t size : {20u, 100u, 200u, 3'000u}) {
    DistinctCount whole, left, right;
    for (uint64_t i = 0; i < size; ++i) {
      uint64_t hash = SketchHash(rng.Below(size));
      whole.Add(hash);
      if (rng.Below(3) > 0) {
        left.Add(hash);
      } else {
        right.Add(hash);
      }
    }
    DistinctCount one = left, other = right;
    one.Merge(right);
    other.Merge(left);
    EXPECT_EQ(one, whole) << size;
    EXPECT_EQ(other, whole) << size;
    EXPECT_EQ(DistinctCount::Parse(whole.ToBytes()), whole) << size;
  }
}

TEST(SketchHashTest, EqualValuesHaveOneHashAndOthersDiffer) {
  EXPECT_EQ(SketchHash(0.0), SketchHash(-0.0));
  EXPECT_EQ(SketchHash(std::nan("1")), SketchHash(-std::nan("2")));
  std::set<uint64_t> hashes;
  std::string text;
  for (int i = 0; i < 100; ++i, text += '\0') hashes.insert(SketchHash(std::string_view(text)));
  for (int i = 0; i < 10'000; ++i) {
    hashes.insert(SketchHash(std::string_view(std::to_string(i) + "abcdefgh")));
  }
  EXPECT_EQ(hashes.size(), 10'100u);
}

// --- frequent values ------------------------------------------------------------------------------

/// Zipf-like: value i about 1/i as often as the first.
std::string Word(Rng& rng) {
  return "w" + std::to_string(static_cast<int>(std::exp(rng.Uniform() * std::log(3000.0))));
}

void ExpectBounds(const HeavyHitters& heavy, const std::map<std::string, uint64_t>& truth) {
  std::set<std::string> kept;
  for (const auto& value : heavy.Top(heavy.capacity())) {
    kept.insert(value.key);
    uint64_t exact = truth.contains(value.key) ? truth.at(value.key) : 0;
    ASSERT_LE(value.at_least, exact) << value.key;
    ASSERT_GE(value.at_most, exact) << value.key;
    ASSERT_LE(value.at_most - value.at_least, heavy.total() / heavy.capacity()) << value.key;
  }
  ASSERT_LE(heavy.Unseen(), heavy.total() / heavy.capacity());
  for (const auto& [key, count] : truth) {
    if (!kept.contains(key)) {
      ASSERT_LE(count, heavy.Unseen()) << key;
    }
  }
}

TEST(HeavyHittersTest, BoundsHoldForEveryValueOfOneStreamAndOfManyMerged) {
  Rng rng(5);
  for (int round = 0; round < 25; ++round) {
    std::map<std::string, uint64_t> truth;
    HeavyHitters whole(32), merged(32);
    size_t parts = 1 + rng.Below(6);
    for (size_t part = 0; part < parts; ++part) {
      HeavyHitters here(round % 5 == 4 ? 16 + 8 * part : 32);
      for (uint64_t i = rng.Below(2000); i > 0; --i) {
        std::string word = Word(rng);
        uint64_t count = 1 + rng.Below(3);
        truth[word] += count;
        whole.Add(word, count);
        here.Add(word, count);
      }
      merged.Merge(here);
      ASSERT_EQ(HeavyHitters::Parse(merged.ToBytes()), merged);
    }
    EXPECT_EQ(merged.total(), whole.total());
    ExpectBounds(whole, truth);
    ExpectBounds(merged, truth);
  }
}

TEST(HeavyHittersTest, MergedEqualsWholeWhileThereIsRoom) {
  Rng rng(6);
  HeavyHitters whole(64), left(64), right(64);
  for (int i = 0; i < 3000; ++i) {
    std::string word = "w" + std::to_string(rng.Below(60));
    whole.Add(word);
    (rng.Below(2) ? left : right).Add(word);
  }
  left.Merge(right);
  EXPECT_EQ(left, whole);
  EXPECT_EQ(left.Unseen(), 0u);
  for (const auto& value : left.Top(64)) EXPECT_EQ(value.at_least, value.at_most);
}

TEST(HeavyHittersTest, FindsWhatIsFrequentAmongAMillionDifferent) {
  HeavyHitters heavy(64);
  for (int i = 0; i < 100'000; ++i) {
    heavy.Add("id-" + std::to_string(i));
    if (i % 20 == 0) heavy.Add("the robot");
  }
  auto top = heavy.Top(1);
  EXPECT_EQ(top[0].key, "the robot");
  EXPECT_GE(top[0].at_most, 5000u);
  EXPECT_EQ(heavy.size(), 64u);
}

TEST(HeavyHittersTest, LongValuesAreBoundedAndToldApart) {
  HeavyHitters heavy(8);
  std::string base;
  for (int i = 0; i < 500; ++i) base += "ж";
  heavy.Add(base + "1");
  heavy.Add(base + "2");
  heavy.Add(base + "2");
  auto top = heavy.Top(8);
  ASSERT_EQ(top.size(), 2u);
  EXPECT_EQ(top[0].at_most, 2u);
  EXPECT_LE(top[0].key.size(), HeavyHitters::kMaxKeyBytes);
  EXPECT_EQ(HeavyHitters::Parse(heavy.ToBytes()), heavy);
}

// --- bytes ----------------------------------------------------------------------------------------

TEST(SketchBytesTest, DamagedBytesAreRefusedOrReadAsASketchThatWritesItself) {
  Rng rng(7);
  QuantileSketch quantiles;
  DistinctCount few, many;
  HeavyHitters heavy(8);
  for (int i = 0; i < 300; ++i) {
    quantiles.Add(AnyValue(rng));
    if (i < 20) few.Add(rng());
    many.Add(rng());
    heavy.Add(Word(rng));
  }
  for (const std::string& good :
       {quantiles.ToBytes(), few.ToBytes(), many.ToBytes(), heavy.ToBytes()}) {
    for (int round = 0; round < 3000; ++round) {
      std::string bytes = good;
      for (uint64_t i = rng.Below(3); i > 0; --i) {
        bytes[rng.Below(bytes.size())] = static_cast<char>(rng());
      }
      if (rng.Below(2)) bytes.resize(rng.Below(bytes.size() + 1));
      if (auto q = QuantileSketch::Parse(bytes)) {
        ASSERT_EQ(QuantileSketch::Parse(q->ToBytes()), q);
      }
      if (auto d = DistinctCount::Parse(bytes)) {
        ASSERT_EQ(DistinctCount::Parse(d->ToBytes()), d);
      }
      if (auto h = HeavyHitters::Parse(bytes)) {
        ASSERT_EQ(HeavyHitters::Parse(h->ToBytes()), h);
      }
    }
    EXPECT_FALSE(QuantileSketch::Parse(good + "x"));
    EXPECT_FALSE(DistinctCount::Parse(good + "x"));
    EXPECT_FALSE(HeavyHitters::Parse(good + "x"));
  }
}

}  // namespace
}  // namespace leadsman
