// What the XGBoost and LightGBM plug-ins do beyond the conformance test. The models, and what the
// original libraries say of them: tools/make_runtime_models.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <span>

#include "backend/plugin_host.h"
#include "backend/testing/test_plugins.h"
#include "base/testing/temp_dir.h"
#include "support/test_paths.h"

namespace leadsman {
namespace {

const std::string kTestData = SourceDir() + "/src/backend/testdata/";
using Options = std::map<std::string, std::string>;

class TreesTest : public testing::Test {
 protected:
  explicit TreesTest(std::string format) : format_(std::move(format)) {}
  void SetUp() override {
    static const BackendRegistry* registry = [] {
      auto* made = new BackendRegistry;
      LoadBackends(TestPluginOptions(BinaryDir()), *made);
      return made;
    }();
    Result<std::shared_ptr<Backend>> backend = registry->ForFormat(format_);
    ASSERT_TRUE(backend.ok()) << backend.status() << "\nRun tools/fetch_runtimes.sh.";
    backend_ = *backend;
  }
  Result<std::unique_ptr<LoadedModel>> TryLoad(const std::string& file, Options options = {}) {
    LoadSpec spec;
    spec.model_name = "m";
    spec.version = 1;
    spec.directory = file.starts_with("/") ? "/" : kTestData + format_;
    spec.model_file = file;
    spec.intra_op_threads = threads_;
    spec.options = std::move(options);
    return backend_->Load(spec);
  }
  /// The outputs for three flowers, one of each kind.
  std::vector<double> Flowers(const std::string& file, Options options = {}) {
    return Execute(file, std::move(options),
                   {5.1f, 3.5f, 1.4f, 0.2f, 7.0f, 3.2f, 4.7f, 1.4f, 6.3f, 3.3f, 6.0f, 2.5f});
  }
  std::vector<double> Execute(const std::string& file, Options options,
                              const std::vector<float>& values) {
    Result<std::unique_ptr<LoadedModel>> model = TryLoad(file, std::move(options));
    EXPECT_TRUE(model.ok()) << model.status();
    if (!model.ok()) return {};
    std::unique_ptr<ExecutionContext> context = std::move((*model)->NewContext()).value();
    const TensorSpec& spec = (*model)->signature().inputs[0];
    Tensor tensor;
    tensor.Reset(spec.name, spec.type);
    tensor.shape() = {static_cast<int64_t>(values.size() / 4), 4};
    for (float value : values) {
      if (spec.type == DataType::kFp64)
        tensor.Push(static_cast<double>(value));
      else
        tensor.Push(value);
    }
    TensorView view = tensor.View();
    Result<std::span<const TensorView>> outputs = context->Execute({&view, 1});
    EXPECT_TRUE(outputs.ok()) << outputs.status();
    if (!outputs.ok()) return {};
    const TensorView& out = (*outputs)[0];
    shape_ = out.shape.ToString();
    declared_ = (*model)->signature().outputs[0].shape.ToString();
    std::vector<double> got;
    for (size_t i = 0; i < static_cast<size_t>(out.element_count); ++i) {
      got.push_back(out.type == DataType::kFp64   ? out.as<double>()[i]
                    : out.type == DataType::kFp32 ? static_cast<double>(out.as<float>()[i])
                                                  : out.as<int32_t>()[i]);
    }
    return got;
  }
  static void ExpectNear(const std::vector<double>& got, const std::vector<double>& wanted) {
    ASSERT_EQ(got.size(), wanted.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], wanted[i], 1e-6) << i;
  }
  void ExpectRefused(const std::string& file, Options options, const std::string& said) {
    Status status = TryLoad(file, std::move(options)).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
    EXPECT_NE(status.message().find(said), std::string_view::npos) << status;
  }
  /// The file cut at any place is refused; nothing worse.
  void ExpectCutsToBeRefused(const std::string& file, size_t step) {
    std::ifstream in(kTestData + format_ + "/" + file, std::ios::binary);
    std::string whole{std::istreambuf_iterator<char>(in), {}};
    // LightGBM's parameters of the training follow, and nobody needs them.
    whole.resize(std::min(whole.size(), whole.find("end of trees")));
    ASSERT_FALSE(whole.empty());
    TempDir folder;
    const std::string cut = folder.path().string() + "/cut";
    for (size_t size = 0; size < whole.size(); size += step) {
      std::ofstream(cut, std::ios::binary | std::ios::trunc) << whole.substr(0, size);
      Status status = TryLoad(cut).status();
      EXPECT_FALSE(status.ok()) << "the first " << size << " bytes of " << file;
    }
  }

  std::string format_;
  int threads_ = 1;
  std::shared_ptr<Backend> backend_;
  std::string shape_;
  std::string declared_;
};

class XgboostTest : public TreesTest {
 protected:
  XgboostTest() : TreesTest("xgboost") {}
};
class LightgbmTest : public TreesTest {
 protected:
  LightgbmTest() : TreesTest("lightgbm") {}
};

const std::vector<double> kXgboostIris = {0.70241642, 0.14992294, 0.14766061,
                                          0.15864462, 0.68252754, 0.15882783,
                                          0.15012992, 0.16386370, 0.68600637};

TEST_F(XgboostTest, GivesWhatThePythonPackageGives) {
  for (const char* file : {"iris.json", "iris.ubj", "iris_binary.xgb"}) {
    SCOPED_TRACE(file);
    ExpectNear(Flowers(file), kXgboostIris);
    EXPECT_EQ(shape_, "[3,3]");
  }
}

TEST_F(XgboostTest, NotANumberIsAMissingValue) {
  const float none = std::nanf("");
  const std::vector<float> rows = {5.1f, 3.5f, none, 0.2f, 4.9f, 3.0f, 1.4f, 0.2f,
                                   5.8f, 2.7f, 5.1f, 1.9f, 7.1f, 3.0f, none, 2.1f};
  const std::vector<double> wanted = {0.14495589, 0.14495589, 0.73255813, 0.73255813};
  ExpectNear(Execute("binary.ubj", {}, rows), wanted);
  EXPECT_EQ(shape_, "[4]");
  std::vector<float> marked = rows;
  for (float& value : marked) value = std::isnan(value) ? -999.0f : value;
  ExpectNear(Execute("binary.ubj", {{"missing", "-999"}}, marked), wanted);
}

TEST_F(XgboostTest, ALinearBoosterIsServed) {
  ExpectNear(Flowers("linear.json"), {0.72877276, 1.30880690, 1.66313338});
  EXPECT_EQ(shape_, "[3]");
}

TEST_F(XgboostTest, OptionsChooseWhatComesOut) {
  std::vector<double> margin = Flowers("iris.json", {{"output", "margin"}});
  ExpectNear({margin.begin(), margin.begin() + 3}, {0.96196878, -0.58243626, -0.59764111});
  ExpectNear(Flowers("iris.json", {{"output", "leaf"}}),
             {1, 1, 3, 1, 1, 3, 1, 1, 3, 2, 3, 3, 2, 3, 3, 2, 3, 3, 2, 4, 2, 2, 4, 6, 2, 4, 6});
  EXPECT_EQ(declared_, "[-1,9]");
  std::vector<double> shares = Flowers("iris.json", {{"output", "contributions"}});
  EXPECT_EQ(shape_, "[3,3,5]");
  ExpectNear({shares.begin(), shares.begin() + 5}, {0, 0, 0.97078508, 0, -0.00881630});
  for (const char* two : {"2", "best"}) {
    std::vector<double> first = Flowers("iris.json", {{"iterations", two}});
    ExpectNear({first.begin(), first.begin() + 3}, {0.60928869, 0.19630395, 0.19440739});
  }
  EXPECT_EQ(TryLoad("iris.json", {{"input_name", "predict"}}).value()->signature().inputs[0].name,
            "predict");
}

TEST_F(XgboostTest, WrongOptionsAreNamed) {
  ExpectRefused("iris.json", {{"output", "label"}}, "value, margin, leaf, contributions");
  ExpectRefused("iris.json", {{"iterations", "4"}}, "a number from 1 to 3");
  ExpectRefused("iris.json", {{"missing", "none"}}, "neither a number nor NaN");
  ExpectRefused("iris.json", {{"threads", "2"}}, "there are: input_name, output_name, output");
}

TEST_F(XgboostTest, MoreThreadsGiveTheSame) {
#ifdef LEADSMAN_THREAD_SANITIZED
  GTEST_SKIP() << "ThreadSanitizer does not see how OpenMP's threads wait for each other";
#endif
  threads_ = 2;
  ExpectNear(Flowers("iris.json"), kXgboostIris);
}

TEST_F(XgboostTest, WhiteSpaceAfterTheFirstBraceIsTaken) {
  std::ifstream in(kTestData + "xgboost/iris.json", std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  TempDir folder;
  std::ofstream(folder.path().string() + "/pretty.json") << "{\n  " << text.substr(1);
  ExpectNear(Flowers(folder.path().string() + "/pretty.json"), kXgboostIris);
}

TEST_F(XgboostTest, CutFilesAreRefused) {
  ExpectCutsToBeRefused("iris.json", 251);
  ExpectCutsToBeRefused("iris.ubj", 251);
}

TEST_F(XgboostTest, WhatIsNoModelIsRefusedInItsWords) {
  TempDir folder;
  std::ofstream(folder.path().string() + "/a.json") << "{\"learner\": 3}";
  ExpectRefused(folder.path().string() + "/a.json", {}, "XGBoost refuses");
  std::ofstream(folder.path().string() + "/deep.json") << "{\"a\":" << std::string(300'000, '[');
  ExpectRefused(folder.path().string() + "/deep.json", {}, "nested too deeply");
  std::ofstream(folder.path().string() + "/b.json") << "";
  ExpectRefused(folder.path().string() + "/b.json", {}, "XGBoost refuses");
}

const std::vector<double> kLightgbmIris = {
    0.5234012053304424, 0.2383248154614991, 0.2382739792080585,
    0.2472707096136677, 0.492296054822677,  0.2604332355636548,
    0.2353077038097995, 0.2406468634628409, 0.5240454327273595};

TEST_F(LightgbmTest, GivesWhatThePythonPackageGives) {
  ExpectNear(Flowers("iris.txt"), kLightgbmIris);
  EXPECT_EQ(shape_, "[3,3]");
  ExpectNear(Flowers("iris.txt", {{"input_type", "FP64"}}), kLightgbmIris);
  ExpectNear(Flowers("binary.txt"), {0.2452080192942692, 0.2742609852514269, 0.5186103265174684});
  EXPECT_EQ(shape_, "[3]");
}

TEST_F(LightgbmTest, OptionsChooseWhatComesOut) {
  std::vector<double> raw = Flowers("iris.txt", {{"output", "raw"}});
  ExpectNear({raw.begin(), raw.begin() + 3},
             {-0.5988401410242831, -1.3855539199386533, -1.3857672492806574});
  ExpectNear(Flowers("iris.txt", {{"output", "leaf"}}),
             {2, 0, 0, 2, 0, 3, 2, 0, 3, 1, 3, 2, 1, 3, 3, 1, 1, 3, 1, 2, 3, 3, 2, 2, 3, 3, 2});
  EXPECT_EQ(declared_, "[-1,9]");
  std::vector<double> two = Flowers("iris.txt", {{"iterations", "2"}});
  ExpectNear({two.begin(), two.begin() + 3},
             {0.46725480419830295, 0.2663695887093651, 0.266375607092332});
  Flowers("iris.txt", {{"output", "contributions"}});
  EXPECT_EQ(declared_, "[-1,15]");
}

TEST_F(LightgbmTest, WrongOptionsAreNamed) {
  ExpectRefused("iris.txt", {{"output", "label"}}, "value, raw, leaf, contributions");
  ExpectRefused("iris.txt", {{"iterations", "4"}}, "the model has 3");
  ExpectRefused("iris.txt", {{"iterations", "best"}}, "not a whole number");
  ExpectRefused("iris.txt", {{"num_threads", "2"}}, "there are: input_name, output_name");
}

TEST_F(LightgbmTest, CutFilesAreRefused) { ExpectCutsToBeRefused("iris.txt", 251); }

TEST_F(LightgbmTest, WhatIsNoModelIsRefused) {
  TempDir folder;
  std::ofstream(folder.path().string() + "/a.txt") << "tree\nversion=v4\nend of trees\n";
  ExpectRefused(folder.path().string() + "/a.txt", {}, "LightGBM refuses");
}

/// A plug-in without its runtime says which package to install.
TEST(MissingRuntimeTest, IsSaidWithThePackageAndTheCommand) {
  for (const auto& [name, package] :
       std::map<std::string, std::string>{{"xgboost", "xgboost-cpu"},
                                          {"lightgbm", "package lightgbm"},
                                          {"tensorflow", "tensorflow-cpu"}}) {
    PluginOptions options;
    options.runtime_dirs = {"/nonexistent"};
    options.backend_options[name]["library"] = "/nonexistent/lib.so";
    Status status =
        StartPlugin(BinaryDir() + "/plugins/leadsman_backend_" + name + ".so", options, nullptr)
            .status();
    EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status;
    EXPECT_NE(status.message().find(package), std::string_view::npos) << status;
    EXPECT_NE(status.message().find("tools/fetch_runtimes.sh --only " + name),
              std::string_view::npos)
        << status;
    EXPECT_NE(status.message().find("/nonexistent/lib.so"), std::string_view::npos) << status;
  }
}

}  // namespace
}  // namespace leadsman
