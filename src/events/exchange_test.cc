#include "events/exchange.h"

#include <gtest/gtest.h>

namespace leadsman {
namespace {

using State = HttpBody::State;

class ExchangeCopyTest : public ::testing::Test {
 protected:
  std::shared_ptr<ByteBudget> budget_ = std::make_shared<ByteBudget>(20);
  ExchangeCopy copy_{3, 10, budget_};
};

TEST_F(ExchangeCopyTest, KeepsTheBodiesAsTheyComeAndTheirEvent) {
  copy_.Begin(copy_.request, "application/json", "gzip", "7", 8);
  copy_.Append(copy_.request, "abcd");
  copy_.Append(copy_.request, "");
  copy_.Append(copy_.request, "efgh");
  EXPECT_EQ(copy_.request.body, "abcdefgh");
  EXPECT_EQ(copy_.request.state, State::kWhole);
  EXPECT_EQ(copy_.request.content_encoding, "gzip");
  EXPECT_EQ(copy_.request.json_bytes, 7u);
  EXPECT_EQ(copy_.response.state, State::kAbsent);
  {
    std::string model = "digits", id = "r-7";
    PredictionEvent event;
    event.model = model;
    event.request_id = id;
    event.version = 2;
    copy_.SetEvent(event);
    model = id = "gone";
  }
  EXPECT_EQ(copy_.event().model, "digits");
  EXPECT_EQ(copy_.event().request_id, "r-7");
  EXPECT_EQ(copy_.event().version, 2);
  EXPECT_EQ(copy_.source(), 3u);
}

TEST_F(ExchangeCopyTest, ABodyThatIsTooLongIsLetGoAtOnce) {
  copy_.Append(copy_.request, "0123456789");
  EXPECT_EQ(budget_->held(), 10u);
  copy_.Append(copy_.request, "x");
  copy_.Append(copy_.request, "y");
  EXPECT_EQ(copy_.request.state, State::kTooLong);
  EXPECT_EQ(copy_.request.body, "");
  EXPECT_EQ(budget_->held(), 0u);
  copy_.Begin(copy_.response, "", "", "", 11);  // says so before
  copy_.Append(copy_.response, "0");
  EXPECT_EQ(copy_.response.state, State::kTooLong);
  EXPECT_EQ(budget_->held(), 0u);
}

TEST_F(ExchangeCopyTest, AllBodiesShareOneBudgetAndGiveItBack) {
  {
    ExchangeCopy other(0, 10, budget_);
    other.Append(other.request, "0123456789");
    copy_.Append(copy_.request, "01234567");
    copy_.Append(copy_.response, "012");
    EXPECT_EQ(copy_.response.state, State::kNoMemory);
    EXPECT_EQ(copy_.request.state, State::kWhole) << "its bytes were there already";
    EXPECT_EQ(budget_->held(), 18u);
  }
  EXPECT_EQ(budget_->held(), 8u);
}

TEST_F(ExchangeCopyTest, WhatHoldsNoPredictionIsNotKept) {
  for (const char* type : {"image/png", "Multipart/form-data; boundary=x", "text/html",
                           "text/event-stream", "application/grpc+proto"}) {
    ExchangeCopy copy(0, 10, budget_);
    copy.Begin(copy.request, type, "", "", 3);
    copy.Append(copy.request, "abc");
    EXPECT_EQ(copy.request.state, State::kOtherType) << type;
    EXPECT_EQ(copy.request.body, "");
  }
  // curl's own, for JSON too.
  copy_.Begin(copy_.request, "application/x-www-form-urlencoded", "", "", 3);
  copy_.Append(copy_.request, "abc");
  EXPECT_EQ(copy_.request.state, State::kWhole);
}

TEST_F(ExchangeCopyTest, WhoWantsAllGetsImagesToo) {
  ExchangeCopy copy(0, 10, budget_, ExchangeCopy::Keep::kAll);
  copy.Begin(copy.request, "image/png", "", "", 3);
  copy.Append(copy.request, "abc");
  EXPECT_EQ(copy.request.body, "abc");
}

TEST_F(ExchangeCopyTest, ABodyThatIsForgottenGivesItsRoomBack) {
  copy_.Append(copy_.request, "0123456789");
  copy_.Append(copy_.response, "abc");
  copy_.Forget(copy_.request);
  EXPECT_EQ(copy_.request.state, State::kAbsent);
  EXPECT_EQ(budget_->held(), 3u);
  EXPECT_EQ(copy_.response.body, "abc");
}

TEST_F(ExchangeCopyTest, ALengthThatIsNoneIsNoJson) {
  copy_.Begin(copy_.request, "", "", "-1", 0);
  EXPECT_EQ(copy_.request.json_bytes, 0u);
}

TEST_F(ExchangeCopyTest, OfCallsThoseThatArePredictionsAreKept) {
  constexpr const char* kGrpc = "application/grpc+proto";
  copy_.Begin(copy_.request, kGrpc, "gzip", "", 0, GrpcMethod::kPredict);
  copy_.Append(copy_.request, "abc");
  EXPECT_EQ(copy_.request.body, "abc");
  EXPECT_EQ(copy_.request.call, GrpcMethod::kPredict);
  copy_.Begin(copy_.response, kGrpc, "", "", 0);
  copy_.Append(copy_.response, "abc");
  EXPECT_EQ(copy_.response.state, State::kOtherType);
}

TEST(GrpcMethodTest, IsToldByThePathAlone) {
  EXPECT_EQ(GrpcMethodOf("/inference.GRPCInferenceService/ModelInfer"), GrpcMethod::kModelInfer);
  EXPECT_EQ(GrpcMethodOf("/tensorflow.serving.PredictionService/Predict"), GrpcMethod::kPredict);
  EXPECT_EQ(GrpcMethodOf("/tensorflow.serving.PredictionService/Classify"), GrpcMethod::kClassify);
  EXPECT_EQ(GrpcMethodOf("/tensorflow.serving.PredictionService/Regress"), GrpcMethod::kRegress);
  for (const char* other :
       {"", "/", "/inference.GRPCInferenceService/ModelStreamInfer",
        "/inference.GRPCInferenceService/ModelInfer/", "/tensorflow.serving.PredictionService/",
        "/tensorflow.serving.PredictionService/MultiInference",
        "/v1/tensorflow.serving.PredictionService/Predict"})
    EXPECT_EQ(GrpcMethodOf(other), GrpcMethod::kNone) << other;
}

}  // namespace
}  // namespace leadsman
