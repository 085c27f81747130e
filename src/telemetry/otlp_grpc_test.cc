#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <thread>

#include "base/base64.h"
#include "base/mutex.h"
#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "base/wire.h"
#include "net/http2_server.h"
#include "net/http_server.h"
#include "net/testing/certificates.h"
#include "support/eventually.h"
#include "telemetry/batch_sender.h"
#include "telemetry/grpc_client.h"
#include "telemetry/otlp_answer.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;
using Field = net::Http2Stream::Field;

constexpr const char* kMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

std::string Prefixed(std::string_view message) {
  std::string framed(4, '\0');
  framed += static_cast<char>(message.size());  // of short ones
  framed += message;
  return framed;
}

std::string PartialSuccess(uint64_t rejected, std::string_view words) {
  std::string response;
  WireWriter(response).Message(1, [&](WireWriter& partial) {
    partial.NumberOrNothing(1, rejected);
    partial.Text(2, words);
  });
  return response;
}

/// A google.rpc.Status that asks to come again in so many seconds.
std::string RetryIn(uint64_t seconds) {
  std::string info, status;
  WireWriter(info).Message(1, [&](WireWriter& delay) { delay.Number(1, seconds); });
  WireWriter out(status);
  out.Number(1, 8);
  out.Message(3, [&](WireWriter& any) {
    any.Bytes(1, "type.googleapis.com/google.rpc.RetryInfo");
    any.Bytes(2, info);
  });
  return status;
}

/// A collector by gRPC that answers as it is told to.
class Collector final : public net::Http2Handler {
 public:
  explicit Collector(std::shared_ptr<net::ServerCertificates> certificates = nullptr) {
    net::Http2ServerOptions options;
    options.certificates = std::move(certificates);
    auto server = net::Http2Server::Start(options, *this);
    CHECK(server.ok());
    server_ = std::move(server).value();
  }
  std::string url(const char* scheme = "http") const {
    return StrCat(scheme, "://127.0.0.1:", server_->port());
  }
  size_t asked() {
    MutexLock lock(mutex_);
    return bodies_.size();
  }
  std::vector<std::string> bodies() {
    MutexLock lock(mutex_);
    return bodies_;
  }
  std::string header(const std::string& name) {
    MutexLock lock(mutex_);
    return headers_[name];
  }

  std::atomic<int> code{0};
  std::atomic<int> http{200};  ///< another: without a word of gRPC
  std::atomic<bool> silent{false};
  std::atomic<bool> cuts_off{false};    ///< ends calls before it has read their bodies
  std::atomic<int> cut_off{0};          ///< calls
  std::string words, details, message;  ///< set before it is asked

 private:
  void OnHead(net::Http2Stream& stream) override {
    if (!cuts_off) return;
    ++cut_off;
    stream.Reset(kEnhanceYourCalm);
  }
  void OnBody(net::Http2Stream& stream) override {
    if (!stream.half_closed() || cuts_off) return;
    {
      MutexLock lock(mutex_);
      bodies_.emplace_back(stream.body());
      for (const Field& field : stream.fields())
        headers_[std::string(field.name)] = std::string(field.value);
      headers_[":path"] = std::string(stream.path());
    }
    if (silent) return;
    const std::string status = std::to_string(http), told = std::to_string(code);
    if (http != 200) {
      const Field head[] = {{":status", status}};
      return stream.SendTrailers(head);
    }
    std::string bin;
    AppendBase64(bin, details);
    const Field head[] = {{":status", "200"}, {"content-type", "application/grpc"}};
    const Field end[] = {
        {"grpc-status", told}, {"grpc-message", words}, {"grpc-status-details-bin", bin}};
    if (code == 0) {
      stream.SendHead(head);
      stream.SendBody(Prefixed(message));
      return stream.SendTrailers(end);
    }
    // As servers do that have nothing but an error to say.
    std::vector<Field> all(std::begin(head), std::end(head));
    all.insert(all.end(), std::begin(end), std::end(end));
    stream.SendTrailers(all);
  }
  void OnClose(net::Http2Stream&, bool) override {}
  void OnAlarm(net::Http2Stream&) override {}
  void OnRefuse(net::Http2Stream&, const Status&) override {}

  static constexpr uint32_t kEnhanceYourCalm = 0xb;

  Mutex mutex_;
  std::vector<std::string> bodies_ GUARDED_BY(mutex_);
  std::map<std::string, std::string> headers_ GUARDED_BY(mutex_);
  std::unique_ptr<net::Http2Server> server_;
};

class GrpcClientTest : public ::testing::Test {
 protected:
  GrpcClient::Answer Ask(GrpcClient::Options options, std::string_view message = "hello",
                         std::chrono::milliseconds most = 10s) {
    auto client = GrpcClient::Create(std::move(options));
    CHECK(client.ok());
    return (*client)->Call({most, cancelled_, false}, kMethod, message);
  }
  std::atomic<bool> cancelled_{false};
};

TEST_F(GrpcClientTest, CallsAMethodAndReadsItsAnswer) {
  Collector collector;
  collector.message = "taken";
  TempDir dir;
  const std::string headers = dir.file("headers");
  std::ofstream(headers) << "authorization: Bearer one\n";
  const GrpcClient::Answer answer = Ask({collector.url(), headers, ""});
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_EQ(answer.message, "taken");
  EXPECT_EQ(collector.bodies(), std::vector<std::string>{Prefixed("hello")});
  EXPECT_EQ(collector.header(":path"), kMethod);
  EXPECT_EQ(collector.header("content-type"), "application/grpc");
  EXPECT_EQ(collector.header("te"), "trailers");
  EXPECT_EQ(collector.header("grpc-timeout"), "10000m");
  EXPECT_EQ(collector.header("authorization"), "Bearer one");
}

TEST_F(GrpcClientTest, ALargeMessageArrivesWhole) {
  Collector collector;
  const std::string large(3 << 20, 'x');
  const GrpcClient::Answer answer = Ask({collector.url(), "", ""}, large);
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  ASSERT_EQ(collector.asked(), 1u);
  EXPECT_EQ(collector.bodies()[0].substr(0, 5), std::string("\0\0\x30\0\0", 5));
  EXPECT_EQ(collector.bodies()[0].substr(5), large);
}

TEST_F(GrpcClientTest, AnErrorHasThePeersCodeAndWords) {
  Collector collector;
  collector.code = 8;
  collector.words = "too%20much: 50%25";
  collector.details = RetryIn(7);
  const GrpcClient::Answer answer = Ask({collector.url(), "", ""});
  EXPECT_EQ(answer.status.code(), StatusCode::kResourceExhausted);
  EXPECT_NE(answer.status.message().find("answers RESOURCE_EXHAUSTED: too much: 50%"),
            std::string_view::npos)
      << answer.status;
  EXPECT_TRUE(answer.answered);
  EXPECT_EQ(ReadRetryDelay(answer.details), Duration(7s));
}

TEST_F(GrpcClientTest, WhatDoesNotSpeakGrpcIsToldSo) {
  Collector proxy;
  proxy.http = 503;
  EXPECT_EQ(Ask({proxy.url(), "", ""}).status.code(), StatusCode::kUnavailable);
  proxy.http = 404;
  EXPECT_EQ(Ask({proxy.url(), "", ""}).status.code(), StatusCode::kUnimplemented);
  net::HttpServerOptions options;
  options.address = "127.0.0.1";
  options.port = 0;
  auto http1 = net::HttpServer::Start(options, [](net::HttpExchange&) {});
  ASSERT_TRUE(http1.ok());
  const GrpcClient::Answer answer = Ask({StrCat("http://127.0.0.1:", (*http1)->port()), "", ""});
  EXPECT_FALSE(answer.status.ok());
  EXPECT_FALSE(answer.answered) << answer.status;
  EXPECT_EQ(Ask({"http://127.0.0.1:9", "", ""}).status.code(), StatusCode::kUnavailable);
}

TEST_F(GrpcClientTest, ThePeerThatHangsIsGivenUpInTimeAndAtOnceWhenCancelled) {
  Collector collector;
  collector.silent = true;
  EXPECT_EQ(Ask({collector.url(), "", ""}, "x", 50ms).status.code(), StatusCode::kDeadlineExceeded);
  std::thread cancel([&] {
    Eventually([&] { return collector.asked() == 2; });
    cancelled_ = true;
  });
  EXPECT_EQ(Ask({collector.url(), "", ""}, "x", 1h).status.code(), StatusCode::kCancelled);
  cancel.join();
}

TEST_F(GrpcClientTest, SpeaksTlsToWhomItTrusts) {
  TempDir dir;
  auto write = [&](const char* name, const std::string& text) {
    std::ofstream(dir.file(name)) << text;
    return dir.file(name);
  };
  const net::TestAuthority authority, stranger("Another authority");
  const net::TestCertificate issued = authority.Issue();
  net::TlsServerOptions tls;
  tls.cert_file = write("cert", issued.certificate);
  tls.key_file = write("key", issued.key);
  auto certificates = net::ServerCertificates::Create(tls, SystemClock());
  ASSERT_TRUE(certificates.ok()) << certificates.status();
  Collector collector(*certificates);
  collector.message = "taken";
  const GrpcClient::Answer answer = Ask({collector.url("https"), "", write("ca", authority.pem())});
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_EQ(answer.message, "taken");
  const GrpcClient::Answer distrusted =
      Ask({collector.url("https"), "", write("other", stranger.pem())});
  EXPECT_EQ(distrusted.status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(distrusted.status.message().find("ca_file"), std::string_view::npos)
      << distrusted.status;
  EXPECT_EQ(collector.asked(), 1u);
}

class GrpcBatchTest : public ::testing::Test {
 protected:
  void Start() {
    BatchSender::Options options;
    options.url = collector_.url();
    options.grpc_method = kMethod;
    options.otlp = true;
    options.max_bodies = 10'000;
    auto made = BatchSender::Create(clock_, options);
    ASSERT_TRUE(made.ok()) << made.status();
    sender_ = std::move(made).value();
  }
  BatchSender::Counters counters() { return sender_->counters(); }

  FakeClock clock_;
  Collector collector_;
  std::unique_ptr<BatchSender> sender_;
};

TEST_F(GrpcBatchTest, TriesAgainWhatTheSpecificationHasTriedAgain) {
  collector_.code = 14;
  Start();
  sender_->Send("one", 3);
  ASSERT_TRUE(Eventually([&] { return counters().failed == 1; }));
  EXPECT_EQ(counters().items_refused, 0u);
  collector_.code = 0;
  ASSERT_TRUE(Eventually([&] {
    clock_.Advance(1s);
    sender_->Send("", 0);  // wakes it
    return counters().items_sent == 3;
  }));
}

TEST_F(GrpcBatchTest, GivesUpWhatIsRefused) {
  collector_.code = 3;
  Start();
  sender_->Send("one", 3);
  ASSERT_TRUE(Eventually([&] { return counters().items_refused == 3; }));
  EXPECT_EQ(collector_.asked(), 1u);
}

/// As a peer does with a body that is too large for it; the one behind it must not wait for good.
TEST_F(GrpcBatchTest, GivesUpWhatIsCutOffAgainAndAgain) {
  collector_.cuts_off = true;
  Start();
  sender_->Send(std::string(100'000, 'x'), 3);
  ASSERT_TRUE(Eventually([&] { return counters().failed == 1; }));
  EXPECT_EQ(counters().items_refused, 0u) << "once may be by chance";
  ASSERT_TRUE(Eventually([&] {
    clock_.Advance(30s);
    sender_->Send("", 0);  // wakes it
    return counters().items_refused == 3;
  }));
  EXPECT_GE(collector_.cut_off, 5) << "and then those that only wake it";
  collector_.cuts_off = false;
  sender_->Send("two", 4);
  ASSERT_TRUE(Eventually([&] {
    clock_.Advance(30s);
    sender_->Send("", 0);
    return counters().items_sent == 4;
  }));
}

/// What was cut off less often is sent once the peer takes it.
TEST_F(GrpcBatchTest, WhatIsCutOffNowAndThenIsTriedAgain) {
  collector_.cuts_off = true;
  Start();
  sender_->Send("one", 3);
  ASSERT_TRUE(Eventually([&] {
    clock_.Advance(30s);
    sender_->Send("", 0);
    return collector_.cut_off >= 3;
  }));
  collector_.cuts_off = false;
  ASSERT_TRUE(Eventually([&] {
    clock_.Advance(30s);
    sender_->Send("", 0);
    return counters().items_sent == 3;
  }));
  EXPECT_EQ(counters().items_refused, 0u);
}

TEST_F(GrpcBatchTest, ComesBackNoSoonerThanThePeerAsks) {
  collector_.code = 8;
  collector_.details = RetryIn(60);
  Start();
  sender_->Send("one", 3);
  ASSERT_TRUE(Eventually([&] { return counters().failed == 1; }));
  collector_.code = 0;
  for (int i = 0; i < 50; ++i) {  // of which the usual pause would be the first
    clock_.Advance(1s);
    sender_->Send("", 0);
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(collector_.asked(), 1u);
  ASSERT_TRUE(Eventually([&] {
    clock_.Advance(1s);
    sender_->Send("", 0);
    return counters().items_sent == 3;
  }));
}

TEST_F(GrpcBatchTest, WhatIsTakenInPartIsCounted) {
  collector_.message = PartialSuccess(2, "no name");
  Start();
  sender_->Send("one", 3);
  ASSERT_TRUE(Eventually([&] { return counters().items_sent == 3; }));
  EXPECT_EQ(counters().rejected, 2u);
}

TEST(OtlpAnswerTest, PartialSuccessIsReadAndNothingElseTakenForIt) {
  EXPECT_EQ(ReadOtlpPartialSuccess(PartialSuccess(7, "why"))->rejected, 7u);
  EXPECT_EQ(ReadOtlpPartialSuccess(PartialSuccess(0, "careful"))->words, "careful");
  EXPECT_FALSE(ReadOtlpPartialSuccess(""));
  EXPECT_FALSE(ReadOtlpPartialSuccess(PartialSuccess(0, "")));
  EXPECT_FALSE(ReadOtlpPartialSuccess(R"({"partialSuccess":{}})"));
  EXPECT_FALSE(ReadOtlpPartialSuccess(std::string("\x0a\x7f\x01", 3)));
}

TEST(OtlpAnswerTest, TheSpecificationsCodesAreTriedAgain) {
  std::string retried;
  for (int code = 1; code < kStatusCodeCount; ++code)
    if (IsRetryableOtlp(static_cast<StatusCode>(code), false)) retried += StrCat(code, " ");
  EXPECT_EQ(retried, "1 4 10 11 14 15 ");
  EXPECT_TRUE(IsRetryableOtlp(StatusCode::kResourceExhausted, true));
}

TEST(OtlpAnswerTest, ADelayIsBounded) {
  EXPECT_EQ(ReadRetryDelay(RetryIn(1)), Duration(1s));
  EXPECT_EQ(ReadRetryDelay(RetryIn(1'000'000)), Duration(5min));
  EXPECT_FALSE(ReadRetryDelay(""));
  EXPECT_FALSE(ReadRetryDelay("junk"));
}

}  // namespace
}  // namespace leadsman
