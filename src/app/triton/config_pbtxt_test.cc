#include "app/triton/config_pbtxt.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/testing/temp_dir.h"

namespace leadsman::triton {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals

class ConfigPbtxtTest : public testing::Test {
 protected:
  Config::Model Read(const std::string& text) {
    std::ofstream(dir_.file(kConfigFileName)) << text;
    Config::Model model;
    model.model.name = "net";
    model.model.path = dir_.path().string();
    warnings_.clear();
    Status status = ApplyConfigPbtxt(model, warnings_);
    error_ = status.message();
    // Only the part behind the path, which differs from run to run.
    for (size_t at; (at = error_.find(dir_.path().string() + "/")) != std::string::npos;)
      error_.erase(at, dir_.path().string().size() + 1);
    return model;
  }
  TempDir dir_;
  std::vector<std::string> warnings_;
  std::string error_;
};

TEST_F(ConfigPbtxtTest, AModelAsTritonsDocumentationHasIt) {
  ModelConfig model = Read(R"(
name: "net"
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "input0" data_type: TYPE_FP32 dims: [ 16 ] },
        { name: "input1" data_type: TYPE_INT64 dims: [ -1, 4 ] optional: true } ]
output [ { name: "output0" data_type: TYPE_STRING dims: [ 1 ] reshape: { shape: [ ] } } ]
version_policy: { specific { versions: [1, 3] } }
instance_group [ { count: 2 kind: KIND_CPU }, { count: 1 kind: KIND_GPU gpus: [ 0 ] } ]
dynamic_batching {
  preferred_batch_size: [ 4, 8 ]
  max_queue_delay_microseconds: 100
  priority_levels: 3
  default_priority_level: 2
  default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 5000 allow_timeout_override: true max_queue_size: 64 }
  priority_queue_policy { key: 1 value { max_queue_size: 10 } }
}
model_warmup { name: "w" batch_size: 1 count: 3 inputs { key: "input0" value { data_type: TYPE_FP32 dims: 16 zero_data: true } } }
parameters { key: "graph_optimization" value { string_value: "all" } }
optimization { execution_accelerators { cpu_execution_accelerator: [ { name: "openvino" } ] } }
)")
                          .model;
  ASSERT_EQ(error_, "");
  EXPECT_EQ(model.format, "onnx");
  EXPECT_EQ(model.policy.specific, (std::vector<int64_t>{1, 3}));
  EXPECT_EQ(model.instances, 3);
  EXPECT_EQ(model.warmup_requests, 3);
  EXPECT_EQ(model.runtime_options.at("graph_optimization"), "all");
  ASSERT_TRUE(model.batching);
  EXPECT_EQ(model.batching->max_batch_size, 8u);
  EXPECT_EQ(model.batching->max_delay, 100us);
  EXPECT_EQ(model.batching->preferred_sizes, (std::vector<uint32_t>{4, 8}));
  EXPECT_EQ(model.batching->queue.max_size, 64u);
  EXPECT_EQ(model.batching->queue.default_timeout, 5000us);
  EXPECT_EQ(model.batching->queue.timeout_action, BatchingConfig::TimeoutAction::kDelay);
  EXPECT_EQ(model.batching->priorities.levels, 3u);
  EXPECT_EQ(model.batching->priorities.default_level, 2u);
  EXPECT_EQ(model.batching->priorities.max_sizes, (std::vector<size_t>{10, 0, 0}));
  ASSERT_EQ(warnings_.size(), 2u);
  EXPECT_EQ(warnings_[0],
            "model net: config.pbtxt: instance_group[1].kind: KIND_GPU does nothing: models run on "
            "CPUs here");
  EXPECT_EQ(warnings_[1].find("model net: config.pbtxt: optimization does nothing"), 0u);
}

TEST_F(ConfigPbtxtTest, OurOwnConfigurationHasTheLastWord) {
  std::ofstream(dir_.file(kConfigFileName))
      << "backend: 'onnxruntime' version_policy { all {} } instance_group { count: 4 }";
  Config::Model model;
  model.model.path = dir_.path().string();
  model.model.format = "tensorflow";
  model.model.policy.latest = 2;
  model.model.instances = 1;
  ASSERT_EQ(ApplyConfigPbtxt(model, warnings_), OkStatus());
  EXPECT_EQ(model.model.format, "tensorflow");
  EXPECT_EQ(model.model.policy.kind, VersionPolicy::Kind::kLatest);
  EXPECT_EQ(model.model.instances, 1);
}

TEST_F(ConfigPbtxtTest, TheForestBackendSaysWhichLibrary) {
  EXPECT_EQ(
      Read("backend: 'fil' parameters { key: 'model_type' value { string_value: 'xgboost_json' } }")
          .model.format,
      "xgboost");
  EXPECT_EQ(
      Read("backend: 'fil' parameters { key: 'model_type' value { string_value: 'lightgbm' } }")
          .model.format,
      "lightgbm");
  EXPECT_EQ(Read("backend: 'fil'").model.format, "");
  Read(
      "backend: 'fil' parameters { key: 'model_type' value { string_value: 'treelite_checkpoint' } "
      "}");
  EXPECT_NE(error_.find("model_type treelite_checkpoint"), std::string::npos) << error_;
}

TEST_F(ConfigPbtxtTest, WhatIsWrongIsToldByLineAndColumn) {
  Read("name: 'other'\nbackend: 'tensorrt'\ninput { name: 'x' dims: [ -2 ] }\n");
  EXPECT_EQ(error_,
            "config.pbtxt:1:1: name: says other, but the model is called net: remove the line or "
            "rename one of them\n"
            "config.pbtxt:2:1: backend: the backend tensorrt is not supported; there are fil, "
            "onnxruntime, python and tensorflow\n"
            "config.pbtxt:3:1: input[0].data_type: must be one of TYPE_FP32, TYPE_INT64, "
            "TYPE_STRING, …\n"
            "config.pbtxt:3:19: input[0].dims: must be lengths, or -1 for any, not -2");
  Read("max_batch_sise: 4");
  EXPECT_EQ(error_,
            "config.pbtxt:1:15: unknown field max_batch_sise in ModelConfig; did you mean "
            "max_batch_size?");
  Read("dynamic_batching { }");
  EXPECT_NE(error_.find("needs max_batch_size"), std::string::npos);
  Read("max_batch_size: 4 dynamic_batching { preferred_batch_size: 8 priority_levels: 2 }");
  EXPECT_NE(error_.find("must be from 1 to max_batch_size (4), not 8"), std::string::npos);
  EXPECT_NE(error_.find("default_priority_level"), std::string::npos);
}

TEST_F(ConfigPbtxtTest, BlocksThatCannotBeHonouredAreNamed) {
  Read(
      "ensemble_scheduling { step [ { model_name: 'a' model_version: -1 input_map { key: 'x' "
      "value: "
      "'y' } } ] }\n"
      "sequence_batching { control_input [ { name: 'START' control [ { kind: "
      "CONTROL_SEQUENCE_START "
      "fp32_false_true: [ 0, 1 ] } ] } ] state [ { input_name: 'h' dims: [ -1 ] } ] oldest { } }\n"
      "model_transaction_policy { decoupled: true }");
  EXPECT_EQ(error_.find("config.pbtxt:1:1: ensemble_scheduling: ensembles are not supported"), 0u)
      << error_;
  EXPECT_NE(error_.find("config.pbtxt:2:1: sequence_batching: "), std::string::npos);
  EXPECT_NE(error_.find("config.pbtxt:3:1: model_transaction_policy: "), std::string::npos);
}

TEST_F(ConfigPbtxtTest, AFileThatCannotBeHonouredConcernsItsModelAlone) {
  Config config = ConfigSchema().initial();
  for (const char* name : {"good", "bad"}) {
    Config::Model& model = config.models.emplace_back();
    model.model.name = name;
    model.model.path = dir_.file(name);
    std::filesystem::create_directories(model.model.path);
  }
  std::ofstream(dir_.file("good/config.pbtxt")) << "instance_group [ { count: 3 } ]";
  std::ofstream(dir_.file("bad/config.pbtxt"))
      << "instance_group [ { count: 3 } ] sequence_batching { }";
  ApplyConfigPbtxt(config, warnings_);
  EXPECT_EQ(config.models[0].model.instances, 3);
  EXPECT_EQ(config.models[1].model.instances, Config::Model().model.instances);
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_TRUE(warnings_[0].starts_with("model bad is configured as if")) << warnings_[0];
}

TEST_F(ConfigPbtxtTest, AModelElsewhereOrWithoutTheFileIsLeftAlone) {
  Config::Model model;
  for (const char* path : {"s3://bucket/net", "/nonexistent"}) {
    model.model.path = path;
    EXPECT_EQ(ApplyConfigPbtxt(model, warnings_), OkStatus());
    EXPECT_EQ(model.model.format, "");
  }
}

}  // namespace
}  // namespace leadsman::triton
