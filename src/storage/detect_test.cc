#include "storage/detect.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/strings.h"
#include "base/testing/temp_dir.h"

namespace leadsman {
namespace {

namespace fs = std::filesystem;

constexpr const char* kXgboostJson = R"({"learner":{"attributes":{}},"version":[2,0,3]})";
constexpr const char* kLightgbm = "tree\nversion=v4\nnum_class=1\n";
constexpr std::string_view kHdf5{"\x89HDF\r\n\x1a\n....", 12};
constexpr std::string_view kZip{"PK\x03\x04....", 8};

class DetectTest : public testing::Test {
 protected:
  void File(const std::string& name, std::string_view content = "x") {
    fs::create_directories((dir_.path() / name).parent_path());
    std::ofstream(dir_.path() / name) << content;
  }
  /// "onnx model.onnx", or the error's message.
  std::string Detected(const std::string& format = "", const std::string& file = "") {
    Result<Manifest> found = DetectModel(dir_.path().string(), format, file);
    if (!found.ok()) {
      code_ = found.status().code();
      return std::string(found.status().message());
    }
    alternatives_ = found->alternatives;
    return StrCat(found->format, " ", found->model_file);
  }
  TempDir dir_;
  StatusCode code_ = StatusCode::kOk;
  std::vector<Manifest::Alternative> alternatives_;
};

TEST_F(DetectTest, KnowsEachFormatByItsUsualFile) {
  struct Row {
    const char* file;
    std::string_view content;
    const char* wanted;
  };
  const Row rows[] = {
      {"model.onnx", "x", "onnx model.onnx"},
      {"net.onnx", "x", "onnx net.onnx"},
      {"model.onnx/model.onnx", "x", "onnx model.onnx/model.onnx"},
      {"saved_model.pb", "x", "tensorflow saved_model.pb"},
      {"saved_model.pbtxt", "x", "tensorflow saved_model.pbtxt"},
      {"model.savedmodel/saved_model.pb", "x", "tensorflow model.savedmodel/saved_model.pb"},
      {"model.json", kXgboostJson, "xgboost model.json"},
      {"churn.json", kXgboostJson, "xgboost churn.json"},
      {"model.ubj", "{L\x01learner{", "xgboost model.ubj"},
      {"model.xgb", "anything", "xgboost model.xgb"},
      {"model.bst", "binf", "xgboost model.bst"},
      {"model.txt", kLightgbm, "lightgbm model.txt"},
      {"gbdt.lgb", kLightgbm, "lightgbm gbdt.lgb"},
      {"model.pkl", "\x80\x04", "sklearn model.pkl"},
      {"pipeline.joblib", "x", "sklearn pipeline.joblib"},
      {"model.keras", kZip, "keras model.keras"},
      {"net.h5", kHdf5, "keras net.h5"},
      {"model.py", "def predict", "python model.py"},
      {"MLmodel", "flavors:\n  python_function: {loader_module: mlflow.sklearn}\n",
       "mlflow MLmodel"},
  };
  for (const Row& row : rows) {
    fs::remove_all(dir_.path());
    File(row.file, row.content);
    EXPECT_EQ(Detected(), row.wanted);
  }
}

TEST_F(DetectTest, SaysWhatItLookedFor) {
  EXPECT_TRUE(
      Detected().starts_with("no model is recognised; its folder is empty, and should have "
                             "MLmodel, model.onnx (or a single "
                             "*.onnx), saved_model.pb, "))
      << Detected();
  EXPECT_EQ(code_, StatusCode::kNotFound);
  EXPECT_EQ(Detected("onnx"),
            "no model is recognised; its folder is empty, and should have model.onnx (or a single "
            "*.onnx)");
  EXPECT_EQ(Detected("pmml"),
            "the format \"pmml\" cannot be recognised by its files; add a manifest.json, or name "
            "the file by `model_file`");
  EXPECT_EQ(code_, StatusCode::kInvalidArgument);
}

TEST_F(DetectTest, OtherFilesAreNoModels) {
  File("model.json", R"({"class_name": "Sequential", "config": {}})");
  File("config.json", "{}");
  File("labels.txt", "cat\ndog\n");
  File("notes.h5", "not HDF5");
  File(".hidden.onnx");
  File("README.md");
  fs::create_directories(dir_.path() / "model.pkl");
  Detected();
  EXPECT_EQ(code_, StatusCode::kNotFound);
  File("model.onnx");
  EXPECT_EQ(Detected(), "onnx model.onnx");
}

TEST_F(DetectTest, TwoModelsInOneFolderAreTold) {
  File("model.onnx");
  File("saved_model.pb");
  EXPECT_EQ(Detected(),
            "several models are in one folder: model.onnx (onnx) and saved_model.pb (tensorflow); "
            "name one by `format`, or keep the others elsewhere");
  EXPECT_EQ(code_, StatusCode::kInvalidArgument);
  EXPECT_EQ(Detected("tensorflow"), "tensorflow saved_model.pb");
  File("a.pkl");
  File("b.pkl");
  EXPECT_EQ(Detected("sklearn").find("several files could be the sklearn model: a.pkl and b.pkl; "
                                     "name one by `model_file`"),
            0u)
      << Detected("sklearn");
  EXPECT_EQ(Detected("sklearn", "b.pkl"), "sklearn b.pkl");
  EXPECT_EQ(Detected("", "b.pkl"), "sklearn b.pkl");
  EXPECT_EQ(Detected("pmml", "b.pkl"), "pmml b.pkl");
  File("model.pkl");
  EXPECT_EQ(Detected("sklearn"), "sklearn model.pkl");
}

TEST_F(DetectTest, ANamedFolderHoldsTheModel) {
  File("net.savedmodel/saved_model.pb");
  File("deep/model.onnx");
  EXPECT_EQ(Detected("tensorflow", "net.savedmodel"), "tensorflow net.savedmodel/saved_model.pb");
  EXPECT_EQ(Detected("", "deep"), "onnx deep/model.onnx");
  EXPECT_EQ(Detected("onnx", "net.savedmodel"),
            "no model is recognised; looked for model.onnx (or a single *.onnx); there is "
            "saved_model.pb, of which none is a model by its name and its content");
}

TEST_F(DetectTest, AConfigPbtxtNamesTheFile) {
  auto detected = [&](const std::string& config) {
    TritonConfig triton =
        ParseTritonConfig(config, [](const std::string&) { return std::string(); }).value();
    Result<Manifest> found = DetectModel(dir_.path().string(), "", "", &triton);
    return found.ok() ? found->format + " " + found->model_file
                      : std::string(found.status().message());
  };
  File("a.onnx");
  File("b.onnx");
  EXPECT_EQ(detected("default_model_filename: 'b.onnx'"), "onnx b.onnx");
  EXPECT_EQ(detected("platform: 'onnxruntime_onnx' default_model_filename: 'c.onnx'"),
            "config.pbtxt: default_model_filename: the folder has no c.onnx");
  const std::string for_gpus =
      "cc_model_filenames [ { key: '7.5' value: 'a.onnx' }, { key: '10.0' value: 'b.onnx' }, "
      "{ key: '12.0' value: 'none.onnx' } ]";
  EXPECT_EQ(detected(for_gpus), "onnx b.onnx");
  EXPECT_EQ(detected(for_gpus + "default_model_filename: 'a.onnx'"), "onnx a.onnx");
  File("model.onnx");
  EXPECT_EQ(detected(for_gpus), "onnx model.onnx") << "as Triton does on a CPU";
  fs::remove_all(dir_.path());
  File("notes.txt");
  EXPECT_TRUE(
      detected(for_gpus).starts_with("config.pbtxt: cc_model_filenames: the folder has none "
                                     "of none.onnx, b.onnx and a.onnx: no model"))
      << detected(for_gpus);
}

TEST_F(DetectTest, TheForestBackendHasANameOfItsOwn) {
  TritonConfig triton;
  triton.backend = "fil";
  triton.format = "xgboost";
  triton.parameters["model_type"] = "xgboost";
  File("xgboost.model");
  EXPECT_EQ(DetectModel(dir_.path().string(), "", "", &triton)->model_file, "xgboost.model");
}

TEST_F(DetectTest, AScriptLoadsTheFilesBesideIt) {
  File("model.py");
  File("model.pkl");
  File("weights.h5", kHdf5);
  EXPECT_EQ(Detected(), "python model.py");
  EXPECT_EQ(Detected("sklearn"), "sklearn model.pkl");
  File("model.onnx");
  Detected();
  EXPECT_EQ(code_, StatusCode::kInvalidArgument);
}

TEST_F(DetectTest, ANamedFileMustBeInTheFolder) {
  EXPECT_EQ(Detected("onnx", "gone.onnx"), "the folder has no gone.onnx");
  EXPECT_EQ(code_, StatusCode::kNotFound);
  EXPECT_NE(Detected("onnx", "../x.onnx").find("must lie in its folder"), std::string::npos);
  EXPECT_NE(Detected("onnx", "/etc/passwd").find("must lie in its folder"), std::string::npos);
  File("weights.dat");
  EXPECT_EQ(Detected("", "weights.dat"),
            "what weights.dat is cannot be seen by its name; give its `format`");
}

TEST_F(DetectTest, AnMlflowFolderMayHaveANativeRuntimeToo) {
  File("MLmodel",
       "flavors:\n"
       "  python_function: {loader_module: mlflow.xgboost, data: model.ubj}\n"
       "  xgboost: {data: model.ubj, model_class: xgboost.core.Booster, model_format: ubj}\n");
  EXPECT_EQ(Detected(), "mlflow MLmodel");
  EXPECT_TRUE(alternatives_.empty()) << "the file is not there";
  File("model.ubj", "{L\x01learner{");
  EXPECT_EQ(Detected(), "mlflow MLmodel");
  ASSERT_EQ(alternatives_.size(), 1u);
  EXPECT_EQ(alternatives_[0].format, "xgboost");
  EXPECT_EQ(alternatives_[0].model_file, "model.ubj");
  EXPECT_EQ(Detected("xgboost"), "xgboost model.ubj");
  EXPECT_EQ(Detected("mlflow"), "mlflow MLmodel");
}

TEST_F(DetectTest, AFolderWithAFileOfAFlavorUnderAnotherNameIsFoundByIt) {
  File("MLmodel", "flavors: {lightgbm: {data: model.lgb, model_class: lightgbm.basic.Booster}}");
  File("model.lgb", kLightgbm);
  EXPECT_EQ(Detected("lightgbm"), "lightgbm model.lgb");
  File("MLmodel", "flavors: {onnx: {data: sub/net.onnx}}");
  File("sub/net.onnx");
  EXPECT_EQ(Detected("onnx"), "onnx sub/net.onnx");
}

TEST_F(DetectTest, AWrapperOfABoosterAnswersOtherwiseThanTheBooster) {
  using detect_internal::NativeFlavorOf;
  auto native = NativeFlavorOf(
      "flavors: {xgboost: {data: model.xgb, model_class: xgboost.sklearn.XGBClassifier}}");
  ASSERT_TRUE(native.ok());
  EXPECT_FALSE(*native);
  native = NativeFlavorOf("flavors: {onnx: {data: ../x.onnx}}");
  ASSERT_TRUE(native.ok());
  EXPECT_FALSE(*native) << "outside of the folder";
}

TEST_F(DetectTest, WhatIsNoMlmodelIsTold) {
  File("MLmodel", "a: [1, 2");
  EXPECT_EQ(Detected().find("MLmodel: line 1:"), 0u) << Detected();
  EXPECT_EQ(code_, StatusCode::kInvalidArgument);
  File("MLmodel", "run_id: 1\n");
  EXPECT_EQ(Detected(), "MLmodel: has no flavors: it is not what mlflow.*.save_model writes");
}

TEST_F(DetectTest, AMissingFolderIsAnError) {
  EXPECT_FALSE(DetectModel(dir_.file("none"), "").ok());
}

}  // namespace
}  // namespace leadsman
