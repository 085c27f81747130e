#include "app/gate_check.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/serve_loop.h"
#include "base/check.h"
#include "base/mutex.h"
#include "base/strings.h"
#include "net/http_server.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

/// Answers as a Prometheus does that has the metric up.
class Peer {
 public:
  Peer() {
    auto server = net::HttpServer::Start({.name = "peer"}, [this](net::HttpExchange& e) {
      const std::string body(e.request().body);
      {
        MutexLock lock(mutex_);
        asked_.push_back(body);
      }
      const char* result = R"({"metric":{},"value":[1700000000,"1"]})";
      if (body.find("sum%28") != body.npos) {
        e.response().status = 400;
        e.response().body += R"({"status":"error","error":"parse error"})";
        return;
      }
      if (body.find("up") == body.npos && !(late_ && body.find("late") != body.npos)) result = "";
      e.response().body += R"({"status":"success","data":{"resultType":"vector","result":[)";
      e.response().body += result;
      e.response().body += "]}}";
    });
    CHECK(server.ok());
    server_ = std::move(*server);
  }
  ~Peer() { server_->Shutdown(0ms); }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_->port()); }
  size_t asked() {
    MutexLock lock(mutex_);
    return asked_.size();
  }
  void BeginLate() { late_ = true; }  ///< the metric late is there from now on

 private:
  std::atomic<bool> late_{false};
  Mutex mutex_;
  std::vector<std::string> asked_ GUARDED_BY(mutex_);
  std::unique_ptr<net::HttpServer> server_;
};

RolloutGate Gate(const std::string& address, const std::string& query) {
  RolloutGate gate;
  gate.kind = RolloutGate::Kind::kPromql;
  gate.outside.address = address;
  gate.outside.query = query;
  gate.max = 1;
  return gate;
}

using Plans = std::map<std::string, RolloutPlan>;

TEST(GateCheckTest, NamesEachGateThatNothingWillAnswer) {
  Peer peer;
  const std::atomic<bool> cancelled{false};
  RolloutPlan plan;
  plan.gates = {Gate(peer.url(), "up"),
                Gate(peer.url(), "none"),
                Gate(peer.url(), "up{version=\"{{candidate}}\"}"),
                Gate(peer.url(), "rate(none{version=\"{{candidate}}\"}[5m]) / up"),
                Gate(peer.url(), "sum("),
                Gate(peer.url(), "none")};
  plan.gates[5].outside.allow_absent = true;
  plan.gates.emplace_back();  // one that asks nobody
  const GateCheck check = CheckPromqlGates(Plans{{"digits", plan}}, {}, cancelled);
  ASSERT_EQ(check.refused.size(), 3u) << check.status();
  EXPECT_TRUE(check.warnings.empty());
  EXPECT_TRUE(check.refused[0].starts_with(
      "model digits: rollout.gates[1].query: gives nothing now: name a "
      "metric that is there, or set "
      "allow_absent: true"))
      << check.refused[0];
  EXPECT_TRUE(check.refused[1].starts_with(
      "model digits: rollout.gates[3].query: there is no metric none in the last hour"))
      << check.refused[1];
  EXPECT_TRUE(check.refused[2].starts_with("model digits: rollout.gates[4].query: "))
      << check.refused[2];
  EXPECT_EQ(check.status().code(), StatusCode::kInvalidArgument) << "sum( is wrong for ever";
  // What holds already is not asked about.
  const size_t asked = peer.asked();
  EXPECT_TRUE(
      CheckPromqlGates(Plans{{"digits", plan}}, Plans{{"digits", plan}}, cancelled).status().ok());
  EXPECT_EQ(peer.asked(), asked);
}

TEST(GateCheckTest, APrometheusThatIsAwayIsAWarningAndAskedOnce) {
  const std::atomic<bool> cancelled{false};
  RolloutPlan plan;
  plan.gates = {Gate("http://127.0.0.1:1", "a"),
                Gate("http://127.0.0.1:1", "b{v=\"{{candidate}}\"}")};
  const GateCheck check = CheckPromqlGates(Plans{{"digits", plan}}, {}, cancelled);
  EXPECT_TRUE(check.status().ok()) << check.status();
  ASSERT_EQ(check.warnings.size(), 1u);
  EXPECT_TRUE(check.warnings[0].starts_with(
      "model digits: rollout.gates[0].address: whether what is asked for is there is not known: "))
      << check.warnings[0];
}

TEST(GateCheckTest, APrometheusThatHangsTakesNoMoreThanTheTimeOfAllAndTheRestIsTold) {
  // Connections come to be, in the backlog, and nobody answers.
  const int hanging = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(hanging, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const plain = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(hanging, plain, size), 0);
  ASSERT_EQ(::listen(hanging, 16), 0);
  ASSERT_EQ(::getsockname(hanging, plain, &size), 0);
  const std::string url = StrCat("http://127.0.0.1:", ntohs(address.sin_port));
  Peer peer;
  const std::atomic<bool> cancelled{false};
  RolloutPlan plan;
  plan.gates = {Gate(url, "rate(a{v=\"{{candidate}}\"}[5m]) / b"), Gate(url, "c"),
                Gate(peer.url(), "none")};
  const GateCheck check = CheckPromqlGates(Plans{{"digits", plan}}, {}, cancelled, 100ms);
  ::close(hanging);
  EXPECT_TRUE(check.status().ok()) << check.status();
  ASSERT_EQ(check.warnings.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(check.warnings[i].starts_with(
        StrCat("model digits: rollout.gates[", i,
               "].address: whether what is asked for is there is not known: ")))
        << check.warnings[i];
  }
  EXPECT_TRUE(check.warnings[2].ends_with("it was not asked, the time for this check is over"))
      << check.warnings[2];
  EXPECT_EQ(peer.asked(), 0u);
}

/// Its configuration has one gate, which each reload checks; one that passes ends it.
class Checked final : public Served {
 public:
  explicit Checked(Peer& peer) : peer_(peer) { plan_.gates = {Gate(peer.url(), "late")}; }
  Status Reload(const std::string&) override {
    const Status status = CheckPromqlGates(Plans{{"digits", plan_}}, {}, ended).status();
    seen.push_back(status.code());
    peer_.BeginLate();
    ended = status.ok() || seen.size() > 5;
    return status;
  }
  void TurnUnready() override {}
  void BeginDrain(std::chrono::milliseconds) override {}
  bool AwaitDrained(std::chrono::milliseconds) override { return true; }

  std::vector<StatusCode> seen;
  std::atomic<bool> ended{false};

 private:
  Peer& peer_;
  RolloutPlan plan_;
};

TEST(GateCheckTest, AMetricThatComesLaterLetsTheSameFilePass) {
  Peer peer;
  Checked served(peer);
  uint64_t content = 1;
  ConfigWatcher watcher([&content] { return std::optional<uint64_t>(content); });
  content = 2;
  sigset_t none;
  sigemptyset(&none);
  ServeUntilDrained(served, none, {}, std::move(watcher), 1ms, &served.ended);
  EXPECT_EQ(served.seen,
            (std::vector<StatusCode>{StatusCode::kFailedPrecondition, StatusCode::kOk}));
}

}  // namespace
}  // namespace leadsman
