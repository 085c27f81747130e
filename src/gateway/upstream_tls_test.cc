#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "base/testing/temp_dir.h"
#include "gateway/testing/exchange_list.h"
#include "gateway/testing/gateway_fixture.h"
#include "gateway/testing/tls_upstream.h"
#include "support/eventually.h"

namespace leadsman::gateway {
namespace {

using namespace std::chrono_literals;
using net::RawClient;

class UpstreamTlsTest : public GatewayTest {
 protected:
  UpstreamTlsTest() {
    service().tls.emplace().ca_file = files_.Write("ca.pem", authority_.pem());
    service().timeouts.keep_alive = 100ms;
  }
  UpstreamTlsOptions& tls() { return *service().tls; }

  net::TestAuthority authority_;
  TempDir files_;
};

TEST_F(UpstreamTlsTest, PassesRequestsOverKeptConnections) {
  TlsUpstream upstream(authority_.Issue());
  AddVersion(1, {upstream.endpoint()});
  Start();
  RawClient client(port_);
  for (int i = 0; i < 20; ++i) {
    client.Send(Get("/" + std::to_string(i)));
    EXPECT_EQ(BodyOf(client.ReadResponse()), "/" + std::to_string(i));
  }
  EXPECT_EQ(upstream.connections(), 1);
  EXPECT_EQ(upstream.server_name(), "");  // an address is no name
}

TEST_F(UpstreamTlsTest, PassesLargeBodiesBothWays) {
  TlsUpstream upstream(authority_.Issue());
  AddVersion(1, {upstream.endpoint()});
  Start();
  std::string body(5 << 20, '\0');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i * i % 23);
  EXPECT_EQ(BodyOf(Ask(Post(body))), body);
}

TEST_F(UpstreamTlsTest, AsksForTheNameOfTheServer) {
  TlsUpstream upstream(authority_.Issue({.names = "DNS:models.internal"}));
  AddVersion(1, {upstream.endpoint()});
  tls().server_name = "models.internal";
  Start();
  EXPECT_EQ(StatusOf(Ask(Get("/"))), 200);
  EXPECT_EQ(upstream.server_name(), "models.internal");
}

TEST_F(UpstreamTlsTest, AsksForTheHostOfTheEndpoint) {
  TlsUpstream upstream(authority_.Issue());
  const std::string address = upstream.endpoint();
  AddVersion(1, {"localhost" + address.substr(address.rfind(':'))});
  Start();
  ASSERT_TRUE(Eventually([&] { return StatusOf(Ask(Get("/"))) == 200; }));
  EXPECT_EQ(upstream.server_name(), "localhost");
}

struct Distrusted {
  const char* name;
  net::TestAuthority::Subject subject;
  bool known;  ///< the authority
  const char* says;
};

class DistrustTest : public UpstreamTlsTest, public testing::WithParamInterface<Distrusted> {};

TEST_P(DistrustTest, IsSaidWithItsReasonAndNothingIsSent) {
  const net::TestAuthority other("another");
  TlsUpstream upstream((GetParam().known ? authority_ : other).Issue(GetParam().subject));
  AddVersion(1, {upstream.endpoint()});
  service().retries.max = 0;
  Start();
  const std::string answer = Ask(Post("secret"));
  EXPECT_EQ(StatusOf(answer), 502);
  EXPECT_NE(answer.find("digits version 1 at " + upstream.endpoint() + " " + GetParam().says),
            std::string::npos)
      << answer;
  EXPECT_NE(answer.find("\"reason\":\"tls_failed\""), std::string::npos);
  EXPECT_EQ(Errors("tls_failed"), 1);
}

TEST_P(DistrustTest, MakesTheActiveCheckFail) {
  const net::TestAuthority other("another");
  TlsUpstream upstream((GetParam().known ? authority_ : other).Issue(GetParam().subject));
  AddVersion(1, {upstream.endpoint()});
  service().health.path = "/healthz";
  service().health.interval = 20ms;
  Start();
  auto endpoint = [&] { return gateway_->view().services[0].versions[0].endpoints[0]; };
  EXPECT_TRUE(Eventually([&] { return endpoint().state == "unhealthy"; }));
  EXPECT_NE(endpoint().reason.find(GetParam().says), std::string::npos) << endpoint().reason;
}

INSTANTIATE_TEST_SUITE_P(
    All, DistrustTest,
    testing::Values(
        Distrusted{"Expired", {.ends_seconds = -60}, true, "has a certificate that has expired"},
        Distrusted{"Name",
                   {.names = "DNS:other.example"},
                   true,
                   "has a certificate that is not for 127.0.0.1 (tls.server_name)"},
        Distrusted{"Authority", {}, false, "has a certificate that nobody who is trusted has"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(UpstreamTlsTest, TakesAnyCertificateWithoutVerification) {
  TlsUpstream upstream(net::TestAuthority("another").Issue({.ends_seconds = -60}));
  AddVersion(1, {upstream.endpoint()});
  tls() = {.verify = false};
  Start();
  EXPECT_EQ(StatusOf(Ask(Get("/"))), 200);
}

TEST_F(UpstreamTlsTest, ChecksHealthOverTls) {
  TlsUpstream upstream(authority_.Issue());
  AddVersion(1, {upstream.endpoint()});
  service().health.path = "/healthz";
  Start();
  auto endpoint = [&] { return gateway_->view().services[0].versions[0].endpoints[0]; };
  EXPECT_TRUE(Eventually([&] { return endpoint().state == "healthy"; })) << endpoint().reason;
}

TEST_F(UpstreamTlsTest, ShowsACertificateToWhoAsks) {
  TlsUpstream upstream(authority_.Issue(), {.client_authority = authority_.pem()});
  AddVersion(1, {upstream.endpoint()});
  const net::TestCertificate own = authority_.Issue({.common_name = "gateway"});
  tls().cert_file = files_.Write("own.pem", own.certificate);
  tls().key_file = files_.Write("own.key", own.key);
  Start();
  EXPECT_EQ(StatusOf(Ask(Get("/"))), 200);
}

TEST_F(UpstreamTlsTest, SaysThatAServerWantsACertificate) {
  TlsUpstream upstream(authority_.Issue(), {.client_authority = authority_.pem()});
  AddVersion(1, {upstream.endpoint()});
  service().retries.max = 0;
  service().outliers.consecutive_errors = 0;
  Start();
  // In TLS 1.3 the refusal comes behind the handshake: a reset may overtake it.
  EXPECT_TRUE(Eventually([&] {
    const std::string answer = Ask(Get("/"));
    EXPECT_EQ(StatusOf(answer), 502);
    return answer.find("certificate required") != std::string::npos &&
           answer.find("\"reason\":\"tls_failed\"") != std::string::npos;
  }));
}

TEST_F(UpstreamTlsTest, SaysThatAServerSpeaksPlainText) {
  ScriptedUpstream upstream([](auto& c) {
    c.ReadTo("\x01");
    c.Answer("what?");
  });
  AddVersion(1, upstream);
  service().retries.max = 0;
  Start();
  const std::string answer = Ask(Get("/"));
  EXPECT_EQ(StatusOf(answer), 502);
  EXPECT_NE(answer.find("does not agree on TLS: wrong version number"), std::string::npos)
      << answer;
}

TEST_F(UpstreamTlsTest, EndsAHandshakeThatHangsWithTheTimeoutOfConnections) {
  AddOneThatHangs();
  service().timeouts.connect = 100ms;
  service().retries.max = 0;
  Start();
  const std::string answer = Ask(Get("/"));
  EXPECT_EQ(StatusOf(answer), 504);
  EXPECT_NE(answer.find("\"reason\":\"connect_timeout\""), std::string::npos) << answer;
}

TEST_F(UpstreamTlsTest, TakesNewFilesOverAndKeepsOldOnesWhenTheNewAreNoGood) {
  const net::TestAuthority next("next");
  TlsUpstream old_one(authority_.Issue());
  TlsUpstream new_one(next.Issue());
  AddVersion(1, {old_one.endpoint()});
  AddVersion(2, {new_one.endpoint()});
  service().retries.max = 0;
  service().timeouts.keep_alive = 0ms;
  Start();
  const std::string to_new = Get("/", "X-Leadsman-Version: 2\r\n");
  EXPECT_EQ(StatusOf(Ask(Get("/"))), 200);
  EXPECT_EQ(StatusOf(Ask(to_new)), 502);
  files_.Write("ca.pem", "broken");
  gateway_->CheckFiles();
  gateway_->CheckFiles();
  EXPECT_EQ(StatusOf(Ask(Get("/"))), 200);
  files_.Write("ca.pem", authority_.pem() + next.pem());
  gateway_->CheckFiles();
  EXPECT_EQ(StatusOf(Ask(Get("/"))), 200);
  EXPECT_EQ(StatusOf(Ask(to_new)), 200);
}

TEST_F(UpstreamTlsTest, IsOfOneVersionAlone) {
  TlsUpstream secret(authority_.Issue());
  ScriptedUpstream plain(Echo);
  AddVersion(1, plain);
  AddVersion(2, {secret.endpoint()});
  service().versions[1].tls = service().tls;
  service().tls.reset();
  Start();
  EXPECT_EQ(StatusOf(Ask(Get("/"))), 200);
  EXPECT_EQ(StatusOf(Ask(Get("/", "X-Leadsman-Version: 2\r\n"))), 200);
  EXPECT_EQ(secret.connections(), 1);
}

class GoodbyeTest : public UpstreamTlsTest, public testing::WithParamInterface<bool> {};

TEST_P(GoodbyeTest, LosesNoRequestWhenKeptConnectionsEnd) {
  TlsUpstream upstream(authority_.Issue(),
                       {.requests_of_connection = 1, .say_goodbye = GetParam()});
  AddVersion(1, {upstream.endpoint()});
  Start();
  RawClient client(port_);
  for (int i = 0; i < 50; ++i) {
    client.Send(Post("body"));
    EXPECT_EQ(StatusOf(client.ReadResponse()), 200);
  }
}

INSTANTIATE_TEST_SUITE_P(Both, GoodbyeTest, testing::Bool());

TEST_F(UpstreamTlsTest, MirrorsOverTls) {
  TlsUpstream live(authority_.Issue());
  TlsUpstream shadow(authority_.Issue());
  AddVersion(1, {live.endpoint()});
  AddVersion(2, {shadow.endpoint()}, 0);
  service().versions[0].weight = 1;
  service().mirror.emplace().version = 2;
  Start();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(StatusOf(Ask(Post("body"))), 200);
  auto mirror = [&] { return *gateway_->view().services[0].mirror; };
  EXPECT_TRUE(Eventually([&] { return mirror().answered == 5; })) << mirror().sent;
}

TEST_F(UpstreamTlsTest, DoesNotStartWithoutItsFiles) {
  AddVersion(1, {DeadEndpoint()});
  tls().ca_file = "/nonexistent/ca.pem";
  gateway_ = Gateway::Create({SystemClock(), events_, registry_, nullptr}, options_);
  const Status started = gateway_->Start();
  EXPECT_EQ(started.code(), StatusCode::kNotFound);
  EXPECT_NE(started.message().find("gateway.services[0].tls: ca_file"), std::string_view::npos)
      << started;
}

}  // namespace
}  // namespace leadsman::gateway
