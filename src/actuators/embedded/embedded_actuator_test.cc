#include "actuators/embedded/embedded_actuator.h"

#include <gtest/gtest.h>

#include "serving/testing/serving_world.h"

namespace leadsman {
namespace {

class EmbeddedActuatorTest : public testing::Test {
 protected:
  EmbeddedActuatorTest() {
    world_.AddModel("digits", {1, 2});
    world_.Start();
    actuator_ =
        std::make_unique<EmbeddedActuator>(world_.predictor(), world_.predictor().lifecycle());
  }
  /// How many of 1,000 requests go to version 2.
  int CandidateOf1000() {
    int mine = 0;
    for (int i = 0; i < 1000; ++i) {
      call_.Reset();
      EXPECT_TRUE(world_.predictor().Admit({.model = "digits"}, call_).ok());
      mine += call_.version() == 2;
      world_.predictor().Finish(call_, OkStatus(), 0);
    }
    return mine;
  }
  DesiredTraffic Canary(double share) { return {"digits", 1, 2, share, {1, 2}, {}}; }

  ServingWorld world_;
  std::unique_ptr<EmbeddedActuator> actuator_;
  PredictionCall call_;
};

TEST_F(EmbeddedActuatorTest, SplitsTheTrafficAsWanted) {
  ASSERT_TRUE(actuator_->Apply(Canary(0.3)).ok());
  EXPECT_NEAR(CandidateOf1000(), 300, 100);
  ASSERT_TRUE(actuator_->Apply(Canary(0)).ok());
  EXPECT_EQ(CandidateOf1000(), 0);
  ASSERT_TRUE(actuator_->Apply(Canary(1)).ok());
  EXPECT_EQ(CandidateOf1000(), 1000);
}

TEST_F(EmbeddedActuatorTest, ARollbackTakesEffectForTheNextRequest) {
  ASSERT_TRUE(actuator_->Apply(Canary(1)).ok());
  ASSERT_TRUE(actuator_->Apply({"digits", 1, 0, 0, {1}, {2}}).ok());
  EXPECT_EQ(CandidateOf1000(), 0);
}

TEST_F(EmbeddedActuatorTest, AModelLetGoHasNoRoute) {
  ASSERT_TRUE(actuator_->Apply(Canary(0.5)).ok());
  EXPECT_EQ(world_.predictor().routes()->routes.count("digits"), 1u);
  ASSERT_TRUE(actuator_->Apply({"digits"}).ok());
  EXPECT_EQ(world_.predictor().routes()->routes.count("digits"), 0u);
  EXPECT_EQ(CandidateOf1000(), 1000) << "the highest ready version serves";
}

TEST_F(EmbeddedActuatorTest, ObserverSeesReadyVersionsAndNoUnknownModel) {
  LifecycleVersionObserver observer(world_.predictor().lifecycle());
  EXPECT_EQ(observer.Observe("digits").ready, (std::vector<int64_t>{1, 2}));
  EXPECT_TRUE(observer.Observe("iris").ready.empty());
}

}  // namespace
}  // namespace leadsman
