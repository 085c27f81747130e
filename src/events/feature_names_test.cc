#include "events/feature_names.h"

#include <gtest/gtest.h>

#include "base/strings.h"

namespace leadsman {
namespace {

using Names = std::vector<std::string>;

TEST(FeatureNamesTest, ANameKeepsItsPlace) {
  FeatureNames names;
  EXPECT_FALSE(names.named());
  EXPECT_EQ(names.PlaceOf("age"), 0u);
  EXPECT_EQ(names.PlaceOf("income"), 1u);
  EXPECT_EQ(names.PlaceOf("age"), 0u);
  EXPECT_TRUE(names.named());
  EXPECT_EQ(names.names(), (Names{"age", "income"}));
}

TEST(FeatureNamesTest, ALaterProcessGoesOnWithTheSamePlaces) {
  FeatureNames names;
  names.PlaceOf("age");
  names.PlaceOf("income");
  Names kept;
  for (auto& [place, name] : names.TakeNew()) {
    EXPECT_EQ(place, kept.size());
    kept.push_back(name);
  }
  EXPECT_TRUE(names.TakeNew().empty());
  names.PlaceOf("debt");
  EXPECT_EQ(names.TakeNew().size(), 1u);

  FeatureNames later;
  later.Restore(kept);
  EXPECT_EQ(later.PlaceOf("income"), 1u);
  EXPECT_EQ(later.PlaceOf("years"), 2u);
  auto fresh = later.TakeNew();
  ASSERT_EQ(fresh.size(), 1u);
  EXPECT_EQ(fresh[0].second, "years");
}

TEST(FeatureNamesTest, TheColumnsOfATableAreAnOrderUntilEventsHaveNames) {
  FeatureNames names;
  names.Suggest(Names{"x", "y"});
  names.Suggest(Names{"b", "a"});  // another table
  EXPECT_TRUE(names.TakeNew().empty()) << "nothing is known yet";
  EXPECT_EQ(names.PlaceOf("a"), 1u);
  EXPECT_EQ(names.PlaceOf("c"), 2u);
  names.Suggest(Names{"d", "a"});
  EXPECT_EQ(names.names(), (Names{"b", "a", "c", "d"}));
  EXPECT_EQ(names.TakeNew().size(), 4u);
}

TEST(FeatureNamesTest, IsBounded) {
  FeatureNames names;
  EXPECT_FALSE(names.PlaceOf(std::string(FeatureNames::kLongestName + 1, 'x')));
  for (size_t i = 0; i < FeatureNames::kMaxNames; ++i) EXPECT_TRUE(names.PlaceOf(StrCat("f", i)));
  EXPECT_FALSE(names.PlaceOf("one more"));
  EXPECT_EQ(names.PlaceOf("f7"), 7u);
  EXPECT_EQ(names.refused(), 2u);
  FeatureNameBook book;
  for (size_t i = 0; i < FeatureNameBook::kMaxModels; ++i)
    EXPECT_NE(book.Of(StrCat("m", i)), nullptr);
  EXPECT_EQ(book.Of("one more"), nullptr);
}

}  // namespace
}  // namespace leadsman
