#include "rpc/grpc_server.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>

#include "base/strings.h"
#include "base/testing/temp_dir.h"
#include "net/testing/certificates.h"
#include "rpc/testing/grpc_client.h"
#include "rpc/testing/grpc_fixture.h"
#include "rpc/testing/proto_text.h"

namespace leadsman::rpc {
namespace {

constexpr const char* kInfer = "/inference.GRPCInferenceService/ModelInfer";
constexpr const char* kPredict = "/tensorflow.serving.PredictionService/Predict";

class GrpcServerTest : public GrpcServerFixture {
 protected:
  void SetUp() override {
#ifdef LEADSMAN_THREAD_SANITIZED
    GTEST_SKIP() << "Debian's grpc++, the client here, is not built with ThreadSanitizer, which "
                    "takes its locks for none; grpc_threads_test.cc has a client of its own";
#endif
    GrpcServerFixture::SetUp();
    client_ = std::make_unique<GrpcClient>(server_->port());
  }
  void Configure(GrpcServer::Options& options) override {
    options.models.load = [this](const std::string& model, GivenModel given,
                                 std::function<void(const Status&)> done) {
      given_ = std::move(given);
      loader_ = std::thread(
          [model, done] { done(model == "iris" ? OkStatus() : NotFoundError("no such model")); });
      loader_.join();
    };
    options.models.reload = [this](std::string config, std::function<void(const Status&)> done) {
      reloaded_ = std::move(config);
      loader_ = std::thread([this, done] {
        done(reloaded_.empty() ? InvalidArgumentError("config is missing") : OkStatus());
      });
      loader_.join();
    };
    options.models.metrics = [this](const std::vector<std::string>& names) {
      metric_ += 3;
      std::vector<int64_t> values;
      for (const std::string& name : names) values.push_back(name == "/unknown" ? 0 : metric_);
      return values;
    };
  }
  void TearDown() override {
    client_.reset();
    GrpcServerFixture::TearDown();
  }

  std::string Answered(const GrpcClient::Answer& answer, const std::string& type) {
    return answer.status.ok() ? ToText(type, answer.message) : answer.status.ToString();
  }
  std::string Infer(const std::string& text) {
    return Answered(client_->Call(kInfer, FromText("inference.ModelInferRequest", text)),
                    "inference.ModelInferResponse");
  }
  std::string Predict(const std::string& text) {
    return Answered(client_->Call(kPredict, FromText("tensorflow.serving.PredictRequest", text)),
                    "tensorflow.serving.PredictResponse");
  }
  std::string Ask(const std::string& service, const std::string& method, const std::string& text) {
    return Answered(client_->Call(StrCat("/", service, "/", method),
                                  FromText(StrCat(Package(service), method, "Request"), text)),
                    StrCat(Package(service), method, "Response"));
  }
  static void ExpectHas(const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  static std::string Package(const std::string& service) {
    return service.substr(0, service.rfind('.') + 1);
  }

  std::thread loader_;
  GivenModel given_;
  std::string reloaded_;  ///< the serialized ModelServerConfig
  int64_t metric_ = 0;
  std::unique_ptr<GrpcClient> client_;
};

TEST_F(GrpcServerTest, InfersFromTypedContents) {
  EXPECT_EQ(Infer(R"(model_name: "echo" id: "7" inputs { name: "x" datatype: "FP32" shape: [1, 2]
                     contents { fp32_contents: [1.5, -2] } })"),
            "model_name: \"echo\" model_version: \"1\" id: \"7\" outputs { name: \"y\" datatype: "
            "\"FP32\" shape: 1 shape: 2 "
            "contents { fp32_contents: 1.5 fp32_contents: -2 } }");
}

TEST_F(GrpcServerTest, InfersFromRawContentsAndAnswersRaw) {
  EXPECT_EQ(
      Infer(
          R"(model_name: "pair" inputs { name: "b" datatype: "INT64" shape: 1 } inputs { name: "a" datatype: "FP32" shape: 1 }
                     outputs { name: "b2" } raw_input_contents: "\001\000\000\000\000\000\000\000" raw_input_contents: "\000\000\200?")"),
      "model_name: \"pair\" model_version: \"1\" outputs { name: \"b2\" datatype: \"INT64\" shape: "
      "1 } "
      "raw_output_contents: \"\\001\\000\\000\\000\\000\\000\\000\\000\"");
}

TEST_F(GrpcServerTest, AnswersClasses) {
  EXPECT_EQ(
      Infer(
          R"(model_name: "iris" model_version: "1" outputs { name: "probabilities" parameters { key: "classification" value { int64_param: 2 } } }
                     inputs { name: "x" datatype: "FP32" shape: [1, 4] contents { fp32_contents: [1, 2, 3, 4] } })"),
      "model_name: \"iris\" model_version: \"1\" outputs { name: \"probabilities\" datatype: "
      "\"BYTES\" shape: 1 shape: 2 "
      "contents { bytes_contents: \"1.000000:0\" bytes_contents: \"0.000000:1\" } }");
}

TEST_F(GrpcServerTest, AParametersNumberMayBeOfEveryKindThatHoldsIt) {
  for (const char* value :
       {"int64_param: 60000000", "uint64_param: 60000000", "string_param: '60000000'"}) {
    for (const char* key : {"timeout", "priority"}) {
      ExpectHas(Infer(StrCat("model_name: 'echo' parameters { key: '", key, "' value { ", value,
                             " } } inputs { name: 'x' datatype: 'FP32' shape: [1, 2] contents { "
                             "fp32_contents: [1, 2] } }")),
                "fp32_contents: 1 fp32_contents: 2");
    }
  }
  for (const char* value : {"int64_param: 1", "uint64_param: 1", "string_param: '1'"}) {
    ExpectHas(Infer(StrCat("model_name: 'iris' model_version: '1' outputs { name: 'probabilities' "
                           "parameters { key: 'classification' value { ",
                           value,
                           " } } } inputs { name: 'x' datatype: 'FP32' shape: [1, 4] contents { "
                           "fp32_contents: [1, 2, 3, 4] } }")),
              "shape: 1 shape: 1 contents { bytes_contents: \"1.000000:0\" }");
  }
  // What this server does not know is left alone, of whatever kind.
  for (const char* value : {"bool_param: true", "int64_param: -1", "uint64_param: 1",
                            "double_param: 0.5", "string_param: 'blue'"}) {
    ExpectHas(Infer(StrCat("model_name: 'echo' parameters { key: 'colour' value { ", value,
                           " } } inputs { name: 'x' datatype: 'FP32' shape: [1, 2] contents { "
                           "fp32_contents: [1, 2] } }")),
              "fp32_contents: 1 fp32_contents: 2");
  }
}

TEST_F(GrpcServerTest, EveryTypeTravelsRawAndTyped) {
  const std::vector<std::tuple<std::string, std::string, std::string>> cases = {
      {"BOOL", "bool_contents: [true, false]", "\\001\\000"},
      {"UINT8", "uint_contents: [1, 255]", "\\001\\377"},
      {"UINT16", "uint_contents: [1, 65535]", "\\001\\000\\377\\377"},
      {"UINT32", "uint_contents: [1, 4294967295]", "\\001\\000\\000\\000\\377\\377\\377\\377"},
      {"UINT64", "uint64_contents: [1, 18446744073709551615]",
       "\\001\\000\\000\\000\\000\\000\\000\\000\\377\\377\\377\\377\\377\\377\\377\\377"},
      {"INT8", "int_contents: [1, -128]", "\\001\\200"},
      {"INT16", "int_contents: [1, -2]", "\\001\\000\\376\\377"},
      {"INT32", "int_contents: [1, -2]", "\\001\\000\\000\\000\\376\\377\\377\\377"},
      {"INT64", "int64_contents: [1, -2]",
       "\\001\\000\\000\\000\\000\\000\\000\\000\\376\\377\\377\\377\\377\\377\\377\\377"},
      {"FP32", "fp32_contents: [1, 2]", "\\000\\000\\200?\\000\\000\\000@"},
      {"FP64", "fp64_contents: [1, 2]",
       "\\000\\000\\000\\000\\000\\000\\360?\\000\\000\\000\\000\\000\\000\\000@"},
      {"BYTES", "bytes_contents: [\"a\\000b\", \"\"]",
       "\\003\\000\\000\\000a\\000b\\000\\000\\000\\000"},
      {"FP16", "", "\\000<\\000@"},
      {"BF16", "", "\\200?\\000@"},
  };
  for (const auto& [type, contents, raw] : cases) {
    const std::string input = StrCat("inputs { name: 'x' datatype: '", type, "' shape: 2 ");
    const std::string model = StrCat("model_name: 'of_", type, "' ");
    const std::string head =
        StrCat("model_name: \"of_", type,
               "\" model_version: \"1\" outputs { name: \"y\" datatype: \"", type, "\" shape: 2 ");
    EXPECT_EQ(Infer(StrCat(model, input, "} raw_input_contents: '", raw, "'")),
              StrCat(head, "} raw_output_contents: \"", raw, "\""));
    if (contents.empty()) {
      EXPECT_EQ(Infer(StrCat(model, input, "contents { } }")),
                StrCat("INVALID_ARGUMENT: inputs[0] 'x': ", type,
                       " has no typed contents; send it in raw_input_contents"));
      continue;
    }
    const std::string request = StrCat(model, input, "contents { ", contents, " } }");
    const std::string wanted = ToText("inference.InferTensorContents",
                                      FromText("inference.InferTensorContents", contents));
    EXPECT_EQ(Infer(request), StrCat(head, "contents { ", wanted, " } }"));
  }
}

TEST_F(GrpcServerTest, WrongInferRequestsAreToldTheFieldAndTheFix) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "'model_name' is missing"},
      {"model_name: 'nope'", "Servable not found for request: Latest(nope)"},
      {"model_name: 'echo' model_version: 'x'", "'model_version' is a whole number"},
      {"model_name: 'echo' model_version: '9'", "ready versions: 1"},
      {"model_name: 'echo'", "Missing named input: x"},
      {"model_name: 'echo' inputs { name: 'z' datatype: 'FP32' }",
       "unexpected inference input 'z'"},
      {"model_name: 'echo' inputs { name: 'x' datatype: 'FP33' }", "invalid datatype 'FP33'"},
      {"model_name: 'echo' inputs { name: 'x' datatype: 'INT8' }",
       "has the datatype INT8, the model takes FP32"},
      {"model_name: 'echo' inputs { name: 'x' datatype: 'FP32' shape: [-1, 2] }",
       "negative dimension"},
      {"model_name: 'echo' inputs { name: 'x' datatype: 'FP32' shape: [4611686018427387904, 4] }",
       "is too large"},
      {"model_name: 'echo' inputs { name: 'x' datatype: 'FP32' shape: [1,1,1,1,1,1,1,1,1] }",
       "more than 8 dimensions"},
      {"model_name: 'echo' inputs { name: 'x' datatype: 'FP32' shape: [1, 2] contents { "
       "fp32_contents: 1 } }",
       "holds 2 values, but contents has 1"},
      {"model_name: 'echo' inputs { name: 'x' datatype: 'FP32' shape: [1, 2] contents { "
       "int_contents: [1, 2] } }",
       "come in contents.fp32_contents, not in contents.int_contents"},
      {"model_name: 'echo' inputs { name: 'x' datatype: 'FP32' shape: [1, 2] } raw_input_contents: "
       "'abc'",
       "its binary data has 3 bytes"},
      {"model_name: 'echo' inputs { name: 'x' datatype: 'FP32' shape: [1, 2] } raw_input_contents: "
       "'a' raw_input_contents: 'b'",
       "raw_input_contents has 2 entries, but there are 1 inputs"},
      {"model_name: 'echo' inputs { name: 'x' datatype: 'FP32' contents { fp32_contents: 1 } } "
       "raw_input_contents: 'a'",
       "must not be specified when using raw_input_contents"},
      {"model_name: 'echo' inputs { name: 'x' datatype: 'FP32' shape: [0, 2] } inputs { name: 'x' "
       "datatype: 'FP32' shape: [0, 2] }",
       "is given twice"},
      {"model_name: 'echo' outputs { name: 'q' }",
       "unexpected inference output 'q'; the model's outputs are y"},
      {"model_name: 'echo' outputs { name: 'y' } outputs { name: 'y' }", "requested twice"},
      {"model_name: 'of_INT8' inputs { name: 'x' datatype: 'INT8' shape: 1 contents { "
       "int_contents: 128 } }",
       "does not fit into INT8"},
      {"model_name: 'echo' parameters { key: 'timeout' value { bool_param: true } }",
       "microseconds"},
      {"model_name: 'echo' parameters { key: 'timeout' value { double_param: 1 } }",
       "microseconds"},
      {"model_name: 'echo' parameters { key: 'timeout' value { int64_param: -1 } }",
       "microseconds"},
      {"model_name: 'echo' parameters { key: 'timeout' value { string_param: '1s' } }",
       "microseconds"},
      {"model_name: 'echo' parameters { key: 'timeout' value { } }", "microseconds"},
      {"model_name: 'echo' parameters { key: 'priority' value { double_param: 1 } }",
       "'parameters.priority' must be a whole number"},
      {"model_name: 'echo' parameters { key: 'priority' value { uint64_param: 4294967296 } }",
       "'parameters.priority' must be a whole number"},
      {"model_name: 'echo' outputs { name: 'y' parameters { key: 'classification' value { "
       "string_param: 'two' } } }",
       "outputs[0].parameters.classification must be a whole number"},
      {"model_name: 'echo' inputs { name: 'x' parameters { key: 'shared_memory_region' value { "
       "string_param: 'r' } } }",
       "shared_memory_region is not supported"},
  };
  for (const auto& [request, wanted] : cases) {
    const std::string answer = Infer(request);
    EXPECT_NE(answer.find(wanted), std::string::npos) << request << "\n→ " << answer;
    EXPECT_EQ(answer.find("INTERNAL"), std::string::npos) << answer;
  }
  const GrpcClient::Answer answer = client_->Call(kInfer, "\xff\xff\xff");
  EXPECT_EQ(answer.status.code(), StatusCode::kInvalidArgument) << answer.status;
}

TEST_F(GrpcServerTest, PredictsAsTensorFlowServing) {
  EXPECT_EQ(Predict(R"(model_spec { name: "echo" signature_name: "serving_default" }
                       inputs { key: "x" value { dtype: DT_FLOAT tensor_shape { dim { size: 1 } dim { size: 2 } }
                                                 tensor_content: "\000\000\200?\000\000\000@" } })"),
            "outputs { key: \"y\" value { dtype: DT_FLOAT tensor_shape { dim { size: 1 } dim { "
            "size: 2 } } float_val: 1 "
            "float_val: 2 } } model_spec { name: \"echo\" version { value: 1 } signature_name: "
            "\"serving_default\" }");
  // The last value stands for those that are missing, and a label chooses the version.
  EXPECT_EQ(Predict(R"(model_spec { name: "echo" version_label: "live" }
                       inputs { key: "x" value { dtype: DT_FLOAT tensor_shape { dim { size: 2 } dim { size: 2 } } float_val: [1, 3] } })"),
            "outputs { key: \"y\" value { dtype: DT_FLOAT tensor_shape { dim { size: 2 } dim { "
            "size: 2 } } float_val: 1 float_val: 3 "
            "float_val: 3 float_val: 3 } } model_spec { name: \"echo\" version { value: 1 } "
            "signature_name: \"serving_default\" }");
}

TEST_F(GrpcServerTest, PredictTakesInputsThatLackALastDimensionOfOne) {
  // As TensorFlow Serving's quickstart sends [3] where the signature has [-1,1], and reads [3].
  auto predict = [&](const std::string& shape, const std::string& values) {
    return Predict(
        StrCat("model_spec { name: 'columns' } inputs { key: 'x' value { dtype: DT_FLOAT "
               "tensor_shape { ",
               shape, " } float_val: [", values, "] } }"));
  };
  EXPECT_EQ(predict("dim { size: 3 }", "1, 2, 5"),
            "outputs { key: \"y\" value { dtype: DT_FLOAT tensor_shape { dim { size: 3 } } "
            "float_val: 1 float_val: 2 float_val: 5 } } model_spec { name: \"columns\" version { "
            "value: 1 } signature_name: \"serving_default\" }");
  const std::string whole = predict("dim { size: 3 } dim { size: 1 }", "1, 2, 5");
  EXPECT_NE(whole.find("tensor_shape { dim { size: 3 } dim { size: 1 } }"), std::string::npos)
      << whole;
  EXPECT_NE(predict("", "1").find("2 dimensions are wanted"), std::string::npos);
  EXPECT_NE(predict("dim { size: 3 } dim { size: 2 }", "1").find("INVALID_ARGUMENT"),
            std::string::npos);
}

TEST_F(GrpcServerTest, PredictTakesAndGivesEveryType) {
  const std::vector<std::tuple<std::string, std::string, std::string>> cases = {
      {"BOOL", "DT_BOOL", "bool_val: true bool_val: false"},
      {"UINT8", "DT_UINT8", "int_val: 1 int_val: 255"},
      {"UINT16", "DT_UINT16", "int_val: 1 int_val: 65535"},
      {"UINT32", "DT_UINT32", "uint32_val: 1 uint32_val: 4294967295"},
      {"UINT64", "DT_UINT64", "uint64_val: 1 uint64_val: 18446744073709551615"},
      {"INT8", "DT_INT8", "int_val: 1 int_val: -128"},
      {"INT16", "DT_INT16", "int_val: 1 int_val: -2"},
      {"INT32", "DT_INT32", "int_val: 1 int_val: -2"},
      {"INT64", "DT_INT64", "int64_val: 1 int64_val: -2"},
      {"FP16", "DT_HALF", "half_val: 15360 half_val: 16384"},
      {"BF16", "DT_BFLOAT16", "half_val: 16256 half_val: 16384"},
      {"FP32", "DT_FLOAT", "float_val: 1 float_val: 2"},
      {"FP64", "DT_DOUBLE", "double_val: 1 double_val: 2"},
      {"BYTES", "DT_STRING", "string_val: \"a\\000b\" string_val: \"\""},
  };
  for (const auto& [type, dtype, values] : cases) {
    const std::string tensor =
        StrCat("dtype: ", dtype, " tensor_shape { dim { size: 2 } } ", values);
    const std::string answer = Predict(
        StrCat("model_spec { name: 'of_", type, "' } inputs { key: 'x' value { ", tensor, " } }"));
    EXPECT_NE(answer.find(StrCat("value { ", tensor, " }")), std::string::npos) << answer;
  }
  // Strings in tensor_content: lengths, then bytes.
  EXPECT_NE(Predict("model_spec { name: 'of_BYTES' } inputs { key: 'x' value { dtype: DT_STRING "
                    "tensor_shape { dim { size: 2 } } "
                    "tensor_content: '\\003\\001abcd' } }")
                .find("string_val: \"abc\" string_val: \"d\""),
            std::string::npos);
}

TEST_F(GrpcServerTest, WrongPredictRequestsAreToldTheFieldAndTheFix) {
  const std::string echo = "model_spec { name: 'echo' } ";
  auto x = [&](const std::string& tensor) {
    return StrCat(echo, "inputs { key: 'x' value { ", tensor, " } }");
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "Missing ModelSpec"},
      {"model_spec { name: 'nope' }", "Servable not found"},
      {"model_spec { name: 'echo' version_label: 'x' }", "Unrecognized servable version label: x"},
      {"model_spec { name: 'echo' signature_name: 'other' }", "serving_default"},
      {echo, "Missing named input: x"},
      {StrCat(echo, "inputs { key: 'z' value { } }"),
       "input tensor alias not found in signature: z"},
      {StrCat(echo, "output_filter: 'q'"), "output tensor alias not found in signature: q"},
      {StrCat(echo, "output_filter: 'y' output_filter: 'y'"), "duplicate output tensor alias: y"},
      {x("dtype: DT_INT32"), "has the dtype DT_INT32, the model takes DT_FLOAT"},
      {x("dtype: DT_QINT8"), "has the dtype number 11"},
      {x("dtype: DT_FLOAT tensor_shape { unknown_rank: true }"), "unknown_rank"},
      {x("dtype: DT_FLOAT tensor_shape { dim { size: -1 } }"), "negative dimension -1"},
      {x("dtype: DT_FLOAT tensor_shape { dim { size: 4611686018427387904 } dim { size: 4 } }"),
       "is too large"},
      {x("dtype: DT_FLOAT tensor_shape { dim { size: 1000000000 } dim { size: 2 } } float_val: 1"),
       "would take more than"},
      {x("dtype: DT_FLOAT tensor_shape { dim { size: 1 } dim { size: 2 } } tensor_content: 'abc'"),
       "takes 8 bytes of tensor_content, but it has 3"},
      {x("dtype: DT_FLOAT tensor_shape { dim { size: 1 } dim { size: 2 } } float_val: [1, 2, 3]"),
       "holds 2 values, but float_val has 3"},
      {x("dtype: DT_FLOAT tensor_shape { dim { size: 2 } } float_val: 1"),
       "2 dimensions are wanted"},
      {"model_spec { name: 'of_BYTES' } inputs { key: 'x' value { dtype: DT_STRING tensor_shape { "
       "dim { size: 2 } } tensor_content: 'z' } }",
       "tensor_content does not hold the 2 strings"},
      {"model_spec { name: 'of_INT8' } inputs { key: 'x' value { dtype: DT_INT8 tensor_shape { dim "
       "{ size: 1 } } int_val: 300 } }",
       "does not fit into DT_INT8"},
  };
  for (const auto& [request, wanted] : cases) {
    const std::string answer = Predict(request);
    EXPECT_NE(answer.find(wanted), std::string::npos) << request << "\n→ " << answer;
    EXPECT_EQ(answer.find("INTERNAL"), std::string::npos) << answer;
  }
}

TEST_F(GrpcServerTest, TellsAboutModels) {
  EXPECT_EQ(Ask("inference.GRPCInferenceService", "ServerLive", ""), "live: true");
  EXPECT_EQ(Ask("inference.GRPCInferenceService", "ServerReady", ""), "ready: true");
  EXPECT_EQ(Ask("inference.GRPCInferenceService", "ModelReady", "name: 'iris' version: '2'"),
            "ready: true");
  EXPECT_EQ(Ask("inference.GRPCInferenceService", "ModelReady", "name: 'iris' version: '3'"), "");
  EXPECT_EQ(Ask("inference.GRPCInferenceService", "ModelMetadata", "name: 'iris'"),
            "name: \"iris\" versions: \"1\" versions: \"2\" platform: \"fake_fake\" inputs { name: "
            "\"x\" datatype: \"FP32\" "
            "shape: -1 shape: 4 } outputs { name: \"label\" datatype: \"INT64\" shape: -1 } "
            "outputs { name: \"probabilities\" "
            "datatype: \"FP32\" shape: -1 shape: 3 }");
  EXPECT_EQ(Ask("tensorflow.serving.ModelService", "GetModelStatus", "model_spec { name: 'iris' }"),
            "model_version_status { version: 2 state: AVAILABLE status { } } model_version_status "
            "{ version: 1 state: AVAILABLE "
            "status { } }");
  const std::string metadata = Ask("tensorflow.serving.PredictionService", "GetModelMetadata",
                                   "model_spec { name: 'iris' } metadata_field: 'signature_def'");
  EXPECT_NE(metadata.find("[type.googleapis.com/tensorflow.serving.SignatureDefMap] { "
                          "signature_def { key: \"serving_default\""),
            std::string::npos)
      << metadata;
  EXPECT_NE(metadata.find("method_name: \"tensorflow/serving/predict\""), std::string::npos)
      << metadata;
}

TEST_F(GrpcServerTest, ReloadsTheModelsThatAreServed) {
  auto reload = [&](const std::string& text) {
    return Answered(client_->Call("/tensorflow.serving.ModelService/HandleReloadConfigRequest",
                                  FromText("tensorflow.serving.ReloadConfigRequest", text)),
                    "tensorflow.serving.ReloadConfigResponse");
  };
  const std::string config =
      "model_config_list { config { name: \"m\" base_path: \"/m\" model_version_policy { all { } } "
      "version_labels { key: \"a\" value: 3 } } }";
  EXPECT_EQ(reload(StrCat("config { ", config, " }")), "status { }");
  EXPECT_EQ(ToText("tensorflow.serving.ModelServerConfig", reloaded_), config);
  EXPECT_EQ(reload("config { model_config_list { } } metric_names: ['/tensorflow/x', '/unknown']"),
            "status { } metric { name: \"/tensorflow/x\" int64_value_increase: 3 } metric { name: "
            "\"/unknown\" int64_value_increase: 0 }");
  EXPECT_EQ(reload(""), "INVALID_ARGUMENT: config is missing");
}

TEST_F(GrpcServerTest, TritonsExtensions) {
  const std::string service = "inference.GRPCInferenceService";
  Infer(
      "model_name: 'iris' inputs { name: 'x' datatype: 'FP32' shape: [2, 4] contents { "
      "fp32_contents: [1, 2, 3, 4, 5, 6, 7, 8] } }");
  const std::string statistics = Ask(service, "ModelStatistics", "name: 'iris' version: '2'");
  EXPECT_NE(statistics.find("model_stats { name: \"iris\" version: \"2\""), std::string::npos)
      << statistics;
  EXPECT_NE(
      statistics.find("inference_count: 2 execution_count: 1 inference_stats { success { count: 1"),
      std::string::npos)
      << statistics;
  EXPECT_NE(statistics.find("batch_stats { batch_size: 2"), std::string::npos) << statistics;
  EXPECT_NE(Ask(service, "ModelStatistics", "").find("name: \"pooled\""), std::string::npos);
  EXPECT_EQ(Ask(service, "ModelStatistics", "name: 'nope'").substr(0, 9), "NOT_FOUND");
  EXPECT_EQ(Ask(service, "ModelConfig", "name: 'pair'"),
            "config { name: \"pair\" platform: \"fake_pair\" version_policy { all { } } input { "
            "name: \"a\" data_type: TYPE_FP32 "
            "dims: -1 } input { name: \"b\" data_type: TYPE_INT64 dims: -1 } output { name: \"a2\" "
            "data_type: TYPE_FP32 dims: -1 } "
            "output { name: \"b2\" data_type: TYPE_INT64 dims: -1 } instance_group { name: "
            "\"pair_0\" count: 1 kind: KIND_CPU } backend: \"fake\" }");
  EXPECT_EQ(
      Ask(service, "ModelConfig", "name: 'triton'"),
      "config { name: \"triton\" platform: \"fake_fake\" version_policy { all { } } "
      "max_batch_size: 8 "
      "input { name: \"x\" data_type: TYPE_FP32 dims: 4 } output { name: \"label\" data_type: "
      "TYPE_INT64 dims: 1 reshape { } } instance_group { name: \"triton_0\" count: 2 kind: "
      "KIND_CPU } "
      "dynamic_batching { preferred_batch_size: 4 max_queue_delay_microseconds: 100 "
      "default_queue_policy { allow_timeout_override: true max_queue_size: 1024 } } parameters { "
      "key: "
      "\"k\" value { string_value: \"v\" } } backend: \"fake\" }");
  const std::string index = Ask(service, "RepositoryIndex", "ready: true");
  EXPECT_NE(index.find("models { name: \"iris\" version: \"2\" state: \"READY\" }"),
            std::string::npos)
      << index;
  EXPECT_EQ(Ask(service, "RepositoryModelLoad", "model_name: 'iris'"), "");
  EXPECT_EQ(Ask(service, "RepositoryModelLoad", "model_name: 'nope'"), "NOT_FOUND: no such model");
  EXPECT_TRUE(given_.empty());
  EXPECT_EQ(Ask(service, "RepositoryModelLoad",
                "model_name: 'iris' parameters { key: 'config' value { string_param: '{}' } } "
                "parameters { key: 'file:1/m.onnx' value { bytes_param: '\\000x' } }"),
            "");
  EXPECT_EQ(given_.config, "{}");
  EXPECT_EQ(given_.files,
            (std::map<std::string, std::string>{{"1/m.onnx", std::string("\0x", 2)}}));
  const std::pair<const char*, const char*> wrong[] = {
      {"{ key: 'config' value { bytes_param: '{}' } }",
       "INVALID_ARGUMENT: parameters.config must be a text (string_param)"},
      {"{ key: 'file:1/m' value { string_param: 'eA==' } }",
       "INVALID_ARGUMENT: parameters.file:1/m must be the file's bytes (bytes_param)"},
      {"{ key: 'colour' value { string_param: 'blue' } }",
       "INVALID_ARGUMENT: parameters.colour is not known; a load takes config and file:<path>, an "
       "unload takes unload_dependents"}};
  for (const auto& [parameter, answer] : wrong) {
    EXPECT_EQ(Ask(service, "RepositoryModelLoad",
                  std::string("model_name: 'iris' parameters ") + parameter),
              answer);
  }
  EXPECT_EQ(Ask(service, "RepositoryModelUnload",
                "model_name: 'iris' parameters { key: 'config' value { string_param: '{}' } }"),
            "INVALID_ARGUMENT: parameters.config is not known; a load takes config and "
            "file:<path>, an unload takes unload_dependents");
  EXPECT_EQ(Ask(service, "RepositoryModelUnload", "model_name: 'iris'").substr(0, 11),
            "UNAVAILABLE");
}

TEST_F(GrpcServerTest, EveryRequestLeavesAnEvent) {
  world_.sink.Take();
  client_->Call(kInfer, FromText("inference.ModelInferRequest",
                                 "model_name: 'echo' id: 'from-id' inputs { name: 'x' datatype: "
                                 "'FP32' shape: [1, 2] contents { fp32_contents: [1, 2] } }"));
  client_->Call(kInfer, FromText("inference.ModelInferRequest", "model_name: 'echo' id: 'from-id'"),
                {{"x-request-id", "from-header"}});
  client_->Call(kPredict,
                FromText("tensorflow.serving.PredictRequest",
                         "model_spec { name: 'echo' } inputs { key: 'x' value { dtype: DT_FLOAT "
                         "tensor_shape { dim { size: 3 } dim { size: 2 } } } }"));
  std::vector<RecordedEvent> events = world_.sink.Take();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].protocol, Protocol::kV2Grpc);
  EXPECT_EQ(events[0].request_id, "from-id");
  EXPECT_EQ(events[0].outcome, StatusCode::kOk);
  EXPECT_EQ(events[0].features, (std::vector<float>{1, 2}));
  EXPECT_GT(events[0].request_bytes, 0u);
  EXPECT_GT(events[0].response_bytes, 0u);
  EXPECT_EQ(events[1].request_id, "from-header");
  EXPECT_EQ(events[1].outcome, StatusCode::kInvalidArgument);
  EXPECT_EQ(events[2].protocol, Protocol::kTfServingGrpc);
  EXPECT_EQ(events[2].rows, 3u);
}

TEST_F(GrpcServerTest, AnswersWithTheRequestIdAndTheTrace) {
  const std::string request = FromText("inference.ModelInferRequest",
                                       "model_name: 'iris' inputs { name: 'x' datatype: 'FP32' "
                                       "shape: [1, 4] contents { fp32_contents: [1, 2, 3, 4] } }");
  GrpcClient::Answer answer = client_->Call(kInfer, request, {{"x-request-id", "abc-1"}});
  ASSERT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_EQ(answer.initial_metadata.find("x-request-id")->second, "abc-1");
  answer = client_->Call(kInfer, request);
  EXPECT_EQ(answer.initial_metadata.find("x-request-id")->second.size(), 16u);
  EXPECT_EQ(answer.initial_metadata.count("traceparent"), 0u);
  const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  answer = client_->Call(kInfer, request,
                         {{"traceparent", StrCat("00-", trace, "-00f067aa0ba902b7-01")}});
  const std::string back = answer.initial_metadata.find("traceparent")->second;
  EXPECT_EQ(back.substr(0, 36), StrCat("00-", trace, "-"));
  EXPECT_NE(back.substr(36, 16), "00f067aa0ba902b7");
}

TEST_F(GrpcServerTest, PooledModelsAnswerAsWell) {
  const std::string request =
      "model_name: 'pooled' inputs { name: 'x' datatype: 'FP32' shape: 1 contents { fp32_contents: "
      "5 } }";
  EXPECT_NE(Infer(request).find("fp32_contents: 5"), std::string::npos);
}

TEST_F(GrpcServerTest, CancelledCallsLeaveTheQueue) {
  hold_pool_ = true;
  const std::string request = FromText("inference.ModelInferRequest",
                                       "model_name: 'pooled' inputs { name: 'x' datatype: 'FP32' "
                                       "shape: 1 contents { fp32_contents: 5 } }");
  world_.sink.Take();
  // The first holds the only thread of the pool; the second waits for it, and its client gives up.
  auto first = client_->Open("/inference.GRPCInferenceService/ModelStreamInfer");
  ASSERT_TRUE(first->Write(request));
  const GrpcClient::Answer second =
      client_->Call(kInfer, request, {}, std::chrono::milliseconds(300));
  EXPECT_EQ(second.status.code(), StatusCode::kDeadlineExceeded);
  // At once: not when its turn comes.
  std::vector<RecordedEvent> events;
  world_.Await([&] {
    for (RecordedEvent& event : world_.sink.Take()) events.push_back(std::move(event));
    return events.size() == 1;
  });
  EXPECT_EQ(events[0].outcome, StatusCode::kCancelled);
  hold_pool_ = false;
  std::string answer;
  ASSERT_TRUE(first->Read(answer));
}

TEST_F(GrpcServerTest, LargeMessagesTravelBothWaysAndTooLargeOnesAreRefused) {
  // Larger than a flow control window in the stream, and than a frame.
  std::string raw(1000 * 8 * 100, '\x01');
  const std::string request =
      FromText("inference.ModelInferRequest",
               "model_name: 'echo' inputs { name: 'x' datatype: 'FP32' shape: [100000, 2] }") +
      FromText("inference.ModelInferRequest", StrCat("raw_input_contents: '", raw, "'"));
  GrpcClient::Answer answer = client_->Call(kInfer, request);
  ASSERT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_GT(answer.message.size(), raw.size());
  EXPECT_EQ(answer.message.substr(answer.message.size() - raw.size()), raw);
  answer = client_->Call(kInfer, std::string(2 << 20, 'x'));
  EXPECT_EQ(answer.status.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(answer.status.message().find("limit of 1048576"), std::string_view::npos)
      << answer.status;
  GrpcClient zipping(server_->port(), {.gzip = true});
  answer = zipping.Call(kInfer, request);
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  answer = zipping.Call(kInfer, std::string(2 << 20, 'x'));
  EXPECT_EQ(answer.status.code(), StatusCode::kResourceExhausted) << answer.status;
}

TEST_F(GrpcServerTest, HealthFollowsReadiness) {
  auto check = [&](const std::string& service) {
    return Answered(
        client_->Call("/grpc.health.v1.Health/Check", FromText("grpc.health.v1.HealthCheckRequest",
                                                               StrCat("service: '", service, "'"))),
        "grpc.health.v1.HealthCheckResponse");
  };
  EXPECT_EQ(check(""), "status: SERVING");
  EXPECT_EQ(check("tensorflow.serving.PredictionService"), "status: SERVING");
  EXPECT_EQ(check("PredictionService"), "status: SERVING");
  EXPECT_EQ(check("nope").substr(0, 9), "NOT_FOUND");
  auto watch = client_->Open("/grpc.health.v1.Health/Watch");
  ASSERT_TRUE(watch->Write(""));
  watch->WritesDone();
  std::string message;
  ASSERT_TRUE(watch->Read(message));
  EXPECT_EQ(ToText("grpc.health.v1.HealthCheckResponse", message), "status: SERVING");
  ready_ = false;
  ASSERT_TRUE(watch->Read(message));
  EXPECT_EQ(ToText("grpc.health.v1.HealthCheckResponse", message), "status: NOT_SERVING");
  EXPECT_EQ(check(""), "status: NOT_SERVING");
}

TEST_F(GrpcServerTest, ClassifiesAndRegressesExamples) {
  const std::string input =
      "input { example_list { examples { features { feature { key: 'x' value { float_list { value: "
      "[1, 2, 3, 4] } } } } } } }";
  auto ask = [&](const std::string& method, const std::string& type, const std::string& text) {
    return Answered(client_->Call(StrCat("/tensorflow.serving.PredictionService/", method),
                                  FromText(StrCat("tensorflow.serving.", type, "Request"), text)),
                    StrCat("tensorflow.serving.", type, "Response"));
  };
  EXPECT_EQ(
      ask("Classify", "Classification",
          StrCat("model_spec { name: 'iris' version { value: 1 } } ", input)),
      "result { classifications { classes { label: \"0\" score: 1 } classes { label: \"1\" } "
      "classes { label: \"2\" } } } "
      "model_spec { name: \"iris\" version { value: 1 } signature_name: \"serving_default\" }");
  const std::string regression =
      "input { example_list_with_context { examples { } context { features { feature { key: 'x' "
      "value { float_list { value: 5 } } } } } } }";
  EXPECT_EQ(ask("Regress", "Regression", StrCat("model_spec { name: 'of_FP32' } ", regression)),
            "result { regressions { value: 5 } } model_spec { name: \"of_FP32\" version { value: 1 "
            "} signature_name: "
            "\"serving_default\" }");
  // Also in the pool, from where the next task begins.
  EXPECT_EQ(ask("MultiInference", "MultiInference",
                StrCat("tasks { model_spec { name: 'pooled' } method_name: "
                       "'tensorflow/serving/regress' } tasks { model_spec { name: "
                       "'pooled' signature_name: 'serving_default' } method_name: "
                       "'tensorflow/serving/regress' } ",
                       regression)),
            "results { model_spec { name: \"pooled\" version { value: 1 } signature_name: "
            "\"serving_default\" } regression_result { "
            "regressions { value: 5 } } } results { model_spec { name: \"pooled\" version { value: "
            "1 } signature_name: "
            "\"serving_default\" } regression_result { regressions { value: 5 } } }");
  EXPECT_EQ(ask("Classify", "Classification", "model_spec { name: 'iris' }"),
            "INVALID_ARGUMENT: Input is empty: 'input' must have at least one example");
  EXPECT_NE(ask("MultiInference", "MultiInference",
                "tasks { model_spec { name: 'iris' } method_name: 'x' }")
                .find("UNIMPLEMENTED: Unsupported signature method_name: x"),
            std::string::npos);
  EXPECT_NE(ask("MultiInference", "MultiInference", "").find("at least one task"),
            std::string::npos);
}

TEST_F(GrpcServerTest, SpeaksTls) {
  TempDir dir;
  net::TestAuthority authority;
  const net::TestCertificate own = authority.Issue();
  auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(dir.file(name)) << text;
    return dir.file(name);
  };
  auto certificates =
      net::ServerCertificates::Create({.cert_file = write("cert.pem", own.certificate),
                                       .key_file = write("key.pem", own.key),
                                       .client_ca_file = write("ca.pem", authority.pem()),
                                       .client_auth = net::ClientAuth::kRequired},
                                      SystemClock());
  ASSERT_TRUE(certificates.ok()) << certificates.status();
  GrpcServer::Options options;
  options.http2.certificates = *certificates;
  options.http2.max_body_bytes = 4 << 20;
  auto server = GrpcServer::Start(world_.predictor(), options);
  ASSERT_TRUE(server.ok()) << server.status();
  const net::TestCertificate client = authority.Issue({.common_name = "client"});
  {
    GrpcClient good(
        (*server)->port(),
        {.authorities = authority.pem(), .certificate = client.certificate, .key = client.key});
    const std::string raw(1 << 20, '\1');
    const std::string request =
        FromText("inference.ModelInferRequest",
                 "model_name: 'echo' inputs { name: 'x' datatype: 'FP32' shape: [131072, 2] }") +
        FromText("inference.ModelInferRequest", StrCat("raw_input_contents: '", raw, "'"));
    const GrpcClient::Answer answer = good.Call(kInfer, request);
    ASSERT_TRUE(answer.status.ok()) << answer.status;
    EXPECT_EQ(answer.message.substr(answer.message.size() - raw.size()), raw);
    GrpcClient stranger((*server)->port(), {.authorities = authority.pem()});
    EXPECT_EQ(stranger.Call(kInfer, "").status.code(), StatusCode::kUnavailable);
    GrpcClient plain((*server)->port());
    EXPECT_EQ(plain.Call(kInfer, "").status.code(), StatusCode::kUnavailable);
  }
  EXPECT_EQ((*server)->stats().tls_handshakes, 1u);
  EXPECT_GE((*server)->stats().tls_failures, 2u);
  (*server)->Shutdown(std::chrono::seconds(1));
}

TEST_F(GrpcServerTest, PredictAnswersInTensorContentWhenAsked) {
  GrpcServer::Options options;
  options.http2.max_body_bytes = 1 << 20;
  options.predict_tensor_content = true;
  auto server = GrpcServer::Start(world_.predictor(), options);
  ASSERT_TRUE(server.ok()) << server.status();
  client_ = std::make_unique<GrpcClient>((*server)->port());
  auto values = [&](const std::string& model, const std::string& tensor) {
    std::string text = Predict(StrCat("model_spec { name: '", model,
                                      "' } inputs { key: 'x' value { tensor_shape { dim { size: 2 "
                                      "} } ",
                                      tensor, " } }"));
    const size_t at = text.find("dim { size: 2 } }");
    return at == std::string::npos ? text : text.substr(at + 18, text.find(" } } model") - at - 18);
  };
  EXPECT_EQ(values("of_INT16", "dtype: DT_INT16 int_val: [1, -2]"),
            "tensor_content: \"\\001\\000\\376\\377\"");
  EXPECT_EQ(values("of_FP32", "dtype: DT_FLOAT float_val: [1, 0]"),
            "tensor_content: \"\\000\\000\\200?\\000\\000\\000\\000\"");
  EXPECT_EQ(values("of_BYTES", "dtype: DT_STRING string_val: ['a', '']"),
            "string_val: \"a\" string_val: \"\"");
  client_.reset();
}

TEST_F(GrpcServerTest, SpeaksOverAUnixSocket) {
  TempDir dir;
  GrpcServer::Options options;
  options.http2.socket_path = dir.file("grpc.sock");
  options.http2.io_threads = 3;
  options.http2.max_body_bytes = 4 << 20;
  auto server = GrpcServer::Start(world_.predictor(), options);
  ASSERT_TRUE(server.ok()) << server.status();
  for (int i = 0; i < 8; ++i) {
    GrpcClient client(0, {.socket_path = options.http2.socket_path});
    const GrpcClient::Answer answer = client.Call(
        kPredict,
        FromText("tensorflow.serving.PredictRequest",
                 "model_spec { name: 'echo' } inputs { key: 'x' value { dtype: DT_FLOAT "
                 "tensor_shape { dim { size: 1 } dim { size: 2 } } float_val: [1, 2] } }"));
    EXPECT_TRUE(answer.status.ok()) << answer.status;
  }
  // Nobody takes it from one who answers; one that was left is replaced, a file is not.
  Status second = GrpcServer::Start(world_.predictor(), options).status();
  EXPECT_EQ(second.code(), StatusCode::kUnavailable);
  EXPECT_NE(second.message().find("another process listens there"), std::string::npos) << second;
  (*server)->Shutdown(std::chrono::milliseconds(0));
  auto after = GrpcServer::Start(world_.predictor(), options);
  ASSERT_TRUE(after.ok()) << after.status();
  after->reset();
  EXPECT_FALSE(std::filesystem::exists(options.http2.socket_path));
  std::ofstream(options.http2.socket_path) << "a file";
  EXPECT_FALSE(GrpcServer::Start(world_.predictor(), options).ok());
  options.http2.socket_path = std::string(200, 's');
  EXPECT_NE(GrpcServer::Start(world_.predictor(), options).status().message().find("bytes"),
            std::string::npos);
}

TEST_F(GrpcServerTest, AsksWhoMayMakeACall) {
  GrpcServer::Options options;
  std::mutex mutex;
  std::map<std::string, int> asked;  // how often of each model, and of calls without one
  options.authorize = [&](std::string_view authorization, std::string_view method,
                          const CalledModel& model) {
    if (method.starts_with("/grpc.health")) return OkStatus();
    if (authorization != "Bearer mine") {
      return Status(StatusCode::kUnauthenticated, "a token is needed");
    }
    if (model.to_come) return OkStatus();
    std::lock_guard lock(mutex);
    ++asked[std::string(model.name)];
    return model.name.empty() || model.name == "echo" ? OkStatus()
                                                      : PermissionDeniedError("not this model");
  };
  auto server = GrpcServer::Start(world_.predictor(), options);
  ASSERT_TRUE(server.ok()) << server.status();
  {
    GrpcClient client((*server)->port());
    const GrpcClient::Metadata mine = {{"authorization", "Bearer mine"}};
    auto infer = [&](const std::string& model, const GrpcClient::Metadata& metadata) {
      return client
          .Call(kInfer,
                FromText("inference.ModelInferRequest",
                         "model_name: '" + model +
                             "' inputs { name: 'x' datatype: 'FP32' shape: [1, 2] contents { "
                             "fp32_contents: [1, 2] } }"),
                metadata)
          .status.code();
    };
    EXPECT_EQ(infer("echo", {}), StatusCode::kUnauthenticated);
    EXPECT_EQ(infer("echo", {{"authorization", "Bearer theirs"}}), StatusCode::kUnauthenticated);
    EXPECT_EQ(infer("echo", mine), StatusCode::kOk);
    EXPECT_EQ(infer("iris", mine), StatusCode::kPermissionDenied);
    EXPECT_EQ(client.Call("/inference.GRPCInferenceService/ServerMetadata", "").status.code(),
              StatusCode::kUnauthenticated);
    EXPECT_EQ(client.Call("/inference.GRPCInferenceService/ServerMetadata", "", mine).status.code(),
              StatusCode::kOk);
    EXPECT_EQ(client.Call("/grpc.health.v1.Health/Check", "").status.code(), StatusCode::kOk);
    EXPECT_EQ(asked, (std::map<std::string, int>{{"", 1}, {"echo", 1}, {"iris", 1}}));
    asked.clear();
    for (const char* method : {"ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"}) {
      const std::string path = StrCat("/inference.GRPCInferenceService/", method);
      const std::string message = StrCat("inference.", method, "Request");
      EXPECT_EQ(client.Call(path, FromText(message, "name: 'echo'"), mine).status.code(),
                StatusCode::kOk)
          << method;
      EXPECT_EQ(client.Call(path, FromText(message, "name: 'iris'"), mine).status.code(),
                StatusCode::kPermissionDenied)
          << method;
    }
    for (const auto& [path, message] :
         {std::pair("PredictionService/GetModelMetadata", "GetModelMetadataRequest"),
          std::pair("ModelService/GetModelStatus", "GetModelStatusRequest")}) {
      EXPECT_EQ(
          client
              .Call(StrCat("/tensorflow.serving.", path),
                    FromText(StrCat("tensorflow.serving.", message), "model_spec { name: 'iris' }"),
                    mine)
              .status.code(),
          StatusCode::kPermissionDenied)
          << path;
    }
    EXPECT_EQ(asked, (std::map<std::string, int>{{"echo", 4}, {"iris", 6}}));
    // On a stream each message is asked about: the stream itself goes on.
    auto stream = client.Open("/inference.GRPCInferenceService/ModelStreamInfer", mine);
    for (const char* model : {"iris", "echo"}) {
      ASSERT_TRUE(stream->Write(
          FromText("inference.ModelInferRequest",
                   StrCat("model_name: '", model,
                          "' inputs { name: 'x' datatype: 'FP32' shape: [1, 2] contents { "
                          "fp32_contents: [1, 2] } }"))));
      std::string answer;
      ASSERT_TRUE(stream->Read(answer));
      EXPECT_EQ(answer.find("not this model") != std::string::npos, model == std::string("iris"));
    }
    stream->WritesDone();
    std::string rest;
    while (stream->Read(rest)) {
    }
    EXPECT_TRUE(stream->Finish().ok());
  }
  (*server)->Shutdown(std::chrono::milliseconds(0));
}

TEST_F(GrpcServerTest, UnknownMethodsAndEncodingsAreToldSo) {
  GrpcClient::Answer answer = client_->Call("/inference.GRPCInferenceService/Nope", "");
  EXPECT_EQ(answer.status.code(), StatusCode::kUnimplemented);
  answer = client_->Call("/inference.GRPCInferenceService/SystemSharedMemoryStatus", "");
  EXPECT_EQ(answer.status.code(), StatusCode::kUnimplemented);
  EXPECT_NE(answer.status.message().find("shared memory"), std::string_view::npos);
}

TEST_F(GrpcServerTest, DrainAnswersWhatHasBegun) {
  hold_pool_ = true;
  Status status = InternalError("none");
  std::thread caller([&] {
    GrpcClient client(server_->port());
    status = client
                 .Call(kInfer, FromText("inference.ModelInferRequest",
                                        "model_name: 'pooled' inputs { name: 'x' datatype: 'FP32' "
                                        "shape: 1 contents { fp32_contents: 5 } }"))
                 .status;
  });
  world_.Await([&] { return server_->stats().requests >= 1; });
  server_->BeginDrain(std::chrono::seconds(20));
  EXPECT_FALSE(server_->AwaitDrained(std::chrono::milliseconds(100)));
  hold_pool_ = false;
  EXPECT_TRUE(server_->AwaitDrained(std::chrono::seconds(20)));
  caller.join();
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace leadsman::rpc
