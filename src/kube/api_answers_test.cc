// What an API server says: objects, refusals, the events of a watch. The texts are those of a kube-apiserver 1.36.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "kube/api_failure.h"
#include "kube/object.h"
#include "kube/object_store.h"
#include "kube/resource.h"
#include "kube/watch_decoder.h"

namespace leadsman::kube {
namespace {

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string Pod(std::string_view name, int version) {
  return StrCat(R"({"kind":"Pod","metadata":{"name":")", name, R"(","namespace":"shop","uid":"u-)",
                name, R"(","resourceVersion":")", version, R"("}})");
}

TEST(ObjectTest, ReadsWhatAllKindsHave) {
  auto object = Object::Parse(
      R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop",
    "uid":"7","resourceVersion":"12","generation":3,"labels":{"app.kubernetes.io/name":"web"},
    "annotations":{"a/b":"c"},"deletionTimestamp":"2026-01-01T00:00:00Z"},
    "spec":{"replicas":3,"template":{"spec":{"containers":[{"image":"x:1"}]}}}})");
  ASSERT_TRUE(object.ok()) << object.status();
  EXPECT_EQ(object->api_version(), "apps/v1");
  EXPECT_EQ(object->kind(), "Deployment");
  EXPECT_EQ(object->key(), "shop/web");
  EXPECT_EQ(object->uid(), "7");
  EXPECT_EQ(object->resource_version(), "12");
  EXPECT_EQ(object->generation(), 3);
  EXPECT_TRUE(object->deleting());
  EXPECT_EQ(object->label("app.kubernetes.io/name"), "web");
  EXPECT_EQ(object->annotation("a/b"), "c");
  EXPECT_EQ(object->Number("/spec/replicas"), 3);
  EXPECT_EQ(object->Text("/spec/template/spec/containers/0/image"), "x:1");
  EXPECT_EQ(object->Text("/metadata/annotations/a~1b"), "c");
}

TEST(ObjectTest, AbsentAndMistypedFieldsReadAsEmpty) {
  const Object object(Json{{"metadata", 3}, {"spec", {{"replicas", "x"}, {"list", {1}}}}});
  EXPECT_EQ(object.name(), "");
  EXPECT_EQ(object.label("x"), "");
  EXPECT_EQ(object.Number("/spec/replicas", 7), 7);
  EXPECT_EQ(object.Find("/spec/list/1"), nullptr);
  EXPECT_EQ(object.Find("/spec/list/-1"), nullptr);
  EXPECT_EQ(Object().key(), "");
}

TEST(ObjectTest, WhatOthersShareIsNotTakenFromThem) {
  Object first(Json{{"metadata", {{"name", "a"}}}});
  Object second = first;
  EXPECT_EQ(std::move(first).Take(), second.json());
  EXPECT_EQ(second.name(), "a");
  const Json alone = std::move(second).Take();
  EXPECT_EQ(alone["metadata"]["name"], "a");
  EXPECT_EQ(second.name(), "");  // NOLINT(bugprone-use-after-move): it is empty, and says so
  EXPECT_EQ(Object().Take(), Json::object());
  EXPECT_EQ(Object().Take(), Json::object());
}

TEST(ObjectTest, RefusesWhatIsNoObject) {
  for (const char* text : {"", "[]", "3", "{", "{\"a\":1} x"})
    EXPECT_FALSE(Object::Parse(text).ok()) << text;
  EXPECT_FALSE(Object::Parse(std::string(1'000'000, '[')).ok());
  EXPECT_TRUE(Object::Parse(StrCat(R"({"a":")", std::string(1000, '['), R"("})")).ok());
}

TEST(ResourceTest, KnowsItsPaths) {
  EXPECT_EQ(Leases().Path("a", "b"), "/apis/coordination.k8s.io/v1/namespaces/a/leases/b");
  const Resource nodes{"", "v1", "nodes", "Node", false};
  EXPECT_EQ(nodes.Path("ignored", "n1", "status"), "/api/v1/nodes/n1/status");
  EXPECT_EQ(Leases().Path(""), "/apis/coordination.k8s.io/v1/leases");
  EXPECT_EQ(Leases().Path("../x", "a/b"),
            "/apis/coordination.k8s.io/v1/namespaces/..%2Fx/leases/a%2Fb");
}

TEST(ApiFailureTest, EveryCaseThatIsTreatedInAnotherWayHasItsCode) {
  struct Case {
    int http;
    std::string reason;
    StatusCode code;
  };
  const Case cases[] = {{400, "BadRequest", StatusCode::kInvalidArgument},
                        {401, "Unauthorized", StatusCode::kUnauthenticated},
                        {403, "Forbidden", StatusCode::kPermissionDenied},
                        {404, "NotFound", StatusCode::kNotFound},
                        {405, "MethodNotAllowed", StatusCode::kUnimplemented},
                        {409, "AlreadyExists", StatusCode::kAlreadyExists},
                        {409, "Conflict", StatusCode::kAborted},
                        {410, "Expired", StatusCode::kOutOfRange},
                        {500, "Expired", StatusCode::kOutOfRange},
                        {500, "Gone", StatusCode::kOutOfRange},
                        {422, "Invalid", StatusCode::kInvalidArgument},
                        {429, "TooManyRequests", StatusCode::kResourceExhausted},
                        {500, "", StatusCode::kInternal},
                        {503, "ServiceUnavailable", StatusCode::kUnavailable},
                        {504, "Timeout", StatusCode::kDeadlineExceeded}};
  for (const Case& c : cases) {
    const auto failure = ParseFailure(c.http, "",
                                      StrCat(R"({"kind":"Status","code":)", c.http,
                                             R"(,"reason":")", c.reason, R"(","message":"m"})"));
    EXPECT_EQ(failure.code(), c.code) << c.http << c.reason;
    EXPECT_EQ(failure.ToStatus("get x").message(), "get x: m");
  }
}

TEST(ApiFailureTest, AnRbacDenialSaysWhatToAllow) {
  const auto failure = ParseFailure(
      403, "",
      R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"secrets is forbidden: User \"system:serviceaccount:default:op\" cannot list resource \"secrets\" in API group \"\" in the namespace \"default\"","reason":"Forbidden","details":{"kind":"secrets"},"code":403})");
  const Status status = failure.ToStatus("list secrets in namespace \"default\"");
  EXPECT_TRUE(Contains(status.message(), "cannot list resource \"secrets\"")) << status;
  EXPECT_TRUE(
      Contains(status.message(), "let a Role or ClusterRole that is bound to it allow this verb"))
      << status;
}

TEST(ApiFailureTest, ReadsWhenToComeBack) {
  EXPECT_EQ(ParseFailure(429, "7", "").retry_after, std::chrono::seconds(7));
  EXPECT_EQ(
      ParseFailure(429, "", R"({"kind":"Status","details":{"retryAfterSeconds":3}})").retry_after,
      std::chrono::seconds(3));
  EXPECT_EQ(ParseFailure(429, "999999999", "").retry_after, std::chrono::hours(1));
  for (const char* header : {"", "soon", "-1"}) {
    EXPECT_EQ(ParseFailure(429, header, "").retry_after, std::nullopt) << header;
  }
}

TEST(ApiFailureTest, AnswersOfOthersAreToldAsTheyAre) {
  EXPECT_EQ(ParseFailure(502, "", "<html>bad gateway</html>").message,
            "the API server answered 502: <html>bad gateway</html>");
  EXPECT_EQ(ParseFailure(500, "", "").message, "the API server answered 500");
  EXPECT_EQ(ParseFailure(500, "", R"({"kind":"Status","message":7,"code":"x"})").message,
            "the API server answered 500");
}

std::vector<std::string> Decode(std::string_view bytes, size_t piece, Status& status,
                                size_t max_event = 1 << 20) {
  std::vector<std::string> seen;
  WatchDecoder decoder(max_event);
  status = OkStatus();
  while (!bytes.empty() && status.ok()) {
    status = decoder.Feed(bytes.substr(0, piece), [&](WatchEvent event) {
      seen.push_back(
          StrCat(int(event.type), " ", event.object.key(), " ", event.object.resource_version()));
      return OkStatus();
    });
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  return seen;
}

TEST(WatchDecoderTest, TakesEventsHoweverTheyAreCutUp) {
  const std::string bytes = StrCat(
      R"({"type":"ADDED","object":)", Pod("a", 1),
      "}\n{\"type\":\"MODIFIED\",\"object\":", Pod("a", 2),
      "}\n\n{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\"}}}\n");
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    Status status;
    EXPECT_EQ(Decode(bytes, piece, status),
              (std::vector<std::string>{"0 shop/a 1", "1 shop/a 2", "3  9"}))
        << piece;
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST(WatchDecoderTest, AnOldResourceVersionIsOutOfRange) {
  Status status;
  Decode(
      R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"}})"
      "\n",
      1000, status);
  EXPECT_EQ(status.code(), StatusCode::kOutOfRange);
}

TEST(WatchDecoderTest, RefusesWhatIsNoEvent) {
  for (const char* line : {"x", "[]", "{}", R"({"type":"ADDED"})", R"({"type":"ADDED","object":3})",
                           R"({"type":"NEW","object":{}})", R"({"type":7,"object":{}})"}) {
    Status status;
    EXPECT_TRUE(Decode(StrCat(line, "\n"), 1000, status).empty());
    EXPECT_EQ(status.code(), StatusCode::kDataLoss) << line << status;
  }
}

TEST(WatchDecoderTest, AnEventHasABound) {
  Status status;
  Decode(std::string(5000, 'x'), 100, status, 1000);
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status;
}

TEST(WatchDecoderTest, TheTakersErrorEndsIt) {
  WatchDecoder decoder(1000);
  int taken = 0;
  const Status status =
      decoder.Feed(StrCat(R"({"type":"ADDED","object":)", Pod("a", 1),
                          "}\n{\"type\":\"ADDED\",\"object\":", Pod("b", 1), "}\n"),
                   [&](WatchEvent) {
                     ++taken;
                     return CancelledError("enough");
                   });
  EXPECT_EQ(status.code(), StatusCode::kCancelled);
  EXPECT_EQ(taken, 1);
}

Object PodObject(std::string_view name, int version) { return *Object::Parse(Pod(name, version)); }

std::vector<std::string> Words(const std::vector<ObjectChange>& changes) {
  std::vector<std::string> words;
  for (const ObjectChange& change : changes) {
    words.push_back(StrCat(change.latest().name(), " ",
                           change.before ? change.before->resource_version() : "-", " ",
                           change.after ? change.after->resource_version() : "-"));
  }
  return words;
}

TEST(ObjectStoreTest, AListComesAsTheDifference) {
  ObjectStore store;
  EXPECT_EQ(Words(store.Replace({PodObject("a", 1), PodObject("b", 1)})),
            (std::vector<std::string>{"a - 1", "b - 1"}));
  EXPECT_EQ(Words(store.Replace({PodObject("a", 1), PodObject("c", 2)})),
            (std::vector<std::string>{"b 1 -", "c - 2"}));
  EXPECT_EQ(Words(store.Replace({PodObject("a", 3), PodObject("c", 2)})),
            (std::vector<std::string>{"a 1 3"}));
  EXPECT_EQ(store.size(), 2u);
  EXPECT_EQ(store.Get("shop", "a")->resource_version(), "3");
  EXPECT_FALSE(store.Get("shop", "b"));
}

TEST(ObjectStoreTest, EventsThatSayNothingNewAreNoChange) {
  using Type = WatchEvent::Type;
  ObjectStore store;
  EXPECT_TRUE(store.Take({Type::kAdded, PodObject("a", 1)}));
  EXPECT_FALSE(store.Take({Type::kModified, PodObject("a", 1)}));
  EXPECT_FALSE(store.Take({Type::kBookmark, PodObject("a", 5)}));
  EXPECT_FALSE(store.Take({Type::kDeleted, PodObject("b", 1)}));
  const auto gone = store.Take({Type::kDeleted, PodObject("a", 6)});
  ASSERT_TRUE(gone);
  EXPECT_FALSE(gone->after);
  EXPECT_EQ(gone->before->resource_version(), "6");
  EXPECT_EQ(store.size(), 0u);
}

}  // namespace
}  // namespace leadsman::kube
