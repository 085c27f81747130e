#include "telemetry/prometheus.h"

#include <gtest/gtest.h>
#include <stdio.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "base/testing/temp_dir.h"
#include "stats/latency_quantile.h"
#include "stats/process_metrics.h"

namespace leadsman {
namespace {

class PrometheusTest : public ::testing::Test {
 protected:
  void Add(MetricDescription description, std::vector<MetricSample> samples) {
    registrations_.push_back(
        registry_.Add(std::move(description), [samples = std::move(samples)] { return samples; }));
  }
  static MetricSample Value(std::vector<std::string> labels, double value) {
    MetricSample sample;
    sample.label_values = std::move(labels);
    sample.value = value;
    return sample;
  }
  std::string Render(ExpositionFormat format = ExpositionFormat::kPrometheusText) {
    return RenderMetrics(registry_.Collect(), format);
  }

  Registry registry_;
  std::vector<Registry::Registration> registrations_;
};

TEST_F(PrometheusTest, RendersCountersAndGauges) {
  Add({"leadsman_a_total", "Things.", MetricType::kCounter, {"model"}},
      {Value({"digits"}, 3), Value({"iris"}, 1e15)});
  Add({"leadsman_b", "Level.", MetricType::kGauge, {}}, {Value({}, 0.25)});
  EXPECT_EQ(Render(),
            "# HELP leadsman_a_total Things.\n"
            "# TYPE leadsman_a_total counter\n"
            "leadsman_a_total{model=\"digits\"} 3\n"
            "leadsman_a_total{model=\"iris\"} 1e+15\n"
            "# HELP leadsman_b Level.\n"
            "# TYPE leadsman_b gauge\n"
            "leadsman_b 0.25\n");
}

TEST_F(PrometheusTest, OpenMetricsNamesCountersWithoutTotalAndEndsWithEof) {
  Add({"leadsman_a_total", "Say \"hi\".", MetricType::kCounter, {}}, {Value({}, 3)});
  EXPECT_EQ(Render(ExpositionFormat::kOpenMetrics),
            "# HELP leadsman_a Say \\\"hi\\\".\n"
            "# TYPE leadsman_a counter\n"
            "leadsman_a_total 3\n"
            "# EOF\n");
}

TEST_F(PrometheusTest, EscapesLabelValuesAndHelp) {
  Add({"leadsman_a", "back\\slash\nand \"quote\"", MetricType::kGauge, {"x"}},
      {Value({"a\\b\n\"c\""}, 1)});
  EXPECT_EQ(Render(),
            "# HELP leadsman_a back\\\\slash\\nand \"quote\"\n"
            "# TYPE leadsman_a gauge\n"
            "leadsman_a{x=\"a\\\\b\\n\\\"c\\\"\"} 1\n");
}

TEST_F(PrometheusTest, ReplacesBytesThatAreNotUtf8) {
  Add({"leadsman_a", "A.", MetricType::kGauge, {"x"}},
      {Value({"\xff|\xc3\xa9|\xc0\xaf|\xed\xa0\x80|\xe2\x82"}, 1)});
  std::string page = Render();
  EXPECT_NE(page.find("x=\"\xef\xbf\xbd|\xc3\xa9|\xef\xbf\xbd\xef\xbf\xbd|"), std::string::npos);
}

TEST_F(PrometheusTest, PicturesStandForControlCharacters) {
  using namespace std::string_literals;
  Add({"leadsman_a", "A.", MetricType::kGauge, {"x"}}, {Value({"a\0b\x1f\tc\x7f"s}, 1)});
  EXPECT_NE(Render().find("x=\"a\u2400b\u241f\tc\u2421\""), std::string::npos);
}

TEST_F(PrometheusTest, RendersSpecialValues) {
  Add({"leadsman_a", "A.", MetricType::kGauge, {"x"}},
      {Value({"n"}, NAN), Value({"p"}, INFINITY), Value({"m"}, -INFINITY)});
  std::string page = Render();
  EXPECT_NE(page.find("{x=\"n\"} NaN\n"), std::string::npos);
  EXPECT_NE(page.find("{x=\"p\"} +Inf\n"), std::string::npos);
  EXPECT_NE(page.find("{x=\"m\"} -Inf\n"), std::string::npos);
}

TEST_F(PrometheusTest, RendersHistogramsCumulatively) {
  MetricSample sample;
  sample.label_values = {"digits"};
  sample.upper_bounds = {0.5, 1};
  sample.cumulative = {2, 3};
  sample.count = 4;
  sample.sum = 7.5;
  Add({"leadsman_h_seconds", "H.", MetricType::kHistogram, {"model"}}, {sample});
  EXPECT_EQ(Render(),
            "# HELP leadsman_h_seconds H.\n"
            "# TYPE leadsman_h_seconds histogram\n"
            "leadsman_h_seconds_bucket{model=\"digits\",le=\"0.5\"} 2\n"
            "leadsman_h_seconds_bucket{model=\"digits\",le=\"1\"} 3\n"
            "leadsman_h_seconds_bucket{model=\"digits\",le=\"+Inf\"} 4\n"
            "leadsman_h_seconds_sum{model=\"digits\"} 7.5\n"
            "leadsman_h_seconds_count{model=\"digits\"} 4\n");
  EXPECT_NE(Render(ExpositionFormat::kOpenMetrics).find("le=\"1.0\"} 3\n"), std::string::npos);
}

/// The judge is Prometheus itself.
TEST_F(PrometheusTest, PromtoolTakesThePage) {
  registrations_ = AddProcessMetrics(registry_, "0.1.0");
  LatencyBuckets buckets{};
  for (uint64_t us = 1; us < 100'000; us += 13) ++buckets[LatencyScheme::Index(us * 1000)];
  Add({"leadsman_test_latency_seconds", "Latency.", MetricType::kHistogram, {"model"}},
      {LatencySample({"digits"}, buckets, 12.5)});
  Add({"leadsman_test_things_total",
       "Things, \"quoted\" and \\ escaped.",
       MetricType::kCounter,
       {"x"}},
      {Value({"a\\b\n\"c\""}, 1), Value({"\xff"}, 2)});
  TempDir dir;
  std::ofstream(dir.file("metrics")) << Render();
  std::string command = "promtool check metrics < '" + dir.file("metrics") + "' 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  char buffer[4096];
  while (size_t n = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, n);
  int status = pclose(pipe);
  ASSERT_NE(WEXITSTATUS(status), 127) << "promtool is missing: apt-get install prometheus";
  EXPECT_EQ(status, 0) << output;
}

TEST(ChooseFormatTest, FollowsTheAcceptHeader) {
  using enum ExpositionFormat;
  EXPECT_EQ(ChooseFormat(""), kPrometheusText);
  EXPECT_EQ(ChooseFormat("*/*"), kPrometheusText);
  EXPECT_EQ(ChooseFormat("text/html,application/xhtml+xml,*/*;q=0.8"), kPrometheusText);
  EXPECT_EQ(ChooseFormat("application/openmetrics-text; version=1.0.0"), kOpenMetrics);
  // Prometheus 2.42 (Debian 12)
  EXPECT_EQ(ChooseFormat("application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
                         "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
            kOpenMetrics);
  EXPECT_EQ(ChooseFormat("application/openmetrics-text;q=0.1, text/plain"), kPrometheusText);
  EXPECT_EQ(ChooseFormat("application/openmetrics-text;q=0"), kPrometheusText);
  // The same with --enable-feature=native-histograms
  EXPECT_EQ(ChooseFormat("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
                         "encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,"
                         "application/openmetrics-text;version=0.0.1;q=0.75,"
                         "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
            kProtobuf);
  EXPECT_EQ(ChooseFormat("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
                         "encoding=text"),
            kPrometheusText);
  EXPECT_EQ(ChooseFormat("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
                         "encoding=delimited;q=0.3,text/plain;q=0.5"),
            kPrometheusText);
  EXPECT_EQ(ChooseFormat("application/openmetrics-text;version=9.0.0"), kPrometheusText);
  EXPECT_EQ(ChooseFormat(";;,,;q=x"), kPrometheusText);
}

class FakeExchange final : public net::HttpExchange {
 public:
  const net::HttpRequest& request() const override { return request_; }
  net::HttpResponse& response() override { return response_; }
  void Defer() override {}
  void FinishFromAnyThread() override {}
  void WhenGone(std::function<void()>) override {}
  net::HttpRequest request_;
  net::HttpResponse response_;
};

TEST_F(PrometheusTest, AnswersInTheFormatAskedFor) {
  Add({"leadsman_a_total", "A.", MetricType::kCounter, {}}, {Value({}, 1)});
  SeriesBudget metrics(registry_, 0);
  FakeExchange exchange;
  exchange.request_.method = "GET";
  exchange.request_.fields = {{"Accept", "application/openmetrics-text"}};
  HandleMetrics(metrics, exchange);
  EXPECT_EQ(exchange.response_.status, 200);
  EXPECT_EQ(exchange.response_.content_type,
            "application/openmetrics-text; version=1.0.0; charset=utf-8");
  EXPECT_TRUE(exchange.response_.body.ends_with("# EOF\n"));
  exchange.response_.Clear();
  exchange.request_.method = "POST";
  HandleMetrics(metrics, exchange);
  EXPECT_EQ(exchange.response_.status, 405);
}

TEST_F(PrometheusTest, ReferencePageListsEveryMetric) {
  Add({"leadsman_a_total", "A | b.", MetricType::kCounter, {"model", "version"}}, {});
  EXPECT_EQ(MetricsReferenceMarkdown(registry_),
            "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n"
            "| `leadsman_a_total` | counter | `model`, `version` | A \\| b. |\n");
}

}  // namespace
}  // namespace leadsman
