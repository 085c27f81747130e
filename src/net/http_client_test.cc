#include "net/http_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

#include "base/fs.h"
#include "base/strings.h"
#include "base/testing/temp_dir.h"
#include "net/http_server.h"
#include "net/testing/certificates.h"

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
  uint16_t port() const { return port_; }
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
    auto answer = MakeHttpClient()->Send({.url = server.url(), .timeout = 100ms});
    EXPECT_EQ(answer.status().code(), StatusCode::kDeadlineExceeded) << answer.status();
  }
}

TEST(HttpClientTest, EndsSoonAfterItIsCancelled) {
  std::atomic<bool> cancelled{false};
  ScriptedServer server([&](int fd, int) {
    ReadHead(fd);
    cancelled = true;
    ReadHead(fd);  // until the client goes
  });
  auto answer =
      MakeHttpClient()->Send({.url = server.url(), .timeout = 1h, .cancelled = &cancelled});
  EXPECT_EQ(answer.status().code(), StatusCode::kCancelled) << answer.status();
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
  for (std::string url : {"", "127.0.0.1", "ftp://x/", "http://", "https://", "http://u:p@h/",
                          "http://:80/", "http://h:0/", "http://h:99999/", "http://h:x/",
                          "http://[::1/", "http://[::1]x/", "http://h/a b", "http://h/\r\nX: y"}) {
    EXPECT_EQ(code({.url = url}), StatusCode::kInvalidArgument) << url;
  }
  EXPECT_EQ(code({.url = "http://127.0.0.1:1/", .headers = {{"A", "b\r\nInjected: 1"}}}),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.url = "http://127.0.0.1:1/", .headers = {{"A:", "b"}}}),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.method = "GE T", .url = "http://127.0.0.1:1/"}), StatusCode::kInvalidArgument);
}

// Bodies that go to a sink
// ------------------------------------------------------------------------------------------------------------

class StringSink final : public BodySink {
 public:
  Status Begin(const Info& begun) override {
    ++begins;
    info = begun;
    return OkStatus();
  }
  Status Write(std::string_view bytes) override {
    if (body.size() >= refuse_from) return CancelledError("enough");
    body.append(bytes);
    return OkStatus();
  }
  int begins = 0;
  Info info;
  std::string body;
  size_t refuse_from = SIZE_MAX;
};

std::string Pattern(size_t size) {
  std::string out(size, '\0');
  for (size_t i = 0; i < size; ++i) out[i] = char('a' + i * 7 % 23);
  return out;
}

TEST(HttpClientTest, GivesABigBodyToASinkInPieces) {
  const std::string body = Pattern(5 << 20);
  ScriptedServer server([&](int fd, int) {
    while (ReadHead(fd)) {
      Write(fd, StrCat("HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: ", body.size(), "\r\n\r\n"));
      Write(fd, body);
    }
  });
  auto client = MakeHttpClient();
  for (int i = 0; i < 2; ++i) {
    StringSink sink;
    auto answer = client->Fetch({.url = server.url(), .max_response_bytes = 10}, sink);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->Header("x-a"), "b");
    EXPECT_TRUE(answer->body.empty());
    EXPECT_EQ(sink.begins, 1);
    EXPECT_EQ(sink.info.size, body.size());
    EXPECT_TRUE(sink.body == body);
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpClientTest, WritesARangeWhereItBelongsAndTellsHowFarItIs) {
  ScriptedServer server([&](int fd, int) {
    std::string head;
    char c;
    while (head.find("\r\n\r\n") == std::string::npos && recv(fd, &c, 1, 0) > 0) head += c;
    EXPECT_TRUE(Contains(head, "\r\nRange: bytes=4-7\r\n")) << head;
    Write(fd,
          "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-7/10\r\nContent-Length: "
          "4\r\n\r\n4567");
  });
  std::string path = std::filesystem::temp_directory_path() / "leadsman-range-XXXXXX";
  int file = mkstemp(path.data());
  ASSERT_GE(file, 0);
  (void)!write(file, "0123", 4);
  uint64_t up_to = 0;
  std::optional<uint64_t> total;
  FileSink sink(file, [&](uint64_t written_up_to, std::optional<uint64_t> of) {
    up_to = written_up_to;
    total = of;
    return OkStatus();
  });
  auto answer = MakeHttpClient()->Fetch({.url = server.url(), .range = ByteRange{4, 7}}, sink);
  close(file);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, 206);
  EXPECT_EQ(up_to, 8u);
  EXPECT_EQ(total, 10u);
  EXPECT_EQ(*ReadFile(path, 100), "01234567");
  std::filesystem::remove(path);
}

TEST(HttpClientTest, RefusesARangeThatBeginsElsewhere) {
  ScriptedServer server([&](int fd, int number) {
    ReadHead(fd);
    Write(fd, number == 0
                  ? "HTTP/1.1 206 P\r\nContent-Range: bytes 5-7/8\r\nContent-Length: 3\r\n\r\n567"
                  : "HTTP/1.1 206 P\r\nContent-Length: 3\r\n\r\n567");
  });
  for (int i = 0; i < 2; ++i) {
    StringSink sink;
    auto answer = MakeHttpClient()->Fetch({.url = server.url(), .range = ByteRange{4, {}}}, sink);
    EXPECT_EQ(answer.status().code(), StatusCode::kUnavailable) << answer.status();
    EXPECT_EQ(sink.begins, 0);
  }
}

TEST(HttpClientTest, KeepsTheBodyOfAnErrorFromTheSink) {
  ScriptedServer server([&](int fd, int) {
    ReadHead(fd);
    Write(fd, "HTTP/1.1 403 Forbidden\r\nContent-Length: 3000000\r\n\r\n<Code>AccessDenied</Code>");
    Write(fd, std::string(2'000'000, 'x'));
    ReadHead(fd);
  });
  StringSink sink;
  auto answer = MakeHttpClient()->Fetch({.url = server.url()}, sink);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, 403);
  EXPECT_TRUE(answer->body.starts_with("<Code>AccessDenied</Code>"));
  EXPECT_EQ(answer->body.size(), 65536u);
  EXPECT_EQ(sink.begins, 0);
}

TEST(HttpClientTest, EndsWhenTheSinkSaysSo) {
  ScriptedServer server([&](int fd, int) {
    ReadHead(fd);
    Write(fd, StrCat("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", Pattern(2'000'000)));
    ReadHead(fd);
  });
  StringSink sink;
  sink.refuse_from = 1;
  auto answer = MakeHttpClient()->Fetch({.url = server.url()}, sink);
  EXPECT_EQ(answer.status(), CancelledError("enough"));
}

TEST(HttpClientTest, TellsABodyThatEndsEarlyAndOneThatStalls) {
  ScriptedServer server([&](int fd, int number) {
    ReadHead(fd);
    Write(fd, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf");
    if (number == 1) ReadHead(fd);
  });
  StringSink sink;
  EXPECT_EQ(MakeHttpClient()->Fetch({.url = server.url()}, sink).status().code(),
            StatusCode::kUnavailable);
  EXPECT_EQ(sink.body, "half");
  auto stalled =
      MakeHttpClient()->Fetch({.url = server.url(), .timeout = 60s, .idle_timeout = 50ms}, sink);
  EXPECT_EQ(stalled.status().code(), StatusCode::kDeadlineExceeded) << stalled.status();
}

TEST(HttpClientTest, FollowsRedirectsAsFarAsItMay) {
  std::atomic<bool> saw_secret{false};
  auto target = HttpServer::Start({}, [&](HttpExchange& e) {
    saw_secret = !e.request().Header("authorization").empty();
    e.response().body = StrCat("at ", e.request().target, " ", e.request().Header("x-a"));
  });
  ASSERT_TRUE(target.ok());
  const std::string elsewhere = StrCat("http://127.0.0.1:", (*target)->port(), "/end?x=1");
  auto source = HttpServer::Start({}, [&](HttpExchange& e) {
    if (e.request().path == "/same" && !e.request().Header("authorization").empty()) {
      e.response().body = "same";
      return;
    }
    e.response().status = 307;
    e.response().headers = e.request().path == "/loop" ? "Location: loop\r\n"
                           : e.request().path == "/to" ? "Location: same\r\n"
                                                       : StrCat("Location: ", elsewhere, "\r\n");
  });
  ASSERT_TRUE(source.ok());
  const std::string base = StrCat("http://127.0.0.1:", (*source)->port());
  auto client = MakeHttpClient();
  ClientRequest request{.url = base + "/a",
                        .headers = {{"Authorization", "Bearer x"}, {"X-A", "b"}},
                        .max_redirects = 3};
  StringSink sink;
  auto answer = client->Fetch(request, sink);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(sink.body, "at /end?x=1 b");
  EXPECT_EQ(sink.begins, 1);
  EXPECT_EQ(answer->url, elsewhere);
  EXPECT_FALSE(saw_secret);
  request.url = base + "/to";
  EXPECT_EQ(client->Send(request)->body, "same");  // to the same origin they go along
  request.url = base + "/loop";
  EXPECT_EQ(client->Send(request).status().code(), StatusCode::kFailedPrecondition);
  request.max_redirects = 0;
  EXPECT_EQ(client->Send(request)->status, 307);
  request.max_redirects = 1;
  request.method = "POST";
  EXPECT_EQ(client->Send(request)->status, 307);
}

// https
// ------------------------------------------------------------------------------------------------------------

/// OpenSSL's own server side. Serves every connection with `serve`, one after the other.
class TlsScriptedServer {
 public:
  TlsScriptedServer(const TestCertificate& certificate, std::function<void(SSL*)> serve,
                    const std::string& client_authority = "")
      : context_(SSL_CTX_new(TLS_server_method())), server_([this, serve](int fd, int) {
          SSL* ssl = SSL_new(context_);
          SSL_set_fd(ssl, fd);
          if (SSL_accept(ssl) == 1) {
            serve(ssl);
            SSL_shutdown(ssl);
          }
          SSL_free(ssl);
          ERR_clear_error();
        }) {
    auto read = [](const std::string& pem) { return BIO_new_mem_buf(pem.data(), int(pem.size())); };
    BIO* bio = read(certificate.certificate);
    X509* x509 = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
    BIO_free(bio);
    bio = read(certificate.key);
    EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
    BIO_free(bio);
    SSL_CTX_use_certificate(context_, x509);
    SSL_CTX_use_PrivateKey(context_, key);
    X509_free(x509);
    EVP_PKEY_free(key);
    if (client_authority.empty()) return;
    bio = read(client_authority);
    x509 = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
    BIO_free(bio);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context_), x509);
    X509_free(x509);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  ~TlsScriptedServer() { SSL_CTX_free(context_); }
  std::string url(std::string_view host = "localhost") const {
    return StrCat("https://", host, ":", server_.port(), "/");
  }
  int connections() const { return server_.connections(); }

 private:
  SSL_CTX*
      context_;  // made before the thread that uses it, which uses it from the first connection on
  ScriptedServer server_;
};

bool ReadHead(SSL* ssl) {
  std::string text;
  char c;
  while (text.find("\r\n\r\n") == std::string::npos) {
    if (SSL_read(ssl, &c, 1) <= 0) return false;
    text += c;
  }
  return true;
}

class HttpsClientTest : public testing::Test {
 protected:
  std::unique_ptr<HttpClient> Client(TlsClientOptions options = {}) {
    if (options.ca_file.empty()) options.ca_file = dir_.Write("ca.pem", authority_.pem());
    auto tls = TlsClient::Create(options);
    EXPECT_TRUE(tls.ok()) << tls.status();
    return MakeHttpClient(*tls);
  }
  static void Serve(SSL* ssl) {
    while (ReadHead(ssl)) {
      constexpr std::string_view kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
      SSL_write(ssl, kAnswer.data(), int(kAnswer.size()));
    }
  }
  TempDir dir_;
  TestAuthority authority_;
};

TEST_F(HttpsClientTest, KeepsItsConnection) {
  TlsScriptedServer server(authority_.Issue(), Serve);
  auto client = Client();
  for (int i = 0; i < 3; ++i) {
    auto answer = client->Send({.url = server.url()});
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->body, "ok");
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(HttpsClientTest, ChecksAnAddressLikeAName) {
  TlsScriptedServer server(authority_.Issue(), Serve);
  EXPECT_TRUE(Client()->Send({.url = server.url("127.0.0.1")}).ok());
  TlsScriptedServer named(authority_.Issue({.names = "DNS:localhost"}), Serve);
  EXPECT_EQ(Client()->Send({.url = named.url("127.0.0.1")}).status().code(),
            StatusCode::kFailedPrecondition);
}

TEST_F(HttpsClientTest, StreamsABigBody) {
  const std::string body = Pattern(8 << 20);
  TlsScriptedServer server(authority_.Issue(), [&](SSL* ssl) {
    ReadHead(ssl);
    std::string head = StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n");
    SSL_write(ssl, head.data(), int(head.size()));
    SSL_write(ssl, body.data(), int(body.size()));
  });
  StringSink sink;
  auto answer = Client()->Fetch({.url = server.url()}, sink);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(sink.body == body);
}

TEST_F(HttpsClientTest, DistrustsWhatItCannotVerify) {
  auto expect_refused = [&](const TestCertificate& certificate, std::string_view why) {
    TlsScriptedServer server(certificate, Serve);
    auto answer = Client()->Send({.url = server.url()});
    EXPECT_EQ(answer.status().code(), StatusCode::kFailedPrecondition) << answer.status();
    EXPECT_TRUE(Contains(answer.status().message(), why)) << answer.status();
  };
  expect_refused(TestAuthority("Somebody else").Issue(), "unable to get local issuer certificate");
  expect_refused(authority_.Issue({.names = "DNS:other.example"}), "hostname mismatch");
  expect_refused(authority_.Issue({.begins_seconds = -7200, .ends_seconds = -3600}), "expired");
  // And the system's authorities do not know ours.
  TlsScriptedServer server(authority_.Issue(), Serve);
  auto answer = MakeHttpClient()->Send({.url = server.url()});
  EXPECT_EQ(answer.status().code(), StatusCode::kFailedPrecondition) << answer.status();
}

TEST_F(HttpsClientTest, ShowsItsCertificateWhenAsked) {
  TestCertificate mine = authority_.Issue({.common_name = "client", .names = ""});
  TlsScriptedServer server(authority_.Issue(), Serve, authority_.pem());
  auto without = Client()->Send({.url = server.url()});
  EXPECT_EQ(without.status().code(), StatusCode::kUnavailable) << without.status();
  auto with = Client({.cert_file = dir_.Write("client.pem", mine.certificate),
                      .key_file = dir_.Write("client.key", mine.key)})
                  ->Send({.url = server.url()});
  ASSERT_TRUE(with.ok()) << with.status();
  EXPECT_EQ(with->body, "ok");
}

TEST_F(HttpsClientTest, GivesUpOnAServerThatDoesNotShakeHands) {
  ScriptedServer server([&](int fd, int) { ReadHead(fd); });
  auto answer =
      Client()->Send({.url = StrCat("https://localhost:", server.port(), "/"), .timeout = 100ms});
  EXPECT_EQ(answer.status().code(), StatusCode::kDeadlineExceeded) << answer.status();
}

TEST_F(HttpsClientTest, TellsAServerThatSpeaksNoTls) {
  ScriptedServer server([&](int fd, int) {
    char c;
    (void)!recv(fd, &c, 1, 0);
    Write(fd, "HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  auto answer = Client()->Send({.url = StrCat("https://localhost:", server.port(), "/")});
  EXPECT_EQ(answer.status().code(), StatusCode::kUnavailable) << answer.status();
  EXPECT_TRUE(Contains(answer.status().message(), "TLS with localhost")) << answer.status();
}

TEST_F(HttpsClientTest, DoesNotFollowARedirectOutOfTls) {
  TlsScriptedServer server(authority_.Issue(), [&](SSL* ssl) {
    ReadHead(ssl);
    constexpr std::string_view kAnswer =
        "HTTP/1.1 302 Found\r\nLocation: http://localhost:1/\r\nContent-Length: 0\r\n\r\n";
    SSL_write(ssl, kAnswer.data(), int(kAnswer.size()));
  });
  auto answer = Client()->Send({.url = server.url(), .max_redirects = 5});
  EXPECT_EQ(answer.status().code(), StatusCode::kFailedPrecondition) << answer.status();
}

TEST_F(HttpsClientTest, TakesABodyCutShortForNoWhole) {
  // Without a length and without a close_notify, nobody knows whether this is all.
  TlsScriptedServer server(authority_.Issue(), [&](SSL* ssl) {
    ReadHead(ssl);
    constexpr std::string_view kAnswer = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf";
    SSL_write(ssl, kAnswer.data(), int(kAnswer.size()));
    SSL_set_quiet_shutdown(ssl, 1);
  });
  auto answer = Client()->Send({.url = server.url()});
  EXPECT_EQ(answer.status().code(), StatusCode::kUnavailable) << answer.status();
}

TEST_F(HttpsClientTest, TakesTextsInPlaceOfFiles) {
  TlsScriptedServer server(authority_.Issue(), Serve, authority_.pem());
  const TestCertificate own = authority_.Issue({.common_name = "client"});
  auto with = TlsClient::Create(
      {.ca_pem = authority_.pem(), .cert_pem = own.certificate, .key_pem = own.key});
  ASSERT_TRUE(with.ok()) << with.status();
  auto answer = MakeHttpClient(*with)->Send({.url = server.url()});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->body, "ok");
  auto without = TlsClient::Create({.ca_pem = authority_.pem()});
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_FALSE(MakeHttpClient(*without)->Send({.url = server.url()}).ok());
  EXPECT_EQ(TlsClient::Create({.ca_pem = "no PEM"}).status().code(), StatusCode::kInvalidArgument);
  const auto other_key = TlsClient::Create(
      {.ca_pem = authority_.pem(), .cert_pem = own.certificate, .key_pem = authority_.Issue().key});
  EXPECT_TRUE(Contains(other_key.status().message(), "is not the key of the certificate"));
}

TEST_F(HttpsClientTest, ChecksTheCertificateAgainstTheNameThatItIsTold) {
  TlsScriptedServer server(authority_.Issue({.names = "DNS:api.internal"}), Serve);
  EXPECT_EQ(Client()->Send({.url = server.url()}).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Client({.server_name = "api.internal"})->Send({.url = server.url()}).ok());
}

TEST_F(HttpsClientTest, NamesTheFileThatIsWrong) {
  auto message = [](const TlsClientOptions& options) {
    auto tls = TlsClient::Create(options);
    return tls.ok() ? "" : tls.status().ToString();
  };
  EXPECT_TRUE(Contains(message({.ca_file = dir_.file("none.pem")}), "ca_file: cannot"));
  EXPECT_TRUE(Contains(message({.ca_file = dir_.Write("x.pem", "no PEM")}), "ca_file"));
  EXPECT_TRUE(Contains(message({.cert_file = "a"}), "go together"));
  TestCertificate one = authority_.Issue();
  TestCertificate two = authority_.Issue();
  EXPECT_TRUE(Contains(message({.cert_file = dir_.Write("1.pem", one.certificate),
                                .key_file = dir_.Write("2.key", two.key)}),
                       "key_file"));
}

}  // namespace
}  // namespace leadsman::net
