#include "stats/registry.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace leadsman {
namespace {

Registry::Reader Constant(double value) {
  return [value] {
    MetricSample sample;
    sample.value = value;
    return std::vector<MetricSample>{sample};
  };
}

TEST(RegistryTest, CollectsFamiliesSortedByName) {
  Registry registry;
  auto b = registry.Add({"leadsman_b", "B.", MetricType::kGauge, {}}, Constant(2));
  auto a = registry.Add({"leadsman_a", "A.", MetricType::kGauge, {}}, Constant(1));
  auto families = registry.Collect();
  ASSERT_EQ(families.size(), 2u);
  EXPECT_EQ(families[0].description->name, "leadsman_a");
  EXPECT_EQ(families[0].samples[0].value, 1);
  EXPECT_EQ(families[1].description->name, "leadsman_b");
}

TEST(RegistryTest, JoinsSamplesOfTheSameNameIntoOneFamily) {
  Registry registry;
  auto reader = [](std::string server) {
    return [server] {
      MetricSample sample;
      sample.label_values = {server};
      return std::vector<MetricSample>{sample};
    };
  };
  MetricDescription description{
      "leadsman_net_requests_total", "Requests.", MetricType::kCounter, {"server"}};
  auto a = registry.Add(description, reader("api"));
  auto b = registry.Add(description, reader("admin"));
  auto families = registry.Collect();
  ASSERT_EQ(families.size(), 1u);
  EXPECT_EQ(families[0].samples.size(), 2u);
  EXPECT_EQ(registry.Descriptions().size(), 1u);
}

TEST(RegistryTest, ForgetsAFamilyWithItsRegistration) {
  Registry registry;
  {
    auto registration = registry.Add({"leadsman_a", "A.", MetricType::kGauge, {}}, Constant(1));
    auto moved = std::move(registration);
    EXPECT_EQ(registry.Collect().size(), 1u);
  }
  EXPECT_TRUE(registry.Collect().empty());
}

TEST(RegistryTest, DescriptionOutlivesItsRegistration) {
  Registry registry;
  std::vector<MetricFamily> families;
  {
    auto registration = registry.Add({"leadsman_a", "A.", MetricType::kGauge, {}}, Constant(1));
    families = registry.Collect();
  }
  EXPECT_EQ(families[0].description->help, "A.");
}

TEST(RegistryTest, RemovalWaitsForAReaderInProgress) {
  Registry registry;
  std::atomic<bool> stop{false};
  std::thread scraper([&] {
    while (!stop) registry.Collect();
  });
  for (int i = 0; i < 300; ++i) {
    auto state = std::make_unique<int>(i);
    auto registration =
        registry.Add({"leadsman_a", "A.", MetricType::kGauge, {}}, [p = state.get()] {
          MetricSample sample;
          sample.value = *p;  // ASan and TSan see a reader that outlives its registration
          return std::vector<MetricSample>{sample};
        });
    registration = Registry::Registration();
    state.reset();
  }
  stop = true;
  scraper.join();
}

TEST(RegistryTest, AReaderThatThrowsKeepsNobodyWaiting) {
  Registry registry;
  auto registration = registry.Add({"leadsman_a", "A.", MetricType::kGauge, {}},
                                   []() -> std::vector<MetricSample> { throw std::bad_alloc(); });
  EXPECT_THROW(registry.Collect(), std::bad_alloc);
  registration = Registry::Registration();  // returns
  EXPECT_TRUE(registry.Collect().empty());
}

TEST(RegistryTest, KnowsValidNames) {
  EXPECT_TRUE(IsValidMetricName("leadsman_monitor_events_total"));
  EXPECT_FALSE(IsValidMetricName("9lives"));
  EXPECT_FALSE(IsValidMetricName("a-b"));
  EXPECT_FALSE(IsValidMetricName(""));
  EXPECT_TRUE(IsValidLabelName("model"));
  EXPECT_FALSE(IsValidLabelName("__name__"));
  EXPECT_FALSE(IsValidLabelName("a:b"));
}

}  // namespace
}  // namespace leadsman
