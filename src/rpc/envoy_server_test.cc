#include "rpc/envoy_server.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "intake/testing/recording_sink.h"
#include "rpc/testing/grpc_client.h"
#include "rpc/testing/proto_text.h"
#include "stats/registry.h"

namespace leadsman::rpc {
namespace {

using namespace std::chrono_literals;

constexpr const char* kAccessLog = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs";
constexpr const char* kExtProc = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";

constexpr const char* kRequestHeaders =
    "request_headers {headers {"
    "headers {key: ':method' raw_value: 'POST'} headers {key: ':path' raw_value: '/predict'}}}";

class EnvoyServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
#ifdef LEADSMAN_THREAD_SANITIZED
    GTEST_SKIP() << "Debian's grpc++, the client here, is not built with ThreadSanitizer";
#endif
    Start({});
  }
  void Start(intake::EnvoyOptions options) {
    client_.reset();
    server_.reset();
    intake_.reset();
    registry_ = std::make_unique<Registry>();
    options.port = 0;
    intake_ = std::make_unique<intake::EnvoyIntake>(
        intake::EnvoyIntake::Deps{SystemClock(), sink_, *registry_}, options);
    server_ = EnvoyServer::Start(*intake_, SystemClock()).value();
    client_ = std::make_unique<GrpcClient>(server_->port());
  }
  static std::string Asks(const std::string& text) {
    return FromText("envoy.service.ext_proc.v3.ProcessingRequest", text);
  }
  static std::string Answer(GrpcClient::Stream& stream) {
    std::string message;
    if (!stream.Read(message)) return "(end)";
    return ToText("envoy.service.ext_proc.v3.ProcessingResponse", message);
  }
  template <typename Condition>
  bool Await(Condition condition) {
    for (int i = 0; i < 2000 && !condition(); ++i) std::this_thread::sleep_for(5ms);
    return condition();
  }

  intake::EventTexts sink_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<intake::EnvoyIntake> intake_;
  std::unique_ptr<EnvoyServer> server_;
  std::unique_ptr<GrpcClient> client_;
};

TEST_F(EnvoyServerTest, TakesTheAccessLog) {
  auto stream = client_->Open(kAccessLog);
  const std::string entry =
      "log_entry {common_properties {time_to_last_downstream_tx_byte {nanos: 2500000} "
      "stream_id: 'r1'} request {request_method: POST path: '/v2/models/iris/versions/2/infer'} "
      "response {response_code {value: 200}}}";
  const std::string type = "envoy.service.accesslog.v3.StreamAccessLogsMessage";
  ASSERT_TRUE(stream->Write(FromText(type, "http_logs {" + entry + entry + "}")));
  ASSERT_TRUE(stream->Write(FromText(type, "tcp_logs {log_entry {}}")));
  ASSERT_TRUE(stream->Write(FromText(
      type, "http_logs {log_entry {common_properties {access_log_type: DownstreamStart}}}")));
  stream->WritesDone();
  std::string message = "?";
  EXPECT_TRUE(stream->Read(message));
  EXPECT_EQ(message, "");
  EXPECT_EQ(stream->Finish(), OkStatus());
  EXPECT_EQ(sink_.texts(), (std::vector<std::string>(2, "iris:2 OK v2_rest 2500us id=r1")));
  EXPECT_EQ(intake_->counters().tcp_entries, 1u);
  EXPECT_EQ(intake_->counters().early_entries, 1u);
  EXPECT_TRUE(Await([&] { return intake_->counters().access_log.streams == 0; }));
}

TEST_F(EnvoyServerTest, LetsEveryMessagePassOutsideObservabilityMode) {
  auto stream = client_->Open(kExtProc);
  const std::vector<std::pair<std::string, std::string>> talk = {
      {kRequestHeaders, "request_headers { }"},
      {"request_body {body: '{\"features\": [1, 2]}' end_of_stream: true}", "request_body { }"},
      {"request_trailers {}", "request_trailers { }"},
      {"response_headers {headers {headers {key: ':status' raw_value: '200'}}}",
       "response_headers { }"},
      {"response_body {body: '{\"prediction\"'}", "response_body { }"},
      {"response_body {body: ': \"cat\"}'}", "response_body { }"},
      {"response_trailers {}", "response_trailers { }"},
  };
  for (const auto& [asked, answered] : talk) {
    ASSERT_TRUE(stream->Write(Asks(asked)));
    EXPECT_EQ(Answer(*stream), answered) << asked;
  }
  stream->WritesDone();
  EXPECT_EQ(Answer(*stream), "(end)");
  EXPECT_EQ(stream->Finish(), OkStatus());
  ASSERT_EQ(sink_.count(), 1u);
  EXPECT_TRUE(sink_.texts()[0].ends_with(" predicted=cat 1 2")) << sink_.texts()[0];
}

TEST_F(EnvoyServerTest, SendsBodiesBackWhereTheyWouldElseBeLost) {
  auto stream = client_->Open(kExtProc);
  ASSERT_TRUE(stream->Write(Asks(std::string(kRequestHeaders) +
                                 " protocol_config {request_body_mode: FULL_DUPLEX_STREAMED}")));
  EXPECT_EQ(Answer(*stream), "request_headers { }");
  ASSERT_TRUE(stream->Write(Asks("request_body {body: 'abc' end_of_stream: true}")));
  EXPECT_EQ(Answer(*stream),
            "request_body { response { body_mutation { streamed_response { body: \"abc\" "
            "end_of_stream: true } } } }");
  stream->WritesDone();
  EXPECT_EQ(stream->Finish(), OkStatus());
}

TEST_F(EnvoyServerTest, SendsAHalfCloseOfGrpcBackAsOne) {
  auto stream = client_->Open(kExtProc);
  ASSERT_TRUE(stream->Write(
      Asks(std::string(kRequestHeaders) + " protocol_config {request_body_mode: GRPC}")));
  EXPECT_EQ(Answer(*stream), "request_headers { }");
  ASSERT_TRUE(stream->Write(Asks("request_body {body: 'abc' grpc_message_compressed: true}")));
  EXPECT_EQ(Answer(*stream),
            "request_body { response { body_mutation { streamed_response { body: \"abc\" "
            "grpc_message_compressed: true } } } }");
  ASSERT_TRUE(stream->Write(
      Asks("request_body {end_of_stream: true end_of_stream_without_message: true}")));
  EXPECT_EQ(Answer(*stream),
            "request_body { response { body_mutation { streamed_response { end_of_stream: true "
            "end_of_stream_without_message: true } } } }");
  stream->WritesDone();
  EXPECT_EQ(stream->Finish(), OkStatus());
}

TEST_F(EnvoyServerTest, InObservabilityModeAnswersNothingAndEndsWithTheAnswer) {
  auto stream = client_->Open(kExtProc);
  for (const std::string& asked :
       {std::string(kRequestHeaders),
        std::string("response_headers {headers {headers {key: ':status' raw_value: '503'}} "
                    "end_of_stream: true}")})
    ASSERT_TRUE(stream->Write(Asks(asked + " observability_mode: true")));
  EXPECT_EQ(Answer(*stream), "(end)");
  EXPECT_EQ(stream->Finish(), OkStatus());
  ASSERT_EQ(sink_.count(), 1u);
  EXPECT_TRUE(sink_.texts()[0].starts_with("default:0 UNAVAILABLE plain ")) << sink_.texts()[0];
}

TEST_F(EnvoyServerTest, OneExchangeTooManyPassesAllTheSame) {
  intake::EnvoyOptions options;
  options.max_exchanges = 1;
  Start(options);
  auto first = client_->Open(kExtProc);
  ASSERT_TRUE(first->Write(Asks(kRequestHeaders)));
  EXPECT_EQ(Answer(*first), "request_headers { }");
  auto second = client_->Open(kExtProc);
  ASSERT_TRUE(second->Write(Asks(kRequestHeaders)));
  EXPECT_EQ(Answer(*second), "request_headers { }");
  second->WritesDone();
  EXPECT_EQ(second->Finish(), OkStatus());
  EXPECT_EQ(intake_->counters().left_out, 1u);
  first->Cancel();
  EXPECT_TRUE(Await([&] { return intake_->counters().client_gone == 1; }));
}

TEST_F(EnvoyServerTest, WhatLastsTooLongCountsWithWhatIsKnown) {
  intake::EnvoyOptions options;
  options.exchange_timeout = 100ms;
  Start(options);
  auto stream = client_->Open(kExtProc);
  ASSERT_TRUE(stream->Write(Asks(kRequestHeaders)));
  EXPECT_EQ(Answer(*stream), "request_headers { }");
  EXPECT_EQ(Answer(*stream), "(end)");
  EXPECT_EQ(stream->Finish(), OkStatus()) << "an error would fail the request";
  EXPECT_EQ(sink_.texts(), std::vector<std::string>{"default:0 unknown plain"});
}

TEST_F(EnvoyServerTest, GarbageEndsAnExchangeInOrder) {
  auto stream = client_->Open(kExtProc);
  ASSERT_TRUE(stream->Write("\xff\xff\xff"));
  EXPECT_EQ(Answer(*stream), "(end)");
  EXPECT_EQ(stream->Finish(), OkStatus());
  EXPECT_EQ(intake_->counters().ext_proc.malformed, 1u);
  auto unknown = client_->Call("/envoy.service.tap.v3.TapSinkService/StreamTaps", "");
  EXPECT_EQ(unknown.status.code(), StatusCode::kUnimplemented);
}

TEST_F(EnvoyServerTest, ADrainEndsWhatIsOpen) {
  auto log = client_->Open(kAccessLog);
  auto exchange = client_->Open(kExtProc);
  ASSERT_TRUE(exchange->Write(Asks(kRequestHeaders)));
  EXPECT_EQ(Answer(*exchange), "request_headers { }");
  ASSERT_TRUE(Await([&] { return intake_->counters().access_log.streams == 1; }));
  server_->BeginDrain(10s);
  EXPECT_TRUE(server_->AwaitDrained(8s));
  EXPECT_EQ(log->Finish().code(), StatusCode::kUnavailable);
  EXPECT_EQ(exchange->Finish(), OkStatus());
  EXPECT_EQ(sink_.texts(), std::vector<std::string>{"default:0 unknown plain"});
}

}  // namespace
}  // namespace leadsman::rpc
