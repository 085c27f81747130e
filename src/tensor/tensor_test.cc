#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <limits>

namespace leadsman {
namespace {

TEST(DataTypeTest, NamesAreReadBack) {
  for (int i = 1; i <= 14; ++i) {
    auto type = static_cast<DataType>(i);
    EXPECT_EQ(ParseDataType(DataTypeName(type)), type) << i;
    EXPECT_GT(ElementSize(type), 0u) << i;
    EXPECT_TRUE(TensorFlowTypeName(type).starts_with("DT_")) << i;
  }
  EXPECT_EQ(ParseDataType("INVALID"), std::nullopt);
  EXPECT_EQ(ParseDataType("fp32"), std::nullopt);
  EXPECT_EQ(DataTypeName(DataType::kFp32), "FP32");
  EXPECT_EQ(TensorFlowTypeName(DataType::kBytes), "DT_STRING");
  EXPECT_EQ(DataTypeName(static_cast<DataType>(99)), "INVALID");
}

TEST(ShapeTest, CountsElements) {
  EXPECT_EQ(Shape().ElementCount(), 1);
  EXPECT_EQ(Shape({2, 3}).ElementCount(), 6);
  EXPECT_EQ(Shape({0, 3}).ElementCount(), 0);
  EXPECT_EQ(Shape({-1, 3}).ElementCount(), std::nullopt);
  EXPECT_EQ(Shape({int64_t{1} << 40, int64_t{1} << 40}).ElementCount(), std::nullopt);
  EXPECT_EQ(Shape({int64_t{1} << 40, int64_t{1} << 40, 0}).ElementCount(), 0);
  EXPECT_EQ(Shape({std::numeric_limits<int64_t>::max()}).ElementCount(),
            std::numeric_limits<int64_t>::max());
  EXPECT_EQ(Shape({-1, 784}).ToString(), "[-1,784]");
  EXPECT_EQ(Shape().ToString(), "[]");
}

TEST(TensorTest, NumbersComeBackAsPushed) {
  Tensor tensor;
  EXPECT_EQ(tensor.element_count(), 0u);
  tensor.Reset("x", DataType::kFp32);
  tensor.Push(1.5f);
  tensor.Push(2.5f);
  static_cast<float*>(tensor.Extend(1))[0] = 3.5f;
  tensor.shape() = {3};
  TensorView view = tensor.View();
  EXPECT_EQ(view.name, "x");
  EXPECT_EQ(view.element_count, 3);
  EXPECT_EQ(view.byte_size(), 12u);
  EXPECT_EQ(view.as<float>()[2], 3.5f);
}

TEST(TensorTest, StringsComeBackAsPushedAndResetForgetsThem) {
  Tensor tensor;
  tensor.Reset("s", DataType::kBytes);
  for (int i = 0; i < 100; ++i) tensor.PushString(std::string(i, 'a'));
  tensor.PushString(std::string_view("\0b", 2));
  tensor.shape() = {101};
  TensorView view = tensor.View();
  ASSERT_EQ(view.element_count, 101);
  EXPECT_EQ(view.as<std::string_view>()[0], "");
  EXPECT_EQ(view.as<std::string_view>()[99], std::string(99, 'a'));
  EXPECT_EQ(view.as<std::string_view>()[100], std::string_view("\0b", 2));
  tensor.Reset("t", DataType::kInt64);
  EXPECT_EQ(tensor.element_count(), 0u);
  EXPECT_EQ(tensor.shape().rank(), 0u);
}

TEST(SignatureTest, FindsByName) {
  Signature signature;
  signature.inputs = {{"x", DataType::kFp32, {-1, 4}}};
  signature.outputs = {{"label", DataType::kInt64, {-1}}};
  EXPECT_EQ(signature.FindInput("x"), &signature.inputs[0]);
  EXPECT_EQ(signature.FindInput("label"), nullptr);
  EXPECT_EQ(signature.FindOutput("label"), &signature.outputs[0]);
}

TEST(CheckAgainstTest, AgreesOrNamesTheDifference) {
  TensorSpec spec{"x", DataType::kFp32, {-1, 4}};
  auto check = [&](DataType type, Shape shape, int64_t count) {
    TensorView view;
    view.type = type;
    view.shape = shape;
    view.element_count = count;
    Status status = CheckAgainst(spec, view);
    EXPECT_TRUE(status.ok() || status.code() == StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_EQ(check(DataType::kFp32, {2, 4}, 8), "");
  EXPECT_EQ(check(DataType::kFp32, {0, 4}, 0), "");
  EXPECT_EQ(check(DataType::kInt64, {2, 4}, 8), "input \"x\": expected FP32[-1,4], got INT64[2,4]");
  EXPECT_EQ(check(DataType::kFp32, {8}, 8),
            "input \"x\": expected FP32[-1,4], got FP32[8]: 2 dimensions are wanted, not 1");
  EXPECT_EQ(check(DataType::kFp32, {2, 3}, 6),
            "input \"x\": expected FP32[-1,4], got FP32[2,3]: dimension 1 must be 4, not 3");
  EXPECT_EQ(
      check(DataType::kFp32, {2, 4}, 7),
      "input \"x\": expected FP32[-1,4], got FP32[2,4]: the shape holds 8 values, but 7 came");
  EXPECT_EQ(check(DataType::kFp32, {-2, 4}, 8),
            "input \"x\": expected FP32[-1,4], got FP32[-2,4]: the shape is negative or too large");
}

}  // namespace
}  // namespace leadsman
