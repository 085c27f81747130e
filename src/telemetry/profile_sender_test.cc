#include "telemetry/profile_sender.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/testing/temp_dir.h"
#include "monitor/edges/edge_intake.h"
#include "monitor/monitor.h"
#include "net/http_server.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

/// Takes connections and requests, and never says a word.
class SilentPeer {
 public:
  SilentPeer() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    auto* any = reinterpret_cast<sockaddr*>(&address);
    CHECK(fd_ >= 0 && bind(fd_, any, length) == 0 && listen(fd_, 16) == 0 &&
          getsockname(fd_, any, &length) == 0);
    port_ = ntohs(address.sin_port);
  }
  ~SilentPeer() { close(fd_); }
  SilentPeer(const SilentPeer&) = delete;
  SilentPeer& operator=(const SilentPeer&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  bool asked() const {
    pollfd waits{fd_, POLLIN, 0};
    return poll(&waits, 1, 0) == 1;
  }

 private:
  int fd_;
  int port_ = 0;
};

/// An edge and the monitor that it sends to, with a network between them that the test may break.
class ProfileSenderTest : public testing::Test {
 protected:
  enum class Network { kGood, kAnswersLost, kDown, kRefused };

  ProfileSenderTest() {
    MonitorOptions edge, central;
    edge.keep_intervals = true;
    central.edges.emplace();
    edge_ = Made(Monitor::Create({SystemClock(), edge_registry_}, edge, {}));
    central_ = Made(Monitor::Create({SystemClock(), registry_}, central, {}));
    auto server = net::HttpServer::Start({.name = "monitor"}, [this](net::HttpExchange& e) {
      MutexLock lock(mutex_);
      e.response().status = network_ == Network::kGood ? 200 : 503;
      if (network_ == Network::kRefused) e.response().status = 400;
      if (network_ == Network::kDown || network_ == Network::kRefused) return;
      if (e.request().path != "/edge/api/v1/profiles" ||
          !central_->AddProfiles(e.request().body).ok())
        e.response().status = 500;
    });
    server_ = Made(std::move(server));
  }
  ~ProfileSenderTest() override {
    sender_.reset();
    server_->Shutdown(0ms);
  }
  template <typename T>
  static T Made(Result<T> result) {
    CHECK(result.ok());
    return std::move(result).value();
  }

  void StartSender(std::chrono::milliseconds every = 10ms, std::string url = "") {
    ProfileSenderOptions options;
    if (url.empty()) url = "http://127.0.0.1:" + std::to_string(server_->port()) + "/edge";
    options.target.url = std::move(url);
    options.every = every;
    sender_ = Made(ProfileSender::Create({.clock = SystemClock(),
                                          .registry = edge_registry_,
                                          .take = [this] { return edge_->TakeIntervals(); },
                                          .edge = "pod-1:8502",
                                          .process = 7},
                                         options));
  }
  void Set(Network network) {
    MutexLock lock(mutex_);
    network_ = network;
  }
  void Emit(int requests) {
    for (int i = 0; i < requests; ++i) {
      PredictionEvent event;
      event.model = "digits";
      event.version = 1;
      event.version_id = 5;
      event.latency_ns = 2'000'000;
      const std::string_view predicted = "7";
      event.predicted = {&predicted, 1};
      edge_->Emit(event);
    }
    ASSERT_TRUE(edge_->Flush(20s));
  }
  uint64_t Arrived() {
    central_->Flush(20s);
    return central_->Totals("digits", 1).requests;
  }
  double Messages(const std::string& result) {
    for (const auto& family : edge_registry_.Collect()) {
      if (family.description->name != "leadsman_edge_messages_total") continue;
      for (const auto& sample : family.samples)
        if (sample.label_values[0] == result) return sample.value;
    }
    return std::numeric_limits<double>::quiet_NaN();
  }
  /// The sender has a thread of its own: bounded at ten seconds.
  static bool Await(const std::function<bool()>& done) {
    for (int i = 0; i < 2000 && !done(); ++i) std::this_thread::sleep_for(5ms);
    return done();
  }

  Registry edge_registry_, registry_;
  std::unique_ptr<Monitor> edge_, central_;
  Mutex mutex_;
  Network network_ GUARDED_BY(mutex_) = Network::kGood;
  std::unique_ptr<net::HttpServer> server_;
  std::unique_ptr<ProfileSender> sender_;
};

TEST_F(ProfileSenderTest, WhatIsSeenAtTheEdgeIsSeenAtTheMonitor) {
  StartSender();
  Emit(10);
  EXPECT_TRUE(Await([&] { return Arrived() == 10; }));
  Emit(5);
  EXPECT_TRUE(Await([&] { return Arrived() == 15; }));
  EXPECT_EQ(central_->Observed().at(0).totals.of(ObservedOutcome::kOk), 15u);
  EXPECT_TRUE(edge_->Observed().empty()) << "there they are served, not observed";
  EXPECT_EQ(central_->Edges()->at(0).name, "pod-1:8502");
}

TEST_F(ProfileSenderTest, ALostAnswerCountsNothingTwiceAndAnAbsentMonitorLosesNothing) {
  Set(Network::kAnswersLost);
  StartSender();
  Emit(10);
  ASSERT_TRUE(Await([&] { return Messages("failed") >= 3; }));
  Set(Network::kDown);
  for (int i = 0; i < 5; ++i) Emit(10);
  const double failed = Messages("failed");
  ASSERT_TRUE(Await([&] { return Messages("failed") >= failed + 2; }));
  EXPECT_TRUE(sender_->Note().starts_with("profiles are sent to http://127.0.0.1:"))
      << sender_->Note();
  EXPECT_NE(sender_->Note().find("which has not taken one for "), std::string::npos);
  Set(Network::kGood);
  ASSERT_TRUE(Await([&] { return Arrived() >= 60; }));
  ASSERT_TRUE(Await([&] { return Messages("sent") >= 3; }));
  EXPECT_EQ(Arrived(), 60u);
  EXPECT_EQ(sender_->Note(), "");
  EXPECT_GT(central_->Edges()->at(0).duplicates, 0u);
  EXPECT_EQ(central_->Edges()->at(0).lost, 0u);
}

TEST_F(ProfileSenderTest, WhatIsRefusedForLongIsGivenUpAndMissed) {
  StartSender();
  ASSERT_TRUE(Await([&] { return Messages("sent") >= 1; }));
  Set(Network::kRefused);
  ASSERT_TRUE(Await([&] { return Messages("given_up") >= 1; }));
  EXPECT_GE(Messages("failed"), ProfileSender::kRefusals);
  Set(Network::kGood);
  ASSERT_TRUE(Await([&] { return central_->Edges()->at(0).lost >= 1; }));
}

TEST_F(ProfileSenderTest, AtTheEndTheRestIsSentAndItsEndIsSaid) {
  StartSender(1h);
  ASSERT_TRUE(Await([&] { return Messages("sent") >= 1; }));
  Emit(8);
  sender_.reset();
  EXPECT_EQ(Arrived(), 8u);
  EXPECT_EQ(central_->Edges()->at(0).state, EdgeView::State::kStopped);
}

TEST_F(ProfileSenderTest, AMonitorThatHangsHoldsTheEndUpForASecond) {
  const SilentPeer monitor;
  StartSender(10ms, monitor.url());
  Emit(10);
  ASSERT_TRUE(Await([&] { return monitor.asked(); })) << "a message is under way";
  const auto begun = std::chrono::steady_clock::now();
  sender_.reset();
  const auto took = std::chrono::steady_clock::now() - begun;
  EXPECT_LT(took, 9s) << "a try may take ten";
  EXPECT_GT(took, 500ms) << "the rest is tried: it was not just dropped";
}

TEST_F(ProfileSenderTest, ATokenThatCannotBeReadIsTold) {
  ProfileSenderOptions options;
  options.target.url = "http://127.0.0.1:9";
  options.target.token_file = "/nonexistent/token";
  auto refused = ProfileSender::Create({SystemClock(), edge_registry_, {}, "e", 7}, options);
  ASSERT_FALSE(refused.ok());
  EXPECT_TRUE(refused.status().message().starts_with("token_file")) << refused.status();
}

}  // namespace
}  // namespace leadsman
