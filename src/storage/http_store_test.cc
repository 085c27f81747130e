#include "storage/http_store.h"

#include <gtest/gtest.h>

#include "storage/testing/store_server.h"

namespace leadsman {
namespace {

std::string NoEnvironment(const char*) { return ""; }

/// Lists the archive at http://host/digits-3.zip?sig=hush of `server`.
Result<std::vector<RemoteVersion>> ListSigned(const StoreServer& server) {
  StoreUri uri = ParseStoreUri(StrCat("http://", server.host(), "/digits-3.zip?sig=hush")).value();
  StorageOptions::Http options;
  StoreHttp http({.retries = 0});
  ASSIGN_OR_RETURN(RemoteListing listing, HttpStore(uri, options, NoEnvironment, http).List({}));
  return std::move(listing.versions);
}

TEST(HttpStoreTest, ANameThatIsNotResolvedCostsThatRequestAlone) {
  StoreHttp http({.retries = 0});
  for (int i = 0; i < 3; ++i) {
    auto answer = http.Call({.url = "http://no..such.invalid/x"}, {});
    EXPECT_EQ(answer.status().code(), StatusCode::kUnavailable) << answer.status();
    EXPECT_NE(answer.status().message().find("resolve"), std::string_view::npos) << answer.status();
  }
  StoreServer server(
      [](const net::HttpRequest&, net::HttpResponse& response) { response.body = "there"; });
  auto answer = http.Call({.url = StrCat("http://", server.host(), "/x")}, {});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->body, "there");
}

// S3 and Google Cloud Storage sign one method: HEAD is refused to who has a URL for GET.
TEST(HttpStoreTest, AUrlThatIsSignedForGetAloneIsLookedAtByAPartOfIt) {
  StoreServer server([](const net::HttpRequest& request, net::HttpResponse& response) {
    if (request.method == "HEAD") {
      response.status = 403;
      return;
    }
    EXPECT_EQ(request.Header("Range"), "bytes=0-0");
    response.status = 206;
    response.headers = "Content-Range: bytes 0-0/4711\r\nETag: \"abc\"\r\n";
    response.body = "P";
  });
  auto versions = ListSigned(server);
  ASSERT_TRUE(versions.ok()) << versions.status();
  ASSERT_EQ((*versions)[0].files.size(), 1u);
  EXPECT_EQ((*versions)[0].version, 3);
  EXPECT_EQ((*versions)[0].files[0].size, 4711);
  EXPECT_EQ((*versions)[0].files[0].revision, "\"abc\"");
  EXPECT_EQ(server.asked(), (std::vector<std::string>{"HEAD /digits-3.zip?sig=hush",
                                                      "GET /digits-3.zip?sig=hush"}));
}

TEST(HttpStoreTest, OfAServerWithoutRangesTheHeadIsEnough) {
  StoreServer server([](const net::HttpRequest& request, net::HttpResponse& response) {
    if (request.method == "HEAD") {
      response.status = 403;
      return;
    }
    response.headers = "ETag: \"abc\"\r\n";
    response.body = std::string(20 << 20, 'x');  // more than an answer may have
  });
  auto versions = ListSigned(server);
  ASSERT_TRUE(versions.ok()) << versions.status();
  EXPECT_EQ((*versions)[0].files[0].size, 20 << 20);
}

TEST(HttpStoreTest, ARefusedSignatureIsToldWithoutIt) {
  StoreServer server(
      [](const net::HttpRequest&, net::HttpResponse& response) { response.status = 403; });
  Status refused = ListSigned(server).status();
  EXPECT_EQ(refused.code(), StatusCode::kPermissionDenied);
  EXPECT_NE(refused.message().find("may have expired"), std::string_view::npos) << refused;
  EXPECT_EQ(refused.message().find("hush"), std::string_view::npos) << refused;
}

TEST(HttpStoreTest, AMissingIndexSaysWhereItIsDescribed) {
  StoreServer server(
      [](const net::HttpRequest&, net::HttpResponse& response) { response.status = 404; });
  StoreUri uri = ParseStoreUri(StrCat("http://", server.host(), "/models/digits")).value();
  StorageOptions::Http options;
  StoreHttp http({.retries = 0});
  Status missing = HttpStore(uri, options, NoEnvironment, http).List({}).status();
  EXPECT_EQ(missing.code(), StatusCode::kNotFound);
  EXPECT_EQ(missing.message(),
            StrCat("http://", server.host(),
                   "/models/digits/versions.json answered 404: a model on a web server needs this "
                   "index of its versions, or the path of one archive (docs/stores.md, \"Web "
                   "servers\")"));
}

TEST(HttpStoreTest, AVersionListedByItsNumberAloneNeedsAManifest) {
  StoreServer server([](const net::HttpRequest& request, net::HttpResponse& response) {
    const bool index = request.path.find("versions.json") != std::string::npos;
    response.status = index ? 200 : 404;
    if (index) response.body = "{\"versions\": [3]}";
  });
  StoreUri uri = ParseStoreUri(StrCat("http://", server.host(), "/digits")).value();
  StorageOptions::Http options;
  StoreHttp http({.retries = 0});
  HttpStore store(uri, options, NoEnvironment, http);
  Result<RemoteListing> listing = store.List({});
  ASSERT_TRUE(listing.ok()) << listing.status();
  Status missing = store.Files(listing->versions.at(0), {}).status();
  EXPECT_EQ(missing.code(), StatusCode::kNotFound);
  EXPECT_TRUE(missing.message().starts_with(
      StrCat("http://", server.host(),
             "/digits/3/manifest.json answered 404: a version that versions.json lists by its "
             "number alone needs a manifest.json")))
      << missing;
}

}  // namespace
}  // namespace leadsman
