#include "intake/feature_placer.h"

#include <gtest/gtest.h>

#include <cmath>

namespace leadsman::intake {
namespace {

using Names = std::vector<std::string_view>;
using Values = std::vector<float>;

class FeaturePlacerTest : public ::testing::Test {
 protected:
  static Values Placed(FeaturePlacer& placer, const Names& names, const Values& values) {
    auto row = placer.Place(names, values);
    Values placed(row.begin(), row.end());
    for (float& value : placed) {
      if (std::isnan(value)) value = -1;
    }
    return placed;
  }
  std::shared_ptr<FeatureNames> names_ = std::make_shared<FeatureNames>();
};

TEST_F(FeaturePlacerTest, EachNameHasItsPlaceWhateverTheOrder) {
  FeaturePlacer placer(names_);
  EXPECT_EQ(Placed(placer, {"a", "b"}, {1, 2}), (Values{1, 2}));
  EXPECT_EQ(Placed(placer, {"b", "a"}, {3, 4}), (Values{4, 3}));
  EXPECT_EQ(Placed(placer, {"b", "a"}, {5, 6}), (Values{6, 5}));
  EXPECT_EQ(Placed(placer, {"b"}, {7}), (Values{-1, 7}));
  EXPECT_EQ(Placed(placer, {"c", "a"}, {8, 9}), (Values{9, -1, 8}));
  EXPECT_EQ(Placed(placer, {"a", "b"}, {1, 2}), (Values{1, 2, -1}));
}

TEST_F(FeaturePlacerTest, NamesWithOneKeyAreComparedOnce) {
  FeaturePlacer placer(names_);
  const Names forth = {"a", "b"}, back = {"b", "a"};
  auto place = [&](const Names& names, const Values& values, uint64_t key) {
    const auto row = placer.Place(names, values, key);
    return Values(row.begin(), row.end());
  };
  EXPECT_EQ(place(forth, {1, 2}, 7), (Values{1, 2}));
  EXPECT_EQ(place(forth, {3, 4}, 7), (Values{3, 4}));
  EXPECT_EQ(place(back, {5, 6}, 8), (Values{6, 5}));
  EXPECT_EQ(place(back, {7, 8}, 8), (Values{8, 7}));
  EXPECT_EQ(place(forth, {1, 2}, 0), (Values{1, 2}));
  EXPECT_EQ(place(back, {7, 8}, 8), (Values{8, 7}));
  EXPECT_EQ(place(forth, {1, 2}, 7), (Values{1, 2}));
}

TEST_F(FeaturePlacerTest, SourcesOfOneModelAgree) {
  FeaturePlacer log(names_), envoy(names_);
  EXPECT_EQ(Placed(log, {"a", "b"}, {1, 2}), (Values{1, 2}));
  EXPECT_EQ(Placed(envoy, {"b", "a"}, {3, 4}), (Values{4, 3}));
  EXPECT_EQ(Placed(envoy, {"b", "c"}, {3, 5}), (Values{-1, 3, 5}));
  EXPECT_EQ(Placed(log, {"a", "c"}, {1, 7}), (Values{1, -1, 7}));
}

TEST_F(FeaturePlacerTest, ANameWithoutAPlaceIsLeftOut) {
  FeaturePlacer placer(names_);
  const std::string long_name(FeatureNames::kLongestName + 1, 'x');
  EXPECT_EQ(Placed(placer, {long_name, "a"}, {1, 2}), (Values{2}));
  EXPECT_EQ(names_->refused(), 1u);
}

}  // namespace
}  // namespace leadsman::intake
