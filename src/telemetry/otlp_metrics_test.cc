#include "telemetry/otlp_metrics.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/testing/fake_clock.h"
#include "telemetry/otlp_metrics_sender.h"
#include "telemetry/testing/families.h"
#include "telemetry/testing/wire_message.h"

namespace leadsman {
namespace {

TEST(OtlpMetricsTest, SumsAreCumulativeAndHistogramsHaveTheirBounds) {
  const std::vector<OtlpBody> bodies =
      OtlpMetrics({"svc", "host:8502", "1.2", "host"},
                  {Family("a_bytes_total", MetricType::kCounter, {"model"}, {Value({"x"}, 3)}),
                   Family("b", MetricType::kGauge, {}, {Value({}, 0.5)}),
                   Family("h_seconds", MetricType::kHistogram, {"model"}, {Histogram()})},
                  {.start_unix_ns = 100, .unix_ns = 200});
  ASSERT_EQ(bodies.size(), 1u);
  EXPECT_EQ(bodies[0].points, 3u);
  const WireMessage all = WireMessage{bodies[0].bytes}.at(1);
  const std::vector<WireMessage> attributes = all.at(1).all(1);
  ASSERT_EQ(attributes.size(), 4u);
  EXPECT_EQ(attributes[0].text(1), "service.name");
  EXPECT_EQ(attributes[0].at(2).text(1), "svc");
  EXPECT_EQ(attributes[1].text(1), "service.instance.id");
  EXPECT_EQ(attributes[1].at(2).text(1), "host:8502");
  EXPECT_EQ(all.at(2).at(1).text(1), "leadsman");
  const std::vector<WireMessage> metrics = all.at(2).all(2);
  ASSERT_EQ(metrics.size(), 3u);
  EXPECT_EQ(metrics[0].text(1), "a_bytes_total");
  EXPECT_EQ(metrics[0].text(3), "By");
  EXPECT_EQ(metrics[0].at(7).number(2), 2u) << "cumulative";
  EXPECT_EQ(metrics[0].at(7).number(3), 1u) << "monotonic";
  const WireMessage point = metrics[0].at(7).at(1);
  EXPECT_EQ(point.number(2), 100u);
  EXPECT_EQ(point.number(3), 200u);
  EXPECT_EQ(point.real(4), 3);
  EXPECT_EQ(point.at(7).text(1), "model");
  EXPECT_EQ(point.at(7).at(2).text(1), "x");
  EXPECT_EQ(metrics[1].at(5).at(1).real(4), 0.5);
  EXPECT_EQ(metrics[2].at(9).number(2), 2u);
  const WireMessage histogram = metrics[2].at(9).at(1);
  EXPECT_EQ(histogram.number(4), 4u);
  EXPECT_EQ(histogram.real(5), 7.5);
  auto numbers = [&](uint32_t field, auto zero) {
    std::string_view packed = histogram.at(field).bytes;
    std::vector<decltype(zero)> values(packed.size() / sizeof(zero));
    std::memcpy(values.data(), packed.data(), packed.size());
    return values;
  };
  EXPECT_EQ(numbers(6, uint64_t{0}), (std::vector<uint64_t>{2, 1, 1}));
  EXPECT_EQ(numbers(7, 0.0), (std::vector<double>{0.5, 1}));
  ASSERT_EQ(histogram.all(8).size(), 4u);
  EXPECT_EQ(histogram.all(8)[0].real(3), 0.1);
  EXPECT_EQ(histogram.all(8)[0].number(2), 1'000'000'000u);
  EXPECT_EQ(histogram.all(8)[0].at(5).bytes.size(), 16u);
  EXPECT_EQ(histogram.all(8)[0].at(4).bytes.size(), 8u);
}

TEST(OtlpMetricsTest, ManyPointsBecomeSeveralBodies) {
  std::vector<MetricSample> samples;
  for (int i = 0; i < 25; ++i) samples.push_back(Value({std::to_string(i)}, i));
  const std::vector<OtlpBody> bodies =
      OtlpMetrics({},
                  {Family("a", MetricType::kGauge, {}, {Value({}, 1)}),
                   Family("b", MetricType::kGauge, {"x"}, samples)},
                  {}, 10);
  ASSERT_EQ(bodies.size(), 3u);
  EXPECT_EQ(bodies[0].points, 10u);
  EXPECT_EQ(bodies[1].points, 10u);
  EXPECT_EQ(bodies[2].points, 6u);
  EXPECT_EQ(WireMessage{bodies[1].bytes}.at(1).at(2).at(2).text(1), "b");
  EXPECT_TRUE(OtlpMetrics({}, {Family("a", MetricType::kGauge, {}, {})}, {}).empty());
}

TEST(OtlpMetricsSenderTest, SendsOnceMoreAtTheEndAndCountsWhatCouldNotGo) {
  Registry registry;
  FakeClock clock;
  OtlpMetricsOptions options;
  options.url = "http://127.0.0.1:9/v1/metrics";
  options.interval = std::chrono::hours(1);
  int collected = 0;
  auto sender = OtlpMetricsSender::Create({.clock = clock,
                                           .registry = registry,
                                           .collect =
                                               [&] {
                                                 ++collected;
                                                 return registry.Collect();
                                               },
                                           .source = {},
                                           .started = clock.Now()},
                                          options);
  ASSERT_TRUE(sender.ok()) << sender.status();
  sender->reset();
  EXPECT_EQ(collected, 1);
  EXPECT_TRUE(registry.Collect().empty()) << "its own families are gone with it";
  options.headers_file = "/nonexistent/token";
  auto refused = OtlpMetricsSender::Create(
      {.clock = clock, .registry = registry, .collect = {}, .source = {}}, options);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.status().message().find("telemetry.metrics.otlp.headers_file"),
            std::string_view::npos);
}

TEST(MetricsOptionsTest, TheUrlHasItsPathByHttpAlone) {
  auto problems = [](const std::string& yaml) {
    std::vector<ConfigProblem> found;
    MetricsOptions read;
    schema::ReadYaml(yaml, MetricsOptionsSchema(), read, found);
    return FormatProblems("f", found);
  };
  EXPECT_EQ(problems("otlp: {url: 'http://c:4317'}"), "");
  EXPECT_NE(problems("otlp: {url: 'http://c:4317/v1/metrics'}").find("gRPC"), std::string::npos);
  EXPECT_NE(problems("otlp: {url: 'http://c:4318'}").find("/v1/metrics"), std::string::npos);
  EXPECT_NE(problems("otlp: {ca_file: ca.pem}").find("nothing is sent"), std::string::npos);
  EXPECT_EQ(problems("{max_series: 0, otlp: {url: 'http://c:4318/v1/metrics', interval: 5s}}"), "");
}

}  // namespace
}  // namespace leadsman
