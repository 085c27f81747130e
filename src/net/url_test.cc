#include "net/url.h"

#include <gtest/gtest.h>

namespace leadsman::net {
namespace {

TEST(UrlTest, KnowsItsParts) {
  struct Case {
    const char *text, *origin, *authority, *target;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"http://h", "http://h:80", "h", "/"},
           {"HTTPS://Bucket.S3.example/a?b=c#d", "https://bucket.s3.example:443",
            "Bucket.S3.example", "/a?b=c"},
           {"https://h:8443?x", "https://h:8443", "h:8443", "/?x"},
           {"http://[::1]:81/x", "http://::1:81", "[::1]:81", "/x"},
       }) {
    auto url = ParseUrl(c.text);
    ASSERT_TRUE(url.ok()) << url.status();
    EXPECT_EQ(url->Origin(), c.origin);
    EXPECT_EQ(url->authority, c.authority);
    EXPECT_EQ(url->target, c.target);
  }
}

TEST(UrlTest, ShowsNoSecretWhenItComplains) {
  for (const char* text :
       {"https://user:s3cret@h/", "https://h:x/path?X-Amz-Signature=s3cret", "ftp://h/?s3cret"}) {
    auto url = ParseUrl(text);
    ASSERT_FALSE(url.ok());
    EXPECT_EQ(url.status().message().find("s3cret"), std::string_view::npos) << url.status();
  }
}

TEST(UrlTest, FollowsLocations) {
  auto base = ParseUrl("https://h:444/a/b/c?d");
  ASSERT_TRUE(base.ok());
  struct Case {
    const char *location, *expected;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"http://other/x", "http://other/x"},
           {"//other:1/x", "https://other:1/x"},
           {"/x?y", "https://h:444/x?y"},
           {"x", "https://h:444/a/b/x"},
           {"../x", "https://h:444/a/x"},
           {"../../../x/./", "https://h:444/x/"},
           {"..", "https://h:444/a/"},
           {"?y", "https://h:444/a/b/c?y"},
           {"x?u=http://e/", "https://h:444/a/b/x?u=http://e/"},
           {"", "https://h:444/a/b/c"},
       }) {
    auto url = ResolveLocation(*base, c.location);
    ASSERT_TRUE(url.ok()) << url.status();
    EXPECT_EQ(url->ToString(), c.expected) << c.location;
  }
  for (const char* location : {"ftp://h/", "javascript:x", "/a b", "http://u:p@h/"}) {
    EXPECT_FALSE(ResolveLocation(*base, location).ok()) << location;
  }
}

}  // namespace
}  // namespace leadsman::net
