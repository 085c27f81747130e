#include "gateway/mirror.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/strings.h"
#include "gateway/testing/exchange_list.h"
#include "gateway/testing/gateway_fixture.h"
#include "gateway/testing/mirror_fixture.h"
#include "support/eventually.h"

namespace leadsman::gateway {
namespace {

using namespace std::chrono_literals;
using Connection = ScriptedUpstream::Connection;
using net::RawClient;

size_t LengthOf(const std::string& head) {
  const size_t at = head.find("Content-Length: ");
  return at == std::string::npos ? 0 : static_cast<size_t>(std::atoi(head.c_str() + at + 16));
}

/// A whole request, with its body; "" when the client has gone.
std::string TakeRequest(Connection& c) {
  const std::string head = c.ReadHead();
  return head + c.Read(LengthOf(head));
}

/// What came to an upstream.
class Requests {
 public:
  /// Keeps each, and gives the same answer to all.
  ScriptedUpstream::Script Answers(const std::string& body) {
    return [this, body](Connection& c) {
      for (std::string request; !(request = TakeRequest(c)).empty();) {
        {
          MutexLock lock(mutex_);
          all_.push_back(std::move(request));
        }
        c.Answer(body);
      }
    };
  }
  std::vector<std::string> all() const {
    MutexLock lock(mutex_);
    return all_;
  }

 private:
  mutable Mutex mutex_;
  std::vector<std::string> all_ GUARDED_BY(mutex_);
};

/// Version 1 answers "live", and version 2 is the mirror's.
class MirrorTest : public MirrorFixture<GatewayTest> {
 protected:
  MirrorTest() : live_(originals_.Answers("live")) {
    AddVersion(1, live_, 1);
    // Originals always have time.
    service().timeouts = {.connect = 30s, .per_try = 30s, .idle = 30s};
  }

  void StartMirroringTo(const std::string& endpoint) {
    MirrorFixture::StartMirroringTo(endpoint, exchanges_);
  }
  void StartMirroringTo(const ScriptedUpstream& shadow) { StartMirroringTo(shadow.endpoint()); }
  /// One after the other, on one connection.
  void AskTimes(int times) {
    RawClient client(port_);
    for (int i = 0; i < times; ++i) {
      ASSERT_TRUE(client.Send(Post("ask")));
      ASSERT_EQ(client.ReadResponse(), kLive) << "request " << i;
    }
  }
  /// What is said of version 1, and nothing is of version 2.
  void ExpectNothingButTheOriginals(size_t requests) {
    EXPECT_EQ(originals_.all().size(), requests);
    EXPECT_EQ(events_.all().size(), requests);
    for (const EventList::Event& event : events_.all()) {
      EXPECT_EQ(event.version, 1);
      EXPECT_EQ(event.outcome, StatusCode::kOk);
    }
    ExpectOnlyOriginalsCount(requests);
  }
  /// Each that was sent has an end.
  void ExpectAllOver() {
    ExpectNothingUnderWay();
    EXPECT_TRUE(Eventually([&] {
      const MirrorView view = *gateway_->view().services[0].mirror;
      uint64_t unanswered = 0;
      for (const auto& [reason, count] : view.unanswered) unanswered += count;
      return view.sent == view.answered + unanswered;
    }));
  }

  static constexpr const char* kLive = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlive";
  ExchangeSink* exchanges_ = nullptr;  ///< who compares, if somebody does
  Requests originals_, copies_;
  ScriptedUpstream live_;
};

TEST_F(MirrorTest, ACopyIsTheOriginalAndMarkedAsACopy) {
  ScriptedUpstream shadow(copies_.Answers("shadow"));
  StartMirroringTo(shadow);
  const std::string request =
      "POST /p?q=1 HTTP/1.1\r\nHost: models.example\r\nX-Request-Id: r-7\r\n"
      "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
  EXPECT_EQ(Ask(request + "Content-Length: 3\r\n\r\nask"), kLive);
  ASSERT_TRUE(Eventually([&] { return copies_.all().size() == 1; }));
  const std::string forwarded = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n";
  EXPECT_EQ(copies_.all()[0],
            request + forwarded + "X-Leadsman-Shadow: true\r\nContent-Length: 3\r\n\r\nask");
  EXPECT_EQ(originals_.all()[0], request + "Content-Length: 3\r\n" + forwarded + "\r\nask");
  EXPECT_TRUE(Becomes(1, [&] { return Answered("2xx"); }));
  EXPECT_EQ(Sent(), 1);
  ExpectAllOver();
  ExpectNothingButTheOriginals(1);
}

TEST_F(MirrorTest, ChunksAndExpectationsAreOfTheOriginalAlone) {
  ScriptedUpstream live([](Connection& c) {
    c.ReadHead();
    c.Send("HTTP/1.1 100 Continue\r\n\r\n");
    c.ReadTo("0\r\n\r\n");
    c.Answer("ok");
  });
  ScriptedUpstream shadow(copies_.Answers("shadow"));
  service().versions[0].endpoints = {live.endpoint()};
  StartMirroringTo(shadow);
  RawClient client(port_);
  client.Send(
      "POST / HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
  client.ReadResponse();
  client.Send("3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "ok");
  ASSERT_TRUE(Eventually([&] { return copies_.all().size() == 1; }));
  EXPECT_EQ(copies_.all()[0],
            "POST / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: "
            "http\r\nX-Leadsman-Shadow: true\r\nContent-Length: 6\r\n\r\nonetwo");
}

TEST_F(MirrorTest, WithoutAHostTheCopyNamesTheMirrorsEndpoint) {
  ScriptedUpstream shadow(copies_.Answers("shadow"));
  StartMirroringTo(shadow);
  EXPECT_EQ(StatusOf(Ask("POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nask")), 200);
  ASSERT_TRUE(Eventually([&] { return copies_.all().size() == 1; }));
  EXPECT_NE(copies_.all()[0].find("Host: " + shadow.endpoint() + "\r\n"), std::string::npos)
      << copies_.all()[0];
  EXPECT_NE(originals_.all()[0].find("Host: " + live_.endpoint() + "\r\n"), std::string::npos)
      << originals_.all()[0];
}

TEST_F(MirrorTest, ThreadsShareTheMirror) {
  options_.io_threads = 3;
  ScriptedUpstream shadow(copies_.Answers("shadow"));
  mirror().max_concurrent = 1000;
  StartMirroringTo(shadow);
  std::vector<std::thread> clients;
  for (int i = 0; i < 6; ++i) clients.emplace_back([&] { AskTimes(30); });
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(Becomes(180, [&] { return Answered("2xx"); }));
  EXPECT_EQ(Sent(), 180);
  EXPECT_EQ(copies_.all().size(), 180u);
  ExpectAllOver();
  ExpectNothingButTheOriginals(180);
}

TEST_F(MirrorTest, OnlyPredictionsByGetAndPostAreCopied) {
  ScriptedUpstream shadow(copies_.Answers("shadow"));
  options_.routes = {
      {.path = "/health", .service = "digits", .predictions = RouteOptions::Predictions::kNone},
      {.service = "digits"}};
  StartMirroringTo(shadow);
  for (const char* method : {"PUT", "DELETE", "PATCH", "OPTIONS"})
    EXPECT_EQ(StatusOf(Ask(StrCat(method, " / HTTP/1.1\r\nHost: t\r\n\r\n"))), 200) << method;
  EXPECT_EQ(StatusOf(Ask(Get("/health"))), 200);
  EXPECT_EQ(StatusOf(Ask(Get("/", "X-Leadsman-Shadow: true\r\n"))), 200) << "of another gateway";
  EXPECT_EQ(BodyOf(Ask(Get("/", "X-Leadsman-Version: 2\r\n"))), "shadow") << "answers itself";
  EXPECT_EQ(StatusOf(Ask(Get("/predict?x=1"))), 200);
  EXPECT_TRUE(Becomes(1, [&] { return Answered("2xx"); }));
  EXPECT_EQ(Sent(), 1);
  ASSERT_EQ(copies_.all().size(), 2u) << "the one by name, and the copy";
  EXPECT_EQ(copies_.all()[1],
            "GET /predict?x=1 HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 127.0.0.1\r\n"
            "X-Forwarded-Proto: http\r\nX-Leadsman-Shadow: true\r\n\r\n");
}

TEST_F(MirrorTest, AShareOfThemIsDrawn) {
  ScriptedUpstream shadow(copies_.Answers("shadow"));
  mirror().share = 0.5;
  StartMirroringTo(shadow);
  for (int i = 0; i < 10; ++i) {  // no more at once than a shadow takes
    AskTimes(30);
    ExpectAllOver();
  }
  EXPECT_GT(Sent(), 100);
  EXPECT_LT(Sent(), 200);
  EXPECT_EQ(gateway_->view().services[0].mirror->share, 0.5);
}

TEST_F(MirrorTest, ConnectionsToTheMirrorAreKept) {
  service().timeouts.keep_alive = 60s;
  ScriptedUpstream shadow(copies_.Answers("shadow"));
  StartMirroringTo(shadow);
  for (int i = 1; i <= 20; ++i) {
    AskTimes(1);
    ASSERT_TRUE(Becomes(i, [&] { return Answered("2xx"); }));
  }
  EXPECT_EQ(shadow.connections(), 1);
}

// Whatever it does
// -------------------------------------------------------------------------------------------------------

struct RudeCase {
  std::string name;
  ScriptedUpstream::Script script;
  std::string counter, reason;
};

class RudeMirrorTest : public MirrorTest, public testing::WithParamInterface<RudeCase> {};

TEST_P(RudeMirrorTest, NoOriginalIsTheWorseForIt) {
  constexpr int kTimes = 30;
  ScriptedUpstream shadow(GetParam().script);
  mirror().timeout = GetParam().reason == "timeout" ? 100ms : 60s;
  StartMirroringTo(shadow);
  AskTimes(kTimes);
  EXPECT_TRUE(Becomes(kTimes, [&] { return OfBy(GetParam().counter, GetParam().reason); }))
      << OfBy(GetParam().counter, GetParam().reason) << " of " << Sent();
  EXPECT_EQ(Sent(), kTimes);
  ExpectAllOver();
  ExpectNothingButTheOriginals(kTimes);
}

/// To every request; keeps the connection.
ScriptedUpstream::Script Always(const std::string& bytes) {
  return [bytes](Connection& c) {
    while (!TakeRequest(c).empty()) c.Send(bytes);
  };
}

/// To one, and ends.
ScriptedUpstream::Script After(const std::string& bytes) {
  return [bytes](Connection& c) {
    if (TakeRequest(c).empty()) return;
    c.Send(bytes);
  };
}

INSTANTIATE_TEST_SUITE_P(
    Mirrors, RudeMirrorTest,
    testing::Values(
        RudeCase{"Hangs",
                 [](Connection& c) {
                   c.ReadHead();
                   c.AwaitEnd();
                 },
                 "unanswered_total", "timeout"},
        RudeCase{"HangsInTheBody",
                 [](Connection& c) {
                   TakeRequest(c);
                   c.Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
                   c.AwaitEnd();
                 },
                 "unanswered_total", "timeout"},
        RudeCase{"EndsWithoutAWord", After(""), "unanswered_total", "closed"},
        RudeCase{"Resets",
                 [](Connection& c) {
                   TakeRequest(c);
                   c.Reset();
                 },
                 "unanswered_total", "closed"},
        RudeCase{"EndsInTheBody", After("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
                 "unanswered_total", "closed"},
        RudeCase{"SpeaksNoHttp", After("SSH-2.0-OpenSSH_9.2\r\n\r\n"), "unanswered_total",
                 "bad_answer"},
        RudeCase{"BreaksItsChunks",
                 After("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
                 "unanswered_total", "bad_answer"},
        RudeCase{"SwitchesProtocols", After("HTTP/1.1 101 Yes\r\nUpgrade: x\r\n\r\n"),
                 "unanswered_total", "bad_answer"},
        RudeCase{"AnswersErrors", Always("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
                 "answers_total", "5xx"},
        RudeCase{"SaysNothing", Always("HTTP/1.1 204 No\r\n\r\n"), "answers_total", "2xx"},
        RudeCase{"AnswersUntilItEnds", After("HTTP/1.1 200 OK\r\n\r\nall"), "answers_total", "2xx"},
        RudeCase{"AnswersWithoutEnd",
                 [](Connection& c) {
                   if (TakeRequest(c).empty()) return;
                   c.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                   const std::string chunk = "10000\r\n" + std::string(65'536, 'x') + "\r\n";
                   while (c.Send(chunk)) {
                   }
                 },
                 "answers_total", "2xx"},
        RudeCase{"PromisesAHundredMegabytes",
                 After("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\nxxx"), "answers_total",
                 "2xx"}),
    [](const auto& info) { return info.param.name; });

TEST_F(MirrorTest, OneThatRefusesIsNotConnected) {
  StartMirroringTo(DeadEndpoint());
  AskTimes(20);
  EXPECT_TRUE(Becomes(20, [&] { return Unsent("not_connected"); }));
  EXPECT_EQ(Sent(), 0);
  ExpectAllOver();
  ExpectNothingButTheOriginals(20);
}

TEST_F(MirrorTest, ANameIsReachedByAnyOfItsAddresses) {
  ScriptedUpstream shadow(copies_.Answers("shadow"));
  // Of which the upstream takes one alone; where it stands for no other, there is nothing to see.
  StartMirroringTo("localhost" + shadow.endpoint().substr(shadow.endpoint().rfind(':')));
  ASSERT_TRUE(Eventually(
      [&] { return gateway_->view().services[0].versions[1].endpoints[0].state != "unresolved"; }));
  AskTimes(10);
  EXPECT_TRUE(Becomes(10, [&] { return Answered("2xx"); }));
  EXPECT_EQ(Unsent("not_connected"), 0);
  ExpectAllOver();
}

TEST_F(MirrorTest, OneThatIsNotHealthyIsLeftAlone) {
  service().health.path = "/healthz";
  service().health.interval = 10ms;
  StartMirroringTo(DeadEndpoint());
  EXPECT_TRUE(Eventually([&] {
    return gateway_->view().services[0].versions[1].endpoints[0].state == "unhealthy" &&
           gateway_->view().services[0].versions[0].ready;
  }));
  EXPECT_EQ(Ask(Post("ask")), kLive);
  EXPECT_TRUE(Becomes(1, [&] { return Unsent("no_endpoint"); }));
  ASSERT_EQ(gateway_->Problems().size(), 1u);
  EXPECT_TRUE(gateway_->Problems()[0].starts_with("service digits version 2 (mirror): "));
}

// The budget
// -------------------------------------------------------------------------------------------------------

TEST_F(MirrorTest, CopiesBeyondTheBudgetAreDropped) {
  ScriptedUpstream shadow(Hang);
  mirror().max_concurrent = 3;
  mirror().timeout = 60s;
  StartMirroringTo(shadow);
  AskTimes(10);
  EXPECT_TRUE(Becomes(7, [&] { return Unsent("busy"); }));
  EXPECT_TRUE(Becomes(3, [&] { return Sent(); }));
  EXPECT_EQ(Of("in_flight"), 3);
  ExpectNothingButTheOriginals(10);
}

TEST_F(MirrorTest, ABodyThatIsTooLongIsNotCopied) {
  ScriptedUpstream shadow(copies_.Answers("shadow"));
  mirror().max_body = 10;
  StartMirroringTo(shadow);
  EXPECT_EQ(Ask(Post("0123456789")), kLive);
  EXPECT_EQ(Ask(Post("0123456789x")), kLive);
  EXPECT_TRUE(Becomes(1, [&] { return Answered("2xx"); }));
  EXPECT_EQ(Unsent("too_large"), 1);
  ExpectAllOver();
}

TEST_F(MirrorTest, AChunkedBodyIsTooLongWhenItBecomesSo) {
  ScriptedUpstream live([](Connection& c) {
    c.ReadHead();
    c.ReadTo("0\r\n\r\n");
    c.Answer("ok");
  });
  service().versions[0].endpoints = {live.endpoint()};
  ScriptedUpstream shadow(copies_.Answers("shadow"));
  mirror().max_body = 10;
  StartMirroringTo(shadow);
  EXPECT_EQ(BodyOf(Ask("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "6\r\n012345\r\n6\r\n012345\r\n0\r\n\r\n")),
            "ok");
  EXPECT_TRUE(Becomes(1, [&] { return Unsent("too_large"); }));
  EXPECT_EQ(Sent(), 0);
  ExpectAllOver();
}

TEST_F(MirrorTest, BodiesBeyondTheMemoryOfAllAreNotCopied) {
  ScriptedUpstream shadow(copies_.Answers("shadow"));
  mirror().max_held_bytes = 1000;
  StartMirroringTo(shadow);
  EXPECT_EQ(Ask(Post(std::string(1001, 'x'))), kLive);
  EXPECT_EQ(Ask(Get("/", "X-Long: " + std::string(1000, 'x') + "\r\n")), kLive);
  EXPECT_EQ(Ask(Post(std::string(500, 'x'))), kLive);
  EXPECT_TRUE(Becomes(1, [&] { return Answered("2xx"); }));
  EXPECT_EQ(Unsent("no_memory"), 2) << "a body, and a head";
  ExpectAllOver();
}

TEST_F(MirrorTest, WhatTheMirrorDoesNotReadIsHeldUntilItDoes) {
  std::atomic<bool> over{false};
  ScriptedUpstream shadow([&](Connection&) { Eventually([&] { return over.load(); }); });
  mirror().max_body = 32 << 20;
  mirror().max_held_bytes = 24 << 20;
  mirror().timeout = 60s;
  StartMirroringTo(shadow);
  const std::string body(16 << 20, 'x');  // more than sockets take
  EXPECT_EQ(Ask(Post(body)), kLive);
  EXPECT_TRUE(Becomes(1, [&] { return Sent(); }));
  EXPECT_GE(Of("held_bytes"), 16 << 20);
  EXPECT_EQ(Ask(Post(body)), kLive);
  EXPECT_TRUE(Becomes(1, [&] { return Unsent("no_memory"); }));
  over = true;
  EXPECT_TRUE(Becomes(1, [&] { return Unanswered("closed"); }));
  EXPECT_EQ(Sent(), 1);
  ExpectAllOver();
}

TEST_F(MirrorTest, ALongBodyComesWhole) {
  ScriptedUpstream shadow(copies_.Answers("shadow"));
  mirror().max_body = 32 << 20;
  StartMirroringTo(shadow);
  std::string body(12 << 20, 'x');
  for (size_t i = 0; i < body.size(); i += 1000) body[i] = static_cast<char>('a' + i / 1000 % 26);
  EXPECT_EQ(Ask(Post(body)), kLive);
  EXPECT_TRUE(Becomes(1, [&] { return Answered("2xx"); }));
  ASSERT_EQ(copies_.all().size(), 1u);
  EXPECT_TRUE(copies_.all()[0].ends_with("\r\n\r\n" + body));
  ExpectAllOver();
}

TEST_F(MirrorTest, OriginalsThatDidNotEndHaveNoCopy) {
  ScriptedUpstream shadow(copies_.Answers("shadow"));
  StartMirroringTo(shadow);
  {
    RawClient client(port_);
    client.Send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhalf");
  }
  EXPECT_TRUE(Becomes(1, [&] { return Unsent("unfinished"); }));
  EXPECT_EQ(Sent(), 0);
  ExpectAllOver();
}

TEST_F(MirrorTest, AFailureOfTheOriginalIsCopiedToo) {
  ScriptedUpstream shadow(copies_.Answers("shadow"));
  service().versions[0].endpoints = {DeadEndpoint()};
  service().retries.max = 0;
  StartMirroringTo(shadow);
  EXPECT_EQ(StatusOf(Ask(Get("/"))), 502);
  EXPECT_TRUE(Becomes(1, [&] { return Answered("2xx"); }));
  ExpectAllOver();
}

// The answers
// -------------------------------------------------------------------------------------------------------

class ComparedMirrorTest : public MirrorTest {
 protected:
  ComparedMirrorTest() { exchanges_ = &list_; }
  ~ComparedMirrorTest() override { gateway_.reset(); }
  std::unique_ptr<ShadowPair> NextPair() {
    EXPECT_TRUE(Eventually([&] { return list_.pair_count() > 0; }));
    return list_.TakePair();
  }
  ExchangeList list_;
};

TEST_F(ComparedMirrorTest, BothAnswersAreHandedOverTogether) {
  ScriptedUpstream shadow(
      Always("HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n"
             "3\r\nsha\r\n3\r\ndow\r\n0\r\n\r\n"));
  mirror().tolerance = 0.25;
  StartMirroringTo(shadow);
  EXPECT_EQ(Ask(Post("ask", "X-Request-Id: r-7\r\n")), kLive);
  const auto pair = NextPair();
  ASSERT_NE(pair, nullptr);
  EXPECT_EQ(pair->live.event().model, "digits");
  EXPECT_EQ(pair->live.event().version, 1);
  EXPECT_EQ(pair->live.event().request_id, "r-7");
  EXPECT_EQ(pair->live.event().outcome, StatusCode::kOk);
  EXPECT_GT(pair->live.event().latency_ns, 0u);
  EXPECT_EQ(pair->live.response.body, "live");
  EXPECT_EQ(pair->live.request.state, HttpBody::State::kAbsent) << "it has been sent";
  EXPECT_EQ(pair->shadow.event().version, 2);
  EXPECT_EQ(pair->shadow.event().request_id, "r-7");
  EXPECT_EQ(pair->shadow.event().outcome, StatusCode::kOk);
  EXPECT_EQ(pair->shadow.response.body, "shadow");
  EXPECT_EQ(pair->shadow.response.content_type, "text/csv");
  EXPECT_EQ(pair->tolerance, 0.25);
  EXPECT_EQ(Of("held_bytes"), 10);
  EXPECT_TRUE(Eventually([&] { return list_.count() == 1; })) << "the original, as ever";
  EXPECT_EQ(list_.Take()->response.body, "live");
}

TEST_F(ComparedMirrorTest, WhatIsTooLongOfAnAnswerIsNotKept) {
  ScriptedUpstream shadow(Always("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n0123456789x"));
  mirror().max_body = 10;
  StartMirroringTo(shadow);
  EXPECT_EQ(Ask(Post("ask")), kLive);
  const auto pair = NextPair();
  ASSERT_NE(pair, nullptr);
  EXPECT_EQ(pair->live.response.body, "live");
  EXPECT_EQ(pair->shadow.response.state, HttpBody::State::kTooLong);
  EXPECT_EQ(pair->shadow.event().outcome, StatusCode::kOk);
}

TEST_F(ComparedMirrorTest, FailuresAreToldOnEitherSide) {
  ScriptedUpstream live([](Connection& c) {
    TakeRequest(c);
    c.Send("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno");
    while (!TakeRequest(c).empty()) c.Answer("live");
  });
  service().versions[0].endpoints = {live.endpoint()};
  ScriptedUpstream shadow([](Connection& c) {
    TakeRequest(c);
    c.Answer("shadow");
    TakeRequest(c);
    c.Send("HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno");
    TakeRequest(c);  // and ends
  });
  service().timeouts.keep_alive = 60s;
  StartMirroringTo(shadow);
  RawClient client(port_);
  auto ask = [&] {
    client.Send(Post("ask"));
    client.ReadResponse();
    return NextPair();
  };
  auto pair = ask();
  EXPECT_EQ(pair->live.event().outcome, StatusCode::kInternal);
  EXPECT_EQ(pair->live.response.body, "");
  EXPECT_EQ(pair->shadow.event().outcome, StatusCode::kOk);
  pair = ask();
  EXPECT_EQ(pair->live.event().outcome, StatusCode::kOk);
  EXPECT_EQ(pair->shadow.event().outcome, StatusCode::kUnavailable);
  EXPECT_EQ(pair->shadow.response.body, "");
  pair = ask();
  EXPECT_EQ(pair->shadow.event().outcome, StatusCode::kUnavailable);
  EXPECT_EQ(Unanswered("closed"), 1);
}

TEST_F(ComparedMirrorTest, AnOriginalThatIsCutHasFailedAsACopyHas) {
  const auto cut = After("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
  ScriptedUpstream live(cut), shadow(cut);
  service().versions[0].endpoints = {live.endpoint()};
  StartMirroringTo(shadow);
  EXPECT_EQ(StatusOf(Ask(Post("ask"))), 200);
  auto pair = NextPair();
  ASSERT_NE(pair, nullptr);
  EXPECT_EQ(pair->live.event().outcome, StatusCode::kUnavailable);
  EXPECT_EQ(pair->shadow.event().outcome, StatusCode::kUnavailable);
  EXPECT_EQ(Unsent("unfinished"), 0);
  pair.reset();
  ExpectAllOver();
}

TEST_F(ComparedMirrorTest, OfAnOriginalTheFirstTryCountsAsACopyHasNoOther) {
  std::atomic<int> times{0};
  ScriptedUpstream live([&](Connection& c) {
    while (!TakeRequest(c).empty()) {
      if (times++ == 0) return;  // without a word
      c.Answer("live");
    }
  });
  service().versions[0].endpoints = {live.endpoint()};
  service().retries.max = 2;
  service().retries.posts = true;
  ScriptedUpstream shadow(copies_.Answers("shadow"));
  StartMirroringTo(shadow);
  EXPECT_EQ(Ask(Post("ask")), kLive);
  auto pair = NextPair();
  ASSERT_NE(pair, nullptr);
  EXPECT_EQ(pair->live.event().outcome, StatusCode::kUnavailable);
  EXPECT_EQ(pair->shadow.event().outcome, StatusCode::kOk);
  EXPECT_EQ(Ask(Post("ask")), kLive);
  pair = NextPair();
  ASSERT_NE(pair, nullptr);
  EXPECT_EQ(pair->live.event().outcome, StatusCode::kOk);
  pair.reset();
  ExpectAllOver();
}

TEST_F(ComparedMirrorTest, WhereNoEndpointIsTriedNothingIsCompared) {
  service().health.path = "/healthz";
  service().health.interval = 10ms;
  service().versions[0].endpoints = {DeadEndpoint()};
  ScriptedUpstream shadow(copies_.Answers("shadow"));
  StartMirroringTo(shadow);
  EXPECT_TRUE(Eventually(
      [&] { return gateway_->view().services[0].versions[0].endpoints[0].state == "unhealthy"; }));
  EXPECT_EQ(StatusOf(Ask(Post("ask"))), 503);
  EXPECT_TRUE(Becomes(1, [&] { return Unsent("unfinished"); }));
  EXPECT_EQ(list_.pair_count(), 0u);
}

TEST_F(ComparedMirrorTest, OneThatRefusesHasFailedToAnswer) {
  StartMirroringTo(DeadEndpoint());
  EXPECT_EQ(Ask(Post("ask", "X-Request-Id: r-7\r\n")), kLive);
  auto pair = NextPair();
  ASSERT_NE(pair, nullptr);
  EXPECT_EQ(pair->live.event().outcome, StatusCode::kOk);
  EXPECT_EQ(pair->shadow.event().outcome, StatusCode::kUnavailable);
  EXPECT_EQ(pair->shadow.event().version, 2);
  EXPECT_EQ(pair->shadow.event().request_id, "r-7");
  EXPECT_EQ(Unsent("not_connected"), 1);
  EXPECT_EQ(Sent(), 0);
  pair.reset();
  ExpectAllOver();
}

TEST_F(ComparedMirrorTest, WhatTheBudgetDropsHasNotFailed) {
  ScriptedUpstream shadow(Hang);
  mirror().max_concurrent = 1;
  mirror().timeout = 60s;
  StartMirroringTo(shadow);
  AskTimes(5);
  EXPECT_TRUE(Becomes(4, [&] { return Unsent("busy"); }));
  EXPECT_EQ(list_.pair_count(), 0u);
}

TEST_F(ComparedMirrorTest, CopiesThatTheEndDropsAreNotCompared) {
  ScriptedUpstream shadow(Hang);
  mirror().timeout = 60s;
  StartMirroringTo(shadow);
  AskTimes(3);
  EXPECT_TRUE(Becomes(3, [&] { return Sent(); }));
  gateway_->BeginDrain(60s);
  EXPECT_TRUE(gateway_->AwaitDrained(20s));
  EXPECT_EQ(list_.pair_count(), 0u);
}

// The end
// -------------------------------------------------------------------------------------------------------

TEST_F(MirrorTest, ADrainDoesNotWaitForCopies) {
  ScriptedUpstream shadow(Hang);
  mirror().timeout = 60s;
  StartMirroringTo(shadow);
  AskTimes(4);
  EXPECT_TRUE(Becomes(4, [&] { return Sent(); }));
  gateway_->BeginDrain(60s);
  EXPECT_TRUE(gateway_->AwaitDrained(20s));
  EXPECT_EQ(Unanswered("draining"), 4);
  ExpectAllOver();
}

}  // namespace
}  // namespace leadsman::gateway
