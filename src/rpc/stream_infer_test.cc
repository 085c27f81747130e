#include "rpc/stream_infer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/mutex.h"
#include "rpc/testing/grpc_client.h"
#include "rpc/testing/grpc_fixture.h"
#include "rpc/testing/proto_text.h"

namespace leadsman::rpc {
namespace {

constexpr const char* kStream = "/inference.GRPCInferenceService/ModelStreamInfer";
constexpr int kTogether = 3;

/// Counts who is inside at once.
class Meeting {
 public:
  /// Until `count` are here together; false when they do not come.
  bool Attend(int count) {
    MutexLock lock(mutex_);
    ++here_;
    changed_.NotifyAll();
    for (int i = 0; i < 200 && here_ < count; ++i)
      changed_.WaitFor(mutex_, std::chrono::milliseconds(100));
    return here_ >= count;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int here_ GUARDED_BY(mutex_) = 0;
};

class StreamInferTest : public GrpcServerFixture {
 protected:
  void SetUp() override {
#ifdef LEADSMAN_THREAD_SANITIZED
    GTEST_SKIP() << "as of GrpcServerTest";
#endif
    GrpcServerFixture::SetUp();
    client_ = std::make_unique<GrpcClient>(server_->port());
  }
  void TearDown() override {
    client_.reset();
    GrpcServerFixture::TearDown();
  }
  void AddModels() override {
    // Answers only once three of its calls run at the same time.
    Add("meeting", {{"x", DataType::kFp32, {-1}}}, {{"y", DataType::kFp32, {-1}}}).run =
        [this](int64_t version, std::span<const TensorView> inputs, std::vector<Tensor>& outputs) {
          if (!meeting_.Attend(kTogether)) return InternalError("nobody else came");
          return Echo(version, inputs, outputs);
        };
    ModelConfig& model = world_.AddModel("meeting", {1}, "meeting");
    model.execution = ExecutionMode::kAuto;
    model.instances = kTogether;
  }
  void Configure(GrpcServer::Options& options) override {
    options.max_stream_requests = 4;
    options.http2.max_body_bytes = options.max_expanded_bytes = 256 << 10;
  }

  static void Write(GrpcClient::Stream& stream, const std::string& model, int id) {
    ASSERT_TRUE(stream.Write(FromText(
        "inference.ModelInferRequest",
        StrCat("model_name: '", model, "' id: '", id,
               "' inputs { name: 'x' datatype: 'FP32' shape: 1 contents { fp32_contents: ", id,
               " } }"))));
  }
  /// "1 2 error:3", in the order in which they come, until the stream ends or `count` are there.
  static std::string Answers(GrpcClient::Stream& stream, size_t count = 1000) {
    std::string ids;
    for (std::string message; count > 0 && stream.Read(message); --count) {
      const std::string text = ToText("inference.ModelStreamInferResponse", message);
      const size_t at = text.find(" id: \"");
      ids += StrCat(
          ids.empty() ? "" : " ", text.starts_with("error_message") ? "error:" : "",
          at == std::string::npos ? "?" : text.substr(at + 6, text.find('"', at + 6) - at - 6));
    }
    return ids;
  }
  std::vector<RecordedEvent> AwaitEvents(size_t count) {
    std::vector<RecordedEvent> events;
    world_.Await([&] {
      for (RecordedEvent& event : world_.sink.Take()) events.push_back(std::move(event));
      return events.size() >= count;
    });
    return events;
  }

  Meeting meeting_;
  std::unique_ptr<GrpcClient> client_;
};

TEST_F(StreamInferTest, SeveralRequestsOfOneStreamRunAtOnce) {
  auto stream = client_->Open(kStream);
  for (int id = 1; id <= kTogether; ++id) Write(*stream, "meeting", id);
  stream->WritesDone();
  EXPECT_EQ(Answers(*stream), "1 2 3");
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(StreamInferTest, AnswersKeepTheOrderOfTheRequestsAndErrorsTheirPlace) {
  hold_pool_ = true;
  auto stream = client_->Open(kStream);
  Write(*stream, "pooled", 1);
  Write(*stream, "nope", 2);
  Write(*stream, "of_FP32", 3);
  // Those behind are ready before the first one.
  std::vector<RecordedEvent> events = AwaitEvents(1);
  EXPECT_EQ(events.back().request_id, "3");
  hold_pool_ = false;
  EXPECT_EQ(Answers(*stream, 3), "1 error:2 3");
  Write(*stream, "pooled", 4);
  stream->WritesDone();
  EXPECT_EQ(Answers(*stream), "4");
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(StreamInferTest, WhatIsUnderWayIsBounded) {
  hold_pool_ = true;
  auto stream = client_->Open(kStream);
  for (int id = 1; id <= 9; ++id) Write(*stream, "pooled", id);
  stream->WritesDone();
  world_.Await([&] { return server_->stream_stats().waits == 1; });
  EXPECT_EQ(server_->stream_stats().requests, 4);
  hold_pool_ = false;
  EXPECT_EQ(Answers(*stream), "1 2 3 4 5 6 7 8 9");
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(server_->stream_stats().requests, 0);
}

TEST_F(StreamInferTest, BytesUnderWayAreBoundedToo) {
  hold_pool_ = true;
  auto stream = client_->Open(kStream);
  // Two take more than one message may: the third waits.
  const std::string raw(150'000, '\1');
  for (int id = 1; id <= 3; ++id) {
    ASSERT_TRUE(stream->Write(
        FromText("inference.ModelInferRequest",
                 StrCat("model_name: 'pooled' id: '", id,
                        "' inputs { name: 'x' datatype: 'FP32' shape: 37500 }")) +
        FromText("inference.ModelInferRequest", StrCat("raw_input_contents: '", raw, "'"))));
  }
  stream->WritesDone();
  world_.Await([&] { return server_->stream_stats().waits == 1; });
  EXPECT_EQ(server_->stream_stats().requests, 2);
  hold_pool_ = false;
  EXPECT_EQ(Answers(*stream), "1 2 3");
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(StreamInferTest, AnErrorEndsTheStreamOfAClientThatWantsItSoInItsTurn) {
  hold_pool_ = true;
  auto stream = client_->Open(kStream, {{"triton_grpc_error", "true"}});
  Write(*stream, "pooled", 1);
  Write(*stream, "nope", 2);
  Write(*stream, "of_FP32", 3);
  AwaitEvents(1);
  hold_pool_ = false;
  EXPECT_EQ(Answers(*stream), "1");
  EXPECT_EQ(stream->Finish().code(), StatusCode::kNotFound);
}

TEST_F(StreamInferTest, WhatIsMalformedEndsTheStreamAfterTheAnswersBeforeIt) {
  hold_pool_ = true;
  auto stream = client_->Open(kStream);
  Write(*stream, "pooled", 1);
  ASSERT_TRUE(stream->Write(std::string(300'000, 'x')));  // larger than a message may be
  world_.Await([&] { return server_->stream_stats().requests == 1; });
  hold_pool_ = false;
  EXPECT_EQ(Answers(*stream), "1");
  EXPECT_EQ(stream->Finish().code(), StatusCode::kResourceExhausted);
}

TEST_F(StreamInferTest, ACancelledStreamTakesItsRequestsOutOfTheQueue) {
  hold_pool_ = true;
  auto stream = client_->Open(kStream);
  for (int id = 1; id <= 4; ++id) Write(*stream, "pooled", id);
  world_.Await([&] { return server_->stream_stats().requests == 4; });
  world_.sink.Take();
  stream->Cancel();
  // All but the one that runs.
  std::vector<RecordedEvent> events = AwaitEvents(3);
  ASSERT_EQ(events.size(), 3u);
  for (const RecordedEvent& event : events) EXPECT_EQ(event.outcome, StatusCode::kCancelled);
  hold_pool_ = false;
  world_.Await([&] { return server_->stream_stats().requests == 0; });
}

TEST_F(StreamInferTest, ADrainEndsAStreamInAQuietMoment) {
  hold_pool_ = true;
  auto stream = client_->Open(kStream);
  Write(*stream, "pooled", 1);
  Write(*stream, "pooled", 2);
  world_.Await([&] { return server_->stream_stats().requests == 2; });
  server_->BeginDrain(std::chrono::minutes(10));
  Write(*stream, "pooled", 3);  // it is on the way, and answered as well
  world_.Await([&] { return server_->stream_stats().requests == 3; });
  hold_pool_ = false;
  EXPECT_EQ(Answers(*stream), "1 2 3");
  EXPECT_EQ(stream->Finish().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(server_->AwaitDrained(std::chrono::seconds(20)));
}

TEST_F(StreamInferTest, ADrainEndsAStreamThatHasNoQuietMomentBeforeItIsCut) {
  auto stream = client_->Open(kStream);
  Write(*stream, "pooled", 0);
  EXPECT_EQ(Answers(*stream, 1), "0");
  server_->BeginDrain(std::chrono::seconds(2));
  // Each answered request is followed by the next at once, until there is no answer any more.
  int id = 1;
  for (bool open = true; open; ++id) {
    open = stream->Write(FromText(
        "inference.ModelInferRequest",
        StrCat("model_name: 'of_FP32' id: '", id,
               "' inputs { name: 'x' datatype: 'FP32' shape: 1 contents { fp32_contents: 1 } }")));
    open = open && Answers(*stream, 1) == std::to_string(id);
  }
  EXPECT_GT(id, 2);
  const Status status = stream->Finish();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_NE(status.message().find("another replica"), std::string::npos) << status;
}

}  // namespace
}  // namespace leadsman::rpc
