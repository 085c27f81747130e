#include "telemetry/tfserving_metrics.h"

#include <gtest/gtest.h>

#include "lifecycle/types.h"
#include "telemetry/prometheus.h"

namespace leadsman {
namespace {

class TfServingMetricsTest : public ::testing::Test {
 protected:
  TfServingMetricsTest() {
    for (auto [version, backend] : {std::pair(&tf_, "tensorflow"), std::pair(&onnx_, "onnx")}) {
      version->model_name = "m";
      version->backend_name = backend;
    }
    tf_.version = tf_.id = 1;
    onnx_.version = onnx_.id = 2;
    registrations_ = AddTfServingMetrics(serving_, registry_);
  }
  void Finish(const ServableVersion* version, Protocol protocol, TfServingApi api,
              StatusCode code = StatusCode::kOk, uint64_t latency_us = 100) {
    serving_.Started();
    serving_.Finished(version, version ? "m" : "", protocol, api, code,
                      {.latency_ns = latency_us * 1000 + 999,
                       .compute_ns = latency_us * 500,
                       .executed_rows = version ? 1u : 0u},
                      1, 0);
  }
  std::string Page(ExpositionFormat format = ExpositionFormat::kPrometheusText) {
    return RenderMetrics(registry_.Collect(), format);
  }
  bool Has(const std::string& line) { return Page().find("\n" + line + "\n") != std::string::npos; }

  ServableVersion tf_, onnx_;
  Registry registry_;
  ServingMetrics serving_{registry_, /*tfserving=*/true};
  std::vector<Registry::Registration> registrations_;
};

TEST_F(TfServingMetricsTest, CountsRequestsOfItsOwnApi) {
  Finish(&tf_, Protocol::kTfServingGrpc, TfServingApi::kPredict);
  Finish(&onnx_, Protocol::kTfServingRest, TfServingApi::kPredict);
  Finish(&onnx_, Protocol::kTfServingRest, TfServingApi::kRegress, StatusCode::kInvalidArgument);
  Finish(&onnx_, Protocol::kTfServingGrpc, TfServingApi::kUncounted);
  Finish(&onnx_, Protocol::kV2Rest, TfServingApi::kUncounted);
  Finish(nullptr, Protocol::kTfServingRest, TfServingApi::kPredict, StatusCode::kNotFound);
  EXPECT_TRUE(Has(":tensorflow:serving:request_count{model_name=\"m\",status=\"OK\"} 2")) << Page();
  EXPECT_TRUE(
      Has(":tensorflow:serving:request_count{model_name=\"m\",status=\"INVALID_ARGUMENT\"} 1"));
  // A name that a client made up is no label.
  EXPECT_TRUE(Has(":tensorflow:serving:request_count{model_name=\"\",status=\"NOT_FOUND\"} 1"));
}

TEST_F(TfServingMetricsTest, LatenciesAreInMicrosecondsAndHaveItsBounds) {
  Finish(&tf_, Protocol::kTfServingGrpc, TfServingApi::kPredict, StatusCode::kOk, 9);
  Finish(&tf_, Protocol::kTfServingGrpc, TfServingApi::kPredict, StatusCode::kOk, 700'000);
  Finish(&onnx_, Protocol::kTfServingGrpc, TfServingApi::kPredict, StatusCode::kOk, 2'000'000);
  Finish(&onnx_, Protocol::kTfServingRest, TfServingApi::kClassify);
  Finish(&onnx_, Protocol::kTfServingRest, TfServingApi::kPredict, StatusCode::kInternal);
  const std::string grpc = "model_name=\"m\",API=\"Predict\",entrypoint=\"GRPC\"";
  const std::string name = ":tensorflow:serving:request_latency";
  // Bounds as TensorFlow Serving writes them: dashboards ask for them by their text.
  EXPECT_TRUE(Has(name + "_bucket{" + grpc + ",le=\"10\"} 1")) << Page();
  EXPECT_TRUE(Has(name + "_bucket{" + grpc + ",le=\"104.976\"} 1"));
  EXPECT_TRUE(Has(name + "_bucket{" + grpc + ",le=\"708235\"} 2"));
  EXPECT_TRUE(Has(name + "_bucket{" + grpc + ",le=\"1.27482e+06\"} 2"));
  EXPECT_TRUE(Has(name + "_bucket{" + grpc + ",le=\"2.29468e+06\"} 3"));
  EXPECT_TRUE(Has(name + "_bucket{" + grpc + ",le=\"1.47476e+09\"} 3"));
  EXPECT_TRUE(Has(name + "_bucket{" + grpc + ",le=\"+Inf\"} 3"));
  EXPECT_TRUE(Has(name + "_sum{" + grpc + "} 2700009"));
  EXPECT_TRUE(Has(name + "_count{" + grpc + "} 3"));
  // Over REST the method is in lower case; only what was answered is in.
  EXPECT_TRUE(Has(name + "_count{model_name=\"m\",API=\"classify\",entrypoint=\"REST\"} 1"));
  EXPECT_EQ(Page().find("API=\"predict\",entrypoint"), std::string::npos);

  const std::string runtime = ":tensorflow:serving:runtime_latency";
  EXPECT_TRUE(Has(runtime + "_sum{model_name=\"m\",API=\"Predict\",runtime=\"TF1\"} 350004"));
  EXPECT_TRUE(Has(runtime + "_count{model_name=\"m\",API=\"Classify\",runtime=\"onnx\"} 1"));
  EXPECT_NE(Page(ExpositionFormat::kOpenMetrics).find("# TYPE " + name + " histogram\n"),
            std::string::npos);
}

TEST_F(TfServingMetricsTest, GraphRunsAreThoseOfTensorFlow) {
  Finish(&tf_, Protocol::kV2Rest, TfServingApi::kUncounted, StatusCode::kOk, 4000);
  Finish(&onnx_, Protocol::kTfServingGrpc, TfServingApi::kPredict);
  EXPECT_TRUE(Has(":tensorflow:core:graph_runs 1")) << Page();
  EXPECT_TRUE(Has(":tensorflow:core:graph_run_time_usecs 2000"));
  auto families = registry_.Collect();
  EXPECT_EQ(TensorFlowCounter(families, "/tensorflow/core/graph_runs"), 1);
  EXPECT_EQ(TensorFlowCounter(families, "/tensorflow/core/no_such"), 0);
  EXPECT_EQ(TensorFlowCounter(families, "/tensorflow/serving/request_latency"), 0);
}

TEST_F(TfServingMetricsTest, WaitsInQueuesAreThoseOfAllModels) {
  EXPECT_EQ(Page().find("queuing_latency_count"), std::string::npos);
  auto stats = serving_.batching.Of("m", 1);
  stats->CountWait(std::chrono::microseconds(100));
  stats->CountBatch(CloseReason::kFull, 4);
  serving_.batching.Of("n", 1)->CountWait(std::chrono::milliseconds(2));
  const std::string name = ":tensorflow:serving:batching_session:queuing_latency";
  EXPECT_TRUE(Has(name + "_bucket{thread_pool_name=\"batch_threads\",le=\"131.072\"} 1")) << Page();
  EXPECT_TRUE(Has(name + "_sum{thread_pool_name=\"batch_threads\"} 2100"));
  EXPECT_TRUE(Has(name + "_count{thread_pool_name=\"batch_threads\"} 2"));
  EXPECT_TRUE(Has(":tensorflow:serving:batching_session:wrapped_run_count 1"));
}

TEST(TfServingCountsTest, AreKeptOnlyWhenAskedFor) {
  Registry registry;
  ServingMetrics serving(registry);
  serving.Finished(nullptr, "m", Protocol::kTfServingRest, TfServingApi::kPredict,
                   StatusCode::kNotFound, {}, 1, 0);
  EXPECT_TRUE(serving.TensorFlowServing().empty());
}

}  // namespace
}  // namespace leadsman
