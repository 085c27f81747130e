#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <fstream>
#include <functional>
#include <thread>

#include <nlohmann/json.hpp>

#include "base/testing/temp_dir.h"
#include "net/http_server.h"
#include "telemetry/alertmanager_alerts.h"
#include "telemetry/alertmanager_sender.h"
#include "telemetry/webhook_sender.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;

Alarm Burning(int64_t id = 1) {
  Alarm alarm;
  alarm.id = id;
  alarm.state = AlarmState::kFiring;
  alarm.firings = 1;
  alarm.fired = FromUnixMillis(1'700'000'000'000);
  alarm.finding.subject = {AlarmKind::kErrorBurn, "digits", 3, ""};
  alarm.finding.severity = AlarmSeverity::kPage;
  alarm.finding.summary = "it burns";
  alarm.finding.evidence = 20;
  alarm.finding.threshold = 14.4;
  alarm.finding.details = {{"objective", "99 %"}, {"x", "y"}};
  return alarm;
}

TEST(AlertmanagerAlertsTest, SayWhatFiresAndForAWhileWhatHasEnded) {
  AlertmanagerAlerts alerts("http://l/api/v1/alarms/", 4min);
  const WallTime wall = FromUnixMillis(1'700'000'060'000);
  const SteadyTime now{1h};
  EXPECT_FALSE(alerts.Update({}, wall, now));
  EXPECT_TRUE(alerts.empty());
  EXPECT_TRUE(alerts.Update({Burning()}, wall, now));
  EXPECT_FALSE(alerts.Update({Burning()}, wall, now)) << "nothing new";
  Json alert = Json::parse(alerts.Body(wall)).at(0);
  EXPECT_EQ(alert["labels"], Json({{"alertname", "ErrorBurn"},
                                   {"severity", "page"},
                                   {"model", "digits"},
                                   {"version", "3"}}));
  EXPECT_EQ(alert["startsAt"], "2023-11-14T22:13:20.000Z");
  EXPECT_EQ(alert["endsAt"], "2023-11-14T22:18:20.000Z") << "in four minutes";
  EXPECT_EQ(alert["generatorURL"], "http://l/api/v1/alarms/1");
  EXPECT_EQ(alert["annotations"]["details"], "objective: 99 %\nx: y");
  alerts.Delivered();
  EXPECT_TRUE(alerts.Update({}, wall, now));
  EXPECT_EQ(Json::parse(alerts.Body(wall + 1min)).at(0)["endsAt"], "2023-11-14T22:14:20.000Z");
  alerts.Update({}, wall, now + 16min);
  EXPECT_TRUE(alerts.empty());
  EXPECT_EQ(alerts.missed(), 1u) << "its end was never delivered";
}

TEST(AlertmanagerAlertsTest, AMoreSevereAlertEndsTheOneBefore) {
  AlertmanagerAlerts alerts("", 4min);
  Alarm alarm = Burning();
  alarm.finding.severity = AlarmSeverity::kTicket;
  alerts.Update({alarm}, FromUnixMillis(0), SteadyTime{1h});
  EXPECT_TRUE(alerts.Update({Burning()}, FromUnixMillis(0), SteadyTime{1h}));
  EXPECT_EQ(Json::parse(alerts.Body(FromUnixMillis(0))).size(), 2u);
}

// openssl: printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
TEST(WebhookSignatureTest, IsHmacSha256OfTimeAndBody) {
  EXPECT_EQ(WebhookSignature("secret", 1'700'000'000, "{}"),
            "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163");
}

/// A receiver whose answers the test decides.
class AlarmSenderTest : public testing::Test {
 protected:
  struct Got {
    std::string path, body, authorization, signature, delivery;
  };
  AlarmSenderTest() {
    auto server = net::HttpServer::Start({.name = "receiver"}, [this](net::HttpExchange& e) {
      MutexLock lock(mutex_);
      got_.push_back({std::string(e.request().path), std::string(e.request().body),
                      std::string(e.request().Header("authorization")),
                      std::string(e.request().Header("x-leadsman-signature")),
                      std::string(e.request().Header("x-leadsman-delivery"))});
      e.response().status = status_;
    });
    CHECK(server.ok());
    server_ = std::move(*server);
  }
  ~AlarmSenderTest() override { server_->Shutdown(0ms); }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_->port()); }
  std::string File(const std::string& name, const std::string& content) {
    const std::string path = (dir_.path() / name).string();
    std::ofstream(path) << content;
    return path;
  }
  std::vector<Got> got() {
    MutexLock lock(mutex_);
    return got_;
  }
  void Answer(int status) {
    MutexLock lock(mutex_);
    status_ = status;
  }
  /// The sender has a thread of its own: bounded at ten seconds.
  static bool Await(const std::function<bool()>& done) {
    for (int i = 0; i < 2000 && !done(); ++i) std::this_thread::sleep_for(5ms);
    return done();
  }
  /// Owes it to all receivers, and tells this one.
  void Fire(AlarmSender& sender, const Alarm& alarm) {
    const AlarmTransition fired{alarm, AlarmState::kPending, AlarmState::kFiring, true};
    outbox_.Add({MakeNotice(fired, FromUnixMillis(1'700'000'000'000))});
    sender.Tell({alarm});
  }

  TempDir dir_;
  std::unique_ptr<AlarmStore> store_ = std::move(AlarmStore::Open("")).value();
  AlarmOutbox outbox_{*store_, SystemClock(), {}};
  AlarmOutbox::Box& box_ = outbox_.Open("webhook", 2);
  Mutex mutex_;
  std::vector<Got> got_ GUARDED_BY(mutex_);
  int status_ GUARDED_BY(mutex_) = 200;
  std::unique_ptr<net::HttpServer> server_;
};

TEST_F(AlarmSenderTest, AlertmanagerIsToldAgainAndAgain) {
  AlertmanagerOptions options;
  options.target.url = url() + "/am/";
  options.target.username = "leadsman";
  options.target.password_file = File("password", "s3cret\n");
  options.resend_interval = 100ms;
  auto sender = AlertmanagerSender::Create("alertmanagers[0]", options, "", SystemClock());
  ASSERT_TRUE(sender.ok()) << sender.status();
  (*sender)->Tell({});
  (*sender)->Tell({Burning()});
  ASSERT_TRUE(Await([&] { return got().size() >= 3; }));
  EXPECT_EQ(got()[0].path, "/am/api/v2/alerts");
  EXPECT_EQ(got()[0].authorization, "Basic bGVhZHNtYW46czNjcmV0");
  EXPECT_EQ(Json::parse(got()[0].body).at(0)["labels"]["alertname"], "ErrorBurn");
  EXPECT_GE((*sender)->counters().sent, 2u);
  EXPECT_EQ((*sender)->counters().failed, 0u);
}

TEST_F(AlarmSenderTest, WrongCredentialsAreCountedAndTriedAgain) {
  Answer(401);
  AlertmanagerOptions options;
  options.target.url = url();
  options.resend_interval = 50ms;
  auto sender = AlertmanagerSender::Create("alertmanagers[0]", options, "", SystemClock());
  ASSERT_TRUE(sender.ok()) << sender.status();
  (*sender)->Tell({Burning()});
  ASSERT_TRUE(Await([&] { return (*sender)->counters().failed >= 2; }));
  EXPECT_EQ((*sender)->counters().sent, 0u);
  Answer(200);
  EXPECT_TRUE(Await([&] { return (*sender)->counters().sent >= 1; }));
}

TEST_F(AlarmSenderTest, WebhookMessagesAreSignedAndRepeatedInOrder) {
  Answer(503);
  WebhookOptions options;
  options.target.url = url() + "/hook";
  options.secret_file = File("secret", "key\n");
  options.longest_backoff = 20ms;
  auto sender = WebhookSender::Create("webhooks[0]", options, "http://l", box_, SystemClock());
  ASSERT_TRUE(sender.ok()) << sender.status();
  Fire(**sender, Burning(1));
  Fire(**sender, Burning(2));
  ASSERT_TRUE(Await([&] { return (*sender)->counters().failed >= 3; }));
  Answer(204);
  ASSERT_TRUE(Await([&] { return (*sender)->counters().sent == 2; }));
  const std::vector<Got> all = got();
  const Got& first = all[all.size() - 2];
  EXPECT_EQ(first.delivery, "1-1-firing-page");
  EXPECT_EQ(all[0].delivery, first.delivery) << "the same when it is repeated";
  EXPECT_EQ(all.back().delivery, "2-1-firing-page");
  EXPECT_EQ((*sender)->counters().waiting, 0u);
  Json body = Json::parse(first.body);
  EXPECT_EQ(body["event"], "alarm.firing");
  EXPECT_EQ(body["instance"], "http://l");
  EXPECT_EQ(body["alarm"]["summary"], "it burns");
  const int64_t time = std::stoll(first.signature.substr(2));
  EXPECT_EQ(first.signature, WebhookSignature("key", time, first.body));
}

AlarmNotice Promoted() {
  News news;
  news.event = "rollout.rolled_back";
  news.headline = "ROLLED BACK: rollout 3 of digits, version 1 to 2";
  news.summary = "rolled back: errors";
  news.severity = AlarmSeverity::kTicket;
  news.model = "digits";
  news.version = 2;
  news.about = "rollout";
  news.json = R"({"id":3})";
  news.details = {{"step", "1 of 2"}};
  news.labels = {{"rollout", "3"}, {"step", "1"}};
  AlarmNotice notice;
  notice.delivery = "rollout-3-1-rolled_back-9";
  notice.at = FromUnixMillis(1'700'000'000'000);
  notice.news = news;
  return notice;
}

TEST_F(AlarmSenderTest, NewsGoOutAsTheyAre) {
  WebhookOptions options;
  options.target.url = url();
  auto sender = WebhookSender::Create("webhooks[0]", options, "http://l", box_, SystemClock());
  ASSERT_TRUE(sender.ok()) << sender.status();
  outbox_.Add({Promoted()});
  (*sender)->Tell({});
  ASSERT_TRUE(Await([&] { return (*sender)->counters().sent == 1; }));
  EXPECT_EQ(got()[0].body,
            R"({"event":"rollout.rolled_back","instance":"http://l","rollout":{"id":3}})");
  EXPECT_EQ(got()[0].delivery, "rollout-3-1-rolled_back-9");
}

TEST_F(AlarmSenderTest, AlarmsGoBeforeNewsAndNewsOnlyToWhomTheyAreFor) {
  AlarmOutbox::Box& alarms = outbox_.Open("of alarms", 10, AlarmOutbox::Takes::kAlarms);
  outbox_.Add({Promoted()});
  EXPECT_EQ(alarms.waiting(), 0u);
  outbox_.Add({MakeNotice({Burning(), AlarmState::kPending, AlarmState::kFiring, true},
                          FromUnixMillis(1'700'000'000'000))});
  EXPECT_EQ(alarms.waiting(), 1u);
  WebhookOptions options;
  options.target.url = url();
  auto sender = WebhookSender::Create("webhooks[0]", options, "http://l", box_, SystemClock());
  ASSERT_TRUE(sender.ok()) << sender.status();
  ASSERT_TRUE(Await([&] { return (*sender)->counters().sent == 2; }));
  EXPECT_NE(got()[0].body.find("\"alarm\""), std::string::npos) << got()[0].body;
  EXPECT_NE(got()[1].body.find("\"rollout\""), std::string::npos) << got()[1].body;
}

TEST_F(AlarmSenderTest, AnAlertmanagerIsToldNewsOnceAndOfAlarmsAsBefore) {
  Answer(503);
  AlarmOutbox::Box& news = outbox_.Open("alertmanager", 1, AlarmOutbox::Takes::kNews);
  AlertmanagerOptions options;
  options.target.url = url();
  options.resend_interval = 50ms;
  auto sender = AlertmanagerSender::Create("alertmanagers[0]", options, "", SystemClock(), &news);
  ASSERT_TRUE(sender.ok()) << sender.status();
  outbox_.Add({MakeNotice({Burning(), AlarmState::kPending, AlarmState::kFiring, true},
                          FromUnixMillis(1'700'000'000'000))});
  EXPECT_EQ(news.waiting(), 0u) << "alarms are told otherwise";
  outbox_.Add({Promoted()});
  (*sender)->Tell({Burning()});
  ASSERT_TRUE(Await([&] { return (*sender)->counters().failed >= 2; }));
  EXPECT_EQ((*sender)->counters().waiting, 2u) << "alerts that were not delivered, and one of news";
  Answer(200);
  ASSERT_TRUE(Await([&] { return (*sender)->counters().sent >= 3; }));
  EXPECT_EQ(news.waiting(), 0u);
  size_t told = 0;
  for (const Got& got : got()) {
    const Json alert = Json::parse(got.body).at(0);
    if (alert["labels"]["alertname"] != "RolloutRolledBack") continue;
    ++told;
    EXPECT_EQ(alert["labels"]["severity"], "ticket");
    EXPECT_EQ(alert["labels"]["version"], "2");
    EXPECT_EQ(alert["labels"]["rollout"], "3") << "the next rollout's is another alert";
    EXPECT_EQ(alert["labels"]["step"], "1");
    EXPECT_EQ(alert["annotations"]["summary"], "rolled back: errors");
    EXPECT_EQ(alert["startsAt"], "2023-11-14T22:13:20.000Z");
  }
  EXPECT_GE(told, 3u) << "two tries that failed, and the one that did not";
  Answer(400);
  outbox_.Add({Promoted()});
  outbox_.Add({Promoted()});
  EXPECT_EQ((*sender)->counters().dropped, 1u) << "no room";
  (*sender)->Tell({Burning()});
  EXPECT_TRUE(Await([&] { return (*sender)->counters().dropped == 2; })) << "refused";
}

TEST_F(AlarmSenderTest, WhatIsRefusedAsWrongIsGivenUp) {
  Answer(422);
  WebhookOptions options;
  options.target.url = url();
  auto sender = WebhookSender::Create("webhooks[0]", options, "", box_, SystemClock());
  ASSERT_TRUE(sender.ok()) << sender.status();
  Fire(**sender, Burning());
  ASSERT_TRUE(Await([&] { return (*sender)->counters().dropped == 1; }));
  EXPECT_EQ(got().size(), 1u);
}

TEST_F(AlarmSenderTest, AReceiverThatCannotBeReachedHoldsNobodyUp) {
  WebhookOptions options;
  options.target.url = "http://192.0.2.1:9";  // RFC 5737: nobody is there
  auto sender = WebhookSender::Create("webhooks[0]", options, "", box_, SystemClock());
  ASSERT_TRUE(sender.ok()) << sender.status();
  for (int i = 1; i <= 10; ++i) Fire(**sender, Burning(i));
  EXPECT_EQ((*sender)->counters().dropped, 8u);
  sender->reset();  // returns soon, whatever the receiver does
  EXPECT_EQ(box_.waiting(), 2u) << "and they are still owed";
}

TEST_F(AlarmSenderTest, WhatFailsForTooLongIsGivenUp) {
  Answer(503);
  WebhookOptions options;
  options.target.url = url();
  options.give_up_after = 1ms;
  auto sender = WebhookSender::Create("webhooks[0]", options, "", box_, SystemClock());
  ASSERT_TRUE(sender.ok()) << sender.status();
  Fire(**sender, Burning());
  EXPECT_TRUE(Await([&] { return (*sender)->counters().dropped == 1; }));
  EXPECT_EQ(box_.waiting(), 0u);
}

TEST_F(AlarmSenderTest, MissingFilesAreNamed) {
  WebhookOptions options;
  options.target.url = url();
  options.secret_file = "/nonexistent/secret";
  const Status status =
      WebhookSender::Create("webhooks[0]", options, "", box_, SystemClock()).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_TRUE(status.message().starts_with("secret_file")) << status;
}

}  // namespace
}  // namespace leadsman
