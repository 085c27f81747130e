// What the TensorFlow plug-in does beyond the conformance test. The models, and what TensorFlow's
// Python says of them: tools/make_runtime_models.py.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <thread>

#include "backend/plugin_host.h"
#include "backend/testing/test_plugins.h"
#include "base/testing/temp_dir.h"
#include "support/test_paths.h"

namespace leadsman {
namespace {

const std::string kModels = SourceDir() + "/src/backend/testdata/tensorflow/";

class TensorFlowTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!kTensorFlowCanLoad) {
      GTEST_SKIP() << "TensorFlow needs RTLD_DEEPBIND, which the sanitizers refuse";
    }
    static const BackendRegistry* registry = [] {
      auto* made = new BackendRegistry;
      LoadBackends(TestPluginOptions(BinaryDir()), *made);
      return made;
    }();
    Result<std::shared_ptr<Backend>> backend = registry->ForFormat("tensorflow");
    ASSERT_TRUE(backend.ok()) << backend.status()
                              << "\nRun tools/fetch_runtimes.sh --only tensorflow.";
    backend_ = *backend;
  }
  Result<std::unique_ptr<LoadedModel>> TryLoad(const std::string& folder,
                                               std::map<std::string, std::string> options = {},
                                               int threads = 1) {
    LoadSpec spec;
    spec.model_name = "m";
    spec.version = 1;
    spec.directory = folder;
    spec.model_file = "saved_model.pb";
    spec.intra_op_threads = threads;
    spec.options = std::move(options);
    return backend_->Load(spec);
  }
  void Load(const std::string& model, const std::string& signature = "",
            std::map<std::string, std::string> options = {}, int threads = 1) {
    Result<std::unique_ptr<LoadedModel>> loaded =
        TryLoad(kModels + model, std::move(options), threads);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    context_.reset();
    model_ = std::move(loaded).value();
    Result<size_t> index = model_->FindSignature(signature);
    ASSERT_TRUE(index.ok()) << index.status();
    context_ = std::move(model_->NewContext(*index)).value();
  }
  template <typename T>
  Result<std::span<const TensorView>> Execute(const std::string& name, DataType type, Shape shape,
                                              const std::vector<T>& values) {
    tensor_.Reset(name, type);
    tensor_.shape() = shape;
    for (const T& value : values) {
      if constexpr (std::is_same_v<T, std::string>) {
        tensor_.PushString(value);
      } else {
        tensor_.Push(value);
      }
    }
    view_ = tensor_.View();
    return context_->Execute({&view_, 1});
  }

  std::shared_ptr<Backend> backend_;
  std::unique_ptr<LoadedModel> model_;
  std::unique_ptr<ExecutionContext> context_;
  Tensor tensor_;
  TensorView view_;
};

const std::vector<float> kFlowers = {5.1f, 3.5f, 1.4f, 0.2f, 7.0f, 3.2f,
                                     4.7f, 1.4f, 6.3f, 3.3f, 6.0f, 2.5f};

TEST_F(TensorFlowTest, SaysItsNameAndVersion) {
  EXPECT_EQ(backend_->name(), "tensorflow");
  EXPECT_EQ(backend_->runtime_version(), "2.21.0");
}

TEST_F(TensorFlowTest, GivesAllSignaturesTheDefaultOneFirst) {
  Load("flowers");
  std::vector<std::string> names;
  for (const NamedSignature& signature : model_->signatures()) {
    names.push_back(signature.name);
    EXPECT_EQ(signature.method, "tensorflow/serving/predict");
  }
  EXPECT_EQ(names, (std::vector<std::string>{"serving_default", "double", "petals", "pick"}));
  const Signature& petals = model_->signatures()[2].signature;
  EXPECT_EQ(petals.inputs[0].name, "name");
  EXPECT_EQ(petals.inputs[0].type, DataType::kBytes);
  EXPECT_EQ(petals.outputs[0].name, "greeting");
  EXPECT_EQ(petals.outputs[1].type, DataType::kInt64);
  EXPECT_TRUE(model_->signatures()[1].signature.inputs[0].any_rank);
}

TEST_F(TensorFlowTest, GivesWhatPythonGives) {
  const float expected[] = {0.07430421f, 0.22773163f, 0.69796413f, 0.02600264f, 0.14667191f,
                            0.82732540f, 0.01874158f, 0.12656352f, 0.85469490f};
  for (int threads : {1, 2}) {
    Load("flowers", "", {{"inter_op_threads", std::to_string(threads)}}, threads);
    for (int round = 0; round < 2; ++round) {
      auto outputs = Execute<float>("x", DataType::kFp32, {3, 4}, kFlowers);
      ASSERT_TRUE(outputs.ok()) << outputs.status();
      EXPECT_EQ((*outputs)[0].as<int64_t>()[0], 2);
      ASSERT_EQ((*outputs)[1].shape.ToString(), "[3,3]");
      for (size_t i = 0; i < 9; ++i) {
        EXPECT_NEAR((*outputs)[1].as<float>()[i], expected[i], 1e-6) << i;
      }
    }
  }
}

TEST_F(TensorFlowTest, StringsAndTablesWork) {
  Load("flowers", "petals");
  const std::vector<std::string> names = {"rose", std::string("a\0b", 3), "", "nobody"};
  for (int round = 0; round < 2; ++round) {
    auto outputs = Execute<std::string>("name", DataType::kBytes, {4}, names);
    ASSERT_TRUE(outputs.ok()) << outputs.status();
    auto petals = (*outputs)[1].as<int64_t>();
    EXPECT_EQ(std::vector<int64_t>(petals.begin(), petals.end()),
              (std::vector<int64_t>{3, 9, -1, -1}));
    for (size_t i = 0; i < names.size(); ++i) {
      EXPECT_EQ((*outputs)[0].as<std::string_view>()[i], "a fine and beautiful " + names[i]);
    }
  }
}

TEST_F(TensorFlowTest, AnInputWithoutARankTakesAnyShape) {
  Load("flowers", "double");
  for (const Shape& shape : std::vector<Shape>{{}, {3}, {1, 3}, {3, 1, 1}}) {
    size_t count = shape.rank() == 0 ? 1 : 3;
    auto outputs =
        Execute<float>("anything", DataType::kFp32, shape, std::vector<float>(count, 1.5f));
    ASSERT_TRUE(outputs.ok()) << outputs.status();
    EXPECT_EQ((*outputs)[0].shape, shape);
    for (float value : (*outputs)[0].as<float>()) EXPECT_EQ(value, 3.0f);
  }
}

TEST_F(TensorFlowTest, EveryElementTypeGoesThrough) {
  Load("identity");
  const Signature& signature = model_->signature();
  ASSERT_EQ(signature.inputs.size(), 14u);
  for (int round = 0; round < 3; ++round) {
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
    for (const TensorView& in : views) {
      const TensorView* out = nullptr;
      for (const TensorView& view : *outputs) {
        if (view.name == "out_" + std::string(in.name)) out = &view;
      }
      ASSERT_NE(out, nullptr) << in.name;
      ASSERT_EQ(out->type, in.type);
      EXPECT_EQ(out->shape, in.shape);
      if (in.type == DataType::kBytes) {
        for (size_t s = 0; s < 6; ++s)
          EXPECT_EQ(out->as<std::string_view>()[s], in.as<std::string_view>()[s]);
      } else {
        EXPECT_EQ(std::memcmp(out->data, in.data, in.byte_size()), 0) << in.name;
      }
    }
    // The outputs are the inputs inside TensorFlow; they outlive what the caller gave.
    tensors.clear();
    for (const TensorView& view : *outputs) {
      if (view.type == DataType::kBytes) {
        EXPECT_EQ(view.as<std::string_view>()[5].size(), 103u);
      }
    }
  }
}

TEST_F(TensorFlowTest, ValuesThatTheModelRefusesAreInvalidAndHarmNothing) {
  Load("flowers", "pick");
  for (int round = 0; round < 3; ++round) {
    auto good = Execute<int64_t>("index", DataType::kInt64, {2}, {2, 0});
    ASSERT_TRUE(good.ok()) << good.status();
    EXPECT_FLOAT_EQ((*good)[0].as<float>()[0], 0.3f);
    auto bad = Execute<int64_t>("index", DataType::kInt64, {2}, {1, 99});
    ASSERT_FALSE(bad.ok());
    EXPECT_EQ(bad.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(bad.status().message().find("99 is not in [0, 3)"), std::string_view::npos)
        << bad.status();
  }
}

TEST_F(TensorFlowTest, AWrongElementTypeIsInvalidAndHarmsNothing) {
  Load("flowers", "pick");
  auto wrong = Execute<float>("index", DataType::kFp32, {1}, {1});
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.status().code(), StatusCode::kInvalidArgument) << wrong.status();
  EXPECT_TRUE(Execute<int64_t>("index", DataType::kInt64, {1}, {1}).ok());
}

TEST_F(TensorFlowTest, SignaturesRunSideBySideInOneSession) {
  Load("flowers");
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (size_t signature = 0; signature < 2; ++signature) {
    threads.emplace_back([&, signature] {
      std::unique_ptr<ExecutionContext> context = std::move(model_->NewContext(signature)).value();
      const TensorSpec& spec = model_->signatures()[signature].signature.inputs[0];
      Tensor tensor;
      tensor.Reset(spec.name, spec.type);
      tensor.shape() = {3, 4};
      for (float value : kFlowers) tensor.Push(value);
      for (int i = 0; i < 100; ++i) {
        TensorView view = tensor.View();
        auto outputs = context->Execute({&view, 1});
        if (!outputs.ok() || (signature == 1 && (*outputs)[0].as<float>()[1] != 7.0f)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(TensorFlowTest, WhatIsWrongWithAModelIsSaidInTensorFlowsWords) {
  Status tags = TryLoad(kModels + "flowers", {{"tags", "train"}}).status();
  EXPECT_EQ(tags.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(tags.message().find("{ train }"), std::string_view::npos) << tags;
  Status threads = TryLoad(kModels + "flowers", {{"inter_op_threads", "many"}}).status();
  EXPECT_NE(threads.message().find("not a whole number from 1 to 1024"), std::string_view::npos)
      << threads;
  TempDir folder;
  std::filesystem::copy(kModels + "flowers/saved_model.pb", folder.path());
  Status variables = TryLoad(folder.path().string()).status();
  EXPECT_EQ(variables.code(), StatusCode::kInvalidArgument) << variables;
  EXPECT_NE(variables.message().find("variables/variables.index"), std::string_view::npos)
      << variables;
  std::filesystem::create_directory(folder.path() / "variables");
  std::filesystem::copy(kModels + "flowers/variables/variables.index", folder.path() / "variables");
  Status data = TryLoad(folder.path().string()).status();
  EXPECT_EQ(data.code(), StatusCode::kInvalidArgument) << data;
}

TEST_F(TensorFlowTest, CutAndScrambledModelsAreRefused) {
  std::ifstream in(kModels + "flowers/saved_model.pb", std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(in), {}};
  TempDir folder;
  std::filesystem::copy(kModels + "flowers/variables", folder.path() / "variables");
  for (size_t size = 0; size < whole.size(); size += 2500) {
    std::ofstream(folder.path() / "saved_model.pb", std::ios::binary | std::ios::trunc)
        << whole.substr(0, size);
    EXPECT_FALSE(TryLoad(folder.path().string()).ok()) << size;
  }
}

}  // namespace
}  // namespace leadsman
