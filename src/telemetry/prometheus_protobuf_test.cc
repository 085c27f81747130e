#include "telemetry/prometheus_protobuf.h"

#include <gtest/gtest.h>

#include <cmath>

#include "telemetry/prometheus.h"
#include "telemetry/testing/families.h"
#include "telemetry/testing/wire_message.h"

namespace leadsman {
namespace {

std::string TraceId(int id) { return std::string(31, '0') + std::to_string(id); }

TEST(ExemplarTest, OpenMetricsHasTheNewestOfEachBucketAndTextHasNone) {
  const std::vector<MetricFamily> families = {
      Family("h_seconds", MetricType::kHistogram, {"model"}, {Histogram()})};
  const std::string page = RenderMetrics(families, ExpositionFormat::kOpenMetrics);
  EXPECT_NE(page.find("le=\"0.5\"} 2 # {trace_id=\"" + TraceId(2) + "\"} 0.25 3\n"),
            std::string::npos)
      << page;
  EXPECT_NE(page.find("le=\"1.0\"} 3 # {trace_id=\"" + TraceId(3) + "\"} 1 2\n"), std::string::npos)
      << page;
  EXPECT_NE(page.find("le=\"+Inf\"} 4 # {trace_id=\"" + TraceId(4) + "\"} 3 2.5\n"),
            std::string::npos)
      << page;
  EXPECT_EQ(page.find(TraceId(1)), std::string::npos);
  EXPECT_EQ(RenderMetrics(families, ExpositionFormat::kPrometheusText).find(" # "),
            std::string::npos);
}

TEST(ProtobufTest, HasEveryFamilyWithItsLength) {
  const std::string page = PrometheusProtobuf(
      {Family("a_total", MetricType::kCounter, {"model"}, {Value({"x"}, 3), Value({"\xff"}, 4)}),
       Family("b", MetricType::kGauge, {}, {Value({}, 0.5)}),
       Family("c", MetricType::kGauge, {}, {}),
       Family("h_seconds", MetricType::kHistogram, {"model"}, {Histogram()})});
  std::vector<WireMessage> families;
  for (std::string_view rest = page; !rest.empty();) {
    uint64_t size = 0;
    ASSERT_TRUE(WireReader::TakeVarint(rest, size));
    ASSERT_LE(size, rest.size());
    families.push_back({rest.substr(0, size)});
    rest.remove_prefix(size);
  }
  ASSERT_EQ(families.size(), 3u) << "one without samples is left out";
  EXPECT_EQ(families[0].text(1), "a_total");
  EXPECT_EQ(families[0].number(3), 0u);
  ASSERT_EQ(families[0].all(4).size(), 2u);
  EXPECT_EQ(families[0].all(4)[0].at(1).text(1), "model");
  EXPECT_EQ(families[0].all(4)[0].at(1).text(2), "x");
  EXPECT_EQ(families[0].all(4)[0].at(3).real(1), 3);
  EXPECT_EQ(families[0].all(4)[1].at(1).text(2), "\xef\xbf\xbd");
  EXPECT_EQ(families[1].number(3), 1u);
  EXPECT_EQ(families[1].at(4).at(2).real(1), 0.5);
  EXPECT_EQ(families[2].number(3), 4u);
  const WireMessage histogram = families[2].at(4).at(7);
  EXPECT_EQ(histogram.number(1), 4u);
  EXPECT_EQ(histogram.real(2), 7.5);
  ASSERT_EQ(histogram.all(3).size(), 3u);
  const WireMessage bucket = histogram.all(3)[0];
  EXPECT_EQ(bucket.number(1), 2u);
  EXPECT_EQ(bucket.real(2), 0.5);
  EXPECT_EQ(bucket.at(3).at(1).text(1), "trace_id");
  EXPECT_EQ(bucket.at(3).at(1).text(2), TraceId(2));
  EXPECT_EQ(bucket.at(3).at(3).number(1), 3u);
  EXPECT_TRUE(std::isinf(histogram.all(3)[2].real(2)));
  EXPECT_TRUE(histogram.all(12).empty()) << "it has no native form";
}

TEST(ProtobufTest, NativeBucketsAreRunsOfDifferences) {
  auto native = std::make_shared<NativeHistogram>();
  native->schema = 3;
  native->zero_threshold = 0.25;
  native->zero_count = 2;
  native->first_bucket = -4;
  native->counts = {5, 7, 0, 0, 1, 0, 0, 0, 2};
  MetricSample sample = Histogram();
  sample.native = native;
  const std::string page =
      PrometheusProtobuf({Family("h_seconds", MetricType::kHistogram, {"model"}, {sample})});
  std::string_view rest = page;
  uint64_t size = 0;
  ASSERT_TRUE(WireReader::TakeVarint(rest, size));
  const WireMessage histogram = WireMessage{rest}.at(4).at(7);
  EXPECT_EQ(histogram.number(5), 6u) << "zigzag of 3";
  EXPECT_EQ(histogram.real(6), 0.25);
  EXPECT_EQ(histogram.number(7), 2u);
  // Two zeros are written, three are left out.
  ASSERT_EQ(histogram.all(12).size(), 2u);
  EXPECT_EQ(histogram.all(12)[0].number(1), 7u) << "zigzag of -4";
  EXPECT_EQ(histogram.all(12)[0].number(2), 5u);
  EXPECT_EQ(histogram.all(12)[1].number(1), 6u) << "zigzag of 3";
  EXPECT_EQ(histogram.all(12)[1].number(2), 1u);
  EXPECT_EQ(histogram.zigzags(13), (std::vector<int64_t>{5, 2, -7, 0, 1, 1}));
  EXPECT_EQ(histogram.all(3).size(), 3u) << "the classic buckets are beside them";
}

}  // namespace
}  // namespace leadsman
