#include "monitor/alarm_loop.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <fstream>
#include <thread>

#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

class FakeWatch final : public Watch {
 public:
  explicit FakeWatch(bool& wrong) : wrong_(wrong) {}
  std::vector<Finding> Look(WallTime, SteadyTime) override {
    Finding finding;
    finding.subject.model = "m";
    finding.severity = AlarmSeverity::kPage;
    finding.wrong = wrong_;
    finding.evidence = 20;
    finding.summary = "it burns";
    return {finding};
  }

 private:
  bool& wrong_;
};

class FakeSender final : public AlarmSender {
 public:
  void Tell(const std::vector<Alarm>& firing, const std::vector<AlarmTransition>& news) override {
    firing_now = firing;
    for (const AlarmTransition& t : news) {
      if (t.notify) told.push_back(AlarmStateName(t.to));
    }
  }
  std::vector<Alarm> firing_now;
  std::vector<std::string_view> told;
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
    loop_->Add(std::make_unique<FakeWatch>(wrong_));
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
  FakeSender sender_;
  std::unique_ptr<AlarmStore> store_;
  std::unique_ptr<AlarmLoop> loop_;
};

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
  EXPECT_EQ(loop_->view().alarms.at(0).state, AlarmState::kResolved);
  EXPECT_EQ(loop_->Get(1)->finding.summary, "it burns");
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
  EXPECT_EQ(loop_->view().alarms.at(0).silence, silence->id);
  ASSERT_TRUE(loop_->RemoveSilence(silence->id).ok());
  LookAt(10s);
  EXPECT_EQ(sender_.firing_now.size(), 1u);
  EXPECT_EQ(sender_.told.size(), 1u);
}

TEST_F(AlarmLoopTest, ARestartKeepsAlarmsAndSilencesAndTellsNobodyAgain) {
  const std::string path = (dir_.path() / "alarms.db").string();
  Begin(path);
  wrong_ = true;
  LookAt(10s);
  ASSERT_TRUE(loop_->AddSilence(Known(1h)).ok());
  const WallTime fired = loop_->view().alarms.at(0).fired;
  Begin(path);
  EXPECT_EQ(loop_->Silences().size(), 1u);
  ASSERT_EQ(loop_->view().alarms.size(), 1u);
  EXPECT_EQ(loop_->view().alarms[0].state, AlarmState::kFiring);
  EXPECT_EQ(UnixMillis(loop_->view().alarms[0].fired), UnixMillis(fired));
  LookAt(10s);
  EXPECT_EQ(sender_.told.size(), 1u) << "before the restart";
}

TEST_F(AlarmLoopTest, AFileThatIsNoDatabaseIsRefusedWithWhatToDo) {
  const std::string path = (dir_.path() / "alarms.db").string();
  std::ofstream(path) << std::string(5000, 'x');
  const Status status = AlarmStore::Open(path).status();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("move " + path + " away"), std::string::npos) << status;
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
  EXPECT_EQ(loop_->view().alarms.size(), 1u);
  ASSERT_EQ(sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  Begin(path);
  EXPECT_EQ(loop_->view().alarms.size(), 1u) << "written at the end";
}

}  // namespace
}  // namespace leadsman
