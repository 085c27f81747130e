// What every backend has to do, whatever it runs. A new one adds a case to Cases().
#include "backend/testing/conformance.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <map>
#include <span>
#include <thread>

#include "backend/plugin_host.h"
#include "backend/testing/test_plugins.h"
#include "backend/testing/test_python.h"
#include "base/testing/temp_dir.h"
#include "support/test_paths.h"

namespace leadsman {
namespace {

const std::string kTestData = SourceDir() + "/src/backend/testdata";

std::function<Result<std::shared_ptr<Backend>>()> ForFormat(const std::string& format) {
  return [format] {
    // Runtimes are started once a process, as the server does.
    static const BackendRegistry* registry = [] {
      auto* made = new BackendRegistry;
      LoadBackends(TestPluginOptions(BinaryDir()), *made);
      return made;
    }();
    return registry->ForFormat(format);
  };
}

void FillFloats(const std::string& name, int64_t columns, int64_t first, int64_t rows,
                std::vector<Tensor>& inputs, bool holes = false) {
  inputs.resize(1);
  inputs[0].Reset(name, DataType::kFp32);
  inputs[0].shape() = {rows, columns};
  for (int64_t row = first; row < first + rows; ++row) {
    for (int64_t c = 0; c < columns; ++c) {
      inputs[0].Push(holes && c == 2 && row % 2 == 0
                         ? std::nanf("")
                         : 0.1f * static_cast<float>((row * 7 + c * 3) % 50));
    }
  }
}

std::vector<ConformanceCase> Cases() {
  std::vector<ConformanceCase> cases;
  auto floats = [](const char* name, int64_t columns) {
    return [=](int64_t first, int64_t rows, std::vector<Tensor>& inputs) {
      FillFloats(name, columns, first, rows, inputs);
    };
  };
  cases.push_back({"Linear",
                   ForFormat("linear"),
                   kTestData,
                   "linear.txt",
                   "linear_short.txt",
                   {{{"x", DataType::kFp32, {-1, 2}}}, {{"y", DataType::kFp32, {-1, 3}}}},
                   floats("x", 2)});
  cases.push_back(
      {"OnnxIris",
       ForFormat("onnx"),
       kTestData,
       "iris.onnx",
       "truncated.onnx",
       {{{"x", DataType::kFp32, {-1, 4}}},
        {{"label", DataType::kInt64, {-1}}, {"probabilities", DataType::kFp32, {-1, 3}}}},
       floats("x", 4)});
  cases.push_back({"OnnxIrisZipMap",
                   ForFormat("onnx"),
                   kTestData,
                   "iris_zipmap.onnx",
                   "truncated.onnx",
                   {{{"x", DataType::kFp32, {-1, 4}}},
                    {{"output_label", DataType::kInt64, {-1}},
                     {"output_probability", DataType::kFp32, {-1, -1}}}},
                   floats("x", 4)});
  cases.push_back({"OnnxIrisWords",
                   ForFormat("onnx"),
                   kTestData,
                   "iris_words_zipmap.onnx",
                   "truncated.onnx",
                   {{{"x", DataType::kFp32, {-1, 4}}},
                    {{"output_label", DataType::kBytes, {-1}},
                     {"output_probability", DataType::kFp32, {-1, -1}}}},
                   floats("x", 4)});
  cases.push_back({"PythonScript",
                   [] { return PythonBackendForTest("python"); },
                   kTestData + "/python",
                   "linear.py",
                   "no_predict.py",
                   {{{"x", DataType::kFp32, {-1, 2}}},
                    {{"y", DataType::kFp32, {-1, 3}}, {"word", DataType::kBytes, {-1}}}},
                   floats("x", 2)});
  cases.push_back({"OnnxMlp",
                   ForFormat("onnx"),
                   kTestData,
                   "mlp.onnx",
                   "truncated.onnx",
                   {{{"x", DataType::kFp32, {-1, 784}}}, {{"y", DataType::kFp32, {-1, 10}}}},
                   floats("x", 784)});
  const Signature iris = {{{"input__0", DataType::kFp32, {-1, 4}}},
                          {{"output__0", DataType::kFp32, {-1, 3}}}};
  for (auto [name, file] : {std::pair{"XgboostJson", "iris.json"},
                            {"XgboostUbj", "iris.ubj"},
                            {"XgboostBinaryFormat", "iris_binary.xgb"}}) {
    cases.push_back({name, ForFormat("xgboost"), kTestData + "/xgboost", file, "truncated.json",
                     iris, floats("input__0", 4)});
  }
  cases.push_back(
      {"XgboostMissingValues",
       ForFormat("xgboost"),
       kTestData + "/xgboost",
       "binary.ubj",
       "truncated.json",
       {{{"input__0", DataType::kFp32, {-1, 4}}}, {{"output__0", DataType::kFp32, {-1}}}},
       [](int64_t first, int64_t rows, std::vector<Tensor>& inputs) {
         FillFloats("input__0", 4, first, rows, inputs, true);
       }});
  cases.push_back(
      {"XgboostLinear",
       ForFormat("xgboost"),
       kTestData + "/xgboost",
       "linear.json",
       "truncated.json",
       {{{"input__0", DataType::kFp32, {-1, 4}}}, {{"output__0", DataType::kFp32, {-1}}}},
       floats("input__0", 4)});
  cases.push_back(
      {"LightgbmMulticlass",
       ForFormat("lightgbm"),
       kTestData + "/lightgbm",
       "iris.txt",
       "truncated.txt",
       {{{"input__0", DataType::kFp32, {-1, 4}}}, {{"output__0", DataType::kFp64, {-1, 3}}}},
       floats("input__0", 4)});
  cases.push_back(
      {"LightgbmBinary",
       ForFormat("lightgbm"),
       kTestData + "/lightgbm",
       "binary.txt",
       "truncated.txt",
       {{{"input__0", DataType::kFp32, {-1, 4}}}, {{"output__0", DataType::kFp64, {-1}}}},
       floats("input__0", 4)});
  cases.push_back(
      {"TensorflowFlowers",
       ForFormat("tensorflow"),
       kTestData + "/tensorflow",
       "flowers/saved_model.pb",
       "broken/saved_model.pb",
       {{{"x", DataType::kFp32, {-1, 4}}},
        {{"label", DataType::kInt64, {-1}}, {"probabilities", DataType::kFp32, {-1, 3}}}},
       floats("x", 4)});
  return cases;
}

/// An output's rows as values that can be compared and kept.
struct Copied {
  DataType type;
  Shape shape;
  std::vector<std::string> strings;
  std::vector<double> numbers;
};
std::vector<Copied> Copy(std::span<const TensorView> outputs) {
  std::vector<Copied> out;
  for (const TensorView& view : outputs) {
    Copied& copy = out.emplace_back(Copied{view.type, view.shape, {}, {}});
    for (int64_t i = 0; i < view.element_count; ++i) {
      auto at = static_cast<size_t>(i);
      if (view.type == DataType::kFp32) copy.numbers.push_back(view.as<float>()[at]);
      if (view.type == DataType::kFp64) copy.numbers.push_back(view.as<double>()[at]);
      if (view.type == DataType::kInt64)
        copy.numbers.push_back(static_cast<double>(view.as<int64_t>()[at]));
      if (view.type == DataType::kBytes) copy.strings.emplace_back(view.as<std::string_view>()[at]);
    }
  }
  return out;
}

class ConformanceTest : public testing::TestWithParam<ConformanceCase> {
 protected:
  void SetUp() override {
    if (!kTensorFlowCanLoad && GetParam().name.starts_with("Tensorflow")) {
      GTEST_SKIP() << "TensorFlow needs RTLD_DEEPBIND, which the sanitizers refuse";
    }
    Result<std::shared_ptr<Backend>> backend = GetParam().backend();
    ASSERT_TRUE(backend.ok()) << backend.status()
                              << "\nRun tools/fetch_runtimes.sh and configure again.";
    backend_ = *backend;
  }
  LoadSpec Spec() const {
    LoadSpec spec;
    spec.model_name = "m";
    spec.version = 1;
    spec.directory = GetParam().directory;
    spec.model_file = GetParam().model_file;
    return spec;
  }
  std::unique_ptr<LoadedModel> Load() {
    Result<std::unique_ptr<LoadedModel>> model = backend_->Load(Spec());
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? std::move(model).value() : nullptr;
  }
  static std::unique_ptr<ExecutionContext> NewContext(LoadedModel& model) {
    Result<std::unique_ptr<ExecutionContext>> context = model.NewContext();
    EXPECT_TRUE(context.ok()) << context.status();
    return std::move(context).value();
  }
  static Result<std::vector<Copied>> Execute(ExecutionContext& context, int64_t first,
                                             int64_t rows) {
    std::vector<Tensor> inputs;
    GetParam().fill(first, rows, inputs);
    std::vector<TensorView> views;
    for (const Tensor& tensor : inputs) views.push_back(tensor.View());
    Result<std::span<const TensorView>> outputs = context.Execute(views);
    if (!outputs.ok()) return outputs.status();
    return Copy(*outputs);
  }
  /// Row `i` of the batch is what the row gives alone. Sums are taken in another order in a batch:
  /// not bit-equal.
  static void ExpectRowsEqual(const std::vector<Copied>& batch, const std::vector<Copied>& single,
                              size_t row, size_t rows) {
    ASSERT_EQ(batch.size(), single.size());
    for (size_t o = 0; o < batch.size(); ++o) {
      size_t width = single[o].numbers.size();
      ASSERT_EQ(batch[o].numbers.size(), width * rows);
      for (size_t c = 0; c < width; ++c) {
        EXPECT_NEAR(batch[o].numbers[row * width + c], single[o].numbers[c],
                    1e-4 * (1 + std::abs(single[o].numbers[c])));
      }
      if (!single[o].strings.empty()) {
        EXPECT_EQ(batch[o].strings[row], single[o].strings[0]);
      }
    }
  }

  std::shared_ptr<Backend> backend_;
};

TEST_P(ConformanceTest, SaysWhatItIs) {
  EXPECT_FALSE(backend_->name().empty());
  EXPECT_FALSE(backend_->runtime_version().empty());
}

TEST_P(ConformanceTest, GivesTheSignatureOfTheModel) {
  std::unique_ptr<LoadedModel> model = Load();
  ASSERT_TRUE(model);
  auto expect = [](const std::vector<TensorSpec>& got, const std::vector<TensorSpec>& wanted) {
    ASSERT_EQ(got.size(), wanted.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].name, wanted[i].name);
      EXPECT_EQ(DataTypeName(got[i].type), DataTypeName(wanted[i].type)) << got[i].name;
      EXPECT_EQ(got[i].shape.ToString(), wanted[i].shape.ToString()) << got[i].name;
    }
  };
  expect(model->signature().inputs, GetParam().signature.inputs);
  expect(model->signature().outputs, GetParam().signature.outputs);
}

TEST_P(ConformanceTest, ABatchGivesWhatItsRowsGiveAlone) {
  std::unique_ptr<LoadedModel> model = Load();
  ASSERT_TRUE(model);
  std::unique_ptr<ExecutionContext> context = NewContext(*model);
  // Sizes up, down and repeated: buffers that are kept from call to call must not show.
  for (int64_t rows : {1, 1, 2, 7, 7, 3, 1, 64, 2}) {
    Result<std::vector<Copied>> batch = Execute(*context, 5, rows);
    ASSERT_TRUE(batch.ok()) << batch.status();
    const Signature& signature = model->signature();
    ASSERT_EQ(batch->size(), signature.outputs.size());
    for (size_t o = 0; o < batch->size(); ++o) {
      EXPECT_EQ((*batch)[o].type, signature.outputs[o].type);
      ASSERT_EQ((*batch)[o].shape.rank(), signature.outputs[o].shape.rank());
      EXPECT_EQ((*batch)[o].shape[0], rows);
    }
    std::unique_ptr<ExecutionContext> other = NewContext(*model);
    for (int64_t row = 0; row < rows; ++row) {
      Result<std::vector<Copied>> single = Execute(*other, 5 + row, 1);
      ASSERT_TRUE(single.ok()) << single.status();
      ExpectRowsEqual(*batch, *single, static_cast<size_t>(row), static_cast<size_t>(rows));
    }
  }
}

TEST_P(ConformanceTest, OutputsCarryTheirNames) {
  std::unique_ptr<LoadedModel> model = Load();
  ASSERT_TRUE(model);
  std::unique_ptr<ExecutionContext> context = NewContext(*model);
  std::vector<Tensor> inputs;
  GetParam().fill(0, 1, inputs);
  std::vector<TensorView> views;
  for (const Tensor& tensor : inputs) views.push_back(tensor.View());
  Result<std::span<const TensorView>> outputs = context->Execute(views);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  for (size_t i = 0; i < outputs->size(); ++i) {
    EXPECT_EQ((*outputs)[i].name, model->signature().outputs[i].name);
    EXPECT_EQ((*outputs)[i].shape.ElementCount(), (*outputs)[i].element_count);
  }
}

TEST_P(ConformanceTest, AnEmptyBatchIsAnsweredOrRefusedAndHarmsNothing) {
  std::unique_ptr<LoadedModel> model = Load();
  ASSERT_TRUE(model);
  std::unique_ptr<ExecutionContext> context = NewContext(*model);
  Result<std::vector<Copied>> empty = Execute(*context, 0, 0);
  if (empty.ok()) {
    for (const Copied& output : *empty)
      EXPECT_TRUE(output.numbers.empty() && output.strings.empty());
  } else {
    EXPECT_EQ(empty.status().code(), StatusCode::kInvalidArgument) << empty.status();
  }
  EXPECT_TRUE(Execute(*context, 0, 2).ok());
}

TEST_P(ConformanceTest, AMissingInputIsRefusedAndHarmsNothing) {
  std::unique_ptr<LoadedModel> model = Load();
  ASSERT_TRUE(model);
  std::unique_ptr<ExecutionContext> context = NewContext(*model);
  Result<std::span<const TensorView>> refused = context->Execute({});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(refused.status().message().find(model->signature().inputs[0].name),
            std::string_view::npos);
  EXPECT_TRUE(Execute(*context, 0, 1).ok());
}

TEST_P(ConformanceTest, AMissingFileIsNotFound) {
  LoadSpec spec = Spec();
  spec.model_file = "nothing-here";
  Result<std::unique_ptr<LoadedModel>> model = backend_->Load(spec);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code(), StatusCode::kNotFound) << model.status();
}

TEST_P(ConformanceTest, ACorruptFileIsRefusedWithAReason) {
  LoadSpec spec = Spec();
  spec.model_file = GetParam().corrupt_file;
  Result<std::unique_ptr<LoadedModel>> model = backend_->Load(spec);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code(), StatusCode::kInvalidArgument) << model.status();
  EXPECT_FALSE(model.status().message().empty());
}

TEST_P(ConformanceTest, AnUnknownOptionIsRefusedByName) {
  LoadSpec spec = Spec();
  spec.options["colour"] = "blue";
  Result<std::unique_ptr<LoadedModel>> model = backend_->Load(spec);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code(), StatusCode::kInvalidArgument) << model.status();
}

TEST_P(ConformanceTest, ContextsRunSideBySide) {
  std::unique_ptr<LoadedModel> model = Load();
  ASSERT_TRUE(model);
  std::atomic<int> wrong{0};
  auto work = [&](int64_t rows) {
    std::unique_ptr<ExecutionContext> context = NewContext(*model);
    Result<std::vector<Copied>> first = Execute(*context, rows, rows);
    for (int i = 0; i < 50; ++i) {
      Result<std::vector<Copied>> again = Execute(*context, rows, rows);
      bool same = first.ok() && again.ok();
      for (size_t o = 0; same && o < first->size(); ++o) {
        same = (*first)[o].numbers == (*again)[o].numbers &&
               (*first)[o].strings == (*again)[o].strings;
      }
      if (!same) ++wrong;
    }
  };
  std::vector<std::thread> threads;
  for (int64_t rows = 1; rows <= 4; ++rows) threads.emplace_back(work, rows);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_P(ConformanceTest, VersionsComeAndGoSideBySide) {
  std::atomic<int> wrong{0};
  auto work = [&] {
    for (int i = 0; i < 5; ++i) {
      Result<std::unique_ptr<LoadedModel>> model = backend_->Load(Spec());
      if (!model.ok() || !Execute(*NewContext(**model), i, 2).ok()) ++wrong;
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

INSTANTIATE_TEST_SUITE_P(Backends, ConformanceTest, testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace leadsman
