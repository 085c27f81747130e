#include "intake/cloud_event_intake.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "intake/testing/recording_sink.h"

namespace leadsman::intake {
namespace {

using namespace std::chrono_literals;
using Headers = std::map<std::string, std::string, std::less<>>;

constexpr const char* kV2Request =
    R"({"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.5, 2]}]})";
constexpr const char* kV2Response =
    R"({"model_name": "iris", "model_version": "4", "id": "q", "outputs": [{"name": "y", "shape": [1], "datatype": "INT64", "data": [7]}]})";

class CloudEventIntakeTest : public ::testing::Test {
 protected:
  std::unique_ptr<CloudEventIntake> Make(CloudEventIntake::Options options = {}) {
    return std::make_unique<CloudEventIntake>(
        CloudEventIntake::Deps{clock_, sink_, registry_,
                               [this](const GroundTruth& label) {
                                 if (label_refusals_ > 0) return --label_refusals_, false;
                                 labels_.push_back(label);
                                 return true;
                               }},
        options);
  }
  static Headers OfKServe(const std::string& half, const std::string& id, const std::string& time) {
    return {{"ce-specversion", "1.0"},
            {"ce-type", "org.kubeflow.serving.inference." + half},
            {"ce-id", id},
            {"ce-source", "http://localhost:9081/"},
            {"ce-time", time},
            {"ce-inferenceservicename", "iris"},
            {"ce-namespace", "ml"},
            {"ce-component", "predictor"},
            {"ce-endpoint", "default"},
            {"ce-metadata", "{}"},
            {"content-type", "application/json"}};
  }
  Status Send(const Headers& headers, std::string_view body) {
    return intake_->Offer(
        [&](std::string_view name) -> std::string_view {
          auto found = headers.find(name);
          return found == headers.end() ? std::string_view() : found->second;
        },
        body);
  }
  void Run() { intake_->RunOnce(); }
  std::string Seen() { return Join(sink_.texts(), "\n"); }
  double Metric(const std::string& name, const std::string& label = "") {
    double sum = 0;
    for (const MetricFamily& family : registry_.Collect()) {
      if (family.description->name != "leadsman_intake_cloudevents_" + name) continue;
      for (const MetricSample& sample : family.samples)
        if (label.empty() || sample.label_values[0] == label) sum += sample.value;
    }
    return sum;
  }

  FakeClock clock_;
  EventTexts sink_;
  Registry registry_;
  std::vector<GroundTruth> labels_;
  int label_refusals_ = 0;  ///< so often there is no room for a label
  std::unique_ptr<CloudEventIntake> intake_ = Make();
};

TEST_F(CloudEventIntakeTest, WhatIsDeliveredAgainAfterItWasJoinedCountsOnce) {
  CloudEventIntake::Options options;
  options.max_remembered = 2;
  intake_ = Make(options);
  auto both = [&](const std::string& id) {
    ASSERT_TRUE(Send(OfKServe("request", id, "2023-11-14T22:13:19.100Z"), kV2Request).ok());
    ASSERT_TRUE(Send(OfKServe("response", id, "2023-11-14T22:13:19.104Z"), kV2Response).ok());
    Run();
  };
  both("k1");
  clock_.Advance(1s);
  both("k1");
  EXPECT_EQ(sink_.count(), 1u);
  EXPECT_EQ(Metric("repeated_total"), 2);
  EXPECT_EQ(Metric("waiting"), 0);
  both("k2");
  both("k3");
  both("k1");  // of more than so many it is not known any more
  EXPECT_EQ(sink_.count(), 4u);
  clock_.Advance(options.remember);
  Run();
  both("k3");
  EXPECT_EQ(sink_.count(), 5u);
}

TEST_F(CloudEventIntakeTest, JoinsRequestAndResponseInWhicheverOrderTheyCome) {
  ASSERT_TRUE(Send(OfKServe("request", "r1", "2023-11-14T22:13:19.100Z"), kV2Request).ok());
  ASSERT_TRUE(Send(OfKServe("response", "r1", "2023-11-14T22:13:19.104Z"), kV2Response).ok());
  ASSERT_TRUE(Send(OfKServe("response", "r2", "2023-11-14T22:13:19.104Z"), kV2Response).ok());
  Run();
  EXPECT_EQ(Seen(), "iris:4 OK unknown 4000us id=r1 predicted=7 1.5 2");
  ASSERT_TRUE(Send(OfKServe("request", "r2", "2023-11-14T22:13:19.104Z"), kV2Request).ok());
  Run();
  EXPECT_EQ(sink_.texts().back(), "iris:4 OK unknown id=r2 predicted=7 1.5 2")
      << "times that are the same say nothing";
  EXPECT_EQ(Metric("joined_total"), 2);
  EXPECT_EQ(Metric("received_total", "request"), 2);
  EXPECT_EQ(Metric("waiting"), 0);
}

TEST_F(CloudEventIntakeTest, WhatStaysAloneIsGivenOnAndCounted) {
  ASSERT_TRUE(Send(OfKServe("request", "r1", ""), R"({"instances": [[1, 2]]})").ok());
  ASSERT_TRUE(Send(OfKServe("response", "r2", ""), R"({"predictions": [[0.25, 0.75]]})").ok());
  Run();
  EXPECT_EQ(Seen(), "");
  EXPECT_EQ(Metric("waiting"), 2);
  clock_.Advance(60s);
  Run();
  EXPECT_EQ(Seen(),
            "iris:0 unknown unknown id=r1 1 2\niris:0 OK unknown id=r2 predicted=1 score=0.75");
  EXPECT_EQ(Metric("unmatched_total", "request"), 1);
  EXPECT_EQ(Metric("unmatched_total", "response"), 1);
}

TEST_F(CloudEventIntakeTest, TheOldestMakesRoom) {
  intake_ = nullptr;
  intake_ = Make({.max_waiting = 2});
  for (const char* id : {"r1", "r2", "r3"})
    ASSERT_TRUE(Send(OfKServe("request", id, ""), R"({"instances": [[1]]})").ok());
  Run();
  EXPECT_EQ(Seen(), "iris:0 unknown unknown id=r1 1");
  EXPECT_EQ(Metric("waiting"), 2);
}

TEST_F(CloudEventIntakeTest, AFullQueueRefusesAndCounts) {
  intake_ = nullptr;
  intake_ = Make({.max_queue_bytes = 4000});
  const std::string body(2000, ' ');
  EXPECT_TRUE(Send(OfKServe("request", "r1", ""), body).ok());
  EXPECT_EQ(Send(OfKServe("request", "r2", ""), body).code(), StatusCode::kUnavailable);
  EXPECT_EQ(Metric("dropped_total"), 1);
  Run();
  EXPECT_TRUE(Send(OfKServe("request", "r2", ""), body).ok());
}

TEST_F(CloudEventIntakeTest, StructuredEventsAndBatches) {
  Headers structured{{"content-type", "application/cloudevents+json; charset=utf-8"}};
  ASSERT_TRUE(
      Send(structured,
           R"({"specversion": "1.0", "type": "org.kubeflow.serving.inference.request", "id": "r1",
      "source": "s", "inferenceservicename": "iris", "data": {"instances": [[1, 2]]}})")
          .ok());
  Headers batch{{"content-type", "application/cloudevents-batch+json"}};
  ASSERT_TRUE(Send(batch, R"([{"type": "org.kubeflow.serving.inference.response", "id": "r1",
      "inferenceservicename": "iris", "data_base64": "eyJwcmVkaWN0aW9ucyI6IFszXX0="}, 7, {"id": "x"},
      {"type": "other", "id": "x"}])")
                  .ok());
  ASSERT_TRUE(Send(structured, "nonsense").ok()) << "found out later";
  Run();
  EXPECT_EQ(Seen(), "iris:0 OK unknown id=r1 predicted=3 1 2");
  EXPECT_EQ(Metric("undecodable_total", "event"), 3);
  EXPECT_EQ(Metric("received_total", "other"), 1);
}

TEST_F(CloudEventIntakeTest, SeldonsCallsJoinByTheirRequestIdAndFeedbackBringsLabels) {
  auto of = [](const char* type, const char* id) {
    return Headers{{"ce-type", std::string("io.seldon.serving.") + type},
                   {"ce-id", id},
                   {"ce-requestid", "puid-1"},
                   {"ce-inferenceservicename", "credit"},
                   {"content-type", "application/json"}};
  };
  ASSERT_TRUE(
      Send(of("inference.request", "a"), R"({"data": {"names": ["age"], "ndarray": [[31]]}})")
          .ok());
  ASSERT_TRUE(Send(of("inference.response", "b"),
                   R"({"data": {"names": ["p0", "p1"], "ndarray": [[0.25, 0.75]]}})")
                  .ok());
  ASSERT_TRUE(
      Send(of("feedback", "c"), R"({"reward": 1, "truth": {"data": {"ndarray": [1]}}})").ok());
  ASSERT_TRUE(Send(of("feedback", "d"), R"({"reward": 0.5})").ok());
  Run();
  EXPECT_EQ(Seen(), "credit:0 OK unknown id=puid-1 predicted=1 score=0.75 31");
  ASSERT_EQ(labels_.size(), 1u);
  EXPECT_EQ(labels_[0].request_id, "puid-1");
  EXPECT_EQ(labels_[0].label, "1");
}

TEST_F(CloudEventIntakeTest, ALabelThatFindsNoRoomWaits) {
  label_refusals_ = 3;
  const Headers feedback = {{"ce-specversion", "1.0"},
                            {"ce-type", "io.seldon.serving.feedback"},
                            {"ce-id", "c"},
                            {"ce-source", "x"},
                            {"ce-requestid", "puid-1"},
                            {"ce-inferenceservicename", "credit"},
                            {"content-type", "application/json"}};
  ASSERT_TRUE(Send(feedback, R"({"truth": {"data": {"ndarray": [1]}}})").ok());
  Run();
  EXPECT_EQ(labels_.size(), 1u);
  EXPECT_EQ(Metric("labels_lost_total"), 0);
}

TEST_F(CloudEventIntakeTest, ErrorsNameTheHeader) {
  Status status = Send({{"content-type", "application/json"}}, "{}");
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message().substr(0, 29), "the header ce-type is missing");
  EXPECT_EQ(Send({{"ce-type", "x"}}, "").message().substr(0, 27), "the header ce-id is missing");
}

TEST_F(CloudEventIntakeTest, BodiesThatCannotBeReadLeaveTheCallWithoutThem) {
  ASSERT_TRUE(Send(OfKServe("request", "r1", ""), "\x01\x02 no tensor").ok());
  ASSERT_TRUE(Send(OfKServe("response", "r1", ""), "").ok());
  Run();
  EXPECT_EQ(Seen(), "iris:0 OK unknown id=r1");
  EXPECT_EQ(Metric("undecodable_total", "body"), 1);
  EXPECT_EQ(Metric("undecodable_total", "empty"), 1);
}

TEST_F(CloudEventIntakeTest, AnAnswerInJsonIsReadWhateverItsTypeSays) {
  Headers request = OfKServe("request", "r1", "");
  Headers response = OfKServe("response", "r1", "");
  request["content-type"] = response["content-type"] = "text/csv";
  ASSERT_TRUE(Send(request, "1,2\n").ok());
  ASSERT_TRUE(Send(response, R"({"predictions": ["a"]})").ok());
  Run();
  EXPECT_EQ(Seen(), "iris:0 OK unknown id=r1 predicted=a 1 2");
}

TEST_F(CloudEventIntakeTest, TheEndGivesOnWhatWaits) {
  intake_->Start();
  ASSERT_TRUE(Send(OfKServe("request", "r1", ""), R"({"instances": [[1]]})").ok());
  intake_->Stop();
  EXPECT_EQ(Seen(), "iris:0 unknown unknown id=r1 1");
}

}  // namespace
}  // namespace leadsman::intake
