#include "app/tfserving/command_line.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "app/tfserving/config_files.h"
#include "base/cpu.h"
#include "base/strings.h"
#include "base/testing/temp_dir.h"

namespace leadsman::tfserving {
namespace {

using namespace std::chrono_literals;  // NOLINT: literals

class CommandLineTest : public testing::Test {
 protected:
  std::string File(const std::string& name, const std::string& text) {
    std::ofstream(dir_.file(name)) << text;
    return dir_.file(name);
  }
  /// The configuration; empty models and `error_` when there is none.
  Config Made(const std::vector<std::string>& args) {
    error_.clear();
    warnings_.clear();
    Result<CommandLine> command = ParseCommandLine(args);
    Result<Config> config =
        command.ok() ? ConfigFrom(*command, warnings_) : Result<Config>(command.status());
    if (config.ok()) return std::move(config).value();
    error_ = config.status().message();
    return {};
  }
  std::string Error(const std::vector<std::string>& args) {
    Made(args);
    return error_;
  }
  TempDir dir_;
  std::string error_;
  std::vector<std::string> warnings_;
};

TEST_F(CommandLineTest, TheArgumentsOfTheImage) {
  auto getenv = [](const std::string& name) {
    return std::string(name == "MODEL_NAME" ? "half" : "");
  };
  Config config = Made(EntrypointArguments({"--rest_api_timeout_in_ms=500"}, getenv));
  ASSERT_EQ(error_, "");
  ASSERT_EQ(config.models.size(), 1u);
  EXPECT_EQ(config.models[0].model.name, "half");
  EXPECT_EQ(config.models[0].model.path, "/models/half");
  EXPECT_TRUE(config.server.http);
  EXPECT_EQ(config.server.port, 8501);
  EXPECT_TRUE(config.server.grpc);
  EXPECT_EQ(config.server.grpc_port, 8500);
  EXPECT_EQ(config.server.request_timeout, 500ms);
  EXPECT_EQ(config.data_dir, "");
  EXPECT_EQ(config.lifecycle.poll_interval, 1s);
  EXPECT_EQ(config.models[0].model.load_retries, 5);
  EXPECT_EQ(config.models[0].model.load_retry_delay, 60s);
}

TEST_F(CommandLineTest, BothWaysToWriteAFlagAndTheLastOneCounts) {
  Config config = Made({"--model_name", "a", "--model_name=b", "--model_base_path", "/m",
                        "--port=0", "--rest_api_port", "9000", "--rest_api_enable_cors_support",
                        "--enable_model_warmup=false", "--num_load_threads=4",
                        "--file_system_poll_wait_seconds=0", "--tensorflow_session_parallelism=2",
                        "--tensorflow_intra_op_parallelism=3", "--load_retry_interval_micros=-1",
                        "--saved_model_tags=serve,gpu", "--admin-port=0", "--log-level", "warn"});
  ASSERT_EQ(error_, "");
  EXPECT_EQ(config.models[0].model.name, "b");
  EXPECT_FALSE(config.server.grpc);
  EXPECT_EQ(config.server.port, 9000);
  EXPECT_TRUE(config.server.cors);
  EXPECT_EQ(config.models[0].model.warmup_repeats, 0);
  EXPECT_EQ(config.models[0].model.warmup_requests, 0);
  EXPECT_EQ(config.models[0].model.intra_op_threads, 3);
  EXPECT_EQ(config.models[0].model.load_retry_delay, 0ms);
  EXPECT_EQ(config.models[0].model.runtime_options.at("tags"), "serve,gpu");
  EXPECT_EQ(config.lifecycle.load_threads, 4);
  EXPECT_EQ(config.lifecycle.poll_interval, 24h);
  EXPECT_EQ(config.admin.port, 0);
  EXPECT_EQ(config.log.level, LogLevel::kWarn);
}

TEST_F(CommandLineTest, BooleansInAllTheirForms) {
  for (auto [words, wanted] : std::vector<std::pair<std::vector<std::string>, bool>>{
           {{"--rest_api_enable_cors_support"}, true},
           {{"--rest_api_enable_cors_support=true"}, true},
           {{"--rest_api_enable_cors_support=1"}, true},
           {{"--rest_api_enable_cors_support", "false"}, false},
           {{"--rest_api_enable_cors_support=False"}, false}}) {
    words.push_back("--model_base_path=/m");
    EXPECT_EQ(Made(words).server.cors, wanted) << words[0];
    EXPECT_EQ(error_, "");
  }
  EXPECT_EQ(Error({"--rest_api_enable_cors_support=maybe"}),
            "--rest_api_enable_cors_support: must be true or false, not \"maybe\"");
}

TEST_F(CommandLineTest, WithoutARestPortThereIsNoRest) {
  Config config = Made({"--model_base_path=/m", "--port=8500"});
  EXPECT_FALSE(config.server.http);
  EXPECT_TRUE(config.server.grpc);
  EXPECT_EQ(config.models[0].model.name, "default");
}

TEST_F(CommandLineTest, WhatDoesNothingIsSaid) {
  Made({"--model_base_path=/m", "--rest_api_num_threads=64", "--flush_filesystem_caches=false"});
  EXPECT_EQ(error_, "");
  ASSERT_EQ(warnings_.size(), 2u);
  EXPECT_EQ(warnings_[0].find("--rest_api_num_threads=64 does nothing: "), 0u) << warnings_[0];
}

TEST_F(CommandLineTest, WhatIsWrongIsToldWithTheFix) {
  EXPECT_EQ(Error({"--model_base_pth=/m"}),
            "unknown argument: --model_base_pth; did you mean --model_base_path?");
  EXPECT_EQ(Error({"serve"}), "unknown argument: serve; flags begin with --");
  EXPECT_EQ(Error({"--model_name"}), "--model_name: needs a value, as --model_name=…");
  EXPECT_EQ(Error({"--port=http"}), "--port: must be a whole number, not \"http\"");
  EXPECT_EQ(Error({"--port=70000", "--model_base_path=/m"}),
            "--port: must be from 0 to 65535, not 70000");
  EXPECT_EQ(Error({}).find("nothing to serve: give --model_base_path"), 0u) << error_;
  EXPECT_NE(Error({"--model_base_path=/m", "--port=0"}).find("are both 0"), std::string::npos);
  EXPECT_NE(
      Error({"--model_base_path=/m", "--rest_api_port=8500"}).find("cannot be same as --port"),
      std::string::npos);
  EXPECT_EQ(Error({"--model_base_path=/m", "--port=0", "--grpc_socket_path=/s"}), "");
  EXPECT_NE(Error({"--model_base_path=/m", "--ssl_config_file=/no/such"}).find("/no/such"),
            std::string::npos);
  EXPECT_EQ(Error({"--prefer_tflite_model=false", "--model_base_path=/m"}), "");
  EXPECT_EQ(
      Error({"--model_base_path=/m", "--model_name=a b"}).find("--model_name: a b may contain "),
      0u)
      << error_;
  EXPECT_EQ(Error({"--model_base_path=/m", "--model_name="}), "--model_name: must not be empty");
}

TEST_F(CommandLineTest, KnowsItsFlagsAmongOthers) {
  EXPECT_TRUE(IsTensorFlowServingFlag("--model_name=m"));
  EXPECT_TRUE(IsTensorFlowServingFlag("--rest_api_port"));
  EXPECT_FALSE(IsTensorFlowServingFlag("--port"));
  EXPECT_FALSE(IsTensorFlowServingFlag("--model"));
  EXPECT_FALSE(IsTensorFlowServingFlag("model_name"));
  EXPECT_FALSE(IsTensorFlowServingFlag("--model_nam"));
  EXPECT_NE(HelpText().find("--allow_version_labels_for_unavailable_models"), std::string::npos);
}

TEST_F(CommandLineTest, ReadsTheModelConfigFile) {
  std::string file = File("models.config", R"(
# From the documentation of TensorFlow Serving.
model_config_list: {
  config {
    name: 'half' base_path: "/models/half" model_platform: "tensorflow"
    model_version_policy { specific { versions: 42 versions: 43 } }
    version_labels { key: 'stable' value: 42 }
    version_labels { key: 'canary' value: 43 }
  },
  config { name: "three" base_path: "/models/three" model_version_policy { all {} } }
  config { name: "net" base_path: "/models/net" model_platform: "onnx" model_version_policy: { latest { num_versions: 2 } } logging_config {} }
}
)");
  Config config = Made({"--model_config_file=" + file, "--model_name=ignored",
                        "--max_num_load_retries=0", "--model_config_file_poll_wait_seconds=30"});
  ASSERT_EQ(error_, "");
  ASSERT_EQ(config.models.size(), 3u);
  const ModelConfig& half = config.models[0].model;
  EXPECT_EQ(half.name, "half");
  EXPECT_EQ(half.path, "/models/half");
  EXPECT_EQ(half.format, "");
  EXPECT_EQ(half.policy.specific, (std::vector<int64_t>{42, 43}));
  EXPECT_EQ(half.labels, (std::map<std::string, int64_t>{{"stable", 42}, {"canary", 43}}));
  EXPECT_EQ(half.load_retries, 0);
  EXPECT_EQ(config.models[1].model.policy.kind, VersionPolicy::Kind::kAll);
  EXPECT_EQ(config.models[2].model.policy.latest, 2);
  EXPECT_EQ(config.models[2].model.format, "onnx");

  CommandLine followed = *ParseCommandLine(
      {"--model_config_file=" + file, "--model_config_file_poll_wait_seconds=30"});
  EXPECT_EQ(WatchedFileOf(followed), file);
  ReloadOptions reload = ReloadOptionsOf(followed);
  EXPECT_EQ(reload.look_every, 30s);
  EXPECT_EQ(WatchedFileOf(*ParseCommandLine({"--model_config_file=" + file})), "");
  EXPECT_EQ(reload.labels_may_wait, LabelsMayWait::kNone);
  auto may_wait = [](std::vector<std::string> args) {
    args.push_back("--model_base_path=/m");
    return ReloadOptionsOf(*ParseCommandLine(args)).labels_may_wait;
  };
  EXPECT_EQ(may_wait({"--allow_version_labels_for_unavailable_models"}), LabelsMayWait::kNew);
  EXPECT_EQ(may_wait({"--force_allow_any_version_labels_for_unavailable_models=true",
                      "--allow_version_labels_for_unavailable_models=false"}),
            LabelsMayWait::kAny);
}

TEST_F(CommandLineTest, AWrongModelConfigFileIsToldByLineAndColumn) {
  auto wrong = [&](const std::string& text) {
    std::string file = File("m", text);
    std::string error = Error({"--model_config_file=" + file});
    size_t at = error.find(file);
    EXPECT_EQ(error.find("--model_config_file: "), 0u) << error;
    while ((at = error.find(file)) != std::string::npos) error.replace(at, file.size(), "m");
    return error.substr(21);
  };
  EXPECT_EQ(wrong("model_config_list { config {\n  nme: 'a' } }"),
            "m:2:6: unknown field nme in ModelConfig; did you mean name?");
  EXPECT_EQ(
      wrong("model_config_list { config { name: 'a b' base_path: '/m' } }"),
      "m:1:30: model_config_list.config[0].name: the model's name may contain letters, digits "
      "and _ - . only, no spaces");
  EXPECT_EQ(
      wrong("model_config_list {\n config { name: 'a' base_path: '/m' }\n"
            " config { name: 'a' } }"),
      "m:3:2: model_config_list.config[1].base_path: must name the folder with one sub-folder "
      "a version\n"
      "m:3:11: model_config_list.config[1].name: model_config_list.config[0] has the name a "
      "already");
  EXPECT_NE(wrong("model_config_list { config { name: 'a' base_path: '/m' model_platform: "
                  "'tensorflw' } }")
                .find("did you mean tensorflow?"),
            std::string::npos);
  EXPECT_NE(wrong("model_config_list { config { name: 'a' base_path: '/m' model_version_policy { "
                  "specific { } } } }")
                .find("names no version"),
            std::string::npos);
  EXPECT_NE(wrong("model_config_list { config { name: 'a' base_path: '/m' model_version_policy { "
                  "specific { versions: 1 } } version_labels { key: 'x' value: 2 } } }")
                .find("the label x points at version 2, which is not among"),
            std::string::npos);
  EXPECT_NE(wrong("model_config_list { config { name: 'a' base_path: '/m' logging_config { "
                  "log_collector_config { type: 'x' } } } }")
                .find("request logging by a log collector is not supported"),
            std::string::npos);
  EXPECT_NE(wrong("").find("names no model"), std::string::npos);
  EXPECT_NE(wrong("custom_model_config { }").find("is not supported"), std::string::npos);
  EXPECT_NE(Error({"--model_config_file=" + dir_.file("none")}).find("none"), std::string::npos);
}

TEST_F(CommandLineTest, ReadsAModelServerConfigFromTheWire) {
  // model_config_list { config { name: "m" base_path: "/m" model_version_policy { specific { versions: 3 } }
  // version_labels { key: "a" value: 3 } } }, by Google's protobuf for Python.
  const std::string wire(
      "\x0a\x18\x0a\x16\x0a\x01m\x12\x02/m\x3a\x06\xb2\x06\x03\x0a\x01\x03\x42\x05\x0a\x01"
      "a\x10\x03",
      26);
  auto defaults = [](const std::string&) { return Config::Model(); };
  auto models = ModelsFromSerialized(wire, defaults);
  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_EQ(models->size(), 1u);
  EXPECT_EQ((*models)[0].model.policy.specific, std::vector<int64_t>{3});
  EXPECT_EQ((*models)[0].model.labels.at("a"), 3);
  EXPECT_EQ(ModelsFromSerialized("\xff", defaults).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ModelsFromSerialized("", defaults).status().message(),
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
            "ModelConfigList is currently supported: set config.model_config_list");
  EXPECT_EQ(ModelsFromSerialized(std::string_view("\x0a\0", 2), defaults)->size(), 0u);
}

TEST_F(CommandLineTest, ReadsTheMonitoringConfigFile) {
  auto path = [&](const std::string& text) {
    return Made({"--model_base_path=/m", "--rest_api_port=8501",
                 "--monitoring_config_file=" + File("mon", text)})
        .server.metrics_path;
  };
  EXPECT_EQ(path("prometheus_config { enable: true, path: \"/metrics/all\" }"), "/metrics/all");
  EXPECT_EQ(path("prometheus_config: { enable: true }"), "/monitoring/prometheus/metrics");
  Config enabled = Made({"--model_base_path=/m", "--rest_api_port=8501",
                         "--monitoring_config_file=" + dir_.file("mon")});
  EXPECT_TRUE(enabled.telemetry.Has(Config::CompatMetrics::kTfServing));
  EXPECT_FALSE(enabled.telemetry.Has(Config::CompatMetrics::kTriton));
  EXPECT_FALSE(Made({"--model_base_path=/m"}).telemetry.Has(Config::CompatMetrics::kTfServing));
  EXPECT_EQ(path("prometheus_config { enable: false path: '/x' }"), "");
  EXPECT_EQ(path(""), "");
  EXPECT_EQ(error_, "");
  path("prometheus_config { enable: true, path: \"v1\" }");
  EXPECT_NE(error_.find(":1:35: prometheus_config.path: must begin with /"), std::string::npos)
      << error_;
  path("prometheus_config { enable: true, path: \"/v1/models\" }");
  EXPECT_NE(error_.find("is where models are served"), std::string::npos);
}

TEST_F(CommandLineTest, ReadsTheBatchingParametersFile) {
  auto read = LoadBatchingParametersFile(File("b", R"(
max_batch_size { value: 128 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 1000000 }
num_batch_threads { value: 8 }
allowed_batch_sizes : [32, 128]
pad_variable_length_inputs: true
)"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->max_batch_size, 128);
  EXPECT_EQ(read->batch_timeout_micros, 1000);
  EXPECT_EQ(read->max_enqueued_batches, 1'000'000);
  EXPECT_EQ(read->num_batch_threads, 8);
  EXPECT_EQ(read->allowed_batch_sizes, (std::vector<int64_t>{32, 128}));
  EXPECT_TRUE(read->pad_variable_length_inputs);
  read = LoadBatchingParametersFile(
      File("b", "max_batch_size { value: 0 }\nallowed_batch_sizes: 8\nallowed_batch_sizes: 4"));
  std::string error(read.status().message());
  EXPECT_NE(error.find(":1:1: max_batch_size: must be from 1 to 65536, not 0"), std::string::npos)
      << error;
  EXPECT_NE(
      error.find(":3:1: allowed_batch_sizes[1]: sizes must be positive and in increasing order"),
      std::string::npos)
      << error;
  EXPECT_NE(
      std::string(LoadBatchingParametersFile(File("b", "max_batch_size: 8")).status().message())
          .find(":1:"),
      std::string::npos);
}

TEST_F(CommandLineTest, BatchingIsOfEveryModel) {
  std::string file = File("b",
                          "max_batch_size { value: 16 } batch_timeout_micros { value: 500 } "
                          "max_enqueued_batches { value: 100 } num_batch_threads { value: 4 } "
                          "allowed_batch_sizes: [4, 16] pad_variable_length_inputs: true");
  Config config =
      Made({"--model_base_path=/m", "--enable_batching", "--batching_parameters_file=" + file});
  ASSERT_EQ(error_, "");
  const ModelConfig& model = config.models[0].model;
  ASSERT_TRUE(model.batching);
  EXPECT_EQ(model.batching->max_batch_size, 16u);
  EXPECT_EQ(model.batching->max_delay, 500us);
  EXPECT_EQ(model.batching->queue.max_size, 1600u);
  EXPECT_EQ(model.batching->allowed_batch_sizes, (std::vector<uint32_t>{4, 16}));
  EXPECT_EQ(model.batching->pad_ragged, 0.0);
  EXPECT_EQ(model.batching->pad_with, BatchingConfig::PadWith::kFirstValue);
  EXPECT_EQ(model.batching->large_requests, BatchingConfig::LargeRequests::kReject);
  EXPECT_EQ(model.instances, 4);
  config = Made({"--model_base_path=/m", "--enable_batching=true"});
  EXPECT_EQ(config.models[0].model.batching->max_batch_size, 1000u);
  EXPECT_FALSE(config.models[0].model.batching->pad_ragged);
  EXPECT_EQ(config.models[0].model.instances, std::min(AvailableCores(), 256));
  EXPECT_FALSE(Made({"--model_base_path=/m", "--enable_batching=false"}).models[0].model.batching);
  EXPECT_EQ(Error({"--model_base_path=/m", "--batching_parameters_file=" + file}),
            "--batching_parameters_file needs --enable_batching");
}

TEST_F(CommandLineTest, OnlyWhatIsSplitHasAnotherExecutionSize) {
  auto batching = [&](const std::string& text) {
    return Made({"--model_base_path=/m", "--enable_batching",
                 "--batching_parameters_file=" +
                     File("b",
                          "max_batch_size { value: 64 } max_execution_batch_size { value: 16 } " +
                              text)})
        .models.at(0)
        .model.batching.value();
  };
  BatchingConfig whole = batching("allowed_batch_sizes: [8, 64]");
  EXPECT_EQ(whole.max_batch_size, 64u);
  EXPECT_EQ(whole.large_requests, BatchingConfig::LargeRequests::kReject);
  BatchingConfig split =
      batching("enable_large_batch_splitting { value: true } allowed_batch_sizes: [8, 16]");
  EXPECT_EQ(split.max_batch_size, 16u);
  EXPECT_EQ(split.large_requests, BatchingConfig::LargeRequests::kSplit);
}

TEST_F(CommandLineTest, TakesTheThreadsOfASessionConfig) {
  const std::string file = File("session", R"(
intra_op_parallelism_threads: 4 inter_op_parallelism_threads: 2
device_count { key: "GPU" value: 1 }
gpu_options { allow_growth: true visible_device_list: "0" experimental { virtual_devices { memory_limit_mb: 1 } } }
graph_options { rewrite_options { constant_folding: ON custom_optimizers { name: "x" } } }
)");
  const std::string flag = "--tensorflow_session_config_file=" + file;
  Config config = Made({"--model_base_path=/m", flag});
  ASSERT_EQ(error_, "");
  EXPECT_EQ(config.models[0].model.intra_op_threads, 4);
  EXPECT_EQ(config.models[0].model.runtime_options.at("inter_op_threads"), "2");
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_EQ(warnings_[0].find("--tensorflow_session_config_file: without effect: device_count, "
                              "gpu_options and graph_options; "),
            0u)
      << warnings_[0];
  config = Made({"--model_base_path=/m", flag, "--tensorflow_intra_op_parallelism=3"});
  EXPECT_EQ(config.models[0].model.intra_op_threads, 3) << "flags win";
  File("session", "intra_op_paralelism_threads: 4");
  EXPECT_NE(
      Error({"--model_base_path=/m", flag}).find("did you mean intra_op_parallelism_threads?"),
      std::string::npos)
      << error_;
}

TEST_F(CommandLineTest, TakesBatchingThreadsAndTagsOfAPlatformConfig) {
  const std::string flag = "--platform_config_file=" + File("platform", R"(
platform_configs {
  key: "tensorflow"
  value {
    source_adapter_config {
      [type.googleapis.com/tensorflow.serving.SavedModelBundleSourceAdapterConfig] {
        legacy_config {
          session_config { gpu_options { allow_growth: true } intra_op_parallelism_threads: 4 }
          batching_parameters { max_batch_size { value: 16 } num_batch_threads { value: 3 } }
          saved_model_tags: "serve" saved_model_tags: "gpu"
          enable_model_warmup: true num_tflite_pools: 2
        }
      }
    }
  }
}
)");
  Config config = Made({"--model_base_path=/m", flag});
  ASSERT_EQ(error_, "");
  const ModelConfig& model = config.models[0].model;
  EXPECT_EQ(model.intra_op_threads, 4);
  EXPECT_EQ(model.instances, 3);
  EXPECT_EQ(model.batching->max_batch_size, 16u);
  EXPECT_EQ(model.runtime_options.at("tags"), "serve,gpu");
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_EQ(warnings_[0].find(
                "--platform_config_file: without effect: gpu_options and num_tflite_pools;"),
            0u)
      << warnings_[0];

  auto wrong = [&](const std::string& text) {
    File("platform", text);
    return Error({"--model_base_path=/m", flag});
  };
  auto adapter = [](const std::string& type, const std::string& text) {
    return StrCat("platform_configs { key: 'tensorflow' value { source_adapter_config {\n",
                  "[type.googleapis.com/tensorflow.serving.", type, "] { ", text, " } } } }");
  };
  EXPECT_NE(wrong(adapter("SessionBundleSourceAdapterConfig", "")).find(":2:"), std::string::npos)
      << error_;
  EXPECT_NE(wrong(adapter("SavedModelBundleSourceAdapterConfig",
                          "legacy_config { batching_parameters { max_batch_size { value: 0 } } }"))
                .find("max_batch_size: must be from 1 to 65536, not 0"),
            std::string::npos)
      << error_;
  EXPECT_NE(wrong(adapter("SavedModelBundleSourceAdapterConfig", "legacy_confg { }"))
                .find("did you mean legacy_config?"),
            std::string::npos)
      << error_;
  EXPECT_NE(wrong("platform_configs { key: 'mine' value { } }").find("there is no platform mine"),
            std::string::npos)
      << error_;
}

TEST_F(CommandLineTest, TakesWhatItHasOfGrpcsArguments) {
  Config config = Made({"--model_base_path=/m",
                        "--grpc_channel_arguments=grpc.max_connection_age_ms=2000,"
                        "grpc.max_connection_age_grace_ms=500, grpc.max_concurrent_streams=16,"
                        "grpc.max_receive_message_length=1048576"});
  ASSERT_EQ(error_, "");
  EXPECT_EQ(warnings_, std::vector<std::string>());
  EXPECT_EQ(config.server.limits.max_connection_age, 2s);
  EXPECT_EQ(config.server.limits.max_connection_age_grace, 500ms);
  EXPECT_EQ(config.server.limits.max_streams, 16u);
  EXPECT_EQ(config.server.limits.max_message, 1u << 20);
  config = Made({"--model_base_path=/m",
                 "--grpc_channel_arguments=grpc.max_connection_age_ms=2147483647,"
                 "grpc.max_receive_message_length=-1,grpc.so_reuseport=0,"
                 "grpc.max_concurrent_streams=many"});
  ASSERT_EQ(error_, "");
  EXPECT_EQ(config.server.limits.max_connection_age, 0s);
  EXPECT_EQ(config.server.limits.max_message, size_t{INT32_MAX});
  EXPECT_EQ(config.server.limits.max_streams, Config::Limits().max_streams);
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_EQ(warnings_[0].find("--grpc_channel_arguments: without effect: grpc.so_reuseport=0 and "
                              "grpc.max_concurrent_streams=many; "),
            0u)
      << warnings_[0];
  EXPECT_EQ(Error({"--model_base_path=/m", "--grpc_channel_arguments=grpc.so_reuseport"}),
            "--grpc_channel_arguments: must be name=value,…, not \"grpc.so_reuseport\"");
}

TEST_F(CommandLineTest, WhatOnlyCostsSpeedIsPassedOverAndWhatChangesMoreIsRefused) {
  Made({"--model_base_path=/m", "--enable_batching", "--enable_per_model_batching_parameters",
        "--prefer_tflite_model=true", "--mixed_precision=bfloat16",
        "--thread_pool_factory_config_file=/etc/pool"});
  EXPECT_EQ(error_, "");
  EXPECT_EQ(warnings_.size(), 3u);
  for (const char* refused : {"--use_alts_credentials", "--use_tflite_model"}) {
    EXPECT_EQ(Error({"--model_base_path=/m", refused}).find(StrCat(refused, ": ")), 0u) << error_;
  }
  EXPECT_EQ(Error({"--model_base_path=/m", "--use_alts_credentials=false"}), "");
}

TEST_F(CommandLineTest, AVersionsOwnFileSaysHowItIsBatched) {
  const std::string file = File("b", "max_batch_size { value: 64 } num_batch_threads { value: 3 }");
  Config config =
      Made({"--model_base_path=/m", "--enable_batching", "--batching_parameters_file=" + file,
            "--enable_per_model_batching_parameters"});
  ASSERT_EQ(error_, "");
  EXPECT_TRUE(warnings_.empty());
  auto common = std::make_shared<const ModelConfig>(config.models[0].model);
  ASSERT_TRUE(common->batching_from_files);

  TempDir version;
  auto settings = WithBatchingOfVersion(common, version.path().string());
  ASSERT_TRUE(settings.ok());
  EXPECT_FALSE((*settings)->HasOwnQueue()) << "as TensorFlow Serving: without the file no batching";
  version.Write("batching_params.pbtxt",
                "max_batch_size { value: 8 } allowed_batch_sizes: 4 allowed_batch_sizes: 8 "
                "num_batch_threads { value: 1 }");
  settings = WithBatchingOfVersion(common, version.path().string());
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ((*settings)->batching->max_batch_size, 8u);
  EXPECT_EQ((*settings)->batching->allowed_batch_sizes, (std::vector<uint32_t>{4, 8}));
  EXPECT_EQ((*settings)->instances, 3) << "threads are all models'";
  EXPECT_EQ(common->batching->max_batch_size, 64u);
  version.Write("batching_params.pbtxt", "max_batch_sise { value: 8 }");
  EXPECT_EQ(WithBatchingOfVersion(common, version.path().string()).status().code(),
            StatusCode::kInvalidArgument);

  // Without the flag, and without batching, the file is nobody's.
  for (const auto& args : {std::vector<std::string>{"--model_base_path=/m", "--enable_batching"},
                           std::vector<std::string>{"--model_base_path=/m",
                                                    "--enable_per_model_batching_parameters"}}) {
    auto other = std::make_shared<const ModelConfig>(Made(args).models[0].model);
    EXPECT_EQ(WithBatchingOfVersion(other, version.path().string()).value(), other);
  }
}

TEST_F(CommandLineTest, ReadsTheSslConfigFile) {
  const std::string file = File("s",
                                "server_key: '-----BEGIN PRIVATE KEY-----\\nx'\n"
                                "server_cert: '-----BEGIN CERTIFICATE-----\\n' 'x'\n"
                                "custom_ca: 'ca'\n");
  net::TlsBundle bundle = SslConfigFile(file);
  auto read = bundle.read(bundle.file);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->pem.private_key, "-----BEGIN PRIVATE KEY-----\nx");
  EXPECT_EQ(read->pem.certificate_chain, "-----BEGIN CERTIFICATE-----\nx");
  EXPECT_EQ(read->client_auth, net::ClientAuth::kNone);
  Config config = Made({"--model_base_path=/m", "--ssl_config_file=" + file});
  EXPECT_EQ(config.server.grpc_ssl_config_file, file);
  EXPECT_FALSE(config.server.tls.enabled());  // of REST

  File("s", "server_key: '/etc/key.pem' client_verify: true");
  std::string error = Error({"--model_base_path=/m", "--ssl_config_file=" + file});
  EXPECT_TRUE(error.starts_with("--ssl_config_file: " + file)) << error;
  EXPECT_NE(error.find(":1:1: server_key: must hold the PEM text itself"), std::string::npos);
  EXPECT_NE(error.find("needs custom_ca"), std::string::npos);
}

}  // namespace
}  // namespace leadsman::tfserving
