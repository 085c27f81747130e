#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "gateway/testing/gateway_fixture.h"
#include "support/eventually.h"

namespace leadsman::gateway {
namespace {

using namespace std::chrono_literals;
using Connection = ScriptedUpstream::Connection;
using net::RawClient;

/// A gateway whose configuration changes while it runs.
class GatewayReloadTest : public GatewayTest {
 protected:
  Status Apply(const std::set<std::string>& planned = {}) {
    return gateway_->Apply(options_, planned);
  }
  VersionOptions& version(size_t index) { return service().versions[index]; }
  VersionView Version(size_t index) { return gateway_->view().services[0].versions[index]; }
  /// On the same connection.
  static std::string Again(RawClient& client, const std::string& fields = "") {
    EXPECT_TRUE(client.Send(Get("/", fields)));
    return BodyOf(client.ReadResponse());
  }
};

TEST_F(GatewayReloadTest, UnderLoadLosesNoRequest) {
  ScriptedUpstream a(Says("1")), b(Says("1")), c(Says("2"));
  AddVersion(1, {a.endpoint(), b.endpoint()}, 1.0);
  AddVersion(2, c, 0.0);
  options_.io_threads = 3;
  service().retries.max = 0;  // nothing is made good
  Start();
  std::atomic<bool> stop{false};
  std::atomic<int> asked{0}, lost{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 6; ++i) {
    clients.emplace_back([&, keeps = i % 3 != 0] {
      auto client = std::make_unique<RawClient>(port_);
      while (!stop) {
        if (!keeps) client = std::make_unique<RawClient>(port_);
        const bool sent = client->Send(Post(std::string(1000, 'x')));
        const std::string answer = sent ? client->ReadResponse() : "";
        ++asked;
        if (StatusOf(answer) == 200 && (BodyOf(answer) == "1" || BodyOf(answer) == "2")) continue;
        ++lost;
        client = std::make_unique<RawClient>(port_);
      }
    });
  }
  const Options first = options_;
  for (int round = 0; round < 40; ++round) {
    options_ = first;
    switch (round % 4) {
      case 0:  // one endpoint goes
        version(0).endpoints = {a.endpoint()};
        break;
      case 1:  // all of them, and another comes, as another version
        service().versions = {{3, {b.endpoint()}, 1.0}};
        options_.routes = {{.path = "/", .service = "digits"}};
        break;
      case 2:
        version(0).weight = 0.5;
        version(1).weight = 0.5;
        service().mirror = MirrorOptions{.version = 2};
        service().timeouts.keep_alive = 0ms;
        break;
      default:
        service().health.path = "/";
    }
    const int before = asked;
    ASSERT_TRUE(Apply().ok());
    ASSERT_TRUE(Eventually([&] { return asked > before + 10; }));
  }
  stop = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(lost, 0) << "of " << asked;
}

TEST_F(GatewayReloadTest, ARequestEndsWhereItHasBegun) {
  std::atomic<bool> go_on{false};
  ScriptedUpstream old_one([&](Connection& c) {
    c.ReadHead();
    c.Send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
    EXPECT_TRUE(Eventually([&] { return go_on.load(); }));
    c.Send("half");
    EXPECT_TRUE(c.AwaitEnd()) << "a connection to who is gone is not kept";
  });
  ScriptedUpstream new_one(Says("new"));
  AddVersion(1, old_one);
  service().timeouts.idle = service().timeouts.per_try = 30s;
  Start();
  RawClient client(port_);
  client.Send(Get("/"));
  std::string got = ReadTo(client, "half");
  version(0).endpoints = {new_one.endpoint()};
  ASSERT_TRUE(Apply().ok());
  RawClient other(port_);
  EXPECT_EQ(Again(other), "new");
  go_on = true;
  got += ReadTo(client, "half");
  EXPECT_TRUE(got.ends_with("\r\n\r\nhalfhalf")) << got;
  EXPECT_EQ(Again(client), "new") << "the client's own connection stays";
}

TEST_F(GatewayReloadTest, ARequestIsTriedAgainByWhatItHasBegunWith) {
  std::atomic<bool> end{false};
  ScriptedUpstream dies([&](Connection& c) {
    c.ReadHead();
    EXPECT_TRUE(Eventually([&] { return end.load(); }));
    c.Close();
  });
  ScriptedUpstream stays(Says("stays")), new_one(Says("new"));
  AddVersion(1, {dies.endpoint(), stays.endpoint()});
  service().timeouts.per_try = 30s;
  Start();
  std::vector<std::unique_ptr<RawClient>> clients;
  while (dies.connections() == 0) {
    clients.push_back(std::make_unique<RawClient>(port_));
    clients.back()->Send(Get("/"));
    ASSERT_TRUE(Eventually([&] {
      return dies.connections() + static_cast<int>(events_.all().size()) >=
             static_cast<int>(clients.size());
    }));
  }
  service().versions = {{2, {new_one.endpoint()}, {}}};
  ASSERT_TRUE(Apply().ok());
  end = true;
  EXPECT_EQ(BodyOf(clients.back()->ReadResponse()), "stays");
}

TEST_F(GatewayReloadTest, AKeptConnectionIsUsedByTheNewOne) {
  ScriptedUpstream upstream(Echo);
  AddVersion(1, upstream);
  service().timeouts.keep_alive = 60s;
  Start();
  RawClient client(port_);
  EXPECT_EQ(Again(client), "/");
  service().timeouts.per_try = 700ms;
  options_.routes = {{.path = "/", .service = "digits"}};
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(Again(client), "/");
  RawClient other(port_);
  EXPECT_EQ(Again(other), "/");
  EXPECT_EQ(upstream.connections(), 1);
  service().timeouts.keep_alive = 1ms;
  ASSERT_TRUE(Apply().ok());
  EXPECT_TRUE(Eventually([&] { return Version(0).endpoints[0].connections == 0; }))
      << "it is kept for as long as is configured by now";
}

TEST_F(GatewayReloadTest, ConnectionsToAnEndpointThatIsGoneAreClosed) {
  ScriptedUpstream old_one([](Connection& c) {
    c.ReadHead();
    c.Answer("old");
    EXPECT_TRUE(c.AwaitEnd());
  });
  ScriptedUpstream new_one(Says("new"));
  AddVersion(1, old_one);
  service().timeouts.keep_alive = 60s;
  Start();
  RawClient client(port_);
  EXPECT_EQ(Again(client), "old");
  version(0).endpoints = {new_one.endpoint()};
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(Again(client), "new");
}

TEST_F(GatewayReloadTest, WhatIsRefusedChangesNothing) {
  ScriptedUpstream upstream(Echo), other(Says("other"));
  AddVersion(1, upstream);
  Start();
  const Options good = options_;
  auto refused = [&](StatusCode code, const std::string& words) {
    version(0).endpoints = {other.endpoint()};
    const Status status = Apply();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_NE(std::string(status.message()).find(words), std::string::npos) << status;
    EXPECT_EQ(BodyOf(Ask(Get("/x"))), "/x");
    options_ = good;
  };
  options_.io_threads = 2;
  refused(StatusCode::kInvalidArgument, "gateway.io_threads (1 → 2) cannot change while");
  options_.listeners[0].port = 1;
  refused(StatusCode::kInvalidArgument, "gateway.listeners[0].port (0 → 1) cannot change");
  options_.listeners.push_back({.address = "127.0.0.1", .port = 0});
  refused(StatusCode::kInvalidArgument, "the number of gateway.listeners (1 → 2) cannot change");
  service().tls.emplace().ca_file = "/nowhere/ca.pem";
  refused(StatusCode::kNotFound, "gateway.services[0].tls");
  options_.listeners[0].tls = {.cert_file = "/nowhere/a.pem", .key_file = "/nowhere/a.key"};
  refused(StatusCode::kNotFound, "gateway.listeners[0].tls");
  gateway_->BeginDrain(0ms);
  EXPECT_EQ(Apply().code(), StatusCode::kFailedPrecondition);
}

TEST_F(GatewayReloadTest, CountsOfWhatStaysGoOnAndThoseOfWhatIsGoneEnd) {
  ScriptedUpstream a(Says("a")), b(Says("b"));
  AddVersion(1, a, 0.0);
  AddVersion(2, b, 1.0);
  Start();
  for (int i = 0; i < 3; ++i) Ask(Get("/", "X-Leadsman-Version: 1\r\n"));
  Ask(Get("/"));
  const std::string name = "leadsman_gateway_requests_total";
  EXPECT_EQ(Metric(name, {"digits", "1", "2xx"}), 3);
  service().versions = {{1, {a.endpoint()}, {}}, {7, {b.endpoint()}, 1.0}};
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(Metric(name, {"digits", "1", "2xx"}), 3);
  EXPECT_EQ(Metric(name, {"digits", "7", "2xx"}), 0);
  EXPECT_EQ(Metric(name, {"digits", "2", "2xx"}), -1) << "there is no such series";
  EXPECT_EQ(Metric("leadsman_gateway_endpoint_requests_total", {"digits", "1", a.endpoint()}), 3);
  Ask(Get("/", "X-Leadsman-Version: 1\r\n"));
  EXPECT_EQ(Ask(Get("/", "X-Leadsman-Version: 2\r\n")).substr(9, 3), "400");
  EXPECT_EQ(Version(0).requests, 4u);
}

TEST_F(GatewayReloadTest, WhatIsKnownOfAnEndpointStays) {
  ScriptedUpstream good(Says("good"));
  const std::string dead = DeadEndpoint();
  AddVersion(1, {dead, good.endpoint()});
  service().outliers.consecutive_errors = 1;
  Start();
  ASSERT_TRUE(Eventually([&] {
    Ask(Get("/"));
    return Version(0).endpoints[0].state == "ejected";
  }));
  version(0).endpoints = {good.endpoint(), dead};
  service().timeouts.per_try = 600ms;
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(Version(0).endpoints[1].state, "ejected");
  EXPECT_EQ(Version(0).endpoints[1].ejections, 1u);
}

TEST_F(GatewayReloadTest, ChecksComeAndGo) {
  std::atomic<bool> well{false};
  std::atomic<int> checks{0};
  ScriptedUpstream upstream([&](Connection& c) {
    for (std::string head; !(head = c.ReadHead()).empty();) {
      if (head.starts_with("GET /healthz ")) {
        ++checks;
        well ? c.Answer("ok") : (void)c.Send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
      } else {
        c.Answer("answer");
      }
    }
  });
  AddVersion(1, upstream);
  Start();
  EXPECT_EQ(BodyOf(Ask(Get("/"))), "answer");
  service().health = {.path = "/healthz", .interval = 10ms, .healthy_after = 1};
  ASSERT_TRUE(Apply().ok());
  ASSERT_TRUE(Eventually([&] { return Version(0).endpoints[0].state == "unhealthy"; }));
  EXPECT_EQ(StatusOf(Ask(Get("/"))), 503);
  service().health.interval = 1h;
  well = true;
  ASSERT_TRUE(Apply().ok());
  EXPECT_TRUE(Eventually([&] { return Version(0).endpoints[0].state == "healthy"; }))
      << "other options, and so a check at once";
  const int before = checks;
  service().timeouts.per_try = 600ms;
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(BodyOf(Ask(Get("/"))), "answer");
  EXPECT_EQ(checks, before) << "the same options, and so none";
  well = false;
  service().health.interval = 10ms;
  ASSERT_TRUE(Apply().ok());
  ASSERT_TRUE(Eventually([&] { return Version(0).endpoints[0].state == "unhealthy"; }));
  service().health.path.clear();
  ASSERT_TRUE(Apply().ok());
  EXPECT_TRUE(Eventually([&] { return Version(0).endpoints[0].state == "unknown"; }));
  EXPECT_EQ(BodyOf(Ask(Get("/"))), "answer") << "nothing is held against who is not checked";
}

TEST_F(GatewayReloadTest, AnEndpointThatIsNotCheckedYetGetsNothingWhileOthersAreWell) {
  std::atomic<int> asked{0};
  ScriptedUpstream good(Says("good"));
  ScriptedUpstream starts([&](Connection& c) {
    for (std::string head; !(head = c.ReadHead()).empty();) {
      if (head.starts_with("GET /healthz ")) {
        c.AwaitEnd();  // is not ready to say
        return;
      }
      ++asked;
      c.Answer("starts");
    }
  });
  AddVersion(1, good);
  service().health = {.path = "/healthz", .timeout = 60s};
  Start();
  ASSERT_TRUE(Eventually([&] { return Version(0).ready; }));
  EXPECT_TRUE(gateway_->Awaited().empty());
  version(0).endpoints.push_back(starts.endpoint());
  service().versions.push_back({2, {starts.endpoint()}, {}});
  ASSERT_TRUE(Apply().ok());
  EXPECT_TRUE(gateway_->Awaited().empty()) << "what is added takes nobody out of service";
  for (int i = 0; i < 50; ++i) EXPECT_EQ(BodyOf(Ask(Get("/"))), "good");
  EXPECT_EQ(asked, 0);
}

TEST_F(GatewayReloadTest, APersonsSharesStayUntilTheConfiguredOnesChange) {
  ScriptedUpstream a(Says("1")), b(Says("2"));
  AddVersion(1, a, 1.0);
  AddVersion(2, b, 0.0);
  Start();
  ASSERT_TRUE(gateway_->SetWeights("digits", {{2, 1.0}}).ok());
  service().versions.insert(service().versions.begin(), {3, {a.endpoint()}, 0.0});
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(BodyOf(Ask(Get("/"))), "2");
  EXPECT_EQ(Version(2).share, 1);
  version(1).weight = 0.4;
  version(2).weight = 0.6;
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(Version(1).share, 0.4);
  ASSERT_TRUE(gateway_->SetWeights("digits", {{3, 1.0}}).ok());
  service().versions.erase(service().versions.begin());
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(Version(0).share, 0.4) << "what a person has named is gone";
}

TEST_F(GatewayReloadTest, ARolloutsSharesStayAndItsVersionsMust) {
  ScriptedUpstream a(Says("1")), b(Says("2"));
  AddVersion(1, a, 1.0);
  AddVersion(2, b, 0.0);
  Start();
  ASSERT_TRUE(gateway_->SetTraffic("digits", 1, 2, 0.25).ok());
  const Options good = options_;
  version(0).weight = 0.5;
  version(1).weight = 0.5;
  service().versions.insert(service().versions.begin(), {3, {a.endpoint()}, 0.0});
  ASSERT_TRUE(Apply({"digits"}).ok());
  EXPECT_EQ(Version(1).share, 0.75);
  EXPECT_EQ(Version(2).share, 0.25);
  EXPECT_TRUE(gateway_->view().services[0].by_rollout);
  for (const size_t gone : {size_t{1}, size_t{2}}) {
    const Options before = options_;
    service().versions.erase(service().versions.begin() + static_cast<ptrdiff_t>(gone));
    const Status status = Apply();
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_NE(std::string(status.message()).find("a rollout of digits from version 1 to 2"),
              std::string::npos)
        << status;
    options_ = before;
  }
  EXPECT_EQ(Version(2).share, 0.25);
  ASSERT_TRUE(gateway_->SetTraffic("digits", 2, 0, 0).ok());
  options_ = good;
  service().versions.pop_back();
  EXPECT_EQ(Apply({"digits"}).code(), StatusCode::kFailedPrecondition)
      << "by its plan it has all the traffic";
  ASSERT_TRUE(Apply().ok()) << "the plan goes too";
  EXPECT_EQ(Version(0).share, 1);
  EXPECT_TRUE(gateway_->SetTraffic("digits", 0, 0, 0).ok());
  options_.services[0].name = "letters";
  ASSERT_TRUE(Apply().ok());
  EXPECT_TRUE(gateway_->SetTraffic("digits", 0, 0, 0).ok()) << "nothing is there to let go";
  EXPECT_EQ(gateway_->SetTraffic("digits", 1, 0, 0).code(), StatusCode::kNotFound);
}

TEST_F(GatewayReloadTest, WhoWaitsByOldLimitsHoldsUpNobody) {
  std::atomic<bool> release{false};
  ScriptedUpstream upstream([&](Connection& c) {
    for (std::string head; !(head = c.ReadHead()).empty();) {
      if (head.starts_with("GET /hold ")) {
        EXPECT_TRUE(Eventually([&] { return release.load(); }));
      }
      c.Answer("answer");
    }
  });
  AddVersion(1, upstream);
  service().limits.max_connections = 1;
  service().timeouts = {.connect = 30s, .per_try = 30s};
  Start();
  RawClient holder(port_), waits(port_);
  holder.Send(Get("/hold"));
  ASSERT_TRUE(Eventually([&] { return Version(0).endpoints[0].active == 1; }));
  waits.Send(Get("/"));
  ASSERT_TRUE(Eventually([&] { return Version(0).pending == 1; }));
  service().limits.max_connections = 10;
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(BodyOf(Ask(Get("/"))), "answer");
  release = true;
  EXPECT_EQ(BodyOf(holder.ReadResponse()), "answer");
  EXPECT_EQ(BodyOf(waits.ReadResponse()), "answer");
  EXPECT_TRUE(Eventually([&] { return Version(0).pending == 0; }));
}

TEST_F(GatewayReloadTest, RoutesServicesLimitsAndListenersChange) {
  ScriptedUpstream a(Says("a"));
  ScriptedUpstream b([](Connection& c) {
    for (std::string head; !(head = c.ReadHead()).empty();)
      c.Answer(head.find("X-Forwarded-For: 9.9.9.9") == std::string::npos ? "b" : "b believed");
  });
  AddVersion(1, a);
  Start();
  RawClient client(port_);
  EXPECT_EQ(Again(client), "a");
  ServiceOptions other = service();
  other.name = "letters";
  other.versions = {{4, {b.endpoint()}, {}}};
  options_.services.push_back(other);
  options_.routes = {{.path = "/b", .service = "letters"}, {.path = "/", .service = "digits"}};
  options_.limits.max_header = 1024;
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(Again(client), "a");
  const std::string forwarded = "X-Forwarded-For: 9.9.9.9\r\n";
  EXPECT_EQ(BodyOf(Ask(Get("/b", forwarded))), "b believed");
  EXPECT_EQ(gateway_->ReadyVersions("letters"), std::vector<int64_t>{4});
  client.Send(Get("/", "X-Long: " + std::string(2000, 'x') + "\r\n"));
  EXPECT_EQ(StatusOf(client.ReadResponse()), 431) << "on a connection that is older, too";
  options_.services.erase(options_.services.begin());
  options_.routes.clear();
  options_.listeners[0].forwarded = ListenerOptions::Forwarded::kReplace;
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(BodyOf(Ask(Get("/", forwarded))), "b");
  EXPECT_EQ(gateway_->services(), std::vector<std::string>{"letters"});
}

TEST_F(GatewayReloadTest, AVersionIsReadyUntilItsFirstCheckSaysOtherwise) {
  std::atomic<bool> answer{false};
  ScriptedUpstream one(Says("one"));
  ScriptedUpstream slow([&](Connection& c) {
    c.ReadHead();
    EXPECT_TRUE(Eventually([&] { return answer.load(); }));
    c.Send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
  });
  AddVersion(1, one, 1.0);
  AddVersion(2, slow, 0.0);
  Start();
  ASSERT_TRUE(gateway_->SetTraffic("digits", 1, 2, 0.1).ok());
  service().health.path = "/healthz";
  service().health.timeout = 60s;
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(gateway_->ReadyVersions("digits"), (std::vector<int64_t>{1, 2}))
      << "a rollout would take it back";
  answer = true;
  EXPECT_TRUE(
      Eventually([&] { return gateway_->ReadyVersions("digits") == std::vector<int64_t>{1}; }));
}

TEST_F(GatewayReloadTest, AMirrorComesStaysAndGoes) {
  std::atomic<int> copies{0};
  ScriptedUpstream live(Says("live"));
  ScriptedUpstream shadow([&](Connection& c) {
    while (!c.ReadHead().empty()) {
      ++copies;
      c.Answer("shadow");
    }
  });
  AddVersion(1, live, 1.0);
  AddVersion(2, shadow, 0.0);
  service().timeouts.keep_alive = 60s;
  Start();
  Ask(Get("/"));
  service().mirror = MirrorOptions{.version = 2};
  ASSERT_TRUE(Apply().ok());
  const std::string sent = "leadsman_gateway_mirror_answers_total";
  auto ask_until = [&](int count) {
    Ask(Get("/"));
    return Eventually([&] { return Metric(sent, {"digits", "2", "2xx"}) == count; });
  };
  ASSERT_TRUE(ask_until(1));
  service().mirror->max_concurrent = 3;
  ASSERT_TRUE(Apply().ok());
  ASSERT_TRUE(ask_until(2));
  EXPECT_EQ(shadow.connections(), 1) << "its connections are kept as well";
  service().mirror.reset();
  ASSERT_TRUE(Apply().ok());
  Ask(Get("/"));
  EXPECT_EQ(copies, 2);
  EXPECT_EQ(Metric(sent, {"digits", "2", "2xx"}), 2) << "counters do not go back";
  service().versions.pop_back();
  version(0).weight.reset();
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(BodyOf(Ask(Get("/"))), "live");
}

}  // namespace
}  // namespace leadsman::gateway
