#include "gateway/worker.h"

#include <gtest/gtest.h>

#include <thread>

#include "gateway/testing/event_list.h"
#include "gateway/testing/scripted_upstream.h"
#include "net/listener.h"
#include "net/testing/http2_raw_client.h"
#include "net/testing/raw_client.h"
#include "support/eventually.h"

namespace leadsman::gateway {
namespace {

using namespace std::chrono_literals;
using Connection = ScriptedUpstream::Connection;

/// One worker, and an endpoint whose name is what the test says.
class WorkerTest : public testing::Test {
 protected:
  explicit WorkerTest(ServiceOptions::Protocol protocol = ServiceOptions::Protocol::kHttp1)
      : shared_(MakeOptions(protocol), SystemClock(), events_, nullptr) {
    auto group = net::Listen("127.0.0.1", 0, 1);
    EXPECT_TRUE(group.ok()) << group.status();
    port_ = group->port;
    worker_ = std::make_shared<Worker>(
        shared_, std::vector<Worker::Listening>{{group->sockets[0], 0, ListenerOptions{}}});
    shared_.workers.push_back(worker_);
    thread_ = std::thread([this] { worker_->Run(); });
  }
  ~WorkerTest() override {
    worker_->BeginDrain(0ms);
    thread_.join();
  }
  static Options MakeOptions(ServiceOptions::Protocol protocol) {
    Options options;
    ServiceOptions& service = options.services.emplace_back();
    service.name = "digits";
    service.protocol = protocol;
    service.versions.push_back({1, {"models.example:80"}, {}});
    service.retries.max = 0;
    service.timeouts.keep_alive = 60s;
    return options;
  }
  void SetAddresses(const std::vector<std::string>& endpoints) {
    auto addresses = std::make_shared<Addresses>();
    for (const std::string& endpoint : endpoints) {
      const auto parsed = ParseEndpoint(endpoint);
      auto found = net::Resolve(parsed->first, parsed->second, {});
      EXPECT_TRUE(found.ok()) << found.status();
      addresses->push_back((*found)[0]);
    }
    endpoint().addresses.Set(std::move(addresses));
  }
  Endpoint& endpoint() { return *shared_.table()->versions[0]->endpoints[0]; }
  /// The body of the answer.
  static std::string Get(net::RawClient& client) {
    client.Send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    const std::string answer = client.ReadResponse();
    const size_t end = answer.find("\r\n\r\n");
    return end == std::string::npos ? "" : answer.substr(end + 4);
  }
  static ScriptedUpstream::Script Says(const std::string& text) {
    return [text](Connection& c) {
      while (!c.ReadHead().empty()) c.Answer(text);
    };
  }

  EventList events_;
  Shared shared_;
  uint16_t port_ = 0;
  std::shared_ptr<Worker> worker_;
  std::thread thread_;
};

TEST_F(WorkerTest, AConnectionToAnAddressThatTheNameHasNoMoreIsNotUsed) {
  ScriptedUpstream old_one(Says("old")), new_one(Says("new"));
  SetAddresses({old_one.endpoint()});
  net::RawClient client(port_);
  EXPECT_EQ(Get(client), "old");
  EXPECT_EQ(Get(client), "old");
  EXPECT_EQ(old_one.connections(), 1);
  SetAddresses({new_one.endpoint(), old_one.endpoint()});
  EXPECT_EQ(Get(client), "old") << "it is one of them";
  SetAddresses({new_one.endpoint()});
  EXPECT_EQ(Get(client), "new");
  EXPECT_EQ(Get(client), "new");
}

TEST_F(WorkerTest, ADeadAddressOfANameIsNoFailure) {
  ScriptedUpstream alive([](Connection& c) {
    c.ReadHead();
    c.Answer("alive", "Connection: close\r\n");
  });
  SetAddresses(
      {DeadEndpoint(), alive.endpoint()});  // as localhost, of which servers often take only one
  net::RawClient client(port_);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Get(client), "alive");
  EXPECT_EQ(endpoint().failures, 0u);
  EXPECT_EQ(endpoint().connections, 0u);
  SetAddresses({DeadEndpoint(), DeadEndpoint()});
  EXPECT_NE(Get(client).find("refused the connection"), std::string::npos);
  EXPECT_EQ(endpoint().failures, 1u);
}

class WorkerH2Test : public WorkerTest {
 protected:
  WorkerH2Test() : WorkerTest(ServiceOptions::Protocol::kHttp2) {}
};

TEST_F(WorkerH2Test, ABusyConnectionToAnAddressThatTheNameHasNoMoreGetsNoMoreRequests) {
  const auto settings_alone = [](Connection& c) {
    c.Read(net::Http2RawClient::kPreface.size());
    c.Send(net::Http2Frame(NGHTTP2_SETTINGS, 0, 0, ""));
    c.AwaitEnd();
  };
  ScriptedUpstream old_one(settings_alone), new_one(settings_alone);
  SetAddresses({old_one.endpoint()});
  net::Http2RawClient client(port_);
  client.Send(net::Http2RawClient::Head(1, "/", true));
  ASSERT_TRUE(Eventually([&] { return endpoint().requests == 1; }));
  SetAddresses({new_one.endpoint()});
  int32_t stream = 1;
  EXPECT_TRUE(Eventually([&] {
    client.Send(net::Http2RawClient::Head(stream += 2, "/", true));
    std::this_thread::sleep_for(50ms);
    return new_one.connections() == 1 || stream > 100;
  }));
  EXPECT_EQ(new_one.connections(), 1);
  EXPECT_EQ(old_one.connections(), 1);
}

}  // namespace
}  // namespace leadsman::gateway
