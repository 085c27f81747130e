#include "serving/request_exemplars.h"

#include <gtest/gtest.h>

#include "serving/metrics.h"

namespace leadsman {
namespace {

Exemplar Trace(uint8_t id) {
  Exemplar exemplar;
  exemplar.trace_id[15] = id;
  exemplar.unix_ms = 1'700'000'000'000 + id;
  return exemplar;
}

TEST(RequestExemplarsTest, KeepsTheLastOfEachOctave) {
  RequestExemplars exemplars;
  exemplars.Add({"iris", "1"}, 900'000, 0, Trace(1));
  exemplars.Add({"iris", "1"}, 50'000, 20'000, Trace(2));
  exemplars.Add({"iris", "1"}, 800'000, 0, Trace(3));
  const std::vector<Exemplar> latency = exemplars.Read({"iris", "1"}, RequestExemplars::kLatency);
  ASSERT_EQ(latency.size(), 2u);
  EXPECT_EQ(latency[0].trace_id[15], 2);
  EXPECT_DOUBLE_EQ(latency[0].value, 50e-6);
  EXPECT_EQ(latency[1].trace_id[15], 3);
  const std::vector<Exemplar> compute = exemplars.Read({"iris", "1"}, RequestExemplars::kCompute);
  ASSERT_EQ(compute.size(), 1u) << "the model did not run for the others";
  EXPECT_DOUBLE_EQ(compute[0].value, 20e-6);
  EXPECT_TRUE(exemplars.Read({"iris", "2"}, RequestExemplars::kLatency).empty());
  exemplars.Forget({"iris", "1"});
  EXPECT_TRUE(exemplars.Read({"iris", "1"}, RequestExemplars::kLatency).empty());
}

TEST(RequestExemplarsTest, OneTooManyTakesThePlaceOfTheOneToldOfLongestAgo) {
  RequestExemplars exemplars;
  for (size_t i = 0; i < RequestExemplars::kMaxVersions; ++i)
    exemplars.Add({"m", std::to_string(i)}, 1000, 0, Trace(1));
  exemplars.Add({"m", "0"}, 1000, 0, Trace(2));
  exemplars.Add({"m", "new"}, 1000, 0, Trace(3));
  EXPECT_TRUE(exemplars.Read({"m", "1"}, RequestExemplars::kLatency).empty());
  EXPECT_EQ(exemplars.Read({"m", "0"}, RequestExemplars::kLatency).size(), 1u);
  EXPECT_EQ(exemplars.Read({"m", "new"}, RequestExemplars::kLatency).size(), 1u);
}

TEST(ServingMetricsTest, HistogramsHaveTheExemplarsAndTheNativeForm) {
  Registry registry;
  RequestExemplars exemplars;
  ServingMetrics metrics(registry, false, &exemplars);
  ServableVersion version;
  version.model_name = "iris";
  version.version = 1;
  version.id = 1;
  metrics.Started();
  metrics.Finished(&version, "iris", Protocol::kV2Rest, TfServingApi::kUncounted, StatusCode::kOk,
                   {.latency_ns = 300'000, .compute_ns = 100'000}, 1, 0);
  exemplars.Add({"iris", "1"}, 300'000, 100'000, Trace(1));
  int seen = 0;
  for (const MetricFamily& family : registry.Collect()) {
    if (!family.description->name.ends_with("_duration_seconds") || family.samples.empty())
      continue;
    ++seen;
    const MetricSample& sample = family.samples.front();
    EXPECT_EQ(sample.count, 1u);
    EXPECT_EQ(sample.exemplars.size(), 1u);
    ASSERT_NE(sample.native, nullptr);
    EXPECT_EQ(sample.native->counts, std::vector<uint64_t>{1});
  }
  EXPECT_EQ(seen, 2);
}

}  // namespace
}  // namespace leadsman
