#include "telemetry/smtp_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "base/mutex.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

/// Speaks just enough SMTP to one client after the other. `answer` gets each command, and "." behind a mail's text; an empty
/// answer is none.
class ScriptedMailServer {
 public:
  using Answer = std::function<std::string(const std::string& command)>;
  explicit ScriptedMailServer(Answer answer) : answer_(std::move(answer)) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(a);
    bind(listener_, reinterpret_cast<sockaddr*>(&a), size);
    listen(listener_, 4);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&a), &size);
    port = ntohs(a.sin_port);
    thread_ = std::thread([this] {
      for (int fd; (fd = accept(listener_, nullptr, nullptr)) >= 0;) {
        Serve(fd);
        close(fd);
      }
    });
  }
  ~ScriptedMailServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  std::string text() {
    MutexLock lock(mutex_);
    return text_;
  }
  uint16_t port = 0;

 private:
  bool Say(int fd, const std::string& command) {
    std::string line = answer_(command);
    if (line.empty()) return true;
    line += "\r\n";
    return send(fd, line.data(), line.size(), MSG_NOSIGNAL) > 0;
  }
  void Serve(int fd) {
    if (!Say(fd, "")) return;
    std::string line;
    bool in_text = false;
    for (char c; recv(fd, &c, 1, 0) == 1;) {
      line += c;
      if (!line.ends_with("\r\n")) continue;
      const std::string command = line.substr(0, line.size() - 2);
      const bool ends = in_text && command == ".";
      if (in_text && !ends) {
        MutexLock lock(mutex_);
        text_ += line;
      }
      if (!in_text || ends) (void)Say(fd, command);
      if (ends) in_text = false;
      if (command == "DATA") in_text = true;
      line.clear();
    }
  }

  const Answer answer_;
  int listener_ = -1;
  Mutex mutex_;
  std::string text_ GUARDED_BY(mutex_);
  std::thread thread_;
};

std::string Friendly(const std::string& command) {
  if (command.empty()) return "220 here";
  if (command == "DATA") return "354 go on";
  if (command == "QUIT") return "221 goodbye";
  return "250 fine";
}

class SmtpClientTest : public testing::Test {
 protected:
  SmtpClient::Answer Send(ScriptedMailServer::Answer answer, const std::string& text) {
    server_ = std::make_unique<ScriptedMailServer>(std::move(answer));
    SmtpOptions options;
    options.server = "127.0.0.1";
    options.port = server_->port;
    options.tls = SmtpOptions::Tls::kNone;
    auto client = SmtpClient::Create(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return (*client)->Send({1h, cancelled_, false}, {"me@example.org", {"a@b", "c@d"}, text});
  }
  std::atomic<bool> cancelled_{false};
  std::unique_ptr<ScriptedMailServer> server_;
};

TEST_F(SmtpClientTest, SendsTheTextAsItIs) {
  auto answer = Send(Friendly, "Subject: x\r\n\r\none\r\n.two\r\n.\r\nthree\r\n");
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_TRUE(answer.refused.empty());
  EXPECT_EQ(server_->text(), "Subject: x\r\n\r\none\r\n..two\r\n..\r\nthree\r\n")
      << "RFC 5321, 4.5.2";
}

TEST_F(SmtpClientTest, OneAddressThatIsRefusedDoesNotKeepItFromTheOthers) {
  auto answer = Send(
      [](const std::string& command) {
        return command == "RCPT TO:<a@b>" ? "550 who?" : Friendly(command);
      },
      "x\r\n");
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_EQ(answer.refused, std::vector<std::string>{"a@b (550 who?)"});
  EXPECT_EQ(server_->text(), "x\r\n");
}

TEST_F(SmtpClientTest, ARefusalOfAllIsWorthAnotherTry) {
  auto answer = Send(
      [](const std::string& command) {
        return command.starts_with("RCPT") ? "550 who?" : Friendly(command);
      },
      "x\r\n");
  EXPECT_EQ(answer.status.code(), StatusCode::kUnavailable) << answer.status;
  EXPECT_NE(answer.status.message().find("550 who?"), std::string_view::npos) << answer.status;
  EXPECT_FALSE(answer.text_refused);
}

TEST_F(SmtpClientTest, ATextThatIsRefusedIsNotTakenBecauseTheServerSaysGoodbye) {
  for (const auto& [reply, for_good] :
       {std::pair("452 full", false), std::pair("554 spam", true)}) {
    auto answer =
        Send([said = reply](
                 const std::string& command) { return command == "." ? said : Friendly(command); },
             "x\r\n");
    EXPECT_FALSE(answer.status.ok()) << reply;
    EXPECT_EQ(answer.text_refused, for_good) << reply;
  }
}

TEST_F(SmtpClientTest, AServerThatDoesNotSayGoodbyeHasTakenItAllTheSame) {
  auto answer =
      Send([](const std::string& command) { return command == "QUIT" ? "" : Friendly(command); },
           "x\r\n");
  EXPECT_TRUE(answer.status.ok()) << answer.status;  // or the test takes two minutes
}

TEST_F(SmtpClientTest, EndsSoonAfterItIsCancelled) {
  auto answer = Send(
      [&](const std::string&) {
        cancelled_ = true;
        return "";
      },
      "x\r\n");
  EXPECT_EQ(answer.status.code(), StatusCode::kCancelled) << answer.status;
}

}  // namespace
}  // namespace leadsman
