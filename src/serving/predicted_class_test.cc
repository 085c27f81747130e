#include "serving/predicted_class.h"

#include <gtest/gtest.h>

#include <limits>

namespace leadsman {
namespace {

template <typename T>
Tensor Make(std::string_view name, DataType type, Shape shape, std::vector<T> values) {
  Tensor tensor;
  tensor.Reset(name, type);
  tensor.shape() = shape;
  for (const T& value : values) {
    if constexpr (std::is_same_v<T, std::string>) {
      tensor.PushString(value);
    } else {
      tensor.Push(value);
    }
  }
  return tensor;
}

std::vector<std::string> Classes(const std::vector<Tensor>& tensors, uint32_t rows,
                                 std::string_view wanted = "") {
  std::vector<TensorView> views;
  for (const Tensor& tensor : tensors) views.push_back(tensor.View());
  PredictedClasses predicted;
  predicted.Extract(views, rows, wanted);
  return {predicted.classes().begin(), predicted.classes().end()};
}

using Names = std::vector<std::string>;
const float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(PredictedClassesTest, PrefersALabelOverScores) {
  auto scores = Make<float>("p", DataType::kFp32, {2, 2}, {0.9f, 0.1f, 0.2f, 0.8f});
  auto labels = Make<int64_t>("l", DataType::kInt64, {2}, {7, -3});
  EXPECT_EQ(Classes({scores, labels}, 2), (Names{"7", "-3"}));
  auto words = Make<std::string>("l", DataType::kBytes, {2, 1}, {"cat", "dog"});
  EXPECT_EQ(Classes({scores, words}, 2), (Names{"cat", "dog"}));
}

TEST(PredictedClassesTest, TakesTheArgmaxOfScoresWithoutALabel) {
  auto scores = Make<float>("p", DataType::kFp32, {3, 3},
                            {0.1f, 0.7f, 0.2f, 0.5f, 0.5f, 0.0f, kNan, kNan, 0.1f});
  EXPECT_EQ(Classes({scores}, 3), (Names{"1", "0", "2"}));
  EXPECT_EQ(Classes({Make<float>("p", DataType::kFp32, {1, 2}, {kNan, kNan})}, 1), (Names{"NaN"}));
}

TEST(PredictedClassesTest, TakesTheValueOfARegression) {
  EXPECT_EQ(Classes({Make<float>("y", DataType::kFp32, {2, 1}, {2.5f, 1e-3f})}, 2),
            (Names{"2.5", "0.001"}));
  EXPECT_EQ(Classes({Make<double>("y", DataType::kFp64, {}, {0.1})}, 1), (Names{"0.1"}));
}

TEST(PredictedClassesTest, TakesTheWantedOutputAndNoOther) {
  auto a = Make<int64_t>("a", DataType::kInt64, {1}, {1});
  auto b = Make<float>("b", DataType::kFp32, {1, 3}, {0, 0, 1});
  EXPECT_EQ(Classes({a, b}, 1, "b"), (Names{"2"}));
  EXPECT_EQ(Classes({a, b}, 1, "c"), Names{});
}

TEST(PredictedClassesTest, KeepsAProbabilityOfEachRow) {
  auto of = [](const std::vector<Tensor>& tensors, uint32_t rows) {
    std::vector<TensorView> views;
    for (const Tensor& tensor : tensors) views.push_back(tensor.View());
    PredictedClasses predicted;
    predicted.Extract(views, rows, "");
    return predicted;
  };
  auto values = [](const PredictedClasses& predicted) {
    auto scores = predicted.row_scores().values();
    return std::vector<float>(scores.begin(), scores.end());
  };
  // Of two classes that of the second; a row that does not sum to 1 has none.
  auto two = of({Make<int64_t>("l", DataType::kInt64, {3}, {0, 1, 1}),
                 Make<float>("p", DataType::kFp32, {3, 2}, {0.75f, 0.25f, 0.5f, 0.5f, 2, 3})},
                3);
  EXPECT_EQ(two.answer(), AnswerKind::kClass);
  EXPECT_EQ(two.row_scores().of(), ScoreOf::kSecondClass);
  EXPECT_EQ(values(two), (std::vector<float>{0.25f, 0.5f, -1}));
  auto three = of({Make<double>("p", DataType::kFp64, {1, 3}, {0.25, 0.5, 0.25})}, 1);
  EXPECT_EQ(three.row_scores().of(), ScoreOf::kBestClass);
  EXPECT_EQ(values(three), std::vector<float>{0.5f});
  EXPECT_EQ(two.row_scores().class_scores().classes, 0u);
  auto all = [](const PredictedClasses& predicted) {
    const auto scores = predicted.row_scores().class_scores().values;
    return std::vector<float>(scores.begin(), scores.end());
  };
  EXPECT_EQ(three.row_scores().class_scores().classes, 3u);
  EXPECT_EQ(all(three), (std::vector<float>{0.25f, 0.5f, 0.25f}));
  auto rows =
      of({Make<float>("p", DataType::kFp32, {3, 3}, {5, 6, 7, 0.25f, 0.5f, 0.25f, 8, 9, 1})}, 3);
  EXPECT_EQ(values(rows), (std::vector<float>{-1, 0.5f, -1}));
  EXPECT_EQ(all(rows), (std::vector<float>{0, 0, 0, 0.25f, 0.5f, 0.25f, 0, 0, 0}));
  auto wide = of({Make<float>("p", DataType::kFp32, {1, 20}, std::vector<float>(20, 0.05f))}, 1);
  EXPECT_EQ(wide.row_scores().of(), ScoreOf::kBestClass);
  EXPECT_EQ(wide.row_scores().class_scores().classes, 0u) << "of so many none are kept";
  // Logits, classes that do not exclude each other, and numbers have no probabilities.
  EXPECT_TRUE(values(of({Make<float>("p", DataType::kFp32, {1, 3}, {3, -2, 0})}, 1)).empty());
  EXPECT_TRUE(values(of({Make<float>("p", DataType::kFp32, {1, 2}, {0.9f, 0.8f})}, 1)).empty());
  auto number = of({Make<float>("y", DataType::kFp32, {1, 1}, {1})}, 1);
  EXPECT_EQ(number.answer(), AnswerKind::kNumber);
  EXPECT_TRUE(values(number).empty());
}

TEST(PredictedClassesTest, KeepsAtMostSixteenRowsAndStandsOddOutputs) {
  std::vector<int64_t> many(40, 5);
  EXPECT_EQ(Classes({Make<int64_t>("l", DataType::kInt64, {40}, many)}, 40).size(),
            PredictionEvent::kMaxPredictions);
  EXPECT_EQ(Classes({Make<int64_t>("l", DataType::kInt64, {3}, {1, 2, 3})}, 2), Names{});
  EXPECT_EQ(Classes({Make<int64_t>("l", DataType::kInt64, {0}, {})}, 0), Names{});
  EXPECT_EQ(Classes({}, 1), Names{});
}

}  // namespace
}  // namespace leadsman
