#include "net/http_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "base/strings.h"
#include "net/http_server.h"

namespace leadsman::net {
namespace {

using namespace std::chrono_literals;

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// A server that misbehaves as told: runs `serve` on every connection, one after the other.
class ScriptedServer {
 public:
  explicit ScriptedServer(std::function<void(int fd, int number)> serve) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(a);
    bind(listener_, reinterpret_cast<sockaddr*>(&a), size);
    listen(listener_, 16);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&a), &size);
    port_ = ntohs(a.sin_port);
    thread_ = std::thread([this, serve] {
      for (int number = 0;; ++number) {
        int fd = accept(listener_, nullptr, nullptr);
        if (fd < 0) return;
        ++connections_;
        serve(fd, number);
        close(fd);
      }
    });
  }
  ~ScriptedServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  std::string url() const { return StrCat("http://127.0.0.1:", port_, "/"); }
  int connections() const { return connections_; }

 private:
  int listener_;
  uint16_t port_;
  std::atomic<int> connections_{0};
  std::thread thread_;
};

/// Reads one request without a body; false when the client has closed.
bool ReadHead(int fd) {
  std::string text;
  char c;
  while (text.find("\r\n\r\n") == std::string::npos) {
    if (recv(fd, &c, 1, 0) <= 0) return false;
    text += c;
  }
  return true;
}
void Write(int fd, std::string_view text) {
  (void)!send(fd, text.data(), text.size(), MSG_NOSIGNAL);
}

TEST(HttpClientTest, KeepsItsConnection) {
  auto server = HttpServer::Start({}, [](HttpExchange& e) {
    e.response().body = StrCat(e.request().method, " ", e.request().target, " ",
                               e.request().Header("x-a"), " ", e.request().body);
    e.response().status = 418;
    e.response().headers = "X-Reply: yes\r\n";
  });
  ASSERT_TRUE(server.ok());
  auto client = MakeHttpClient();
  for (int i = 0; i < 3; ++i) {
    auto answer = client->Send({.method = "PUT",
                                .url = StrCat("http://localhost:", (*server)->port(), "/p?q=1"),
                                .headers = {{"X-A", "b"}},
                                .body = "body"});
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->status, 418);
    EXPECT_EQ(answer->body, "PUT /p?q=1 b body");
    EXPECT_EQ(answer->Header("x-reply"), "yes");
  }
  EXPECT_EQ((*server)->stats().connections_accepted, 1u);
}

TEST(HttpClientTest, ReadsAnswersToHead) {
  auto server = HttpServer::Start({}, [](HttpExchange& e) { e.response().body = "12345"; });
  ASSERT_TRUE(server.ok());
  auto client = MakeHttpClient();
  for (std::string method : {"HEAD", "GET"}) {
    auto answer =
        client->Send({.method = method, .url = StrCat("http://127.0.0.1:", (*server)->port())});
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->body, method == "HEAD" ? "" : "12345");
  }
}

TEST(HttpClientTest, ReadsChunkedAnswersAndThoseThatEndWithTheConnection) {
  ScriptedServer server([](int fd, int number) {
    if (number == 0) {
      ReadHead(fd);
      Write(fd,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: "
            "chunked\r\n\r\n3\r\nabc\r\n");
      Write(fd, "2;x\r\nde\r\n0\r\n\r\n");
      if (!ReadHead(fd)) return;
      Write(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    } else {
      ReadHead(fd);
      Write(fd, "HTTP/1.0 200 OK\r\n\r\nuntil the end");
    }
  });
  auto client = MakeHttpClient();
  for (std::string expected : {"abcde", "ok", "until the end"}) {
    auto answer = client->Send({.url = server.url()});
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->body, expected);
  }
  EXPECT_EQ(server.connections(), 2);
}

TEST(HttpClientTest, SendsAgainOnAStaleConnectionOnlyWhatMayHappenTwice) {
  // Answers the first request of a connection and drops the second unread.
  ScriptedServer server([](int fd, int) {
    ReadHead(fd);
    Write(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    ReadHead(fd);
  });
  auto client = MakeHttpClient();
  for (int i = 0; i < 3; ++i) {
    auto answer = client->Send({.url = server.url()});
    EXPECT_TRUE(answer.ok()) << answer.status();
  }
  auto post = client->Send({.method = "POST", .url = server.url()});
  EXPECT_EQ(post.status().code(), StatusCode::kUnavailable);
}

TEST(HttpClientTest, GivesUpAtTheDeadline) {
  ScriptedServer server([&](int fd, int number) {
    ReadHead(fd);
    if (number == 1) Write(fd, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf");
    ReadHead(fd);  // until the client goes
  });
  for (int i = 0; i < 2; ++i) {
    auto start = std::chrono::steady_clock::now();
    auto answer = MakeHttpClient()->Send({.url = server.url(), .timeout = 100ms});
    EXPECT_EQ(answer.status().code(), StatusCode::kDeadlineExceeded) << answer.status();
    EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  }
}

TEST(HttpClientTest, NamesHostAndPortWhenItCannotConnect) {
  std::string port;
  {
    auto server = HttpServer::Start({}, [](HttpExchange&) {});
    ASSERT_TRUE(server.ok());
    port = std::to_string((*server)->port());
  }
  auto answer = MakeHttpClient()->Send({.url = "http://127.0.0.1:" + port + "/"});
  EXPECT_EQ(answer.status().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(Contains(answer.status().message(), "127.0.0.1 port " + port)) << answer.status();
}

TEST(HttpClientTest, TellsBrokenAnswers) {
  ScriptedServer server([](int fd, int number) {
    ReadHead(fd);
    Write(fd, number == 0   ? "SSH-2.0-OpenSSH\r\n\r\n"
              : number == 1 ? "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf"
                            : "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n");
  });
  EXPECT_EQ(MakeHttpClient()->Send({.url = server.url()}).status().code(),
            StatusCode::kUnavailable);
  EXPECT_EQ(MakeHttpClient()->Send({.url = server.url()}).status().code(),
            StatusCode::kUnavailable);
  EXPECT_EQ(
      MakeHttpClient()->Send({.url = server.url(), .max_response_bytes = 1000}).status().code(),
      StatusCode::kResourceExhausted);
}

TEST(HttpClientTest, ReadsARefusalThatComesBeforeItHasSentAll) {
  HttpServerOptions options;
  options.max_body_bytes = 1000;
  auto server = HttpServer::Start(options, [](HttpExchange&) {});
  ASSERT_TRUE(server.ok());
  auto answer = MakeHttpClient()->Send({.method = "POST",
                                        .url = StrCat("http://127.0.0.1:", (*server)->port(), "/"),
                                        .body = std::string(32 << 20, 'x')});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, 413);
}

TEST(HttpClientTest, RefusesBadRequestsBeforeSending) {
  auto code = [](ClientRequest request) { return MakeHttpClient()->Send(request).status().code(); };
  for (std::string url :
       {"", "127.0.0.1", "https://x/", "http://", "http://:80/", "http://h:0/", "http://h:99999/",
        "http://h:x/", "http://[::1/", "http://[::1]x/", "http://h/a b", "http://h/\r\nX: y"}) {
    EXPECT_EQ(code({.url = url}), StatusCode::kInvalidArgument) << url;
  }
  EXPECT_EQ(code({.url = "http://127.0.0.1:1/", .headers = {{"A", "b\r\nInjected: 1"}}}),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.url = "http://127.0.0.1:1/", .headers = {{"A:", "b"}}}),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.method = "GE T", .url = "http://127.0.0.1:1/"}), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace leadsman::net
