#include "storage/triton_config.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/testing/temp_dir.h"

namespace leadsman {
namespace {

class TritonConfigTest : public testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(dir_.path() / name) << text;
  }
  Result<TritonConfig> Read() { return ReadTritonConfig(dir_.path().string()); }
  TempDir dir_;
};

TEST_F(TritonConfigTest, WithoutAFileThereAreDefaults) {
  TritonConfig config = Read().value();
  EXPECT_EQ(config.max_batch_size, 0);
  EXPECT_FALSE(config.sequences);
  EXPECT_TRUE(config.class_labels.empty());
}

TEST_F(TritonConfigTest, TakesWhatItKnowsAndPassesTheRest) {
  Write("config.pbtxt", R"(
name: "resnet"
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 3, 224, 224 ] } ]
output [
  { name: "y" data_type: TYPE_FP32 dims: [ 1000 ] label_filename: "labels.txt" },
  { name: "z" data_type: TYPE_FP32 dims: [ 2 ] }
]
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 }
instance_group [ { count: 1 kind: KIND_CPU gpus: [ 0 ] rate_limiter { resources [ { name: "r" count: 2 } ] } } ]
sequence_batching {
  max_sequence_idle_microseconds: 5
  control_input [ { name: "START" control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ] } ]
  state [ { input_name: "s" dims: [ 1 ] initial_state: { name: "i" } } ]
}
optimization { execution_accelerators { cpu_execution_accelerator : [ { name : "openvino" } ] } }
version_policy: { specific: { versions: [ 1, 2 ] } }
model_warmup [ { name: "w" batch_size: 1 inputs { key: "x" value: { data_type: TYPE_FP32 dims: [ 3 ] zero_data: true } } } ]
parameters { key: "a" value { string_value: "b" } }
)");
  Write("labels.txt", "cat\r\ndog\n\nfish\n\n");
  TritonConfig config = Read().value();
  EXPECT_EQ(config.max_batch_size, 8);
  EXPECT_TRUE(config.sequences);
  ASSERT_EQ(config.class_labels.size(), 1u);
  EXPECT_EQ(config.class_labels["y"], (std::vector<std::string>{"cat", "dog", "", "fish"}));
}

TEST_F(TritonConfigTest, SaysWhatIsWrong) {
  Write("config.pbtxt", "max_batch_size: \"eight\"\n");
  Status status = Read().status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(status.message().starts_with("config.pbtxt:1:17: ")) << status;

  Write("config.pbtxt", "output { name: \"y\" label_filename: \"none.txt\" }");
  EXPECT_EQ(Read().status().code(), StatusCode::kNotFound);
  Write("config.pbtxt", "output { name: \"y\" label_filename: \"../../etc/passwd\" }");
  EXPECT_EQ(Read().status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace leadsman
