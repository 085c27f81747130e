#include "kube/event_recorder.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "kube/testing/fake_transport.h"

namespace leadsman::kube {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

class EventRecorderTest : public testing::Test {
 protected:
  EventRecorderTest() {
    server_.Otherwise([](const ApiRequest&) { return FakeTransport::Scripted{.body = "{}"}; });
    recorder_ =
        EventRecorder::Start(
            client_, {.controller = "leadsman.dev/test", .instance = "pod-1", .max_waiting = 50},
            clock_)
            .value();
  }
  void Record(std::string note = "it broke") {
    recorder_->Record({.about = about_,
                       .warning = true,
                       .reason = "Broke",
                       .action = "Repaired",
                       .note = std::move(note)});
    ASSERT_TRUE(recorder_->Flush(20s));
  }
  const Object about_{Json{{"apiVersion", "apps/v1"},
                           {"kind", "Deployment"},
                           {"metadata", {{"name", "web"}, {"namespace", "shop"}, {"uid", "7"}}}}};
  FakeClock clock_;
  FakeTransport server_;
  Client client_{server_, SystemClock(), {.timeout = 50ms, .backoff = {1ms, 2ms}}};
  std::unique_ptr<EventRecorder> recorder_;
};

TEST_F(EventRecorderTest, WritesWhatHasHappened) {
  Record();
  EXPECT_EQ(
      server_.asked(),
      std::vector<std::string>{
          "POST /apis/events.k8s.io/v1/namespaces/shop/events?fieldManager=leadsman.dev%2Ftest"});
  const Object event = *Object::Parse(server_.last().body);
  EXPECT_EQ(event.Text("/regarding/name"), "web");
  EXPECT_EQ(event.Text("/regarding/uid"), "7");
  EXPECT_EQ(event.Text("/type"), "Warning");
  EXPECT_EQ(event.Text("/note"), "it broke");
  EXPECT_EQ(event.Text("/eventTime"), "2023-11-14T22:13:20.000000Z");
}

TEST_F(EventRecorderTest, TheSameAgainIsCountedAndToldNowAndThen) {
  for (int i = 0; i < 10; ++i) Record();
  ASSERT_EQ(server_.asked().size(), 2u);
  EXPECT_EQ(Object::Parse(server_.last().body)->Number("/series/count"), 2);
  clock_.Advance(60s);
  Record();
  ASSERT_EQ(server_.asked().size(), 3u);
  EXPECT_EQ(Object::Parse(server_.last().body)->Number("/series/count"), 11);
  Record("something else");
  EXPECT_EQ(server_.asked().size(), 4u);
  clock_.Advance(std::chrono::minutes(11));
  Record();
  EXPECT_EQ(server_.asked().back().substr(0, 4), "POST");
}

TEST_F(EventRecorderTest, AnEventThatTheServerHasForgottenIsWrittenAnew) {
  Record();
  server_.Answer({.status = 404});
  Record();
  EXPECT_EQ(server_.asked().back().substr(0, 4), "POST");
  EXPECT_EQ(recorder_->dropped(), 0u);
}

TEST_F(EventRecorderTest, WhatTheServerRefusesIsDroppedAndCounted) {
  server_.Answer({.status = 403});
  Record();
  EXPECT_EQ(recorder_->dropped(), 1u);
  EXPECT_EQ(recorder_->written(), 0u);
}

TEST_F(EventRecorderTest, ALongNoteIsCut) {
  Record(std::string(5000, 'x'));
  EXPECT_EQ(Object::Parse(server_.last().body)->Text("/note").size(), 1024u);
}

}  // namespace
}  // namespace leadsman::kube
