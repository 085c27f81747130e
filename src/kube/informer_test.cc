#include "kube/informer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "kube/testing/fake_transport.h"
#include "support/eventually.h"

namespace leadsman::kube {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

const Resource kPods{"", "v1", "pods", "Pod"};

std::string Pod(std::string_view name, int version) {
  return StrCat(R"({"metadata":{"name":")", name, R"(","uid":"u-)", name,
                R"(","resourceVersion":")", version, R"(","managedFields":[{"manager":"x"}]}})");
}
std::string List(int version, std::string_view items) {
  return StrCat(R"({"metadata":{"resourceVersion":")", version, R"("},"items":[)", items, "]}");
}
std::string Event(std::string_view type, std::string_view object) {
  return StrCat(R"({"type":")", type, R"(","object":)", object, "}\n");
}
constexpr std::string_view kExpired =
    R"({"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"})";

class InformerTest : public testing::Test {
 protected:
  void Start(InformerOptions options = {}) {
    options.backoff = {1ms, 2ms};
    auto started =
        Informer::Start(client_, kPods, std::move(options), [this](const ObjectChange& change) {
          MutexLock lock(mutex_);
          changes_.push_back(StrCat(change.latest().name(), " ",
                                    change.before ? change.before->resource_version() : "-", " ",
                                    change.after ? change.after->resource_version() : "-"));
        });
    ASSERT_TRUE(started.ok()) << started.status();
    informer_ = std::move(started).value();
  }
  std::vector<std::string> changes() {
    MutexLock lock(mutex_);
    return changes_;
  }
  bool Asked(std::string_view request) {
    for (const std::string& asked : server_.asked()) {
      if (asked.find(request) != std::string::npos) return true;
    }
    return false;
  }

  FakeTransport server_;
  Client client_{
      server_, SystemClock(), {.timeout = 10ms, .max_objects = 3, .backoff = {1ms, 2ms}}};
  Mutex mutex_;
  std::vector<std::string> changes_ GUARDED_BY(mutex_);
  std::unique_ptr<Informer> informer_;
};

TEST_F(InformerTest, ListsThenWatchesFromThere) {
  server_.Answer({.body = List(5, StrCat(Pod("a", 1), ",", Pod("b", 2)))});
  server_.Answer({.body = StrCat(Event("MODIFIED", Pod("a", 6)), Event("DELETED", Pod("b", 7)),
                                 Event("ADDED", Pod("c", 8)))});
  Start();
  ASSERT_TRUE(informer_->WaitUntilSynced(20s));
  ASSERT_TRUE(Eventually([&] { return changes().size() == 5; }));
  EXPECT_EQ(changes(), (std::vector<std::string>{"a - 1", "b - 2", "a 1 6", "b 7 -", "c - 8"}));
  EXPECT_EQ(informer_->size(), 2u);
  EXPECT_EQ(informer_->Get("", "a")->resource_version(), "6");
  EXPECT_EQ(informer_->counters().events, 3u);
  EXPECT_TRUE(Asked("resourceVersion=5&"));
}

TEST_F(InformerTest, GoesOnFromTheLastEventOrBookmark) {
  server_.Answer({.body = List(5, "")});
  server_.Answer({.body = StrCat(Event("ADDED", Pod("a", 6)), Event("BOOKMARK", Pod("", 42))),
                  .error = UnavailableError("cut")});
  Start();
  EXPECT_TRUE(Eventually([&] { return Asked("resourceVersion=42&"); }));
  EXPECT_EQ(informer_->counters().lists, 1u);
}

TEST_F(InformerTest, ListsAgainWhenTheServerHasForgotten) {
  server_.Answer({.body = List(5, StrCat(Pod("a", 1), ",", Pod("b", 2)))});
  server_.Answer({.body = Event("ERROR", kExpired)});
  server_.Answer({.body = List(50, Pod("a", 1))});
  Start();
  ASSERT_TRUE(Eventually([&] { return changes().size() == 3; }));
  EXPECT_EQ(changes().back(), "b 2 -");
  EXPECT_TRUE(Eventually([&] { return Asked("resourceVersion=50&"); }));
  EXPECT_EQ(informer_->counters().expired, 1u);
}

TEST_F(InformerTest, ListsAgainWhenAWatchCannotGoOn) {
  const FakeTransport::Scripted ends[] = {
      {.body = "no event\n"},
      {.status = 400, .body = "bad resource version"},
      {.body = Event("ERROR", R"({"kind":"Status","code":500,"reason":"Expired"})")}};
  int version = 50;
  for (const FakeTransport::Scripted& end : ends) {
    server_.Answer({.body = List(5, Pod("a", 1))});
    server_.Answer(end);
    server_.Answer({.body = List(++version, "")});
    Start();
    EXPECT_TRUE(Eventually([&] { return Asked(StrCat("resourceVersion=", version, "&")); }))
        << end.body;
    EXPECT_EQ(informer_->counters().lists, 2u);
    informer_.reset();
  }
}

TEST_F(InformerTest, ListsAgainWhenWatchesBringNothing) {
  server_.Otherwise([](const ApiRequest& request) {
    const bool watch = request.target.find("watch=true") != std::string::npos;
    return FakeTransport::Scripted{.body = watch ? "\n" : List(5, "")};
  });
  Start();
  EXPECT_TRUE(Eventually([&] { return informer_->counters().lists >= 2; }));
  EXPECT_TRUE(informer_->problem().ok());
}

TEST_F(InformerTest, AListThatIsForgottenAgainAndAgainIsAProblem) {
  server_.Otherwise(
      [](const ApiRequest&) { return FakeTransport::Scripted{.status = 410, .body = "gone"}; });
  Start();
  EXPECT_TRUE(Eventually([&] { return informer_->problem().code() == StatusCode::kOutOfRange; }));
}

TEST_F(InformerTest, AWatchBringsNoMoreObjectsThanAreAllowed) {
  server_.Answer({.body = List(5, StrCat(Pod("a", 1), ",", Pod("b", 2), ",", Pod("c", 3)))});
  server_.Answer({.body = StrCat(Event("MODIFIED", Pod("a", 6)), Event("ADDED", Pod("d", 7)))});
  server_.Otherwise([](const ApiRequest&) {
    return FakeTransport::Scripted{
        .body = List(8, StrCat(Pod("a", 6), ",", Pod("b", 2), ",", Pod("c", 3), ",", Pod("d", 7)))};
  });
  Start();
  ASSERT_TRUE(
      Eventually([&] { return informer_->problem().code() == StatusCode::kResourceExhausted; }));
  ASSERT_TRUE(Eventually([&] { return informer_->counters().lists >= 2; }));
  EXPECT_EQ(informer_->size(), 3u);
  EXPECT_EQ(informer_->Get("", "a")->resource_version(), "6");
}

TEST_F(InformerTest, ALongListDoesNotHoldUpItsEnd) {
  server_.Otherwise([](const ApiRequest& request) {
    while (request.cancelled == nullptr || !*request.cancelled) std::this_thread::yield();
    return FakeTransport::Scripted{.error = CancelledError("stopped")};
  });
  Start();
  ASSERT_TRUE(Eventually([&] { return Asked("limit="); }));
  informer_.reset();
  EXPECT_EQ(server_.asked().size(), 1u);
}

TEST_F(InformerTest, KeepsWhatItHasWhileTheServerIsAway) {
  server_.Answer({.body = List(5, Pod("a", 1))});
  Start();
  ASSERT_TRUE(informer_->WaitUntilSynced(20s));
  ASSERT_TRUE(Eventually([&] { return !informer_->problem().ok(); }));
  EXPECT_EQ(informer_->problem().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(informer_->synced());
  EXPECT_EQ(informer_->size(), 1u);
  server_.Answer({.body = Event("ADDED", Pod("b", 9))});
  ASSERT_TRUE(Eventually([&] { return informer_->size() == 2; }));
}

TEST_F(InformerTest, IsNotSyncedBeforeTheFirstList) {
  Start();
  ASSERT_TRUE(Eventually([&] { return informer_->counters().failures > 1; }));
  EXPECT_FALSE(informer_->synced());
  EXPECT_FALSE(informer_->WaitUntilSynced(1ms));
  server_.Answer({.body = List(5, "")});
  EXPECT_TRUE(informer_->WaitUntilSynced(20s));
}

TEST_F(InformerTest, KeepsNoManagedFieldsUnlessAsked) {
  server_.Answer({.body = List(5, Pod("a", 1))});
  Start();
  ASSERT_TRUE(informer_->WaitUntilSynced(20s));
  EXPECT_EQ(informer_->Get("", "a")->Find("/metadata/managedFields"), nullptr);
  informer_.reset();
  server_.Answer({.body = List(5, Pod("a", 1))});
  Start({.managed_fields = true});
  ASSERT_TRUE(informer_->WaitUntilSynced(20s));
  EXPECT_NE(informer_->Get("", "a")->Find("/metadata/managedFields"), nullptr);
}

TEST_F(InformerTest, ResyncTellsOfEachAgainWithoutAList) {
  server_.Answer({.body = List(5, Pod("a", 1))});
  server_.Otherwise([](const ApiRequest&) {
    return FakeTransport::Scripted{.body = Event("BOOKMARK", Pod("", 6))};
  });
  Start({.resync = 1ms});
  ASSERT_TRUE(Eventually([&] { return changes().size() >= 3; }));
  EXPECT_EQ(changes()[1], "a 1 1");
  EXPECT_EQ(informer_->counters().lists, 1u);
}

}  // namespace
}  // namespace leadsman::kube
