#include "lifecycle/triton_warmup.h"

#include <gtest/gtest.h>

#include <string>

namespace leadsman {
namespace {

using Input = TritonConfig::Warmup::Input;

Result<std::vector<Tensor>> Make(std::vector<Input> inputs, const Signature& signature) {
  Rng rng(1);
  return WarmupTensors({.name = "w", .inputs = std::move(inputs)}, signature, rng);
}

TEST(TritonWarmupTest, EveryRowHasTheFilesElements) {
  const float values[] = {1.5F, -2};
  Input x{
      .name = "x", .type = DataType::kFp32, .dims = {3, 2}, .rows = 3, .data = Input::Data::kFile};
  x.content.assign(reinterpret_cast<const char*>(values), sizeof values);
  Input t{
      .name = "t", .type = DataType::kBytes, .dims = {3, 2}, .rows = 3, .data = Input::Data::kFile};
  t.content = std::string("\2\0\0\0hi\0\0\0\0", 10);
  const Signature signature{{{"t", DataType::kBytes, {-1, 2}}, {"x", DataType::kFp32, {-1, 2}}},
                            {}};
  Result<std::vector<Tensor>> made = Make({t, x}, signature);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ((*made)[0].name(), "t");
  EXPECT_EQ((*made)[0].View().as<std::string_view>()[4], "hi");
  EXPECT_EQ((*made)[0].View().as<std::string_view>()[5], "");
  EXPECT_EQ((*made)[1].View().shape, (Shape{3, 2}));
  EXPECT_EQ((*made)[1].View().as<float>()[4], 1.5F);
  EXPECT_EQ((*made)[1].View().as<float>()[5], -2);
}

TEST(TritonWarmupTest, RandomDataIsWithinWhatAnyModelTakes) {
  for (DataType type :
       {DataType::kBool, DataType::kUint8, DataType::kInt16, DataType::kInt64, DataType::kFp16,
        DataType::kBf16, DataType::kFp32, DataType::kFp64, DataType::kBytes}) {
    const Signature signature{{{"x", type, {-1}}}, {}};
    auto made =
        Make({{.name = "x", .type = type, .dims = {100}, .data = Input::Data::kRandom}}, signature);
    ASSERT_TRUE(made.ok()) << made.status();
    const TensorView view = (*made)[0].View();
    for (size_t i = 0; i < 100; ++i) {
      if (type == DataType::kFp32) {
        EXPECT_TRUE(view.as<float>()[i] >= 0 && view.as<float>()[i] < 1);
      }
      if (type == DataType::kInt64) {
        EXPECT_TRUE(view.as<int64_t>()[i] >= 0 && view.as<int64_t>()[i] < 10);
      }
      if (type == DataType::kBytes) {
        EXPECT_EQ(view.as<std::string_view>()[i].size(), 8u);
      }
    }
  }
}

TEST(TritonWarmupTest, WhatDoesNotFitTheModelIsNamed) {
  const Signature signature{
      {{"x", DataType::kFp32, {-1, 2}}, {"more", DataType::kFp32, {-1}, true}}, {}};
  auto wrong = [&](std::vector<Input> inputs) {
    return std::string(Make(std::move(inputs), signature).status().message());
  };
  const Input fits{.name = "x", .type = DataType::kFp32, .dims = {1, 2}};
  EXPECT_EQ(wrong({fits}), "");
  EXPECT_EQ(wrong({}),
            "config.pbtxt: model_warmup w: input x: the model needs it, and nothing is said of it");
  EXPECT_EQ(wrong({fits, {.name = "y", .type = DataType::kFp32, .dims = {1}}}),
            "config.pbtxt: model_warmup w: input y: the model has none of that name");
  EXPECT_TRUE(wrong({{.name = "x", .type = DataType::kInt64, .dims = {1, 2}}})
                  .starts_with("config.pbtxt: model_warmup w: "));
  for (const char* content : {"\1", "\5\0\0\0hi", "\0\0\0\0\0"}) {
    Input texts{.name = "t", .type = DataType::kBytes, .dims = {1}, .data = Input::Data::kFile};
    texts.content.assign(content, content[0] == 1 ? 1 : content[0] == 5 ? 6 : 5);
    const Signature of_texts{{{"t", DataType::kBytes, {-1}}}, {}};
    EXPECT_NE(std::string(Make({texts}, of_texts).status().message()).find("its file "),
              std::string::npos);
  }
}

}  // namespace
}  // namespace leadsman
