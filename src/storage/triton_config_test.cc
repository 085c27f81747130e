#include "storage/triton_config.h"

#include <gtest/gtest.h>

#include <map>

#include "storage/triton_config_file.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals

class TritonConfigTest : public testing::Test {
 protected:
  TritonConfig Read(const std::string& text) {
    Result<TritonConfig> config = ParseTritonConfig(text, [this](const std::string& path) {
      auto it = files_.find(path);
      return it != files_.end() ? Result<std::string>(it->second)
                                : NotFoundError("there is no such file");
    });
    error_ = config.status().message();
    return config.ok() ? *config : TritonConfig();
  }
  std::map<std::string, std::string> files_;
  std::string error_;
};

TEST_F(TritonConfigTest, JsonSaysTheSameAsText) {
  files_["names.txt"] = "cat\ndog\n";
  const TritonConfig text = Read(R"(
name: "net" backend: "onnxruntime" max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, 4 ] } ]
output [ { name: "y" data_type: TYPE_STRING dims: [ 2 ] label_filename: "names.txt" } ]
version_policy { specific { versions: [ 1, 3 ] } }
instance_group [ { count: 2 kind: KIND_CPU } ]
dynamic_batching {
  max_queue_delay_microseconds: 100 priority_levels: 2 default_priority_level: 1
  priority_queue_policy { key: 2 value { max_queue_size: 10 } }
}
parameters { key: "k" value { string_value: "v" } }
optimization { }
)");
  ASSERT_EQ(error_, "");
  // Names in both of protobuf's ways, long numbers as texts, and blocks of which only the presence counts.
  const Result<TritonConfig> json = ParseTritonConfigJson(
      R"({
"name": "net", "backend": "onnxruntime", "maxBatchSize": 8,
"input": [{"name": "x", "data_type": "TYPE_FP32", "dims": ["-1", 4], "reshape": null}],
"output": [{"name": "y", "data_type": "type_string", "dims": [2], "label_filename": "names.txt"}],
"version_policy": {"specific": {"versions": [1, "3"]}},
"instance_group": [{"count": 2, "kind": "KIND_CPU"}],
"dynamic_batching": {"max_queue_delay_microseconds": 100, "priority_levels": 2, "default_priority_level": 1,
  "priority_queue_policy": {"2": {"max_queue_size": 10}}},
"parameters": {"k": {"string_value": "v"}},
"optimization": {"input_pinned_memory": {"enable": true}, "parameters": {"a": 1}}})",
      [this](const std::string& path) { return Result<std::string>(files_.at(path)); });
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(*json, text);
}

TEST_F(TritonConfigTest, WhatIsWrongWithJsonIsToldByItsPath) {
  const std::pair<const char*, const char*> wrong[] = {
      {"", "parse error"},
      {"{\"a\": ", "parse error"},
      {"[]", "must be a JSON object"},
      {R"({"input": [{"nam": "x"}]})",
       "input[0]: unknown field nam in ModelInput; did you mean name?"},
      {R"({"dynamic_batching": {"priority_queue_policy": {"1": {"size": 1}}}})",
       "dynamic_batching.priority_queue_policy: unknown field size in ModelQueuePolicy"},
      {R"({"max_batch_size": "many"})", "max_batch_size"},
      {R"({"input": 3})", "input"},
      {R"({"input": [3]})", "input"},
      {R"({"max_batch_size": -1})", "max_batch_size: must be 0"},
      {R"({"backend": "pytorch"})", "backend: the backend pytorch is not supported"},
      {R"({"ensemble_scheduling": {"step": [{"model_name": "a"}]}})",
       "ensemble_scheduling: ensembles are not supported"}};
  for (const auto& [json, why] : wrong) {
    const Result<TritonConfig> config = ParseTritonConfigJson(json, nullptr);
    ASSERT_FALSE(config.ok()) << json;
    EXPECT_EQ(config.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(config.status().message().find(why), std::string::npos) << config.status();
  }
  EXPECT_FALSE(ParseTritonConfigJson(std::string(2 << 20, ' '), nullptr).ok());
  // Without a reader, what it names is taken to be there.
  EXPECT_TRUE(
      ParseTritonConfigJson(R"({"output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [1],
      "label_filename": "names.txt"}]})",
                            nullptr)
          .ok());
}

TEST_F(TritonConfigTest, AModelAsTritonsDocumentationHasIt) {
  TritonConfig config = Read(R"(
name: "net"
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "input0" data_type: TYPE_FP32 dims: [ 16 ] },
        { name: "input1" data_type: TYPE_INT64 dims: [ -1, 4 ] optional: true } ]
output [ { name: "output0" data_type: TYPE_STRING dims: [ 1 ] reshape: { shape: [ ] } } ]
version_policy: { specific { versions: [1, 3] } }
instance_group [ { count: 2 kind: KIND_CPU }, { count: 1 kind: KIND_GPU gpus: [ 0 ] } ]
dynamic_batching {
  preferred_batch_size: [ 8, 4, 8 ]
  max_queue_delay_microseconds: 100
  priority_levels: 3
  default_priority_level: 2
  default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 5000 allow_timeout_override: true max_queue_size: 64 }
  priority_queue_policy { key: 1 value { max_queue_size: 10 } }
}
model_warmup { name: "w" batch_size: 1 count: 3 inputs { key: "input0" value { data_type: TYPE_FP32 dims: 16 zero_data: true } } }
parameters { key: "graph_optimization" value { string_value: "all" } }
optimization { execution_accelerators { cpu_execution_accelerator: [ { name: "openvino" } ] } }
)");
  ASSERT_EQ(error_, "");
  EXPECT_EQ(config.name, "net");
  EXPECT_EQ(config.format, "onnx");
  EXPECT_EQ(config.max_batch_size, 8);
  ASSERT_EQ(config.inputs.size(), 2u);
  EXPECT_EQ(config.inputs[0].name, "input0");
  EXPECT_EQ(config.inputs[0].type, DataType::kFp32);
  EXPECT_EQ(config.inputs[1].dims, (Shape{-1, 4}));
  EXPECT_TRUE(config.inputs[1].optional);
  ASSERT_EQ(config.outputs.size(), 1u);
  EXPECT_EQ(config.outputs[0].type, DataType::kBytes);
  EXPECT_EQ(config.outputs[0].reshape, Shape());
  EXPECT_EQ(config.versions.specific, (std::vector<int64_t>{1, 3}));
  EXPECT_EQ(config.instances, 3);
  EXPECT_EQ(config.warmup_requests, 3);
  EXPECT_EQ(config.parameters.at("graph_optimization"), "all");
  ASSERT_TRUE(config.dynamic_batching);
  EXPECT_EQ(config.dynamic_batching->max_delay, 100us);
  EXPECT_EQ(config.dynamic_batching->preferred_sizes, (std::vector<uint32_t>{4, 8}));
  EXPECT_EQ(config.dynamic_batching->queue->max_size, 64u);
  EXPECT_EQ(config.dynamic_batching->queue->default_timeout, 5000us);
  EXPECT_TRUE(config.dynamic_batching->queue->delay_when_late);
  EXPECT_EQ(config.dynamic_batching->priority_levels, 3u);
  EXPECT_EQ(config.dynamic_batching->default_level, 2u);
  ASSERT_EQ(config.dynamic_batching->level_queues.size(), 1u);
  EXPECT_EQ(config.dynamic_batching->level_queues.at(1).max_size, 10u);
  ASSERT_EQ(config.warnings.size(), 2u);
  EXPECT_EQ(config.warnings[0],
            "config.pbtxt: instance_group[1].kind: KIND_GPU does nothing: models run on CPUs here");
  EXPECT_TRUE(config.warnings[1].starts_with("config.pbtxt: optimization does nothing"));
}

TEST_F(TritonConfigTest, AnEmptyFileSaysNothing) {
  TritonConfig config = Read("");
  EXPECT_EQ(error_, "");
  EXPECT_EQ(config.format, "");
  EXPECT_EQ(config.max_batch_size, 0);
  EXPECT_EQ(config.instances, 0);
  EXPECT_EQ(config.versions.kind, TritonConfig::Versions::Kind::kNotSaid);
}

TEST_F(TritonConfigTest, TheForestBackendSaysWhichLibrary) {
  auto format = [&](const std::string& type) {
    return Read("backend: 'fil' parameters { key: 'model_type' value { string_value: '" + type +
                "' } }")
        .format;
  };
  EXPECT_EQ(format("xgboost_json"), "xgboost");
  EXPECT_EQ(format("lightgbm"), "lightgbm");
  EXPECT_EQ(Read("backend: 'fil'").format, "");
  format("treelite_checkpoint");
  EXPECT_NE(error_.find("model_type treelite_checkpoint"), std::string::npos) << error_;
}

TEST_F(TritonConfigTest, LabelsAreTheLinesOfTheirFile) {
  files_["labels.txt"] = "cat\r\ndog\n\nfish\n\n";
  TritonConfig config = Read(
      "output [ { name: 'y' data_type: TYPE_FP32 dims: [ 4 ] label_filename: 'labels.txt' },"
      " { name: 'z' data_type: TYPE_FP32 dims: [ 2 ] } ]");
  ASSERT_EQ(error_, "");
  EXPECT_EQ(config.outputs[0].labels, (std::vector<std::string>{"cat", "dog", "", "fish"}));
  EXPECT_TRUE(config.outputs[1].labels.empty());
  Read("output { name: 'y' data_type: TYPE_FP32 dims: 1\n label_filename: 'none.txt' }");
  EXPECT_EQ(error_,
            "config.pbtxt:2:2: output[0].label_filename: none.txt cannot be read: there is no such "
            "file");
  Read("output { name: 'y' data_type: TYPE_FP32 dims: 1 label_filename: '../../etc/passwd' }");
  EXPECT_NE(error_.find("must lie in the model's folder"), std::string::npos) << error_;
}

TEST_F(TritonConfigTest, WhatIsWrongIsToldByLineAndColumn) {
  Read("max_batch_size: -1\nbackend: 'tensorrt'\ninput { name: 'x' dims: [ -2 ] }\n");
  EXPECT_EQ(
      error_,
      "config.pbtxt:1:1: max_batch_size: must be 0 (no batch dimension) or the largest number "
      "of rows\n"
      "config.pbtxt:2:1: backend: the backend tensorrt is not supported; there are fil, "
      "lightgbm, onnxruntime, python, tensorflow and xgboost\n"
      "config.pbtxt:3:1: input[0].data_type: must be one of TYPE_FP32, TYPE_INT64, "
      "TYPE_STRING, …\n"
      "config.pbtxt:3:19: input[0].dims: must be lengths from 1 on, or -1 for any, not -2");
  Read("max_batch_sise: 4");
  EXPECT_EQ(error_,
            "config.pbtxt:1:15: unknown field max_batch_sise in ModelConfig; did you mean "
            "max_batch_size?");
  Read("max_batch_size: \"eight\"");
  EXPECT_TRUE(error_.starts_with("config.pbtxt:1:17: ")) << error_;
  Read("dynamic_batching { }");
  EXPECT_NE(error_.find("needs max_batch_size"), std::string::npos);
  Read("max_batch_size: 4 dynamic_batching { preferred_batch_size: 8 priority_levels: 2 }");
  EXPECT_NE(error_.find("must be from 1 to max_batch_size (4), not 8"), std::string::npos);
  EXPECT_NE(error_.find("default_priority_level"), std::string::npos);
  Read("input { name: 'x' data_type: TYPE_FP32 }");
  EXPECT_NE(error_.find("input[0].dims: must not be empty"), std::string::npos) << error_;
  Read("input { name: 'x' data_type: TYPE_FP32 dims: [1,1,1,1,1,1,1,1] }");
  EXPECT_NE(error_.find("7 dimensions at most"), std::string::npos) << error_;
  Read(
      "input [ { name: 'x' data_type: TYPE_FP32 dims: 1 }, "
      "{ name: 'x' data_type: TYPE_FP32 dims: 1 } ]");
  EXPECT_NE(error_.find("input[1].name: x is there already"), std::string::npos) << error_;
}

TEST_F(TritonConfigTest, ModelFilesLieInTheVersionsFolder) {
  TritonConfig config = Read(
      "default_model_filename: 'net.onnx' cc_model_filenames { key: '7.5' value: 't4/net.onnx' }");
  EXPECT_EQ(config.default_model_filename, "net.onnx");
  EXPECT_EQ(config.cc_model_filenames.at("7.5"), "t4/net.onnx");
  EXPECT_TRUE(config.warnings.empty());
  Read("default_model_filename: '/etc/passwd' cc_model_filenames { key: '7.5' value: '../a' }");
  EXPECT_EQ(
      error_,
      "config.pbtxt:1:1: default_model_filename: /etc/passwd must lie in the version's folder\n"
      "config.pbtxt:1:39: cc_model_filenames: ../a must lie in the version's folder");
}

TEST_F(TritonConfigTest, AReshapeHoldsWhatItReplaces) {
  auto wrong = [&](const std::string& dims, const std::string& shape) {
    Read("input { name: 'x' data_type: TYPE_FP32 dims: [" + dims + "] reshape { shape: [" + shape +
         "] } }");
    return error_;
  };
  EXPECT_EQ(wrong("1", ""), "");
  EXPECT_EQ(wrong("2,4,-1,6", "8,-1,1,6"), "");
  EXPECT_NE(wrong("2,4,-1,6", "8,-1,5"), "");
  EXPECT_NE(wrong("2,4", "-1"), "");
  EXPECT_EQ(wrong("2,4", "2,3"),
            "config.pbtxt:1:52: input[0].reshape: must hold as many elements as dims, and as many "
            "-1: [2,3] does not fit [2,4]");
  EXPECT_NE(wrong("9223372036854775807,9223372036854775807", "1"), "");
}

TEST_F(TritonConfigTest, BlocksThatCannotBeHonouredAreNamed) {
  Read(
      "ensemble_scheduling { step [ { model_name: 'a' model_version: -1 input_map { key: 'x' "
      "value: 'y' } } ] }\n"
      "sequence_batching { control_input [ { name: 'START' control [ { kind: "
      "CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ] } ] state [ { input_name: 'h' dims: [ "
      "-1 ] } ] oldest { } }\n"
      "model_transaction_policy { decoupled: true }");
  EXPECT_EQ(error_.find("config.pbtxt:1:1: ensemble_scheduling: ensembles are not supported"), 0u)
      << error_;
  EXPECT_NE(error_.find("config.pbtxt:2:1: sequence_batching: "), std::string::npos);
  EXPECT_NE(error_.find("config.pbtxt:3:1: model_transaction_policy: "), std::string::npos);
}

TEST_F(TritonConfigTest, KnowsWhichFilesBesideItBelongToIt) {
  TritonConfigFile file;
  file.Look(
      {.stamp = [](const std::string&) -> Result<uint64_t> { return 7; },
       .read = [](const std::string& path) -> Result<std::string> {
         if (path != kTritonConfigName) return std::string("cat\ndog\n");
         return std::string(
             "output { name: 'y' data_type: TYPE_FP32 dims: 2 label_filename: 'a/labels.txt' }");
       }});
  ASSERT_TRUE(file.found() && file.found()->ok()) << file.found()->status();
  EXPECT_TRUE(file.Names("a/labels.txt"));
  EXPECT_TRUE(file.Names("a"));
  EXPECT_FALSE(file.Names("a/labels"));
  EXPECT_FALSE(file.Names("labels.txt"));
}

TEST_F(TritonConfigTest, WarmUpsHaveTheirDataAndItsPlace) {
  files_["warmup/x.raw"] = std::string(16, 'x');
  TritonConfig config = Read(R"(
max_batch_size: 8
model_warmup { name: "rows" batch_size: 3 count: 2
  inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 2, 2 ] input_data_file: "x.raw" } }
  inputs { key: "a" value { data_type: TYPE_STRING dims: 1 random_data: true } } }
model_warmup { name: "zeros" inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 4 ] zero_data: true } } }
)");
  ASSERT_EQ(error_, "");
  EXPECT_TRUE(config.warnings.empty());
  EXPECT_EQ(config.warmup_requests, 2);
  ASSERT_EQ(config.warmups.size(), 2u);
  using Data = TritonConfig::Warmup::Input::Data;
  const TritonConfig::Warmup& rows = config.warmups[0];
  EXPECT_EQ(rows.count, 2);
  ASSERT_EQ(rows.inputs.size(), 2u);
  EXPECT_EQ(rows.inputs[0].name, "a");
  EXPECT_EQ(rows.inputs[0].data, Data::kRandom);
  EXPECT_EQ(rows.inputs[1].dims, (Shape{3, 2, 2}));
  EXPECT_EQ(rows.inputs[1].content, std::string(16, 'x'));
  EXPECT_EQ(config.warmups[1].count, 1);
  EXPECT_EQ(config.warmups[1].inputs[0].dims, (Shape{1, 4}));

  auto wrong = [&](const std::string& in) {
    Read("max_batch_size: 8 model_warmup { name: 'w' " + in + " }");
    return error_;
  };
  EXPECT_NE(
      wrong("inputs { key: 'x' value { data_type: TYPE_FP32 dims: 3 input_data_file: 'x.raw' } }")
          .find("model_warmup[0].inputs: x: warmup/x.raw has 16 bytes, FP32[3] takes 12"),
      std::string::npos)
      << error_;
  EXPECT_NE(
      wrong("inputs { key: 'x' value { data_type: TYPE_FP32 dims: 3 input_data_file: '../x' } }")
          .find("must lie in the model's folder warmup"),
      std::string::npos)
      << error_;
  EXPECT_NE(wrong("inputs { key: 'x' value { data_type: TYPE_FP32 dims: -1 zero_data: true } }")
                .find("without -1"),
            std::string::npos)
      << error_;
  EXPECT_NE(wrong("batch_size: 9 inputs { key: 'x' value { data_type: TYPE_FP32 dims: 1 } }")
                .find("batch_size: must be from 1 to 8, not 9"),
            std::string::npos)
      << error_;
}

}  // namespace
}  // namespace leadsman
