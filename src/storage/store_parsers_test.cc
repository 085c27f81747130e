// The answers of stores, taken apart. The texts marked "from" were recorded from the real servers.
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "storage/aws_credentials.h"
#include "storage/digest.h"
#include "storage/gcs_credentials.h"
#include "storage/gcs_store.h"
#include "storage/http_store.h"
#include "storage/mlflow_store.h"
#include "storage/s3_store.h"
#include "storage/webhdfs_store.h"

namespace leadsman {
namespace {

TEST(S3ParserTest, ReadsAPage) {
  S3Page page = ParseS3Page(R"(<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>models</Name>
<IsTruncated>true</IsTruncated><NextContinuationToken>abc/=</NextContinuationToken>
<EncodingType>url</EncodingType>
<Contents><Key>digits/1/a+b%2Bc.onnx</Key><ETag>&#34;900150983cd24fb0d6963f7d28e17f72&#34;</ETag>
<Size>3</Size></Contents>
<Contents><Key>digits/1/big</Key><ETag>"9f-2"</ETag><Size>9</Size></Contents></ListBucketResult>)")
                    .value();
  ASSERT_EQ(page.objects.size(), 2u);
  EXPECT_EQ(page.objects[0].key, "digits/1/a b+c.onnx");
  EXPECT_EQ(page.objects[0].etag, "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(page.objects[0].size, 3);
  EXPECT_EQ(page.objects[1].etag, "9f-2");
  EXPECT_EQ(page.next, "abc/=");
}

TEST(S3ParserTest, RefusesWhatIsNoPage) {
  for (const char* wrong :
       {"", "<html/>", "<ListBucketResult", "{}",
        "<ListBucketResult><Contents><Key>k</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>k</Key><Size>-1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"}) {
    EXPECT_FALSE(ParseS3Page(wrong).ok()) << wrong;
  }
  EXPECT_EQ(ParseS3Error("<Error><Code>AccessDenied</Code></Error>").code, "AccessDenied");
  EXPECT_EQ(ParseS3Error("nothing").code, "");
}

TEST(AwsCredentialsTest, ReadsProfiles) {
  AwsProfiles profiles = ParseAwsProfiles(
      "# mine\n[default]\naws_access_key_id = AK\naws_secret_access_key=s=k\r\n"
      "[profile prod]\nregion=eu-west-1\ns3 =\n  max_queue = 1\n[broken\nx\n");
  EXPECT_EQ(profiles["default"]["aws_access_key_id"], "AK");
  EXPECT_EQ(profiles["default"]["aws_secret_access_key"], "s=k");
  EXPECT_EQ(profiles["prod"]["region"], "eu-west-1");
  EXPECT_FALSE(profiles["prod"].contains("max_queue"));
}

TEST(AwsCredentialsTest, ReadsTimesAndAnswers) {
  EXPECT_EQ(UnixMillis(*ParseIsoTime("2026-03-01T12:34:56Z")), 1772368496000);
  EXPECT_EQ(UnixMillis(*ParseIsoTime("2026-03-01T12:34:56.789Z")), 1772368496000);
  for (const char* wrong : {"", "2026-03-01", "2026-13-01T00:00:00Z", "2026-03-01T12:34:56+02:00"})
    EXPECT_FALSE(ParseIsoTime(wrong).has_value()) << wrong;
  AwsCredentials sts =
      ParseStsAnswer(
          "<AssumeRoleWithWebIdentityResponse xmlns=\"x\"><AssumeRoleWithWebIdentityResult>"
          "<Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>B</SecretAccessKey>"
          "<SessionToken>C</SessionToken><Expiration>2026-03-01T12:34:56Z</Expiration></"
          "Credentials>"
          "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>")
          .value();
  EXPECT_EQ(sts.access_key + sts.secret_key + sts.session_token, "ABC");
  EXPECT_TRUE(sts.expires.has_value());
  Status refused = ParseStsAnswer(
                       "<ErrorResponse><Error><Code>ExpiredTokenException</Code>"
                       "<Message>too old</Message></Error></ErrorResponse>")
                       .status();
  EXPECT_EQ(refused.code(), StatusCode::kUnauthenticated);
  EXPECT_FALSE(ParseStsAnswer("").ok());
  EXPECT_EQ(ParseCredentialService(R"({"AccessKeyId":"A","SecretAccessKey":"B","Token":"C"})")
                .value()
                .session_token,
            "C");
  EXPECT_FALSE(ParseCredentialService(R"({"AccessKeyId":1})").ok());
}

class AwsChainTest : public testing::Test {
 protected:
  AwsCredentials Get() {
    AwsCredentialChain chain(
        options_,
        [this](const char* name) { return env_.contains(name) ? env_[name] : std::string(); },
        http_);
    Result<AwsCredentials> found = chain.Get({});
    status_ = found.ok() ? OkStatus() : found.status();
    region_ = chain.Region();
    return std::move(found).value_or({});
  }
  StorageOptions::S3 options_{.endpoint = "http://127.0.0.1:1"};
  std::map<std::string, std::string> env_;
  StoreHttp http_{{}};
  Status status_;
  std::string region_;
};

TEST_F(AwsChainTest, SaysWhereItLooked) {
  Get();
  EXPECT_EQ(status_.code(), StatusCode::kUnauthenticated);
  EXPECT_NE(status_.message().find("AWS_ACCESS_KEY_ID"), std::string::npos);
  EXPECT_EQ(region_, "us-east-1");
  env_ = {{"AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token"}};
  Get();
  EXPECT_NE(status_.message().find("/nowhere/token"), std::string::npos);
  options_.profile = "prod";
  Get();
  EXPECT_NE(status_.message().find("profile prod"), std::string::npos);
}

TEST_F(AwsChainTest, TheEnvironmentComesFirst) {
  env_ = {{"AWS_ACCESS_KEY_ID", "A"},
          {"AWS_SECRET_ACCESS_KEY", "B"},
          {"AWS_SESSION_TOKEN", "C"},
          {"AWS_DEFAULT_REGION", "eu-central-1"},
          {"AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere"}};
  AwsCredentials found = Get();
  EXPECT_EQ(found.access_key + found.secret_key + found.session_token, "ABC");
  EXPECT_NE(found.origin.find("environment"), std::string::npos);
  EXPECT_EQ(region_, "eu-central-1");
}

TEST(GcsParserTest, ReadsAPageWithItsSums) {
  GcsPage page = ParseGcsPage(R"({"kind":"storage#objects","nextPageToken":"n","items":[
    {"name":"digits/1/m","size":"9","generation":"17","md5Hash":"kAFQmDzST7DWlj99KOF/cg==",
     "crc32c":"4waSgw=="}]})")
                     .value();
  ASSERT_EQ(page.objects.size(), 1u);
  EXPECT_EQ(page.objects[0].md5, "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(page.objects[0].crc32c, 0xe3069283u);
  EXPECT_EQ(page.objects[0].generation, "17");
  EXPECT_EQ(page.next, "n");
  EXPECT_TRUE(ParseGcsPage("{}").value().objects.empty());
  for (const char* wrong : {"", "[]", R"({"items":1})", R"({"items":[1]})",
                            R"({"items":[{"name":"x"}]})", R"({"items":[{"name":"","size":"1"}]})"})
    EXPECT_FALSE(ParseGcsPage(wrong).ok()) << wrong;
}

std::string Base64UrlDecoded(std::string text) {
  for (char& c : text) c = c == '-' ? '+' : c == '_' ? '/' : c;
  while (text.size() % 4 != 0) text += '=';
  std::string bytes;
  EXPECT_TRUE(FromBase64(text, bytes));
  return bytes;
}

TEST(GoogleKeyTest, SignsAnAssertionThatItsPublicKeyVerifies) {
  EVP_PKEY* pair = EVP_RSA_gen(2048);
  ASSERT_NE(pair, nullptr);
  BIO* bio = BIO_new(BIO_s_mem());
  ASSERT_EQ(PEM_write_bio_PrivateKey(bio, pair, nullptr, nullptr, 0, nullptr, nullptr), 1);
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  nlohmann::json file = {{"type", "service_account"},
                         {"client_email", "me@project.example"},
                         {"private_key_id", "k1"},
                         {"private_key", std::string(data, static_cast<size_t>(size))},
                         {"token_uri", "https://tokens.example/token"}};
  BIO_free(bio);
  GoogleKey key = ParseGoogleKey(file.dump()).value();
  std::string assertion = SignAssertion(key, "scope", FromUnixMillis(1'700'000'000'000)).value();
  auto parts = Split(assertion, '.');
  ASSERT_EQ(parts.size(), 3u);
  auto header = nlohmann::json::parse(Base64UrlDecoded(std::string(parts[0])));
  auto claims = nlohmann::json::parse(Base64UrlDecoded(std::string(parts[1])));
  EXPECT_EQ(header["alg"], "RS256");
  EXPECT_EQ(header["kid"], "k1");
  EXPECT_EQ(claims["iss"], "me@project.example");
  EXPECT_EQ(claims["aud"], "https://tokens.example/token");
  EXPECT_EQ(claims["exp"], 1'700'003'600);
  std::string text = StrCat(parts[0], ".", parts[1]);
  std::string signature = Base64UrlDecoded(std::string(parts[2]));
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ASSERT_EQ(EVP_DigestVerifyInit(context, nullptr, EVP_sha256(), nullptr, pair), 1);
  EXPECT_EQ(EVP_DigestVerify(context, reinterpret_cast<const unsigned char*>(signature.data()),
                             signature.size(), reinterpret_cast<const unsigned char*>(text.data()),
                             text.size()),
            1);
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(pair);
}

TEST(GoogleKeyTest, NamesWhatIsMissingOrNotSupported) {
  EXPECT_FALSE(ParseGoogleKey("no json").ok());
  Status missing = ParseGoogleKey(R"({"type":"service_account","client_email":"e"})").status();
  EXPECT_NE(missing.message().find("private_key"), std::string::npos);
  EXPECT_EQ(ParseGoogleKey(R"({"type":"external_account"})").status().code(),
            StatusCode::kUnimplemented);
  GoogleKey key{.client_email = "e", .private_key = "no key"};
  EXPECT_FALSE(SignAssertion(key, "s", {}).ok());
  EXPECT_EQ(ParseTokenAnswer(R"({"error":"invalid_grant"})", {}).status().code(),
            StatusCode::kUnauthenticated);
  EXPECT_EQ(ParseTokenAnswer(R"({"access_token":"t","expires_in":60})", {}).value().token, "t");
}

TEST(HdfsParserTest, ReadsListingsAndErrors) {
  auto entries = ParseListStatus(R"({"FileStatuses":{"FileStatus":[
    {"accessTime":1,"fileId":16386,"length":0,"modificationTime":5,"pathSuffix":"1","type":"DIRECTORY"},
    {"fileId":16388,"length":12,"modificationTime":7,"pathSuffix":"model.onnx","type":"FILE"},
    {"fileId":1,"length":0,"modificationTime":7,"pathSuffix":"l","type":"SYMLINK"}]}})")
                     .value();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_TRUE(entries[0].folder);
  EXPECT_EQ(entries[1].size, 12);
  for (const char* wrong :
       {"", "{}", R"({"FileStatuses":{}})", R"({"FileStatuses":{"FileStatus":1}})",
        R"({"FileStatuses":{"FileStatus":[{"type":"FILE"}]}})"})
    EXPECT_FALSE(ParseListStatus(wrong).ok()) << wrong;
  HdfsError error = ParseHdfsError(
      R"({"RemoteException":{"exception":"FileNotFoundException","message":"File /x\n at"}})");
  EXPECT_EQ(error.exception, "FileNotFoundException");
  EXPECT_EQ(error.message, "File /x");
}

TEST(HttpIndexTest, ReadsEachKindOfEntry) {
  auto entries = ParseHttpIndex(R"({"versions":[1,{"version":2,"manifest":"v2/manifest.json"},
      {"version":3,"archive":"digits-3.tar.gz","sha256":")" +
                                std::string(64, 'A') + R"("}]})")
                     .value();
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].manifest, "1/manifest.json");
  EXPECT_EQ(entries[1].manifest, "v2/manifest.json");
  EXPECT_EQ(entries[2].sha256, std::string(64, 'a'));
}

TEST(HttpIndexTest, NamesWhatIsWrong) {
  std::pair<const char*, const char*> cases[] = {
      {"[]", "versions.json must be"},
      {R"({"versions":[0]})", "versions[0] must be a whole number"},
      {R"({"versions":["1"]})", "versions[0] must be a version's number"},
      {R"({"versions":[1,1]})", "versions[1] is version 1, which is there twice"},
      {R"({"versions":[{"version":1}]})", "versions[0] must have either"},
      {R"({"versions":[{"manifest":"a/manifest.json"}]})", "versions[0].version must be there"},
      {R"({"versions":[{"version":1,"archive":"../a.zip"}]})",
       "versions[0].archive must be a path"},
      {R"({"versions":[{"version":1,"archive":"http://x/a.zip"}]})", "versions[0].archive"},
      {R"({"versions":[{"version":1,"archive":"a.rar"}]})", "must end with .tar.gz"},
      {R"({"versions":[{"version":1,"archive":"a.zip","sha256":"12"}]})", "64 hexadecimal"},
      {R"({"versions":[{"version":1,"archiv":"a.zip"}]})", "versions[0].archiv is not known"},
  };
  for (const auto& [text, what] : cases) {
    Status status = ParseHttpIndex(text).status();
    EXPECT_NE(std::string(status.message()).find(what), std::string::npos)
        << text << ": " << status;
  }
}

TEST(HttpIndexTest, FindsAnArchivesVersion) {
  EXPECT_EQ(VersionOfArchive("digits-3.tar.gz"), 3);
  EXPECT_EQ(VersionOfArchive("a/b/12.zip"), 12);
  EXPECT_EQ(VersionOfArchive("digits-v4.tgz"), 4);
  EXPECT_EQ(VersionOfArchive("resnet50.tar"), 1);
  EXPECT_EQ(VersionOfArchive("model.zip"), 1);
}

TEST(MlflowParserTest, ReadsVersionsAndArtifacts) {
  MlflowPage page = ParseMlflowVersions(R"({"model_versions":[{"name":"d","version":"3",
    "creation_timestamp":1700000000000,"status":"READY"},{"version":"4",
    "status":"PENDING_REGISTRATION"}],"next_page_token":"t"})")
                        .value();
  ASSERT_EQ(page.versions.size(), 2u);
  EXPECT_EQ(page.versions[0].version, 3);
  EXPECT_EQ(page.versions[1].status, "PENDING_REGISTRATION");
  EXPECT_EQ(page.next, "t");
  EXPECT_EQ(ParseMlflowVersions(R"({"model_version":{"version":"2"}})").value().versions.size(),
            1u);
  EXPECT_TRUE(ParseMlflowVersions("{}").value().versions.empty());
  for (const char* wrong : {"", "1", R"({"model_versions":1})", R"({"model_versions":[{}]})"})
    EXPECT_FALSE(ParseMlflowVersions(wrong).ok()) << wrong;

  auto artifacts = ParseMlflowArtifacts(
                       R"({"files":[{"path":"MLmodel","is_dir":false,"file_size":7},
                           {"path":"data","is_dir":true}]})")
                       .value();
  ASSERT_EQ(artifacts.size(), 2u);
  EXPECT_EQ(artifacts[0].size, 7);
  EXPECT_TRUE(artifacts[1].folder);
  for (const char* wrong : {"", R"({"files":[{"path":"../x"}]})", R"({"files":[{"path":"/etc"}]})"})
    EXPECT_FALSE(ParseMlflowArtifacts(wrong).ok()) << wrong;
}

TEST(StoreHttpTest, HidesWhatARequestHeldFromWhatItsServerSays) {
  auto hidden = [](const StoreRequest& request, std::string text) {
    HideSecrets(request, text);
    return text;
  };
  EXPECT_EQ(hidden({.authorization = "Bearer tok"}, "you sent bearer tok!"), "(hidden)");
  EXPECT_EQ(hidden({.authorization = "Bearer token-1"}, "bearer token-1, token-1"),
            "bearer (hidden), (hidden)");
  EXPECT_EQ(hidden({.authorization = "no-scheme"}, "no-scheme"), "(hidden)");
  EXPECT_EQ(hidden({.sign = AwsSigning{"access", "secret", "a/token+", "r", "s3"}},
                   "access secret a/token+ a%2Ftoken%2B"),
            "access (hidden) (hidden) (hidden)");
  EXPECT_EQ(hidden({.secrets = {"pass word"}}, "x=pass%20word&y=cGFzcyB3b3Jk"),
            "x=(hidden)&y=(hidden)");
  EXPECT_EQ(hidden({.secrets = {""}}, "all of it"), "all of it");
  EXPECT_EQ(hidden({}, "all of it"), "all of it");
}

TEST(StoreHttpTest, ReadsRetryAfter) {
  StoreAnswer answer;
  EXPECT_EQ(RetryAfter(answer, {}), Duration::zero());
  answer.headers["retry-after"] = "7";
  EXPECT_EQ(RetryAfter(answer, {}), std::chrono::seconds(7));
  answer.headers["retry-after"] = "Thu, 01 Jan 1970 00:01:00 GMT";
  EXPECT_EQ(RetryAfter(answer, {}), std::chrono::seconds(60));
  answer.headers["retry-after"] = "soon";
  EXPECT_EQ(RetryAfter(answer, {}), Duration::zero());
}

}  // namespace
}  // namespace leadsman
