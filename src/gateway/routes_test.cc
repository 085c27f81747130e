#include "gateway/routes.h"

#include <gtest/gtest.h>

#include "base/strings.h"
#include "gateway/forward_head.h"
#include "gateway/split.h"
#include "net/head_parser.h"

namespace leadsman::gateway {
namespace {

/// A request as it comes; lives as long as its text.
struct Parsed {
  explicit Parsed(std::string bytes) : text(std::move(bytes)) {
    net::HeadParser parser(65536);
    EXPECT_EQ(parser.Feed(text, request, head), net::ParseState::kDone) << text;
  }
  std::string text;
  net::HttpRequest request;
  net::RequestHead head;
};

Parsed Get(const std::string& target, const std::string& fields = "") {
  return Parsed("GET " + target + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n");
}

TEST(RouteTableTest, TheFirstRouteThatFitsHasTheRequest) {
  Options options;
  for (const char* name : {"digits", "iris", "rest"}) options.services.emplace_back().name = name;
  options.routes = {
      {.host = "iris.example.com", .service = "iris"},
      {.host = "*.digits.org", .path = "/v1", .service = "digits"},
      {.path = "/v1/models/iris", .headers = {{"X-Team", "blue"}}, .service = "iris"},
      {.path = "/v1/models/digits", .headers = {{"authorization", "*"}}, .service = "digits"},
      {.path = "/open", .service = "rest"},
  };
  const RouteTable table(options);
  auto service = [&](std::string host, const Parsed& parsed) {
    const RouteTable::Route* route = table.Find(host, parsed.request);
    return route == nullptr ? std::string("none") : route->options.service;
  };
  EXPECT_EQ(service("IRIS.example.com:8080", Get("/anything")), "iris");
  EXPECT_EQ(service("a.digits.org", Get("/v1/x")), "digits");
  EXPECT_EQ(service("a.digits.org", Get("/v2/x")), "none");
  EXPECT_EQ(service("digits.org", Get("/v1/x")), "none");
  EXPECT_EQ(service("xdigits.org", Get("/v1/x")), "none");
  EXPECT_EQ(service("a", Get("/v1/models/iris:predict", "x-team: blue\r\n")), "iris");
  EXPECT_EQ(service("a", Get("/v1/models/iris:predict", "x-team: red\r\n")), "none");
  EXPECT_EQ(service("a", Get("/v1/models/digits", "Authorization: x\r\n")), "digits");
  EXPECT_EQ(service("a", Get("/open?x=/v1")), "rest");
  EXPECT_EQ(service("a", Get("/open/../v1/models/iris")), "none") << "not by another name";
  EXPECT_EQ(service("a", Get("/open/%2e%2e/closed")), "none");
  EXPECT_EQ(service("a", Get("//open//x")), "rest");
  EXPECT_EQ(service("a", Get("/o%70en")), "rest");
}

TEST(RouteTableTest, AnOnlyServiceNeedsNoRoute) {
  Options options;
  options.services.emplace_back().name = "digits";
  const RouteTable table(options);
  const Parsed parsed = Get("/x");
  ASSERT_NE(table.Find("any", parsed.request), nullptr);
}

TEST(RouteTableTest, NormalisesPaths) {
  EXPECT_EQ(NormalisedPath("/a/./b//../c%2e"), "/a/c.");
  EXPECT_EQ(NormalisedPath("/../../a/"), "/a/");
  EXPECT_EQ(NormalisedPath("/a/.."), "/");
  EXPECT_EQ(NormalisedPath("/%zz"), "/%zz");
}

TEST(SplitTest, SharesAreExactAndTheNewestVersionComesFirst) {
  const Split split({1, 3, 2}, {7'000, 1'000, 2'000}, true, 0);
  std::vector<int> counts(3);
  for (uint32_t place = 0; place < Split::kParts; ++place) ++counts[split.At(place)];
  EXPECT_EQ(counts, (std::vector<int>{7'000, 1'000, 2'000}));
  EXPECT_EQ(split.At(0), 1u);
  EXPECT_EQ(split.At(Split::kParts - 1), 0u);
}

TEST(SplitTest, WhoIsWithANewVersionStaysWhenItsShareGrows) {
  const Split few({1, 2}, {9'900, 100}, true, 0);
  const Split more({1, 2}, {5'000, 5'000}, true, 0);
  for (uint32_t place = 0; place < Split::kParts; ++place) {
    if (few.At(place) == 1) {
      EXPECT_EQ(more.At(place), 1u);
    }
  }
}

TEST(SplitTest, WhoIsWithTheCandidateStaysWhenItsShareGrowsBeItTheOlderVersionToo) {
  for (const auto& [stable, candidate] : {std::pair{1, 2}, std::pair{2, 1}}) {
    std::vector<bool> was(2'000, false);
    for (uint32_t share : {500u, 2'500u, 5'000u, 9'999u}) {
      const Split split({stable, candidate}, {Split::kParts - share, share}, true, 7);
      for (size_t user = 0; user < was.size(); ++user) {
        const bool is = split.At(StickyPlace(split.seed(), StrCat("user-", user))) == 1;
        EXPECT_TRUE(is || !was[user]) << "user " << user << " at " << share;
        was[user] = is;
      }
    }
  }
}

TEST(SplitTest, StickyPlacesAreEvenAndAnotherSeedPutsOthersFirst) {
  int first = 0;
  int both = 0;
  constexpr int kUsers = 100'000;
  for (int i = 0; i < kUsers; ++i) {
    const std::string user = "user-" + std::to_string(i);
    const bool one = StickyPlace(1, user) < 1'000;
    first += one;
    both += one && StickyPlace(2, user) < 1'000;
    EXPECT_EQ(StickyPlace(1, user), StickyPlace(1, user));
  }
  EXPECT_NEAR(first, 10'000, 400);  // four standard deviations
  EXPECT_NEAR(both, 1'000, 130);
}

TEST(SplitTest, KeysAreHeadersCookiesOrTheAddress) {
  const Parsed parsed = Get("/", "X-User: ann\r\nCookie: a=1; sid=7; b=2\r\nCookie: last=z\r\n");
  using By = SplitOptions::By;
  auto key = [&](By by, std::string name) {
    return StickyKey({.by = by, .name = std::move(name)}, parsed.request, "10.0.0.9");
  };
  EXPECT_EQ(key(By::kRandom, ""), std::nullopt);
  EXPECT_EQ(key(By::kHeader, "x-user"), "ann");
  EXPECT_EQ(key(By::kHeader, "x-other"), std::nullopt);
  EXPECT_EQ(key(By::kCookie, "sid"), "7");
  EXPECT_EQ(key(By::kCookie, "last"), "z");
  EXPECT_EQ(key(By::kCookie, "id"), std::nullopt);
  EXPECT_EQ(key(By::kClient, ""), "10.0.0.9");
}

std::string Forwarded(const Parsed& parsed, RequestForward how = {}) {
  how.client = "10.0.0.9";
  how.target = parsed.request.target;
  std::string out;
  AppendRequestHead(out, parsed.request, how);
  return out;
}

TEST(ForwardHeadTest, PassesARequestOnWithoutWhatIsTheConnections) {
  const Parsed parsed = Get("/a?b=%20",
                            "Connection: keep-alive, X-Mine, Host, Content-Length\r\nX-Mine: 1\r\n"
                            "Keep-Alive: timeout=5\r\nTE: trailers\r\nProxy-Connection: x\r\n"
                            "Upgrade: h2c\r\nAccept: */*\r\nX-Empty:\r\naccept: text/html\r\n"
                            "Transfer_Encoding: chunked\r\nProxy: http://evil\r\n");
  EXPECT_EQ(Forwarded(parsed),
            "GET /a?b=%20 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nX-Empty: \r\naccept: text/html\r\n"
            "X-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Proto: http\r\n\r\n");
}

TEST(ForwardHeadTest, ManyNamesInConnectionAreAllHeeded) {
  std::string names, fields;
  for (int i = 0; i < 14'000; ++i) names += "x,";
  for (int i = 0; i < 7'000; ++i) fields += "Y:\r\n";
  const Parsed parsed =
      Get("/", "Connection: " + names + "b-b\r\n" + fields + "B-b: 1\r\nX: 1\r\nB-c: 1\r\n");
  const std::string head = Forwarded(parsed);
  EXPECT_NE(head.find("Y: \r\nB-c: 1\r\nX-Forwarded-For"), std::string::npos);
}

TEST(ForwardHeadTest, BelievesOrReplacesWhatAProxyBeforeHasSaid) {
  const Parsed parsed = Get("/",
                            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n"
                            "X-Forwarded-Proto: https\r\n");
  EXPECT_EQ(Forwarded(parsed),
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.0.0.9\r\n"
            "X-Forwarded-Proto: https\r\n\r\n");
  EXPECT_EQ(Forwarded(parsed, {.forwarded = ListenerOptions::Forwarded::kReplace}),
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.9\r\n"
            "X-Forwarded-Proto: http\r\n\r\n");
}

TEST(ForwardHeadTest, TakesTheHostOfAnAbsoluteTarget) {
  std::string_view authority;
  std::string target;
  ASSERT_TRUE(SplitAbsoluteTarget("http://b:80/x?y", authority, target));
  EXPECT_EQ(authority, "b:80");
  EXPECT_EQ(target, "/x?y");
  ASSERT_TRUE(SplitAbsoluteTarget("http://b?y", authority, target));
  EXPECT_EQ(target, "/?y");
  EXPECT_FALSE(SplitAbsoluteTarget("/x?u=http://b/", authority, target));
  EXPECT_FALSE(SplitAbsoluteTarget("*", authority, target));
  EXPECT_FALSE(SplitAbsoluteTarget("x?u=http://b/", authority, target));
  EXPECT_FALSE(SplitAbsoluteTarget("ftp://b/", authority, target));
}

TEST(ForwardHeadTest, PassesAnAnswerOn) {
  const std::string text =
      "HTTP/1.1 200 Fine\r\nContent-Length: 3\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\n"
      "Keep-Alive: x\r\nServer: gunicorn\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n";
  net::AnswerHeadParser parser(4096);
  net::AnswerHead answer;
  ASSERT_EQ(parser.Feed(text, answer), net::ParseState::kDone);
  std::string out;
  AppendAnswerHead(out, answer, {});
  EXPECT_EQ(out,
            "HTTP/1.1 200 Fine\r\nContent-Length: 3\r\nServer: gunicorn\r\nSet-Cookie: a\r\n"
            "Set-Cookie: b\r\n\r\n");
  out.clear();
  AppendAnswerHead(out, answer, {.body = AnswerForward::Body::kNone, .close = true});
  EXPECT_EQ(out,
            "HTTP/1.1 200 Fine\r\nServer: gunicorn\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
            "Connection: close\r\n\r\n");
}

}  // namespace
}  // namespace leadsman::gateway
