#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "net/http2_server.h"
#include "net/http_server.h"
#include "net/listener_store.h"
#include "net/testing/free_port.h"
#include "net/testing/raw_client.h"
#include "support/eventually.h"

namespace leadsman::net {
namespace {

using namespace std::chrono_literals;

constexpr const char* kGet = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

std::unique_ptr<HttpServer> Start(ListenerStore& store, uint16_t port, int threads,
                                  const std::string& says) {
  HttpServerOptions options;
  options.port = port;
  options.io_threads = threads;
  options.listeners = &store;
  auto server = HttpServer::Start(
      options, [says](HttpExchange& exchange) { exchange.response().body = says; });
  EXPECT_TRUE(server.ok()) << server.status();
  return server.ok() ? std::move(*server) : nullptr;
}

bool Says(const std::string& answer, const std::string& body) {
  return answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n" + body);
}

/// What another process would do with the sockets.
void Give(ListenerStore& from, ListenerStore& to, const ListenerName& name) {
  auto copies = from.Copy(name);
  ASSERT_TRUE(copies.ok()) << copies.status();
  from.SetHandedOver({name}, true);
  ASSERT_TRUE(to.Adopt({name, *copies}).ok());
}

TEST(ServerHandoverTest, ADrainLeavesWhoeverConnectsToTheServerThatComesAfter) {
  ListenerStore old_store, new_store;
  auto old_server = Start(old_store, FreePort(), 3, "old");
  ASSERT_NE(old_server, nullptr);
  const uint16_t port = old_server->port();
  RawClient kept(port);
  ASSERT_TRUE(kept.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_TRUE(Says(kept.ReadResponse(), "old"));
  Give(old_store, new_store, {"127.0.0.1", port});
  old_server->BeginDrain(60s);
  ASSERT_TRUE(old_server->AwaitDrained(60s));
  EXPECT_EQ(kept.ReadResponse(), "") << "it was quiet, and is ended in order";
  // Nobody accepts for a while, and nobody is refused.
  std::vector<std::unique_ptr<RawClient>> early;
  for (int i = 0; i < 50; ++i) {
    early.push_back(std::make_unique<RawClient>(port));
    ASSERT_TRUE(early.back()->Send(kGet));
  }
  old_server.reset();
  old_store.Close();
  auto new_server = Start(new_store, port, 1, "new");
  ASSERT_NE(new_server, nullptr);
  for (const auto& client : early) EXPECT_TRUE(Says(client->ReadResponse(), "new"));
  for (int i = 0; i < 20; ++i) {
    RawClient client(port);
    ASSERT_TRUE(client.Send(kGet));
    EXPECT_TRUE(Says(client.ReadResponse(), "new"));
  }
}

TEST(ServerHandoverTest, AServerThatWasToComeAfterAndEndsTakesNothingAway) {
  ListenerStore old_store, new_store;
  auto old_server = Start(old_store, FreePort(), 1, "old");
  ASSERT_NE(old_server, nullptr);
  const uint16_t port = old_server->port();
  Give(old_store, new_store, {"127.0.0.1", port});
  auto new_server = Start(new_store, port, 3, "new");
  ASSERT_NE(new_server, nullptr);
  new_server->Shutdown(5s);
  new_server.reset();
  new_store.Close();
  old_store.SetHandedOver({{"127.0.0.1", port}}, false);
  for (int i = 0; i < 20; ++i) {
    RawClient client(port);
    ASSERT_TRUE(client.Send(kGet));
    EXPECT_TRUE(Says(client.ReadResponse(), "old"));
  }
}

TEST(ServerHandoverTest, AServerIsBuiltAgainOnTheSameSockets) {
  ListenerStore store;
  auto first = Start(store, FreePort(), 1, "first");
  ASSERT_NE(first, nullptr);
  const uint16_t port = first->port();
  for (const bool handed_over : {true, false}) {
    // Without, the drain shuts the sockets, which the next server has to undo.
    store.SetHandedOver({{"127.0.0.1", port}}, handed_over);
    first->Shutdown(1s);
    first.reset();
    store.SetHandedOver({{"127.0.0.1", port}}, false);
    first = Start(store, port, 2, "again");
    ASSERT_NE(first, nullptr);
    RawClient client(port);
    ASSERT_TRUE(client.Send(kGet));
    EXPECT_TRUE(Says(client.ReadResponse(), "again"));
  }
}

/// Answers nobody: who is connected is enough.
struct Silent final : Http2Handler {
  void OnHead(Http2Stream&) override {}
  void OnBody(Http2Stream&) override {}
  void OnClose(Http2Stream&, bool) override {}
  void OnAlarm(Http2Stream&) override {}
  void OnRefuse(Http2Stream&, const Status&) override {}
};

TEST(ServerHandoverTest, AnHttp2ServerLeavesThemToo) {
  ListenerStore old_store, new_store;
  Silent handler;
  Http2ServerOptions options;
  options.port = FreePort();
  options.io_threads = 2;
  options.listeners = &old_store;
  auto old_server = Http2Server::Start(options, handler);
  ASSERT_TRUE(old_server.ok()) << old_server.status();
  options.port = (*old_server)->port();
  Give(old_store, new_store, {"127.0.0.1", options.port});
  (*old_server)->BeginDrain(60s);
  EXPECT_TRUE((*old_server)->AwaitDrained(60s));
  RawClient waits(options.port);
  EXPECT_TRUE(waits.connected());
  old_server->reset();
  old_store.Close();
  options.listeners = &new_store;
  auto new_server = Http2Server::Start(options, handler);
  ASSERT_TRUE(new_server.ok()) << new_server.status();
  EXPECT_TRUE(Eventually([&] { return (*new_server)->stats().connections_accepted > 0; }));
  EXPECT_EQ((*new_server)->stats().connections_accepted, 1u);
}

}  // namespace
}  // namespace leadsman::net
