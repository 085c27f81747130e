#include "intake/shadow_book.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "base/strings.h"

namespace leadsman::intake {
namespace {

class ShadowBookTest : public testing::Test {
 protected:
  /// A row that both have another class of: the shadow's is "b", and the live one's is not.
  void Flip(const std::string& id, uint32_t row = 0) {
    book_.AddFlip("digits", 1, 2, id, row, "b");
  }
  void Label(const std::string& id, const std::string& label, bool live_wrong, uint32_t row = 0,
             int64_t version = 1) {
    book_.OnLabelled({"digits", version, id, row, label, live_wrong});
  }
  ShadowBook::Pair Pair() const {
    const auto pairs = book_.pairs();
    return pairs.empty() ? ShadowBook::Pair() : pairs[0];
  }
  ShadowBook book_;
};

TEST_F(ShadowBookTest, LabelsSayWhoWasRight) {
  for (const char* id : {"r-1", "r-2", "r-3"}) Flip(id);
  Flip("r-1", 7);
  Label("r-1", "a", false);
  Label("r-1", "b", true, 7);
  Label("r-2", "c", true);
  Label("r-3", "a", false, 0, 5);  // of another version
  Label("r-3", "a", false, 1);     // of another row
  Label("r-9", "a", false);        // nobody disagrees
  EXPECT_EQ(Pair().live_right, 1u);
  EXPECT_EQ(Pair().shadow_right, 1u);
  EXPECT_EQ(Pair().neither_right, 1u);
  Label("r-1", "a", false);
  EXPECT_EQ(Pair().live_right, 1u) << "once";
}

TEST_F(ShadowBookTest, ClassesAreTheSameHoweverTheyAreWritten) {
  book_.AddFlip("digits", 1, 2, "r-1", 0, "7");
  Label("r-1", "7.0", true);
  EXPECT_EQ(Pair().shadow_right, 1u);
}

TEST_F(ShadowBookTest, EvidenceGrowsWithRowsThatOneAloneHasRight) {
  for (int i = 0; i < 20; ++i) {
    Flip(StrCat("r-", i));
    Label(StrCat("r-", i), "a", false);
  }
  EXPECT_GT(Pair().e_shadow_worse, 1000);
  EXPECT_LT(Pair().e_live_worse, 1);
  const double before = Pair().e_shadow_worse;
  for (int i = 100; i < 200; ++i) {
    Flip(StrCat("r-", i));
    Label(StrCat("r-", i), "c", true);
  }
  EXPECT_EQ(Pair().e_shadow_worse, before) << "where neither is right nothing is learnt";
}

/// How often the evidence against the shadow ever reaches 20 within 200 rows that one alone has right, of 1,000 rollouts.
int Alarms(double shadow_wrong) {
  std::mt19937_64 random(7);
  std::bernoulli_distribution wrong(shadow_wrong);
  int alarms = 0;
  for (int run = 0; run < 1000; ++run) {
    ShadowBook book;
    double highest = 0;
    for (int row = 0; row < 200 && highest < 20; ++row) {
      const std::string id = std::to_string(row);
      const bool shadow = wrong(random);
      book.AddFlip("digits", 1, 2, id, 0, "b");
      book.OnLabelled({"digits", 1, id, 0, shadow ? "a" : "b", !shadow});
      highest = std::max(highest, book.pairs()[0].e_shadow_worse);
    }
    alarms += highest >= 20 ? 1 : 0;
  }
  return alarms;
}

TEST(ShadowEvidenceTest, AnEqualShadowIsSeldomTakenForAWorseOne) {
  // At most 5 %, and two standard errors.
  EXPECT_LE(Alarms(0.5), 50 + 14);
  EXPECT_GE(Alarms(0.7), 900) << "and a worse one is found";
}

TEST_F(ShadowBookTest, RowsWithoutALabelAreForgottenInTheirOrder) {
  for (size_t i = 0; i <= ShadowBook::kMaxFlips; ++i) Flip(StrCat("r-", i));
  Label("r-0", "a", false);
  Label("r-1", "a", false);
  EXPECT_EQ(Pair().live_right, 1u);
}

TEST_F(ShadowBookTest, WithoutAnIdNothingIsKept) {
  Flip("");
  Label("", "a", false);
  EXPECT_EQ(Pair().live_right, 0u);
}

}  // namespace
}  // namespace leadsman::intake
