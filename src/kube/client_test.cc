#include "kube/client.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "kube/testing/fake_transport.h"

namespace leadsman::kube {
namespace {

using std::chrono_literals::operator""ms;

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

const Resource kPods{"", "v1", "pods", "Pod"};

class ClientTest : public testing::Test {
 protected:
  FakeTransport server_;
  Client client_{server_, SystemClock(), {.page = 2, .max_objects = 5, .backoff = {1ms, 2ms}}};
  const Object pod_{
      Json{{"metadata", {{"name", "a"}, {"namespace", "shop"}, {"resourceVersion", "5"}}}}};
};

TEST_F(ClientTest, WhatIsAskedOfOneIsNeverAskedOfAll) {
  server_.Otherwise([](const ApiRequest&) { return FakeTransport::Scripted{.body = "{}"}; });
  const Resource nodes{"", "v1", "nodes", "Node", false};
  const auto object = [](std::string_view ns, std::string_view name) {
    return Object(
        Json{{"metadata", {{"name", name}, {"namespace", ns}, {"resourceVersion", "5"}}}});
  };
  struct Case {
    Resource resource;
    std::string ns, name, field;
  };
  const Case cases[] = {{kPods, "shop", "", "metadata.name"},
                        {kPods, "", "a", "metadata.namespace"},
                        {kPods, "shop", "..", "metadata.name"},
                        {kPods, "..", "a", "metadata.namespace"},
                        {nodes, "", "", "metadata.name"}};
  for (const auto& [resource, ns, name, field] : cases) {
    for (const Status& status :
         {client_.Get(resource, ns, name).status(), client_.Delete(resource, ns, name),
          client_.Update(resource, object(ns, name), "me").status(),
          client_.Apply(resource, object(ns, name), {.field_manager = "me"}).status(),
          client_.MergePatch(resource, ns, name, Json::object(), "me").status(),
          client_.JsonPatch(resource, ns, name, Json::array(), "me").status()}) {
      EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
      EXPECT_TRUE(Contains(status.message(), field)) << status;
    }
  }
  EXPECT_TRUE(server_.asked().empty());
  EXPECT_TRUE(client_.Delete(nodes, "", "a/b?c").ok());
  EXPECT_EQ(server_.asked().back(), "DELETE /api/v1/nodes/a%2Fb%3Fc");
}

TEST_F(ClientTest, UpdatesOnlyWhatWasRead) {
  const Object unread(Json{{"metadata", {{"name", "a"}, {"namespace", "shop"}}}});
  const Status status = client_.Update(kPods, unread, "me").status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(Contains(status.message(), "metadata.resourceVersion")) << status;
  EXPECT_TRUE(server_.asked().empty());
}

TEST_F(ClientTest, AsksForWhatIsWanted) {
  struct Case {
    std::function<Status()> call;
    std::string asked;
    std::string content_type;
  };
  const Case cases[] = {
      {[&] { return client_.Get(kPods, "shop", "a").status(); },
       "GET /api/v1/namespaces/shop/pods/a", ""},
      {[&] { return client_.Create(kPods, pod_, "me").status(); },
       "POST /api/v1/namespaces/shop/pods?fieldManager=me", "application/json"},
      {[&] { return client_.Update(kPods, pod_, "me", "status").status(); },
       "PUT /api/v1/namespaces/shop/pods/a/status?fieldManager=me", "application/json"},
      {[&] { return client_.Apply(kPods, pod_, {.field_manager = "me", .force = true}).status(); },
       "PATCH /api/v1/namespaces/shop/pods/a?fieldManager=me&force=true",
       "application/apply-patch+yaml"},
      {[&] { return client_.MergePatch(kPods, "shop", "a", Json::object(), "me").status(); },
       "PATCH /api/v1/namespaces/shop/pods/a?fieldManager=me", "application/merge-patch+json"},
      {[&] {
         return client_.JsonPatch(kPods, "shop", "a", Json::array(), "me", "status").status();
       },
       "PATCH /api/v1/namespaces/shop/pods/a/status?fieldManager=me",
       "application/json-patch+json"},
      {[&] { return client_.Delete(kPods, "shop", "a"); }, "DELETE /api/v1/namespaces/shop/pods/a",
       "application/json"}};
  for (const Case& c : cases) {
    server_.Answer({.body = "{}"});
    EXPECT_TRUE(c.call().ok()) << c.asked;
    EXPECT_EQ(server_.asked().back(), c.asked);
    EXPECT_EQ(server_.last().content_type, c.content_type);
  }
}

TEST_F(ClientTest, ListsPageByPageAndSaysTheKindOfEach) {
  server_.Answer(
      {.body =
           R"({"metadata":{"resourceVersion":"7","continue":"c 1"},"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]})"});
  server_.Answer(
      {.body = R"({"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"c"}}]})"});
  auto list = client_.List(kPods, {.ns = "shop", .label_selector = "app=x,tier!=y"});
  ASSERT_TRUE(list.ok()) << list.status();
  ASSERT_EQ(list->items.size(), 3u);
  EXPECT_EQ(list->items[2].name(), "c");
  EXPECT_EQ(list->items[2].kind(), "Pod");
  EXPECT_EQ(list->items[2].api_version(), "v1");
  EXPECT_EQ(list->resource_version, "7");
  const auto asked = server_.asked();
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_EQ(asked[0],
            "GET /api/v1/namespaces/shop/pods?labelSelector=app%3Dx%2Ctier%21%3Dy&limit=2");
  EXPECT_EQ(asked[1], asked[0] + "&continue=c%201");
}

TEST_F(ClientTest, AListThatTheServerForgetsIsBegunAnewOnce) {
  const std::string first =
      R"({"metadata":{"resourceVersion":"7","continue":"c"},"items":[{"metadata":{"name":"a"}}]})";
  server_.Answer({.body = first});
  server_.Answer(
      {.status = 410, .body = R"({"kind":"Status","code":410,"reason":"Expired","message":"m"})"});
  server_.Answer({.body = R"({"metadata":{"resourceVersion":"9"},"items":null})"});
  auto list = client_.List(kPods, {});
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_TRUE(list->items.empty());
  EXPECT_EQ(list->resource_version, "9");
  server_.Otherwise(
      [](const ApiRequest&) { return FakeTransport::Scripted{.status = 410, .body = "gone"}; });
  EXPECT_EQ(client_.List(kPods, {}).status().code(), StatusCode::kOutOfRange);
}

TEST_F(ClientTest, WhoTriesAgainByItselfIsToldWhen) {
  std::optional<std::chrono::seconds> retry_after;
  server_.Answer({.status = 429, .retry_after = "5"});
  EXPECT_EQ(client_.List(kPods, {}, &retry_after).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(retry_after, std::chrono::seconds(5));
  server_.Answer({.error = UnavailableError("reset")});
  EXPECT_EQ(client_.List(kPods, {}, &retry_after).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(retry_after, std::nullopt);
  EXPECT_EQ(server_.asked().size(), 2u);
}

TEST_F(ClientTest, AListThatLeadsInACircleIsRefused) {
  const auto page = [](std::string_view next) {
    return FakeTransport::Scripted{.body =
                                       StrCat(R"({"metadata":{"resourceVersion":"7","continue":")",
                                              next, R"("},"items":[]})")};
  };
  for (const char* next : {"x", "y", "x"}) server_.Answer(page(next));
  EXPECT_EQ(client_.List(kPods, {}).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(server_.asked().size(), 3u);
  int pages = 0;
  server_.Otherwise([&](const ApiRequest&) { return page(StrCat(++pages)); });
  Client bounded(server_, SystemClock(), {.max_pages = 4});
  EXPECT_EQ(bounded.List(kPods, {}).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(pages, 4);
}

TEST_F(ClientTest, AllPagesOfAListHaveOneDeadline) {
  FakeClock clock;
  Client client(server_, clock, {.list_timeout = std::chrono::seconds(70)});
  int pages = 0;
  server_.Otherwise([&](const ApiRequest&) {
    clock.Advance(std::chrono::seconds(20));
    return FakeTransport::Scripted{
        .body = StrCat(R"({"metadata":{"continue":")", ++pages, R"("},"items":[]})")};
  });
  EXPECT_EQ(client.List(kPods, {}).status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(pages, 4);
  EXPECT_EQ(server_.last().timeout, std::chrono::seconds(10));
}

TEST_F(ClientTest, ACallEndsWithTheSignalAndTheDeadlineOfItsCaller) {
  FakeClock clock;
  Client client(server_, clock, {});
  StopSignal stop;
  const CallLimits limits{clock.SteadyNow() + std::chrono::seconds(3), &stop};
  server_.Answer({.body = "{}"});
  EXPECT_TRUE(client.Get(kPods, "shop", "a", limits).ok());
  EXPECT_EQ(server_.last().timeout, std::chrono::seconds(3));
  EXPECT_EQ(server_.last().cancelled, stop.flag());
  clock.Advance(std::chrono::seconds(3));
  EXPECT_EQ(client.Update(kPods, pod_, "me", "", limits).status().code(),
            StatusCode::kDeadlineExceeded);
  stop.Stop();
  EXPECT_EQ(client.List(kPods, {}, nullptr, limits).status().code(), StatusCode::kCancelled);
  EXPECT_EQ(server_.asked().size(), 1u);
}

TEST_F(ClientTest, AListHasABound) {
  int page = 0;
  server_.Otherwise([&](const ApiRequest&) {
    return FakeTransport::Scripted{.body =
                                       StrCat(R"({"metadata":{"resourceVersion":"7","continue":"c)",
                                              ++page, R"("},"items":[{},{}]})")};
  });
  const auto list = client_.List(kPods, {});
  EXPECT_EQ(list.status().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(Contains(list.status().message(), "narrow the selection")) << list.status();
}

TEST_F(ClientTest, WhatIsNoAnswerOfTheApiIsSaid) {
  for (const char* body : {"", "[]", "{\"items\":3}", "{\"items\":[1]}"}) {
    server_.Answer({.body = body});
    EXPECT_EQ(client_.List(kPods, {}).status().code(), StatusCode::kUnavailable) << body;
  }
  server_.Answer({.body = "<html>"});
  EXPECT_TRUE(Contains(client_.Get(kPods, "shop", "a").status().message(),
                       "get pods \"a\" in namespace \"shop\": the answer is no object"));
}

TEST_F(ClientTest, AsksAgainWhatWasRefusedWithoutHavingBeenDone) {
  server_.Answer({.status = 429, .retry_after = "0"});
  server_.Answer({.status = 503, .retry_after = "0"});
  server_.Answer({.body = "{}"});
  EXPECT_TRUE(client_.Create(kPods, pod_, "me").ok());
  EXPECT_EQ(server_.asked().size(), 3u);
  EXPECT_EQ(client_.counters().retries, 2u);
  EXPECT_EQ(client_.counters().throttled, 1u);
}

TEST_F(ClientTest, AConnectionThatFailsIsTriedAgainForWhatMayHappenTwice) {
  server_.Answer({.error = UnavailableError("reset")});
  server_.Answer({.body = "{}"});
  EXPECT_TRUE(client_.Get(kPods, "shop", "a").ok());
  server_.Answer({.error = UnavailableError("reset")});
  server_.Answer({.body = "{}"});
  EXPECT_TRUE(client_.Apply(kPods, pod_, {.field_manager = "me"}).ok());
  server_.Answer({.error = UnavailableError("reset")});
  EXPECT_EQ(client_.Create(kPods, pod_, "me").status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(server_.asked().size(), 5u);
}

TEST(BackoffTest, WhatTheServerAsksForComesOnTop) {
  Backoff backoff({10ms, 20ms}, 1);
  for (int i = 0; i < 100; ++i) {
    const Duration wait = backoff.Next(std::chrono::seconds(3));
    EXPECT_GE(wait, 3005ms);
    EXPECT_LE(wait, 3020ms);
  }
}

TEST_F(ClientTest, DoesNotWaitBeyondItsDeadline) {
  Client hasty(server_, SystemClock(), {.timeout = 50ms, .backoff = {1ms, 2ms}});
  server_.Answer({.status = 429, .retry_after = "60"});
  EXPECT_EQ(hasty.Get(kPods, "shop", "a").status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(server_.asked().size(), 1u);
  EXPECT_EQ(hasty.counters().failures, 1u);
}

TEST_F(ClientTest, RefusesAnObjectThatTheServerWouldNotTake) {
  const Object large(Json{{"metadata", {{"name", "a"}}}, {"data", std::string(4 << 20, 'x')}});
  EXPECT_EQ(client_.Create(kPods, large, "me").status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(server_.asked().empty());
}

TEST_F(ClientTest, StopsForGood) {
  client_.Stop();
  EXPECT_EQ(client_.Get(kPods, "shop", "a").status().code(), StatusCode::kCancelled);
  EXPECT_TRUE(server_.asked().empty());
}

TEST_F(ClientTest, DeletesOnlyTheOneThatIsMeant) {
  server_.Answer({.body = "{}"});
  ASSERT_TRUE(client_.Delete(kPods, "shop", "a", {.uid = "7", .propagation = "Foreground"}).ok());
  const Object body = *Object::Parse(server_.last().body);
  EXPECT_EQ(body.Text("/preconditions/uid"), "7");
  EXPECT_EQ(body.Text("/propagationPolicy"), "Foreground");
}

TEST_F(ClientTest, WatchesFromWhereItIsTold) {
  server_.Answer({.body = "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\"}}}\n"});
  std::vector<std::string> seen;
  StopSignal stop;
  bool began = false;
  const Status status = client_.Watch(
      kPods, {.selection = {.ns = "shop"}, .resource_version = "7", .began = [&] { began = true; }},
      [&](WatchEvent event) {
        seen.emplace_back(event.object.name());
        return OkStatus();
      },
      stop);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(began);
  EXPECT_EQ(seen, std::vector<std::string>{"a"});
  EXPECT_EQ(server_.asked().back(),
            "GET "
            "/api/v1/namespaces/shop/"
            "pods?watch=true&allowWatchBookmarks=true&resourceVersion=7&timeoutSeconds=300");
}

TEST_F(ClientTest, SilenceEndsAWatchThatHasBegunAndFailsOneThatHasNot) {
  StopSignal stop;
  const auto take = [](WatchEvent) { return OkStatus(); };
  server_.Answer({.body = "\n", .error = DeadlineExceededError("nothing came")});
  EXPECT_TRUE(client_.Watch(kPods, {.resource_version = "7"}, take, stop).ok());
  server_.Answer({.error = DeadlineExceededError("nothing came")});
  EXPECT_EQ(client_.Watch(kPods, {.resource_version = "7"}, take, stop).code(),
            StatusCode::kDeadlineExceeded);
  std::optional<std::chrono::seconds> retry_after;
  server_.Answer({.status = 429, .retry_after = "5"});
  EXPECT_EQ(client_.Watch(kPods, {.resource_version = "7"}, take, stop, &retry_after).code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(retry_after, std::chrono::seconds(5));
  EXPECT_EQ(client_.Watch(kPods, {}, take, stop).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace leadsman::kube
