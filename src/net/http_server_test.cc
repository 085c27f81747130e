#include "net/http_server.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <atomic>
#include <chrono>
#include <future>
#include <set>
#include <thread>

#include "base/mutex.h"
#include "base/strings.h"
#include "base/testing/temp_dir.h"
#include "base/turn.h"
#include "net/body_share.h"
#include "net/http_client.h"
#include "net/testing/certificates.h"
#include "net/testing/tls_raw_client.h"

namespace leadsman::net {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

void Echo(HttpExchange& exchange) { exchange.response().body.append(exchange.request().body); }

/// One certificate for all tests of this file: making keys takes longer than the tests.
struct TlsSetup {
  TestAuthority authority;
  TempDir dir;
  TestTlsContext client = MakeTestTlsContext(authority.pem());
  std::shared_ptr<ServerCertificates> server;
  std::shared_ptr<const TlsClient> https;

  TlsSetup() {
    TestCertificate certificate = authority.Issue();
    auto made =
        ServerCertificates::Create({.cert_file = dir.Write("cert.pem", certificate.certificate),
                                    .key_file = dir.Write("key.pem", certificate.key)},
                                   SystemClock());
    CHECK(made.ok());
    server = *made;
    auto trust = TlsClient::Create({.ca_file = dir.Write("ca.pem", authority.pem())});
    CHECK(trust.ok());
    https = *trust;
  }
};

/// Everything that a server does, it does over plain text and over TLS.
class HttpServerTest : public testing::TestWithParam<bool> {
 protected:
  std::unique_ptr<HttpServer> StartServer(HttpHandler handler = Echo,
                                          HttpServerOptions options = {}) {
    if (GetParam()) options.certificates = tls_->server;
    auto server = HttpServer::Start(std::move(options), std::move(handler));
    EXPECT_TRUE(server.ok()) << server.status();
    return std::move(server).value();
  }
  /// For a client's side.
  SSL_CTX* tls() const { return GetParam() ? tls_->client.get() : nullptr; }

  static void SetUpTestSuite() { tls_ = new TlsSetup; }
  static void TearDownTestSuite() {
    delete tls_;
    tls_ = nullptr;
  }
  inline static TlsSetup* tls_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(Transport, HttpServerTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Tls" : "Plain"; });

std::string Post(std::string_view body, std::string_view extra = "") {
  return StrCat("POST /x HTTP/1.1\r\nHost: t\r\nContent-Length: ", body.size(), "\r\n", extra,
                "\r\n", body);
}
int StatusOf(std::string_view response) {
  return response.size() > 12 ? int(ParseInt64(response.substr(9, 3)).value_or(0)) : 0;
}
std::string BodyOf(std::string_view response) {
  size_t end = response.find("\r\n\r\n");
  return end == std::string_view::npos ? "" : std::string(response.substr(end + 4));
}
bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// 15 + 16: gzip, 15: zlib, -15: bare deflate.
std::string Deflate(std::string_view text, int window_bits) {
  z_stream s{};
  deflateInit2(&s, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&s, uLong(text.size())) + 64, 0);
  s.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  s.avail_in = uInt(text.size());
  s.next_out = reinterpret_cast<Bytef*>(out.data());
  s.avail_out = uInt(out.size());
  deflate(&s, Z_FINISH);
  out.resize(s.total_out);
  deflateEnd(&s);
  return out;
}
std::string Gunzip(std::string_view text) {
  z_stream s{};
  inflateInit2(&s, 15 + 32);  // gzip or zlib
  std::string out(1 << 20, 0);
  s.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  s.avail_in = uInt(text.size());
  s.next_out = reinterpret_cast<Bytef*>(out.data());
  s.avail_out = uInt(out.size());
  inflate(&s, Z_FINISH);
  out.resize(s.total_out);
  inflateEnd(&s);
  return out;
}

/// Waits for an event of another thread, by looking; false after ten seconds.
template <typename Condition>
bool Eventually(Condition condition) {
  auto end = steady_clock::now() + 10s;
  while (!condition()) {
    if (steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

class Flag {
 public:
  void Set() {
    MutexLock lock(mutex_);
    set_ = true;
    changed_.NotifyAll();
  }
  bool Wait() {
    MutexLock lock(mutex_);
    for (int i = 0; i < 100 && !set_; ++i) (void)changed_.WaitFor(mutex_, 100ms);
    return set_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool set_ = false;
};

// What is served
// -------------------------------------------------------------------------------------------------------

TEST_P(HttpServerTest, AnswersManyRequestsOnOneConnection) {
  auto server = StartServer();
  TlsRawClient client(server->port(), tls());
  for (int i = 0; i < 5; ++i) {
    client.Send(Post("hello"));
    EXPECT_EQ(
        client.ReadResponse(),
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello");
  }
  HttpServerStats stats = server->stats();
  EXPECT_EQ(stats.connections_accepted, 1u);
  EXPECT_EQ(stats.connections_open, 1u);
  EXPECT_EQ(stats.requests, 5u);
  EXPECT_EQ(stats.bytes_in, 5 * Post("hello").size());
  EXPECT_GT(stats.bytes_out, 0u);
}

TEST_P(HttpServerTest, ShowsTheHandlerThePartsOfTheRequest) {
  auto server = StartServer([](HttpExchange& e) {
    const HttpRequest& r = e.request();
    e.response().body = StrCat(r.method, "|", r.target, "|", r.path, "|", r.query, "|",
                               r.Header("x-ONE"), "|", r.Header("absent"), "|", r.fields.size());
    e.response().status = 404;
    e.response().headers = "X-Mine: 7\r\n";
    e.response().content_type = "text/plain";
  });
  TlsRawClient client(server->port(), tls());
  client.Send(
      "DELETE /a%20b/c?d=e&f HTTP/1.1\r\nHost: t\r\nX-One:  first \r\nx-one: "
      "second\r\nEmpty:\r\n\r\n");
  EXPECT_EQ(client.ReadResponse(),
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 45\r\nX-Mine: "
            "7\r\n\r\n"
            "DELETE|/a%20b/c?d=e&f|/a%20b/c|d=e&f|first||4");
}

TEST_P(HttpServerTest, WhatIsLeftForTheEndOfTheTurnCanAnswer) {
  auto server = StartServer([](HttpExchange& e) {
    Turn* turn = Turn::OfThisThread();
    ASSERT_NE(turn, nullptr);
    e.Defer();
    turn->AtEnd([&e] {
      e.response().body = "late";
      e.FinishFromAnyThread();
    });
    e.response().body = "too early";
  });
  TlsRawClient client(server->port(), tls());
  for (int i = 0; i < 3; ++i) {
    client.Send(Post("x"));
    EXPECT_EQ(BodyOf(client.ReadResponse()), "late");
  }
  EXPECT_EQ(Turn::OfThisThread(), nullptr) << "this thread has no loop";
}

TEST_P(HttpServerTest, AcceptsTheAbsoluteForm) {
  auto server = StartServer([](HttpExchange& e) { e.response().body = e.request().path; });
  TlsRawClient client(server->port(), tls());
  client.Send("GET http://host:1/a/b?q HTTP/1.1\r\nHost: host\r\n\r\n");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "/a/b");
  client.Send("GET http://host?q=/a/b HTTP/1.1\r\nHost: host\r\n\r\n");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "");
}

TEST_P(HttpServerTest, HeadGetsTheHeadAlone) {
  auto server = StartServer([](HttpExchange& e) { e.response().body = "12345"; });
  TlsRawClient client(server->port(), tls());
  client.Send(
      "HEAD / HTTP/1.1\r\nHost: t\r\n\r\nGET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
  std::string all = client.ReadUntilClosed();
  EXPECT_TRUE(Contains(all, "Content-Length: 5\r\n\r\nHTTP/1.1 200")) << all;
}

TEST_P(HttpServerTest, ClosesWhenTheClientAsksForIt) {
  auto server = StartServer();
  for (std::string request :
       {"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"}) {
    TlsRawClient client(server->port(), tls());
    client.Send(request);
    bool reset = true;
    EXPECT_TRUE(Contains(client.ReadUntilClosed(&reset), "Connection: close\r\n")) << request;
    EXPECT_FALSE(reset);
    EXPECT_TRUE(client.closed());
  }
}

TEST_P(HttpServerTest, KeepsAnHttp10ConnectionThatAsksForIt) {
  auto server = StartServer();
  TlsRawClient client(server->port(), tls());
  for (int i = 0; i < 2; ++i) {
    client.Send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_TRUE(Contains(client.ReadResponse(), "Connection: keep-alive\r\n"));
  }
}

TEST_P(HttpServerTest, ClosesWhenTheHandlerAsksForIt) {
  auto server = StartServer([](HttpExchange& e) { e.response().close = true; });
  TlsRawClient client(server->port(), tls());
  client.Send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_TRUE(Contains(client.ReadUntilClosed(), "Connection: close\r\n"));
}

TEST_P(HttpServerTest, AnswersTenThousandPipelinedRequestsInOrder) {
  auto server = StartServer();
  TlsRawClient client(server->port(), tls());
  std::thread writer([&] {
    std::string all;
    for (int i = 0; i < 10'000; ++i) all += Post(std::to_string(i));
    client.Send(all);
  });
  int wrong = 0;
  for (int i = 0; i < 10'000; ++i) wrong += BodyOf(client.ReadResponse()) != std::to_string(i);
  writer.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(server->stats().requests, 10'000u);
}

TEST_P(HttpServerTest, TakesRequestsInPiecesOfOneByte) {
  auto server = StartServer();
  TlsRawClient client(server->port(), tls());
  for (char c : Post("abc") + "\r\n" + Post("def")) client.Send(std::string_view(&c, 1));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "abc");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "def");
}

TEST_P(HttpServerTest, CarriesBigBodiesBothWaysAndKeepsTheHeadReadable) {
  auto server = StartServer([](HttpExchange& e) {
    Echo(e);
    e.response().headers =
        StrCat("X-Back: ", e.request().Header("x-there"), e.request().path, "\r\n");
  });
  std::string body(20 << 20, 'a');
  for (size_t i = 0; i < body.size(); i += 997) body[i] = char('b' + i % 20);
  TlsRawClient client(server->port(), tls());
  for (int i = 0; i < 2; ++i) {
    std::thread writer([&] { client.Send(Post(body, "X-There: still here\r\n")); });
    std::string response = client.ReadResponse();
    writer.join();
    EXPECT_TRUE(Contains(response.substr(0, 300), "X-Back: still here/x\r\n"));
    EXPECT_TRUE(BodyOf(response) == body);
  }
  client.Send(Post("small"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "small");
}

TEST_P(HttpServerTest, GivesTheMemoryOfABigRequestBackAndGoesOn) {
  HttpServerOptions options;
  options.idle_timeout = 20s;
  options.write_timeout = 20ms;  // makes the sweep frequent
  auto server = StartServer(Echo, options);
  TlsRawClient client(server->port(), tls());
  for (int i = 0; i < 3; ++i) {
    std::string body(300 << 10, 'x');
    std::thread writer([&] { client.Send(Post(body)); });
    EXPECT_TRUE(BodyOf(client.ReadResponse()) == body);
    writer.join();
    // Several sweeps pass while this second connection is served and closed.
    TlsRawClient other(server->port(), tls());
    other.Send("G");
    std::string pause = BodyOf((other.Send("ET / HTTP/1.0\r\n\r\n"), other.ReadUntilClosed()));
    client.Send(Post("after"));
    EXPECT_EQ(BodyOf(client.ReadResponse()), "after");
  }
}

TEST_P(HttpServerTest, LeavesReadableBytesBehindTheBody) {
  auto server = StartServer([](HttpExchange& e) {
    const HttpRequest& r = e.request();
    volatile const char* end = r.body.data() + r.body.size();
    unsigned sum = 0;
    for (size_t i = 0; i < HttpRequest::kBodyPadding; ++i)
      sum += static_cast<unsigned char>(end[i]);
    e.response().body = StrCat("ok", sum * 0);
  });
  // A request that fills the buffer to its last byte.
  std::string head = Post(std::string(10000, 'x'));
  for (size_t total : {size_t(16 << 10), size_t(64 << 10)}) {
    size_t overhead = Post(std::string(total - 100, 'x')).size() - (total - 100);
    TlsRawClient client(server->port(), tls());
    client.Send(Post(std::string(total - overhead, 'x')));
    EXPECT_EQ(BodyOf(client.ReadResponse()), "ok0");
  }
  std::string packed = Deflate(std::string(4096, 'y'), 31);
  TlsRawClient client(server->port(), tls());
  client.Send(Post(packed, "Content-Encoding: gzip\r\n"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "ok0");
}

TEST_P(HttpServerTest, TakesChunkedBodies) {
  auto server = StartServer();
  std::string head = "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
  std::string chunks =
      "5;ext=\"1\"\r\nhello\r\n1\r\n \r\n0000A\r\nchunked wo\r\n3\r\nrld\r\n0\r\nTrailer: "
      "x\r\n\r\n";
  TlsRawClient client(server->port(), tls());
  client.Send(head + chunks + Post("next"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "hello chunked world");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "next");
  for (char c : head + chunks + Post("next")) client.Send(std::string_view(&c, 1));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "hello chunked world");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "next");
}

TEST_P(HttpServerTest, TakesBigChunkedBodies) {
  auto server = StartServer();
  std::string body;
  std::string chunks;
  for (int i = 0; body.size() < (3 << 20); ++i) {
    std::string piece(size_t(i) * 37 % 5000 + 1, char('a' + i % 26));
    char size[16];
    snprintf(size, sizeof(size), "%zx\r\n", piece.size());
    chunks += size + piece + "\r\n";
    body += piece;
  }
  TlsRawClient client(server->port(), tls());
  std::thread writer([&] {
    client.Send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks +
                "0\r\n\r\n");
  });
  EXPECT_TRUE(BodyOf(client.ReadResponse()) == body);
  writer.join();
}

TEST_P(HttpServerTest, InflatesBodies) {
  auto server = StartServer([](HttpExchange& e) {
    e.response().body = StrCat(e.request().body, "|", e.request().wire_body_bytes);
  });
  TlsRawClient client(server->port(), tls());
  std::string text(3000, 'z');
  for (auto [bits, coding] : {std::pair{31, "gzip"},
                              {15, "deflate"},
                              {-15, "deflate"},
                              {31, "GZIP"},
                              {31, "x-gzip"},
                              {31, "gzip, identity"},
                              {31, "identity,gzip"},
                              {31, "identity\r\nContent-Encoding: gzip"},
                              {31, "gzip\r\nContent-Encoding: identity"},
                              {15, ", deflate ,"}}) {
    std::string packed = Deflate(text, bits);
    client.Send(Post(packed, StrCat("Content-Encoding: ", coding, "\r\n")));
    EXPECT_EQ(BodyOf(client.ReadResponse()), StrCat(text, "|", packed.size())) << coding;
  }
  std::string members = Deflate("one ", 31) + Deflate("two", 31);
  client.Send(Post(members, "Content-Encoding: gzip\r\n"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), StrCat("one two|", members.size()));
  client.Send(Post("plain", "Content-Encoding: identity\r\n"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "plain|5");
}

TEST_P(HttpServerTest, InflatesChunkedBodies) {
  auto server = StartServer();
  std::string packed = Deflate("both at once", 31);
  char size[16];
  snprintf(size, sizeof(size), "%zx\r\n", packed.size() - 3);
  TlsRawClient client(server->port(), tls());
  client.Send(
      "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nContent-Encoding: "
      "gzip\r\n\r\n3\r\n" +
      packed.substr(0, 3) + "\r\n" + size + packed.substr(3) + "\r\n0\r\n\r\n");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "both at once");
}

TEST_P(HttpServerTest, SaysContinueOnlyToClientsThatWait) {
  auto server = StartServer();
  TlsRawClient client(server->port(), tls());
  client.Send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.ReadResponse(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("abc");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "abc");
  client.Send(Post("impatient", "Expect: 100-continue\r\n"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "impatient");
}

TEST_P(HttpServerTest, CompressesLongAnswersForClientsThatAcceptIt) {
  auto server = StartServer([](HttpExchange& e) {
    Echo(e);
    e.response().allow_compression = e.request().path != "/raw";
  });
  TlsRawClient client(server->port(), tls());
  std::string text(5000, 'c');
  auto ask = [&](std::string_view path, std::string_view body, std::string_view accept) {
    client.Send(StrCat("POST ", path, " HTTP/1.1\r\nHost: t\r\nContent-Length: ", body.size(),
                       "\r\nAccept-Encoding: ", accept, "\r\n\r\n", body));
    return client.ReadResponse();
  };
  std::string packed = ask("/", text, "br, gzip;q=0.5");
  EXPECT_TRUE(Contains(packed, "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n"));
  EXPECT_EQ(Gunzip(BodyOf(packed)), text);
  // What is called deflate is zlib's format; gzip comes first for who takes both.
  packed = ask("/", text, "deflate");
  EXPECT_TRUE(Contains(packed, "Content-Encoding: deflate\r\nVary: Accept-Encoding\r\n"));
  EXPECT_EQ(BodyOf(packed).front(), '\x78');
  EXPECT_EQ(Gunzip(BodyOf(packed)), text);
  EXPECT_TRUE(Contains(ask("/", text, "deflate, gzip;q=0.1"), "Content-Encoding: gzip\r\nVary"));
  EXPECT_TRUE(
      Contains(ask("/", text, "gzip;q=0, *, deflate"), "Content-Encoding: deflate\r\nVary"));
  EXPECT_EQ(BodyOf(ask("/", text, "deflate;q=0.0")), text);
  EXPECT_EQ(BodyOf(ask("/", text, "gzip;q=0")), text);
  EXPECT_EQ(BodyOf(ask("/", text, "br")), text);
  EXPECT_EQ(BodyOf(ask("/raw", text, "gzip")), text);
  EXPECT_EQ(BodyOf(ask("/", text.substr(0, 1024), "gzip")), text.substr(0, 1024));
}

TEST_P(HttpServerTest, KeepsAHandlersStateFromRequestToRequest) {
  auto server = StartServer(
      [](HttpExchange& e) { e.response().body = std::to_string(++e.ConnectionState<int>()); });
  TlsRawClient one(server->port(), tls());
  TlsRawClient two(server->port(), tls());
  one.Send(Post("") + Post(""));
  EXPECT_EQ(BodyOf(one.ReadResponse()), "1");
  EXPECT_EQ(BodyOf(one.ReadResponse()), "2");
  two.Send(Post(""));
  EXPECT_EQ(BodyOf(two.ReadResponse()), "1");
}

TEST_P(HttpServerTest, AnIdleConnectionKeepsNoState) {
  static std::atomic<int> states{0};
  struct State {
    State() { ++states; }
    ~State() { --states; }
  };
  auto server = StartServer([](HttpExchange& e) { e.ConnectionState<State>(); });
  TlsRawClient client(server->port(), tls());
  client.Send(Post(""));
  client.ReadResponse();
  EXPECT_TRUE(Eventually([&] { return states == 0; }));
  client.Send(Post(""));
  EXPECT_FALSE(client.ReadResponse().empty()) << "the connection stays";
}

TEST_P(HttpServerTest, AnswersAClientThatHasClosedItsSendingHalf) {
  auto server = StartServer();
  TlsRawClient client(server->port(), tls());
  client.Send(Post("one") + Post("two"));
  shutdown(client.fd(), SHUT_WR);
  EXPECT_EQ(BodyOf(client.ReadResponse()), "one");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "two");
  client.ReadUntilClosed();
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(Eventually([&] { return server->stats().connections_open == 0; }));
}

// What is refused
// ------------------------------------------------------------------------------------------------------

TEST_P(HttpServerTest, RefusesMalformedRequests) {
  std::atomic<int> handled{0};
  auto server = StartServer([&](HttpExchange&) { ++handled; });
  struct Case {
    std::string bytes;
    int status;
  };
  const std::string line = "POST / HTTP/1.1\r\nHost: t\r\n";
  const std::vector<Case> cases = {
      {"\x16\x03\x01\x02", 400},
      {"GET /\r\n\r\n", 400},
      {"GET / HTTP/1.1\n\n", 400},
      {"GET / HTTP/2.0\r\nHost: t\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: t\r\nNo Colon\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost : t\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: t\r\nA: 1\r\n folded\r\n\r\n", 400},
      {std::string("GET /\0 HTTP/1.1\r\nHost: t\r\n\r\n", 28), 400},
      {line + "Content-Length: x\r\n\r\n", 400},
      {line + "Content-Length: -1\r\n\r\n", 400},
      {line + "Content-Length: +1\r\n\r\n", 400},
      {line + "Content-Length: 99999999999999999999999\r\n\r\n", 400},
      {line + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
      {line + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400},
      {line + "Content-Length: 1, 1\r\n\r\na", 400},
      {line + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {line + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
      {line + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\n\r\nx\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\n\r\n1\na\n0\n\n", 400},
      {line + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400},
      // Chunks that two parties could cut in two ways.
      {line + "Transfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\n\r\n1_0\r\na\r\n0\r\n\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\n\r\n;x\r\na\r\n0\r\n\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\n\r\n1;x\na\r\n0\r\n\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\n\r\n1;x=\"\n\"\r\na\r\n0\r\n\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\n\r\n1;x\rx\r\na\r\n0\r\n\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\n\r\n1 1\r\na\r\n0\r\n\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\n\r\n1 x\r\na\r\n0\r\n\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\n\r\n1;x=\x01\r\na\r\n0\r\n\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: 1\n\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\n\r\n1;" + std::string(100'000, 'x') + "\r\n", 400},
      // Names and codings that hide a length from one of them.
      {line + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
      {line + " Content-Length: 4\r\n\r\nabcd", 400},
      {line + "Transfer-Encoding:\x0b"
              "chunked\r\n\r\n0\r\n\r\n",
       400},
      {line + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501},
      {line + "Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\na", 501},
      {line + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400},
      {line + "Content-Length: 1\r\n \r\n\r\na", 400},
      {line + "A: x\r\n \r\n\r\n", 400},
      {line + "A:\r\n\tx\r\n\r\n", 400},
      {line + "Content-Length: 1\r\ncontent-length: 1\r\n\r\na", 400},
      {line + "Content-Length: 0x1\r\n\r\na", 400},
      {line + "Content-Length: 1 1\r\n\r\na", 400},
      {line + "Content-Length:\r\n\r\na", 400},
      // Line ends.
      {"GET / HTTP/1.1\r\nHost: t\nX: 1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: t\rX: 1\r\n\r\n", 400},
      {"GET / HTTP/1.1\nHost: t\r\n\r\n", 400},
      {"GET / HTTP/1.1\rHost: t\r\n\r\n", 400},
      {"GET  / HTTP/1.1\r\nHost: t\r\n\r\n", 400},
      {"GET /\tx HTTP/1.1\r\nHost: t\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: t\r\nhost: t\r\n\r\n", 400},
      {std::string("GET / HTTP/1.1\r\nHost: t\r\nA: b\0c\r\n\r\n", 35), 400},
      {line + "Expect: the-unexpected\r\n\r\n", 417},
      {line + "Content-Length: 3\r\nContent-Encoding: gzip\r\n\r\nabc", 400},
      {line + "Content-Length: 3\r\nContent-Encoding: br\r\n\r\nabc", 415},
      {line + "Content-Length: 3\r\nContent-Encoding: gzip, gzip\r\n\r\nabc", 415},
      {line + "Content-Length: 3\r\nContent-Encoding: gzip, br\r\n\r\nabc", 415},
      {line + "Content-Length: 3\r\nContent-Encoding: notgzip\r\n\r\nabc", 415},
      {line + "Content-Length: 3\r\nContent-Encoding: deflate\r\nContent-Encoding: "
              "gzip\r\n\r\nabc",
       415},
  };
  for (const Case& c : cases) {
    TlsRawClient client(server->port(), tls());
    // What follows must not be taken for a second request.
    client.Send(c.bytes);
    std::string answer = client.ReadUntilClosed();
    EXPECT_EQ(StatusOf(answer), c.status) << c.bytes << "\n" << answer;
    EXPECT_TRUE(Contains(answer, "Connection: close\r\n")) << c.bytes;
    EXPECT_TRUE(Contains(answer, "{\"error\": \"")) << c.bytes;
    EXPECT_EQ(Contains(answer, "Accept-Encoding: gzip, deflate\r\n"), c.status == 415);
    EXPECT_TRUE(client.closed());
  }
  EXPECT_EQ(handled, 0);
  EXPECT_EQ(server->stats().bad_requests, cases.size());
}

TEST_P(HttpServerTest, RefusesAGigabyteWithoutReadingIt) {
  auto server = StartServer();
  TlsRawClient client(server->port(), tls());
  client.Send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1073741824\r\n\r\n");
  EXPECT_EQ(StatusOf(client.ReadResponse()), 413);
  std::string block(1 << 20, 'x');
  for (int i = 0; i < 1024 && client.Send(block); ++i) {
    if (i == 16)
      break;  // the socket's buffers are long full if nobody reads; do not sit here until the
              // server closes
    pollfd p{client.fd(), POLLOUT, 0};
    if (poll(&p, 1, 100) == 0) break;
  }
  EXPECT_LT(server->stats().bytes_in, size_t(2 << 20));
  EXPECT_EQ(StatusOf([&] {
              TlsRawClient other(server->port(), tls());
              other.Send(Post("still up"));
              return other.ReadResponse();
            }()),
            200);
}

TEST_P(HttpServerTest, RefusesByTheHeadWhatIsNotAdmitted) {
  HttpServerOptions options;
  options.admit = [](const HttpRequest& head, HttpResponse& refusal) {
    if (head.Header("authorization") == "good") return true;
    refusal.status = 401;
    refusal.headers += "www-authenticate: Bearer\r\n";
    refusal.body += "who are you?";
    return false;
  };
  std::atomic<int> handled = 0;
  auto server = StartServer(
      [&](HttpExchange& exchange) {
        ++handled;
        Echo(exchange);
      },
      options);
  for (const char* of_body :
       {"Content-Length: 60000000\r\n", "Transfer-Encoding: chunked\r\n",
        "Content-Length: 3\r\nExpect: 100-continue\r\n", "Content-Length: 1000000000000\r\n"}) {
    TlsRawClient client(server->port(), tls());
    client.Send(StrCat("POST / HTTP/1.1\r\nHost: t\r\n", of_body, "\r\n"));
    const std::string answer = client.ReadResponse();
    EXPECT_EQ(StatusOf(answer), 401) << of_body << answer;
    EXPECT_EQ(BodyOf(answer), "who are you?");
    EXPECT_TRUE(Contains(answer, "Connection: close")) << answer;
    EXPECT_TRUE(Contains(answer, "www-authenticate: Bearer")) << answer;
  }
  // What has no body leaves the connection as it is.
  TlsRawClient client(server->port(), tls());
  client.Send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(StatusOf(client.ReadResponse()), 401);
  EXPECT_EQ(handled, 0);
  client.Send(Post("let in", "Authorization: good\r\n"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "let in");
  EXPECT_EQ(handled, 1);
  EXPECT_EQ(server->stats().requests, 6u);
  EXPECT_EQ(server->stats().bad_requests, 0u);
}

TEST_P(HttpServerTest, AnAdmissionThatThrowsLetsNobodyIn) {
  HttpServerOptions options;
  options.admit = [](const HttpRequest&, HttpResponse&) -> bool { throw std::runtime_error("no"); };
  auto server = StartServer(Echo, options);
  TlsRawClient client(server->port(), tls());
  client.Send(Post("in?"));
  EXPECT_EQ(StatusOf(client.ReadResponse()), 500);
}

TEST_P(HttpServerTest, RefusesWhatIsTooLarge) {
  HttpServerOptions options;
  options.max_header_bytes = 1000;
  options.max_body_bytes = 2000;
  options.limits_setting = "server.limits";
  auto server = StartServer(Echo, options);
  struct Case {
    std::string bytes;
    int status;
  };
  const std::string chunked = "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const Case& c : {
           Case{"GET / HTTP/1.1\r\nHost: t\r\nA: " + std::string(2000, 'a'), 431},
           Case{"GET / HTTP/1.1\r\nHost: t\r\nA: " + std::string(2000, 'a') + "\r\n\r\n", 431},
           Case{"GET / HTTP/1.1\r\nHost: t\r\nA: " + std::string(900, 'a') + "\r\n\r\n", 200},
           Case{Post(std::string(2001, 'a')), 413},
           Case{Post(std::string(2000, 'a')), 200},
           Case{chunked + "7d1\r\n" + std::string(2001, 'a') + "\r\n0\r\n\r\n", 413},
           Case{chunked + "7d0\r\n" + std::string(2000, 'a') + "\r\n0\r\n\r\n", 200},
           Case{Post(Deflate(std::string(2001, 'a'), 31), "Content-Encoding: gzip\r\n"), 413},
           Case{Post(Deflate(std::string(2000, 'a'), 31), "Content-Encoding: gzip\r\n"), 200},
           Case{
               "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2001\r\nExpect: 100-continue\r\n\r\n",
               413},
       }) {
    TlsRawClient client(server->port(), tls());
    client.Send(c.bytes);
    const std::string answer = client.ReadResponse();
    EXPECT_EQ(StatusOf(answer), c.status) << c.bytes.substr(0, 100);
    const std::string limit = c.status == 431   ? "1000 bytes (server.limits.max_header)"
                              : c.status == 413 ? "2000 bytes"
                                                : "";
    EXPECT_NE(answer.find(limit), std::string::npos) << answer;
    EXPECT_EQ(answer.find("(server.limits.max_body)") != std::string::npos, c.status == 413);
  }
}

TEST_P(HttpServerTest, WhatWouldBeTooMuchOfAllRequestsTogetherIsToComeAgain) {
  HttpServerOptions options;
  options.body_budget = std::make_shared<ByteBudget>(1 << 20);
  options.limits_setting = "server.limits";
  auto server = StartServer(Echo, options);
  const std::string other = Post(std::string(300 << 10, 'b'));
  {
    TlsRawClient slow(server->port(), tls());
    slow.Send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 900000\r\n\r\n" +
              std::string(800'000, 'a'));
    EXPECT_TRUE(Eventually([&] { return options.body_budget->held() > 800'000; }));
    TlsRawClient client(server->port(), tls());
    client.Send(other);
    const std::string answer = client.ReadResponse();
    EXPECT_EQ(StatusOf(answer), 503);
    EXPECT_TRUE(Contains(answer, "Retry-After: 1\r\n")) << answer;
    EXPECT_TRUE(Contains(answer, "1048576 bytes (server.limits.max_held); try again later"));
    EXPECT_EQ(server->stats().bodies_refused, 1u);
    // Small ones go on.
    TlsRawClient small(server->port(), tls());
    small.Send(Post("x"));
    EXPECT_EQ(BodyOf(small.ReadResponse()), "x");
    slow.Send(std::string(100'000, 'a'));
    EXPECT_EQ(StatusOf(slow.ReadResponse()), 200);
  }
  EXPECT_TRUE(Eventually([&] { return options.body_budget->held() == 0; }));
  TlsRawClient client(server->port(), tls());
  client.Send(other);
  EXPECT_EQ(StatusOf(client.ReadResponse()), 200);
}

TEST_P(HttpServerTest, NamesNoSettingWhereThereIsNone) {
  HttpServerOptions options;
  options.max_body_bytes = 2000;
  auto server = StartServer(Echo, options);
  TlsRawClient client(server->port(), tls());
  client.Send(Post(std::string(2001, 'a')));
  EXPECT_EQ(BodyOf(client.ReadResponse()),
            R"({"error": "the request's body is larger than 2000 bytes"})");
}

TEST_P(HttpServerTest, WordsItsOwnErrorsAsTheOptionsSay) {
  HttpServerOptions options;
  options.error_body = [](int status, std::string_view message) {
    return StrCat(status, "!", message);
  };
  auto server = StartServer([](HttpExchange&) { throw std::runtime_error("oops"); }, options);
  TlsRawClient client(server->port(), tls());
  client.Send(Post(""));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "500!internal error");
  client.Send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "400!HTTP/1.1 requests need a Host field");
}

TEST_P(HttpServerTest, SurvivesErrorWordsThatThrow) {
  HttpServerOptions options;
  options.read_timeout = 50ms;
  options.error_body = [](int status, std::string_view) -> std::string {
    if (status == 408) throw std::runtime_error("oops");
    throw status;
  };
  auto server = StartServer([](HttpExchange&) { throw std::runtime_error("oops"); }, options);
  TlsRawClient slow(server->port(), tls());
  slow.Send("G");
  EXPECT_EQ(StatusOf(slow.ReadUntilClosed()), 408);
  TlsRawClient malformed(server->port(), tls());
  malformed.Send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(StatusOf(malformed.ReadUntilClosed()), 400);
  TlsRawClient client(server->port(), tls());
  client.Send(Post(""));
  EXPECT_EQ(StatusOf(client.ReadResponse()), 500);
  client.Send(Post(""));
  EXPECT_EQ(StatusOf(client.ReadResponse()), 500);
}

TEST_P(HttpServerTest, TurnsExceptionsIntoA500AndGoesOn) {
  auto server = StartServer([](HttpExchange& e) {
    e.response().body = "half an answer with a secret";
    if (e.request().path == "/int") throw 7;
    throw std::runtime_error("oops");
  });
  TlsRawClient client(server->port(), tls());
  for (std::string path : {"/", "/int"}) {
    client.Send("GET " + path + " HTTP/1.1\r\nHost: t\r\n\r\n");
    std::string answer = client.ReadResponse();
    EXPECT_EQ(StatusOf(answer), 500);
    EXPECT_EQ(BodyOf(answer), "{\"error\": \"internal error\"}");
  }
}

TEST_P(HttpServerTest, SurvivesClientsThatLeaveInMidRequest) {
  auto server = StartServer();
  for (std::string part :
       {std::string("P"), std::string("POST / HTTP/1.1\r\nHo"),
        std::string("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nabc"),
        std::string("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")}) {
    for (bool hard : {false, true}) {
      TlsRawClient client(server->port(), tls());
      client.Send(part);
      linger abort{1, 0};
      if (hard) setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
    }
  }
  EXPECT_TRUE(Eventually([&] {
    return server->stats().connections_open == 0 && server->stats().connections_accepted == 8;
  }));
  EXPECT_EQ(server->stats().requests, 0u);
}

TEST_P(HttpServerTest, AnswersConnectionsBeyondTheLimitWith503) {
  HttpServerOptions options;
  options.max_connections = 2;
  auto server = StartServer(Echo, options);
  TlsRawClient one(server->port(), tls());
  TlsRawClient two(server->port(), tls());
  one.Send(Post("1"));
  two.Send(Post("2"));
  EXPECT_EQ(BodyOf(one.ReadResponse()), "1");
  EXPECT_EQ(BodyOf(two.ReadResponse()), "2");
  TlsRawClient three(server->port(), tls());
  three.Send(Post("3"));
  bool reset = true;
  EXPECT_EQ(StatusOf(three.ReadUntilClosed(&reset)), 503);
  EXPECT_FALSE(reset);
  EXPECT_EQ(server->stats().connections_refused, 1u);
  one.Close();
  EXPECT_TRUE(Eventually([&] { return server->stats().connections_open == 1; }));
  TlsRawClient four(server->port(), tls());
  four.Send(Post("4"));
  EXPECT_EQ(BodyOf(four.ReadResponse()), "4");
}

// Time
// -----------------------------------------------------------------------------------------------------------------

TEST_P(HttpServerTest, CutsARequestThatTakesTooLong) {
  HttpServerOptions options;
  options.read_timeout = 200ms;
  auto server = StartServer(Echo, options);
  for (std::string part : {"G", "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n"}) {
    TlsRawClient client(server->port(), tls());
    auto start = steady_clock::now();
    client.Send(part);
    // A byte now and then does not help: the whole request counts.
    std::thread dripping([&] {
      pollfd p{client.fd(), POLLIN, 0};
      while (poll(&p, 1, 20) == 0 && client.Send("x")) {
      }
    });
    std::string answer = client.ReadUntilClosed();
    dripping.join();
    EXPECT_EQ(StatusOf(answer), 408) << answer;
    EXPECT_GE(steady_clock::now() - start, 190ms);
  }
  EXPECT_EQ(server->stats().timeouts, 2u);
}

TEST_P(HttpServerTest, ClosesIdleConnectionsWithoutAWord) {
  HttpServerOptions options;
  options.idle_timeout = 100ms;
  auto server = StartServer(Echo, options);
  TlsRawClient never(server->port(), tls());
  TlsRawClient once(server->port(), tls());
  once.Send(Post("x"));
  EXPECT_EQ(BodyOf(once.ReadResponse()), "x");
  bool reset = true;
  EXPECT_EQ(once.ReadUntilClosed(&reset), "");
  EXPECT_FALSE(reset);
  EXPECT_EQ(never.ReadUntilClosed(), "");
  EXPECT_TRUE(Eventually([&] { return server->stats().connections_open == 0; }));
}

TEST_P(HttpServerTest, CutsAClientThatDoesNotRead) {
  HttpServerOptions options;
  options.write_timeout = 100ms;
  auto server =
      StartServer([](HttpExchange& e) { e.response().body.assign(32 << 20, 'x'); }, options);
  TlsRawClient client(server->port(), tls());
  client.Send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_TRUE(Eventually(
      [&] { return server->stats().timeouts == 1 && server->stats().connections_open == 0; }));
}

// Deferred answers
// -----------------------------------------------------------------------------------------------------

TEST_P(HttpServerTest, LetsAnotherThreadFinish) {
  std::vector<std::thread> threads;
  Mutex mutex;
  auto server = StartServer([&](HttpExchange& e) {
    e.Defer();
    MutexLock lock(mutex);
    threads.emplace_back([&e] {
      e.response().body.append("later ").append(e.request().body);
      e.FinishFromAnyThread();
    });
  });
  TlsRawClient client(server->port(), tls());
  client.Send(Post("1") + Post("2") + Post("3"));
  for (std::string i : {"1", "2", "3"}) EXPECT_EQ(BodyOf(client.ReadResponse()), "later " + i);
  server->Shutdown(1s);
  for (std::thread& t : threads) t.join();
}

TEST_P(HttpServerTest, LetsTheHandlerItselfFinishADeferredAnswer) {
  auto server = StartServer([](HttpExchange& e) {
    e.Defer();
    Echo(e);
    e.FinishFromAnyThread();
  });
  TlsRawClient client(server->port(), tls());
  client.Send(Post("1") + Post("2"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "1");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "2");
}

/// Deferred exchanges, and how often it was told that their clients are gone.
struct Deferrer {
  std::atomic<HttpExchange*> deferred{nullptr};
  std::atomic<int> gone{0};
  void operator()(HttpExchange& e) {
    e.Defer();
    e.WhenGone([this] { ++gone; });
    deferred = &e;
  }
  HttpExchange& Take() {
    EXPECT_TRUE(Eventually([&] { return deferred.load() != nullptr; }));
    return *deferred.exchange(nullptr);
  }
};

constexpr std::string_view kInterim = "HTTP/1.1 100 Continue\r\n\r\n";

TEST_P(HttpServerTest, TellsWhenTheClientOfADeferredAnswerHasGone) {
  Deferrer deferrer;
  auto server = StartServer(std::ref(deferrer));
  for (bool pipelined : {false, true}) {
    deferrer.gone = 0;
    TlsRawClient client(server->port(), tls());
    client.Send(Post("body") + (pipelined ? Post("another") : ""));
    HttpExchange& exchange = deferrer.Take();
    EXPECT_EQ(deferrer.gone, 0);
    client.Close();
    EXPECT_TRUE(Eventually([&] { return deferrer.gone == 1; }));
    EXPECT_EQ(exchange.request().body, "body");
    exchange.FinishFromAnyThread();
    // The request behind it may reach the handler before the broken connection shows.
    Eventually([&] {
      if (HttpExchange* second = deferrer.deferred.exchange(nullptr)) second->FinishFromAnyThread();
      return server->stats().connections_open == 0;
    });
    EXPECT_EQ(server->stats().connections_open, 0u);
  }
}

TEST_P(HttpServerTest, AnswersAClientThatOnlySendsNoMore) {
  Deferrer deferrer;
  auto server = StartServer(std::ref(deferrer));
  TlsRawClient client(server->port(), tls());
  client.Send(Post("1") + Post("2"));
  shutdown(client.fd(), SHUT_WR);
  for (std::string i : {"1", "2"}) {
    HttpExchange& exchange = deferrer.Take();
    // By which the server finds out whether anybody still reads.
    EXPECT_EQ(client.ReadResponse(true), kInterim);
    Echo(exchange);
    exchange.FinishFromAnyThread();
    EXPECT_EQ(BodyOf(client.ReadResponse()), i);
  }
  EXPECT_EQ(client.ReadUntilClosed(), "");
  EXPECT_EQ(deferrer.gone, 0);
}

TEST_P(HttpServerTest, TellsWhenAClientGoesThatHadOnlySentNoMore) {
  Deferrer deferrer;
  auto server = StartServer(std::ref(deferrer));
  TlsRawClient client(server->port(), tls());
  client.Send(Post("body"));
  shutdown(client.fd(), SHUT_WR);
  HttpExchange& exchange = deferrer.Take();
  EXPECT_EQ(client.ReadResponse(true), kInterim);
  EXPECT_EQ(deferrer.gone, 0);
  const linger hard{.l_onoff = 1, .l_linger = 0};
  setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  client.Close();
  EXPECT_TRUE(Eventually([&] { return deferrer.gone == 1; }));
  exchange.FinishFromAnyThread();
}

TEST_P(HttpServerTest, AnHttp10ClientIsSentNothingBeforeItsAnswer) {
  Deferrer deferrer;
  auto server = StartServer(std::ref(deferrer));
  TlsRawClient client(server->port(), tls());
  client.Send("POST /x HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody");
  shutdown(client.fd(), SHUT_WR);
  HttpExchange& exchange = deferrer.Take();
  Echo(exchange);
  exchange.FinishFromAnyThread();
  EXPECT_EQ(client.ReadResponse().substr(9, 3), "200");
  EXPECT_EQ(deferrer.gone, 0);
}

TEST_P(HttpServerTest, KeepsADeferredExchangeValidBeyondItsServer) {
  Deferrer deferrer;
  auto server = StartServer(std::ref(deferrer));
  TlsRawClient client(server->port(), tls());
  client.Send(Post("body"));
  HttpExchange& exchange = deferrer.Take();
  server->Shutdown(50ms);
  server.reset();
  EXPECT_TRUE(client.ReadUntilClosed().empty());
  EXPECT_EQ(deferrer.gone, 1);
  EXPECT_EQ(exchange.request().body, "body");
  exchange.response().body = "too late";
  exchange.FinishFromAnyThread();
}

// Start and end
// --------------------------------------------------------------------------------------------------------

TEST_P(HttpServerTest, SpreadsConnectionsOverItsThreads) {
  Mutex mutex;
  std::set<std::thread::id> seen;
  HttpServerOptions options;
  options.io_threads = 4;
  auto server = StartServer(
      [&](HttpExchange&) {
        MutexLock lock(mutex);
        seen.insert(std::this_thread::get_id());
      },
      options);
  for (int i = 0; i < 64; ++i) {
    TlsRawClient client(server->port(), tls());
    client.Send(Post(""));
    EXPECT_EQ(StatusOf(client.ReadResponse()), 200);
  }
  EXPECT_GE(seen.size(), 3u);
  EXPECT_EQ(server->stats().requests, 64u);
}

TEST_P(HttpServerTest, RefusesToShareAPort) {
  for (int threads : {1, 4}) {
    HttpServerOptions options;
    options.io_threads = threads;
    auto first = StartServer(Echo, options);
    options.port = first->port();
    auto second = HttpServer::Start(options, Echo);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.status().code(), StatusCode::kUnavailable);
    EXPECT_TRUE(Contains(second.status().message(), StrCat("127.0.0.1:", options.port)))
        << second.status();
    EXPECT_TRUE(Contains(second.status().message(), "another process listens there"))
        << second.status();
    TlsRawClient client(first->port(), tls());
    client.Send(Post("still the first"));
    EXPECT_EQ(BodyOf(client.ReadResponse()), "still the first");
    // Connections of the first that linger in the kernel do not block its successor.
    first->Shutdown(0ms);
    EXPECT_TRUE(HttpServer::Start(options, Echo).ok());
  }
}

TEST_P(HttpServerTest, RefusesAddressesThatAreNone) {
  HttpServerOptions options;
  options.address = "localhost.example";
  EXPECT_EQ(HttpServer::Start(options, Echo).status().code(), StatusCode::kInvalidArgument);
  options.address = "203.0.113.1";
  EXPECT_EQ(HttpServer::Start(options, Echo).status().code(), StatusCode::kInvalidArgument);
}

TEST_P(HttpServerTest, ListensOnIpv6) {
  HttpServerOptions options;
  options.address = "::1";
  options.io_threads = 2;
  if (GetParam()) options.certificates = tls_->server;
  auto server = HttpServer::Start(options, Echo);
  if (!server.ok()) GTEST_SKIP() << "this machine has no IPv6: " << server.status();
  auto answer =
      MakeHttpClient(tls_->https)
          ->Send({.method = "POST",
                  .url = StrCat(GetParam() ? "https" : "http", "://[::1]:", (*server)->port(), "/"),
                  .body = "six"});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->body, "six");
}

TEST_P(HttpServerTest, AnswersTheNextRequestOfAKeptConnectionDuringShutdown) {
  auto server = StartServer();
  TlsRawClient kept(server->port(), tls());
  kept.Send(Post("before"));
  EXPECT_EQ(BodyOf(kept.ReadResponse()), "before");
  TlsRawClient silent(server->port(), tls());
  silent.Send(Post("x"));
  silent.ReadResponse();
  auto done = std::async(std::launch::async, [&] { server->Shutdown(10s); });
  // Some requests may still find the server as before; the last one is told.
  std::string answer;
  do {
    ASSERT_TRUE(kept.Send(Post("during")));
    answer = kept.ReadResponse();
    ASSERT_EQ(BodyOf(answer), "during");
  } while (!Contains(answer, "Connection: close\r\n"));
  EXPECT_EQ(kept.ReadUntilClosed(), "");
  bool reset = true;
  EXPECT_EQ(silent.ReadUntilClosed(&reset), "");
  EXPECT_FALSE(reset);
  kept.Close();
  silent.Close();
  EXPECT_EQ(done.wait_for(9s), std::future_status::ready);
}

TEST_P(HttpServerTest, ShutdownWaitsForDeferredAnswers) {
  std::atomic<HttpExchange*> deferred{nullptr};
  auto server = StartServer([&](HttpExchange& e) {
    e.Defer();
    deferred = &e;
  });
  TlsRawClient client(server->port(), tls());
  client.Send(Post("x"));
  ASSERT_TRUE(Eventually([&] { return deferred.load() != nullptr; }));
  auto done = std::async(std::launch::async, [&] { server->Shutdown(10s); });
  EXPECT_EQ(done.wait_for(300ms), std::future_status::timeout);
  deferred.load()->response().body = "in time";
  deferred.load()->FinishFromAnyThread();
  std::string answer = client.ReadUntilClosed();
  EXPECT_EQ(BodyOf(answer), "in time");
  EXPECT_TRUE(Contains(answer, "Connection: close\r\n"));
  client.Close();
  EXPECT_EQ(done.wait_for(5s), std::future_status::ready);
}

TEST_P(HttpServerTest, ShutdownCutsWhatOutlastsTheGrace) {
  auto server = StartServer();
  TlsRawClient client(server->port(), tls());
  client.Send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc");
  ASSERT_TRUE(Eventually([&] { return server->stats().bytes_in > 0; }));
  server->Shutdown(100ms);
  EXPECT_EQ(server->stats().connections_open, 0u);
}

/// A drain that is asked for again, more urgently, while it ends: as a server does that has given up waiting.
TEST(HttpServerLifeTest, NothingIsLeftOfAServerThatIsShutDownTwice) {
  auto held = std::make_shared<int>(0);
  for (int round = 0; round < 200; ++round) {
    // Sweeps come every five milliseconds: some are due when the loop ends.
    auto server = HttpServer::Start(
        {.address = "127.0.0.1", .port = 0, .io_threads = 2, .idle_timeout = 20ms},
        [held](HttpExchange&) {});
    ASSERT_TRUE(server.ok()) << server.status();
    std::thread again([&] {
      for (int i = 0; i < 3; ++i) (*server)->BeginDrain(0ms);
    });
    (*server)->BeginDrain(0ms);
    EXPECT_TRUE((*server)->AwaitDrained(10s));
    (*server)->BeginDrain(0ms);
    again.join();
  }
  EXPECT_EQ(held.use_count(), 1);
}

// Every request that was sent on a connection the server had accepted is answered. Connections that
// are refused once the server is gone are no loss: the client knows that nothing was sent.
TEST_P(HttpServerTest, ShutdownUnderLoadLosesNoRequest) {
  for (int round = 0; round < 3; ++round) {
    HttpServerOptions options;
    options.io_threads = 2;
    auto server = StartServer(Echo, options);
    const uint16_t port = server->port();
    std::atomic<int> answered{0};
    std::atomic<int> lost{0};
    std::atomic<bool> down{false};
    std::vector<std::thread> clients;
    for (int c = 0; c < 8; ++c) {
      const bool keep = c % 2 == 0;
      clients.emplace_back([&, keep] {
        while (!down) {
          TlsRawClient client(port, tls());
          if (!client.connected()) return;
          bool more = true;
          while (more) {
            if (!client.Send(Post("payload", keep ? "" : "Connection: close\r\n"))) {
              ++lost;
              break;
            }
            std::string answer = client.ReadResponse();
            if (BodyOf(answer) != "payload") {
              ++lost;
              break;
            }
            ++answered;
            more = keep && !Contains(answer, "Connection: close\r\n");
          }
        }
      });
    }
    ASSERT_TRUE(Eventually([&] { return answered > 500; }));
    server->Shutdown(10s);
    down = true;
    for (std::thread& t : clients) t.join();
    EXPECT_EQ(lost, 0) << "of " << answered;
    EXPECT_EQ(server->stats().connections_open, 0u);
  }
}

}  // namespace
}  // namespace leadsman::net
