#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/strings.h"
#include "gateway/testing/h2_fixture.h"
#include "net/http2_server.h"
#include "net/testing/http2_raw_client.h"
#include "support/eventually.h"

namespace leadsman::gateway {
namespace {

using namespace std::chrono_literals;
using net::Hpack;
using net::Http2Frame;

/// Whether it stops growing: what is sent until somebody's credit is used up.
bool ComesToRest(const std::atomic<uint64_t>& count) {
  uint64_t before = 0;
  return Eventually([&] {
    const uint64_t now = count;
    std::this_thread::sleep_for(100ms);
    return now == std::exchange(before, now) && now == count;
  });
}

/// A service that speaks HTTP/2 and does what the path says.
class H2Upstream final : public net::Http2Handler {
 public:
  explicit H2Upstream(uint32_t max_streams = 1000) {
    auto server = net::Http2Server::Start(
        {.max_header_bytes = 1 << 20, .max_streams = max_streams, .max_resets_per_second = 100'000},
        *this);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = std::move(server).value();
  }
  std::string endpoint() const { return "127.0.0.1:" + std::to_string(server_->port()); }
  /// All connections are cut.
  void Stop() { server_.reset(); }

  std::atomic<int> opened{0}, reset{0}, calls{0};
  std::atomic<uint64_t> received{0}, sent{0};
  Seen last;  ///< head

 private:
  static constexpr net::Http2Stream::Field kHead[] = {{":status", "200"},
                                                      {"content-type", "application/grpc"}};
  static constexpr net::Http2Stream::Field kGood[] = {{"grpc-status", "0"}, {"x-end", "1"}};

  void OnHead(net::Http2Stream& s) override {
    ++opened;
    std::string head = StrCat(s.method(), " ", s.path(), "\n");
    for (const auto& field : s.fields()) head += StrCat(field.name, ": ", field.value, "\n");
    last.Set(head);
    s.patient = true;
    if (s.path() == "/stream") s.SendHead(kHead);
    if (s.path() == "/unavailable") {
      const net::Http2Stream::Field only[] = {{":status", "200"},
                                              {"content-type", "application/grpc"},
                                              {"grpc-status", "14"},
                                              {"grpc-message", "later"}};
      s.SendTrailers(only);
    }
    if (s.path() == "/reset") s.Reset(11);
    if (s.path() == "/flood") {
      s.SendHead(kHead);
      Flood(s);
    }
  }
  void Flood(net::Http2Stream& s) {
    s.SendBody(std::string(100'000, 'f'));
    sent += 100'000;
    s.TellWhenSent();
  }
  void OnBody(net::Http2Stream& s) override {
    ++calls;
    if (s.path() == "/flood") return Flood(s);
    if (s.path() == "/hang") return;
    if (s.path() == "/once") {  // takes 10 bytes and no more
      if (!std::exchange(s.State<bool>(), true)) s.ExpectBody(10);
      return;
    }
    if (s.path() == "/stream") {
      received += s.body().size();
      s.SendBody(s.body());
      s.Take(s.body().size());
      if (s.half_closed()) s.SendTrailers(kGood);
      return;
    }
    if (!s.half_closed()) return s.ExpectBody(s.body().size() + 1'000'000);
    received += s.body().size();
    s.SendHead(kHead);
    s.SendBody(s.body());
    s.SendTrailers(kGood);
  }
  void OnClose(net::Http2Stream& s, bool) override {
    if (s.reset_by_client()) ++reset;
    if (s.path() == "/once") s.DropState();
  }
  void OnAlarm(net::Http2Stream&) override {}
  void OnRefuse(net::Http2Stream& s, const Status&) override { s.Reset(2); }

  std::unique_ptr<net::Http2Server> server_;
};

class DownstreamH2Test : public H2Test {
 protected:
  void AddUpstream(const H2Upstream& upstream, int64_t version = 1,
                   std::optional<double> weight = std::nullopt) {
    AddVersion(version, {upstream.endpoint()}, weight);
  }
  /// Sends one more of what `next` makes, fifty at a time and each time until the gateway has seen them, until it says GOAWAY. With
  /// which error, and how many it took; nothing when it has not after `most`.
  static std::optional<uint32_t> FloodUntilGoAway(Client& client, int most, int& sent,
                                                  const std::function<std::string(int)>& next) {
    for (sent = 0; sent < most;) {
      std::string batch;
      for (int i = 0; i < 50; ++i) batch += next(sent++);
      client.Send(batch + Client::Ping());
      for (auto frame = client.Read();; frame = client.Read()) {
        if (!frame) return std::nullopt;
        if (frame->type == NGHTTP2_GOAWAY) return static_cast<uint8_t>(frame->payload[7]);
        if (frame->type == NGHTTP2_PING) break;
      }
    }
    return std::nullopt;
  }
  /// For a script: as a server of HTTP/2 begins.
  static void SayHello(ScriptedUpstream::Connection& c) {
    c.Read(Client::kPreface.size());
    c.Send(Http2Frame(NGHTTP2_SETTINGS, 0, 0, ""));
  }
  static void SaysOnlySettings(ScriptedUpstream::Connection& c) {
    SayHello(c);
    c.AwaitEnd();
  }
  /// The names of the fields in a block that are marked so.
  static std::string NeverIndexed(const std::string& block) {
    std::string names;
    nghttp2_hd_inflater* inflater = nullptr;
    nghttp2_hd_inflate_new(&inflater);
    const auto* at = reinterpret_cast<const uint8_t*>(block.data());
    size_t left = block.size();
    for (int flags = 0; (flags & NGHTTP2_HD_INFLATE_FINAL) == 0;) {
      nghttp2_nv nv;
      const ssize_t taken = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, at, left, 1);
      if (taken < 0) break;
      at += taken;
      left -= static_cast<size_t>(taken);
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0 && (nv.flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0)
        names.append(reinterpret_cast<const char*>(nv.name), nv.namelen).append(" ");
    }
    nghttp2_hd_inflate_del(inflater);
    return names;
  }
};

TEST_F(DownstreamH2Test, PassesARequestItsAnswerAndTrailersOn) {
  H2Upstream upstream;
  AddUpstream(upstream);
  Start();
  Client client(port_);
  client.Send(
      Head(1, "/a.B/C?d", false, {{"x-request-id", "r-7"}, {"x-forwarded-for", "9.9.9.9"}}) +
      Client::Data(1, "hello", true));
  const Answer answer = Read(client, 1);
  EXPECT_EQ(answer.head.at(":status"), "200");
  EXPECT_EQ(answer.body, "hello");
  EXPECT_EQ(answer.trailers.at("grpc-status"), "0");
  EXPECT_EQ(answer.trailers.at("x-end"), "1");
  EXPECT_EQ(upstream.last.Get(),
            "POST /a.B/C?d\ncontent-type: application/grpc\nte: trailers\nx-request-id: r-7\n"
            "x-forwarded-for: 9.9.9.9, 127.0.0.1\nx-forwarded-proto: http\n");
  const EventList::Event event = Event();
  EXPECT_EQ(event.model, "digits");
  EXPECT_EQ(event.id, "r-7");
  EXPECT_EQ(event.outcome, StatusCode::kOk);
  EXPECT_EQ(event.request_bytes, 5u);
  EXPECT_EQ(event.response_bytes, 5u);
}

TEST_F(DownstreamH2Test, PassesLargeBodiesBothWays) {
  H2Upstream upstream;
  AddUpstream(upstream);
  Start();
  Client client(port_);
  client.Send(Head(1, "/stream"));
  std::string sent;
  std::thread sender([&] {  // with the credit that the gateway begins with, and no more
    for (int i = 0; i < 6; ++i) {
      const std::string piece(10'000, static_cast<char>('a' + i));
      client.Send(Client::Data(1, piece, i == 5));
      sent += piece;
    }
  });
  const Answer answer = Read(client, 1);
  sender.join();
  EXPECT_EQ(answer.body, sent);
}

TEST_F(DownstreamH2Test, ManyStreamsOfManyClientsShareOneConnectionToTheUpstream) {
  H2Upstream upstream;
  AddUpstream(upstream);
  Start();
  Client one(port_), two(port_);
  for (int32_t stream = 1; stream < 100; stream += 2) {
    for (Client* client : {&one, &two})
      client->Send(Head(stream, "/x") + Client::Data(stream, StrCat(stream), true));
  }
  std::map<int32_t, std::string> bodies;
  for (Client* client : {&one, &two}) {
    int ended = 0;
    while (ended < 50) {
      auto frame = client->Read();
      ASSERT_TRUE(frame);
      if (frame->type == NGHTTP2_DATA) bodies[frame->stream] += frame->payload;
      if (frame->stream > 0 && frame->end()) ++ended;
    }
  }
  for (const auto& [stream, body] : bodies) EXPECT_EQ(body, StrCat(stream, stream));
  EXPECT_EQ(Metric("leadsman_gateway_upstream_connections_total", {"digits", "1"}), 1);
}

TEST_F(DownstreamH2Test, AResetOfTheClientIsOneUpstream) {
  H2Upstream upstream;
  AddUpstream(upstream);
  Start();
  Client client(port_);
  client.Send(Head(1, "/hang"));
  ASSERT_TRUE(Eventually([&] { return upstream.opened == 1; }));
  client.Send(Http2Frame(NGHTTP2_RST_STREAM, 0, 1, net::BigEndian(8)));
  EXPECT_TRUE(Eventually([&] { return upstream.reset == 1; }));
  EXPECT_EQ(Event().outcome, StatusCode::kCancelled);
  EXPECT_TRUE(client.Sync()) << "the connection goes on";
}

TEST_F(DownstreamH2Test, AResetOfTheUpstreamIsOneOfTheClient) {
  H2Upstream upstream;
  AddUpstream(upstream);
  service().retries.max = 0;
  Start();
  Client client(port_);
  client.Send(Head(1, "/reset", true));
  EXPECT_EQ(Read(client, 1).reset, 11u);
  EXPECT_EQ(Event().outcome, StatusCode::kUnavailable);
}

TEST_F(DownstreamH2Test, AStatusOfGrpcIsTheOutcome) {
  H2Upstream upstream;
  AddUpstream(upstream);
  Start();
  Client client(port_);
  client.Send(Head(1, "/unavailable", true));
  const Answer answer = Read(client, 1);
  EXPECT_EQ(answer.head.at("grpc-status"), "14");
  EXPECT_EQ(answer.head.at("grpc-message"), "later");
  EXPECT_EQ(Event().outcome, StatusCode::kUnavailable);
  EXPECT_EQ(Metric("leadsman_gateway_requests_total", {"digits", "1", "5xx"}), 1);
}

TEST_F(DownstreamH2Test, ADeadlineEndsACallThatIsNotAnswered) {
  H2Upstream upstream;
  AddUpstream(upstream);
  Start();
  Client client(port_);
  client.Send(Head(1, "/hang", true, {{"grpc-timeout", "50m"}}));
  const Answer answer = Read(client, 1);
  EXPECT_EQ(answer.head.at(":status"), "200");
  EXPECT_EQ(answer.head.at("grpc-status"), "4");
  EXPECT_TRUE(answer.ended);
  EXPECT_TRUE(Eventually([&] { return upstream.reset == 1; }));
  EXPECT_EQ(Event().outcome, StatusCode::kDeadlineExceeded);
}

TEST_F(DownstreamH2Test, AConnectionThatHasBecomeSilentIsLeft) {
  ScriptedUpstream dead(SaysOnlySettings);
  AddVersion(1, dead);
  Start();
  Client client(port_);
  for (int32_t stream = 1; dead.connections() < 2 && stream < 60; stream += 2) {
    client.Send(Head(stream, "/x", true, {{"grpc-timeout", "100m"}}));
    EXPECT_EQ(Read(client, stream).head.at("grpc-status"), "4");
  }
  EXPECT_EQ(dead.connections(), 2);
}

TEST_F(DownstreamH2Test, AServerThatDoesNotBeginIsNotWaitedForForEver) {
  ScriptedUpstream mute([](ScriptedUpstream::Connection& c) { c.AwaitEnd(); });
  AddVersion(1, mute);
  service().timeouts.connect = 200ms;
  service().retries.max = 0;
  Start();
  Client client(port_);
  client.Send(Head(1, "/x", true));
  const Answer answer = Read(client, 1);
  EXPECT_EQ(answer.head.at("grpc-status"), "14");
  EXPECT_NE(answer.head.at("grpc-message").find("did not begin HTTP/2 (SETTINGS) within 200 ms"),
            std::string::npos)
      << answer.head.at("grpc-message");
  EXPECT_EQ(Errors("connect_timeout"), 1);
}

TEST_F(DownstreamH2Test, AServerThatGoesBeforeItBeginsIsTriedAgain) {
  ScriptedUpstream goes([](ScriptedUpstream::Connection& c) { c.Close(); });
  AddVersion(1, goes);
  service().retries.max = 1;
  Start();
  Client client(port_);
  client.Send(Head(1, "/x", true));
  const Answer answer = Read(client, 1);
  EXPECT_EQ(answer.head.at("grpc-status"), "14");
  EXPECT_NE(answer.head.at("grpc-message").find("ended the connection"), std::string::npos);
  EXPECT_EQ(goes.connections(), 2);
}

TEST_F(DownstreamH2Test, NoMoreIsAskedOfAConnectionThanTheServerTakes) {
  H2Upstream upstream(10);
  AddUpstream(upstream);
  service().retries.max = 0;
  Start();
  Client client(port_);
  std::string burst;
  for (int32_t stream = 1; stream < 120; stream += 2)
    burst += Head(stream, "/x") + Client::Data(stream, "y", true);
  client.Send(burst);
  int good = 0;
  for (int ended = 0; ended < 60;) {
    const auto frame = client.Read();
    ASSERT_TRUE(frame);
    if (frame->stream == 0 || !frame->end()) continue;
    ++ended;
    const auto status = frame->fields.find("grpc-status");
    if (status != frame->fields.end() && status->second == "0") ++good;
  }
  EXPECT_EQ(good, 60);
  EXPECT_LE(Metric("leadsman_gateway_upstream_connections_total", {"digits", "1"}), 6);
}

TEST_F(DownstreamH2Test, APlaceThatAnotherThreadGivesBackIsTaken) {
  H2Upstream upstream;
  AddUpstream(upstream);
  options_.io_threads = 4;
  service().limits.max_connections = 1;
  Start();
  for (int round = 0; round < 8; ++round) {  // of four, three are on different threads
    const int opened = upstream.opened;
    Client holder(port_), waits(port_);
    holder.Send(Head(1, "/hang"));
    ASSERT_TRUE(Eventually([&] { return upstream.opened == opened + 1; }));
    waits.Send(Head(1, "/x", true));
    ASSERT_TRUE(Eventually([&] { return gateway_->view().services[0].versions[0].pending == 1; }));
    holder.Send(Http2Frame(NGHTTP2_RST_STREAM, 0, 1, net::BigEndian(8)));
    EXPECT_EQ(Read(waits, 1).trailers.at("grpc-status"), "0");
  }
}

TEST_F(DownstreamH2Test, ACallThatIsNotAnsweredInTimeIsToldSo) {
  H2Upstream upstream;
  AddUpstream(upstream);
  service().timeouts.per_try = 100ms;
  Start();
  Client client(port_);
  client.Send(Head(1, "/hang", true));
  const Answer answer = Read(client, 1);
  EXPECT_EQ(answer.head.at("grpc-status"), "4");
  EXPECT_NE(answer.head.at("grpc-message").find("did not answer within 100 ms"), std::string::npos);
  EXPECT_EQ(Errors("timeout"), 1);
}

TEST_F(DownstreamH2Test, WhatIsNotReadIsNotFetched) {
  H2Upstream upstream;
  AddUpstream(upstream);
  Start();
  Client client(port_);  // gives no credit: 65,535 bytes may come
  client.Send(Head(1, "/flood", true));
  ASSERT_TRUE(Eventually([&] { return upstream.sent >= 200'000; }));
  EXPECT_TRUE(ComesToRest(upstream.sent));
  EXPECT_LT(upstream.sent, 2'000'000u) << "the windows, and what lies in sockets";
  Client other(port_);
  other.Send(Head(1, "/x") + Client::Data(1, "y", true));
  EXPECT_EQ(Read(other, 1).body, "y") << "nobody else waits for it";
}

TEST_F(DownstreamH2Test, ManyAnswersThatAreNotReadHoldUpNobodyElse) {
  H2Upstream upstream;
  AddUpstream(upstream);
  Start();
  Client client(port_);
  for (int32_t stream = 1; stream < 160; stream += 2) client.Send(Head(stream, "/flood", true));
  ASSERT_TRUE(Eventually([&] { return upstream.sent >= 10'000'000; }));
  EXPECT_TRUE(ComesToRest(upstream.sent));
  Client other(port_);
  other.Send(Head(1, "/x") + Client::Data(1, "y", true));
  EXPECT_EQ(Read(other, 1).body, "y") << "over the same connection to the upstream";
  EXPECT_EQ(Metric("leadsman_gateway_upstream_connections_total", {"digits", "1"}), 1);
}

TEST_F(DownstreamH2Test, WhatIsNotTakenGetsNoCredit) {
  H2Upstream upstream;
  AddUpstream(upstream);
  Start();
  Client client(port_);
  client.Send(Head(1, "/once"));
  // The window of the gateway's stream and of the upstream's, and what lies in sockets.
  uint64_t credit = 65'535;
  uint64_t sent = 0;
  for (int quiet = 0; quiet < 20 && sent < (8 << 20); ++quiet) {
    for (; sent + 10'000 <= credit; sent += 10'000)
      client.Send(Client::Data(1, std::string(10'000, 'x')));
    client.Send(Client::Ping());
    for (auto frame = client.Read(); frame && frame->type != NGHTTP2_PING; frame = client.Read()) {
      if (frame->type != NGHTTP2_WINDOW_UPDATE || frame->stream != 1) continue;
      uint32_t more = 0;
      for (char c : frame->payload) more = more << 8 | static_cast<uint8_t>(c);
      credit += more;
      quiet = 0;
    }
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_LT(sent, 4u << 20);
}

TEST_F(DownstreamH2Test, AnUpstreamThatDiesInMidAnswerIsUnavailable) {
  auto upstream = std::make_unique<H2Upstream>();
  AddUpstream(*upstream);
  Start();
  Client client(port_);
  client.Send(Head(1, "/stream") + Client::Data(1, "first"));
  ASSERT_TRUE(client.ReadUntil(NGHTTP2_DATA, 1));
  upstream->Stop();
  const auto end = client.ReadUntil(NGHTTP2_HEADERS, 1);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->fields.at("grpc-status"), "14");
  EXPECT_NE(end->fields.at("grpc-message").find("digits version 1 at 127.0.0.1"),
            std::string::npos);
  EXPECT_TRUE(end->end());
  EXPECT_EQ(Event().outcome, StatusCode::kUnavailable);
}

TEST_F(DownstreamH2Test, NobodyThereIsToldInTheWordsOfGrpcAndOfHttp) {
  AddVersion(1, {DeadEndpoint()});
  service().retries.max = 0;
  service().outliers.consecutive_errors = 0;
  Start();
  Client client(port_);
  client.Send(Head(1, "/x", true));
  const Answer call = Read(client, 1);
  EXPECT_EQ(call.head.at("grpc-status"), "14");
  EXPECT_NE(call.head.at("grpc-message").find("refused the connection"), std::string::npos);
  client.Send(Client::Head(3, "/x", true));
  const Answer other = Read(client, 3);
  EXPECT_EQ(other.head.at(":status"), "502");
  EXPECT_NE(other.body.find("\"reason\":\"connect_refused\""), std::string::npos) << other.body;
}

TEST_F(DownstreamH2Test, AnAnswerBeforeTheRequestsEndIsNotFollowedByAReset) {
  AddVersion(1, {DeadEndpoint()});
  service().retries.max = 0;
  service().outliers.consecutive_errors = 0;
  Start();
  Client client(port_);
  client.Send(Client::Head(1, "/x"));
  EXPECT_EQ(Read(client, 1).head.at(":status"), "502");
  client.Send(Client::Data(1, "late") + Client::Data(1, "and over", true) + Client::Ping());
  auto frame = client.Read();
  while (frame && frame->type != NGHTTP2_PING && frame->type != NGHTTP2_RST_STREAM)
    frame = client.Read();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->type, NGHTTP2_PING);
}

TEST_F(DownstreamH2Test, AClientThatGoesOnAfterItsAnswerIsToldToStop) {
  AddVersion(1, {DeadEndpoint()});
  service().retries.max = 0;
  service().outliers.consecutive_errors = 0;
  Start();
  Client client(port_);
  auto stopped_with = [&](int32_t stream) -> int {
    for (auto frame = client.Read(); frame; frame = client.Read()) {
      if (frame->stream == stream && frame->type == NGHTTP2_RST_STREAM) return frame->payload[3];
    }
    return -1;
  };
  client.Send(Client::Head(1, "/x"));
  EXPECT_EQ(Read(client, 1).head.at(":status"), "502");
  EXPECT_EQ(stopped_with(1), 0) << "one that says nothing more";
  client.Send(Client::Head(3, "/x"));
  EXPECT_EQ(Read(client, 3).head.at(":status"), "502");
  for (int i = 0; i < 7; ++i) client.Send(Client::Data(3, std::string(10'000, 'x')));
  EXPECT_EQ(stopped_with(3), 0) << "one that sends much";
}

TEST_F(DownstreamH2Test, ARequestThatNobodyHasSeenIsSentToAnotherEndpoint) {
  H2Upstream upstream;
  AddVersion(1, {DeadEndpoint(), upstream.endpoint()});
  service().outliers.consecutive_errors = 0;
  Start();
  Client client(port_);
  for (int32_t stream = 1; stream < 40; stream += 2) {
    client.Send(Head(stream, "/x") + Client::Data(stream, "body", true));
    EXPECT_EQ(Read(client, stream).body, "body");
  }
}

TEST_F(DownstreamH2Test, AHeaderForcesAVersionOfEachStream) {
  H2Upstream one, two;
  AddUpstream(one, 1, 1.0);
  AddUpstream(two, 2, 0.0);
  Start();
  Client client(port_);
  client.Send(Head(1, "/x", true));
  EXPECT_TRUE(Read(client, 1).ended);
  client.Send(Head(3, "/x", true, {{"x-leadsman-version", "2"}}));
  EXPECT_TRUE(Read(client, 3).ended);
  EXPECT_EQ(one.opened, 1);
  EXPECT_EQ(two.opened, 1);
  client.Send(Head(5, "/x", true, {{"x-leadsman-version", "3"}}));
  EXPECT_EQ(Read(client, 5).head.at("grpc-status"), "3");
}

TEST_F(DownstreamH2Test, RoutesGoByTheMethodOfACall) {
  H2Upstream upstream;
  AddUpstream(upstream);
  options_.routes.push_back({.path = "/inference.GRPCInferenceService/", .service = "digits"});
  Start();
  Client client(port_);
  client.Send(Head(1, "/inference.GRPCInferenceService/ModelInfer", true));
  EXPECT_EQ(Read(client, 1).trailers.at("grpc-status"), "0");
  client.Send(Head(3, "/other.Service/Method", true));
  EXPECT_EQ(Read(client, 3).head.at("grpc-status"), "12");
}

TEST_F(DownstreamH2Test, TheOtherProtocolIsSaidToBeIt) {
  H2Upstream upstream;
  AddUpstream(upstream);
  Start();
  const std::string answer = Ask(Post("x"));
  EXPECT_EQ(StatusOf(answer), 502);
  EXPECT_NE(answer.find("digits speaks HTTP/2"), std::string::npos);
  EXPECT_NE(answer.find("\"reason\":\"protocol\""), std::string::npos);
}

TEST_F(DownstreamH2Test, AServiceOfHttp1IsSaidToBeOne) {
  ScriptedUpstream upstream(Echo);
  service().protocol = ServiceOptions::Protocol::kHttp1;
  AddVersion(1, upstream);
  Start();
  Client client(port_);
  client.Send(Head(1, "/x", true));
  EXPECT_EQ(Read(client, 1).head.at("grpc-status"), "12");
}

TEST_F(DownstreamH2Test, MoreRequestsThanAnEndpointMayHaveWait) {
  H2Upstream upstream;
  AddUpstream(upstream);
  service().limits.max_connections = 1;
  service().limits.max_pending = 1;
  Start();
  Client client(port_);
  client.Send(Head(1, "/hang"));
  ASSERT_TRUE(Eventually([&] { return upstream.opened == 1; }));
  client.Send(Head(3, "/x", true));
  client.Send(Head(5, "/x", true));
  EXPECT_EQ(Read(client, 5).head.at("grpc-status"), "14");
  client.Send(Http2Frame(NGHTTP2_RST_STREAM, 0, 1, net::BigEndian(8)));
  EXPECT_EQ(Read(client, 3).trailers.at("grpc-status"), "0");
}

TEST_F(DownstreamH2Test, ADrainSaysGoAwayAndAnswersWhatHasBegun) {
  H2Upstream upstream;
  AddUpstream(upstream);
  Start();
  Client client(port_);
  client.Send(Head(1, "/stream") + Client::Data(1, "first"));
  ASSERT_TRUE(client.ReadUntil(NGHTTP2_DATA, 1));
  gateway_->BeginDrain(10s);
  const auto soon = client.ReadUntil(NGHTTP2_GOAWAY, 0);
  ASSERT_TRUE(soon);
  EXPECT_EQ(soon->payload.substr(0, 4), net::BigEndian(0x7fffffff));
  client.Send(Head(3, "/x") + Client::Data(3, "late", true));  // was on its way
  EXPECT_EQ(Read(client, 3).body, "late");
  const auto last = client.ReadUntil(NGHTTP2_GOAWAY, 0);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->payload.substr(0, 4), net::BigEndian(3));
  client.Send(Client::Data(1, "second", true));
  const Answer answer = Read(client, 1);
  EXPECT_EQ(answer.body, "second");
  EXPECT_EQ(answer.head.at("grpc-status"), "0") << "the head came before: these are the trailers";
  EXPECT_FALSE(client.Read()) << "and then the connection ends";
  EXPECT_TRUE(gateway_->AwaitDrained(10s));
}

TEST_F(DownstreamH2Test, RapidResetsEndTheConnection) {
  H2Upstream upstream;
  AddUpstream(upstream);
  Start();
  Client client(port_);
  int sent = 0;
  const auto error = FloodUntilGoAway(client, 5000, sent, [](int i) {
    return Head(2 * i + 1, "/hang") +
           Http2Frame(NGHTTP2_RST_STREAM, 0, 2 * i + 1, net::BigEndian(8));
  });
  EXPECT_TRUE(error);
  EXPECT_GT(sent, 1000);
  EXPECT_LT(sent, 2000);
  Client other(port_);
  other.Send(Head(1, "/x") + Client::Data(1, "y", true));
  EXPECT_EQ(Read(other, 1).body, "y");
}

TEST_F(DownstreamH2Test, ResetsThatAClientProvokesEndTheConnection) {
  H2Upstream upstream;
  AddUpstream(upstream);
  Start();
  Client client(port_);
  int sent = 0;
  const auto error = FloodUntilGoAway(client, 5000, sent, [](int i) {
    return Head(2 * i + 1, "/hang", true) + Client::Credit(2 * i + 1, 0x7fffffff);
  });
  EXPECT_EQ(error, 11u);
  EXPECT_GT(sent, 1000);
  EXPECT_LT(sent, 2000);
}

TEST_F(DownstreamH2Test, ResetsOfTheUpstreamAreNotTheClients) {
  H2Upstream upstream;
  AddUpstream(upstream);
  service().retries.max = 0;
  service().outliers.consecutive_errors = 0;
  Start();
  Client client(port_);
  for (int32_t stream = 1; stream < 4000;) {
    std::string batch;
    for (int i = 0; i < 50; ++i, stream += 2) batch += Head(stream, "/reset", true);
    client.Send(batch);
    for (int resets = 0; resets < 50;) {
      const auto frame = client.Read();
      ASSERT_TRUE(frame && frame->type != NGHTTP2_GOAWAY) << stream;
      if (frame->type == NGHTTP2_RST_STREAM) ++resets;
    }
  }
  EXPECT_TRUE(client.Sync());
}

TEST_F(DownstreamH2Test, FloodsOfPingsAndOfNothingEndTheConnection) {
  H2Upstream upstream;
  AddUpstream(upstream);
  Start();
  {
    Client client(port_);
    client.Send(Head(1, "/hang"));
    int sent = 0;
    EXPECT_EQ(FloodUntilGoAway(client, 5000, sent, [](int) { return Client::Data(1, ""); }), 11u);
    EXPECT_LT(sent, 1200);
  }
  {
    Client client(port_, 65'535, 4096);
    std::string pings;
    for (int i = 0; i < 1000; ++i) pings += Client::Ping();
    bool taken = true;
    for (int i = 0; taken && i < 5000; ++i) taken = client.Send(pings);
    EXPECT_FALSE(taken) << "85 MB of pings, of which it reads no answer";
  }
}

TEST_F(DownstreamH2Test, ABrokenFrameBehindAFloodIsOnlyThat) {
  H2Upstream upstream;
  AddUpstream(upstream);
  Start();
  {
    Client client(port_);
    std::string flood = Head(1, "/hang");
    for (int i = 0; i < 1001; ++i) flood += Client::Data(1, "");
    client.Send(flood + Http2Frame(NGHTTP2_PING, 0, 0, "abc"));
    while (client.Read()) {
    }
  }
  Client other(port_);
  other.Send(Head(1, "/x") + Client::Data(1, "y", true));
  EXPECT_EQ(Read(other, 1).body, "y");
}

TEST_F(DownstreamH2Test, ATooLargeHeadIsRefused) {
  H2Upstream upstream;
  AddUpstream(upstream);
  options_.limits.max_header = 2000;
  Start();
  Client client(port_);
  client.Send(Client::Head(1, "/" + std::string(3000, 'x'), true));
  EXPECT_EQ(Read(client, 1).head.at(":status"), "431");
  EXPECT_EQ(upstream.opened, 0);
}

TEST_F(DownstreamH2Test, AHeadOfAnySizeThatIsTakenIsPassedOn) {
  H2Upstream upstream;
  AddUpstream(upstream);
  options_.limits.max_header = 256 << 10;
  service().retries.max = 0;
  Start();
  Client client(port_);
  const std::string a(40'000, 'a'), b(40'000, 'b');
  std::string block = Hpack({{":method", "GET"},
                             {":scheme", "http"},
                             {":path", "/x"},
                             {":authority", "models"},
                             {"x-a", a},
                             {"x-b", b}});
  std::string frames;
  for (uint8_t type = NGHTTP2_HEADERS; !block.empty(); type = NGHTTP2_CONTINUATION) {
    const std::string part = block.substr(0, 16'000);
    block.erase(0, part.size());
    frames += Http2Frame(
        type, static_cast<uint8_t>((type == NGHTTP2_HEADERS ? 1 : 0) | (block.empty() ? 4 : 0)), 1,
        part);
  }
  client.Send(frames);
  EXPECT_EQ(Read(client, 1).head.at(":status"), "200");
  EXPECT_NE(upstream.last.Get().find(StrCat("x-a: ", a, "\nx-b: ", b, "\n")), std::string::npos);
}

TEST_F(DownstreamH2Test, ABadHeadDoesNotEndTheOthers) {
  H2Upstream upstream;
  AddUpstream(upstream);
  options_.limits.head_timeout = 100ms;
  Start();
  Client client(port_);
  client.Send(Head(1, "/stream") + Client::Data(1, "first"));
  ASSERT_TRUE(client.ReadUntil(NGHTTP2_DATA, 1));
  client.Send(Head(3, "/x", true, {{"transfer-encoding", "chunked"}}));
  EXPECT_TRUE(Read(client, 3).reset);
  Client later(
      port_);  // with the same thread; once its head has come too late, the one before would have as well
  later.Send(Http2Frame(NGHTTP2_HEADERS, 0, 1, "\x82"));
  EXPECT_TRUE(Eventually([&] { return Metric("leadsman_gateway_bad_requests_total", {}) == 1; }));
  EXPECT_TRUE(client.Sync()) << "no head is being read any more";
  client.Send(Http2Frame(NGHTTP2_HEADERS, 0, 5, "\x82"));
  EXPECT_TRUE(Eventually([&] { return Metric("leadsman_gateway_bad_requests_total", {}) == 2; }))
      << "of this one the end does not come";
}

TEST_F(DownstreamH2Test, WhatIsNeverToBeIndexedStaysSo) {
  Seen secrets;
  ScriptedUpstream upstream([&](ScriptedUpstream::Connection& c) {
    SayHello(c);
    for (;;) {
      const std::string head = c.Read(9);
      if (head.size() < 9) return;
      const auto* size = reinterpret_cast<const uint8_t*>(head.data());
      const std::string payload =
          c.Read(static_cast<size_t>(size[0]) << 16 | static_cast<size_t>(size[1]) << 8 | size[2]);
      if (head[3] != NGHTTP2_HEADERS) continue;
      secrets.Set(NeverIndexed(payload));
      c.AwaitEnd();
      return;
    }
  });
  AddVersion(1, upstream);
  Start();
  Client client(port_);
  std::string key = Hpack({{"x-api-key", "k-7"}});
  key[0] = 0x10;
  client.Send(Http2Frame(NGHTTP2_HEADERS, 5, 1,
                         Hpack({{":method", "GET"},
                                {":scheme", "http"},
                                {":path", "/x"},
                                {":authority", "models"},
                                {"x-other", "o"},
                                {"authorization", "me"}}) +
                             key));
  EXPECT_TRUE(Eventually([&] { return !secrets.Get().empty(); }));
  EXPECT_EQ(secrets.Get(), "authorization x-api-key ");
}

TEST_F(DownstreamH2Test, ACheckThatIsAnsweredWithoutEndIsOver) {
  H2Upstream upstream;
  AddUpstream(upstream);
  service().health = {
      .path = "/flood", .interval = 50ms, .timeout = 2s, .unhealthy_after = 1, .healthy_after = 1};
  Start();
  auto endpoint = [&] { return gateway_->view().services[0].versions[0].endpoints[0]; };
  EXPECT_TRUE(Eventually([&] { return endpoint().state == "healthy"; })) << "the head says so";
}

TEST_F(DownstreamH2Test, ACheckThatIsACallTakesOnlySoMuch) {
  H2Upstream upstream;
  AddUpstream(upstream);
  service().protocol = ServiceOptions::Protocol::kGrpc;
  service().health = {
      .path = "/flood", .interval = 50ms, .timeout = 10s, .unhealthy_after = 1, .healthy_after = 1};
  Start();
  auto endpoint = [&] { return gateway_->view().services[0].versions[0].endpoints[0]; };
  EXPECT_TRUE(Eventually([&] { return endpoint().state == "unhealthy"; }));
  EXPECT_NE(endpoint().reason.find("more than 1048576 bytes"), std::string::npos)
      << endpoint().reason;
}

TEST_F(DownstreamH2Test, SmuggledFieldsDoNotPass) {
  H2Upstream upstream;
  AddUpstream(upstream);
  Start();
  Client client(port_);
  client.Send(Head(1, "/x", true, {{"transfer-encoding", "chunked"}}));
  EXPECT_TRUE(Read(client, 1).reset);
  client.Send(Head(3, "/x", true, {{"x_forwarded_for", "1.1.1.1"}}));
  EXPECT_TRUE(Read(client, 3).ended);
  EXPECT_EQ(upstream.last.Get().find("x_forwarded_for"), std::string::npos);
  client.Send(Head(5, "/x", true, {{"a b", "c"}}));
  EXPECT_TRUE(Read(client, 5).reset);
  EXPECT_EQ(upstream.opened, 1);
}

TEST_F(DownstreamH2Test, AnIdleUpstreamConnectionIsEndedAndAnotherMade) {
  H2Upstream upstream;
  AddUpstream(upstream);
  service().timeouts.keep_alive = 50ms;
  Start();
  Client client(port_);
  for (int32_t stream = 1; stream < 6; stream += 2) {
    client.Send(Head(stream, "/x") + Client::Data(stream, "y", true));
    EXPECT_EQ(Read(client, stream).body, "y");
    EXPECT_TRUE(Eventually(
        [&] { return gateway_->view().services[0].versions[0].endpoints[0].connections == 0; }));
  }
}

}  // namespace
}  // namespace leadsman::gateway
