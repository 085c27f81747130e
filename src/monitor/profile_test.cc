#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "monitor/class_counts.h"
#include "monitor/event_codec.h"
#include "monitor/feature_profile.h"

namespace leadsman {
namespace {

TEST(ValueSketchTest, QuantilesStayWithinTheRelativeErrorOverManyMagnitudes) {
  std::mt19937_64 random(1);
  std::lognormal_distribution<float> draw(0, 3);
  std::vector<float> values(20'000);
  ValueSketch sketch;
  for (float& v : values) {
    v = draw(random);
    if (random() % 2) v = -v;
    sketch.Add(v, 1);
  }
  std::sort(values.begin(), values.end());
  for (double q : {0.001, 0.01, 0.1, 0.25, 0.4, 0.6, 0.9, 0.99, 0.999}) {
    double exact = values[static_cast<size_t>(std::llround(q * 20'000)) - 1];
    EXPECT_NEAR(sketch.Quantile(q), exact, 0.031 * std::fabs(exact)) << q;
  }
}

TEST(ValueSketchTest, StaysBoundedAndKeepsTheLargeEndOverTheWholeFloatRange) {
  ValueSketch sketch;
  for (int e = 120; e >= -120; --e) sketch.Add(std::ldexp(1.0f, e), 1);
  for (int e = -120; e <= 120; ++e) sketch.Add(std::ldexp(1.0f, e), 1);
  EXPECT_EQ(sketch.count(), 482);
  double top = std::ldexp(1.0, 120);
  EXPECT_NEAR(sketch.Quantile(1), top, 0.033 * top);
  EXPECT_GT(sketch.Quantile(0), 0);
  sketch.Add(std::numeric_limits<float>::max(), 1);
  EXPECT_TRUE(std::isfinite(sketch.Quantile(1)));
}

TEST(ValueSketchTest, AJumpBeyondTheSpanCollapsesTheOldOnes) {
  ValueSketch sketch;
  sketch.Add(1e-30f, 3);
  sketch.Add(1e30f, 1);
  EXPECT_EQ(sketch.count(), 4);
  EXPECT_NEAR(sketch.Quantile(1), 1e30, 0.033e30);
}

TEST(ValueSketchTest, ZerosAndWeightsCount) {
  ValueSketch sketch;
  sketch.Add(0, 5);
  sketch.Add(-0.0f, 5);
  sketch.Add(2, 10);
  EXPECT_EQ(sketch.zeros(), 10);
  EXPECT_EQ(sketch.Quantile(0.4), 0);
  EXPECT_NEAR(sketch.Quantile(0.9), 2, 0.064);
}

TEST(ValueSketchTest, MergingIsAddingTogether) {
  ValueSketch a, b, both;
  for (int i = 1; i < 1000; ++i) {
    float v = static_cast<float>(i) * (i % 3 == 0 ? -1.0f : 1.0f);
    (i % 2 ? a : b).Add(v, 2);
    both.Add(v, 2);
  }
  a.Merge(b);
  EXPECT_EQ(a.count(), both.count());
  for (double q : {0.0, 0.1, 0.5, 0.9, 1.0}) EXPECT_EQ(a.Quantile(q), both.Quantile(q)) << q;
}

TEST(FeatureProfileTest, MeanDeviationAndExtremesAreRightFarFromZero) {
  FeatureProfile profile;
  for (int i = 0; i < 1000; ++i) profile.Add(1e6f + static_cast<float>(i % 10), 1);
  EXPECT_NEAR(profile.mean(), 1e6 + 4.5, 1e-6);
  EXPECT_NEAR(profile.standard_deviation(), 2.8722813, 1e-6);
  EXPECT_EQ(profile.min(), 1e6f);
  EXPECT_EQ(profile.max(), 1e6f + 9);
  EXPECT_EQ(profile.weight(), 1000);
}

TEST(FeatureProfileTest, NonFiniteValuesAreCountedApart) {
  FeatureProfile profile;
  profile.Add(std::nanf(""), 2);
  profile.Add(std::numeric_limits<float>::infinity(), 1);
  profile.Add(3, 1);
  EXPECT_EQ(profile.non_finite(), 3);
  EXPECT_EQ(profile.weight(), 1);
  EXPECT_EQ(profile.mean(), 3);
}

TEST(ClassCountsTest, ShowsTheMostFrequentAndSumsUpTheRest) {
  ClassTable table;
  ClassCounts counts;
  for (int c = 0; c < 300; ++c) {
    for (int k = 0; k < 300 - c; ++k) counts.Add(table.IndexOf("class " + std::to_string(c)));
  }
  auto summary = counts.Summary(table);
  EXPECT_EQ(summary.size(), 33u);
  EXPECT_EQ(summary["class 0"], 300u);
  EXPECT_EQ(summary["class 31"], 269u);
  uint64_t total = 0;
  for (auto& [name, count] : summary) total += count;
  EXPECT_EQ(total, 300u * 301 / 2);
}

TEST(ClassTableTest, TellsSimilarNamesApart) {
  ClassTable table;
  size_t a = table.IndexOf("aaaaaaaaXbbbbbbbb");
  size_t b = table.IndexOf("aaaaaaaaYbbbbbbbb");
  EXPECT_NE(a, b);
  EXPECT_EQ(table.IndexOf("aaaaaaaaXbbbbbbbb"), a);
  EXPECT_NE(table.IndexOf(""), a);
}

TEST(EventCodecTest, GivesBackWhatWasWritten) {
  std::vector<float> features{1, 2.5f, -3};
  std::vector<std::string> texts(20, "seven");
  std::vector<std::string_view> predicted(texts.begin(), texts.end());
  PredictionEvent event;
  event.model = "digits";
  event.version = 3;
  event.version_id = 17;
  event.protocol = Protocol::kV2Rest;
  event.outcome = StatusCode::kInternal;
  event.drawn = true;
  event.unix_ms = 1234567890123;
  event.latency_ns = 5'000'000'000;
  event.compute_ns = 77;
  event.rows = 20;
  event.request_id = "a-request";
  event.features = features;
  event.feature_weight = 13;
  event.predicted = predicted;
  const std::vector<std::string_view> labels = {"seven", "", "eight"};
  event.labels = labels;
  event.score = 0.75f;
  const std::vector<float> row_scores(20, 0.25f);
  const std::vector<std::string_view> segments{"acme", "< 18", "(none)"};
  event.answer = AnswerKind::kClass;
  event.score_of = ScoreOf::kSecondClass;
  event.row_scores = row_scores;
  event.segments = segments;
  std::vector<float> class_scores(20 * 3);
  std::iota(class_scores.begin(), class_scores.end(), 0.5f);
  event.class_scores = {3, class_scores};
  alignas(8) std::byte buffer[2048];
  size_t size = EncodeEvent(event, features.size(), buffer);
  EXPECT_EQ(size, EncodedSizeBound(event, features.size()));
  DecodedEvent decoded;
  DecodeEvent(buffer, decoded);
  const PredictionEvent& e = decoded.event;
  EXPECT_EQ(e.model, "digits");
  EXPECT_EQ(e.version, 3);
  EXPECT_EQ(e.version_id, 17u);
  EXPECT_EQ(e.protocol, Protocol::kV2Rest);
  EXPECT_EQ(e.outcome, StatusCode::kInternal);
  EXPECT_TRUE(e.drawn);
  EXPECT_EQ(e.unix_ms, 1234567890123);
  EXPECT_EQ(e.latency_ns, 5'000'000'000u);
  EXPECT_EQ(e.request_id, "a-request");
  EXPECT_EQ(std::vector<float>(e.features.begin(), e.features.end()), features);
  EXPECT_EQ(e.feature_weight, 13);
  EXPECT_EQ(e.score, 0.75f);
  EXPECT_EQ(e.predicted.size(), 16u);
  EXPECT_EQ(e.predicted[15], "seven");
  EXPECT_EQ(e.answer, AnswerKind::kClass);
  EXPECT_EQ(e.score_of, ScoreOf::kSecondClass);
  EXPECT_EQ(std::vector<float>(e.row_scores.begin(), e.row_scores.end()),
            std::vector<float>(16, 0.25f));
  EXPECT_EQ(e.class_scores.classes, 3u);
  EXPECT_EQ(e.class_scores.values.size(), 16u * 3);
  EXPECT_EQ(e.class_scores.of(15)[2], 47.5f);
  EXPECT_TRUE(e.class_scores.of(16).empty());
  EXPECT_EQ(std::vector<std::string_view>(e.segments.begin(), e.segments.end()), segments);
  EXPECT_EQ(std::vector<std::string_view>(e.labels.begin(), e.labels.end()), labels);
}

TEST(EventCodecTest, CutsLongTextsAndLeavesOutLongIds) {
  std::string text(1000, 'x');
  std::vector<std::string_view> predicted{text};
  PredictionEvent event;
  event.model = text;
  event.request_id = text;
  event.predicted = predicted;
  alignas(8) std::byte buffer[1024];
  EXPECT_LE(EncodeEvent(event, 0, buffer), EncodedSizeBound(event, 0));
  DecodedEvent decoded;
  DecodeEvent(buffer, decoded);
  EXPECT_FALSE(decoded.event.drawn);
  EXPECT_EQ(decoded.event.model.size(), 255u);
  EXPECT_TRUE(decoded.event.request_id.empty());
  EXPECT_EQ(decoded.event.predicted[0].size(), 255u);
  EXPECT_TRUE(decoded.event.labels.empty());
}

}  // namespace
}  // namespace leadsman
