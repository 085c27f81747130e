#include "app/gate_check.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/mutex.h"
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
      if (body.find("up") == body.npos) result = "";
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

 private:
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
  ASSERT_EQ(check.absent.size(), 3u) << check.status();
  EXPECT_TRUE(check.warnings.empty());
  EXPECT_TRUE(
      check.absent[0].starts_with("model digits: rollout.gates[1].query: gives nothing now: name a "
                                  "metric that is there, or set "
                                  "allow_absent: true"))
      << check.absent[0];
  EXPECT_TRUE(check.absent[1].starts_with(
      "model digits: rollout.gates[3].query: there is no metric none in the last hour"))
      << check.absent[1];
  EXPECT_TRUE(check.absent[2].starts_with("model digits: rollout.gates[4].query: "))
      << check.absent[2];
  EXPECT_EQ(check.status().code(), StatusCode::kInvalidArgument);
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

}  // namespace
}  // namespace leadsman
