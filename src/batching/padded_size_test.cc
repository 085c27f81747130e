#include "batching/padded_size.h"

#include <gtest/gtest.h>

#include <limits>

namespace leadsman {
namespace {

TensorView View(Shape shape, DataType type = DataType::kUint8) {
  TensorView view;
  view.type = type;
  view.shape = shape;
  return view;
}

bool Joins(const std::vector<TensorView>& first, uint32_t first_rows,
           const std::vector<TensorView>& second, uint32_t second_rows) {
  PaddedSize size;
  size.Begin(first, first_rows);
  return size.Join(second, second_rows);
}

TEST(PaddedSizeTest, TheLongestOfEachDimensionCounts) {
  EXPECT_TRUE(Joins({View({1, 1000, 8})}, 1, {View({1, 1000, 8})}, 1));
  EXPECT_FALSE(Joins({View({1, 1000, 8})}, 1, {View({1, 8, 1000})}, 1));
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  EXPECT_FALSE(Joins({View({1, kHuge, 0, 1})}, 1, {View({1, 0, kHuge, kHuge})}, 1));
}

TEST(PaddedSizeTest, AllInputsCountTogether) {
  EXPECT_FALSE(Joins({View({20, 10})}, 20, {View({1, 9000})}, 1));
  // Beside an image each the lengths do not matter.
  EXPECT_TRUE(
      Joins({View({20, 10}), View({20, 224, 224})}, 20, {View({1, 9000}), View({1, 224, 224})}, 1));
}

TEST(PaddedSizeTest, SharedInputsAreNotPadded) {
  EXPECT_FALSE(Joins({View({20, 10}), View({7, 1000000}), View({})}, 20,
                     {View({1, 9000}), View({7, 1000000}), View({})}, 1));
}

TEST(PaddedSizeTest, WhatDidNotJoinDoesNotCount) {
  PaddedSize size;
  std::vector<TensorView> small = {View({20, 100})};
  std::vector<TensorView> large = {View({1, 90000})};
  size.Begin(small, 20);
  EXPECT_FALSE(size.Join(large, 1));
  EXPECT_TRUE(size.Join(small, 20));
  size.Begin(large, 1);
  EXPECT_TRUE(size.Join(large, 1));
}

}  // namespace
}  // namespace leadsman
