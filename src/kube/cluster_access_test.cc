#include "kube/cluster_access.h"

#include <gtest/gtest.h>

#include "base/strings.h"
#include "base/testing/temp_dir.h"

namespace leadsman::kube {
namespace {

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string Config(std::string_view cluster, std::string_view user) {
  return StrCat(
      "apiVersion: v1\nkind: Config\ncurrent-context: prod\nclusters:\n- name: k\n  cluster: {",
      cluster, "}\nusers:\n- name: u\n  user: {", user,
      "}\ncontexts:\n- name: prod\n  context: {cluster: k, user: u, namespace: shop}\n"
      "- name: other\n  context: {cluster: k}\n");
}

Result<ClusterAccess> Parse(std::string_view cluster, std::string_view user,
                            std::string_view context = "") {
  return ParseKubeconfigs({{"/home/me/.kube/config", Config(cluster, user)}}, context);
}

TEST(ClusterAccessTest, ReadsServerTokenAndNamespaceOfTheCurrentContext) {
  auto access = Parse("server: 'https://10.0.0.1:6443/'", "token: abc");
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_EQ(access->server, "https://10.0.0.1:6443");
  EXPECT_EQ(access->token, "abc");
  EXPECT_EQ(access->ns, "shop");
  EXPECT_TRUE(access->tls.verify);
  EXPECT_EQ(access->source, "kubeconfig /home/me/.kube/config, context prod");
}

TEST(ClusterAccessTest, TakesTheContextThatIsNamed) {
  auto access = Parse("server: 'https://h:1'", "token: abc", "other");
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_EQ(access->ns, "default");
  EXPECT_EQ(access->token, "");
}

TEST(ClusterAccessTest, ResolvesPathsAgainstTheFilesFolder) {
  auto access = Parse("server: 'https://h:1', certificate-authority: ca.crt",
                      "client-certificate: me.crt, client-key: /keys/me.key, tokenFile: token");
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_EQ(access->tls.ca_file, "/home/me/.kube/ca.crt");
  EXPECT_EQ(access->tls.cert_file, "/home/me/.kube/me.crt");
  EXPECT_EQ(access->tls.key_file, "/keys/me.key");
  EXPECT_EQ(access->token_file, "/home/me/.kube/token");
}

TEST(ClusterAccessTest, AFileInTheRootFolderHasItsFilesThere) {
  auto access = ParseKubeconfigs(
      {{"/config", Config("server: 'https://h:1', certificate-authority: ca.crt", "tokenFile: t")}},
      "");
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_EQ(access->tls.ca_file, "/ca.crt");
  EXPECT_EQ(access->token_file, "/t");
}

TEST(ClusterAccessTest, AContextWithoutAClusterIsNamed) {
  const Status status =
      ParseKubeconfigs({{"/c", "current-context: x\ncontexts: [{name: x, context: {user: u}}]"}},
                       "")
          .status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(Contains(status.message(), "contexts[0].context.cluster is missing")) << status;
}

TEST(ClusterAccessTest, ATokenIsNotSentInTheClear) {
  EXPECT_TRUE(Parse("server: 'http://h:1'", "x: y").ok());
  for (const char* user : {"token: a", "tokenFile: t"}) {
    const Status status = Parse("server: 'http://h:1'", user).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_TRUE(Contains(status.message(), "clusters[0].cluster.server must begin with https://"))
        << status;
  }
}

TEST(ClusterAccessTest, DataCountsBeforeFilesAndFilesBeforeTheTokenBesideThem) {
  // "-----BEGIN X"
  auto access = Parse(
      "server: 'https://h:1', certificate-authority: ca.crt, certificate-authority-data: "
      "LS0tLS1CRUdJTiBY",
      "token: abc, tokenFile: /t");
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_EQ(access->tls.ca_pem, "-----BEGIN X");
  EXPECT_EQ(access->tls.ca_file, "");
  EXPECT_EQ(access->token_file, "/t");
  EXPECT_EQ(access->token, "");
}

TEST(ClusterAccessTest, ReadsWhomToBelieve) {
  auto access = Parse("server: 'https://h:1', insecure-skip-tls-verify: true, tls-server-name: api",
                      "token: abc");
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_FALSE(access->tls.verify);
  EXPECT_EQ(access->tls.server_name, "api");
}

TEST(ClusterAccessTest, OfSeveralFilesTheFirstThatHasANameCounts) {
  auto access = ParseKubeconfigs({{"/a",
                                   "contexts: [{name: prod, context: {cluster: k, user: "
                                   "u}}]\nusers: [{name: u, user: {token: first}}]"},
                                  {"/b", Config("server: 'https://h:1'", "token: second")}},
                                 "");
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_EQ(access->token, "first");
  EXPECT_EQ(access->server, "https://h:1");
  EXPECT_EQ(access->ns, "default");
}

TEST(ClusterAccessTest, ErrorsNameTheFieldAndTheFix) {
  struct Case {
    std::string cluster, user, context;
    StatusCode code;
    std::string says;
  };
  const Case cases[] = {
      {"server: 'https://h'", "exec: {command: aws}", "", StatusCode::kUnimplemented,
       "users[0].user.exec: credential plug-ins are not supported; use client-certificate, token "
       "or tokenFile"},
      {"server: 'https://h'", "auth-provider: {name: gcp}", "", StatusCode::kUnimplemented,
       "user.auth-provider"},
      {"server: 'https://h'", "username: me, password: x", "", StatusCode::kUnimplemented,
       "user.username"},
      {"server: 'https://h'", "as: other", "", StatusCode::kUnimplemented, "impersonation"},
      {"server: 'https://h', proxy-url: 'http://p'", "token: a", "", StatusCode::kUnimplemented,
       "cluster.proxy-url"},
      {"x: y", "token: a", "", StatusCode::kInvalidArgument,
       "clusters[0].cluster.server is missing"},
      {"server: 'ftp://h'", "token: a", "", StatusCode::kInvalidArgument,
       "clusters[0].cluster.server"},
      {"server: 'https://h', certificate-authority-data: '!'", "token: a", "",
       StatusCode::kInvalidArgument, "certificate-authority-data is not PEM in base64"},
      {"server: 'https://h', insecure-skip-tls-verify: maybe", "token: a", "",
       StatusCode::kInvalidArgument, "must be true or false, not \"maybe\""},
      {"server: 'https://h'", "client-certificate: a", "", StatusCode::kInvalidArgument,
       "needs client-certificate and client-key together"},
      {"server: 'https://h'", "token: a", "nope", StatusCode::kNotFound,
       "no context \"nope\"; it has: prod and other"}};
  for (const Case& c : cases) {
    auto access = Parse(c.cluster, c.user, c.context);
    ASSERT_FALSE(access.ok()) << c.says;
    EXPECT_EQ(access.status().code(), c.code) << access.status();
    EXPECT_TRUE(Contains(access.status().message(), c.says)) << access.status();
    EXPECT_TRUE(Contains(access.status().message(), "/home/me/.kube/config")) << access.status();
  }
}

TEST(ClusterAccessTest, RefusesWhatIsNoKubeconfig) {
  for (const char* text :
       {"", "[1, 2]", "{", "current-context: [x]", "contexts: 3\ncurrent-context: x"}) {
    EXPECT_FALSE(ParseKubeconfigs({{"/c", text}}, "").ok()) << text;
  }
  EXPECT_FALSE(ParseKubeconfigs({}, "").ok());
}

TEST(ClusterAccessTest, LoadsWhatIsThereOfSeveralPaths) {
  TempDir dir;
  const std::string path = dir.Write("config", Config("server: 'https://h:1'", "token: abc"));
  auto access = LoadKubeconfigs({dir.file("none"), path}, "");
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_EQ(access->token, "abc");
  auto missing = LoadKubeconfigs({dir.file("none")}, "");
  EXPECT_EQ(missing.status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(Contains(missing.status().message(), "kubeconfig")) << missing.status();
}

TEST(ClusterAccessTest, InAPodTheServiceAccountCounts) {
  TempDir dir;
  dir.Write("token", "t\n");
  dir.Write("ca.crt", "pem");
  dir.Write("namespace", "shop\n");
  auto access = InClusterAccess({.host = "fd00::1", .port = "443", .folder = dir.path()});
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_EQ(access->server, "https://[fd00::1]:443");
  EXPECT_EQ(access->token_file, dir.file("token"));
  EXPECT_EQ(access->tls.ca_file, dir.file("ca.crt"));
  EXPECT_EQ(access->ns, "shop");
}

TEST(ClusterAccessTest, OutsideOfAPodSaysSo) {
  TempDir dir;
  EXPECT_EQ(InClusterAccess({.folder = dir.path()}).status().code(),
            StatusCode::kFailedPrecondition);
  auto no_token = InClusterAccess({.host = "h", .port = "443", .folder = dir.path()});
  EXPECT_TRUE(Contains(no_token.status().message(), "automountServiceAccountToken"))
      << no_token.status();
}

}  // namespace
}  // namespace leadsman::kube
