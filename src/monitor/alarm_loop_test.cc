#include "monitor/alarm_loop.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "base/testing/fake_clock.h"
#include "base/testing/full_disk.h"
#include "base/testing/temp_dir.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

class FakeWatch final : public Watch {
 public:
  FakeWatch(bool& wrong, AlarmSeverity& severity) : wrong_(wrong), severity_(severity) {}
  std::vector<Finding> Look(WallTime, SteadyTime) override {
    Finding finding;
    finding.subject.model = "m";
    finding.severity = severity_;
    finding.wrong = wrong_;
    finding.evidence = 20;
    finding.summary = "it burns";
    return {finding};
  }

 private:
  bool& wrong_;
  AlarmSeverity& severity_;
};

/// Delivers at once what its box holds, unless the receiver hangs.
class FakeSender final : public AlarmSender {
 public:
  void Tell(const std::vector<Alarm>& firing) override {
    firing_now = firing;
    if (hangs) return;
    for (const AlarmOutbox::Item& item : box->Front(100)) {
      told.push_back(AlarmStateName(item.notice->to));
      deliveries.push_back(item.notice->delivery);
      severities.push_back(item.notice->alarm.finding.severity);
      box->Delivered(*item.notice);
    }
  }
  AlarmOutbox::Box* box = nullptr;
  bool hangs = false;
  std::vector<Alarm> firing_now;
  std::vector<std::string_view> told;
  std::vector<std::string> deliveries;
  std::vector<AlarmSeverity> severities;
};

class AlarmLoopTest : public testing::Test {
 protected:
  void Begin(const std::string& path = "") {
    loop_.reset();
    store_.reset();
    auto store = AlarmStore::Open(path);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = std::move(*store);
    loop_ = std::make_unique<AlarmLoop>(AlarmLoop::Deps{clock_, registry_, *store_},
                                        AlarmBookOptions());
    loop_->Add(std::make_unique<FakeWatch>(wrong_, severity_));
    sender_.box = &loop_->outbox().Open("fake", 3);
    loop_->outbox().Begin();
    loop_->AddSender(sender_);
  }
  void LookAt(Duration later) {
    clock_.Advance(later);
    loop_->Look();
  }
  Silence Known(Duration time) {
    Silence silence;
    silence.model = "m";
    silence.until = clock_.Now() + time;
    silence.author = "ann";
    silence.comment = "known";
    return silence;
  }
  double Metric(const std::string& name) {
    for (const MetricFamily& family : registry_.Collect()) {
      if (family.description->name != name) continue;
      return family.samples.empty() ? -1 : family.samples[0].value;
    }
    return -1;
  }

  FakeClock clock_;
  Registry registry_;
  TempDir dir_;
  bool wrong_ = false;
  AlarmSeverity severity_ = AlarmSeverity::kPage;
  FakeSender sender_;
  std::unique_ptr<AlarmStore> store_;
  std::unique_ptr<AlarmLoop> loop_;
};

TEST_F(AlarmLoopTest, NewsAreOwedUntilTheyAreTakenOverARestartToo) {
  const std::string path = dir_.file("alarms.db");
  News news;
  news.event = "rollout.promoted";
  news.headline = "PROMOTED";
  news.summary = "all is well";
  news.model = "m";
  news.version = 2;
  news.about = "rollout";
  news.json = R"({"id":1})";
  news.details = {{"step", "2 of 2"}};
  news.labels = {{"rollout", "1"}};
  sender_.hangs = true;
  Begin(path);
  loop_->Announce(news, "early");
  EXPECT_EQ(sender_.box->waiting(), 0u) << "boxes may still be opened";
  loop_->Begin();
  EXPECT_EQ(sender_.box->waiting(), 1u);
  loop_->Announce(news, "rollout-1-promoted");
  LookAt(10s);
  ASSERT_EQ(sender_.box->waiting(), 2u);
  Begin(path);  // the next process
  ASSERT_EQ(sender_.box->waiting(), 2u);
  const AlarmNotice& notice = *sender_.box->Front(2)[1].notice;
  EXPECT_EQ(notice.delivery, "rollout-1-promoted");
  EXPECT_EQ(notice.Event(), "rollout.promoted");
  ASSERT_TRUE(notice.news.has_value());
  EXPECT_EQ(*notice.news, news);
  sender_.hangs = false;
  LookAt(10s);
  EXPECT_EQ(sender_.deliveries, (std::vector<std::string>{"early", "rollout-1-promoted"}));
}

TEST_F(AlarmLoopTest, TellsSendersWhatFiresAndWhatHasEnded) {
  Begin();
  LookAt(10s);
  EXPECT_TRUE(sender_.firing_now.empty());
  wrong_ = true;
  LookAt(10s);
  ASSERT_EQ(sender_.firing_now.size(), 1u);
  EXPECT_EQ(sender_.told, std::vector<std::string_view>{"firing"});
  EXPECT_EQ(Metric("leadsman_alarm_firing"), 1);
  EXPECT_EQ(Metric("leadsman_alarm_evidence"), 20);
  wrong_ = false;
  LookAt(10s);
  LookAt(5min);
  EXPECT_TRUE(sender_.firing_now.empty());
  EXPECT_EQ(sender_.told, (std::vector<std::string_view>{"firing", "resolved"}));
  EXPECT_EQ(Metric("leadsman_alarm_firing"), 0);
  EXPECT_EQ(loop_->view()->alarms.at(0).state, AlarmState::kResolved);
  EXPECT_EQ(loop_->Get(loop_->view()->alarms[0].id)->finding.summary, "it burns");
  EXPECT_EQ(loop_->Get(2).status().code(), StatusCode::kNotFound);
}

TEST_F(AlarmLoopTest, ASilencedAlarmFiresUnheard) {
  Begin();
  wrong_ = true;
  auto silence = loop_->AddSilence(Known(1h));
  ASSERT_TRUE(silence.ok()) << silence.status();
  LookAt(10s);
  EXPECT_TRUE(sender_.firing_now.empty());
  EXPECT_TRUE(sender_.told.empty());
  EXPECT_EQ(Metric("leadsman_alarm_firing"), 0);
  EXPECT_EQ(loop_->view()->alarms.at(0).silence, silence->id);
  ASSERT_TRUE(loop_->RemoveSilence(silence->id).ok());
  LookAt(10s);
  EXPECT_EQ(sender_.firing_now.size(), 1u);
  EXPECT_EQ(sender_.told.size(), 1u);
}

TEST_F(AlarmLoopTest, ASilenceHoldsAtOnceAndItsEndIsToldByTheNextLook) {
  Begin();
  wrong_ = true;
  LookAt(10s);
  auto silence = loop_->AddSilence(Known(1h));
  ASSERT_TRUE(silence.ok()) << silence.status();
  EXPECT_EQ(loop_->view()->alarms.at(0).silence, silence->id);
  EXPECT_EQ(Metric("leadsman_alarm_firing"), 0);
  ASSERT_TRUE(loop_->RemoveSilence(silence->id).ok());
  EXPECT_EQ(loop_->view()->alarms.at(0).silence, 0);
  EXPECT_EQ(Metric("leadsman_alarm_firing"), 1);
}

TEST_F(AlarmLoopTest, AWatchThatThrowsEndsNeitherTheProcessNorTheLooks) {
  class ThrowingWatch final : public Watch {
   public:
    std::vector<Finding> Look(WallTime, SteadyTime) override { throw std::runtime_error("no"); }
  };
  Begin();
  loop_->Add(std::make_unique<ThrowingWatch>());
  ASSERT_TRUE(loop_->Start(1h).ok());
  EXPECT_EQ(Metric("leadsman_alarm_failed_looks_total"), 1);
  loop_->Stop();
}

TEST_F(AlarmLoopTest, ARestartKeepsAlarmsAndSilencesAndTellsNobodyAgain) {
  const std::string path = (dir_.path() / "alarms.db").string();
  Begin(path);
  wrong_ = true;
  LookAt(10s);
  ASSERT_TRUE(loop_->AddSilence(Known(1h)).ok());
  const WallTime fired = loop_->view()->alarms.at(0).fired;
  Begin(path);
  EXPECT_EQ(loop_->Silences().size(), 1u);
  ASSERT_EQ(loop_->view()->alarms.size(), 1u);
  EXPECT_EQ(loop_->view()->alarms[0].state, AlarmState::kFiring);
  EXPECT_EQ(UnixMillis(loop_->view()->alarms[0].fired), UnixMillis(fired));
  LookAt(10s);
  EXPECT_EQ(sender_.told.size(), 1u) << "before the restart";
}

TEST_F(AlarmLoopTest, WhatWasNotDeliveredIsOwedAfterARestartUnderTheSameId) {
  const std::string path = (dir_.path() / "alarms.db").string();
  Begin(path);
  sender_.hangs = true;
  wrong_ = true;
  LookAt(10s);
  ASSERT_EQ(sender_.box->waiting(), 1u);
  const std::string delivery = sender_.box->Front(1)[0].notice->delivery;
  Begin(path);
  sender_.hangs = false;
  LookAt(10s);
  EXPECT_EQ(sender_.deliveries, std::vector<std::string>{delivery});
  EXPECT_EQ(sender_.box->waiting(), 0u);
  Begin(path);
  LookAt(10s);
  EXPECT_EQ(sender_.told.size(), 1u) << "delivered before this restart";
}

TEST_F(AlarmLoopTest, WhatIsOwedToAReceiverThatIsGoneIsForgotten) {
  const std::string path = (dir_.path() / "alarms.db").string();
  Begin(path);
  sender_.hangs = true;
  wrong_ = true;
  LookAt(10s);
  loop_.reset();
  store_.reset();
  auto store = AlarmStore::Open(path);
  ASSERT_TRUE(store.ok()) << store.status();
  {
    AlarmOutbox outbox(**store, clock_, (*store)->TakeFound().owed);
    outbox.Open("another", 3);
    outbox.Begin();
  }
  store->reset();
  store = AlarmStore::Open(path);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_TRUE((*store)->TakeFound().owed.empty());
}

TEST_F(AlarmLoopTest, ADiskThatIsFullAtTheStartKeepsAlarmsInMemoryUntilThereIsRoom) {
  const std::string path = (dir_.path() / "alarms.db").string();
  Begin(path);
  wrong_ = true;
  LookAt(10s);
  const size_t known = loop_->view()->alarms.size();
  ASSERT_GT(known, 0u);
  ASSERT_TRUE(store_->AwaitWritten(10s));
  loop_.reset();
  store_.reset();
  {
    FullDisk full(0);
    Begin(path);
    ASSERT_TRUE(store_->trouble());
    EXPECT_EQ(loop_->view()->alarms.size(), known) << "what lies there was read";
    LookAt(10s);
    ASSERT_TRUE(loop_->AddSilence(Known(1h)).ok());
    EXPECT_FALSE(store_->AwaitWritten(1s));
  }
  loop_.reset();
  store_.reset();  // writes what is left: there is room again
  Begin(path);
  EXPECT_FALSE(store_->trouble());
  EXPECT_EQ(loop_->Silences().size(), 1u);
}

TEST_F(AlarmLoopTest, ABoxThatIsFullDropsItsOldestAndCountsThem) {
  Begin();
  sender_.hangs = true;
  for (int i = 0; i < 4; ++i) {  // room for three: fires, ends, fires, ends
    wrong_ = i % 2 == 0;
    LookAt(10s);
    LookAt(5min);
  }
  EXPECT_EQ(sender_.box->waiting(), 3u);
  EXPECT_EQ(sender_.box->dropped(), 1u);
  EXPECT_EQ(sender_.box->Front(1)[0].notice->to, AlarmState::kResolved);
  EXPECT_EQ(sender_.box->DropOlder(clock_.SteadyNow()), 3u);
  EXPECT_EQ(sender_.box->dropped(), 4u);
}

TEST_F(AlarmLoopTest, ASilenceHoldsForWhatBecomesMoreSevere) {
  Begin();
  wrong_ = true;
  severity_ = AlarmSeverity::kTicket;
  LookAt(10s);
  ASSERT_EQ(sender_.told.size(), 1u);
  auto silence = loop_->AddSilence(Known(1h));
  ASSERT_TRUE(silence.ok()) << silence.status();
  severity_ = AlarmSeverity::kPage;
  LookAt(10s);
  LookAt(10s);
  EXPECT_EQ(sender_.told.size(), 1u);
  ASSERT_TRUE(loop_->RemoveSilence(silence->id).ok());
  LookAt(10s);
  ASSERT_EQ(sender_.severities.size(), 2u);
  EXPECT_EQ(sender_.severities[1], AlarmSeverity::kPage);
  EXPECT_NE(sender_.deliveries[0], sender_.deliveries[1]);
}

TEST_F(AlarmLoopTest, IdsAreNewEvenWhenNothingIsKept) {
  Begin();
  wrong_ = true;
  LookAt(10s);
  const int64_t before = loop_->view()->alarms.at(0).id;
  Begin();
  LookAt(10s);
  EXPECT_GT(loop_->view()->alarms.at(0).id, before);
}

TEST_F(AlarmLoopTest, AFileThatIsNoDatabaseIsRefusedWithWhatToDo) {
  const std::string path = (dir_.path() / "alarms.db").string();
  std::ofstream(path) << std::string(5000, 'x');
  const Status status = AlarmStore::Open(path).status();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("move " + path + " away"), std::string::npos) << status;
}

TEST_F(AlarmLoopTest, TheFileIsItsOwnersAlone) {
  const std::string path = (dir_.path() / "alarms.db").string();
  ASSERT_TRUE(AlarmStore::Open(path).ok());
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(AlarmLoopTest, ADiskThatRefusesIsCountedAndTriedAgain) {
  const std::string path = (dir_.path() / "alarms.db").string();
  Begin(path);
  sqlite3* other = nullptr;  // another writer holds the file
  ASSERT_EQ(sqlite3_open(path.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN EXCLUSIVE", nullptr, nullptr, nullptr), SQLITE_OK);
  wrong_ = true;
  LookAt(10s);
  for (int i = 0; i < 2000 && store_->errors() == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // the store's own thread
  EXPECT_EQ(store_->errors(), 1u);
  EXPECT_EQ(loop_->view()->alarms.size(), 1u);
  ASSERT_EQ(sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  Begin(path);
  EXPECT_EQ(loop_->view()->alarms.size(), 1u) << "written at the end";
}

}  // namespace
}  // namespace leadsman
