#include "telemetry/triton_metrics.h"

#include <gtest/gtest.h>

#include "telemetry/prometheus.h"

namespace leadsman {
namespace {

TEST(TritonMetricsTest, TheNamesAreTritonsInEveryFormat) {
  ModelStatistics s;
  s.model = "m";
  s.version = 3;
  s.inference_count = 12;
  s.execution_count = 5;
  s.success = {7, 9'000'000};
  s.queue = {7, 1'500'000};
  s.compute_infer = {7, 4'000'999};
  s.outcomes[static_cast<size_t>(StatusCode::kOk)] = 7;
  s.outcomes[static_cast<size_t>(StatusCode::kInvalidArgument)] = 2;
  s.outcomes[static_cast<size_t>(StatusCode::kDeadlineExceeded)] = 1;
  s.outcomes[static_cast<size_t>(StatusCode::kInternal)] = 4;
  Registry registry;
  s.pending = 6;
  auto registrations =
      AddTritonMetrics({.statistics = [&] { return std::vector<ModelStatistics>{s}; },
                        .loads =
                            [] {
                              return std::vector<TritonMetricSources::Load>{
                                  {"m", 3, std::chrono::milliseconds(1500)}};
                            }},
                       registry);
  for (auto format : {ExpositionFormat::kPrometheusText, ExpositionFormat::kOpenMetrics}) {
    std::string text = RenderMetrics(registry.Collect(), format);
    for (const char* line :
         {"nv_inference_request_success{model=\"m\",version=\"3\"} 7\n",
          "nv_inference_count{model=\"m\",version=\"3\"} 12\n",
          "nv_inference_exec_count{model=\"m\",version=\"3\"} 5\n",
          "nv_inference_request_duration_us{model=\"m\",version=\"3\"} 9000\n",
          "nv_inference_queue_duration_us{model=\"m\",version=\"3\"} 1500\n",
          "nv_inference_compute_infer_duration_us{model=\"m\",version=\"3\"} 4000\n",
          "nv_inference_request_failure{model=\"m\",reason=\"OTHER\",version=\"3\"} 2\n",
          "nv_inference_request_failure{model=\"m\",reason=\"REJECTED\",version=\"3\"} 1\n",
          "nv_inference_request_failure{model=\"m\",reason=\"BACKEND\",version=\"3\"} 4\n",
          "nv_inference_request_failure{model=\"m\",reason=\"CANCELED\",version=\"3\"} 0\n",
          "# TYPE nv_inference_pending_request_count gauge\n",
          "nv_inference_pending_request_count{model=\"m\",version=\"3\"} 6\n",
          "nv_model_load_duration_secs{model=\"m\",version=\"3\"} 1.5\n", "nv_cpu_utilization ",
          "nv_cpu_memory_total_bytes ", "nv_cpu_memory_used_bytes "}) {
      EXPECT_NE(text.find(line), std::string::npos) << line << text;
    }
    EXPECT_EQ(text.find("nv_inference_count_total"), std::string::npos);
  }
}

}  // namespace
}  // namespace leadsman
