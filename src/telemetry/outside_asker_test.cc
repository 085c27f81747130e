#include "telemetry/outside_asker.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>
#include <thread>

#include "base/check.h"
#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "net/http_server.h"
#include "support/eventually.h"
#include "telemetry/outside_answers.h"
#include "telemetry/webhook_sender.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;
using Kind = OutsideReading::Kind;

struct AnswerCase {
  const char* body;
  Kind kind;
  double value;
  const char* reason;  ///< a part of it
};

TEST(OutsideAnswersTest, OfAPrometheus) {
  // Bodies as Prometheus 2.42 writes them.
  const AnswerCase cases[] = {
      {R"({"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},)"
       R"("value":[1700000000.123,"0.25"]}]}})",
       Kind::kValue, 0.25, ""},
      {R"({"status":"success","data":{"resultType":"scalar","result":[1700000000.1,"3"]}})",
       Kind::kValue, 3, ""},
      {R"({"status":"success","data":{"resultType":"scalar","result":[1,"+Inf"]}})", Kind::kValue,
       HUGE_VAL, ""},
      {R"({"status":"success","data":{"resultType":"vector","result":[]}})", Kind::kNoData, 0,
       "no series"},
      {R"({"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]}})", Kind::kNoData,
       0, "not a number"},
      {R"({"status":"success","data":{"resultType":"vector","result":[{"value":[1,"1"]},)"
       R"({"value":[1,"2"]}]}})",
       Kind::kNoAnswer, 0, "2 series and must give one"},
      {R"({"status":"success","data":{"resultType":"vector","result":[{"histogram":[1,{}]}]}})",
       Kind::kNoAnswer, 0, "histogram_quantile"},
      {R"({"status":"success","data":{"resultType":"matrix","result":[]}})", Kind::kNoAnswer, 0,
       "gives a matrix"},
      {R"({"status":"error","errorType":"bad_data","error":"1:1: parse error"})", Kind::kNoAnswer,
       0, "1:1: parse error"},
      {"<html>", Kind::kNoAnswer, 0, "not JSON"},
      {"", Kind::kNoAnswer, 0, "not JSON"},
      {R"({"status":"success","data":[]})", Kind::kNoAnswer, 0, "no result"},
      {R"({"status":"success","data":{"resultType":"scalar","result":[1,"x"]}})", Kind::kNoAnswer,
       0, "no number"},
  };
  for (const AnswerCase& one : cases) {
    SCOPED_TRACE(one.body);
    const OutsideReading reading = ReadPromqlAnswer(one.body);
    EXPECT_EQ(reading.kind, one.kind);
    EXPECT_EQ(reading.value, one.value);
    EXPECT_NE(reading.reason.find(one.reason), std::string::npos) << reading.reason;
  }
}

TEST(OutsideAnswersTest, OfAWebhook) {
  const AnswerCase cases[] = {
      {R"({"verdict": "pass"})", Kind::kPass, 0, ""},
      {R"({"verdict": "fail", "reason": "12 of 40 tests"})", Kind::kFail, 0, "12 of 40 tests"},
      {R"({"verdict": "hold", "more": 1})", Kind::kHold, 0, ""},
      {R"({"verdict": "PASS"})", Kind::kNoAnswer, 0, "not \"PASS\""},
      {R"({"verdict": true})", Kind::kNoAnswer, 0, "not absent"},
      {"[]", Kind::kNoAnswer, 0, "its body must be JSON"},
      {"ok", Kind::kNoAnswer, 0, "its body must be JSON"},
  };
  for (const AnswerCase& one : cases) {
    SCOPED_TRACE(one.body);
    const OutsideReading reading = ReadWebhookAnswer(one.body);
    EXPECT_EQ(reading.kind, one.kind);
    EXPECT_NE(reading.reason.find(one.reason), std::string::npos) << reading.reason;
  }
}

/// A peer whose answers the test decides.
class OutsideAskerTest : public testing::Test {
 protected:
  struct Got {
    std::string method, path, body, type, authorization, signature;
  };
  OutsideAskerTest() {
    auto server = net::HttpServer::Start({.name = "peer"}, [this](net::HttpExchange& e) {
      MutexLock lock(mutex_);
      got_.push_back({std::string(e.request().method), std::string(e.request().path),
                      std::string(e.request().body),
                      std::string(e.request().Header("content-type")),
                      std::string(e.request().Header("authorization")),
                      std::string(e.request().Header("x-leadsman-signature"))});
      e.response().status = status_;
      e.response().body += body_;
    });
    CHECK(server.ok());
    server_ = std::move(*server);
  }
  ~OutsideAskerTest() override { server_->Shutdown(0ms); }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_->port()); }
  void Answer(int status, std::string body) {
    MutexLock lock(mutex_);
    status_ = status;
    body_ = std::move(body);
  }
  std::vector<Got> got() {
    MutexLock lock(mutex_);
    return got_;
  }
  static OutsideQuestion Query(const std::string& address, int64_t rollout = 1, size_t gate = 0) {
    OutsideQuestion question;
    question.rollout = rollout;
    question.gate = gate;
    question.step = 2;
    question.about.kind = RolloutGate::Kind::kPromql;
    question.about.outside.address = address;
    question.about.outside.timeout = 5s;
    question.text = "up{v=\"2\"} + 1";
    return question;
  }
  static OutsideQuestion Post(const std::string& url) {
    OutsideQuestion question = Query("");
    question.about.kind = RolloutGate::Kind::kWebhook;
    question.about.outside.url = url;
    question.text = "{\"model\":\"digits\"}";
    return question;
  }
  /// The asker has threads of its own: bounded.
  static std::vector<OutsideReading> Await(OutsideAsker& asker, size_t count = 1,
                                           int64_t rollout = 1) {
    std::vector<OutsideReading> all;
    Eventually([&] {
      for (OutsideReading& reading : asker.Take(rollout)) all.push_back(std::move(reading));
      return all.size() >= count;
    });
    EXPECT_EQ(all.size(), count);
    all.resize(count);
    return all;
  }

  TempDir dir_;
  FakeClock clock_;
  Mutex mutex_;
  std::vector<Got> got_ GUARDED_BY(mutex_);
  int status_ GUARDED_BY(mutex_) = 200;
  std::string body_ GUARDED_BY(mutex_);
  std::unique_ptr<net::HttpServer> server_;
};

/// Takes connections and never answers.
class Silent {
 public:
  Silent() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    CHECK(::listen(socket_, 64) == 0);
    socklen_t size = sizeof address;
    CHECK(::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
  }
  ~Silent() { ::close(socket_); }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  int socket_;
  int port_ = 0;
};

TEST_F(OutsideAskerTest, AQueryIsPostedAndItsNumberRead) {
  Answer(200, R"({"status":"success","data":{"resultType":"scalar","result":[1,"0.5"]}})");
  std::ofstream(dir_.file("token")) << "s3cret\n";
  OutsideAsker asker(clock_);
  OutsideQuestion question = Query(url() + "/prometheus/");
  question.about.outside.token_file = dir_.file("token");
  asker.Ask(question);
  const OutsideReading reading = Await(asker)[0];
  EXPECT_EQ(reading.kind, Kind::kValue) << reading.reason;
  EXPECT_EQ(reading.value, 0.5);
  EXPECT_EQ(reading.step, 2);
  ASSERT_EQ(got().size(), 1u);
  EXPECT_EQ(got()[0].method, "POST");
  EXPECT_EQ(got()[0].path, "/prometheus/api/v1/query");
  EXPECT_EQ(got()[0].body, "query=up%7Bv%3D%222%22%7D%20%2B%201");
  EXPECT_EQ(got()[0].type, "application/x-www-form-urlencoded");
  EXPECT_EQ(got()[0].authorization, "Bearer s3cret");
}

TEST_F(OutsideAskerTest, AWebhookIsToldAndItsVerdictRead) {
  Answer(200, R"({"verdict": "fail", "reason": "12 of 40 tests"})");
  OutsideAsker asker(clock_);
  asker.Ask(Post(url() + "/gate"));
  const OutsideReading reading = Await(asker)[0];
  EXPECT_EQ(reading.kind, Kind::kFail);
  EXPECT_EQ(reading.reason, "12 of 40 tests");
  EXPECT_EQ(got()[0].path, "/gate");
  EXPECT_EQ(got()[0].body, "{\"model\":\"digits\"}");
  EXPECT_EQ(got()[0].type, "application/json");
}

TEST_F(OutsideAskerTest, AnApprovalIsAskedForWithASignature) {
  OutsideQuestion question;
  question.rollout = 1;
  question.gate = kApprovalQuestion;
  question.step = 1;
  question.text = R"({"event":"approval.wanted"})";
  question.approval.emplace();
  question.approval->url = url() + "/approve";
  question.approval->timeout = 5s;
  question.approval->secret_file = dir_.file("secret");
  OutsideAsker asker(clock_);
  auto ask = [&] {
    asker.Ask(question);
    return Await(asker)[0];
  };
  EXPECT_NE(ask().reason.find("secret_file"), std::string::npos) << "nothing is sent without it";
  EXPECT_TRUE(got().empty());
  std::ofstream(dir_.file("secret")) << "key\n";
  Answer(200, R"({"approved": true, "reason": "ticket 7"})");
  const OutsideReading approved = ask();
  EXPECT_EQ(approved.kind, Kind::kPass);
  EXPECT_EQ(approved.reason, "ticket 7");
  EXPECT_EQ(approved.gate, kApprovalQuestion);
  EXPECT_EQ(approved.step, 1);
  EXPECT_EQ(got().at(0).path, "/approve");
  EXPECT_EQ(got().at(0).signature,
            WebhookSignature("key", UnixMillis(clock_.Now()) / 1000, question.text));
  Answer(200, R"({"approved": false, "reason": "a freeze"})");
  EXPECT_EQ(ask().kind, Kind::kFail);
  Answer(200, R"({"approved": null})");
  EXPECT_EQ(ask().kind, Kind::kHold);
  for (const char* wrong : {"{}", "[]", "", R"({"approved": "yes"})"}) {
    Answer(200, wrong);
    EXPECT_EQ(ask().kind, Kind::kNoAnswer) << wrong;
  }
  Answer(503, R"({"approved": true})");
  EXPECT_EQ(ask().kind, Kind::kNoAnswer);
}

TEST_F(OutsideAskerTest, WhatGoesWrongIsNoAnswerWithAReason) {
  OutsideAsker asker(clock_);
  Answer(503, "overloaded");
  asker.Ask(Post(url()));
  EXPECT_NE(Await(asker)[0].reason.find("answers 503: overloaded"), std::string::npos);
  Answer(200, std::string(1 << 20, 'x'));
  asker.Ask(Post(url()));
  EXPECT_EQ(Await(asker)[0].kind, Kind::kNoAnswer) << "larger than anything that is kept";
  OutsideQuestion question = Query(url());
  question.about.outside.token_file = dir_.file("absent");
  asker.Ask(question);
  EXPECT_NE(Await(asker)[0].reason.find("token_file"), std::string::npos);
  asker.Ask(Query("http://127.0.0.1:1"));
  EXPECT_NE(Await(asker)[0].reason.find("127.0.0.1 port 1"), std::string::npos);
  asker.Ask(Query("ftp://nowhere"));
  EXPECT_NE(Await(asker)[0].reason.find("url"), std::string::npos);
}

TEST_F(OutsideAskerTest, APeerThatHangsHoldsNobodyElseUp) {
  Silent silent;
  Answer(200, R"({"verdict": "pass"})");
  OutsideAsker asker(clock_);
  OutsideQuestion hangs = Query(silent.url(), 1, 0);
  hangs.about.outside.timeout = 60s;
  asker.Ask(hangs);
  asker.Ask(hangs);  // under way: dropped
  OutsideQuestion other = Post(url());
  other.gate = 1;
  asker.Ask(other);
  EXPECT_EQ(Await(asker)[0].gate, 1u);
  // Its rollout has ended: nobody waits for it, and neither does the end of the asker.
  asker.Forget(1);
  EXPECT_TRUE(asker.Take(1).empty());
}

TEST_F(OutsideAskerTest, ADeadlineEndsWhatHangs) {
  Silent silent;
  OutsideAsker asker(clock_);
  OutsideQuestion hangs = Query(silent.url());
  hangs.about.outside.timeout = 50ms;
  asker.Ask(hangs);
  const OutsideReading reading = Await(asker)[0];
  EXPECT_EQ(reading.kind, Kind::kNoAnswer);
  EXPECT_FALSE(reading.reason.empty());
}

TEST_F(OutsideAskerTest, MoreQuestionsThanThreadsAreAllAnswered) {
  Answer(200, R"({"verdict": "pass"})");
  OutsideAsker asker(clock_);
  const size_t many = 5 * OutsideAsker::kThreads;
  for (size_t i = 0; i < many; ++i) {
    OutsideQuestion question = Post(url());
    question.gate = i;
    asker.Ask(question);
  }
  for (const OutsideReading& reading : Await(asker, many)) EXPECT_EQ(reading.kind, Kind::kPass);
  EXPECT_EQ(got().size(), many);
}

}  // namespace
}  // namespace leadsman
