#include "backend/plugin_host.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "backend/leadsman_backend.h"
#include "backend/testing/test_plugins.h"
#include "base/testing/temp_dir.h"
#include "support/test_paths.h"

namespace leadsman {
namespace {

const std::string kPlugins = BinaryDir() + "/plugins";
const std::string kDefective = kPlugins + "/testing";

std::string Defective(const std::string& name) {
  return kDefective + "/leadsman_backend_" + name + ".so";
}

Status WhyNot(const std::string& path) { return StartPlugin(path, {}).status(); }

bool Contains(std::string_view text, std::string_view piece) {
  return text.find(piece) != std::string_view::npos;
}

TEST(PluginHostTest, StringViewsAreAbiStrings) {
  std::string_view view = "sounding";
  leadsman_string string;
  ASSERT_EQ(sizeof view, sizeof string);
  std::memcpy(&string, &view, sizeof string);
  EXPECT_EQ(string.size, view.size());
  EXPECT_EQ(string.data, view.data());
}

TEST(PluginHostTest, ElementTypesHaveTheNumbersOfTheAbi) {
  std::map<std::string, int> abi = {
      {"BOOL", LEADSMAN_BOOL},     {"UINT8", LEADSMAN_UINT8},   {"UINT16", LEADSMAN_UINT16},
      {"UINT32", LEADSMAN_UINT32}, {"UINT64", LEADSMAN_UINT64}, {"INT8", LEADSMAN_INT8},
      {"INT16", LEADSMAN_INT16},   {"INT32", LEADSMAN_INT32},   {"INT64", LEADSMAN_INT64},
      {"FP16", LEADSMAN_FP16},     {"FP32", LEADSMAN_FP32},     {"FP64", LEADSMAN_FP64},
      {"BYTES", LEADSMAN_BYTES},   {"BF16", LEADSMAN_BF16}};
  EXPECT_EQ(abi.size(), 14u);
  for (const auto& [name, number] : abi)
    EXPECT_EQ(static_cast<int>(*ParseDataType(name)), number) << name;
}

TEST(PluginHostTest, AMissingFileIsNamed) {
  Status status = WhyNot("/nowhere/leadsman_backend_x.so");
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_TRUE(Contains(status.message(), "/nowhere/leadsman_backend_x.so")) << status;
}

TEST(PluginHostTest, AFileThatIsNoLibraryIsRefused) {
  TempDir dir;
  std::string path = dir.file("leadsman_backend_text.so");
  std::ofstream(path) << "this is text";
  Status status = WhyNot(path);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Contains(status.message(), "cannot be loaded")) << status;
}

TEST(PluginHostTest, ALibraryWithoutTheEntryIsRefused) {
  Status status = WhyNot(Defective("no_entry"));
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Contains(status.message(), "does not export leadsman_backend_entry")) << status;
}

TEST(PluginHostTest, AnotherAbiVersionIsRefusedNamingBoth) {
  Status status = WhyNot(Defective("wrong_abi"));
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(
      Contains(status.message(), "speaks version 42 of the backend ABI, this server version 1"))
      << status;
}

TEST(PluginHostTest, ATableWithHolesIsRefused) {
  Status status = WhyNot(Defective("incomplete"));
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Contains(status.message(), "left functions of the backend ABI out")) << status;
}

TEST(PluginHostTest, AMissingRuntimeIsRegisteredWithItsReason) {
  BackendRegistry registry;
  std::vector<PluginReport> reports = LoadBackends({{kDefective, "/nowhere"}, {}, {}}, registry);
  EXPECT_EQ(reports.size(), 5u);
  auto cannot_start = std::find_if(reports.begin(), reports.end(), [](const PluginReport& r) {
    return r.path == Defective("cannot_start");
  });
  ASSERT_NE(cannot_start, reports.end());
  EXPECT_EQ(cannot_start->name, "defective");
  EXPECT_EQ(cannot_start->formats, std::vector<std::string>{"defective"});
  Result<std::shared_ptr<Backend>> backend = registry.ForFormat("defective");
  EXPECT_EQ(backend.status().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(Contains(backend.status().message(), "the package libnowhere is missing"))
      << backend.status();
  EXPECT_TRUE(registry.ForFormat("careless").ok());
}

TEST(PluginHostTest, OnnxRuntimeNotFoundNamesThePackageAndThePlaces) {
  PluginOptions options;
  options.backend_options["onnxruntime"]["library"] = "/nowhere/libonnxruntime.so";
  Status status = StartPlugin(kPlugins + "/leadsman_backend_onnxruntime.so", options).status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  for (const char* piece :
       {"PyPI's package onnxruntime", "/nowhere/libonnxruntime.so", "tools/fetch_runtimes.sh"}) {
    EXPECT_TRUE(Contains(status.message(), piece)) << status;
  }
}

TEST(PluginHostTest, AnUnknownBackendOptionIsRefusedByName) {
  PluginOptions options = TestPluginOptions(BinaryDir());
  options.backend_options["onnxruntime"]["colour"] = "blue";
  Status status = StartPlugin(kPlugins + "/leadsman_backend_onnxruntime.so", options).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(Contains(status.message(), "unknown option \"colour\"")) << status;
}

TEST(PluginHostTest, TheFirstPluginThatWorksKeepsAFormat) {
  TempDir dir;
  auto copy = [&](const std::string& from, const std::string& to) {
    std::filesystem::copy_file(from, dir.file("leadsman_backend_" + to + ".so"));
  };
  copy(kPlugins + "/leadsman_backend_linear.so", "a");
  copy(kPlugins + "/leadsman_backend_linear.so", "b");
  BackendRegistry registry;
  std::vector<PluginReport> reports = LoadBackends({{dir.path().string()}, {}, {}}, registry);
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_TRUE(reports[0].path.ends_with("_a.so"));
  EXPECT_TRUE(reports[0].status.ok() && reports[1].status.ok());
  EXPECT_TRUE(registry.ForFormat("linear").ok());
}

TEST(BackendRegistryTest, AnUnknownFormatIsUnimplementedAndTheKnownOnesAreListed) {
  BackendRegistry registry;
  EXPECT_TRUE(Contains(registry.ForFormat("onnx").status().message(), "no plug-in was found"));
  registry.RegisterMissing("onnx", UnavailableError("no runtime"));
  registry.RegisterMissing("savedmodel", UnavailableError("no runtime"));
  Status status = registry.ForFormat("pickle").status();
  EXPECT_EQ(status.code(), StatusCode::kUnimplemented);
  EXPECT_TRUE(Contains(status.message(), "onnx and savedmodel")) << status;
}

class CarelessTest : public testing::Test {
 protected:
  Result<std::unique_ptr<LoadedModel>> Load(const std::string& defect) {
    Result<std::shared_ptr<Backend>> backend = StartPlugin(Defective("careless"), {});
    if (!backend.ok()) return backend.status();
    LoadSpec spec;
    spec.model_file = defect;
    return (*backend)->Load(spec);  // the backend's own pointer goes here: the model keeps it
  }
  Result<Shape> Run(const std::string& defect, std::vector<std::string> names) {
    ASSIGN_OR_RETURN(std::unique_ptr<LoadedModel> model, Load(defect));
    ASSIGN_OR_RETURN(std::unique_ptr<ExecutionContext> context, model->NewContext());
    float value = 1;
    std::vector<TensorView> views;
    for (const std::string& name : names) views.push_back({name, DataType::kFp32, {1}, &value, 1});
    ASSIGN_OR_RETURN(std::span<const TensorView> outputs, context->Execute(views));
    return outputs[0].shape;
  }
};

TEST_F(CarelessTest, AFailureWithoutWordsIsSaidToBeOne) {
  Status status = Load("wordless").status();
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  EXPECT_EQ(status.message(), "the backend gave no reason");
}

TEST_F(CarelessTest, AnUnknownCodeIsInternal) {
  Status status = Load("strange-code").status();
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  EXPECT_EQ(status.message(), "what is this");
}

TEST_F(CarelessTest, BrokenSignaturesAreRefused) {
  EXPECT_EQ(Load("no-signature").status().code(), StatusCode::kInternal);
  EXPECT_EQ(Load("bad-signature").status().code(), StatusCode::kInternal);
}

TEST_F(CarelessTest, BrokenOutputsAreRefused) {
  for (const char* defect : {"too-many", "bad-type", "bad-rank"}) {
    EXPECT_EQ(Run(defect, {"x", "hint"}).status().code(), StatusCode::kInternal) << defect;
  }
}

TEST_F(CarelessTest, OptionalInputsMayBeLeftOut) {
  // The plug-in answers with rank 2 when the hint came and with rank 1 when not.
  EXPECT_EQ(Run("none", {"x", "hint"})->rank(), 2u);
  EXPECT_EQ(Run("none", {"x"})->rank(), 1u);
  EXPECT_EQ(Run("none", {"hint"}).status().message(), "input \"x\" is missing");
  EXPECT_EQ(Run("none", {"x", "hint", "x"}).status().code(), StatusCode::kInvalidArgument);
}

TEST(PluginOptionsTest, DefaultsFollowTheBinaryAndTheEnvironment) {
  std::map<std::string, std::string> variables = {{"HOME", "/home/ada"}};
  auto env = [&](const char* name) { return variables[name]; };
  PluginOptions plain = PluginOptions::Default("/opt/leadsman/bin", env);
  EXPECT_EQ(plain.plugin_dirs[0], "/opt/leadsman/bin/../plugins");
  EXPECT_EQ(plain.runtime_dirs[0], "/home/ada/.cache/leadsman/runtimes");
  EXPECT_TRUE(plain.backend_options.empty());

  variables["LEADSMAN_PLUGINS"] = "/p";
  variables["LEADSMAN_RUNTIMES"] = "/r";
  variables["LEADSMAN_ONNXRUNTIME"] = "/o/libonnxruntime.so";
  variables["LEADSMAN_XGBOOST"] = "/x/libxgboost.so";
  PluginOptions told = PluginOptions::Default("/opt/leadsman/bin", env);
  EXPECT_EQ(told.plugin_dirs, std::vector<std::string>{"/p"});
  EXPECT_EQ(told.runtime_dirs[0], "/r");
  EXPECT_EQ(told.backend_options["onnxruntime"]["library"], "/o/libonnxruntime.so");
  EXPECT_EQ(told.backend_options["xgboost"]["library"], "/x/libxgboost.so");
  EXPECT_FALSE(told.backend_options.contains("lightgbm"));
}

}  // namespace
}  // namespace leadsman
