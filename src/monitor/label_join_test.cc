#include "monitor/label_join.h"

#include <gtest/gtest.h>

#include "base/testing/fake_clock.h"
#include "monitor/labels/own_label_store.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

class LabelJoinTest : public ::testing::Test {
 protected:
  void Predict(const std::string& id, const std::string& predicted) {
    KeptPrediction p;
    p.request_id = id;
    p.model = "digits";
    p.version = 1;
    p.predicted = predicted;
    p.at_ms = UnixMillis(clock_.Now());
    p.expires_ms = p.at_ms + 3'600'000;
    join_.AddPrediction(std::move(p), clock_.Now(), clock_.SteadyNow());
  }
  void Label(const std::string& id, const std::string& label) {
    join_.AddLabel({id, 0, label, 0}, clock_.Now(), clock_.SteadyNow());
  }
  bool Resolve() { return join_.Resolve(clock_.Now(), clock_.SteadyNow()); }

  FakeClock clock_;
  OwnLabelStore store_{nullptr};
  LabelJoin join_{LabelJoin::Limits{.predictions = 1, .waiting = 4096}, store_};
};

TEST_F(LabelJoinTest, AFloodOfLabelsIsLookedUpInPortions) {
  for (size_t i = 0; i < 2 * LabelJoin::kLookupsAtOnce + 1; ++i) Label(std::to_string(i), "7");
  EXPECT_FALSE(Resolve());
  EXPECT_FALSE(Resolve());
  EXPECT_TRUE(Resolve());
  clock_.Advance(61s);
  EXPECT_FALSE(Resolve());
  EXPECT_EQ(join_.counters().unknown, LabelJoin::kLookupsAtOnce);
  EXPECT_FALSE(Resolve());
  EXPECT_TRUE(Resolve());
  EXPECT_EQ(join_.waiting(), 0u);
}

TEST_F(LabelJoinTest, TheFirstLabelCountsAlsoBehindAFlood) {
  for (size_t i = 0; i < LabelJoin::kLookupsAtOnce; ++i) Label(std::to_string(i), "7");
  Label("r", "7");
  EXPECT_FALSE(Resolve());
  Predict("r", "7");
  Label("r", "8");
  EXPECT_TRUE(Resolve());
  EXPECT_EQ(join_.counters().joined, 1u);
  EXPECT_EQ(join_.counters().conflicting, 1u);
  std::vector<LabelJoin::Joined> joined = join_.TakeJoined();
  ASSERT_EQ(joined.size(), 1u);
  EXPECT_FALSE(joined[0].wrong);
}

TEST_F(LabelJoinTest, EveryLabelHasItsFullMinute) {
  Label("r", "7");
  Resolve();
  Predict("r", "7");  // joined; its place in the order of waiting remains
  Predict("s", "7");  // takes the memory's only place
  clock_.Advance(30s);
  Label("r", "7");
  Resolve();
  clock_.Advance(31s);
  Resolve();
  EXPECT_EQ(join_.counters().unknown, 0u);
  clock_.Advance(30s);
  Resolve();
  EXPECT_EQ(join_.counters().unknown, 1u);
}

TEST_F(LabelJoinTest, ALabelOfAnotherKindIsNoWrongAnswer) {
  Predict("r", "7");
  Label("r", "setosa");
  EXPECT_EQ(join_.counters().mismatched, 1u);
  EXPECT_EQ(join_.counters().joined, 0u);
  EXPECT_TRUE(join_.TakeJoined().empty());
  Label("r", "7.0");  // one that fits still counts
  EXPECT_EQ(join_.counters().joined, 1u);
  EXPECT_FALSE(join_.TakeJoined().at(0).wrong);
  Predict("nan", "nan");
  Label("nan", "7");
  EXPECT_TRUE(join_.TakeJoined().at(0).wrong);
}

TEST_F(LabelJoinTest, ALabelThatSaysThereIsNoneIsNoWrongAnswer) {
  Predict("r", "1");
  for (const char* none : {"NaN", "nan", "NA", "null"}) Label("r", none);
  EXPECT_EQ(join_.counters().mismatched, 4u);
  EXPECT_EQ(join_.counters().joined, 0u);
  Label("r", "1");  // and the row goes on waiting for one
  EXPECT_FALSE(join_.TakeJoined().at(0).wrong);
}

TEST_F(LabelJoinTest, AClassMayBeCalledAsOthersWriteNoValue) {
  Predict("r", "NA");  // North America
  Label("r", "NA");
  EXPECT_FALSE(join_.TakeJoined().at(0).wrong);
  Predict("s", "EU");
  Label("s", "NA");
  EXPECT_TRUE(join_.TakeJoined().at(0).wrong);
}

TEST_F(LabelJoinTest, APredictionOfThePastHasTheWholeTimeForItsLabel) {
  KeptPrediction p;
  p.request_id = "old";
  p.model = "digits";
  p.version = 1;
  p.predicted = "7";
  p.at_ms = UnixMillis(clock_.Now() - 240h);
  p.expires_ms = p.at_ms + 3'600'000;
  join_.AddPrediction(p, clock_.Now(), clock_.SteadyNow());
  clock_.Advance(59min);
  Label("old", "7");
  EXPECT_EQ(join_.counters().joined, 1u);
}

TEST_F(LabelJoinTest, ANumberForAModelOfTextsIsNoWrongAnswer) {
  Predict("r", "setosa");
  Label("r", "0");
  EXPECT_EQ(join_.counters().mismatched, 1u);
  Label("r", "virginica");
  EXPECT_TRUE(join_.TakeJoined().at(0).wrong);
}

TEST_F(LabelJoinTest, AModelThatAnswersBothNumbersAndTextsCanBeWrongInEitherWay) {
  Predict("r", "1");
  Predict("s", "unknown");
  Label("s", "0");
  EXPECT_EQ(join_.counters().mismatched, 0u);
  EXPECT_TRUE(join_.TakeJoined().at(0).wrong);
}

}  // namespace
}  // namespace leadsman
