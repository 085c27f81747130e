#include "app/capture_ways.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "app/switch_sink.h"
#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "intake/cloud_event_intake.h"
#include "intake/envoy_intake.h"
#include "intake/event_intake.h"
#include "intake/exchange_intake.h"
#include "intake/testing/recording_sink.h"

namespace leadsman {
namespace {

using namespace intake;  // NOLINT: the ways in

class CaptureWaysTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = Monitor::Create({clock_, registry_}, {}, {});
    ASSERT_TRUE(made.ok()) << made.status();
    monitor_ = std::move(made).value();
  }
  /// "kept 3, lost 1", and that it is of a part.
  std::string Of(const std::string& way) const {
    for (const CaptureCounts& counts : ReadCaptureCounts(*monitor_, ways_)) {
      if (counts.of != way) continue;
      return StrCat("kept ", counts.kept, ", lost ", counts.lost, counts.part ? " parts" : "");
    }
    return "no such way";
  }

  FakeClock clock_;
  Registry registry_;
  EventTexts sink_;
  std::unique_ptr<Monitor> monitor_;
  CaptureWays ways_;
};

TEST_F(CaptureWaysTest, WaysThatAreNotUsedAreNotTold) {
  EXPECT_EQ(Of("events"), "kept 0, lost 0");
  for (const char* way : {"cloudevents", "events API", "envoy exchanges", "gateway bodies"})
    EXPECT_EQ(Of(way), "no such way");
}

TEST_F(CaptureWaysTest, CloudEventsThatAreDroppedOrCannotBeRead) {
  CloudEventIntake::Options options;
  options.max_queue_bytes = 4000;
  CloudEventIntake intake({clock_, sink_, registry_, [](const GroundTruth&) { return true; }},
                          options);
  ways_.cloudevents = &intake;
  const auto send = [&](std::string type, std::string_view body) {
    return intake.Offer(
        [&](std::string_view name) -> std::string_view {
          if (name == "ce-type") return type;
          if (name == "ce-id") return "r1";
          return name == "ce-specversion" ? "1.0" : "";
        },
        body);
  };
  const std::string request = "org.kubeflow.serving.inference.request";
  EXPECT_TRUE(send(request, "\x01" + std::string(2500, ' ')).ok());
  EXPECT_EQ(send(request, std::string(2500, ' ')).code(), StatusCode::kUnavailable);
  EXPECT_EQ(send("", "{}").code(), StatusCode::kInvalidArgument);
  intake.RunOnce();
  const char* const feedback = R"({"truth": {"data": {"ndarray": [1]}}})";
  EXPECT_TRUE(send("io.seldon.serving.feedback", feedback).ok());
  intake.RunOnce();
  EXPECT_EQ(Of("cloudevents"), "kept 2, lost 2");
  EXPECT_EQ(Of("cloudevents bodies"), "kept 1, lost 1 parts");
  EXPECT_EQ(Of("cloudevents labels"), "kept 1, lost 0");
}

TEST_F(CaptureWaysTest, EventsThatAreInvalidOrRefused) {
  EventIntake intake(clock_, sink_, registry_);
  ways_.events = &intake;
  sink_.SetRoom(2);
  EXPECT_FALSE(intake.Add("nonsense", "").ok());
  EXPECT_TRUE(intake.Add(R"([{"model": "a"}, {"bad": 1}])", "").ok());
  EXPECT_EQ(intake.Add(R"([{"model": "never", "status": 404}])", "")->rejected, 1u)
      << "anybody can ask for a model that there is not";
  EXPECT_TRUE(intake.Add(R"([{"model": "a"}, {"model": "a"}])", "")->full);
  EXPECT_EQ(Of("events API"), "kept 2, lost 2");
  EXPECT_EQ(Of("events API batches"), "kept 2, lost 1 parts")
      << "a sender that tries again loses nothing";
}

TEST_F(CaptureWaysTest, ExchangesOfEnvoyThatAreOneTooMany) {
  EnvoyOptions options;
  options.max_exchanges = 1;
  EnvoyIntake intake({clock_, sink_, registry_}, options);
  ways_.envoy = &intake;
  EnvoyExchange first, second;
  EXPECT_TRUE(intake.Begin(first));
  EXPECT_FALSE(intake.Begin(second));
  intake.Finish(first, EnvoyIntake::End::kTimedOut);
  EXPECT_FALSE(intake.TakeAccessLog("\xff\xff\xff"));
  EXPECT_EQ(Of("envoy exchanges"), "kept 1, lost 1");
  EXPECT_EQ(Of("envoy access log"), "kept 1, lost 1");
  EXPECT_EQ(Of("envoy bodies"), "kept 0, lost 0 parts");
}

TEST_F(CaptureWaysTest, CopiesOfBodiesThatTheGatewayHasNoRoomFor) {
  ExchangeIntake::Options options;
  options.max_queue = 1;
  auto made = ExchangeIntake::Create({clock_, sink_, registry_}, options);
  ASSERT_TRUE(made.ok()) << made.status();
  ExchangeIntake& intake = **made;
  ways_.exchanges = &intake;
  const auto copy = [&] {
    auto exchange = intake.Begin(0);
    const std::string_view body = "[not JSON";
    exchange->Begin(exchange->request, "application/json", "", "", body.size());
    exchange->Append(exchange->request, body);
    return exchange;
  };
  EXPECT_TRUE(intake.Offer(copy()));
  EXPECT_FALSE(intake.Offer(copy()));
  intake.RunOnce();
  EXPECT_EQ(Of("gateway exchanges"), "kept 1, lost 1 parts");
  EXPECT_EQ(Of("gateway bodies"), "kept 0, lost 1 parts");
  EXPECT_EQ(Of("gateway mirrors"), "kept 0, lost 0");
}

TEST_F(CaptureWaysTest, EventsThatComeWhileNobodyTakesThem) {
  SwitchSink sink({});
  ways_.handover = &sink;
  sink.Emit({});
  EXPECT_EQ(Of("handover"), "kept 0, lost 1");
}

}  // namespace
}  // namespace leadsman
