#include "net/listener_store.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>

#include "base/unique_fd.h"
#include "net/testing/free_port.h"

namespace leadsman::net {
namespace {

UniqueFd Connected(uint16_t port) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0) socket.Reset();
  return socket;
}

/// How many connections wait in the queues of the sockets; takes them.
int TakeAll(const std::vector<int>& sockets) {
  int taken = 0;
  for (const int socket : sockets) {
    for (;;) {
      const UniqueFd one(accept4(socket, nullptr, nullptr, SOCK_CLOEXEC));
      if (!one.valid()) break;
      ++taken;
    }
  }
  return taken;
}

void CloseAll(const std::vector<int>& sockets) {
  for (const int socket : sockets) close(socket);
}

TEST(ListenerStoreTest, ConnectionsThatWaitAreThereForTheServerThatComesAfter) {
  ListenerStore store;
  auto first = store.Listen("127.0.0.1", FreePort(), 3);
  ASSERT_TRUE(first.ok()) << first.status();
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 30; ++i) clients.push_back(Connected(first->port));
  CloseAll(first->sockets);
  for (int i = 0; i < 10; ++i) clients.push_back(Connected(first->port));

  // Fewer threads than before: they get all sockets all the same.
  auto second = store.Listen("127.0.0.1", first->port, 2);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->sockets.size(), 3u);
  EXPECT_EQ(TakeAll(second->sockets), 40);
  CloseAll(second->sockets);

  // More threads share them.
  auto third = store.Listen("127.0.0.1", first->port, 5);
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_EQ(third->sockets.size(), 5u);
  for (int i = 0; i < 50; ++i) clients.push_back(Connected(first->port));
  EXPECT_EQ(TakeAll(third->sockets), 50);
  CloseAll(third->sockets);
}

TEST(ListenerStoreTest, OfAPortThatTheKernelChoosesNothingIsKept) {
  ListenerStore store;
  auto group = store.Listen("127.0.0.1", 0, 2);
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ(group->sockets.size(), 2u);
  EXPECT_FALSE(group->IsHandedOver());
  EXPECT_TRUE(store.names().empty());
  CloseAll(group->sockets);
  EXPECT_FALSE(Connected(group->port).valid());
}

TEST(ListenerStoreTest, MoreThreadsThanAdoptedSocketsTakeNothingFromWhoHasThem) {
  ListenerStore old_one, new_one;
  auto group = old_one.Listen("127.0.0.1", FreePort(), 2);
  ASSERT_TRUE(group.ok()) << group.status();
  const ListenerName name{"127.0.0.1", group->port};
  auto copies = old_one.Copy(name);
  ASSERT_TRUE(copies.ok()) << copies.status();
  ASSERT_TRUE(new_one.Adopt({name, *copies}).ok());
  auto more = new_one.Listen("127.0.0.1", group->port, 5);
  ASSERT_TRUE(more.ok()) << more.status();
  EXPECT_EQ(more->sockets.size(), 5u);
  EXPECT_TRUE(more->IsHandedOver());
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 50; ++i) clients.push_back(Connected(group->port));
  CloseAll(more->sockets);
  new_one.Close();
  EXPECT_EQ(TakeAll(group->sockets), 50);
  CloseAll(group->sockets);
}

TEST(ListenerStoreTest, SocketsGoToAnotherStoreWithWhatWaitsInThem) {
  ListenerStore old_one, new_one;
  auto group = old_one.Listen("127.0.0.1", FreePort(), 2);
  ASSERT_TRUE(group.ok()) << group.status();
  const ListenerName name{"127.0.0.1", group->port};
  EXPECT_EQ(name.Text(), "127.0.0.1:" + std::to_string(group->port));
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(Connected(group->port));

  auto copies = old_one.Copy(name);
  ASSERT_TRUE(copies.ok()) << copies.status();
  ASSERT_EQ(copies->size(), 2u);
  EXPECT_FALSE(group->IsHandedOver());
  old_one.SetHandedOver({name}, true);
  EXPECT_TRUE(group->IsHandedOver());
  ASSERT_TRUE(new_one.Adopt({name, *copies}).ok());
  CloseAll(group->sockets);
  old_one.Close();

  auto taken = new_one.Listen("127.0.0.1", group->port, 2);
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_TRUE(taken->IsHandedOver()) << "the other one has them until it has let go of them";
  new_one.SetAllHandedOver(false);
  EXPECT_FALSE(taken->IsHandedOver());
  EXPECT_EQ(TakeAll(taken->sockets), 20);
  CloseAll(taken->sockets);
  EXPECT_TRUE(new_one.CloseUnused().empty());
}

TEST(ListenerStoreTest, OneThatWasShutByADrainTakesConnectionsAgain) {
  ListenerStore store;
  auto first = store.Listen("127.0.0.1", FreePort(), 1);
  ASSERT_TRUE(first.ok()) << first.status();
  if (!RefuseNewConnections(first->sockets[0])) GTEST_SKIP() << "no socket filters here";
  CloseAll(first->sockets);
  auto second = store.Listen("127.0.0.1", first->port, 1);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(Connected(first->port).valid());
  CloseAll(second->sockets);
}

TEST(ListenerStoreTest, WhatIsNoListeningSocketIsNotAdopted) {
  ListenerStore store;
  EXPECT_EQ(store.Adopt({{"127.0.0.1", 80}, {}}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(store.Adopt({{"127.0.0.1", 80}, {open("/dev/null", O_RDONLY | O_CLOEXEC)}}).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(
      store.Adopt({{"127.0.0.1", 80}, {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)}}).code(),
      StatusCode::kInvalidArgument);
  auto group = Listen("127.0.0.1", 0, 1);
  ASSERT_TRUE(group.ok()) << group.status();
  const auto other = static_cast<uint16_t>(group->port == 80 ? 81 : 80);
  const int copy = fcntl(group->sockets[0], F_DUPFD_CLOEXEC, 0);
  EXPECT_EQ(store.Adopt({{"127.0.0.1", other}, {copy}}).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(store.names().empty());

  ASSERT_TRUE(store.Adopt({{"127.0.0.1", group->port}, {group->sockets[0]}}).ok());
  const int again = fcntl(group->sockets[0], F_DUPFD_CLOEXEC, 0);
  EXPECT_EQ(store.Adopt({{"127.0.0.1", group->port}, {again}}).code(), StatusCode::kAlreadyExists);
  const std::vector<ListenerName> unused = store.CloseUnused();
  ASSERT_EQ(unused.size(), 1u);
  EXPECT_EQ(unused[0].port, group->port);
  EXPECT_FALSE(Connected(group->port).valid());
}

TEST(ListenerStoreTest, AnAddressOfAnotherProcessIsInUseStill) {
  auto other = Listen("127.0.0.1", 0, 1);
  ASSERT_TRUE(other.ok()) << other.status();
  ListenerStore store;
  const Status refused = store.Listen("127.0.0.1", other->port, 2).status();
  EXPECT_EQ(refused.code(), StatusCode::kUnavailable) << refused;
  EXPECT_TRUE(store.names().empty());
  CloseAll(other->sockets);
}

}  // namespace
}  // namespace leadsman::net
