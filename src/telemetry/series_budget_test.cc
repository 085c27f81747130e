#include "telemetry/series_budget.h"

#include <gtest/gtest.h>

#include "telemetry/prometheus.h"

namespace leadsman {
namespace {

class SeriesBudgetTest : public ::testing::Test {
 protected:
  void Add(std::string name, MetricType type, std::vector<std::string> labels, int samples,
           size_t bounds = 0) {
    std::vector<MetricSample> values;
    for (int i = 0; i < samples; ++i) {
      MetricSample& sample = values.emplace_back();
      sample.label_values.assign(labels.size(), std::to_string(i));
      sample.upper_bounds.assign(bounds, 1);
      sample.cumulative.assign(bounds, 0);
    }
    registrations_.push_back(
        registry_.Add({name, "Help.", type, std::move(labels)}, [values] { return values; }));
  }
  static std::string LeftOut(const SeriesBudget& budget) {
    std::string text;
    for (const auto& one : budget.view().left_out)
      text += one.family + ":" + std::to_string(one.series) + (one.buckets_only ? "b " : " ");
    return text;
  }
  /// With the two families of its own.
  std::string With(size_t max_series) {
    SeriesBudget budget(registry_, max_series);
    budget.Collect();
    EXPECT_TRUE(max_series == 0 || budget.view().series <= max_series);
    return LeftOut(budget);
  }

  Registry registry_;
  std::vector<Registry::Registration> registrations_;
};

TEST_F(SeriesBudgetTest, DetailsGoFirstThenBucketsThenTheLargest) {
  Add("class_total", MetricType::kCounter, {"model", "class"}, 30);
  Add("feature", MetricType::kGauge, {"model", "feature"}, 40);
  Add("h_seconds", MetricType::kHistogram, {"model"}, 10, 7);  // 100 series
  Add("requests_total", MetricType::kCounter, {"model"}, 20);
  const size_t all = 30 + 40 + 100 + 20 + 2;
  EXPECT_EQ(With(0), "");
  EXPECT_EQ(With(all), "");
  EXPECT_EQ(With(all - 1), "feature:40 ");
  EXPECT_EQ(With(all - 41), "feature:40 class_total:30 ");
  EXPECT_EQ(With(all - 71), "feature:40 class_total:30 h_seconds:70b ");
  EXPECT_EQ(With(all - 141), "feature:40 class_total:30 h_seconds:70b h_seconds:30 ");
}

TEST_F(SeriesBudgetTest, WhatIsLeftOutIsCountedAtEachReading) {
  Add("feature", MetricType::kGauge, {"feature"}, 40);
  SeriesBudget budget(registry_, 10);
  budget.Collect();
  budget.Collect();
  double dropped = -1, series = -1;
  for (const MetricFamily& family : budget.Collect()) {
    if (family.description->name == "leadsman_metrics_series_dropped_total")
      dropped = family.samples.at(0).value;
    if (family.description->name == "leadsman_metrics_series") series = family.samples.at(0).value;
    if (family.description->name == "feature") {
      EXPECT_TRUE(family.samples.empty());
    }
  }
  EXPECT_EQ(dropped, 80);
  EXPECT_EQ(series, 2);
}

TEST_F(SeriesBudgetTest, AHistogramWithoutBucketsKeepsItsCountAndSum) {
  Add("h_seconds", MetricType::kHistogram, {"model"}, 1, 30);
  SeriesBudget budget(registry_, 10);
  const std::string page = RenderMetrics(budget.Collect(), ExpositionFormat::kPrometheusText);
  EXPECT_NE(page.find("h_seconds_bucket{model=\"0\",le=\"+Inf\"} 0\n"), std::string::npos) << page;
  EXPECT_NE(page.find("h_seconds_count{model=\"0\"} 0\n"), std::string::npos);
  EXPECT_EQ(page.find("le=\"1\""), std::string::npos);
}

}  // namespace
}  // namespace leadsman
