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

std::shared_ptr<const DroppedInputs> Dropped(const Names& inputs) {
  return std::make_shared<const DroppedInputs>(inputs);
}

TEST(FeatureNamesTest, ADroppedInputHasNoPlace) {
  FeatureNames names(Dropped({"income", "[1]", "debt"}));
  EXPECT_EQ(names.PlaceOf("age"), 0u);
  EXPECT_FALSE(names.PlaceOf("income"));
  EXPECT_EQ(names.PlaceOf("years"), 1u) << "where events have names a place is another one's";
  EXPECT_EQ(names.refused(), 0u);
  EXPECT_EQ(names.names(), (Names{"age", "years"}));
  EXPECT_EQ(names.TakeNew().size(), 2u);
  EXPECT_EQ(names.Keeps(Names{"years", "income", "age"}, 3),
            (std::vector<bool>{true, false, true}));
  EXPECT_EQ(names.met(), std::set<std::string>{"income"});
  std::vector<float> scratch;
  const std::vector<float> values = {1, 2};
  EXPECT_EQ(names.WithoutDropped(values, true, scratch).size(), 2u);
  EXPECT_EQ(names.WithoutDropped(values, false, scratch).size(), 1u)
      << "what is served here has no names";
}

TEST(FeatureNamesTest, WhatIsDroppedIsTakenOutOfEventsWithoutNamesByItsPlace) {
  FeatureNames names(Dropped({"income", "[3]"}));
  std::vector<float> scratch;
  auto kept = [&](const std::vector<float>& values) {
    const auto span = names.WithoutDropped(values, true, scratch);
    return std::vector<float>(span.begin(), span.end());
  };
  EXPECT_EQ(kept({0, 1, 2, 3, 4}), (std::vector<float>{0, 1, 2, 4}));
  EXPECT_EQ(names.met(), std::set<std::string>{"[3]"});
  EXPECT_EQ(names.Keeps(Names{"age", "income", "years"}, 3),
            (std::vector<bool>{true, false, true}));
  EXPECT_EQ(kept({0, 1, 2, 3, 4}), (std::vector<float>{0, 2, 4}));
  EXPECT_EQ(names.Keeps(Names{"age", "years"}, 2), (std::vector<bool>{true, true}));
  EXPECT_EQ(kept({0, 1, 2}), (std::vector<float>{0, 2})) << "that table does not say where it is";
  names.Suggest(Names{"age", "income", "years"});
  EXPECT_EQ(names.names(), (Names{"age", "years"}));
}

TEST(FeatureNamesTest, WhatNoModelHasHadIsKnown) {
  FeatureNameBook book(Dropped({"income", "incme"}));
  EXPECT_EQ(book.NeverMet(), (Names{"incme", "income"}));
  book.Of("credit")->PlaceOf("income");
  EXPECT_EQ(book.NeverMet(), Names{"incme"});
  EXPECT_TRUE(FeatureNameBook().NeverMet().empty());
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
