#include "actuators/gateway/gateway_actuator.h"

#include <gtest/gtest.h>

namespace leadsman {
namespace {

class GatewayActuatorTest : public testing::Test {
 protected:
  GatewayActuatorTest() {
    gateway::Options options;
    options.listeners.push_back({.address = "127.0.0.1", .port = 0});
    options.io_threads = 1;
    gateway::ServiceOptions& service = options.services.emplace_back();
    service.name = "digits";
    // Nobody is asked anything: there are no checks.
    for (int64_t version : {3, 1, 2})
      service.versions.push_back({.version = version, .endpoints = {"127.0.0.1:9"}});
    gateway_ = gateway::Gateway::Create({SystemClock(), sink_, registry_}, std::move(options));
    EXPECT_TRUE(gateway_->Start().ok());
    actuator_ = std::make_unique<GatewayActuator>(*gateway_);
    observer_ = std::make_unique<GatewayVersionObserver>(*gateway_);
  }
  double ShareOf(int64_t version) {
    const auto view = gateway_->view();
    for (const gateway::VersionView& one : view.services[0].versions) {
      if (one.version == version) return one.share;
    }
    return -1;
  }

  NullSink sink_;
  Registry registry_;
  std::unique_ptr<gateway::Gateway> gateway_;
  std::unique_ptr<GatewayActuator> actuator_;
  std::unique_ptr<GatewayVersionObserver> observer_;
};

TEST_F(GatewayActuatorTest, AtFirstOnlyTheVersionWithTheTrafficIsSeen) {
  EXPECT_EQ(observer_->Observe("digits").ready, std::vector<int64_t>{1})
      << "else the newest would be taken for the stable one";
  ASSERT_TRUE(actuator_->Apply({"digits", 1, 0, 0, {1}, {}}).ok());
  EXPECT_EQ(observer_->Observe("digits").ready, (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(observer_->Observe("digits").replicas.at(3), (Replicas{1, 1}));
  EXPECT_TRUE(observer_->Observe("iris").ready.empty());
}

TEST_F(GatewayActuatorTest, SharesAreWhatTheRolloutWants) {
  ASSERT_TRUE(actuator_->Apply({"digits", 1, 3, 0.25, {1, 3}, {}}).ok());
  EXPECT_EQ(ShareOf(1), 0.75);
  EXPECT_EQ(ShareOf(2), 0);
  EXPECT_EQ(ShareOf(3), 0.25);
  ASSERT_TRUE(actuator_->Apply({"digits", 1, 0, 0, {1}, {3}}).ok());
  EXPECT_EQ(ShareOf(1), 1);
  ASSERT_TRUE(actuator_->Apply({"digits"}).ok());
  EXPECT_EQ(ShareOf(1), 1) << "as configured";
}

TEST_F(GatewayActuatorTest, CopiesGoToTheCandidateAsLongAsTheRolloutWantsIt) {
  auto mirror = [&] { return gateway_->view().services[0].mirror; };
  EXPECT_FALSE(mirror()) << "none is configured";
  ASSERT_TRUE(actuator_->Apply({"digits", 1, 3, 0, {1, 3}, {}, 0.5}).ok());
  ASSERT_TRUE(mirror());
  EXPECT_EQ(mirror()->version, 3);
  EXPECT_EQ(mirror()->share, 0.5);
  EXPECT_EQ(ShareOf(1), 1);
  ASSERT_TRUE(actuator_->Apply({"digits", 1, 3, 0.1, {1, 3}, {}}).ok());
  EXPECT_FALSE(mirror());
}

TEST_F(GatewayActuatorTest, WhatIsNotThereIsAnErrorThatTheRolloutHoldsAt) {
  EXPECT_EQ(actuator_->Apply({"iris", 1, 0, 0, {1}, {}}).code(), StatusCode::kNotFound);
  EXPECT_EQ(actuator_->Apply({"digits", 1, 9, 0.1, {1, 9}, {}}).message(),
            "service digits has no version 9; versions: 3, 1 and 2");
}

}  // namespace
}  // namespace leadsman
