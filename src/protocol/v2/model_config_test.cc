#include "protocol/v2/model_config.h"

#include <gtest/gtest.h>

#include <fstream>

#include "protocol/v2/config_json.h"
#include "protocol/v2/metadata_json.h"
#include "serving/testing/serving_world.h"

namespace leadsman::v2 {
namespace {

class ModelConfigTest : public testing::Test {
 protected:
  ModelConfig& Add() {
    ModelConfig& config = world_.AddModel("iris", {1});
    config.execution = ExecutionMode::kAuto;
    return config;
  }
  void Start(const std::string& config_pbtxt = "") {
    if (!config_pbtxt.empty())
      std::ofstream(world_.folder() / "iris" / kTritonConfigName) << config_pbtxt;
    std::ofstream(world_.folder() / "iris" / "labels.txt") << "a\nb\nc\n";
    world_.Start();
    handle_ = world_.predictor().Find({.model = "iris"}).value();
  }
  std::string Json() {
    std::string json;
    AppendModelConfig(json, *handle_);
    return json;
  }
  void TearDown() override { handle_.reset(); }

  ServingWorld world_;
  Handle handle_;
};

TEST_F(ModelConfigTest, WithoutAFileOrABatchShapesAreWhole) {
  Add();
  Start();
  EXPECT_EQ(Json(), R"({"name":"iris","platform":"fake_fake","backend":"fake",)"
                    R"("version_policy":{"all":{}},"max_batch_size":0,"input":[{"name":"x",)"
                    R"("data_type":"TYPE_FP32","format":"FORMAT_NONE","dims":[-1,4],)"
                    R"("is_shape_tensor":false,"allow_ragged_batch":false,"optional":false}],)"
                    R"("output":[{"name":"label","data_type":"TYPE_INT64","dims":[-1],)"
                    R"("label_filename":"","is_shape_tensor":false},{"name":"probabilities",)"
                    R"("data_type":"TYPE_FP32","dims":[-1,3],"label_filename":"",)"
                    R"("is_shape_tensor":false}],"batch_input":[],"batch_output":[],)"
                    R"("instance_group":[{"name":"iris_0","kind":"KIND_CPU","count":1,"gpus":[],)"
                    R"("profile":[]}],"default_model_filename":"","cc_model_filenames":{},)"
                    R"("metric_tags":{},"parameters":{},"model_warmup":[]})");
}

TEST_F(ModelConfigTest, ShowsWhatTheFileSays) {
  Add();
  Start(R"(
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ 2, 2 ] reshape { shape: [ 4 ] } }
output { name: "probabilities" data_type: TYPE_FP32 dims: 3 label_filename: "labels.txt" }
version_policy { latest { num_versions: 2 } }
instance_group [ { count: 2 }, { count: 1 } ]
dynamic_batching {
  preferred_batch_size: [ 8, 4 ] max_queue_delay_microseconds: 100 priority_levels: 3 default_priority_level: 2
  default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 5000 max_queue_size: 64 }
  priority_queue_policy { key: 1 value { max_queue_size: 10 } }
}
cc_model_filenames { key: "7.5" value: "t4.bin" }
parameters { key: "owner" value { string_value: "vision \"team\"" } }
)");
  EXPECT_EQ(
      Json(),
      R"({"name":"iris","platform":"fake_fake","backend":"fake",)"
      R"("version_policy":{"all":{}},"max_batch_size":8,"input":[{"name":"x",)"
      R"("data_type":"TYPE_FP32","format":"FORMAT_NONE","dims":[2,2],"reshape":{"shape":[4]},)"
      R"("is_shape_tensor":false,"allow_ragged_batch":false,"optional":false}],)"
      R"("output":[{"name":"probabilities","data_type":"TYPE_FP32","dims":[3],)"
      R"("label_filename":"labels.txt","is_shape_tensor":false}],)"
      R"("batch_input":[],"batch_output":[],"dynamic_batching":{"preferred_batch_size":[4,8],)"
      R"("max_queue_delay_microseconds":100,"preserve_ordering":false,"priority_levels":3,)"
      R"("default_priority_level":2,"default_queue_policy":{"timeout_action":"DELAY",)"
      R"("default_timeout_microseconds":5000,"allow_timeout_override":false,"max_queue_size":64},)"
      R"("priority_queue_policy":{"1":{"timeout_action":"REJECT",)"
      R"("default_timeout_microseconds":0,"allow_timeout_override":false,)"
      R"("max_queue_size":10}}},"instance_group":[{"name":"iris_0","kind":"KIND_CPU","count":3,)"
      R"("gpus":[],"profile":[]}],"default_model_filename":"",)"
      R"("cc_model_filenames":{"7.5":"t4.bin"},"metric_tags":{},)"
      R"("parameters":{"owner":{"string_value":"vision \"team\""}},"model_warmup":[]})");
  std::string metadata;
  AppendModelMetadata(metadata, *handle_, {});
  EXPECT_NE(
      metadata.find(R"("inputs":[{"name":"x","datatype":"FP32","shape":[-1,2,2]}],)"
                    R"("outputs":[{"name":"probabilities","datatype":"FP32","shape":[-1,3]}])"),
      std::string::npos)
      << metadata;
}

TEST_F(ModelConfigTest, BatchingOfOurOwnConfigurationIsShownAlike) {
  ModelConfig& config = Add();
  config.batching.emplace().max_batch_size = 16;
  config.instances = 2;
  Start();
  ModelConfigView view = DescribeModel(*handle_);
  EXPECT_EQ(view.max_batch_size, 16);
  EXPECT_EQ(view.inputs[0].dims, Shape{4});
  EXPECT_EQ(view.outputs[0].dims, Shape());
  EXPECT_EQ(view.instances, 2);
  EXPECT_EQ(view.priorities.levels, 0u);
  ASSERT_NE(view.batching, nullptr);
  EXPECT_EQ(view.batching->queue.max_size, 1024u);
}

TEST_F(ModelConfigTest, TheFileSaysThePlatformAndTheBackend) {
  Add();
  Start();
  ServableVersion version;
  version.backend_name = "tensorflow";
  version.format = "tensorflow";
  EXPECT_EQ(PlatformOf(version), "tensorflow_savedmodel");
  auto triton = std::make_shared<TritonConfig>();
  triton->backend = "fil";
  version.triton = triton;
  EXPECT_EQ(PlatformOf(version), "fil");
  triton->platform = "onnxruntime_onnx";
  EXPECT_EQ(PlatformOf(version), "onnxruntime_onnx");
}

}  // namespace
}  // namespace leadsman::v2
