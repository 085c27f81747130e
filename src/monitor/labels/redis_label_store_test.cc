#include "monitor/labels/redis_label_store.h"

#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "monitor/label_join.h"
#include "monitor/labels/testing/redis_process.h"
#include "net/testing/certificates.h"
#include "support/eventually.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;
using Kind = LabelStore::Answer::Kind;

KeptPrediction Prediction(const std::string& id, const std::string& predicted = "7") {
  KeptPrediction p;
  p.request_id = id;
  p.model = "digits";
  p.version = 1;
  p.predicted = predicted;
  p.at_ms = 1'700'000'000'000;
  p.expires_ms = p.at_ms + 3'600'000;
  return p;
}

class RedisLabelStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!RedisProcess::Installed()) GTEST_SKIP() << "redis-tools is not installed";
    redis_ = std::make_unique<RedisProcess>();
  }
  std::unique_ptr<RedisLabelStore> Open(const RedisOptions& options, bool ready = true) {
    auto store = RedisLabelStore::Create(options, clock_);
    CHECK(store.ok());
    if (ready) {
      EXPECT_TRUE(Eventually([&] { return (*store)->ready(); })) << (*store)->state().why;
    }
    return std::move(*store);
  }
  std::unique_ptr<RedisLabelStore> Open() { return Open(redis_->options()); }
  /// What it says of a Redis that it cannot use.
  Status WhyNot(const RedisOptions& options) {
    auto store = Open(options, false);
    store->Keep(Prediction("r"));
    EXPECT_TRUE(Eventually([&] { return !store->state().why.ok(); }));
    EXPECT_FALSE(store->ready());
    return store->state().why;
  }
  LabelStore::Answer Next(LabelStore& store) {
    std::vector<LabelStore::Answer> answers;
    EXPECT_TRUE(Eventually([&] {
      answers = store.Take();
      return !answers.empty();
    }));
    EXPECT_EQ(answers.size(), 1u);
    return answers.empty() ? LabelStore::Answer() : std::move(answers[0]);
  }
  LabelStore::Answer Find(LabelStore& store, const std::string& id) {
    store.Find(1, id, 0);
    return Next(store);
  }
  LabelStore::Answer Claim(LabelStore& store, const std::string& id, const std::string& label) {
    store.Claim(++ticket_, Prediction(id), label, clock_.Now());
    return Next(store);
  }

  FakeClock clock_;
  std::unique_ptr<RedisProcess> redis_;
  uint64_t ticket_ = 0;
};

TEST_F(RedisLabelStoreTest, OfTwoProcessesOneCountsALabel) {
  auto a = Open();
  auto b = Open();
  a->Keep(Prediction("r"));
  ASSERT_TRUE(a->Settle(20s));
  EXPECT_EQ(Find(*b, "r").kind, Kind::kFound);
  EXPECT_EQ(Claim(*b, "r", "7").kind, Kind::kClaimed);
  const LabelStore::Answer second = Claim(*a, "r", "8");
  EXPECT_EQ(second.kind, Kind::kTaken);
  EXPECT_EQ(second.label, "7");
  const LabelStore::Answer third = Find(*a, "r");
  EXPECT_EQ(third.kind, Kind::kTaken);
  EXPECT_EQ(third.label, "7");
  EXPECT_EQ(redis_->Ask({"EXISTS", "leadsman:p:0:r"}).integer, 0) << "the prediction is gone";
  const int64_t left = redis_->Ask({"PTTL", "leadsman:l:0:r"}).integer;
  EXPECT_GT(left, 0);
  EXPECT_LE(left, 70 * 60'000) << "label_timeout and ten minutes";
}

TEST_F(RedisLabelStoreTest, ALabelThatComesToAnotherProcessTooSoonIsLookedUpAgain) {
  auto a = Open();
  auto b = Open();
  LabelJoin join({}, *b);
  auto resolve = [&] { return join.Resolve(clock_.Now(), clock_.SteadyNow()); };
  join.AddLabel({"r", 0, "8", 0}, clock_.Now(), clock_.SteadyNow());
  ASSERT_TRUE(Eventually(resolve));
  EXPECT_EQ(join.waiting(), 1u);
  a->Keep(Prediction("r"));
  ASSERT_TRUE(a->Settle(20s));
  clock_.Advance(LabelJoin::kLookAgain);
  ASSERT_TRUE(Eventually([&] { return resolve() && join.counters().joined == 1; }));
  EXPECT_EQ(join.waiting(), 0u);
  EXPECT_TRUE(join.TakeJoined().at(0).wrong);
}

TEST_F(RedisLabelStoreTest, AClaimThatIsRepeatedFindsItself) {
  // As when the connection ends between Redis' doing and its saying so.
  const RedisOptions options = redis_->options();
  const RedisLabelTaskCodec codec(options, "me"), other(options, "you");
  std::atomic<bool> never{false};
  auto connection = RedisConnection::Open(options, nullptr, never);
  ASSERT_TRUE(connection.ok()) << connection.status();
  RedisLabelTask task{RedisLabelTask::Kind::kClaim, 7, Prediction("r"), "8"};
  auto run = [&](const RedisLabelTaskCodec& as) {
    std::vector<RedisConnection::Command> commands;
    as.AddCommands(task, clock_.Now(), commands);
    auto replies = (*connection)->Ask(commands);
    CHECK(replies.ok());
    return as.Read(task, *replies).answer->kind;
  };
  EXPECT_EQ(run(codec), Kind::kClaimed);
  EXPECT_EQ(run(codec), Kind::kClaimed);
  EXPECT_EQ(run(other), Kind::kTaken);
  task.ticket = 8;
  EXPECT_EQ(run(codec), Kind::kTaken) << "another label of the same process";
}

TEST_F(RedisLabelStoreTest, WhatCameWhileItWasAwayIsDoneWhenItIsBack) {
  auto store = Open();
  redis_->Kill();
  ASSERT_TRUE(Eventually([&] {
    store->Keep(Prediction("r"));
    return !store->ready();
  }));
  EXPECT_FALSE(store->Settle(20s)) << "does not wait for what is away";
  store->Claim(1, Prediction("s"), "7", clock_.Now());
  EXPECT_GT(store->counters().queued, 0u);
  EXPECT_EQ(store->state().why.code(), StatusCode::kUnavailable);
  redis_->Start();
  EXPECT_EQ(Next(*store).kind, Kind::kClaimed);
  ASSERT_TRUE(Eventually([&] { return store->ready() && store->Settle(20s); }));
  EXPECT_EQ(Find(*store, "r").kind, Kind::kFound);
  EXPECT_EQ(store->counters().predictions_lost, 0u);
}

TEST_F(RedisLabelStoreTest, WhatDoesNotFitWhileItIsAwayIsCounted) {
  RedisOptions options;
  options.address = "127.0.0.1:9";
  auto store = Open(options, false);
  for (size_t i = 0; i < RedisLabelStore::kMostKept + 5; ++i)
    store->Keep(Prediction(std::to_string(i)));
  EXPECT_LE(store->counters().queued, RedisLabelStore::kMostKept);
  EXPECT_GE(store->counters().predictions_lost, 5u);
}

TEST_F(RedisLabelStoreTest, SaysWhatIsWrongAndWhatHelps) {
  TempDir dir;
  auto expect = [&](const RedisOptions& options, StatusCode code, const char* words) {
    const Status why = WhyNot(options);
    EXPECT_EQ(why.code(), code) << why;
    EXPECT_NE(why.message().find(words), std::string_view::npos) << why;
  };
  RedisOptions options = redis_->options();
  options.address = "127.0.0.1:9";
  expect(options, StatusCode::kUnavailable, "cannot connect");

  redis_->Ask({"CONFIG", "SET", "maxmemory", "1"});
  expect(redis_->options(), StatusCode::kResourceExhausted, "maxmemory");
  redis_->Ask({"CONFIG", "SET", "maxmemory", "0"});

  redis_->Ask({"REPLICAOF", "127.0.0.1", "9"});
  expect(redis_->options(), StatusCode::kFailedPrecondition, "primary");
  redis_->Ask({"REPLICAOF", "NO", "ONE"});

  redis_->Ask({"ACL", "SETUSER", "poor", "on", ">hush", "~*", "+ping"});
  options = redis_->options();
  options.user = "poor";
  options.password_file = dir.Write("password", "hush\n");
  expect(options, StatusCode::kPermissionDenied, "+set");
  options.password_file = dir.Write("wrong", "hash");
  expect(options, StatusCode::kUnauthenticated, "password_file");

  redis_->Ask({"ACL", "SETUSER", "default", ">hush"});
  expect(redis_->options(), StatusCode::kUnauthenticated, "password_file");
}

TEST_F(RedisLabelStoreTest, AWriteThatIsRefusedForAWhileIsDoneLater) {
  auto store = Open();
  redis_->Ask({"CONFIG", "SET", "maxmemory", "1"});
  store->Keep(Prediction("r"));
  ASSERT_TRUE(Eventually([&] { return !store->ready(); }));
  redis_->Ask({"CONFIG", "SET", "maxmemory", "0"});
  ASSERT_TRUE(Eventually([&] { return store->ready(); }));
  EXPECT_EQ(Find(*store, "r").kind, Kind::kFound);
}

TEST_F(RedisLabelStoreTest, WhatIsNotOursUnderOurKeysIsLeftAlone) {
  auto store = Open();
  redis_->Ask({"LPUSH", "leadsman:p:0:list", "x"});
  redis_->Ask({"SET", "leadsman:p:0:text", "x"});
  redis_->Ask({"LPUSH", "leadsman:l:0:label", "x"});
  EXPECT_EQ(Find(*store, "list").kind, Kind::kFailed);
  EXPECT_EQ(Find(*store, "text").kind, Kind::kFailed);
  EXPECT_EQ(Claim(*store, "label", "7").kind, Kind::kFailed);
  EXPECT_TRUE(store->ready());
  EXPECT_EQ(store->counters().errors, 3u);
  EXPECT_EQ(redis_->Ask({"TYPE", "leadsman:l:0:label"}).text, "list");
}

TEST_F(RedisLabelStoreTest, HasADatabaseAndAPrefixOfItsOwn) {
  RedisOptions options = redis_->options();
  options.database = 3;
  options.key_prefix = "shop:";
  auto store = Open(options);
  store->Keep(Prediction("r"));
  ASSERT_TRUE(store->Settle(20s));
  EXPECT_EQ(Find(*Open(), "r").kind, Kind::kNone);
  EXPECT_EQ(Find(*Open(options), "r").kind, Kind::kFound);
}

TEST_F(RedisLabelStoreTest, OneThatHangsHoldsNobodyUp) {
  const int silent = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(a);
  ASSERT_EQ(bind(silent, reinterpret_cast<sockaddr*>(&a), size), 0);
  ASSERT_EQ(listen(silent, 8), 0);
  getsockname(silent, reinterpret_cast<sockaddr*>(&a), &size);
  RedisOptions options;
  options.address = StrCat("127.0.0.1:", ntohs(a.sin_port));
  options.timeout = 50ms;
  EXPECT_EQ(WhyNot(options).code(), StatusCode::kDeadlineExceeded);
  options.timeout = 1min;  // and its end does not wait for that
  Open(options, false)->Keep(Prediction("r"));
  close(silent);
}

TEST_F(RedisLabelStoreTest, SpeaksTlsToWhomItTrusts) {
  TempDir dir;
  const net::TestAuthority authority, stranger("Another authority");
  const net::TestCertificate issued = authority.Issue();
  redis_ = std::make_unique<RedisProcess>(std::vector<std::string>{
      "--port", "0", "--tls-port", "PORT", "--tls-cert-file", dir.Write("cert", issued.certificate),
      "--tls-key-file", dir.Write("key", issued.key), "--tls-auth-clients", "no"});
  RedisOptions options = redis_->options();
  options.tls.emplace().ca_file = dir.Write("ca", authority.pem());
  auto store = Open(options);
  store->Keep(Prediction("r"));
  ASSERT_TRUE(store->Settle(20s));
  EXPECT_EQ(Find(*store, "r").kind, Kind::kFound);
  options.tls->ca_file = dir.Write("stranger", stranger.pem());
  EXPECT_EQ(WhyNot(options).code(), StatusCode::kFailedPrecondition);
  EXPECT_FALSE(WhyNot(redis_->options()).ok()) << "without TLS";
}

TEST(RedisConnectionTest, WhatIsNoRedisIsToldSo) {
  const RedisOptions options;
  EXPECT_EQ(StatusOfRedis("MOVED 1 host:1", options).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(StatusOfRedis("LOADING it", options).code(), StatusCode::kUnavailable);
  EXPECT_EQ(StatusOfRedis("WRONGTYPE it", options).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(StatusOfRedis("ERR unknown", options).code(), StatusCode::kInvalidArgument);
}

TEST(RedisOptionsTest, ErrorsNameTheFieldAndTheForm) {
  auto problems = [](const std::string& yaml) {
    std::vector<ConfigProblem> found;
    RedisOptions read;
    schema::ReadYaml(yaml, RedisOptionsSchema(), read, found);
    return FormatProblems("f", found);
  };
  EXPECT_EQ(problems("{address: 'redis:6379', tls: {}, user: u, password_file: p}"), "");
  EXPECT_EQ(problems("address: '[::1]:6379'"), "");
  for (const char* address : {"redis", "redis://redis:6379", "redis:6379/0", "redis:", "[::1]", ""})
    EXPECT_NE(problems(StrCat("address: '", address, "'")).find("host:port"), std::string::npos)
        << address;
  EXPECT_NE(problems("{address: 'r:1', key_prefix: 'a b'}").find("key_prefix"), std::string::npos);
  EXPECT_NE(problems("{address: 'r:1', user: u}").find("password_file"), std::string::npos);
}

}  // namespace
}  // namespace leadsman
