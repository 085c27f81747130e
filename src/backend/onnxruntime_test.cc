// What the ONNX Runtime plug-in does beyond the conformance test. The models:
// tools/make_test_models.py.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <span>

#include "backend/plugin_host.h"
#include "backend/testing/test_plugins.h"
#include "base/testing/temp_dir.h"
#include "support/test_paths.h"

namespace leadsman {
namespace {

class OnnxRuntimeTest : public testing::Test {
 protected:
  void SetUp() override {
    static const BackendRegistry* registry = [] {
      auto* made = new BackendRegistry;
      LoadBackends(TestPluginOptions(BinaryDir()), *made);
      return made;
    }();
    Result<std::shared_ptr<Backend>> backend = registry->ForFormat("onnx");
    ASSERT_TRUE(backend.ok()) << backend.status()
                              << "\nRun tools/fetch_runtimes.sh and configure again.";
    backend_ = *backend;
  }
  Result<std::unique_ptr<LoadedModel>> TryLoad(const std::string& file,
                                               std::map<std::string, std::string> options = {}) {
    LoadSpec spec;
    spec.model_name = "m";
    spec.version = 1;
    spec.directory = SourceDir() + "/src/backend/testdata";
    spec.model_file = file;
    spec.options = std::move(options);
    return backend_->Load(spec);
  }
  void Load(const std::string& file, std::map<std::string, std::string> options = {}) {
    Result<std::unique_ptr<LoadedModel>> model = TryLoad(file, std::move(options));
    ASSERT_TRUE(model.ok()) << model.status();
    context_.reset();
    model_ = std::move(model).value();
    context_ = std::move(model_->NewContext()).value();
  }
  /// Three flowers, one of each kind; what scikit-learn says of them is printed by the script that
  /// made the models.
  Result<std::span<const TensorView>> ExecuteFlowers() {
    tensor_.Reset("x", DataType::kFp32);
    tensor_.shape() = {3, 4};
    for (float v : {5.1f, 3.5f, 1.4f, 0.2f, 7.0f, 3.2f, 4.7f, 1.4f, 6.3f, 3.3f, 6.0f, 2.5f})
      tensor_.Push(v);
    view_ = tensor_.View();
    return context_->Execute({&view_, 1});
  }
  template <typename T>
  Result<std::span<const TensorView>> Execute(DataType type, const std::vector<T>& values) {
    tensor_.Reset("x", type);
    tensor_.shape() = {static_cast<int64_t>(values.size())};
    for (T v : values) tensor_.Push(v);
    view_ = tensor_.View();
    return context_->Execute({&view_, 1});
  }
  static void ExpectScikitLearnsProbabilities(const TensorView& view) {
    const double expected[] = {0.98157942, 0.01842055,    1.4595696e-08, 0.00212153, 0.87486643,
                               0.12301207, 9.1316622e-07, 0.00393262,    0.99606651};
    ASSERT_EQ(view.type, DataType::kFp32);
    ASSERT_EQ(view.shape.ToString(), "[3,3]");
    for (size_t i = 0; i < 9; ++i) EXPECT_NEAR(view.as<float>()[i], expected[i], 1e-5) << i;
  }

  std::shared_ptr<Backend> backend_;
  std::unique_ptr<LoadedModel> model_;
  std::unique_ptr<ExecutionContext> context_;
  Tensor tensor_;
  TensorView view_;
};

// In a process of its own: a runtime that is loaded already would be found by its name.
TEST(OnnxRuntimeSearchTest, TakesTheNewestByItsNumber) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto trouble = [] {
    TempDir dir;
    std::filesystem::create_directories(dir.file("onnxruntime/lib"));
    dir.Write("onnxruntime/lib/libonnxruntime.so.1.9.0", "no library");
    dir.Write("onnxruntime/lib/libonnxruntime.so.1.20.1", "no library");
    PluginOptions options = TestPluginOptions(BinaryDir());
    options.runtime_dirs = {dir.path().string()};
    BackendRegistry registry;
    LoadBackends(options, registry);
    return registry.ForFormat("onnx").status();
  };
  auto load = [&] {
    std::cerr << trouble();
    exit(0);
  };
  EXPECT_EXIT(load(), testing::ExitedWithCode(0), "lib/libonnxruntime.so.1.20.1: ");
}

TEST_F(OnnxRuntimeTest, SaysItsNameAndVersion) {
  EXPECT_EQ(backend_->name(), "onnxruntime");
  EXPECT_TRUE(backend_->runtime_version().starts_with("1.")) << backend_->runtime_version();
}

TEST_F(OnnxRuntimeTest, GivesWhatScikitLearnGives) {
  Load("iris.onnx");
  Result<std::span<const TensorView>> outputs = ExecuteFlowers();
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ((*outputs)[0].as<int64_t>()[i], static_cast<int64_t>(i));
  ExpectScikitLearnsProbabilities((*outputs)[1]);
}

TEST_F(OnnxRuntimeTest, FlattensASequenceOfMapsByAscendingClass) {
  Load("iris_zipmap.onnx");
  Result<std::span<const TensorView>> outputs = ExecuteFlowers();
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  ExpectScikitLearnsProbabilities((*outputs)[1]);
}

TEST_F(OnnxRuntimeTest, FlattensASequenceOfMapsWithTextForClasses) {
  Load("iris_words_zipmap.onnx");
  Result<std::span<const TensorView>> outputs = ExecuteFlowers();
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  auto labels = (*outputs)[0].as<std::string_view>();
  EXPECT_EQ(labels[0], "setosa");
  EXPECT_EQ(labels[1], "versicolor");
  EXPECT_EQ(labels[2], "virginica");
  ExpectScikitLearnsProbabilities((*outputs)[1]);
}

TEST_F(OnnxRuntimeTest, OutputsStayInPlaceWhenTheShapeStays) {
  Load("iris.onnx");
  const void* before = (*ExecuteFlowers())[1].data;
  Result<std::span<const TensorView>> again = ExecuteFlowers();
  EXPECT_EQ((*again)[1].data, before);
  ExpectScikitLearnsProbabilities((*again)[1]);
}

TEST_F(OnnxRuntimeTest, EveryElementTypeGoesThrough) {
  Load("identity.onnx");
  const Signature& signature = model_->signature();
  ASSERT_EQ(signature.inputs.size(), 14u);
  for (int round = 0; round < 2; ++round) {
    std::vector<Tensor> tensors(signature.inputs.size());
    std::vector<TensorView> views;
    for (size_t i = 0; i < tensors.size(); ++i) {
      const TensorSpec& spec = signature.inputs[i];
      tensors[i].Reset(spec.name, spec.type);
      tensors[i].shape() = {3, 2};
      if (spec.type == DataType::kBytes) {
        for (int s = 0; s < 6; ++s) {
          tensors[i].PushString(std::string(static_cast<size_t>(s) * 20, 'a') +
                                std::string("\0\xff", 2) + std::to_string(round));
        }
      } else {
        auto* bytes = static_cast<unsigned char*>(tensors[i].Extend(6));
        for (size_t b = 0; b < 6 * ElementSize(spec.type); ++b)
          bytes[b] = (b + static_cast<size_t>(round)) % 2;
      }
      views.push_back(tensors[i].View());
    }
    Result<std::span<const TensorView>> outputs = context_->Execute(views);
    ASSERT_TRUE(outputs.ok()) << outputs.status();
    for (size_t i = 0; i < views.size(); ++i) {
      const TensorView& out = (*outputs)[i];
      ASSERT_EQ(out.type, views[i].type);
      EXPECT_EQ(out.shape, views[i].shape);
      ASSERT_EQ(out.element_count, 6);
      if (out.type == DataType::kBytes) {
        for (size_t s = 0; s < 6; ++s)
          EXPECT_EQ(out.as<std::string_view>()[s], views[i].as<std::string_view>()[s]);
      } else {
        EXPECT_EQ(std::memcmp(out.data, views[i].data, out.byte_size()), 0) << out.name;
      }
    }
  }
}

TEST_F(OnnxRuntimeTest, OutputsWhoseShapeFollowsFromTheValuesComeRight) {
  Load("nonzero.onnx");
  for (const std::vector<float>& values :
       std::vector<std::vector<float>>{{1, 0, 1}, {1, 1, 1}, {0, 0, 0}, {0, 1, 0}, {0, 1, 0}}) {
    Result<std::span<const TensorView>> outputs = Execute(DataType::kFp32, values);
    ASSERT_TRUE(outputs.ok()) << outputs.status();
    std::vector<int64_t> expected;
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i] != 0) expected.push_back(static_cast<int64_t>(i));
    }
    auto got = (*outputs)[0].as<int64_t>();
    EXPECT_EQ(std::vector<int64_t>(got.begin(), got.end()), expected);
  }
}

TEST_F(OnnxRuntimeTest, ValuesThatTheModelRefusesAreInvalidAndHarmNothing) {
  Load("gather.onnx");
  for (int round = 0; round < 3; ++round) {
    Result<std::span<const TensorView>> good = Execute<int64_t>(DataType::kInt64, {1, 3});
    ASSERT_TRUE(good.ok()) << good.status();
    EXPECT_EQ((*good)[0].as<float>()[1], 3.0f);
    Result<std::span<const TensorView>> bad = Execute<int64_t>(DataType::kInt64, {1, 99});
    ASSERT_FALSE(bad.ok());
    EXPECT_EQ(bad.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(bad.status().message().find("99"), std::string_view::npos) << bad.status();
  }
}

TEST_F(OnnxRuntimeTest, InputsOfAnyLengthAreTakenInAnyOrder) {
  Load("gather.onnx");
  // Around the size up to which inputs are copied, up and down.
  for (size_t length : {1, 3000, 1, 2048, 2049, 5, 2049, 2049}) {
    std::vector<int64_t> index(length);
    for (size_t i = 0; i < length; ++i) index[i] = static_cast<int64_t>((i * 7 + length) % 10);
    Result<std::span<const TensorView>> outputs = Execute(DataType::kInt64, index);
    ASSERT_TRUE(outputs.ok()) << outputs.status();
    for (size_t i = 0; i < length; ++i)
      ASSERT_EQ((*outputs)[0].as<float>()[i], static_cast<float>(index[i]));
  }
}

TEST_F(OnnxRuntimeTest, AWrongElementTypeIsInvalidAndHarmsNothing) {
  Load("gather.onnx");
  Result<std::span<const TensorView>> wrong = Execute<float>(DataType::kFp32, {1});
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.status().code(), StatusCode::kInvalidArgument) << wrong.status();
  EXPECT_TRUE(Execute<int64_t>(DataType::kInt64, {1}).ok());
}

TEST_F(OnnxRuntimeTest, ModelsThatItCannotRunAreRefusedWithItsReason) {
  Status sequence = TryLoad("sequence.onnx").status();
  EXPECT_EQ(sequence.code(), StatusCode::kUnimplemented);
  EXPECT_NE(sequence.message().find("output \"y\" is a sequence"), std::string_view::npos)
      << sequence;
  Status unknown = TryLoad("unknown_operator.onnx").status();
  EXPECT_EQ(unknown.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(unknown.message().find("NoSuchOperator"), std::string_view::npos) << unknown;
  Status truncated = TryLoad("truncated.onnx").status();
  EXPECT_EQ(truncated.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(truncated.message().find("ONNX Runtime refuses truncated.onnx"), std::string_view::npos)
      << truncated;
  EXPECT_EQ(TryLoad("linear.txt").status().code(), StatusCode::kInvalidArgument);
}

TEST_F(OnnxRuntimeTest, OptionsAreTakenAndWrongValuesNamed) {
  Load("iris.onnx", {{"graph_optimization", "basic"},
                     {"memory_arena", "false"},
                     {"memory_pattern", "true"},
                     {"session.set_denormal_as_zero", "1"}});
  ExpectScikitLearnsProbabilities((*ExecuteFlowers())[1]);
  Status status = TryLoad("iris.onnx", {{"graph_optimization", "most"}}).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("disable, basic, extended, all"), std::string_view::npos)
      << status;
}

TEST_F(OnnxRuntimeTest, MoreThreadsGiveTheSame) {
  LoadSpec spec;
  spec.directory = SourceDir() + "/src/backend/testdata";
  spec.model_file = "iris.onnx";
  spec.intra_op_threads = 2;
  Result<std::unique_ptr<LoadedModel>> model = backend_->Load(spec);
  ASSERT_TRUE(model.ok()) << model.status();
  context_ = std::move((*model)->NewContext()).value();
  ExpectScikitLearnsProbabilities((*ExecuteFlowers())[1]);
  context_.reset();
}

}  // namespace
}  // namespace leadsman
