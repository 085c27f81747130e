#include "net/local_channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "base/testing/temp_dir.h"

namespace leadsman::net {
namespace {

using namespace std::chrono_literals;

class LocalChannelTest : public testing::Test {
 protected:
  void Open() {
    auto listener = LocalListener::Listen(path_);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = std::move(*listener);
    auto client = LocalChannel::Connect(path_, 5s);
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = std::move(*client);
    server_ = listener_->Accept();
    ASSERT_NE(server_, nullptr);
  }

  TempDir dir_;
  const std::string path_ = (dir_.path() / "meet.sock").string();
  std::unique_ptr<LocalListener> listener_;
  std::unique_ptr<LocalChannel> client_, server_;
};

TEST_F(LocalChannelTest, MessagesKeepTheirBoundsAndBringDescriptors) {
  Open();
  EXPECT_EQ(server_->peer(), getpid());
  EXPECT_TRUE(server_->PeerIsOurs().ok());
  int pipes[2];
  ASSERT_EQ(pipe2(pipes, O_CLOEXEC), 0);
  ASSERT_TRUE(client_->Send("one", {}, 1s).ok());
  ASSERT_TRUE(client_->Send("two", {&pipes[1], 1}, 1s).ok());
  close(pipes[1]);
  auto one = server_->Receive(1s);
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->text, "one");
  EXPECT_TRUE(one->sockets.empty());
  auto two = server_->Receive(1s);
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_EQ(two->text, "two");
  ASSERT_EQ(two->sockets.size(), 1u);
  EXPECT_NE(fcntl(two->sockets[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  ASSERT_EQ(write(two->sockets[0].get(), "x", 1), 1);
  char got = 0;
  ASSERT_EQ(read(pipes[0], &got, 1), 1);
  EXPECT_EQ(got, 'x');
  close(pipes[0]);
}

TEST_F(LocalChannelTest, TheLargestMessageGoesAndALargerOneDoesNot) {
  Open();
  const std::string largest(LocalChannel::kMaxText, 'a');
  std::vector<int> most(LocalChannel::kMaxSockets, STDERR_FILENO);
  ASSERT_TRUE(client_->Send(largest, most, 5s).ok());
  auto got = server_->Receive(5s);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->text, largest);
  EXPECT_EQ(got->sockets.size(), most.size());
  EXPECT_EQ(client_->Send(largest + "a", {}, 1s).code(), StatusCode::kInvalidArgument);
  most.push_back(STDERR_FILENO);
  EXPECT_EQ(client_->Send("a", most, 1s).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(client_->Send("", {}, 1s).code(), StatusCode::kInvalidArgument);
  // Of somebody who keeps to no bounds.
  const std::string longer(2 * LocalChannel::kMaxText, 'a');
  ASSERT_GT(send(client_->socket(), longer.data(), longer.size(), 0), 0);
  EXPECT_EQ(server_->Receive(5s).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(LocalChannelTest, WaitsEndAndSoDoesAConversation) {
  Open();
  EXPECT_EQ(server_->Receive(10ms).status().code(), StatusCode::kDeadlineExceeded);
  Status sent;
  const std::string large(LocalChannel::kMaxText, 'a');
  for (int i = 0; i < 10'000 && sent.ok(); ++i) sent = client_->Send(large, {}, 10ms);
  EXPECT_EQ(sent.code(), StatusCode::kDeadlineExceeded) << sent;
  client_.reset();
  Status got;
  while (got.ok()) got = server_->Receive(1s).status();
  EXPECT_EQ(got.code(), StatusCode::kUnavailable) << got;
  EXPECT_EQ(server_->Send("a", {}, 1s).code(), StatusCode::kUnavailable);
}

TEST_F(LocalChannelTest, LastWordsAreHeardOfOneThatHasClosedAndReadNothing) {
  Open();
  ASSERT_TRUE(client_->Send("a question", {}, 1s).ok());
  ASSERT_TRUE(server_->Send("go away", {}, 1s).ok());
  server_.reset();
  EXPECT_EQ(client_->Send("another", {}, 1s).code(), StatusCode::kUnavailable);
  auto got = client_->Receive(1s);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->text, "go away");
  EXPECT_EQ(client_->Receive(1s).status().code(), StatusCode::kUnavailable);
}

TEST_F(LocalChannelTest, SaysWhetherTheOtherProcessHasEnded) {
  auto listener = LocalListener::Listen(path_);
  ASSERT_TRUE(listener.ok()) << listener.status();
  int hold[2];
  ASSERT_EQ(pipe2(hold, O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(hold[1]);
    auto client = LocalChannel::Connect(path_, 5s);
    char unused = 0;
    [[maybe_unused]] const ssize_t got = read(hold[0], &unused, 1);
    _exit(client.ok() ? 0 : 1);
  }
  close(hold[0]);
  std::unique_ptr<LocalChannel> channel;
  while (channel == nullptr) channel = (*listener)->Accept();
  EXPECT_EQ(channel->peer(), child);
  EXPECT_FALSE(channel->PeerHasEnded(0ms));
  close(hold[1]);
  EXPECT_TRUE(channel->PeerHasEnded(10s));  // before anybody has waited for it
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(LocalChannelTest, ThePathIsOursAloneAndGoesWithTheListener) {
  EXPECT_EQ(LocalChannel::Connect(path_, 1s).status().code(), StatusCode::kNotFound);
  Open();
  struct stat there {};
  ASSERT_EQ(stat(path_.c_str(), &there), 0);
  EXPECT_EQ(there.st_mode & 0777, 0600u);
  EXPECT_EQ(LocalListener::Listen(path_).status().code(), StatusCode::kUnavailable);
  listener_.reset();
  EXPECT_NE(stat(path_.c_str(), &there), 0);
}

TEST_F(LocalChannelTest, OneThatAProcessHasLeftIsReplacedAndNothingElseIs) {
  {
    const UniqueFd left(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path_.data(), path_.size());
    ASSERT_EQ(bind(left.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  EXPECT_EQ(LocalChannel::Connect(path_, 1s).status().code(), StatusCode::kNotFound);
  Open();
  // Somebody has put another one there meanwhile: that stays.
  ASSERT_EQ(unlink(path_.c_str()), 0);
  auto second = LocalListener::Listen(path_);
  ASSERT_TRUE(second.ok()) << second.status();
  listener_.reset();
  EXPECT_TRUE(LocalChannel::Connect(path_, 1s).ok());

  const std::string file = (dir_.path() / "file").string();
  std::ofstream(file) << "precious";
  EXPECT_EQ(LocalListener::Listen(file).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(access(file.c_str(), F_OK), 0);
  EXPECT_EQ(LocalListener::Listen((dir_.path() / "nowhere/sock").string()).status().code(),
            StatusCode::kNotFound);
  EXPECT_EQ(LocalListener::Listen(std::string(200, 'a')).status().code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace leadsman::net
