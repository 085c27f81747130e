#include "lifecycle/triton_model.h"

#include <gtest/gtest.h>

#include "backend/testing/fake_backend.h"
#include "base/strings.h"

namespace leadsman {
namespace {

TritonConfig Parse(std::string_view text) {
  return ParseTritonConfig(text, [](const std::string&) { return std::string(); }).value();
}

/// A model of the fake backend, seen through a config.pbtxt.
class TritonModelTest : public testing::Test {
 protected:
  Status Load(std::string_view config) {
    Result<std::unique_ptr<LoadedModel>> shown =
        AsTritonModel(backend_.Load({}).value(), Parse(config));
    if (shown.ok()) model_ = std::move(shown).value();
    return shown.status();
  }
  std::string Problem(std::string_view config) { return std::string(Load(config).message()); }
  std::string Shown() {
    std::string text;
    for (const auto* specs : {&model_->signature().inputs, &model_->signature().outputs}) {
      for (const TensorSpec& spec : *specs)
        text += StrCat(spec.name, " ", DataTypeName(spec.type), spec.shape.ToString(), " ");
    }
    return text;
  }
  /// Runs one input of zeros in the shape that a client sends.
  Result<std::span<const TensorView>> Run(const Shape& shape) {
    input_.Reset("x", DataType::kFp32);
    input_.shape() = shape;
    for (int64_t i = 0; i < *shape.ElementCount(); ++i) input_.Push<float>(0);
    context_ = model_->NewContext(0).value();
    std::vector<TensorView> views = {input_.View()};
    return context_->Execute(views);
  }

  FakeBackend backend_;
  std::unique_ptr<LoadedModel> model_;
  std::unique_ptr<ExecutionContext> context_;
  Tensor input_;
};

TEST_F(TritonModelTest, AFileThatSaysNothingLeavesTheModelAsItIs) {
  ASSERT_EQ(Load(""), OkStatus());
  EXPECT_EQ(Shown(), "x FP32[-1,4] label INT64[-1] probabilities FP32[-1,3] ");
}

TEST_F(TritonModelTest, WhatAgreesIsShownAsTheFileHasIt) {
  backend_.signature.inputs = {{"x", DataType::kFp32, {-1, -1}}};
  ASSERT_EQ(Load("max_batch_size: 8 input { name: 'x' data_type: TYPE_FP32 dims: 4 }"
                 "output { name: 'probabilities' data_type: TYPE_FP32 dims: -1 }"),
            OkStatus());
  EXPECT_EQ(Shown(), "x FP32[-1,4] probabilities FP32[-1,3] ");
  auto outputs = Run({2, 4});
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  ASSERT_EQ(outputs->size(), 1u) << "the other output is not shown";
  EXPECT_EQ((*outputs)[0].name, "probabilities");
  EXPECT_EQ((*outputs)[0].shape, (Shape{2, 3}));
}

TEST_F(TritonModelTest, WhatDiffersIsNamedWithBothSides) {
  EXPECT_EQ(Problem("input { name: 'features' data_type: TYPE_FP32 dims: [ -1, 4 ] }"),
            "config.pbtxt names the input features, the model has none of that name; it has x");
  EXPECT_EQ(Problem("output { name: 'score' data_type: TYPE_FP32 dims: -1 }"),
            "config.pbtxt names the output score, the model has none of that name; it has label "
            "and probabilities");
  EXPECT_EQ(Problem("input { name: 'x' data_type: TYPE_FP64 dims: [ -1, 4 ] }"),
            "config.pbtxt says that the input x is FP64[-1,4]; the model's is FP32[-1,4]");
  EXPECT_EQ(Problem("max_batch_size: 8 input { name: 'x' data_type: TYPE_FP32 dims: 5 }"),
            "config.pbtxt says that the input x is FP32[-1,5], the batch dimension of "
            "max_batch_size included; the model's is FP32[-1,4]");
  EXPECT_EQ(Problem("max_batch_size: 8 input { name: 'x' data_type: TYPE_FP32 dims: [ 2, 2 ] }"),
            "config.pbtxt says that the input x is FP32[-1,2,2], the batch dimension of "
            "max_batch_size included; the model's is FP32[-1,4]");
  EXPECT_EQ(Problem("input { name: 'x' data_type: TYPE_FP32 dims: [ -1, 2, 2 ] reshape { shape: [ "
                    "-1, 2, 2, 1 ] } }"),
            "config.pbtxt says that the input x is FP32[-1,2,2,1] (after its reshape); the model's "
            "is FP32[-1,4]");
}

TEST_F(TritonModelTest, EveryInputThatTheModelNeedsHasToBeNamed) {
  backend_.signature.inputs.push_back({"mask", DataType::kBool, {-1}});
  EXPECT_EQ(Problem("input { name: 'x' data_type: TYPE_FP32 dims: [ -1, 4 ] }"),
            "the model needs the input mask (BOOL[-1]), which config.pbtxt does not name");
  backend_.signature.inputs.back().optional = true;
  EXPECT_EQ(Problem("input { name: 'x' data_type: TYPE_FP32 dims: [ -1, 4 ] }"), "");
}

TEST_F(TritonModelTest, ABatchNeedsAnOpenFirstDimension) {
  backend_.signature.inputs = {{"x", DataType::kFp32, {1, 4}}};
  EXPECT_EQ(Problem("max_batch_size: 8"),
            "config.pbtxt: max_batch_size is 8, but the model's input x has no batch dimension: it "
            "is FP32[1,4], whose first dimension is not open; set max_batch_size: 0 and give whole "
            "dims");
  EXPECT_EQ(Problem("input { name: 'x' data_type: TYPE_FP32 dims: [ 1, 4 ] }"), "");
}

TEST_F(TritonModelTest, AReshapeIsCarriedOutOnBothSides) {
  backend_.signature.inputs = {{"x", DataType::kFp32, {-1, 2, -1}}};
  backend_.signature.outputs = {{"y", DataType::kFp32, {-1, -1, 1}}};
  Shape inside;
  backend_.run = [&](int64_t, std::span<const TensorView> inputs, std::vector<Tensor>& outputs) {
    inside = inputs[0].shape;
    outputs[0].shape() = {inside[0], inside[2], 1};
    for (int64_t i = 0; i < inside[0] * inside[2]; ++i) outputs[0].Push<float>(1);
    return OkStatus();
  };
  ASSERT_EQ(
      Load("max_batch_size: 8 input { name: 'x' data_type: TYPE_FP32 dims: [ 1, 2, 1, -1 ] "
           "reshape { shape: [ 2, -1 ] } }"
           "output { name: 'y' data_type: TYPE_FP32 dims: [ -1 ] reshape { shape: [ -1, 1 ] } }"),
      OkStatus());
  EXPECT_EQ(Shown(), "x FP32[-1,1,2,1,-1] y FP32[-1,-1] ");
  auto outputs = Run({3, 1, 2, 1, 5});
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_EQ(inside, (Shape{3, 2, 5}));
  EXPECT_EQ((*outputs)[0].shape, (Shape{3, 5}));
  EXPECT_EQ(Run({3, 2, 5}).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(TritonModelTest, ASingleValueARowMayBeADimensionOfOne) {
  ASSERT_EQ(Load("max_batch_size: 8 output { name: 'label' data_type: TYPE_INT64 dims: 1 }"),
            OkStatus());
  EXPECT_EQ(Shown(), "x FP32[-1,4] label INT64[-1,1] ");
  EXPECT_EQ((*Run({2, 4}))[0].shape, (Shape{2, 1}));
}

TEST_F(TritonModelTest, TheForestBackendAnswersInSinglePrecision) {
  backend_.signature.outputs = {{"y", DataType::kFp64, {-1}}};
  backend_.run = [](int64_t, std::span<const TensorView>, std::vector<Tensor>& outputs) {
    outputs[0].shape() = {2};
    for (double value : {0.5, 0.1}) outputs[0].Push<double>(value);
    return OkStatus();
  };
  const char* output = "output { name: 'y' data_type: TYPE_FP32 dims: 1 }";
  ASSERT_EQ(Load(StrCat("backend: 'fil' max_batch_size: 8 ", output)), OkStatus());
  EXPECT_EQ(Shown(), "x FP32[-1,4] y FP32[-1,1] ");
  auto outputs = Run({2, 4});
  ASSERT_EQ((*outputs)[0].type, DataType::kFp32);
  EXPECT_EQ((*outputs)[0].as<float>()[1], 0.1f);
  EXPECT_NE(Problem(StrCat("max_batch_size: 8 ", output)), "") << "others answer as they are";
}

TEST_F(TritonModelTest, WhatTheModelSaysNothingOfIsTheFilesWord) {
  backend_.signature.inputs[0] = {.name = "x", .type = DataType::kFp32, .any_rank = true};
  ASSERT_EQ(Load("max_batch_size: 2 input { name: 'x' data_type: TYPE_FP32 dims: [ 2, 2 ] }"),
            OkStatus());
  EXPECT_EQ(model_->signature().inputs[0].shape, (Shape{-1, 2, 2}));
  EXPECT_FALSE(model_->signature().inputs[0].any_rank);
}

TEST_F(TritonModelTest, OtherSignaturesStayAsTheyAre) {
  backend_.more_signatures = {{"other", kPredictMethod, {{{"z", DataType::kInt8, {3}}}, {}}}};
  ASSERT_EQ(Load("max_batch_size: 2"), OkStatus());
  EXPECT_EQ(model_->signatures()[1].signature.inputs[0].shape, Shape{3});
}

TEST_F(TritonModelTest, AParameterSaysWhichSignatureRequestsMean) {
  backend_.more_signatures = {
      {"other",
       kPredictMethod,
       {{{"x", DataType::kFp32, {-1, 2}}}, {{"y", DataType::kFp32, {-1}}}}}};
  backend_.run = [](int64_t, std::span<const TensorView> inputs, std::vector<Tensor>& outputs) {
    EXPECT_EQ(outputs.size(), 1u);
    outputs[0].shape() = {inputs[0].shape[0]};
    outputs[0].Push<float>(7);
    return OkStatus();
  };
  const std::string config =
      "platform: 'tensorflow_savedmodel' parameters { key: 'TF_SIGNATURE_DEF' value { "
      "string_value: ";
  ASSERT_EQ(Load(config + "'other' } }"), OkStatus());
  EXPECT_EQ(Shown(), "x FP32[-1,2] y FP32[-1] ");
  EXPECT_EQ(*model_->FindSignature(kDefaultSignatureName), 1u);
  EXPECT_EQ((*Run({1, 2}))[0].as<float>()[0], 7);
  Status missing = Load(config + "'none' } }");
  EXPECT_TRUE(missing.message().starts_with("config.pbtxt: parameters.TF_SIGNATURE_DEF: "))
      << missing;
}

TEST(TritonSignatureTest, IsWhatTheModelHasNotWhatClientsSee) {
  Signature signature = SignatureOf(Parse(
      "max_batch_size: 2 input { name: 'x' data_type: TYPE_FP32 dims: 4 reshape { shape: [ 2, "
      "2 ] } } output { name: 'y' data_type: TYPE_STRING dims: 1 }"));
  EXPECT_EQ(signature.inputs.at(0).shape, (Shape{-1, 2, 2}));
  EXPECT_EQ(signature.outputs.at(0).type, DataType::kBytes);
  EXPECT_TRUE(
      SignatureOf(Parse("input { name: 'x' data_type: TYPE_FP32 dims: 4 }")).inputs.empty());
}

}  // namespace
}  // namespace leadsman
