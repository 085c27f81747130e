#include "lifecycle/independent_rows.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>

#include "backend/testing/fake_backend.h"
#include "base/testing/fake_clock.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

class IndependentRowsTest : public ::testing::Test {
 protected:
  bool Independent() {
    LoadSpec spec{.model_name = "m", .version = 1};
    Result<std::unique_ptr<LoadedModel>> model = backend_.Load(spec);
    EXPECT_TRUE(model.ok());
    return RowsAreIndependent(**model, 8, clock_, cancel_);
  }
  /// y: FP32[-1] = f(x, i) for each row i of x: FP32[-1,1].
  void Answer(std::function<float(std::span<const float>, size_t)> f) {
    backend_.signature.inputs = {{"x", DataType::kFp32, {-1, 1}}};
    backend_.signature.outputs = {{"y", DataType::kFp32, {-1}}};
    backend_.run = [this, f](int64_t, std::span<const TensorView> inputs,
                             std::vector<Tensor>& outputs) {
      clock_.Advance(1ms);
      auto x = inputs[0].as<float>();
      for (size_t i = 0; i < x.size(); ++i) outputs[0].Push(f(x, i));
      outputs[0].shape() = {static_cast<int64_t>(x.size())};
      return OkStatus();
    };
  }
  FakeClock clock_;
  FakeBackend backend_;
  std::atomic<bool> cancel_{false};
};

TEST_F(IndependentRowsTest, RowByRow) {
  Answer([](std::span<const float> x, size_t i) { return 2 * x[i]; });
  EXPECT_TRUE(Independent());
}

TEST_F(IndependentRowsTest, RoundingIsNoDifference) {
  Answer([](std::span<const float> x, size_t i) {
    return x[i] * (1 + 1e-6f * static_cast<float>(x.size()));
  });
  EXPECT_TRUE(Independent());
}

TEST_F(IndependentRowsTest, AnswersThatSayNothing) {
  Answer([](std::span<const float>, size_t) { return std::nanf(""); });
  EXPECT_FALSE(Independent());
  Answer([](std::span<const float>, size_t) { return 1.0f; });
  EXPECT_FALSE(Independent());
}

TEST_F(IndependentRowsTest, NoTimeIsSaved) {
  Answer([this](std::span<const float> x, size_t i) {
    clock_.Advance(20ms);
    return x[i];
  });
  EXPECT_FALSE(Independent());
}

TEST_F(IndependentRowsTest, ASmallValueBesideALargeOne) {
  // Of two: a time, and a score that depends on the batch.
  Answer([](std::span<const float>, size_t) { return 0.0f; });
  backend_.signature.outputs = {{"y", DataType::kFp32, {-1, 2}}};
  backend_.run = [this](int64_t, std::span<const TensorView> inputs, std::vector<Tensor>& outputs) {
    clock_.Advance(1ms);
    auto x = inputs[0].as<float>();
    for (float value : x) {
      outputs[0].Push(640.0f);
      outputs[0].Push(value + 0.1f * static_cast<float>(x.size()));
    }
    outputs[0].shape() = {static_cast<int64_t>(x.size()), 2};
    return OkStatus();
  };
  EXPECT_FALSE(Independent());
}

TEST_F(IndependentRowsTest, RowsThatShareASum) {
  Answer([](std::span<const float> x, size_t i) {
    float sum = 0;
    for (float value : x) sum += std::exp(value);
    return std::exp(x[i]) / sum;
  });
  EXPECT_FALSE(Independent());
}

TEST_F(IndependentRowsTest, RowsThatKnowTheirPlace) {
  Answer([](std::span<const float>, size_t i) { return static_cast<float>(i); });
  EXPECT_FALSE(Independent());
}

TEST_F(IndependentRowsTest, AnswersThatDifferEachTime) {
  float calls = 0;
  Answer([&](std::span<const float>, size_t) { return ++calls; });
  EXPECT_FALSE(Independent());
}

TEST_F(IndependentRowsTest, AnAnswerForAllRows) {
  Answer([](std::span<const float> x, size_t i) { return x[i]; });
  auto each = backend_.run;
  backend_.run = [each](int64_t version, std::span<const TensorView> inputs,
                        std::vector<Tensor>& outputs) {
    RETURN_IF_ERROR(each(version, inputs, outputs));
    float first = outputs[0].View().as<float>()[0];
    outputs[0].Reset("y", DataType::kFp32);
    outputs[0].Push(first);
    outputs[0].shape() = {1};
    return OkStatus();
  };
  EXPECT_FALSE(Independent());
}

TEST_F(IndependentRowsTest, WhatCannotBeTried) {
  backend_.signature.inputs[0].type = DataType::kBytes;
  EXPECT_FALSE(Independent()) << "texts";
  backend_.signature.inputs[0] = {"x", DataType::kFp32, {4, 4}};
  EXPECT_FALSE(Independent()) << "no open dimension";
  backend_.signature.inputs[0] = {"x", DataType::kFp32, {-1, 1 << 20, 2}};
  EXPECT_FALSE(Independent()) << "too large";
  backend_.signature.inputs[0] = {"x", DataType::kFp32, {-1, 4}, true};
  EXPECT_FALSE(Independent()) << "optional";
  Answer([](std::span<const float> x, size_t i) { return x[i]; });
  EXPECT_TRUE(Independent());
  cancel_ = true;
  EXPECT_FALSE(Independent()) << "cancelled";
  cancel_ = false;
  backend_.run = [](int64_t, auto, auto&) { return InvalidArgumentError("not these"); };
  EXPECT_FALSE(Independent()) << "refused";
}

}  // namespace
}  // namespace leadsman
