// The services of a machine and of a container that hand out credentials.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "storage/aws_credentials.h"
#include "storage/gcs_credentials.h"
#include "storage/testing/store_server.h"

namespace leadsman {
namespace {

Environment Of(std::map<std::string, std::string> variables) {
  return [variables](const char* name) {
    auto it = variables.find(name);
    return it == variables.end() ? "" : it->second;
  };
}

/// With a proxy in the process's environment that nothing must be asked of.
class CredentialServicesTest : public testing::Test {
 protected:
  CredentialServicesTest() { setenv("http_proxy", ("http://" + proxy_.host()).c_str(), 1); }
  ~CredentialServicesTest() override {
    unsetenv("http_proxy");
    EXPECT_EQ(proxy_.asked(), std::vector<std::string>{});
  }
  StoreServer proxy_{[](const net::HttpRequest&, net::HttpResponse& response) {
    response.status = 403;
    response.body = "{}";
  }};
  StoreHttp http_{{.retries = 0}};
};

TEST_F(CredentialServicesTest, AContainersServiceIsAskedWithoutProxy) {
  StoreServer service([](const net::HttpRequest&, net::HttpResponse& response) {
    response.body = R"({"AccessKeyId": "key", "SecretAccessKey": "hush"})";
  });
  StorageOptions::S3 options;
  AwsCredentialChain chain(options,
                           Of({{"AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                StrCat("http://", service.host(), "/credentials")}}),
                           http_);
  auto credentials = chain.Get({});
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_EQ(credentials->access_key, "key");
}

TEST_F(CredentialServicesTest, GooglesMetadataServiceIsAskedWithoutProxy) {
  StoreServer service([](const net::HttpRequest&, net::HttpResponse& response) {
    response.body = R"({"access_token": "token", "expires_in": 3600})";
  });
  StorageOptions::Gcs options;
  GoogleTokens tokens(options, Of({{"GCE_METADATA_HOST", service.host()}}), http_,
                      /*emulator=*/false);
  auto token = tokens.Get({});
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(token->token, "token");
}

}  // namespace
}  // namespace leadsman
