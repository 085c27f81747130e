// What is kept of predictions over HTTP/2, for who reads them and for mirrors.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "gateway/testing/exchange_list.h"
#include "gateway/testing/h2_fixture.h"
#include "gateway/testing/mirror_fixture.h"
#include "net/http2_server.h"

namespace leadsman::gateway {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using State = HttpBody::State;
using Fields = std::vector<std::pair<std::string_view, std::string_view>>;

constexpr std::string_view kInfer = "/inference.GRPCInferenceService/ModelInfer";

/// A model server: keeps what comes, and answers all alike.
class ModelUpstream final : public net::Http2Handler {
 public:
  explicit ModelUpstream(std::string answer, bool hangs = false)
      : answer_(std::move(answer)), hangs_(hangs) {
    auto server = net::Http2Server::Start({.max_streams = 1000}, *this);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = std::move(server).value();
  }
  std::string endpoint() const { return "127.0.0.1:" + std::to_string(server_->port()); }
  /// Heads and bodies.
  std::vector<std::string> all() const {
    MutexLock lock(mutex_);
    return all_;
  }
  std::atomic<int> opened{0}, reset{0};
  std::atomic<const char*> grpc_status{"0"};

 private:
  void OnHead(net::Http2Stream& s) override {
    ++opened;
    s.patient = true;
  }
  void OnBody(net::Http2Stream& s) override {
    if (!s.half_closed()) return s.ExpectBody(s.body().size() + 1'000'000);
    {
      std::string request = StrCat(s.method(), " ", s.path(), "\n");
      for (const auto& field : s.fields()) request += StrCat(field.name, ": ", field.value, "\n");
      MutexLock lock(mutex_);
      all_.push_back(request + std::string(s.body()));
    }
    if (hangs_) return;
    const std::string_view type = s.Header("content-type");
    const net::Http2Stream::Field head[] = {{":status", "200"}, {"content-type", type}};
    const net::Http2Stream::Field trailers[] = {{"grpc-status", grpc_status.load()}};
    if (std::string_view(grpc_status.load()) == "0") {
      s.SendHead(head);
      s.SendBody(answer_);
      return type.starts_with("application/grpc") ? s.SendTrailers(trailers) : s.SendTrailers({});
    }
    const net::Http2Stream::Field only[] = {
        {":status", "200"}, {"content-type", type}, {"grpc-status", grpc_status.load()}};
    s.SendTrailers(only);
  }
  void OnClose(net::Http2Stream& s, bool) override {
    if (s.reset_by_client()) ++reset;
  }
  void OnAlarm(net::Http2Stream&) override {}
  void OnRefuse(net::Http2Stream& s, const Status&) override { s.Reset(2); }

  const std::string answer_;
  const bool hangs_;
  mutable Mutex mutex_;
  std::vector<std::string> all_ GUARDED_BY(mutex_);
  std::unique_ptr<net::Http2Server> server_;
};

class KeptBodiesH2Test : public H2Test {
 protected:
  ~KeptBodiesH2Test() override { gateway_.reset(); }  // before what it tells

  static std::string Request(int32_t stream, std::string_view path, std::string_view type,
                             const std::string& body, const Fields& more = {},
                             std::string_view method = "POST") {
    std::string block = net::Hpack({{":method", method},
                                    {":scheme", "http"},
                                    {":path", path},
                                    {":authority", "models"},
                                    {"content-type", type}});
    for (const auto& [name, value] : more) block += net::Hpack({{name, value}});
    std::string bytes = net::Http2Frame(NGHTTP2_HEADERS, body.empty() ? 5 : 4, stream, block);
    for (size_t at = 0; at < body.size(); at += 10'000)
      bytes += Client::Data(stream, std::string_view(body).substr(at, 10'000),
                            at + 10'000 >= body.size());
    return bytes;
  }
  /// One request on a connection of its own.
  Answer Ask(std::string_view path, std::string_view type, const std::string& body,
             const Fields& more = {}, std::string_view method = "POST") {
    Client client(port_);
    client.Sync();  // the gateway's settings hold: as much credit as it begins with
    client.Send(Request(1, path, type, body, more, method));
    return Read(client, 1);
  }
  Answer Call(const std::string& body, const Fields& more = {}) {
    return Ask(kInfer, "application/grpc", body, more);
  }
  /// Null when none comes.
  std::unique_ptr<ExchangeCopy> Copy() {
    EXPECT_TRUE(Eventually([&] { return exchanges_.count() > 0; }));
    return exchanges_.Take();
  }
  ExchangeList exchanges_;
};

TEST_F(KeptBodiesH2Test, ACallsMessagesAreKeptWithItsEvent) {
  ModelUpstream upstream("\0\0\0\0\2ok"s);
  AddVersion(1, {upstream.endpoint()});
  Start(&exchanges_);
  EXPECT_EQ(Call("message", {{"grpc-encoding", "gzip"}, {"x-request-id", "r-7"}}).body,
            "\0\0\0\0\2ok"s);
  const auto copy = Copy();
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->request.body, "message");
  EXPECT_EQ(copy->request.call, GrpcMethod::kModelInfer);
  EXPECT_EQ(copy->request.content_encoding, "gzip");
  EXPECT_EQ(copy->response.body, "\0\0\0\0\2ok"s);
  EXPECT_EQ(copy->response.call, GrpcMethod::kModelInfer);
  EXPECT_EQ(copy->event().model, "digits");
  EXPECT_EQ(copy->event().request_id, "r-7");
  EXPECT_EQ(copy->event().outcome, StatusCode::kOk);
  EXPECT_EQ(copy->event().request_bytes, 7u);
  EXPECT_TRUE(events_.all().empty()) << "it is told with the bodies";
}

TEST_F(KeptBodiesH2Test, OfOtherCallsNothingIs) {
  ModelUpstream upstream("answer");
  AddVersion(1, {upstream.endpoint()});
  Start(&exchanges_);
  for (const char* path : {"/inference.GRPCInferenceService/ModelStreamInfer",
                           "/tensorflow.serving.PredictionService/MultiInference", "/a.B/C"}) {
    EXPECT_EQ(Ask(path, "application/grpc", "message").body, "answer");
    const auto copy = Copy();
    ASSERT_NE(copy, nullptr);
    EXPECT_EQ(copy->request.state, State::kOtherType) << path;
    EXPECT_EQ(copy->response.state, State::kOtherType) << path;
    EXPECT_EQ(copy->event().outcome, StatusCode::kOk);
  }
  EXPECT_EQ(exchanges_.held(), 0u);
}

TEST_F(KeptBodiesH2Test, OrdinaryPredictionsAreKeptAsOverHttp1) {
  ModelUpstream upstream("{}");
  AddVersion(1, {upstream.endpoint()});
  Start(&exchanges_);
  EXPECT_EQ(Ask("/v2/models/digits/infer", "application/json", "{\"inputs\": []}binary",
                {{"inference-header-content-length", "14"}, {"content-encoding", "identity"}})
                .body,
            "{}");
  const auto copy = Copy();
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->request.body, "{\"inputs\": []}binary");
  EXPECT_EQ(copy->request.json_bytes, 14u);
  EXPECT_EQ(copy->request.content_type, "application/json");
  EXPECT_EQ(copy->request.content_encoding, "identity");
  EXPECT_EQ(copy->request.call, GrpcMethod::kNone);
  EXPECT_EQ(copy->response.body, "{}");
  EXPECT_EQ(Ask("/healthz", "", "", {}, "GET").body, "{}") << "no prediction";
  EXPECT_EQ(exchanges_.count(), 0u);
}

TEST_F(KeptBodiesH2Test, LongBodiesAreKeptWholeOrNotAtAll) {
  ExchangeList exchanges(150'000, 250'000);
  ModelUpstream upstream("{}");
  AddVersion(1, {upstream.endpoint()});
  Start(&exchanges);
  const auto ask = [&](const std::string& body, const Fields& more = {}) {
    EXPECT_EQ(Ask("/v2", "application/json", body, more).body, "{}");
    EXPECT_TRUE(Eventually([&] { return exchanges.count() > 0; }));
    return exchanges.Take();
  };
  const std::string longer(160'000, 'x');
  EXPECT_EQ(ask(longer)->request.state, State::kTooLong);
  EXPECT_EQ(ask(longer, {{"content-length", "160000"}})->request.state, State::kTooLong);
  EXPECT_TRUE(upstream.all().back().ends_with(longer)) << "it passes all the same";
  EXPECT_EQ(exchanges.held(), 0u);
  std::string body;
  for (int i = 0; body.size() < 140'000; ++i) body += std::to_string(i);
  const auto whole = ask(body);
  EXPECT_EQ(whole->request.state, State::kWhole);
  EXPECT_TRUE(whole->request.body == body) << "more than what could be sent again";
  EXPECT_EQ(ask(body)->request.state, State::kNoMemory) << "the first one is held";
  EXPECT_EQ(exchanges.held(), whole->request.body.size() + whole->response.body.size());
  gateway_.reset();  // before whom it tells
}

TEST_F(KeptBodiesH2Test, AFailedCallsAnswerIsNone) {
  ModelUpstream upstream("answer");
  upstream.grpc_status = "13";
  AddVersion(1, {upstream.endpoint()});
  Start(&exchanges_);
  EXPECT_EQ(Call("message").head.at("grpc-status"), "13");
  const auto copy = Copy();
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->request.body, "message");
  EXPECT_EQ(copy->response.state, State::kAbsent);
  EXPECT_EQ(copy->event().outcome, StatusCode::kInternal);
}

TEST_F(KeptBodiesH2Test, WhatNobodyHasRoomForIsToldOfAllTheSame) {
  ModelUpstream upstream("answer");
  AddVersion(1, {upstream.endpoint()});
  exchanges_.SetFull(true);
  Start(&exchanges_);
  EXPECT_EQ(Call("message").body, "answer");
  EXPECT_EQ(Event().model, "digits");
  EXPECT_EQ(exchanges_.held(), 0u);
}

TEST_F(KeptBodiesH2Test, ASampleIsDrawnAndSegmentsAreKept) {
  ModelUpstream upstream("answer");
  AddVersion(1, {upstream.endpoint()});
  options_.decode.sample = 0.5;
  Start(&exchanges_);
  Client client(port_);
  for (int32_t stream = 1; stream < 200; stream += 2) {
    client.Send(Request(stream, kInfer, "application/grpc", "message"));
    ASSERT_EQ(Read(client, stream).body, "answer");
  }
  EXPECT_TRUE(Eventually(
      [&] { return exchanges_.count() + static_cast<size_t>(exchanges_.unsampled()) == 100; }));
  EXPECT_GT(exchanges_.unsampled(), 20);
  EXPECT_LT(exchanges_.unsampled(), 80);
  EXPECT_EQ(exchanges_.Take()->event().feature_weight, 2);
}

/// Version 1 answers "live", and version 2 is the mirror's.
class MirrorH2Test : public MirrorFixture<KeptBodiesH2Test> {
 protected:
  MirrorH2Test() : live_("live") {
    AddVersion(1, {live_.endpoint()}, 1);
    // Originals always have time.
    service().timeouts = {.connect = 30s, .per_try = 30s, .idle = 30s};
  }

  void StartMirroringTo(const std::string& endpoint) {
    MirrorFixture::StartMirroringTo(endpoint, &exchanges_);
  }
  std::unique_ptr<ShadowPair> Pair() {
    EXPECT_TRUE(Eventually([&] { return exchanges_.pair_count() > 0; }));
    return exchanges_.TakePair();
  }
  void ExpectAllOver() { ExpectNothingUnderWay(); }
  /// Nothing is said of version 2.
  void ExpectNothingButTheOriginals(size_t requests) {
    EXPECT_EQ(live_.all().size(), requests);
    ExpectOnlyOriginalsCount(requests);
    EXPECT_EQ(Metric("leadsman_gateway_upstream_connections_total", {"digits", "2"}), 0);
  }
  ModelUpstream live_;
};

TEST_F(MirrorH2Test, ACopyIsTheOriginalAndMarkedAsACopy) {
  ModelUpstream shadow("shadow");
  StartMirroringTo(shadow.endpoint());
  const Fields fields = {{"te", "trailers"}, {"grpc-timeout", "9S"}, {"x-request-id", "r-7"}};
  EXPECT_EQ(Call("message", fields).body, "live");
  ASSERT_TRUE(Eventually([&] { return shadow.all().size() == 1; }));
  const std::string head =
      StrCat("POST ", kInfer,
             "\ncontent-type: application/grpc\nte: trailers\ngrpc-timeout: 9S\nx-request-id: r-7\n"
             "x-forwarded-for: 127.0.0.1\nx-forwarded-proto: http\n");
  EXPECT_EQ(live_.all()[0], head + "message");
  EXPECT_EQ(shadow.all()[0], head + "x-leadsman-shadow: true\nmessage");
  const auto pair = Pair();
  ASSERT_NE(pair, nullptr);
  EXPECT_EQ(pair->live.response.body, "live");
  EXPECT_EQ(pair->live.event().version, 1);
  EXPECT_EQ(pair->live.event().request_id, "r-7");
  EXPECT_EQ(pair->live.request.state, State::kAbsent) << "nobody needs it any more";
  EXPECT_EQ(pair->shadow.response.body, "shadow");
  EXPECT_EQ(pair->shadow.response.call, GrpcMethod::kModelInfer);
  EXPECT_EQ(pair->shadow.event().version, 2);
  EXPECT_EQ(pair->shadow.event().outcome, StatusCode::kOk);
  EXPECT_EQ(Answered("2xx"), 1);
  EXPECT_EQ(Sent(), 1);
  EXPECT_EQ(shadow.reset, 0) << "it has ended by itself";
  EXPECT_EQ(Of("in_flight"), 0);
  ExpectNothingButTheOriginals(1);
}

TEST_F(MirrorH2Test, OnlyPredictionsOfOneMessageAreCopied) {
  ModelUpstream shadow("shadow");
  StartMirroringTo(shadow.endpoint());
  EXPECT_EQ(Ask("/inference.GRPCInferenceService/ModelStreamInfer", "application/grpc", "m").body,
            "live");
  EXPECT_EQ(Ask("/v2/x", "application/json", "{}", {}, "PUT").body, "live");
  EXPECT_EQ(Ask("/v2/x", "application/json", "{}", {{"x-leadsman-shadow", "true"}}).body, "live");
  EXPECT_EQ(Ask("/v2/x", "application/json", "{}", {{"x-leadsman-version", "2"}}).body, "shadow");
  EXPECT_EQ(Ask("/v2/x", "application/json", "{}").body, "live");
  EXPECT_TRUE(Becomes(1, [&] { return Answered("2xx"); }));
  EXPECT_EQ(Sent(), 1);
  ASSERT_EQ(shadow.all().size(), 2u) << "the one by name, and the copy";
  EXPECT_EQ(shadow.all()[1],
            "POST /v2/x\ncontent-type: application/json\nx-forwarded-for: 127.0.0.1\n"
            "x-forwarded-proto: http\nx-leadsman-shadow: true\n{}");
}

TEST_F(MirrorH2Test, ManyCopiesAtOnceAreSentAndStatusesOfGrpcAreOutcomes) {
  ModelUpstream shadow("shadow");
  shadow.grpc_status = "8";
  mirror().max_concurrent = 1000;
  StartMirroringTo(shadow.endpoint());
  Client client(port_);
  for (int32_t stream = 1; stream < 100; stream += 2)
    client.Send(Request(stream, kInfer, "application/grpc", "message"));
  EXPECT_TRUE(Becomes(50, [&] { return Answered("4xx"); })) << "RESOURCE_EXHAUSTED is 429";
  EXPECT_EQ(Sent(), 50);
  EXPECT_EQ(Pair()->shadow.event().outcome, StatusCode::kResourceExhausted);
  EXPECT_TRUE(Becomes(0, [&] { return Of("in_flight"); }));
  ExpectNothingButTheOriginals(50);
}

TEST_F(MirrorH2Test, AShadowThatHangsIsGivenUpAndBeyondTheLimitNoneIsSent) {
  ModelUpstream shadow("", true);
  mirror().timeout = 1s;
  mirror().max_concurrent = 3;
  StartMirroringTo(shadow.endpoint());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Call("message").body, "live");
  EXPECT_TRUE(Becomes(3, [&] { return Unanswered("timeout"); }));
  EXPECT_EQ(Unsent("busy"), 2);
  EXPECT_TRUE(Eventually([&] { return shadow.reset == 3; })) << "cancelled";
  EXPECT_EQ(Pair()->shadow.event().outcome, StatusCode::kUnavailable);
  while (exchanges_.pair_count() > 0) exchanges_.TakePair();
  ExpectAllOver();
  ExpectNothingButTheOriginals(5);
}

TEST_F(MirrorH2Test, WithoutAShadowOriginalsAreAsGood) {
  std::string refuses;
  {
    ModelUpstream gone("");
    refuses = gone.endpoint();
  }
  StartMirroringTo(refuses);
  EXPECT_EQ(Call("message").body, "live");
  EXPECT_TRUE(Becomes(1, [&] { return Unsent("not_connected"); }));
  EXPECT_EQ(Pair()->shadow.event().outcome, StatusCode::kUnavailable) << "as if it had answered so";
  ExpectAllOver();
  ExpectNothingButTheOriginals(1);
}

TEST_F(MirrorH2Test, AShadowThatDoesNotSpeakHttp2IsNotAsked) {
  mirror().timeout = 300ms;
  std::atomic<int> connections{0};
  ScriptedUpstream silent([&](ScriptedUpstream::Connection& c) {
    ++connections;
    c.AwaitEnd();
  });
  StartMirroringTo(silent.endpoint());
  EXPECT_EQ(Call("message").body, "live");
  EXPECT_TRUE(Becomes(1, [&] { return Unsent("not_connected"); }));
  EXPECT_EQ(connections, 1);
  EXPECT_EQ(Pair()->shadow.event().outcome, StatusCode::kUnavailable);
  ExpectAllOver();
}

TEST_F(MirrorH2Test, ALongRequestGoesPieceByPieceAndALongAnswerIsCutOff) {
  ModelUpstream shadow(std::string(500'000, 's'));
  mirror().max_body = 200'000;
  StartMirroringTo(shadow.endpoint());
  std::string body;
  for (int i = 0; body.size() < 190'000; ++i) body += std::to_string(i);
  EXPECT_EQ(Call(body).body, "live");
  ASSERT_TRUE(Eventually([&] { return shadow.all().size() == 1; }));
  EXPECT_TRUE(shadow.all()[0].ends_with(body));
  EXPECT_TRUE(Becomes(1, [&] { return Answered("2xx"); }));
  const auto pair = Pair();
  EXPECT_EQ(pair->shadow.response.state, State::kTooLong);
  EXPECT_EQ(pair->shadow.event().outcome, StatusCode::kOk);
  EXPECT_TRUE(Eventually([&] { return shadow.reset == 1; }));
  // Longer ones are not copied, whether that is said before or not.
  const std::string longer(210'000, 'x');
  EXPECT_EQ(Call(longer).body, "live");
  EXPECT_EQ(Call(longer, {{"content-length", "210000"}}).body, "live");
  EXPECT_TRUE(Becomes(2, [&] { return Unsent("too_large"); }));
  EXPECT_EQ(shadow.opened, 1);
}

TEST_F(MirrorH2Test, WhatTheClientGivesUpIsNotCopied) {
  ModelUpstream shadow("shadow"), hangs("", true);
  service().versions[0].endpoints = {hangs.endpoint()};
  StartMirroringTo(shadow.endpoint());
  Client client(port_);
  client.Send(Request(1, kInfer, "application/grpc", "message"));
  ASSERT_TRUE(Eventually([&] { return hangs.all().size() == 1; }));
  client.Send(net::Http2Frame(NGHTTP2_RST_STREAM, 0, 1, net::BigEndian(8)));
  EXPECT_TRUE(Becomes(1, [&] { return Unsent("unfinished"); }));
  EXPECT_EQ(shadow.opened, 0);
  ExpectAllOver();
}

TEST_F(MirrorH2Test, WhenTheGatewayDrainsCopiesAreDropped) {
  ModelUpstream shadow("", true);
  mirror().timeout = 60s;
  StartMirroringTo(shadow.endpoint());
  EXPECT_EQ(Call("message").body, "live");
  ASSERT_TRUE(Eventually([&] { return shadow.all().size() == 1; }));
  gateway_->BeginDrain(100ms);
  EXPECT_TRUE(Becomes(1, [&] { return Unanswered("draining"); }));
  EXPECT_EQ(exchanges_.pair_count(), 0u) << "it says nothing of the shadow";
}

TEST_F(MirrorH2Test, AShadowThatIsCutHasFailed) {
  auto shadow = std::make_unique<ModelUpstream>("", true);
  StartMirroringTo(shadow->endpoint());
  EXPECT_EQ(Call("message").body, "live");
  ASSERT_TRUE(Eventually([&] { return shadow->all().size() == 1; }));
  shadow.reset();
  EXPECT_TRUE(Becomes(1, [&] { return Unanswered("closed"); }));
  EXPECT_EQ(Pair()->shadow.event().outcome, StatusCode::kUnavailable);
  ExpectAllOver();
  ExpectNothingButTheOriginals(1);
}

}  // namespace
}  // namespace leadsman::gateway
