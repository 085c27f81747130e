#include "gateway/gateway.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <optional>
#include <set>
#include <thread>

#include "base/strings.h"
#include "gateway/testing/exchange_list.h"
#include "gateway/testing/gateway_fixture.h"
#include "support/eventually.h"

namespace leadsman::gateway {
namespace {

using namespace std::chrono_literals;
using Connection = ScriptedUpstream::Connection;
using net::RawClient;

// What passes through
// -----------------------------------------------------------------------------------------------------

TEST_F(GatewayTest, PassesARequestAndItsAnswerOn) {
  Seen seen;
  ScriptedUpstream upstream([&](Connection& c) {
    const std::string head = c.ReadHead();
    seen.Set(head + c.Read(5));
    c.Answer("answer", "X-Mine: 1\r\nContent-Type: text/plain\r\n");
  });
  AddVersion(1, upstream);
  Start();
  const std::string answer =
      Ask("POST /a%20b?c=d HTTP/1.1\r\nHost: models.example\r\nX-Request-Id: r-7\r\n"
          "Content-Length: 5\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\nhello");
  EXPECT_EQ(answer,
            "HTTP/1.1 200 OK\r\nX-Mine: 1\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\n"
            "answer");
  EXPECT_EQ(seen.Get(),
            "POST /a%20b?c=d HTTP/1.1\r\nHost: models.example\r\nX-Request-Id: r-7\r\n"
            "Content-Length: 5\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n\r\n"
            "hello");
  EXPECT_TRUE(Eventually([&] { return events_.all().size() == 1; }));
  const EventList::Event event = events_.all()[0];
  EXPECT_EQ(event.model, "digits");
  EXPECT_EQ(event.version, 1);
  EXPECT_EQ(event.id, "r-7");
  EXPECT_EQ(event.outcome, StatusCode::kOk);
  EXPECT_FALSE(event.drawn);
  EXPECT_EQ(event.request_bytes, 5u);
  EXPECT_EQ(event.response_bytes, 6u);
  EXPECT_GT(event.latency_ns, 0u);
  EXPECT_EQ(Metric("leadsman_gateway_requests_total", {"digits", "1", "2xx"}), 1);
}

TEST_F(GatewayTest, KeepsConnectionsOnBothSides) {
  ScriptedUpstream upstream(Echo);
  AddVersion(1, upstream);
  Start();
  RawClient client(port_);
  for (int i = 0; i < 20; ++i) {
    client.Send(Get("/" + std::to_string(i)));
    EXPECT_EQ(BodyOf(client.ReadResponse()), "/" + std::to_string(i));
  }
  EXPECT_EQ(BodyOf(Ask(Get("/other"))), "/other");
  EXPECT_EQ(upstream.connections(), 1);
}

TEST_F(GatewayTest, AnswersPipelinedRequestsInTheirOrder) {
  ScriptedUpstream upstream(Echo);
  AddVersion(1, upstream);
  Start();
  RawClient client(port_);
  std::string all;
  for (int i = 0; i < 200; ++i) all += Get("/" + std::to_string(i));
  std::thread sender([&] { client.Send(all); });
  for (int i = 0; i < 200; ++i) EXPECT_EQ(BodyOf(client.ReadResponse()), "/" + std::to_string(i));
  sender.join();
}

TEST_F(GatewayTest, StreamsChunksBothWaysWithoutWaitingForTheEnd) {
  ScriptedUpstream upstream([](Connection& c) {
    c.ReadHead();
    EXPECT_EQ(c.ReadTo("one\r\n"), "3\r\none\r\n");
    c.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    EXPECT_EQ(c.ReadTo("0\r\n\r\n"), "3\r\ntwo\r\n0\r\n\r\n");
    c.Send("4;ext=1\r\nlast\r\n0\r\nX-Trailer: 1\r\n\r\n");
  });
  AddVersion(1, upstream);
  Start();
  RawClient client(port_);
  client.Send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
  const std::string head = client.ReadResponse();
  EXPECT_NE(head.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_NE(head.find("Connection: close\r\n"), std::string::npos)
      << "the request was not whole by then";
  client.Send("3;x=y\r\ntwo\r\n0\r\n\r\n");
  EXPECT_EQ(client.ReadUntilClosed(), "5\r\nfirst\r\n4\r\nlast\r\n0\r\n\r\n");
}

TEST_F(GatewayTest, PassesEventsOfAStreamOnAtOnce) {
  std::atomic<bool> seen{false};
  ScriptedUpstream upstream([&](Connection& c) {
    c.ReadHead();
    c.Send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n");
    c.Send("data: 1\n\n");
    EXPECT_TRUE(Eventually([&] { return seen.load(); }));  // or it would wait for itself
    c.Send("data: 2\n\n");
  });
  AddVersion(1, upstream);
  Start();
  RawClient client(port_);
  client.Send(Get("/events"));
  EXPECT_TRUE(ReadTo(client, "data: 1\n\n\r\n").ends_with("data: 1\n\n\r\n"));
  seen = true;
  EXPECT_TRUE(ReadTo(client, "0\r\n\r\n").ends_with("data: 2\n\n\r\n0\r\n\r\n"));
}

TEST_F(GatewayTest, LargeBodiesPassWithLittleMemory) {
  const std::string big(20 << 20, 'x');
  ScriptedUpstream upstream([&](Connection& c) {
    c.ReadHead();
    EXPECT_EQ(c.Read(big.size()).size(), big.size());
    c.Answer(big);
  });
  AddVersion(1, upstream);
  options_.limits.max_body = 0;
  service().timeouts.per_try = service().timeouts.idle = 30s;
  Start();
  RawClient client(port_);
  std::thread sender([&] { client.Send(Post(big)); });
  sender.join();
  EXPECT_TRUE(BodyOf(client.ReadResponse()) == big);
}

TEST_F(GatewayTest, AnswersWithoutABodyStayWithoutOne) {
  ScriptedUpstream upstream([](Connection& c) {
    EXPECT_TRUE(c.ReadHead().starts_with("HEAD "));
    c.Send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    c.ReadHead();
    c.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    c.ReadHead();
    c.Send("HTTP/1.1 204 No Content\r\n\r\n");
    c.ReadHead();
    c.Send("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n");
    c.ReadHead();
    c.Answer("end");
  });
  AddVersion(1, upstream);
  Start();
  RawClient client(port_);
  client.Send("HEAD / HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(client.ReadResponse(true), "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
  client.Send("HEAD / HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(client.ReadResponse(true), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  client.Send(Get("/"));
  EXPECT_EQ(client.ReadResponse(true), "HTTP/1.1 204 No Content\r\n\r\n");
  client.Send(Get("/"));
  EXPECT_EQ(client.ReadResponse(true), "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n");
  client.Send(Get("/"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "end");
  EXPECT_EQ(upstream.connections(), 1);
}

TEST_F(GatewayTest, PassesExpectationsAndInterimAnswersOn) {
  ScriptedUpstream upstream([](Connection& c) {
    EXPECT_NE(c.ReadHead().find("Expect: 100-continue\r\n"), std::string::npos);
    c.Send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
    EXPECT_EQ(c.Read(3), "abc");
    c.Answer("ok");
  });
  AddVersion(1, upstream);
  Start();
  RawClient client(port_);
  client.Send("POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(client.ReadResponse(), "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
  EXPECT_EQ(client.ReadResponse(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("abc");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "ok");
}

TEST_F(GatewayTest, AnUpstreamMayRefuseABodyBeforeItCame) {
  ScriptedUpstream upstream([](Connection& c) {
    c.ReadHead();
    c.Send("HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno");
    c.AwaitEnd();
  });
  AddVersion(1, upstream);
  Start();
  RawClient client(port_);
  client.Send("POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(client.ReadUntilClosed(),
            "HTTP/1.1 417 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
}

TEST_F(GatewayTest, SpeaksWithClientsOfHttp10) {
  ScriptedUpstream upstream([](Connection& c) {
    EXPECT_TRUE(c.ReadHead().starts_with("GET / HTTP/1.1\r\nHost: 127.0.0.1:"));
    c.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    c.ReadHead();
    c.Answer("kept");
  });
  AddVersion(1, upstream);
  Start();
  RawClient client(port_);
  client.Send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_EQ(client.ReadUntilClosed(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc");
  RawClient keeps(port_);
  keeps.Send("GET / HTTP/1.0\r\nHost: t\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_NE(keeps.ReadResponse().find("Connection: keep-alive\r\n"), std::string::npos);
}

TEST_F(GatewayTest, AnUpgradedConnectionIsATunnel) {
  ScriptedUpstream upstream([](Connection& c) {
    const std::string head = c.ReadHead();
    EXPECT_NE(head.find("Connection: Upgrade\r\nUpgrade: websocket\r\n"), std::string::npos)
        << head;
    c.Send(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: x\r\n\r\nwelcome;");
    EXPECT_EQ(c.ReadTo("ping"), "ping");
    c.Send("pong;");
    EXPECT_TRUE(c.AwaitEnd());
    c.Send("after your end");
  });
  AddVersion(1, upstream);
  Start();
  RawClient client(port_);
  client.Send(Get("/ws", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"));
  std::string all = client.ReadResponse(true);
  EXPECT_EQ(all,
            "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\n\r\n");
  client.Send("ping");
  shutdown(client.fd(), SHUT_WR);
  EXPECT_EQ(client.ReadUntilClosed(), "welcome;pong;after your end");
  EXPECT_TRUE(events_.all().empty()) << "a tunnel is no prediction";
}

TEST_F(GatewayTest, Http2IsNotSmuggledInATunnel) {
  Seen seen;
  ScriptedUpstream upstream([&](Connection& c) {
    seen.Set(c.ReadHead());
    c.Answer("plain");
  });
  AddVersion(1, upstream);
  Start();
  EXPECT_EQ(BodyOf(Ask(Get("/",
                           "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                           "HTTP2-Settings: AAMAAABkAAQ\r\n"))),
            "plain");
  EXPECT_EQ(seen.Get().find("h2c"), std::string::npos);
  EXPECT_EQ(seen.Get().find("HTTP2"), std::string::npos);
  EXPECT_EQ(BodyOf(Ask(Get("/", "Connection: Upgrade\r\nUpgrade: websocket, H2C\r\n"))), "plain");
  EXPECT_EQ(seen.Get().find("H2C"), std::string::npos) << "nor among others";
}

TEST_F(GatewayTest, AnAnswerToARequestThatEndsItsSideStillComes) {
  std::atomic<bool> ended{false};
  ScriptedUpstream upstream([&](Connection& c) {
    c.ReadHead();
    EXPECT_TRUE(Eventually([&] { return ended.load(); }));
    c.Answer("late");
  });
  AddVersion(1, upstream);
  service().timeouts.per_try = 10s;
  Start();
  RawClient client(port_);
  client.Send(Get("/"));
  shutdown(client.fd(), SHUT_WR);
  EXPECT_EQ(client.ReadResponse(), "HTTP/1.1 100 Continue\r\n\r\n") << "is it still there?";
  ended = true;
  EXPECT_TRUE(client.ReadUntilClosed().ends_with("late"));
}

// What is refused
// ---------------------------------------------------------------------------------------------------------

TEST_F(GatewayTest, RefusesWhatCouldBeReadInTwoWays) {
  std::atomic<int> requests{0};
  ScriptedUpstream upstream([&](Connection& c) {
    while (!c.ReadHead().empty()) {
      ++requests;
      c.Answer("reached");
    }
  });
  AddVersion(1, upstream);
  Start();
  const std::string line = "POST / HTTP/1.1\r\nHost: t\r\n";
  const std::vector<std::string> cases = {
      line + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      line + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
      line + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
      line + "Content-Length: 1, 1\r\n\r\na",
      line + "Content-Length: +1\r\n\r\na",
      line + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
      line + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
      line + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
      line + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
      line + "A: 1\r\n folded\r\n\r\n",
      line + "A: 1\rB: 2\r\n\r\n",
      line + "A: 1\nContent-Length: 3\r\n\r\nabc",
      "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
      "GET / HTTP/1.1\r\n\r\n",
      "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      std::string("GET / HTTP/1.1\r\nHost: t\r\nA: b\0c\r\n\r\n", 35),
      "CONNECT models:443 HTTP/1.1\r\nHost: models\r\n\r\n",
      "GET http://user@t/ HTTP/1.1\r\nHost: t\r\n\r\n",
      "GET @other/ HTTP/1.1\r\nHost: t\r\n\r\n",
      "GET x?u=http://other/ HTTP/1.1\r\nHost: t\r\n\r\n",
      "GET ftp://t/ HTTP/1.1\r\nHost: t\r\n\r\n",
      "GET * HTTP/1.1\r\nHost: t\r\n\r\n",
      "GET /closed#/../open HTTP/1.1\r\nHost: t\r\n\r\n",
  };
  for (const std::string& text : cases) {
    RawClient client(port_);
    client.Send(text);
    const std::string answer = client.ReadResponse();
    EXPECT_TRUE(StatusOf(answer) == 400 || StatusOf(answer) == 501) << text << "\n" << answer;
    EXPECT_NE(answer.find("\"reason\":\"bad_request\""), std::string::npos) << answer;
  }
  EXPECT_EQ(requests, 0);
  EXPECT_EQ(Metric("leadsman_gateway_bad_requests_total", {}), double(cases.size()));
  EXPECT_EQ(BodyOf(Ask("OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n")), "reached");
}

TEST_F(GatewayTest, ChunksThatCouldBeCutInTwoWaysEndTheRequestOnBothSides) {
  std::atomic<int> ended{0};
  std::atomic<int> whole{0};
  ScriptedUpstream upstream([&](Connection& c) {
    c.ReadHead();
    if (c.ReadTo("0\r\n\r\n").ends_with("0\r\n\r\n")) ++whole;
    ++ended;
  });
  AddVersion(1, upstream);
  Start();
  int sent = 0;
  for (const char* chunks :
       {"1 1\r\na\r\n0\r\n\r\n", "1;x\na\r\n0\r\n\r\n", "1;x\rx\r\na\r\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n", "0x1\r\na\r\n0\r\n\r\n", "-1\r\na\r\n0\r\n\r\n", "1\na\n0\n\n",
        "1\r\na\r\n0\r\nX: 1\n\r\n"}) {
    ++sent;
    const std::string answer = Ask(
        "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(chunks));
    EXPECT_EQ(StatusOf(answer), 400) << chunks;
  }
  EXPECT_TRUE(Eventually([&] { return ended == sent; }));
  EXPECT_EQ(whole, 0) << "an upstream has taken half a request for a whole one";
}

TEST_F(GatewayTest, SaysWhichLimitABodyOrHeadHasPassed) {
  AddOneThatHangs();
  options_.limits.max_body = 10;
  options_.limits.max_header = 1024;
  Start();
  std::string answer = Ask(Post("01234567890"));
  EXPECT_EQ(StatusOf(answer), 413);
  EXPECT_NE(answer.find("gateway.limits.max_body"), std::string::npos);
  answer =
      Ask("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: "
          "chunked\r\n\r\n6\r\n012345\r\n6\r\n012345\r\n");
  EXPECT_EQ(StatusOf(answer), 413);
  answer = Ask(Get("/", "A: " + std::string(2000, 'x') + "\r\n"));
  EXPECT_EQ(StatusOf(answer), 431);
  EXPECT_NE(answer.find("gateway.limits.max_header"), std::string::npos);
  EXPECT_TRUE(Eventually([&] { return Errors("too_large") == 1; }));
  EXPECT_EQ(Metric("leadsman_gateway_bad_requests_total", {}), 2) << "before a version was chosen";
}

TEST_F(GatewayTest, WhoFitsNoRouteIsTold) {
  ScriptedUpstream upstream(Echo);
  AddVersion(1, upstream);
  options_.routes.push_back({.path = "/v1", .service = "digits"});
  Start();
  RawClient client(port_);
  client.Send(Get("/v2/x"));
  const std::string answer = client.ReadResponse();
  EXPECT_EQ(StatusOf(answer), 404);
  EXPECT_NE(answer.find("no route fits t/v2/x"), std::string::npos) << answer;
  client.Send(Get("/v1/x"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "/v1/x") << "the connection goes on";
  EXPECT_EQ(Metric("leadsman_gateway_unrouted_requests_total", {}), 1);
}

TEST_F(GatewayTest, RoutesByWhatIsPassedOn) {
  ScriptedUpstream upstream(Echo);
  AddVersion(1, upstream);
  options_.routes.push_back({.path = "/open", .service = "digits"});
  Start();
  auto ask = [&](const std::string& target) {
    return Ask("GET " + target + " HTTP/1.1\r\nHost: t\r\n\r\n");
  };
  EXPECT_EQ(BodyOf(ask("http://t/open?x=/y")), "/open?x=/y");
  EXPECT_EQ(StatusOf(ask("http://t?x=/open")), 404);
  EXPECT_EQ(StatusOf(ask("http://t/?x=/open")), 404);
}

TEST_F(GatewayTest, ASlowClientIsNotWaitedForForEver) {
  AddOneThatHangs();
  options_.limits.head_timeout = 200ms;
  Start();
  RawClient loris(port_);
  loris.Send("GET / HTTP/1.1\r\nHo");
  EXPECT_EQ(StatusOf(loris.ReadResponse()), 408);
  RawClient body(port_);
  body.Send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc");
  const std::string answer = body.ReadResponse();
  EXPECT_EQ(StatusOf(answer), 408);
  EXPECT_NE(answer.find("client_slow"), std::string::npos);
  EXPECT_TRUE(events_.all().empty()) << "not the version's fault";
}

/// Answers that pass in one piece, each counted before it is sent.
class GatewayLargeAnswersTest : public GatewayTest {
 protected:
  GatewayLargeAnswersTest() {
    AddVersion(1, upstream_);
    service().timeouts.idle = 30s;
  }
  /// Until nothing more is asked of the upstream for longer than a head may take.
  void AwaitStill() {
    for (int before = -1; before != asked_; std::this_thread::sleep_for(400ms)) before = asked_;
  }
  const std::string body_ = std::string(16 << 10, 'x');
  std::atomic<int> asked_{0};
  ScriptedUpstream upstream_{[this](Connection& c) {
    while (!c.ReadHead().empty()) {
      ++asked_;
      c.Answer(body_);
    }
  }};
};

TEST_F(GatewayLargeAnswersTest, AClientThatReadsNothingIsNotWaitedForForEver) {
  options_.limits.idle_timeout = 200ms;
  Start();
  RawClient client(port_);
  for (int sent = 0; sent == asked_ && sent < 3000;) {  // one after the other
    client.Send(Get("/"));
    ++sent;
    for (int i = 0; i < 100 && asked_ < sent; ++i) std::this_thread::sleep_for(5ms);
  }
  EXPECT_LT(asked_, 3000) << "the gateway keeps what the client does not take";
  EXPECT_TRUE(Eventually([&] { return gateway_->view().connections == 0; }));
}

TEST_F(GatewayLargeAnswersTest, WhoReadsSlowlyHasNotBeenSlowToAsk) {
  options_.limits.head_timeout = 200ms;
  Start();
  RawClient client(port_);
  constexpr int kRequests = 2000;
  std::string all;
  for (int i = 0; i < kRequests; ++i) all += Get("/");
  client.Send(all);
  AwaitStill();
  EXPECT_LT(asked_, kRequests);
  int good = 0;
  while (good < kRequests && StatusOf(client.ReadResponse()) == 200) ++good;
  EXPECT_EQ(good, kRequests);
}

TEST_F(GatewayTest, ConnectionsBeyondTheLimitAreToldSo) {
  ScriptedUpstream upstream(Echo);
  AddVersion(1, upstream);
  options_.limits.max_connections = 1;
  Start();
  {
    RawClient first(port_);
    first.Send(Get("/a"));
    EXPECT_EQ(BodyOf(first.ReadResponse()), "/a");
    RawClient second(port_);
    const std::string answer = second.ReadUntilClosed();
    EXPECT_EQ(StatusOf(answer), 503);
    EXPECT_NE(answer.find("max_connections"), std::string::npos);
  }
  EXPECT_TRUE(Eventually([&] { return BodyOf(Ask(Get("/b"))) == "/b"; }));
}

// What upstreams do
// -------------------------------------------------------------------------------------------------------

TEST_F(GatewayTest, ARefusedConnectionIsTold) {
  AddVersion(1, {DeadEndpoint()});
  service().retries.max = 0;
  Start();
  const std::string answer = Ask(Post("x"));
  EXPECT_EQ(StatusOf(answer), 502);
  const std::string endpoint = service().versions[0].endpoints[0];
  EXPECT_EQ(BodyOf(answer), "{\"error\":\"digits version 1 at " + endpoint +
                                " refused the connection\",\"reason\":\"connect_refused\","
                                "\"service\":\"digits\",\"version\":1,\"endpoint\":\"" +
                                endpoint + "\"}\n");
  EXPECT_EQ(Errors("connect_refused"), 1);
  EXPECT_TRUE(Eventually([&] { return events_.all().size() == 1; }));
  EXPECT_EQ(events_.all()[0].outcome, StatusCode::kUnavailable);
}

TEST_F(GatewayTest, OneThatHangsIsATimeout) {
  const ScriptedUpstream& upstream = AddOneThatHangs();
  service().timeouts.per_try = 100ms;
  Start();
  const std::string answer = Ask(Post("x"));
  EXPECT_EQ(StatusOf(answer), 504);
  EXPECT_NE(answer.find("did not answer within 100 ms (timeouts.per_try)"), std::string::npos);
  EXPECT_EQ(upstream.connections(), 1) << "a POST is not sent again";
  EXPECT_EQ(StatusOf(Ask(Get("/"))), 504);
  EXPECT_EQ(upstream.connections(), 4) << "a GET is, twice";
  EXPECT_EQ(Metric("leadsman_gateway_retries_total", {"digits", "1"}), 2);
}

TEST_F(GatewayTest, TheTotalHoldsForAllTriesTogether) {
  const ScriptedUpstream& upstream = AddOneThatHangs();
  service().timeouts.per_try = 120ms;
  service().timeouts.total = 200ms;
  service().retries.max = 10;
  Start();
  const std::string answer = Ask(Get("/"));
  EXPECT_EQ(StatusOf(answer), 504);
  EXPECT_NE(answer.find("total_timeout"), std::string::npos);
  EXPECT_LE(upstream.connections(), 2);
}

TEST_F(GatewayTest, AnAnswerThatTheTotalCutsIsNoSuccess) {
  ScriptedUpstream upstream([](Connection& c) {
    c.ReadHead();
    c.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    c.AwaitEnd();
  });
  AddVersion(1, upstream);
  service().timeouts = {.total = 100ms, .idle = 10s};
  Start();
  RawClient client(port_);
  client.Send(Post("x"));
  EXPECT_TRUE(client.ReadUntilClosed().ends_with("half"));
  EXPECT_TRUE(Eventually([&] { return events_.all().size() == 1; }));
  EXPECT_EQ(events_.all()[0].outcome, StatusCode::kDeadlineExceeded);
}

TEST_F(GatewayTest, WhatASlowClientCostsIsNotTheUpstreamsFault) {
  const std::string big(30 << 20, 'x');
  ScriptedUpstream upstream([&](Connection& c) {
    if (c.ReadHead().starts_with("GET")) c.Answer(big);
    c.AwaitEnd();
  });
  AddVersion(1, upstream);
  service().timeouts = {.total = 2s, .idle = 10s};  // enough for what sockets hold of `big`
  service().outliers.consecutive_errors = 1;
  Start();
  const std::string answer =
      Ask("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc");  // and no more
  EXPECT_EQ(StatusOf(answer), 408);
  EXPECT_NE(answer.find("client_slow"), std::string::npos) << answer;
  RawClient reads_nothing(port_);
  reads_nothing.Send(Get("/"));
  EXPECT_TRUE(Eventually([&] { return Errors("client_slow") == 2; }));
  EXPECT_EQ(gateway_->view().services[0].versions[0].endpoints[0].failures, 0u);
  EXPECT_TRUE(events_.all().empty());
}

TEST_F(GatewayTest, WhoWaitsToBeAskedForItsBodyIsNotSlow) {
  AddOneThatHangs();
  service().timeouts.per_try = 100ms;
  service().timeouts.idle = 10s;
  Start();
  const std::string answer =
      Ask("POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(StatusOf(answer), 504);
  EXPECT_NE(answer.find("\"reason\":\"timeout\""), std::string::npos) << answer;
}

TEST_F(GatewayTest, AFailureOfOneRequestsBookkeepingDoesNotEndTheTimeouts) {
  AddOneThatHangs();
  service().timeouts.per_try = 50ms;
  std::atomic<int> told{0};
  events_.on_emit = [&] {
    if (++told == 1) throw std::bad_alloc();
  };
  Start();
  RawClient first(port_);
  first.Send(Post("x"));
  first.ReadUntilClosed();
  EXPECT_EQ(told, 1);
  EXPECT_EQ(StatusOf(Ask(Post("y"))), 504) << "nobody keeps the time any more";
}

TEST_F(GatewayTest, GarbageIsABadAnswer) {
  ScriptedUpstream upstream([](Connection& c) {
    c.ReadHead();
    c.Send("SSH-2.0-OpenSSH_9.2\r\n");
    c.AwaitEnd();
  });
  AddVersion(1, upstream);
  Start();
  const std::string answer = Ask(Get("/"));
  EXPECT_EQ(StatusOf(answer), 502);
  EXPECT_NE(answer.find("\"reason\":\"bad_answer\""), std::string::npos) << answer;
  EXPECT_EQ(upstream.connections(), 1) << "it has answered: nothing is sent again";
}

TEST_F(GatewayTest, AnEndWithoutAnAnswerIsABadGatewayForAPost) {
  ScriptedUpstream upstream([](Connection& c) {
    c.ReadHead();
    c.Read(1);
  });
  AddVersion(1, upstream);
  Start();
  const std::string answer = Ask(Post("x"));
  EXPECT_EQ(StatusOf(answer), 502);
  EXPECT_NE(answer.find("\"reason\":\"closed\""), std::string::npos) << answer;
  EXPECT_EQ(upstream.connections(), 1);
}

TEST_F(GatewayTest, PostsAreSentAgainWhenTheOperatorSaysThatTheyMayBe) {
  std::atomic<int> asked{0};
  ScriptedUpstream upstream([&](Connection& c) {
    c.ReadHead();
    EXPECT_EQ(c.Read(3), "abc");
    if (++asked == 3) c.Answer("third time");
  });
  AddVersion(1, upstream);
  service().retries.posts = true;
  Start();
  EXPECT_EQ(BodyOf(Ask(Post("abc"))), "third time");
}

TEST_F(GatewayTest, AnAnswerThatIsCutIsSeenToBeCut) {
  Seen way;
  std::atomic<int> read{0};
  ScriptedUpstream upstream([&, number = std::make_shared<std::atomic<int>>(0)](Connection& c) {
    const int mine = ++*number;
    c.ReadHead();
    if (way.Get() == "length") c.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    if (way.Get() == "chunked")
      c.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
    if (way.Get() == "close") c.Send("HTTP/1.0 200 OK\r\n\r\nhalf");
    EXPECT_TRUE(Eventually([&] { return read == mine; }));
    c.Reset();
  });
  AddVersion(1, upstream);
  Start();
  for (const char* one : {"length", "chunked"}) {
    way.Set(one);
    RawClient client(port_);
    client.Send(Post("x"));
    std::string answer = ReadTo(client, "half");
    EXPECT_EQ(StatusOf(answer), 200);
    ++read;
    answer += client.ReadUntilClosed();
    EXPECT_FALSE(answer.ends_with("0\r\n\r\n")) << "that would be the end of a whole answer";
  }
  way.Set("close");
  RawClient old(port_);
  old.Send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(ReadTo(old, "half").ends_with("half"));
  ++read;
  bool reset = false;
  old.ReadUntilClosed(&reset);
  EXPECT_TRUE(reset) << "an orderly end would be the end of a whole answer";
  EXPECT_TRUE(Eventually([&] { return Errors("cut") == 3; }));
  for (const EventList::Event& event : events_.all())
    EXPECT_EQ(event.outcome, StatusCode::kUnavailable);
}

TEST_F(GatewayTest, AnAnswerThatStallsIsCut) {
  ScriptedUpstream upstream([](Connection& c) {
    c.ReadHead();
    c.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    c.AwaitEnd();
  });
  AddVersion(1, upstream);
  service().timeouts.idle = 100ms;
  Start();
  RawClient client(port_);
  client.Send(Post("x"));
  EXPECT_TRUE(client.ReadUntilClosed().ends_with("half"));
  EXPECT_EQ(Errors("cut"), 1);
}

TEST_F(GatewayTest, APostOnAKeptConnectionThatHasJustEndedIsNotLost) {
  std::atomic<int> told{0};
  std::atomic<int> closed{0};
  ScriptedUpstream upstream([&](Connection& c) {
    c.ReadHead();
    c.Read(1);
    c.Answer("ok");
    EXPECT_TRUE(Eventually([&] { return told >= 1; }));
    c.Close();
    ++closed;
  });
  AddVersion(1, upstream);
  // The connection ends while the gateway is busy with the end of the first request; the second one is taken up before it
  // can see that.
  events_.on_emit = [&] {
    ++told;
    EXPECT_TRUE(Eventually([&] { return closed >= 1; }));
  };
  Start();
  RawClient client(port_);
  client.Send(Post("x") + Post("y"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "ok");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "ok");
  EXPECT_EQ(upstream.connections(), 2);
  EXPECT_EQ(Errors("closed"), 1);
  EXPECT_EQ(Metric("leadsman_gateway_retries_total", {"digits", "1"}), 1);
}

TEST_F(GatewayTest, APostThatAResetMayHaveTakenIsNotSentAgain) {
  std::atomic<int> asked{0};
  ScriptedUpstream upstream([&](Connection& c) {
    c.ReadHead();
    c.Read(1);
    c.Answer("ok");
    c.ReadHead();
    c.Read(1);
    ++asked;
    c.Reset();
  });
  AddVersion(1, upstream);
  Start();
  RawClient client(port_);
  client.Send(Post("x"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "ok");
  client.Send(Post("y"));
  EXPECT_EQ(StatusOf(client.ReadResponse()), 502);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(upstream.connections(), 1);
}

TEST_F(GatewayTest, AFailedEndpointIsReplacedByAnother) {
  ScriptedUpstream upstream(Says("alive"));
  AddVersion(1, {DeadEndpoint(), upstream.endpoint()});
  service().outliers.consecutive_errors = 0;
  Start();
  for (int i = 0; i < 50; ++i) ASSERT_EQ(BodyOf(Ask(Post("x"))), "alive");
  EXPECT_GT(Metric("leadsman_gateway_retries_total", {"digits", "1"}), 0);
}

TEST_F(GatewayTest, OneThatFailsOnEndIsEjected) {
  ScriptedUpstream upstream(Says("alive"));
  AddVersion(1, {DeadEndpoint(), upstream.endpoint()});
  service().outliers = {.consecutive_errors = 3, .ejection = 60s};
  Start();
  for (int i = 0; i < 50; ++i) ASSERT_EQ(BodyOf(Ask(Post("x"))), "alive");
  const EndpointView dead = gateway_->view().services[0].versions[0].endpoints[0];
  EXPECT_EQ(dead.state, "ejected");
  EXPECT_EQ(dead.reason, "refused the connection");
  EXPECT_EQ(Metric("leadsman_gateway_retries_total", {"digits", "1"}), 3);
}

TEST_F(GatewayTest, OneThatAlwaysBreaksInTheBodyIsEjected) {
  ScriptedUpstream::Script breaks = [](Connection& c) {
    c.ReadHead();
    c.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  };
  ScriptedUpstream one(breaks), two(breaks);
  AddVersion(1, {one.endpoint(), two.endpoint()});
  service().outliers = {.consecutive_errors = 3, .ejection = 60s};
  Start();
  for (int i = 0; i < 7; ++i) {
    RawClient client(port_);
    client.Send(Post("x"));
    client.ReadUntilClosed();
  }
  uint64_t ejections = 0;
  const View view = gateway_->view();
  for (const EndpointView& endpoint : view.services[0].versions[0].endpoints)
    ejections += endpoint.ejections;
  EXPECT_EQ(ejections, 1u);
}

TEST_F(GatewayTest, ATunnelHoldsNoPlaceInTheBudgetOfRetries) {
  std::atomic<int> connections{0};
  ScriptedUpstream upstream([&](Connection& c) {
    const bool upgrade = c.ReadHead().find("websocket") != std::string::npos;
    if (++connections % 2 == 1) return;  // closed: asked again
    if (!upgrade) return c.Answer("ok");
    c.Send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
    c.AwaitEnd();
  });
  AddVersion(1, upstream);
  service().retries = {.max = 1, .budget = 0, .min = 1};
  Start();
  RawClient tunnel(port_);
  tunnel.Send(Get("/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
  EXPECT_EQ(StatusOf(tunnel.ReadResponse(true)), 101);
  EXPECT_EQ(BodyOf(Ask(Get("/"))), "ok");
}

/// The gateway's process can open nothing more.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit now = before_;
    now.rlim_cur = 1;  // 0 would end poll(), too
    setrlimit(RLIMIT_NOFILE, &now);
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_;
};

TEST_F(GatewayTest, ThatTheGatewayHasNoDescriptorsIsNotTheEndpointsFault) {
  ScriptedUpstream upstream(Says("ok"));
  AddVersion(1, {upstream.endpoint()});
  service().outliers.consecutive_errors = 1;
  service().outliers.max_ejected = 1;
  service().timeouts.keep_alive = 0ms;
  service().health = {
      .path = "/h", .interval = 10ms, .timeout = 1s, .unhealthy_after = 1, .healthy_after = 1000};
  Start();
  auto endpoint = [&] { return gateway_->view().services[0].versions[0].endpoints[0]; };
  EXPECT_TRUE(Eventually([&] { return endpoint().state == "healthy"; }));
  RawClient client(port_);
  client.Send(Get("/"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "ok");
  {
    const NoDescriptors none;
    client.Send(Get("/"));
    const std::string answer = client.ReadResponse();  // after two pauses: time for some checks
    EXPECT_EQ(StatusOf(answer), 502);
    EXPECT_NE(answer.find("Too many open files"), std::string::npos) << answer;
  }
  EXPECT_EQ(endpoint().failures, 0u);
  EXPECT_EQ(endpoint().state, "healthy");
  client.Send(Get("/"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "ok");
}

TEST_F(GatewayTest, TheBudgetEndsRetries) {
  AddVersion(1, {DeadEndpoint()});
  service().retries = {.max = 2, .budget = 0, .min = 0};
  service().outliers.consecutive_errors = 0;
  Start();
  EXPECT_EQ(StatusOf(Ask(Get("/"))), 502);
  EXPECT_EQ(Metric("leadsman_gateway_retries_total", {"digits", "1"}), 0);
  EXPECT_EQ(Metric("leadsman_gateway_retries_refused_total", {"digits", "1"}), 1);
}

TEST_F(GatewayTest, ChecksFindOutWhoIsWell) {
  std::atomic<bool> well{false};
  ScriptedUpstream sick([&](Connection& c) {
    for (std::string head; !(head = c.ReadHead()).empty();) {
      const bool check = head.starts_with("GET /healthz ");
      if (check && !well) {
        c.Send("HTTP/1.1 503 Warming Up\r\nContent-Length: 0\r\n\r\n");
      } else {
        c.Answer(check ? "" : "recovered");
      }
    }
  });
  AddVersion(1, sick);
  service().health = {.path = "/healthz",
                      .interval = 20ms,
                      .timeout = 200ms,
                      .unhealthy_after = 2,
                      .healthy_after = 2};
  Start();
  EXPECT_TRUE(Eventually([&] { return gateway_->Awaited().empty(); }));
  std::string answer = Ask(Get("/"));
  EXPECT_EQ(StatusOf(answer), 503);
  EXPECT_NE(answer.find("no endpoint is healthy: " + sick.endpoint() +
                        " (the check /healthz was answered 503)"),
            std::string::npos)
      << answer;
  EXPECT_TRUE(gateway_->ReadyVersions("digits").empty());
  EXPECT_EQ(gateway_->Problems().size(), 1u);
  well = true;
  EXPECT_TRUE(Eventually([&] { return !gateway_->ReadyVersions("digits").empty(); }));
  EXPECT_EQ(BodyOf(Ask(Get("/"))), "recovered");
}

TEST_F(GatewayTest, ACheckThatHangsHasFailed) {
  ScriptedUpstream upstream([](Connection& c) { c.AwaitEnd(); });
  AddVersion(1, upstream);
  service().health = {.path = "/h", .interval = 50ms, .timeout = 50ms};
  Start();
  EXPECT_TRUE(Eventually(
      [&] { return gateway_->view().services[0].versions[0].endpoints[0].state == "unhealthy"; }));
  EXPECT_EQ(gateway_->view().services[0].versions[0].endpoints[0].reason,
            "the check /h was not answered within 50 ms");
}

TEST_F(GatewayTest, WhoFindsNoConnectionFreeWaitsForOne) {
  std::atomic<bool> go{false};
  std::atomic<int> at_once{0};
  std::atomic<int> most{0};
  ScriptedUpstream upstream([&](Connection& c) {
    while (!c.ReadHead().empty()) {
      most = std::max<int>(most, ++at_once);
      EXPECT_TRUE(Eventually([&] { return go.load(); }));
      --at_once;
      c.Answer("ok");
    }
  });
  AddVersion(1, upstream);
  service().limits = {.max_connections = 2, .max_pending = 100};
  service().timeouts.connect = service().timeouts.per_try = 10s;
  options_.io_threads = 2;
  Start();
  std::vector<std::thread> clients;
  std::atomic<int> good{0};
  for (int i = 0; i < 20; ++i) {
    clients.emplace_back([&] {
      RawClient client(port_);
      for (int j = 0; j < 5; ++j) {
        client.Send(Get("/"));
        good += BodyOf(client.ReadResponse()) == "ok";
      }
    });
  }
  EXPECT_TRUE(Eventually([&] {
    return Metric("leadsman_gateway_pending_requests", {"digits", "1"}) == 18;
  }));
  go = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(good, 100);
  EXPECT_LE(most, 2);
  EXPECT_EQ(Metric("leadsman_gateway_pending_requests", {"digits", "1"}), 0);
}

TEST_F(GatewayTest, WhoWaitsIsNotOvertaken) {
  std::atomic<bool> go{false};
  Seen order;
  ScriptedUpstream upstream([&](Connection& c) {
    for (std::string head; !(head = c.ReadHead()).empty();) {
      order.Set(order.Get() + head[5]);
      EXPECT_TRUE(Eventually([&] { return go.load(); }));
      c.Answer("ok");
    }
  });
  AddVersion(1, upstream);
  service().limits = {.max_connections = 1, .max_pending = 10};
  service().timeouts.connect = service().timeouts.per_try = 10s;
  Start();
  RawClient busy(port_), patient(port_);
  busy.Send(Get("/a") + Get("/a") + Get("/a"));
  EXPECT_TRUE(Eventually([&] { return order.Get() == "a"; }));
  patient.Send(Get("/b"));
  EXPECT_TRUE(Eventually([&] {
    return Metric("leadsman_gateway_pending_requests", {"digits", "1"}) == 1;
  }));
  go = true;
  EXPECT_EQ(BodyOf(patient.ReadResponse()), "ok");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(BodyOf(busy.ReadResponse()), "ok");
  EXPECT_EQ(order.Get(), "abaa");
}

TEST_F(GatewayTest, OneThatTakesMuchDoesNotKeepOthersWaiting) {
  std::atomic<bool> stop{false};
  const std::string piece(1 << 20, 'x');
  ScriptedUpstream upstream([&](Connection& c) {
    if (c.ReadHead().starts_with("GET /small ")) return c.Answer("small");
    c.Send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    while (!stop && c.Send(piece)) {
    }
  });
  AddVersion(1, upstream);
  service().timeouts = {.per_try = 30s, .idle = 30s};
  Start();
  RawClient big(port_);
  big.Send(Get("/big"));
  std::thread reader([&] {
    std::vector<char> buffer(1 << 20);
    while (recv(big.fd(), buffer.data(), buffer.size(), 0) > 0) {
    }
  });
  EXPECT_TRUE(Eventually([&] { return upstream.connections() == 1; }));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(BodyOf(Ask(Get("/small"))), "small");
  stop = true;
  shutdown(big.fd(), SHUT_RDWR);
  reader.join();
}

TEST_F(GatewayTest, TooManyThatWaitAreRefused) {
  std::atomic<bool> go{false};
  ScriptedUpstream upstream([&](Connection& c) {
    while (!c.ReadHead().empty()) {
      EXPECT_TRUE(Eventually([&] { return go.load(); }));
      c.Answer("ok");
    }
  });
  AddVersion(1, upstream);
  service().limits = {.max_connections = 1, .max_pending = 1};
  service().timeouts.connect = 10s;
  service().timeouts.per_try = 10s;
  Start();
  RawClient first(port_), second(port_), third(port_);
  first.Send(Get("/"));
  EXPECT_TRUE(Eventually([&] { return upstream.connections() == 1; }));
  second.Send(Get("/"));
  EXPECT_TRUE(Eventually([&] {
    return Metric("leadsman_gateway_pending_requests", {"digits", "1"}) == 1;
  }));
  third.Send(Get("/"));
  const std::string answer = third.ReadResponse();
  EXPECT_EQ(StatusOf(answer), 503);
  EXPECT_NE(answer.find("\"reason\":\"overloaded\""), std::string::npos);
  EXPECT_NE(answer.find("Retry-After: 1\r\n"), std::string::npos);
  go = true;
  EXPECT_EQ(BodyOf(first.ReadResponse()), "ok");
  EXPECT_EQ(BodyOf(second.ReadResponse()), "ok");
  EXPECT_EQ(Errors("overloaded"), 1);
}

TEST_F(GatewayTest, WaitingForAConnectionEnds) {
  const ScriptedUpstream& upstream = AddOneThatHangs();
  service().limits.max_connections = 1;
  service().timeouts.connect = 100ms;
  service().timeouts.per_try = 10s;
  Start();
  RawClient first(port_);
  first.Send(Get("/"));
  EXPECT_TRUE(Eventually([&] { return upstream.connections() == 1; }));
  const std::string answer = Ask(Get("/"));
  EXPECT_EQ(StatusOf(answer), 503);
  EXPECT_NE(answer.find("no connection became free within 100 ms"), std::string::npos) << answer;
}

TEST_F(GatewayTest, AClientThatGoesTakesItsRequestWithIt) {
  std::atomic<bool> gone{false};
  ScriptedUpstream upstream([&](Connection& c) {
    c.ReadHead();
    gone = c.AwaitEnd();
  });
  AddVersion(1, upstream);
  service().timeouts.per_try = 10s;
  Start();
  {
    RawClient client(port_);
    client.Send(Get("/"));
    EXPECT_TRUE(Eventually([&] { return upstream.connections() == 1; }));
  }
  EXPECT_TRUE(Eventually([&] { return gone.load(); }));
  EXPECT_TRUE(Eventually([&] { return events_.all().size() == 1; }));
  EXPECT_EQ(events_.all()[0].outcome, StatusCode::kCancelled);
  EXPECT_EQ(Metric("leadsman_gateway_requests_total", {"digits", "1", "none"}), 1);
}

// The split
// ---------------------------------------------------------------------------------------------------------------

class GatewaySplitTest : public GatewayTest {
 protected:
  int SecondOf(int requests, const std::function<std::string(int)>& fields = nullptr) {
    RawClient client(port_);
    int second = 0;
    for (int i = 0; i < requests; ++i) {
      client.Send(Get("/", fields ? fields(i) : ""));
      second += BodyOf(client.ReadResponse()) == "two";
    }
    return second;
  }
  ScriptedUpstream one_{Says("one")}, two_{Says("two")};
};

TEST_F(GatewaySplitTest, DrawsRequestsByTheirWeights) {
  AddVersion(1, one_, 0.7);
  AddVersion(2, two_, 0.3);
  Start();
  EXPECT_NEAR(SecondOf(2'000), 600, 105);  // five standard deviations
}

TEST_F(GatewaySplitTest, ADarkVersionIsReachedByNameAlone) {
  AddVersion(1, one_, 1);
  AddVersion(2, two_, 0);
  Start();
  EXPECT_EQ(SecondOf(100), 0);
  EXPECT_EQ(SecondOf(10, [](int) { return "X-Leadsman-Version: 2\r\n"; }), 10);
  const std::string answer = Ask(Get("/", "X-Leadsman-Version: 9\r\n"));
  EXPECT_EQ(StatusOf(answer), 400);
  EXPECT_NE(answer.find("x-leadsman-version: digits has no version 9; versions: 1 and 2"),
            std::string::npos)
      << answer;
  EXPECT_EQ(Metric("leadsman_gateway_bad_requests_total", {}), 1);
}

TEST_F(GatewaySplitTest, AStickyUserStaysWithOneVersion) {
  AddVersion(1, one_, 0.5);
  AddVersion(2, two_, 0.5);
  service().split = {.by = SplitOptions::By::kCookie, .name = "sid", .seed = 3};
  Start();
  int second = 0;
  for (int user = 0; user < 200; ++user) {
    const int of_ten =
        SecondOf(3, [&](int) { return "Cookie: a=b; sid=u" + std::to_string(user) + "\r\n"; });
    EXPECT_TRUE(of_ten == 0 || of_ten == 3) << user;
    second += of_ten == 3;
  }
  EXPECT_NEAR(second, 100, 36);
}

TEST_F(GatewaySplitTest, ARolloutPutsUsersOfItsOwnFirstAndKeepsThemWhileItGrows) {
  AddVersion(1, one_);
  AddVersion(2, two_);
  service().split = {.by = SplitOptions::By::kCookie, .name = "sid", .seed = 3};
  Start();
  auto seconds = [&] {
    std::set<int> users;
    for (int user = 0; user < 300; ++user) {
      if (SecondOf(1, [&](int) { return "Cookie: sid=u" + std::to_string(user) + "\r\n"; }) == 1)
        users.insert(user);
    }
    return users;
  };
  auto share = [&](double candidate, std::optional<uint64_t> seed) {
    EXPECT_TRUE(gateway_->SetTraffic("digits", 1, 2, candidate, 0, seed).ok());
    return seconds();
  };
  const std::set<int> first = share(0.2, 11), more = share(0.6, 11), other = share(0.2, 12);
  EXPECT_GT(first.size(), 30u);
  EXPECT_TRUE(std::includes(more.begin(), more.end(), first.begin(), first.end()));
  EXPECT_NE(first, other);
  EXPECT_EQ(share(0.2, 11), first) << "as after a restart";
  EXPECT_EQ(share(0.2, std::nullopt), share(0.2, 3)) << "without one it is the service's";
}

TEST_F(GatewaySplitTest, WeightsChangeAtRunTime) {
  AddVersion(1, one_);
  AddVersion(2, two_);
  Start();
  EXPECT_EQ(SecondOf(50), 0);
  EXPECT_TRUE(gateway_->SetWeights("digits", {{2, 1.0}}).ok());
  EXPECT_EQ(SecondOf(50), 50);
  EXPECT_EQ(gateway_->view().services[0].versions[1].share, 1);
  EXPECT_EQ(gateway_->SetWeights("digits", {{2, 0.5}}).message(),
            "the weights must be 100% together, and are 50%");
  EXPECT_EQ(gateway_->SetWeights("digits", {{9, 1.0}}).code(), StatusCode::kNotFound);
  EXPECT_EQ(gateway_->SetWeights("iris", {{1, 1.0}}).code(), StatusCode::kNotFound);
}

TEST_F(GatewaySplitTest, APersonMayTakeTheTrafficBackFromARolloutForGood) {
  AddVersion(1, one_);
  AddVersion(2, two_);
  Start();
  ASSERT_TRUE(gateway_->SetTraffic("digits", 1, 0, 0).ok());
  ASSERT_FALSE(gateway_->SetWeights("digits", {{2, 1.0}}).ok());
  ASSERT_TRUE(gateway_->SetWeights("digits", {{2, 1.0}}, true).ok());
  EXPECT_EQ(SecondOf(20), 20);
  EXPECT_TRUE(gateway_->SetTraffic("digits", 0, 0, 0).ok()) << "it lets go of what it has not";
  EXPECT_EQ(SecondOf(20), 20);
}

TEST_F(GatewaySplitTest, ARolloutDecidesAloneAndWhatItDrawsIsEvidence) {
  AddVersion(1, one_);
  AddVersion(2, two_);
  Start();
  EXPECT_EQ(gateway_->MainVersion("digits"), 1);
  ASSERT_TRUE(gateway_->SetTraffic("digits", 1, 2, 0.5).ok());
  EXPECT_EQ(gateway_->MainVersion("digits"), std::nullopt);
  EXPECT_NEAR(SecondOf(400), 200, 50);
  EXPECT_EQ(SecondOf(10, [](int) { return "X-Leadsman-Version: 2\r\n"; }), 10);
  EXPECT_TRUE(Eventually([&] { return events_.all().size() == 410; }));
  const auto events = events_.all();
  EXPECT_EQ(std::count_if(events.begin(), events.end(), [](const auto& e) { return e.drawn; }), 400)
      << "who names a version is not drawn";
  EXPECT_EQ(gateway_->SetWeights("digits", {{1, 1.0}}).code(), StatusCode::kFailedPrecondition);
  ASSERT_TRUE(gateway_->SetTraffic("digits", 1, 0, 0).ok());
  EXPECT_EQ(SecondOf(50), 0);
  ASSERT_TRUE(gateway_->SetTraffic("digits", 0, 0, 0).ok());
  EXPECT_TRUE(gateway_->SetWeights("digits", {{1, 1.0}}).ok());
  EXPECT_EQ(gateway_->SetTraffic("digits", 7, 0, 0).code(), StatusCode::kNotFound);
}

TEST_F(GatewaySplitTest, RoutesSayWhatIsAPrediction) {
  AddVersion(1, one_);
  options_.routes = {
      {.path = "/health", .service = "digits", .predictions = RouteOptions::Predictions::kNone},
      {.service = "digits", .predictions = RouteOptions::Predictions::kPosts}};
  Start();
  Ask(Get("/health"));
  Ask(Get("/metadata"));
  Ask(Post(""));
  EXPECT_TRUE(Eventually([&] { return !events_.all().empty(); }));
  EXPECT_EQ(events_.all().size(), 1u);
}

// Copies of bodies
// -------------------------------------------------------------------------------------------------------

class GatewayCopyTest : public GatewayTest {
 protected:
  void StartWith(ExchangeSink& exchanges) { Start(&exchanges); }
  std::unique_ptr<ExchangeCopy> Next(ExchangeList& exchanges) {
    EXPECT_TRUE(Eventually([&] { return exchanges.count() > 0; }));
    return exchanges.Take();
  }
};

TEST_F(GatewayCopyTest, HandsBothBodiesOverWithTheEvent) {
  ScriptedUpstream upstream([](Connection& c) {
    c.ReadHead();
    c.Read(3);
    c.Answer("answer", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n");
    c.ReadHead();
    c.ReadTo("0\r\n\r\n");
    c.Send(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
        "Inference-Header-Content-Length: 2\r\n\r\n3\r\nfir\r\n2\r\nst\r\n0\r\n\r\n");
  });
  ExchangeList exchanges;
  AddVersion(3, upstream);
  StartWith(exchanges);
  RawClient client(port_);
  client.Send(Post("ask", "X-Request-Id: r-7\r\nContent-Type: application/json\r\n"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "answer");
  auto copy = Next(exchanges);
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->request.body, "ask");
  EXPECT_EQ(copy->request.content_type, "application/json");
  EXPECT_EQ(copy->response.body, "answer");
  EXPECT_EQ(copy->response.content_encoding, "gzip");
  EXPECT_EQ(copy->event().model, "digits");
  EXPECT_EQ(copy->event().version, 3);
  EXPECT_EQ(copy->event().request_id, "r-7");
  EXPECT_EQ(copy->event().outcome, StatusCode::kOk);
  EXPECT_EQ(copy->event().response_bytes, 6u);
  client.Send(
      "POST / HTTP/1.1\r\nHost: t\r\nInference-Header-Content-Length: 1\r\n"
      "Connection: close\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3\r\none\r\n3;x=y\r\ntwo\r\n0\r\n\r\n");
  EXPECT_TRUE(client.ReadUntilClosed().ends_with("0\r\n\r\n"));
  copy = Next(exchanges);
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->request.body, "onetwo");
  EXPECT_EQ(copy->request.json_bytes, 1u);
  EXPECT_EQ(copy->response.body, "first");
  EXPECT_EQ(copy->response.json_bytes, 2u);
  copy.reset();
  EXPECT_EQ(exchanges.held(), 0u);
  EXPECT_TRUE(events_.all().empty()) << "they are told of once, by who decodes them";
}

TEST_F(GatewayCopyTest, ABodyThatIsTooLongPassesWhole) {
  const std::string large(300'000, 'x');
  ScriptedUpstream upstream([&](Connection& c) {
    c.ReadHead();
    EXPECT_EQ(c.Read(large.size()), large);
    c.Answer(large);
  });
  ExchangeList exchanges(1000);
  AddVersion(1, upstream);
  StartWith(exchanges);
  RawClient client(port_);
  client.Send(Post(large));
  EXPECT_EQ(BodyOf(client.ReadResponse()), large);
  auto copy = Next(exchanges);
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->request.state, HttpBody::State::kTooLong);
  EXPECT_EQ(copy->response.state, HttpBody::State::kTooLong);
  EXPECT_EQ(exchanges.held(), 0u);
}

TEST_F(GatewayCopyTest, WithoutRoomTheEventIsToldAlone) {
  ScriptedUpstream upstream([](Connection& c) {
    for (std::string head; !(head = c.ReadHead()).empty();) {
      c.Read(3);
      c.Answer("ok");
    }
  });
  ExchangeList exchanges;
  exchanges.SetFull(true);
  AddVersion(1, upstream);
  StartWith(exchanges);
  EXPECT_EQ(BodyOf(Ask(Post("ask"))), "ok");
  EXPECT_TRUE(Eventually([&] { return events_.all().size() == 1; }));
  EXPECT_EQ(events_.all()[0].outcome, StatusCode::kOk);
  EXPECT_EQ(exchanges.held(), 0u);
}

TEST_F(GatewayCopyTest, OnlyBodiesOfPredictionsAreCopiedAndOnlyOfASample) {
  ScriptedUpstream upstream([](Connection& c) {
    for (std::string head; !(head = c.ReadHead()).empty();) {
      if (head.starts_with("POST")) c.Read(3);
      c.Answer("ok");
    }
  });
  AddVersion(1, upstream);
  options_.routes = {
      {.path = "/health", .service = "digits", .predictions = RouteOptions::Predictions::kNone},
      {.path = "/off", .service = "digits"},
      {.path = "/half", .service = "digits"},
      {.service = "digits"}};
  options_.routes[1].decode.sample = 0;
  options_.routes[2].decode.sample = 0.5;
  ExchangeList exchanges;
  StartWith(exchanges);
  RawClient client(port_);
  auto ask = [&](const std::string& path) {
    client.Send("POST " + path + " HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nask");
    EXPECT_EQ(BodyOf(client.ReadResponse()), "ok");
  };
  ask("/health");
  ask("/off");
  client.Send(Get("/"));  // without a body
  EXPECT_EQ(BodyOf(client.ReadResponse()), "ok");
  ask("/");
  EXPECT_EQ(exchanges.count(), 1u);
  EXPECT_EQ(exchanges.unsampled(), 0);
  EXPECT_EQ(events_.all().size(), 2u) << "/off and /";
  auto whole = exchanges.Take();
  EXPECT_EQ(whole->source(), 3u);
  EXPECT_EQ(whole->event().feature_weight, 1);
  for (int i = 0; i < 200; ++i) ask("/half");
  const size_t sampled = exchanges.count();
  EXPECT_GT(sampled, 60u);
  EXPECT_LT(sampled, 140u);
  EXPECT_EQ(exchanges.unsampled(), static_cast<int>(200 - sampled));
  EXPECT_EQ(events_.all().size(), 2 + 200 - sampled) << "those are told of as well";
  EXPECT_EQ(exchanges.Take()->event().feature_weight, 2);
}

TEST_F(GatewayCopyTest, AFailureIsToldWithTheRequestAndWithoutItsText) {
  ScriptedUpstream upstream([](Connection& c) {
    c.ReadHead();
    c.Read(3);
    c.Send("HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nsorry");
  });
  ExchangeList exchanges;
  AddVersion(1, upstream);
  StartWith(exchanges);
  EXPECT_EQ(StatusOf(Ask(Post("ask"))), 500);
  auto copy = Next(exchanges);
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->request.body, "ask");
  EXPECT_EQ(copy->response.body, "");
  EXPECT_EQ(copy->event().outcome, StatusCode::kInternal);
}

// The end
// -----------------------------------------------------------------------------------------------------------------

TEST_F(GatewayTest, ADrainLosesNoRequest) {
  std::atomic<bool> go{false};
  ScriptedUpstream upstream([&](Connection& c) {
    while (!c.ReadHead().empty()) {
      EXPECT_TRUE(Eventually([&] { return go.load(); }));
      c.Answer("ok");
    }
  });
  AddVersion(1, upstream);
  service().timeouts.per_try = 10s;
  Start();
  RawClient idle(port_), busy(port_);
  busy.Send(Get("/"));
  EXPECT_TRUE(Eventually([&] { return upstream.connections() == 1; }));
  gateway_->BeginDrain(10s);
  idle.Send(Get("/"));  // its request is on its way just now
  EXPECT_TRUE(Eventually([&] { return !RawClient(port_).connected(); }));
  EXPECT_FALSE(gateway_->AwaitDrained(10ms));
  go = true;
  const std::string answer = busy.ReadResponse();
  EXPECT_EQ(BodyOf(answer), "ok");
  EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos);
  EXPECT_EQ(BodyOf(idle.ReadResponse()), "ok");
  busy.Close();
  idle.Close();
  EXPECT_TRUE(gateway_->AwaitDrained(5s));
}

TEST_F(GatewayTest, ADrainEndsWithItsGrace) {
  const ScriptedUpstream& upstream = AddOneThatHangs();
  service().timeouts.per_try = 60s;
  Start();
  RawClient client(port_);
  client.Send(Get("/"));
  EXPECT_TRUE(Eventually([&] { return upstream.connections() == 1; }));
  gateway_->BeginDrain(200ms);
  EXPECT_TRUE(gateway_->AwaitDrained(5s));
  EXPECT_EQ(client.ReadUntilClosed(), "");
}

TEST_F(GatewayTest, AnAddressThatIsTakenIsNamed) {
  ScriptedUpstream other(Echo);
  AddVersion(1, other);
  const std::string endpoint = other.endpoint();
  options_.listeners[0].port =
      static_cast<uint16_t>(std::atoi(endpoint.substr(endpoint.find(':') + 1).c_str()));
  gateway_ = Gateway::Create({SystemClock(), events_, registry_}, options_);
  const Status started = gateway_->Start();
  EXPECT_EQ(started.code(), StatusCode::kUnavailable);
  EXPECT_NE(started.message().find("gateway.listeners: cannot listen on " + endpoint),
            std::string_view::npos)
      << started;
}

}  // namespace
}  // namespace leadsman::gateway
