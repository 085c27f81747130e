#include "net/tls_server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <optional>
#include <thread>

#include "base/strings.h"
#include "base/testing/temp_dir.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/testing/certificates.h"
#include "net/testing/tls_raw_client.h"

namespace leadsman::net {
namespace {

using namespace std::chrono_literals;

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: t\r\n\r\n";

/// Waits for an event of another thread, by looking; false after ten seconds.
template <typename Condition>
bool Eventually(Condition condition) {
  auto end = std::chrono::steady_clock::now() + 10s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

class TlsServerTest : public testing::Test {
 protected:
  void Install(const TestCertificate& certificate) {
    options_.cert_file = dir_.Write("cert.pem", certificate.certificate);
    options_.key_file = dir_.Write("key.pem", certificate.key);
  }
  void AskForClientCertificates(ClientAuth how, const TestAuthority& authority) {
    options_.client_auth = how;
    options_.client_ca_file = dir_.Write("clients.pem", authority.pem());
  }
  void Start(HttpServerOptions options = {}) {
    if (options_.cert_file.empty()) Install(authority_.Issue());
    auto certificates = ServerCertificates::Create(options_, SystemClock());
    ASSERT_TRUE(certificates.ok()) << certificates.status();
    certificates_ = *certificates;
    options.certificates = certificates_;
    auto server = HttpServer::Start(
        options, [](HttpExchange& e) { e.response().body = StrCat("hello ", e.request().body); });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(server).value();
  }
  /// The answer to one request, or why there is none.
  std::string Ask(SSL_CTX* context, SSL_SESSION* session = nullptr) {
    TlsRawClient client(server_->port(), context, session);
    if (!client.shaken()) return client.tls_error();
    if (!client.Send(kGet)) return "not sent";
    std::string answer = client.ReadResponse();
    return answer.empty() ? client.tls_error() : answer;
  }
  bool IsAnswered(SSL_CTX* context) { return Ask(context).starts_with("HTTP/1.1 200 OK\r\n"); }

  TempDir dir_;
  TestAuthority authority_;
  TlsServerOptions options_;
  TestTlsContext client_ = MakeTestTlsContext(authority_.pem());
  std::shared_ptr<ServerCertificates> certificates_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(TlsServerTest, CountsItsHandshakes) {
  Start();
  EXPECT_TRUE(IsAnswered(client_.get()));
  auto stranger = MakeTestTlsContext(TestAuthority("Stranger").pem());
  EXPECT_EQ(Ask(stranger.get()), "certificate verify failed");
  EXPECT_TRUE(Eventually([&] { return server_->stats().tls_failures == 1; }));
  EXPECT_EQ(server_->stats().tls_handshakes, 1u);
  EXPECT_EQ(server_->stats().requests, 1u);
}

TEST_F(TlsServerTest, SpeaksTls12And13Only) {
  Start();
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    auto context = MakeTestTlsContext(authority_.pem());
    SSL_CTX_set_min_proto_version(context.get(), version);
    SSL_CTX_set_max_proto_version(context.get(), version);
    EXPECT_TRUE(IsAnswered(context.get())) << version;
  }
  auto old = MakeTestTlsContext(authority_.pem());
  SSL_CTX_set_security_level(old.get(), 0);  // else OpenSSL's client would refuse itself
  SSL_CTX_set_min_proto_version(old.get(), TLS1_VERSION);
  SSL_CTX_set_max_proto_version(old.get(), TLS1_1_VERSION);
  EXPECT_TRUE(Contains(Ask(old.get()), "alert protocol version")) << Ask(old.get());
}

TEST_F(TlsServerTest, AgreesOnHttp11AndRefusesWhoSpeaksOnlyOtherThings) {
  Start();
  auto offer = [&](std::string_view protocols) {
    auto context = MakeTestTlsContext(authority_.pem());
    SSL_CTX_set_alpn_protos(context.get(), reinterpret_cast<const unsigned char*>(protocols.data()),
                            unsigned(protocols.size()));
    return context;
  };
  auto both = offer("\x02h2\x08http/1.1");
  TlsRawClient client(server_->port(), both.get());
  ASSERT_TRUE(client.shaken());
  const unsigned char* chosen = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(client.ssl(), &chosen, &size);
  EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(chosen), size), "http/1.1");
  auto h2 = offer("\x02h2");
  EXPECT_TRUE(Contains(Ask(h2.get()), "no application protocol")) << Ask(h2.get());
}

TEST_F(TlsServerTest, ResumesSessions) {
  AskForClientCertificates(ClientAuth::kRequired, authority_);
  Start();
  auto context = MakeTestTlsContext(authority_.pem(), authority_.Issue({.names = ""}));
  for (int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    SSL_CTX_set_max_proto_version(context.get(), version);
    TlsRawClient first(server_->port(), context.get());
    ASSERT_TRUE(first.Send(kGet));
    ASSERT_TRUE(Contains(first.ReadResponse(), "hello"));
    std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> session(SSL_get1_session(first.ssl()),
                                                                      SSL_SESSION_free);
    TlsRawClient second(server_->port(), context.get(), session.get());
    ASSERT_TRUE(second.Send(kGet));
    EXPECT_TRUE(Contains(second.ReadResponse(), "hello"));
    EXPECT_EQ(SSL_session_reused(second.ssl()), 1) << version;
  }
  EXPECT_EQ(server_->stats().tls_resumed, 2u);
}

TEST_F(TlsServerTest, AsksForClientCertificates) {
  struct Case {
    ClientAuth auth;
    bool none, good, wrong, expired;
  };
  TestAuthority wrong_authority("Somebody else");
  const TestCertificate good = authority_.Issue({.names = ""});
  const TestCertificate wrong = wrong_authority.Issue({.names = ""});
  const TestCertificate expired =
      authority_.Issue({.names = "", .begins_seconds = -7200, .ends_seconds = -3600});
  for (const Case& c : {Case{ClientAuth::kNone, true, true, true, true},
                        Case{ClientAuth::kOptional, true, true, false, false},
                        Case{ClientAuth::kRequired, false, true, false, false}}) {
    options_.client_auth = ClientAuth::kNone;
    options_.client_ca_file.clear();
    if (c.auth != ClientAuth::kNone) AskForClientCertificates(c.auth, authority_);
    Start();
    auto answered = [&](const TestCertificate& certificate) {
      auto context = MakeTestTlsContext(authority_.pem(), certificate);
      return IsAnswered(context.get());
    };
    SCOPED_TRACE(int(c.auth));
    EXPECT_EQ(answered({}), c.none);
    EXPECT_EQ(answered(good), c.good);
    EXPECT_EQ(answered(wrong), c.wrong);
    EXPECT_EQ(answered(expired), c.expired);
    const uint64_t failures = uint64_t(!c.none + !c.wrong + !c.expired);
    EXPECT_TRUE(Eventually([&] { return server_->stats().tls_failures == failures; }));
  }
}

TEST_F(TlsServerTest, TellsAClientWithoutTheRightCertificateWhy) {
  AskForClientCertificates(ClientAuth::kRequired, authority_);
  Start();
  EXPECT_TRUE(Contains(Ask(client_.get()), "alert certificate required")) << Ask(client_.get());
}

TEST_F(TlsServerTest, TellsAPlainClientToUseHttps) {
  Start();
  for (std::string_view bytes : {kGet, std::string_view("\r\n\r\n")}) {
    RawClient client(server_->port());
    client.Send(bytes);
    bool reset = true;
    std::string answer = client.ReadUntilClosed(&reset);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 Bad Request\r\n")) << answer;
    EXPECT_TRUE(Contains(answer, "this port speaks TLS: use https://")) << answer;
    EXPECT_FALSE(reset);
  }
  EXPECT_EQ(server_->stats().tls_failures, 2u);
  EXPECT_TRUE(IsAnswered(client_.get()));
}

TEST_F(TlsServerTest, IsNotMovedByAPortProbe) {
  Start();
  { RawClient probe(server_->port()); }
  EXPECT_TRUE(Eventually([&] {
    return server_->stats().connections_accepted == 1 && server_->stats().connections_open == 0;
  }));
  EXPECT_EQ(server_->stats().tls_failures, 0u);
}

TEST_F(TlsServerTest, CutsHandshakesThatStallAndServesOthersMeanwhile) {
  HttpServerOptions options;
  options.handshake_timeout = 200ms;
  Start(options);
  RawClient silent(server_->port());
  RawClient half(server_->port());
  half.Send(std::string_view("\x16\x03\x01\x02\x00\x01\x00", 7));
  EXPECT_TRUE(IsAnswered(client_.get()));
  EXPECT_EQ(silent.ReadUntilClosed(), "");
  EXPECT_EQ(half.ReadUntilClosed(), "");
  EXPECT_EQ(server_->stats().tls_failures, 2u);
  EXPECT_EQ(server_->stats().timeouts, 2u);
}

TEST_F(TlsServerTest, RefusesGarbageInTheHandshakeAndInARecord) {
  Start();
  RawClient garbage(server_->port());
  garbage.Send(StrCat("\x16\x03\x01", std::string(300, '\xff')));
  garbage.ReadUntilClosed();
  EXPECT_TRUE(garbage.closed());
  TlsRawClient later(server_->port(), client_.get());
  ASSERT_TRUE(later.Send(kGet));
  later.ReadResponse();
  // Behind OpenSSL's back: a record that no key fits.
  std::string record = StrCat(std::string_view("\x17\x03\x03\x00\x40", 5), std::string(64, 'x'));
  ASSERT_EQ(send(later.fd(), record.data(), record.size(), MSG_NOSIGNAL), ssize_t(record.size()));
  later.ReadUntilClosed();
  EXPECT_TRUE(later.closed());
  EXPECT_TRUE(IsAnswered(client_.get()));
}

TEST_F(TlsServerTest, CutsAClientThatStallsInMidRecord) {
  HttpServerOptions options;
  options.read_timeout = 200ms;
  options.idle_timeout = 200ms;
  Start(options);
  for (bool in_request : {false, true}) {
    TlsRawClient client(server_->port(), client_.get());
    ASSERT_TRUE(client.shaken());
    ASSERT_TRUE(client.Send(kGet.substr(0, in_request ? 10 : 0)));
    // The first half of a record, and then nothing.
    std::string half = StrCat(std::string_view("\x17\x03\x03\x01\x00", 5), std::string(100, 'x'));
    ASSERT_EQ(send(client.fd(), half.data(), half.size(), MSG_NOSIGNAL), ssize_t(half.size()));
    const std::string answer = client.ReadUntilClosed();
    EXPECT_EQ(answer.starts_with("HTTP/1.1 408"), in_request) << answer;
    EXPECT_TRUE(client.closed());
  }
}

TEST_F(TlsServerTest, DoesNotRenegotiate) {
  Start();
  auto context = MakeTestTlsContext(authority_.pem());
  SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
  TlsRawClient client(server_->port(), context.get());
  ASSERT_TRUE(client.Send(kGet));
  ASSERT_TRUE(Contains(client.ReadResponse(), "hello"));
  SSL_renegotiate(client.ssl());
  client.Send(kGet);  // begins with the handshake that was asked for
  EXPECT_EQ(client.ReadResponse(), "");
  EXPECT_EQ(server_->stats().requests, 1u);
  EXPECT_TRUE(IsAnswered(client_.get()));
}

TEST_F(TlsServerTest, FollowsTheUpdateOfAKey) {
  Start();
  TlsRawClient client(server_->port(), client_.get());
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(SSL_key_update(client.ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
    ASSERT_TRUE(client.Send(kGet));
    EXPECT_TRUE(Contains(client.ReadResponse(), "hello"));
  }
}

TEST_F(TlsServerTest, AnswersAClientThatHasSaidItSendsNoMore) {
  Start();
  TlsRawClient client(server_->port(), client_.get());
  ASSERT_TRUE(client.Send(kGet));
  SSL_shutdown(client.ssl());  // close_notify alone: the socket stays open
  EXPECT_TRUE(Contains(client.ReadResponse(), "hello"));
  bool reset = true;
  EXPECT_EQ(client.ReadUntilClosed(&reset), "");
  EXPECT_FALSE(reset);
}

// Files that change
// ------------------------------------------------------------------------------------------------------------

TEST_F(TlsServerTest, TakesANewPairOnlyWhole) {
  Start();
  const WallTime first = certificates_->stats().expires;
  EXPECT_FALSE(certificates_->CheckFiles());
  TlsRawClient kept(server_->port(), client_.get());
  ASSERT_TRUE(kept.Send(kGet));
  ASSERT_TRUE(Contains(kept.ReadResponse(), "hello"));

  TestCertificate next = authority_.Issue({.ends_seconds = 90'000});
  dir_.Write("cert.pem", next.certificate);
  EXPECT_FALSE(certificates_->CheckFiles());  // the key does not fit yet
  EXPECT_TRUE(IsAnswered(client_.get()));
  dir_.Write("key.pem", next.key);
  EXPECT_TRUE(certificates_->CheckFiles());
  EXPECT_EQ(certificates_->stats().reloads, 1u);
  EXPECT_EQ(certificates_->stats().failed_reloads, 0u);
  EXPECT_EQ(certificates_->generation(), 2u);
  EXPECT_EQ(certificates_->pem()->private_key, next.key);
  EXPECT_EQ(std::chrono::round<std::chrono::hours>(certificates_->stats().expires - first), 1h);

  EXPECT_TRUE(IsAnswered(client_.get()));
  ASSERT_TRUE(kept.Send(kGet));  // with what it began with
  EXPECT_TRUE(Contains(kept.ReadResponse(), "hello"));
}

TEST_F(TlsServerTest, KeepsTheOldFilesWhenTheNewOnesAreBroken) {
  Start();
  const TestCertificate good = authority_.Issue();
  const TestCertificate expired = authority_.Issue({.begins_seconds = -7200, .ends_seconds = -60});
  uint64_t failed = 0;
  auto expect_kept = [&](const char* why) {
    SCOPED_TRACE(why);
    // Told once it has stayed, and then not again.
    for (int i = 0; i < 4; ++i) EXPECT_FALSE(certificates_->CheckFiles());
    EXPECT_EQ(certificates_->stats().failed_reloads, ++failed);
    EXPECT_TRUE(IsAnswered(client_.get()));
  };
  dir_.Write("cert.pem", "no certificate");
  expect_kept("no certificate");
  dir_.Write("cert.pem", StrCat(good.certificate, good.certificate.substr(0, 200)));
  dir_.Write("key.pem", good.key);
  expect_kept("cut off in the chain");
  dir_.Write("cert.pem", expired.certificate);
  dir_.Write("key.pem", expired.key);
  expect_kept("expired");
  std::filesystem::remove(options_.key_file);
  expect_kept("gone");
  dir_.Write("cert.pem", good.certificate);
  dir_.Write("key.pem", good.key);
  EXPECT_TRUE(certificates_->CheckFiles());
  EXPECT_TRUE(IsAnswered(client_.get()));
}

TEST_F(TlsServerTest, TakesNewClientAuthoritiesAndForgetsSessionsOfTheOld) {
  TestAuthority old_clients("Old clients");
  TestAuthority new_clients("New clients");
  AskForClientCertificates(ClientAuth::kRequired, old_clients);
  Start();
  auto old_client = MakeTestTlsContext(authority_.pem(), old_clients.Issue({.names = ""}));
  auto new_client = MakeTestTlsContext(authority_.pem(), new_clients.Issue({.names = ""}));
  TlsRawClient first(server_->port(), old_client.get());
  ASSERT_TRUE(first.Send(kGet));
  ASSERT_TRUE(Contains(first.ReadResponse(), "hello"));
  EXPECT_FALSE(IsAnswered(new_client.get()));
  dir_.Write("clients.pem", new_clients.pem());
  EXPECT_TRUE(certificates_->CheckFiles());
  EXPECT_TRUE(IsAnswered(new_client.get()));
  EXPECT_FALSE(IsAnswered(old_client.get()));
  std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> session(SSL_get1_session(first.ssl()),
                                                                    SSL_SESSION_free);
  EXPECT_FALSE(Ask(old_client.get(), session.get()).starts_with("HTTP/1.1 200"));
}

TEST_F(TlsServerTest, ReloadsUnderLoadWithoutAFailedRequest) {
  HttpServerOptions server_options;
  server_options.io_threads = 2;
  Start(server_options);
  auto trust = TlsClient::Create({.ca_file = dir_.Write("ca.pem", authority_.pem())});
  ASSERT_TRUE(trust.ok());
  std::atomic<bool> stop{false};
  std::atomic<int> answered{0};
  std::atomic<int> failed{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 3; ++c) {
    clients.emplace_back([&] {
      while (!stop) {
        auto client = MakeHttpClient(*trust);
        for (int i = 0; i < 3; ++i) {
          auto answer = client->Send({.url = StrCat("https://localhost:", server_->port(), "/")});
          ++(answer.ok() && answer->status == 200 ? answered : failed);
        }
      }
    });
  }
  for (uint64_t round = 1; round <= 5; ++round) {
    TestCertificate next = authority_.Issue();
    dir_.Write("cert.pem", next.certificate);
    certificates_->CheckFiles();
    dir_.Write("key.pem", next.key);
    EXPECT_TRUE(certificates_->CheckFiles());
    const int before = answered;
    EXPECT_TRUE(Eventually([&] { return answered > before + 5 || failed > 0; }));
  }
  stop = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(certificates_->stats().reloads, 5u);
}

TEST_F(TlsServerTest, SaysWhichFileIsWrong) {
  Install(authority_.Issue());
  auto problem = [](const TlsServerOptions& options) {
    auto made = ServerCertificates::Create(options, SystemClock());
    return made.ok() ? std::string() : made.status().ToString();
  };
  auto with = [&](auto change) {
    TlsServerOptions options = options_;
    change(options);
    return problem(options);
  };
  EXPECT_EQ(problem(options_), "");
  EXPECT_TRUE(Contains(with([](auto& o) { o.key_file.clear(); }), "go together"));
  EXPECT_TRUE(Contains(with([](auto& o) { o.key_file = "/nonexistent.key"; }),
                       "NOT_FOUND: key_file: cannot open /nonexistent.key"));
  EXPECT_TRUE(Contains(with([&](auto& o) { o.cert_file = o.key_file; }), "holds no certificate"));
  EXPECT_TRUE(Contains(with([&](auto& o) { o.key_file = o.cert_file; }), "holds no private key"));
  EXPECT_TRUE(
      Contains(with([&](auto& o) { o.key_file = dir_.Write("other.key", authority_.Issue().key); }),
               "is not the key of the certificate"));
  EXPECT_TRUE(Contains(with([&](auto& o) {
                         o.key_file = dir_.Write(
                             "locked.key",
                             "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED "
                             "PRIVATE KEY-----\n");
                       }),
                       "pass phrase"));
  EXPECT_TRUE(Contains(with([](auto& o) { o.client_auth = ClientAuth::kRequired; }),
                       "needs client_ca_file"));
  EXPECT_TRUE(
      Contains(with([](auto& o) { o.client_ca_file = o.cert_file; }), "client_auth is none"));
  EXPECT_TRUE(Contains(with([](auto& o) {
                         o.client_auth = ClientAuth::kOptional;
                         o.client_ca_file = o.key_file;
                       }),
                       "holds no certificates"));
  EXPECT_TRUE(Contains(problem({}), "needs cert_file"));
}

TEST_F(TlsServerTest, ReadsABundleAgainWhenItHasChanged) {
  TestCertificate first = authority_.Issue(), second = authority_.Issue();
  TlsBundle::Content content{{first.certificate, first.key, ""}, ClientAuth::kNone};
  TlsBundle bundle{.file = dir_.Write("bundle", "1"),
                   .certificate_field = "server_cert",
                   .key_field = "server_key",
                   .authorities_field = "custom_ca",
                   .read = [&](const std::string& file) -> Result<TlsBundle::Content> {
                     EXPECT_EQ(file, dir_.file("bundle"));
                     return content;
                   }};
  auto made = ServerCertificates::CreateFrom(bundle, SystemClock());
  ASSERT_TRUE(made.ok()) << made.status();
  certificates_ = *made;
  HttpServerOptions options;
  options.certificates = certificates_;
  auto server = HttpServer::Start(options, [](HttpExchange&) {});
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = std::move(server).value();
  EXPECT_TRUE(IsAnswered(client_.get()));

  // The key of another certificate: what was in force stays.
  content.pem.private_key = second.key;
  dir_.Write("bundle", "22");
  EXPECT_FALSE(certificates_->CheckFiles());
  EXPECT_TRUE(IsAnswered(client_.get()));
  EXPECT_EQ(ServerCertificates::CreateFrom(bundle, SystemClock()).status().message(),
            StrCat("server_key of ", dir_.file("bundle"),
                   " is not the key of the certificate in server_cert"));

  // Only who may connect has changed.
  content = {{first.certificate, first.key, authority_.pem()}, ClientAuth::kRequired};
  dir_.Write("bundle", "333");
  EXPECT_TRUE(certificates_->CheckFiles());
  EXPECT_FALSE(IsAnswered(client_.get()));
  EXPECT_EQ(certificates_->stats().reloads, 1u);
}

TEST_F(TlsServerTest, TakesACertificateWithoutAnEnd) {
  Install(authority_.Issue({.ends_seconds = 400L * 365 * 86400}));  // beyond what nanoseconds count
  Start();
  EXPECT_GT(certificates_->stats().expires, SystemClock().Now());
  EXPECT_TRUE(IsAnswered(client_.get()));
}

}  // namespace
}  // namespace leadsman::net
