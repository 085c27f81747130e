#include "kube/transport.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/mutex.h"
#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "kube/credentials.h"
#include "net/http_server.h"
#include "net/testing/certificates.h"

namespace leadsman::kube {
namespace {

using std::chrono_literals::operator""s;

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// Lets in who has the one token, and keeps what was sent.
class TokenServer {
 public:
  explicit TokenServer(const net::HttpServerOptions& options = {})
      : server_(net::HttpServer::Start(options, [this](net::HttpExchange& exchange) {
                  const std::string sent(exchange.request().Header("authorization"));
                  MutexLock lock(mutex_);
                  seen_.push_back(sent);
                  if (on_request_) on_request_();
                  if (sent != StrCat("Bearer ", token_)) exchange.response().status = 401;
                  exchange.response().body = "{}";
                }).value()) {}
  int port() const { return server_->port(); }
  void Accept(std::string token) {
    MutexLock lock(mutex_);
    token_ = std::move(token);
  }
  void OnRequest(std::function<void()> on_request) {
    MutexLock lock(mutex_);
    on_request_ = std::move(on_request);
  }
  std::vector<std::string> seen() {
    MutexLock lock(mutex_);
    return seen_;
  }

 private:
  Mutex mutex_;
  std::string token_ GUARDED_BY(mutex_) = "one";
  std::function<void()> on_request_ GUARDED_BY(mutex_);
  std::vector<std::string> seen_ GUARDED_BY(mutex_);
  std::unique_ptr<net::HttpServer> server_;
};

class TransportTest : public testing::Test {
 protected:
  std::unique_ptr<Transport> Make(ClusterAccess access) {
    access.source = "the test";
    auto made = MakeHttpTransport(std::move(access), clock_);
    EXPECT_TRUE(made.ok()) << made.status();
    return std::move(made).value();
  }
  int StatusOf(Transport& transport) {
    auto answer = transport.Send({.target = "/"});
    return answer.ok() ? answer->status : -int(answer.status().code());
  }
  TempDir dir_;
  FakeClock clock_;
};

TEST_F(TransportTest, ATokenThatIsRefusedIsReadAgainAtOnce) {
  TokenServer server;
  auto transport = Make({.server = StrCat("http://127.0.0.1:", server.port()),
                         .token_file = dir_.Write("token", "one\n")});
  EXPECT_EQ(StatusOf(*transport), 200);
  server.Accept("two");
  EXPECT_EQ(StatusOf(*transport), 401);  // nothing new in the file
  dir_.Write("token", "two\n");
  EXPECT_EQ(StatusOf(*transport), 200);
  EXPECT_EQ(server.seen().back(), "Bearer two");
}

TEST_F(TransportTest, WhoWasRefusedTogetherWithAnotherUsesWhatTheOtherHasRead) {
  const std::string file = dir_.Write("token", "one");
  auto credentials = Credentials::Create(
      {.server = "https://h", .token_file = file, .source = "the test"}, clock_);
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  const Credentials::Current used = (*credentials)->Get();
  EXPECT_FALSE((*credentials)->Refresh(used));
  dir_.Write("token", "two");
  EXPECT_TRUE((*credentials)->Refresh(used));
  EXPECT_TRUE((*credentials)->Refresh(used));
  EXPECT_EQ((*credentials)->Get().token, "two");
  EXPECT_FALSE((*credentials)->Refresh((*credentials)->Get()));
}

TEST_F(TransportTest, WhatIsRefusedIsAskedAgainOnlyWithinItsTime) {
  TokenServer server;
  auto transport = Make({.server = StrCat("http://127.0.0.1:", server.port()),
                         .token_file = dir_.Write("token", "one")});
  server.Accept("two");
  server.OnRequest([&] {
    dir_.Write("token", "two");
    clock_.Advance(60s);
  });
  EXPECT_EQ(StatusOf(*transport), 401);
  EXPECT_EQ(server.seen().size(), 1u);
  EXPECT_EQ(StatusOf(*transport), 200);
}

TEST_F(TransportTest, ANewTokenIsUsedBeforeTheOldOneIsRefused) {
  TokenServer server;
  auto transport = Make({.server = StrCat("http://127.0.0.1:", server.port()),
                         .token_file = dir_.Write("token", "one")});
  EXPECT_EQ(StatusOf(*transport), 200);
  server.Accept("two");
  dir_.Write("token", "two");
  clock_.Advance(1s);
  EXPECT_EQ(StatusOf(*transport), 200);
  EXPECT_EQ(server.seen().size(), 2u);
}

TEST_F(TransportTest, AFileThatIsNoGoodLeavesInForceWhatWas) {
  TokenServer server;
  auto transport = Make({.server = StrCat("http://127.0.0.1:", server.port()),
                         .token_file = dir_.Write("token", "one")});
  dir_.Write("token", "");
  clock_.Advance(1s);
  EXPECT_EQ(StatusOf(*transport), 200);
  dir_.Write("token", "o ne\x01");
  clock_.Advance(1s);
  EXPECT_EQ(StatusOf(*transport), 200);
}

TEST_F(TransportTest, WhatIsMissingAtTheStartIsSaid) {
  auto no_file = MakeHttpTransport(
      {.server = "https://h", .token_file = dir_.file("none"), .source = "the test"}, clock_);
  EXPECT_EQ(no_file.status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(Contains(no_file.status().message(), "the test")) << no_file.status();
  auto bad_token =
      MakeHttpTransport({.server = "https://h", .token = "a\nb", .source = "the test"}, clock_);
  EXPECT_EQ(bad_token.status().code(), StatusCode::kInvalidArgument);
  ClusterAccess access{.server = "https://h", .source = "the test"};
  access.tls.ca_pem = "-----BEGIN nothing";
  EXPECT_EQ(MakeHttpTransport(access, clock_).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(TransportTest, ANewAuthorityIsBelievedWhenTheOldOneSignsNoMore) {
  const net::TestAuthority before, after;
  const net::TestCertificate certificate = after.Issue();
  net::HttpServerOptions options;
  auto certificates =
      net::ServerCertificates::Create({.cert_file = dir_.Write("cert.pem", certificate.certificate),
                                       .key_file = dir_.Write("key.pem", certificate.key)},
                                      SystemClock());
  ASSERT_TRUE(certificates.ok()) << certificates.status();
  options.certificates = std::move(certificates).value();
  TokenServer server(options);
  ClusterAccess access{.server = StrCat("https://127.0.0.1:", server.port()), .token = "one"};
  access.tls.ca_file = dir_.Write("ca.crt", before.pem());
  auto transport = Make(access);
  EXPECT_EQ(StatusOf(*transport), -int(StatusCode::kFailedPrecondition));
  dir_.Write("ca.crt", after.pem());
  EXPECT_EQ(StatusOf(*transport), 200);
  EXPECT_EQ(server.seen(),
            std::vector<std::string>{"Bearer one"});  // nobody else has seen the token
}

TEST_F(TransportTest, AStreamSaysFirstThatItHasBegun) {
  TokenServer server;
  auto transport = Make({.server = StrCat("http://127.0.0.1:", server.port()), .token = "one"});
  std::vector<std::string> pieces;
  auto answer = transport->Stream({.target = "/"}, [&](std::string_view bytes) {
    pieces.emplace_back(bytes);
    return OkStatus();
  });
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(pieces, (std::vector<std::string>{"", "{}"}));
}

}  // namespace
}  // namespace leadsman::kube
