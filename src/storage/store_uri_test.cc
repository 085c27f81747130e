#include "storage/store_uri.h"

#include <gtest/gtest.h>

#include "storage/stores.h"

namespace leadsman {
namespace {

using Kind = StoreUri::Kind;

TEST(StoreUriTest, TakesEachKindApart) {
  struct Case {
    const char* text;
    Kind kind;
    const char *authority, *path;
  };
  const Case cases[] = {
      {"/models/digits", Kind::kFile, "", "/models/digits"},
      {"models/digits", Kind::kFile, "", "models/digits"},
      {"odd:name", Kind::kFile, "", "odd:name"},
      {"file:///models/digits", Kind::kFile, "", "/models/digits"},
      {"s3://bucket/a/b/", Kind::kS3, "bucket", "a/b"},
      {"S3://bucket", Kind::kS3, "bucket", ""},
      {"gs://bucket/a", Kind::kGcs, "bucket", "a"},
      {"hdfs://namenode:8020/models", Kind::kHdfs, "namenode:8020", "models"},
      {"webhdfs://namenode:9870/models", Kind::kHdfs, "namenode:9870", "models"},
      {"https://host:8443/base/digits", Kind::kHttp, "host:8443", "base/digits"},
      {"http://[::1]:80/x", Kind::kHttp, "[::1]:80", "x"},
  };
  for (const Case& c : cases) {
    Result<StoreUri> uri = ParseStoreUri(c.text);
    ASSERT_TRUE(uri.ok()) << c.text << ": " << uri.status();
    EXPECT_EQ(uri->kind, c.kind) << c.text;
    EXPECT_EQ(uri->authority, c.authority) << c.text;
    EXPECT_EQ(uri->path, c.path) << c.text;
  }
}

TEST(StoreUriTest, TakesRegistryUrisApart) {
  StoreUri all = ParseStoreUri("models:/digits").value();
  EXPECT_EQ(all.kind, Kind::kMlflow);
  EXPECT_EQ(all.model, "digits");
  EXPECT_EQ(all.version, 0);
  EXPECT_EQ(ParseStoreUri("models:/digits/3").value().version, 3);
  StoreUri alias = ParseStoreUri("models:/digits@champion").value();
  EXPECT_EQ(alias.model, "digits");
  EXPECT_EQ(alias.alias, "champion");
  for (const char* wrong :
       {"models:/", "models:/digits/Production", "models:/digits@", "models:/@x"})
    EXPECT_FALSE(ParseStoreUri(wrong).ok()) << wrong;
  EXPECT_NE(CheckModelPath("models:/digits/Production").find("alias"), std::string::npos);
}

TEST(StoreUriTest, SaysWhatIsWrong) {
  EXPECT_NE(CheckModelPath("ftp://host/x").find("there is no store for ftp://"), std::string::npos);
  EXPECT_NE(CheckModelPath("s3:///prefix").find("bucket is missing"), std::string::npos);
  EXPECT_NE(CheckModelPath("https://me:secret@host/x").find("docs/stores.md"), std::string::npos);
  EXPECT_EQ(CheckModelPath("https://me:secret@host/x").find("secret"), std::string::npos);
  EXPECT_NE(CheckModelPath("s3://bucket/a/../b").find(".."), std::string::npos);
  EXPECT_NE(CheckModelPath("file://host/x").find("absolute"), std::string::npos);
  EXPECT_NE(CheckModelPath("").find("empty"), std::string::npos);
  EXPECT_EQ(CheckModelPath("../relative/path"), "");
}

TEST(StoreUriTest, RedactsWhatMayBeSecret) {
  EXPECT_EQ(RedactUrl("https://u:p@host/a?X-Amz-Signature=abc#f"), "https://host/a");
  EXPECT_EQ(RedactUrl("https://host/a@b"), "https://host/a@b");
  EXPECT_EQ(RedactUrl("https://host/a?x=y://z"), "https://host/a");
  EXPECT_EQ(RedactUrl("a?x=y://z"), "a");
  for (const char* path : {"/a/b", "/models/a#1", "what?"}) EXPECT_EQ(RedactUrl(path), path);
}

TEST(StoreUriTest, ReadsVersionNumbers) {
  EXPECT_EQ(VersionNumber("7"), 7);
  EXPECT_EQ(VersionNumber("0007"), 7);
  for (const char* none : {"", "0", "-1", "+1", "1.5", "v1", "99999999999999999999"})
    EXPECT_EQ(VersionNumber(none), 0) << none;
}

}  // namespace
}  // namespace leadsman
