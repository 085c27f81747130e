#include "rollout/controller.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cmath>
#include <filesystem>
#include <optional>
#include <set>
#include <thread>

#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "rollout/journal.h"
#include "rollout/record.h"
#include "rollout/testing/fake_world.h"

namespace leadsman {
namespace {

using std::chrono::seconds;

RolloutPlan Plan() {
  RolloutPlan plan;
  plan.steps = {{0.1, seconds(3)}, {0.5, seconds(3)}};
  RolloutGate errors, quality;
  errors.floor = quality.floor = 0.05;
  quality.kind = RolloutGate::Kind::kQuality;
  plan.gates = {errors, quality};
  return plan;
}

class ControllerTest : public testing::Test {
 protected:
  ControllerTest() { world_.observed.ready = {1}; }

  void Open(const std::string& journal,
            std::map<std::string, RolloutPlan> plans = {{"digits", Plan()}}) {
    controller_.reset();
    auto controller =
        RolloutController::Create({clock_, world_, world_, world_, registry_, journal, &outside_,
                                   [this](const RolloutEvent& event) { told_.push_back(event); }},
                                  std::move(plans));
    ASSERT_TRUE(controller.ok()) << controller.status();
    controller_ = std::move(controller).value();
  }
  /// Traffic of one second, then a tick.
  void Tick(uint64_t requests = 200) {
    clock_.Advance(seconds(1));
    world_.Serve(requests);
    controller_->TickOnce();
  }
  RolloutView Newest() { return controller_->List().at(0); }
  /// Ticks until the newest rollout has ended; how many it took.
  int RunToVerdict() {
    for (int i = 1; i <= 500; ++i) {
      Tick();
      if (Newest().phase != RolloutPhase::kProgressing && Newest().phase != RolloutPhase::kHeld)
        return i;
    }
    ADD_FAILURE() << "no verdict: " << Newest().reason;
    return 0;
  }
  /// v1 stable, v2 ready and its rollout begun.
  void BeginRollout() {
    Open(dir_.file("journal.db"));
    Tick();
    world_.observed.ready = {1, 2};
    Tick();
    ASSERT_EQ(Newest().phase, RolloutPhase::kProgressing) << Newest().reason;
  }
  double Metric(const std::string& name, const std::vector<std::string>& labels) {
    for (const MetricFamily& family : registry_.Collect()) {
      if (family.description->name != name) continue;
      for (const MetricSample& sample : family.samples) {
        if (sample.label_values == labels) return sample.value;
      }
    }
    ADD_FAILURE() << "no metric " << name;
    return -1;
  }

  TempDir dir_;
  FakeClock clock_;
  FakeWorld world_;
  FakeOutside outside_;
  Registry registry_;
  std::vector<RolloutEvent> told_;  ///< before the controller: it tells until it ends
  std::unique_ptr<RolloutController> controller_;
  std::string Told() {
    std::string all;
    for (const RolloutEvent& event : told_)
      all += StrCat(all.empty() ? "" : " ", RolloutEventName(event.kind));
    return all;
  }
};

TEST_F(ControllerTest, EachRolloutSplitsUsersByASeedOfItsOwnWhichARestartKeeps) {
  BeginRollout();
  const std::optional<uint64_t> first = world_.traffic.split_seed;
  ASSERT_TRUE(first);
  EXPECT_LT(*first, uint64_t{1} << 53) << "read by programs that know no larger numbers";
  EXPECT_EQ(Newest().split_seed, first);
  Open(dir_.file("journal.db"));
  world_.traffic = {};
  Tick();
  EXPECT_EQ(world_.traffic.split_seed, first);
  ASSERT_TRUE(controller_->Abort(Newest().id, "ana").ok());
  Tick();
  ASSERT_EQ(Newest().phase, RolloutPhase::kAborted);
  ASSERT_TRUE(controller_->Retry(Newest().id, "ana").ok());
  Tick();
  ASSERT_EQ(Newest().phase, RolloutPhase::kProgressing) << Newest().reason;
  EXPECT_TRUE(world_.traffic.split_seed);
  EXPECT_NE(world_.traffic.split_seed, first);
  auto record = ParseVerdictRecord(controller_->Record(Newest().id, "0.1.0").value());
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->first.split_seed, world_.traffic.split_seed);
  EXPECT_EQ(ReplayRecord(*record, {}, {}).difference, "");

  RolloutPlan plan = Plan();
  plan.seed = 42;
  Open("", {{"digits", plan}});
  world_.observed.ready = {1};
  Tick();
  world_.observed.ready = {1, 2};
  Tick();
  EXPECT_EQ(world_.traffic.split_seed, 42u) << "the plan's word";
}

TEST_F(ControllerTest, ACandidateThatIsNeverReadyIsTakenBackInTimeAndThatIsTold) {
  RolloutPlan plan = Plan();
  plan.progress_deadline = seconds(90);
  Open(dir_.file("journal.db"), {{"digits", plan}});
  Tick();
  world_.observed.waits[2] = "no endpoint is healthy: 10.0.0.7:8000 (connection refused)";
  ASSERT_TRUE(controller_->StartRollout("digits", 2).ok());
  for (int i = 0; i < 50; ++i) Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kHeld);
  EXPECT_NE(Newest().reason.find("(connection refused)"), std::string::npos) << Newest().reason;
  // The time that it has waited is in the journal, to the minute.
  Open(dir_.file("journal.db"), {{"digits", plan}});
  for (int i = 0; i < 100 && Newest().phase == RolloutPhase::kHeld; ++i) Tick();
  EXPECT_EQ(Newest().reason,
            "rolled back: version 2 was not ready within 90 s (progress_deadline): no endpoint is "
            "healthy: 10.0.0.7:8000 (connection refused); version 2 was drawn for 0 requests");
  EXPECT_EQ(told_.back().kind, RolloutEvent::Kind::kRolledBack);
  EXPECT_EQ(world_.traffic.stable, 1);
  EXPECT_EQ(world_.traffic.exclude, std::vector<int64_t>{2});
  const RolloutView ended = Newest();
  auto record = ParseVerdictRecord(controller_->Record(ended.id, "0.1.0").value());
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->reason, ended.reason);
  EXPECT_EQ(ReplayRecord(*record, {}, {}).difference, "");
}

TEST_F(ControllerTest, AWebhookIsAskedForAnApprovalWithGrowingPausesAndAfterARestart) {
  RolloutPlan plan = Plan();
  ApprovalWebhook hook;
  hook.url = "https://ci.example.org/approve/s3cret";
  hook.retry_after = seconds(2);
  plan.steps[0].approval = true;
  plan.steps[0].approval.webhook = hook;
  outside_.answer = [](const OutsideQuestion&) {
    OutsideReading reading;
    reading.reason = "connection refused";
    return reading;
  };
  Open(dir_.file("journal.db"), {{"digits", plan}});
  Tick();
  world_.observed.ready = {1, 2};
  for (int i = 0; i < 300 && !(i > 0 && Newest().awaits_approval); ++i) Tick();
  ASSERT_EQ(outside_.asked.size(), 1u) << Newest().reason;
  const OutsideQuestion first = outside_.asked[0];
  EXPECT_EQ(first.gate, kApprovalQuestion);
  EXPECT_EQ(first.approval, hook);
  EXPECT_NE(first.text.find(R"("event":"approval.wanted","approval":"rollout-1-)"),
            std::string::npos)
      << first.text;
  EXPECT_EQ(Newest().expected_end->text, "waits for approval");
  std::vector<int> asked_at;
  for (int i = 1; i <= 70; ++i) {
    const size_t before = outside_.asked.size();
    Tick();
    if (outside_.asked.size() > before) asked_at.push_back(i);
  }
  EXPECT_EQ(asked_at, (std::vector<int>{2, 6, 14, 30, 62}));
  EXPECT_NE(Newest().reason.find("approval: webhook ci.example.org is asked (the last: no answer: "
                                 "connection refused), or promote or abort it"),
            std::string::npos)
      << Newest().reason;
  EXPECT_EQ(Metric("leadsman_rollout_outside_answers_total", {"digits", "approval", "no_answer"}),
            6);
  // A restart asks at once, and is answered.
  outside_.answer = [](const OutsideQuestion&) {
    OutsideReading reading;
    reading.kind = OutsideReading::Kind::kPass;
    reading.reason = "ticket 7";
    return reading;
  };
  Open(dir_.file("journal.db"), {{"digits", plan}});
  const size_t before = outside_.asked.size();
  for (int i = 0; i < 3; ++i) Tick();
  EXPECT_EQ(outside_.asked.size(), before + 1);
  EXPECT_EQ(Newest().step, 1) << Newest().reason;
  EXPECT_EQ(Newest().plan_notes.back(), "step 1: approved by webhook ci.example.org: ticket 7");
  RunToVerdict();
  const std::string text = controller_->Record(Newest().id, "0.1.0").value();
  EXPECT_EQ(text.find("s3cret"), std::string::npos);
  auto record = ParseVerdictRecord(text);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(ReplayRecord(*record, {}, {}).difference, "");
}

TEST_F(ControllerTest, ARefusedApprovalIsToldOnceMore) {
  RolloutPlan plan = Plan();
  plan.steps[0].approval = true;
  plan.steps[0].approval.webhook.emplace().url = "https://ci.example.org/approve";
  outside_.answer = [](const OutsideQuestion&) {
    OutsideReading reading;
    reading.kind = OutsideReading::Kind::kFail;
    reading.reason = "a freeze";
    return reading;
  };
  Open(dir_.file("journal.db"), {{"digits", plan}});
  Tick();
  world_.observed.ready = {1, 2};
  for (int i = 0; i < 300 && Told() != "started waiting waiting"; ++i) Tick();
  EXPECT_EQ(Told(), "started waiting waiting");
  EXPECT_NE(told_.back().rollout.reason.find("webhook ci.example.org has refused it: a freeze"),
            std::string::npos)
      << told_.back().rollout.reason;
  for (int i = 0; i < 120; ++i) Tick();
  EXPECT_EQ(outside_.asked.size(), 1u);
  EXPECT_EQ(Told(), "started waiting waiting");
}

TEST_F(ControllerTest, SaysWhenItsEndIsExpected) {
  BeginRollout();
  for (int i = 0; i < 12; ++i) Tick();
  ASSERT_TRUE(Newest().expected_end);
  const ExpectedEnd early = *Newest().expected_end;
  ASSERT_EQ(early.kind, ExpectedEnd::Kind::kPromotion) << early.text << Newest().reason;
  const Duration left = *early.in;
  int ticks = 0;
  for (; ticks < 500 && Newest().phase == RolloutPhase::kProgressing; ++ticks) Tick();
  ASSERT_EQ(Newest().phase, RolloutPhase::kPromoted) << Newest().reason;
  EXPECT_FALSE(Newest().expected_end);
  EXPECT_GT(ToSeconds(left), ticks / 2.0);
  EXPECT_LT(ToSeconds(left), ticks * 2.0);
}

TEST_F(ControllerTest, WithoutTrafficNoEndIsExpected) {
  BeginRollout();
  for (int i = 0; i < 400; ++i) Tick(0);
  ASSERT_TRUE(Newest().expected_end);
  EXPECT_EQ(Newest().expected_end->text, "unknown: no traffic");
  EXPECT_FALSE(Newest().expected_end->in);
  ASSERT_TRUE(controller_->Pause(Newest().id, "ana").ok());
  Tick();
  EXPECT_EQ(Newest().expected_end->text, "held: paused by ana");
}

TEST_F(ControllerTest, InProbationTheOldVersionStaysAndLateLabelsBringItBackAlsoAfterARestart) {
  RolloutPlan plan = Plan();
  plan.probation = std::chrono::hours(1);
  world_.behaviour[1].label_share = world_.behaviour[2].label_share = 0.5;
  Open(dir_.file("journal.db"), {{"digits", plan}});
  Tick();
  world_.observed.ready = {1, 2};
  for (int i = 0; i < 300 && Told() != "started step promoted"; ++i) Tick();
  ASSERT_EQ(Told(), "started step promoted");
  EXPECT_EQ(Newest().phase, RolloutPhase::kProbation) << Newest().reason;
  EXPECT_EQ(Newest().share, 1);
  auto has_the_traffic = [&](int64_t stable, const std::vector<int64_t>& keep) {
    EXPECT_EQ(world_.traffic.stable, stable);
    EXPECT_EQ(world_.traffic.candidate, 0) << "nothing is drawn";
    EXPECT_EQ(world_.traffic.keep, keep);
    EXPECT_EQ(Metric("leadsman_rollout_stable_version", {"digits"}), static_cast<double>(stable));
  };
  has_the_traffic(2, {2, 1});
  EXPECT_EQ(Metric("leadsman_rollout_phase", {"digits", "probation"}), 1);
  EXPECT_EQ(controller_->Pause(Newest().id, "ana").code(), StatusCode::kFailedPrecondition);
  world_.observed.ready = {1, 2, 3};
  for (int i = 0; i < 120; ++i) Tick();
  EXPECT_EQ(Newest().candidate, 2) << "a newer version waits";
  const Duration left = Newest().probation_left.value();
  EXPECT_LT(left, std::chrono::minutes(58) + seconds(1));

  world_.observed.ready = {1, 2};
  Open(dir_.file("journal.db"), {{"digits", plan}});
  world_.traffic = {};
  Tick();
  has_the_traffic(2, {2, 1});
  EXPECT_LE(*Newest().probation_left, left + seconds(60)) << "what a crash forgets, at most";
  world_.LabelDrawn(1, 300, 6);
  world_.LabelDrawn(2, 300, 90);
  Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kRolledBack) << Newest().reason;
  EXPECT_EQ(Newest().reason.substr(0, 33), "rolled back in probation: quality");
  has_the_traffic(1, {1});
  EXPECT_EQ(world_.traffic.exclude, std::vector<int64_t>{2});
  EXPECT_EQ(Told(), "started step promoted rolled_back");
}

TEST_F(ControllerTest, TellsOnceWhatHasHappened) {
  BeginRollout();
  RunToVerdict();
  EXPECT_EQ(Told(), "started step promoted");
  std::set<std::string> ids;
  for (const RolloutEvent& event : told_) ids.insert(event.id);
  EXPECT_EQ(ids.size(), told_.size());
  EXPECT_EQ(told_.back().rollout.phase, RolloutPhase::kPromoted);
  EXPECT_EQ(told_.back().at, clock_.Now());
  // The next one, over a restart: what was told is not told again.
  told_.clear();
  world_.behaviour[3].error_rate = 0.5;
  world_.observed.ready = {2, 3};
  Tick(0);
  Open(dir_.file("journal.db"), {{"digits", Plan()}});
  RunToVerdict();
  EXPECT_EQ(Told(), "started rolled_back");
  EXPECT_EQ(told_.back().rollout.candidate, 3);
}

TEST_F(ControllerTest, TellsOfAPersonThatIsWaitedForAndOfWhatHoldsForLong) {
  RolloutPlan plan = Plan();
  plan.steps[0].approval = true;
  Open("", {{"digits", plan}});
  Tick();
  world_.observed.ready = {1, 2};
  for (int i = 0; i < 60; ++i) Tick();
  EXPECT_EQ(Told(), "started waiting");
  ASSERT_TRUE(controller_->Advance(Newest().id, "ana", std::nullopt).ok());
  Tick();
  EXPECT_EQ(Told(), "started waiting step");
  ASSERT_TRUE(controller_->Pause(Newest().id, "ben").ok());
  Tick();
  ASSERT_TRUE(controller_->Resume(Newest().id, "ben").ok());
  Tick();
  EXPECT_EQ(Told(), "started waiting step paused");
  world_.read_status = UnavailableError("no metrics");
  for (int i = 0; i < 58; ++i) Tick();
  EXPECT_EQ(Told(), "started waiting step paused") << "nobody is called for a moment";
  for (int i = 0; i < 200; ++i) Tick();
  EXPECT_EQ(Told(), "started waiting step paused held") << "once";
  EXPECT_NE(told_.back().rollout.reason.find("metrics"), std::string::npos);
}

TEST_F(ControllerTest, WhatWasToldIsNotToldAgainAfterARestart) {
  RolloutPlan plan = Plan();
  plan.steps[0].approval = true;
  Open(dir_.file("journal.db"), {{"digits", plan}});
  Tick();
  world_.observed.ready = {1, 2};
  for (int i = 0; i < 60; ++i) Tick();
  EXPECT_EQ(Told(), "started waiting");
  auto restart_without_metrics = [&] {
    Open(dir_.file("journal.db"), {{"digits", plan}});
    world_.read_status = UnavailableError("no metrics");
    for (int i = 0; i < 5; ++i) Tick();
    world_.read_status = OkStatus();
    for (int i = 0; i < 70; ++i) Tick();
  };
  restart_without_metrics();
  EXPECT_EQ(Told(), "started waiting");
  world_.read_status = UnavailableError("no metrics");
  for (int i = 0; i < 70; ++i) Tick();
  EXPECT_EQ(Told(), "started waiting held");
  Open(dir_.file("journal.db"), {{"digits", plan}});
  for (int i = 0; i < 150; ++i) Tick();
  world_.read_status = OkStatus();
  Tick();
  world_.read_status = UnavailableError("no metrics");
  for (int i = 0; i < 100; ++i) Tick();
  EXPECT_EQ(Told(), "started waiting held") << "a moment of metrics is no end of it";
  restart_without_metrics();
  world_.read_status = UnavailableError("no metrics");
  for (int i = 0; i < 70; ++i) Tick();
  EXPECT_EQ(Told(), "started waiting held held") << "a minute of them was";
}

TEST_F(ControllerTest, WhatWasAskedOfTheRolloutIsNotDoneToItsProbation) {
  RolloutPlan plan = Plan();
  plan.probation = std::chrono::hours(1);
  Open(dir_.file("journal.db"), {{"digits", plan}});
  Tick();
  world_.observed.ready = {1, 2};
  Tick();
  const int64_t id = Newest().id;
  ASSERT_TRUE(controller_->Promote(id, "ana").ok());
  Status again;
  outside_.on_take = [&] { again = controller_->Advance(id, "ben", std::nullopt); };
  Tick();
  outside_.on_take = nullptr;
  EXPECT_EQ(again.code(), StatusCode::kFailedPrecondition) << "ana has asked for its end";
  ASSERT_EQ(Newest().phase, RolloutPhase::kProbation) << Newest().reason;
  // Sent once more, and late.
  const Status late = controller_->Advance(id, "ana", std::nullopt);
  EXPECT_EQ(late.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(late.message().find("is in probation"), std::string::npos) << late;
  EXPECT_EQ(controller_->Advance(id, "ana", 0).code(), StatusCode::kFailedPrecondition);
  for (int i = 0; i < 3; ++i) Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kProbation) << Newest().reason;
  ASSERT_TRUE(controller_->Promote(id, "ana").ok());
  Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted) << Newest().reason;
}

TEST_F(ControllerTest, ACommandThatCameTooLateForThePromotionIsDropped) {
  RolloutPlan plan = Plan();
  plan.probation = std::chrono::hours(1);
  int ticks = 0;
  auto to_probation = [&] {
    Open("", {{"digits", plan}});
    world_ = {};
    world_.observed.ready = {1};
    Tick();
    world_.observed.ready = {1, 2};
  };
  to_probation();
  for (; ticks < 300 && (controller_->List().empty() || Newest().phase != RolloutPhase::kProbation);
       ++ticks)
    Tick();
  ASSERT_LT(ticks, 300);
  to_probation();
  for (int i = 1; i < ticks; ++i) Tick();
  ASSERT_EQ(Newest().phase, RolloutPhase::kProgressing) << Newest().reason;
  Status asked = UnavailableError("not called");
  outside_.on_take = [&] { asked = controller_->Promote(Newest().id, "ben"); };
  Tick();
  outside_.on_take = nullptr;
  EXPECT_TRUE(asked.ok()) << asked;
  ASSERT_EQ(Newest().phase, RolloutPhase::kProbation) << Newest().reason;
  Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kProbation) << Newest().reason;
  EXPECT_TRUE(controller_->Abort(Newest().id, "ben").ok()) << "and nothing waits, or is refused";
  Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kAborted);
}

TEST_F(ControllerTest, AnAbortInProbationWaitsForTheOldVersionAndMayBeGivenUp) {
  RolloutPlan plan = Plan();
  plan.probation = std::chrono::hours(1);
  for (const bool comes_back : {true, false}) {
    Open("", {{"digits", plan}});
    world_.observed.ready = {1};
    Tick();
    world_.observed.ready = {1, 2};
    Tick();
    const int64_t id = Newest().id;
    ASSERT_TRUE(controller_->Promote(id, "ana").ok());
    Tick();
    world_.observed.ready = {2};
    Tick();
    ASSERT_TRUE(controller_->Abort(id, "ben").ok());
    EXPECT_FALSE(controller_->Promote(id, "ana").ok()) << "not before its next tick";
    for (int i = 0; i < 5; ++i) Tick();
    EXPECT_EQ(Newest().phase, RolloutPhase::kProbation) << "all would be without a version";
    EXPECT_NE(Newest().reason.find("aborted by ben as soon as version 1"), std::string::npos)
        << Newest().reason;
    EXPECT_EQ(world_.traffic.stable, 2);
    if (comes_back) {
      world_.observed.ready = {1, 2};
    } else {
      EXPECT_TRUE(controller_->Promote(id, "ana").ok());
    }
    Tick();
    EXPECT_EQ(Newest().phase, comes_back ? RolloutPhase::kAborted : RolloutPhase::kPromoted);
    EXPECT_EQ(world_.traffic.stable, comes_back ? 1 : 2);
  }
}

TEST_F(ControllerTest, AProbationWithNothingToGoBackToIsToldAndOneThatNeverLoadsAgainIsLost) {
  RolloutPlan plan = Plan();
  plan.probation = std::chrono::hours(1);
  Open(dir_.file("journal.db"), {{"digits", plan}});
  Tick();
  world_.observed.ready = {1, 2};
  Tick();
  ASSERT_TRUE(controller_->Promote(Newest().id, "ana").ok());
  Tick();
  world_.observed.ready = {};
  for (int i = 0; i < 65; ++i) Tick(0);
  EXPECT_EQ(Newest().phase, RolloutPhase::kProbation) << Newest().reason;
  EXPECT_EQ(Told(), "started promoted held");
  // A restart does not make a version that is dead one that is loading, for good.
  world_.observed.ready = {1, 2};
  Tick(0);
  Open(dir_.file("journal.db"), {{"digits", plan}});
  world_.observed.ready = {1};
  const Duration left = Newest().probation_left.value();
  for (int i = 0; i < 50; ++i) Tick(0);
  EXPECT_EQ(Newest().phase, RolloutPhase::kProbation) << Newest().reason;
  EXPECT_EQ(Newest().probation_left, left) << "the time stands still";
  for (int i = 0; i < 20; ++i) Tick(0);
  EXPECT_EQ(Newest().phase, RolloutPhase::kRolledBack) << Newest().reason;
  EXPECT_EQ(Told(), "started promoted held rolled_back");
}

TEST_F(ControllerTest, ASplitThatIsNotAsItShouldBeHoldsIsToldAndCounted) {
  BeginRollout();
  // Behind the split's back: more of the candidate's requests than it gave.
  for (int i = 0; i < 90; ++i) {
    world_.ServeDrawn(2, 20);
    Tick();
    if (i == 20) {
      EXPECT_EQ(Told(), "started") << "it may pass";
    }
  }
  EXPECT_EQ(Newest().phase, RolloutPhase::kHeld);
  EXPECT_EQ(Newest().reason.substr(0, 14), "sample ratio: ") << Newest().reason;
  EXPECT_EQ(Told(), "started sample_ratio");
  ASSERT_TRUE(Newest().sample_ratio.has_value());
  EXPECT_TRUE(Newest().sample_ratio->mismatch);
  EXPECT_EQ(Metric("leadsman_rollout_sample_ratio_mismatch", {"digits"}), 1);
  EXPECT_GT(Metric("leadsman_rollout_sample_ratio_log_e", {"digits"}), std::log(1000));
}

TEST_F(ControllerTest, FirstReadyVersionIsStableWithoutARollout) {
  Open("");
  Tick();
  EXPECT_EQ(world_.traffic.stable, 1);
  EXPECT_EQ(world_.traffic.candidate, 0);
  EXPECT_EQ(world_.traffic.keep, std::vector<int64_t>{1});
  EXPECT_TRUE(controller_->List().empty());
}

TEST_F(ControllerTest, AGoodVersionIsPromotedAndTheOldOneReleased) {
  BeginRollout();
  EXPECT_EQ(world_.traffic.candidate, 2);
  EXPECT_EQ(world_.traffic.candidate_share, 0.1);
  EXPECT_EQ(world_.traffic.keep, (std::vector<int64_t>{1, 2}));
  RunToVerdict();
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted) << Newest().reason;
  EXPECT_EQ(world_.traffic.stable, 2);
  EXPECT_EQ(world_.traffic.candidate, 0);
  EXPECT_EQ(world_.traffic.keep, std::vector<int64_t>{2});
  EXPECT_EQ(Metric("leadsman_rollout_verdicts_total", {"digits", "promoted"}), 1);
  EXPECT_EQ(Metric("leadsman_rollout_stable_version", {"digits"}), 2);
  EXPECT_EQ(Metric("leadsman_rollout_candidate_share", {"digits"}), 0);
}

TEST_F(ControllerTest, OnlyWhatTheSplitHasDrawnIsEvidence) {
  BeginRollout();
  Tick();
  const RolloutView before = Newest();
  ASSERT_GT(before.candidate_requests, 0u);
  // Requests that name the candidate fail; labels from before the rollout make its stable version look worse.
  world_.behaviour[2].error_rate = 1;
  world_.ServeNamed(2, 10'000);
  world_.behaviour[2].error_rate = 0.01;
  world_.LabelUndrawn(1, 10'000, 5'000);
  Tick(0);
  const RolloutView after = Newest();
  EXPECT_EQ(after.phase, RolloutPhase::kProgressing) << after.reason;
  EXPECT_EQ(after.candidate_requests, before.candidate_requests);
  EXPECT_EQ(after.candidate_errors, before.candidate_errors);
  for (size_t i = 0; i < after.gates.size(); ++i) {
    EXPECT_EQ(after.gates[i].harm_log_e, before.gates[i].harm_log_e);
    EXPECT_EQ(after.gates[i].safe_log_e, before.gates[i].safe_log_e);
    EXPECT_EQ(after.gates[i].stable_exposure, before.gates[i].stable_exposure);
    EXPECT_EQ(after.gates[i].candidate_exposure, before.gates[i].candidate_exposure);
  }
  // Both outcomes of the draw are.
  Tick(100);
  EXPECT_EQ(Newest().candidate_requests, before.candidate_requests + 10);
  EXPECT_EQ(Newest().stable_requests, before.stable_requests + 90);
  RunToVerdict();
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted) << Newest().reason;
}

TEST_F(ControllerTest, TrafficFromBeforeTheRolloutIsForPlanningOnly) {
  Open("");
  for (int i = 0; i < 5; ++i) Tick();
  world_.observed.ready = {1, 2};
  Tick(0);
  Tick(0);
  const RolloutView begun = Newest();
  ASSERT_EQ(begun.phase, RolloutPhase::kProgressing) << begun.reason;
  EXPECT_EQ(begun.stable_requests, 0u);
  EXPECT_FALSE(begun.plan_notes.empty());
  for (const GateView& gate : begun.gates) {
    EXPECT_EQ(gate.stable_exposure, 0u);
    EXPECT_GT(gate.candidate_exposure_needed, 0);
  }
}

TEST_F(ControllerTest, AVersionWhoseLossesAreLargerIsRolledBackOverARestartOfTheCounters) {
  RolloutPlan plan = Plan();
  plan.gates[1].kind = RolloutGate::Kind::kLoss;
  plan.gates[1].loss.highest = 50;
  Open(dir_.file("journal.db"), {{"digits", plan}});
  Tick();
  EXPECT_EQ(world_.measure, (LossMeasure{LossMetric::kAbsoluteError, 50})) << "before any rollout";
  Tick();
  world_.observed.ready = {1, 2};
  world_.behaviour[2].loss = 0.16;
  Tick(0);
  ASSERT_EQ(Newest().phase, RolloutPhase::kProgressing) << Newest().reason;
  const auto& notes = Newest().plan_notes;
  EXPECT_TRUE(std::any_of(notes.begin(), notes.end(), [](const std::string& note) {
    return note.starts_with("loss: the mean absolute error of version 1 is 5 (200 labelled");
  })) << "of before";
  for (int i = 0; i < 3; ++i) Tick();
  world_.ForgetCounts();
  world_.measure.reset();
  Tick(0);
  EXPECT_TRUE(world_.measure) << "another process is told, too";
  ASSERT_EQ(Newest().gates[1].loss->metric, "absolute_error");
  EXPECT_NEAR(*Newest().gates[1].loss->candidate_mean, 8, 1e-9);
  const uint64_t before = Newest().gates[1].candidate_exposure;
  EXPECT_EQ(before, 60u);
  RunToVerdict();
  EXPECT_GT(Newest().gates[1].candidate_exposure, before);
  EXPECT_EQ(Newest().phase, RolloutPhase::kRolledBack);
  EXPECT_TRUE(
      Newest().reason.starts_with("rolled back: loss: the mean absolute error of version 2 "
                                  "is 8 ("))
      << Newest().reason;
  auto record = ParseVerdictRecord(controller_->Record(Newest().id, "0.1.0").value());
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(ReplayRecord(*record, {}, {}).difference, "");
}

TEST_F(ControllerTest, AVersionThatIsWrongIsRolledBackAndNotLoadedAgain) {
  world_.behaviour[2].wrong_rate = 0.3;
  BeginRollout();
  RunToVerdict();
  EXPECT_EQ(Newest().phase, RolloutPhase::kRolledBack);
  EXPECT_NE(Newest().reason.find("quality"), std::string::npos) << Newest().reason;
  EXPECT_EQ(world_.traffic.stable, 1);
  EXPECT_EQ(world_.traffic.candidate, 0);
  EXPECT_EQ(world_.traffic.exclude, std::vector<int64_t>{2});
  Tick();
  EXPECT_EQ(controller_->List().size(), 1u) << "a rejected version does not start again";
  EXPECT_LT(Metric("leadsman_rollout_exposed_requests", {"digits"}), 200);

  // A still newer one does; and the rejected one on request.
  world_.observed.ready = {1, 3};
  Tick();
  EXPECT_EQ(Newest().candidate, 3);
  EXPECT_EQ(controller_->StartRollout("digits", 2).code(), StatusCode::kAlreadyExists);
  ASSERT_TRUE(controller_->Abort(Newest().id, "ana").ok());
  Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kAborted);
  ASSERT_TRUE(controller_->StartRollout("digits", 2).ok());
  EXPECT_EQ(controller_->StartRollout("digits", 2).code(), StatusCode::kAlreadyExists);
  Tick();
  EXPECT_EQ(Newest().candidate, 2);
  EXPECT_EQ(Newest().phase, RolloutPhase::kHeld) << "waits for it to load";
  EXPECT_EQ(world_.traffic.keep, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(world_.traffic.candidate_share, 0);
  world_.observed.ready = {1, 2};
  RunToVerdict();
  EXPECT_EQ(Newest().phase, RolloutPhase::kRolledBack);
}

TEST_F(ControllerTest, WhoGoesBackToAnOlderVersionStaysThere) {
  Open(dir_.file("journal.db"));
  Tick();
  world_.observed.ready = {1, 2};
  RunToVerdict();
  ASSERT_EQ(world_.traffic.stable, 2);
  ASSERT_TRUE(controller_->StartRollout("digits", 1).ok());
  Tick();
  ASSERT_EQ(Newest().candidate, 1);
  ASSERT_TRUE(controller_->Promote(Newest().id, "ana").ok());
  for (int i = 0; i < 20; ++i) Tick();
  EXPECT_EQ(world_.traffic.stable, 1);
  EXPECT_EQ(Newest().candidate, 1) << "no rollout of 2 began by itself";
  EXPECT_EQ(world_.traffic.exclude, std::vector<int64_t>{2});
  Open(dir_.file("journal.db"));
  for (int i = 0; i < 20; ++i) Tick();
  EXPECT_EQ(world_.traffic.stable, 1);
  // A version that is newer than all of them is tried as ever; the one that was left when somebody asks for it.
  world_.observed.ready = {1, 2, 3};
  Tick();
  EXPECT_EQ(Newest().candidate, 3);
  ASSERT_TRUE(controller_->Abort(Newest().id, "ana").ok());
  Tick();
  ASSERT_TRUE(controller_->StartRollout("digits", 2).ok());
  Tick();
  EXPECT_EQ(Newest().candidate, 2);
}

TEST_F(ControllerTest, CommandsAreCheckedAndNamed) {
  BeginRollout();
  EXPECT_EQ(controller_->Promote(99, "ana").code(), StatusCode::kNotFound);
  EXPECT_EQ(controller_->StartRollout("iris", 2).code(), StatusCode::kNotFound);
  ASSERT_TRUE(controller_->Promote(Newest().id, "ana").ok());
  Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted);
  EXPECT_NE(Newest().reason.find("ana"), std::string::npos);
  EXPECT_EQ(controller_->Abort(Newest().id, "ben").code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(controller_->StartRollout("digits", 2).code(), StatusCode::kFailedPrecondition);
}

TEST_F(ControllerTest, OppositeCommandsAtOnceAreToldOfEachOther) {
  BeginRollout();
  const int64_t id = Newest().id;
  EXPECT_EQ(controller_->Resume(id, "ana").code(), StatusCode::kFailedPrecondition);
  ASSERT_TRUE(controller_->Pause(id, "ana").ok());
  EXPECT_TRUE(controller_->Pause(id, "ben").ok()) << "asked for already";
  const Status opposite = controller_->Promote(id, "ben");
  EXPECT_EQ(opposite.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(opposite.message().find("ana has asked for its pause"), std::string::npos) << opposite;
  Tick();
  EXPECT_EQ(Newest().paused_by, "ana");
  EXPECT_EQ(Newest().phase, RolloutPhase::kHeld);
  EXPECT_TRUE(controller_->Pause(id, "ben").ok()) << "paused already";
  // Only an abort takes another command's place, and nothing takes its own.
  ASSERT_TRUE(controller_->Promote(id, "ben").ok());
  ASSERT_TRUE(controller_->Abort(id, "cat").ok());
  const Status late = controller_->Promote(id, "ben");
  EXPECT_EQ(late.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(late.message().find("cat has asked for its abortion"), std::string::npos) << late;
  Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kAborted);
  EXPECT_NE(Newest().reason.find("cat"), std::string::npos);
}

TEST_F(ControllerTest, APauseOutlivesTheProcess) {
  BeginRollout();
  ASSERT_TRUE(controller_->Pause(Newest().id, "ana").ok());
  Tick();
  Open(dir_.file("journal.db"));
  for (int i = 0; i < 200; ++i) Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kHeld) << Newest().reason;
  EXPECT_EQ(Newest().paused_by, "ana");
  EXPECT_EQ(Newest().step, 0);
  EXPECT_EQ(world_.traffic.candidate_share, 0.1);
  ASSERT_TRUE(controller_->Resume(Newest().id, "ben").ok());
  RunToVerdict();
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted) << Newest().reason;
  auto journal = Journal::Open(dir_.file("journal.db")).value();
  EXPECT_TRUE(ReplayRollout(*journal, Newest().id, nullptr).value().agrees);
}

TEST_F(ControllerTest, AdvanceLeavesOneStepHoweverOftenItIsAsked) {
  BeginRollout();
  ASSERT_TRUE(controller_->Advance(Newest().id, "ana", std::nullopt).ok());
  ASSERT_TRUE(controller_->Advance(Newest().id, "ben", std::nullopt).ok());
  Tick();
  EXPECT_EQ(Newest().step, 1);
  EXPECT_EQ(world_.traffic.candidate_share, 0.5);
  Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kProgressing) << Newest().reason;
  ASSERT_TRUE(controller_->Advance(Newest().id, "ana", std::nullopt).ok());
  Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted);
  EXPECT_NE(Newest().reason.find("promoted by ana"), std::string::npos) << Newest().reason;
}

TEST_F(ControllerTest, AnAdvanceThatComesLateLeavesNoOtherStep) {
  BeginRollout();
  const int64_t id = Newest().id;
  ASSERT_TRUE(controller_->Advance(id, "ana", 0).ok());
  Tick();
  ASSERT_EQ(Newest().step, 1);
  const Status late = controller_->Advance(id, "ana", 0);  // sent once more
  EXPECT_EQ(late.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(late.message().find("is in step 1"), std::string::npos) << late;
  Tick();
  EXPECT_EQ(Newest().step, 1);
  EXPECT_EQ(Newest().phase, RolloutPhase::kProgressing) << Newest().reason;
}

TEST_F(ControllerTest, AnAbortThatComesWhileAPromotionIsDecidedGoesBeforeIt) {
  BeginRollout();
  const int64_t id = Newest().id;
  ASSERT_TRUE(controller_->Promote(id, "ana").ok());
  Status aborted = UnavailableError("not called");
  outside_.on_take = [&] { aborted = controller_->Abort(id, "ben"); };
  Tick();
  EXPECT_TRUE(aborted.ok()) << aborted;
  EXPECT_EQ(Newest().phase, RolloutPhase::kAborted) << Newest().reason;
  EXPECT_EQ(world_.traffic.stable, 1);
  controller_.reset();
  auto journal = Journal::Open(dir_.file("journal.db")).value();
  EXPECT_TRUE(ReplayRollout(*journal, id, nullptr).value().agrees);
}

TEST_F(ControllerTest, AWaitingPromoteOutlivesTheProcessAndIsWrittenOnce) {
  Open(dir_.file("journal.db"));
  Tick();
  ASSERT_TRUE(controller_->StartRollout("digits", 2).ok());
  Tick(0);
  ASSERT_EQ(Newest().phase, RolloutPhase::kHeld) << Newest().reason;
  ASSERT_TRUE(controller_->Promote(Newest().id, "ana").ok());
  for (int i = 0; i < 30; ++i) Tick(0);
  {
    auto journal = Journal::Open(dir_.file("journal.db")).value();
    EXPECT_LE(journal->Inputs(1).value().size(), 3u);
  }
  Open(dir_.file("journal.db"));
  Tick(0);
  EXPECT_EQ(Newest().phase, RolloutPhase::kHeld);
  world_.observed.ready = {1, 2};
  Tick(0);
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted) << Newest().reason;
  EXPECT_NE(Newest().reason.find("promoted by ana"), std::string::npos) << Newest().reason;
}

TEST_F(ControllerTest, AnEmptyNameIsNoReasonNotToPauseOrUndo) {
  BeginRollout();
  ASSERT_TRUE(controller_->Pause(Newest().id, "").ok());
  Tick();
  EXPECT_EQ(Newest().paused_by, "somebody");
  ASSERT_TRUE(controller_->Promote(Newest().id, " ").ok());
  Tick();
  ASSERT_TRUE(controller_->Undo(Newest().id, "").ok());
  Tick();
  EXPECT_EQ(Newest().candidate, 1);
  EXPECT_EQ(Newest().undo_by, "somebody");
}

TEST_F(ControllerTest, AStartMayBringThePlanOfAModelThatHasNoneAndTheTrafficStaysAsItLeftIt) {
  world_.observed.ready = {1, 2};
  Open(dir_.file("journal.db"), {});
  Tick();
  EXPECT_EQ(controller_->StartRollout("digits", 2).code(), StatusCode::kNotFound);
  EXPECT_EQ(controller_->StandingOf("digits").status().code(), StatusCode::kNotFound);
  RolloutPlan wrong = Plan();
  wrong.alpha = 2;
  EXPECT_EQ(controller_->StartRollout("digits", 2, wrong).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(controller_->KeptByStart().empty());

  world_.observed.ready = {1};  // until it decides only the main version is seen
  ASSERT_TRUE(controller_->StartRollout("digits", 2, Plan()).ok());
  EXPECT_EQ(controller_->StartRollout("digits", 3, Plan()).code(), StatusCode::kAlreadyExists);
  Tick();
  world_.observed.ready = {1, 2, 3};
  Tick();
  EXPECT_EQ(Newest().stable, 1);
  EXPECT_EQ(Newest().candidate, 2);
  EXPECT_EQ(Newest().plan_notes.at(0), "goes by a plan that came with its start");
  EXPECT_EQ(controller_->LetGo("digits").code(), StatusCode::kFailedPrecondition);
  RunToVerdict();
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted) << Newest().reason;

  for (int i = 0; i < 3; ++i) Tick();
  EXPECT_EQ(controller_->List().size(), 1u) << "version 3 does not begin by itself";
  EXPECT_EQ(world_.traffic.stable, 2);
  Open(dir_.file("journal.db"), {});  // another process
  Tick();
  EXPECT_EQ(controller_->KeptByStart(), std::vector<std::string>{"digits"});
  EXPECT_EQ(world_.traffic.stable, 2);
  ASSERT_TRUE(controller_->Undo(Newest().id, "ana").ok()) << "by the same plan";
  Tick();
  Tick();
  EXPECT_EQ(world_.traffic.stable, 1);

  ASSERT_TRUE(controller_->LetGo("digits").ok());
  Tick();
  EXPECT_EQ(world_.traffic.stable, 0) << "it is not managed any more";
  EXPECT_EQ(controller_->Retry(Newest().id, "ana").code(), StatusCode::kFailedPrecondition);
  Open(dir_.file("journal.db"), {});
  EXPECT_TRUE(controller_->KeptByStart().empty());
}

TEST_F(ControllerTest, APlanThatComesWithAStartIsThatOfOneRolloutWhereTheModelHasOne) {
  Open(dir_.file("journal.db"));
  Tick();
  RolloutPlan other = Plan();
  other.alpha = 0.02;
  ASSERT_TRUE(controller_->StartRollout("digits", 2, other).ok());
  Tick();
  world_.observed.ready = {1, 2};
  Tick();
  EXPECT_EQ(Newest().alpha, 0.02);
  EXPECT_TRUE(controller_->KeptByStart().empty());
  ASSERT_TRUE(controller_->Abort(Newest().id, "ana").ok());
  Tick();
  ASSERT_TRUE(controller_->Retry(Newest().id, "ana").ok());
  Tick();
  EXPECT_EQ(Newest().alpha, Plan().alpha) << "by the present plan";
}

TEST_F(ControllerTest, APlanOfTheConfigurationTakesThePlaceOfTheOneThatAStartBrought) {
  Open(dir_.file("journal.db"), {});
  ASSERT_TRUE(controller_->StartRollout("digits", 2, Plan()).ok());
  Tick();
  world_.observed.ready = {1, 2};
  RunToVerdict();
  ASSERT_EQ(Newest().phase, RolloutPhase::kPromoted) << Newest().reason;
  controller_->Apply({{"digits", Plan()}});
  EXPECT_TRUE(controller_->KeptByStart().empty());
  world_.observed.ready = {1, 2, 3};
  Tick();
  EXPECT_EQ(Newest().candidate, 3) << "by a plan of the configuration it begins by itself";
  Open(dir_.file("journal.db"), {});
  EXPECT_TRUE(controller_->KeptByStart().empty()) << "its newest rollout went by another plan";
}

TEST_F(ControllerTest, ARolloutByAPlanThatAStartBroughtGoesOnInTheNextProcess) {
  Open(dir_.file("journal.db"), {});
  ASSERT_TRUE(controller_->StartRollout("digits", 2, Plan()).ok());
  Tick();
  world_.observed.ready = {1, 2};
  Tick();
  ASSERT_EQ(Newest().phase, RolloutPhase::kProgressing) << Newest().reason;
  Open(dir_.file("journal.db"), {});
  EXPECT_EQ(controller_->KeptByStart(), std::vector<std::string>{"digits"});
  RunToVerdict();
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted) << Newest().reason;
  Tick();
  EXPECT_EQ(world_.traffic.stable, 2);
  const std::string text = controller_->Record(Newest().id, "0.1.0").value();
  auto record = ParseVerdictRecord(text);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(ReplayRecord(*record, {}, {}).difference, "");
}

TEST_F(ControllerTest, RetryBeginsAnewWhatWasTakenBack) {
  BeginRollout();
  const int64_t first = Newest().id;
  EXPECT_EQ(controller_->Retry(first, "ana").code(), StatusCode::kFailedPrecondition);
  ASSERT_TRUE(controller_->Abort(first, "ana").ok());
  Tick();
  EXPECT_EQ(controller_->Undo(first, "ana").code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(controller_->Retry(99, "ana").code(), StatusCode::kNotFound);
  ASSERT_TRUE(controller_->Retry(first, "ana").ok());
  Tick();
  ASSERT_NE(Newest().id, first);
  EXPECT_EQ(Newest().candidate, 2);
  EXPECT_EQ(Newest().plan_notes.at(0), "rollout 1 once more, asked for by ana");
  RunToVerdict();
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted) << Newest().reason;
  EXPECT_EQ(controller_->Retry(Newest().id, "ana").code(), StatusCode::kFailedPrecondition);
}

TEST_F(ControllerTest, UndoGoesBackToTheVersionBefore) {
  BeginRollout();
  const int64_t promoted = Newest().id;
  EXPECT_EQ(controller_->Undo(promoted, "ana").code(), StatusCode::kFailedPrecondition);
  RunToVerdict();
  ASSERT_EQ(world_.traffic.stable, 2);
  world_.observed.ready = {2};  // the old one has left memory
  Tick();
  ASSERT_TRUE(controller_->Undo(promoted, "ana").ok());
  Tick();
  EXPECT_EQ(Newest().candidate, 1);
  EXPECT_EQ(Newest().phase, RolloutPhase::kHeld) << "waits for it to load";
  EXPECT_EQ(world_.traffic.candidate_share, 0);
  EXPECT_EQ(world_.traffic.keep, (std::vector<int64_t>{2, 1}));
  // The wish outlives the process.
  Open(dir_.file("journal.db"));
  Tick();
  world_.observed.ready = {1, 2};
  Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted);
  EXPECT_NE(Newest().reason.find("undone by ana"), std::string::npos) << Newest().reason;
  EXPECT_EQ(world_.traffic.stable, 1);
  for (int i = 0; i < 10; ++i) Tick();
  EXPECT_EQ(world_.traffic.stable, 1) << "the one that was left does not come back by itself";
  EXPECT_EQ(controller_->Undo(promoted, "ana").code(), StatusCode::kFailedPrecondition)
      << "its candidate is not the stable version any more";
}

RolloutPlan AskingPlan() {
  RolloutPlan plan = Plan();
  plan.gates.resize(1);
  RolloutGate promql, webhook;
  promql.kind = RolloutGate::Kind::kPromql;
  promql.outside.address = "http://prometheus:9090";
  promql.outside.query = "errors{version=\"{{candidate}}\"}";
  promql.outside.interval = seconds(2);
  promql.max = 0.5;
  webhook.kind = RolloutGate::Kind::kWebhook;
  webhook.outside.url = "https://ci.example.org/gate";
  webhook.outside.interval = seconds(5);
  plan.gates.push_back(promql);
  plan.gates.push_back(webhook);
  return plan;
}

TEST_F(ControllerTest, GatesAreAskedAtTheirIntervalsAndTheirAnswersJournaled) {
  double value = 0.1;
  outside_.answer = [&](const OutsideQuestion& question) -> std::optional<OutsideReading> {
    OutsideReading reading;
    const bool promql = question.about.kind == RolloutGate::Kind::kPromql;
    reading.kind = promql ? OutsideReading::Kind::kValue : OutsideReading::Kind::kPass;
    reading.value = promql ? value : 0;
    return reading;
  };
  Open(dir_.file("journal.db"), {{"digits", AskingPlan()}});
  Tick();
  world_.observed.ready = {1, 2};
  Tick();
  ASSERT_EQ(outside_.asked.size(), 2u) << "as soon as the candidate is there";
  EXPECT_EQ(outside_.asked[0].text, "errors{version=\"2\"}");
  EXPECT_NE(outside_.asked[1].text.find("\"candidate\":2"), std::string::npos)
      << outside_.asked[1].text;
  Tick();
  EXPECT_EQ(outside_.asked.size(), 2u);
  Tick();
  EXPECT_EQ(outside_.asked.size(), 3u) << "two seconds later the query";
  RunToVerdict();
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted) << Newest().reason;
  EXPECT_EQ(outside_.forgotten, std::vector<int64_t>{Newest().id});
  EXPECT_GT(Metric("leadsman_rollout_outside_answers_total", {"digits", "promql", "answered"}), 1);
  // A replay asks nobody.
  const size_t asked = outside_.asked.size();
  auto journal = Journal::Open(dir_.file("journal.db")).value();
  EXPECT_TRUE(ReplayRollout(*journal, Newest().id, nullptr).value().agrees);
  EXPECT_EQ(outside_.asked.size(), asked);

  value = 0.7;
  world_.observed.ready = {2, 3};
  for (int i = 0; i < 10; ++i) Tick();
  EXPECT_EQ(Newest().candidate, 3);
  EXPECT_EQ(Newest().phase, RolloutPhase::kRolledBack);
  EXPECT_NE(Newest().reason.find("promql: 0.7 is above 0.5"), std::string::npos) << Newest().reason;
}

TEST_F(ControllerTest, AGateIsAskedAboutTheTrafficThatIsSetAndOnceMoreAtTheEndOfItsStep) {
  RolloutPlan plan = AskingPlan();
  plan.gates.erase(plan.gates.begin() + 1);  // errors and a webhook that has an hour
  plan.gates[1].outside.interval = std::chrono::hours(1);
  std::vector<std::pair<int, double>> asked;
  outside_.answer = [&](const OutsideQuestion& question) -> std::optional<OutsideReading> {
    asked.emplace_back(question.step, world_.traffic.candidate_share);
    OutsideReading reading;
    reading.kind = OutsideReading::Kind::kPass;
    return reading;
  };
  Open("", {{"digits", plan}});
  Tick();
  world_.observed.ready = {1, 2};
  RunToVerdict();
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted) << Newest().reason;
  ASSERT_GE(asked.size(), 2u);
  EXPECT_LE(asked.size(), 4u) << "an hour was not waited for, nor was it asked at each tick";
  for (const auto& [step, share] : asked) EXPECT_EQ(share, step == 0 ? 0.1 : 0.5);
  // While the traffic cannot be set, no answer counts for the step.
  asked.clear();
  world_.apply_status = UnavailableError("no route");
  world_.observed.ready = {2, 3};
  for (int i = 0; i < 5; ++i) Tick();
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].first, -1);
  EXPECT_FALSE(Newest().gates[1].outside->passes);
}

TEST_F(ControllerTest, WithoutAnAnswerNothingIsPromotedAndNobodyIsTakenBack) {
  Open("", {{"digits", AskingPlan()}});
  Tick();
  world_.observed.ready = {1, 2};
  for (int i = 0; i < 200; ++i) Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kProgressing) << Newest().reason;
  EXPECT_EQ(Newest().step, 0);
  EXPECT_NE(Newest().reason.find("a passing answer to promql in this step (none yet)"),
            std::string::npos)
      << Newest().reason;
  ASSERT_EQ(Newest().gates.size(), 3u);
  ASSERT_TRUE(Newest().gates[1].outside);
  EXPECT_EQ(Newest().gates[1].outside->kind, "promql");
}

TEST_F(ControllerTest, FailingAnswersTakeBackWithoutMetrics) {
  Open("", {{"digits", AskingPlan()}});
  Tick();
  world_.observed.ready = {1, 2};
  world_.read_status = UnavailableError("no metrics");
  outside_.answer = [](const OutsideQuestion& question) -> std::optional<OutsideReading> {
    if (question.about.kind == RolloutGate::Kind::kWebhook) return std::nullopt;
    OutsideReading reading;
    reading.kind = OutsideReading::Kind::kValue;
    reading.value = 9;
    return reading;
  };
  for (int i = 0; i < 12; ++i) Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kRolledBack) << Newest().reason;
}

TEST_F(ControllerTest, BlueGreenKeepsTheStableVersionUntilTheEnd) {
  RolloutPlan plan;
  plan.strategy = RolloutPlan::Strategy::kBlueGreen;
  plan.blue_green.emplace();
  plan.blue_green->preview_duration = seconds(3);
  plan.blue_green->watch_duration = seconds(5);
  plan.gates.resize(1);
  plan.gates[0].max = 0.05;
  Open(dir_.file("journal.db"), {{"digits", plan}});
  Tick();
  world_.observed.ready = {1, 2};
  Tick();
  EXPECT_EQ(world_.traffic.candidate, 2);
  EXPECT_EQ(world_.traffic.candidate_share, 0);
  for (int i = 0; i < 4; ++i) Tick();
  EXPECT_EQ(world_.traffic.candidate_share, 1);
  EXPECT_EQ(world_.traffic.stable, 1);
  EXPECT_EQ(world_.traffic.keep, (std::vector<int64_t>{1, 2}));
  // A new process goes on after the switch.
  Open(dir_.file("journal.db"), {{"digits", plan}});
  Tick();
  EXPECT_EQ(world_.traffic.candidate_share, 1);
  EXPECT_EQ(Newest().strategy, "blue_green");
  RunToVerdict();
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted) << Newest().reason;
  EXPECT_EQ(world_.traffic.keep, std::vector<int64_t>{2});
  // The next one fails half of its requests: at once back.
  world_.behaviour[3].error_rate = 0.5;
  world_.observed.ready = {2, 3};
  Tick();
  RunToVerdict();
  EXPECT_EQ(Newest().candidate, 3);
  EXPECT_EQ(Newest().phase, RolloutPhase::kRolledBack) << Newest().reason;
  EXPECT_EQ(world_.traffic.stable, 2);
  EXPECT_EQ(world_.traffic.candidate, 0);
}

TEST_F(ControllerTest, AShadowGetsCopiesUntilItsVerdictAlsoAfterARestart) {
  RolloutPlan plan;
  plan.strategy = RolloutPlan::Strategy::kShadow;
  plan.shadow.emplace().mirror = 0.5;
  plan.shadow->duration = seconds(10);
  plan.gates.resize(2);
  plan.gates[1].kind = RolloutGate::Kind::kAnswers;
  plan.gates[1].max = 0.05;
  Open(dir_.file("journal.db"), {{"digits", plan}});
  Tick();
  world_.observed.ready = {1, 2};
  Tick();
  Tick();
  EXPECT_EQ(world_.traffic.candidate, 2);
  EXPECT_EQ(world_.traffic.candidate_share, 0);
  EXPECT_EQ(world_.traffic.mirror_share, 0.5);
  EXPECT_EQ(Metric("leadsman_rollout_mirror_share", {"digits"}), 0.5);
  for (int i = 0; i < 3; ++i) Tick();
  const uint64_t before = Newest().copies->compared;
  EXPECT_GT(before, 0u);
  // Killed: the counters start anew, the evidence does not.
  world_.traffic = {};
  world_.ForgetCounts();
  Open(dir_.file("journal.db"), {{"digits", plan}});
  Tick();
  EXPECT_EQ(world_.traffic.mirror_share, 0.5);
  EXPECT_EQ(Newest().strategy, "shadow");
  RunToVerdict();
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted) << Newest().reason;
  EXPECT_GT(Newest().copies->compared, before);
  EXPECT_EQ(Newest().candidate_requests, 0u);
  EXPECT_EQ(world_.traffic.stable, 2);
  EXPECT_EQ(world_.traffic.mirror_share, 0);
  const std::string record = controller_->Record(Newest().id, "test").value();
  auto parsed = ParseVerdictRecord(record);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(ReplayRecord(*parsed, {}, {}).difference, "");
  // The next one answers every fifth copy otherwise.
  world_.differs_every = 5;
  world_.observed.ready = {2, 3};
  Tick();
  RunToVerdict();
  EXPECT_EQ(Newest().candidate, 3);
  EXPECT_EQ(Newest().phase, RolloutPhase::kRolledBack) << Newest().reason;
  EXPECT_EQ(world_.traffic.stable, 2);
  EXPECT_EQ(world_.traffic.mirror_share, 0);
}

TEST_F(ControllerTest, ARollingShareFollowsTheEndpointsThatAreReady) {
  RolloutPlan plan;
  plan.strategy = RolloutPlan::Strategy::kRolling;
  plan.rolling.emplace().duration = seconds(2);
  plan.gates.resize(1);
  Open(dir_.file("journal.db"), {{"digits", plan}});
  Tick();
  world_.observed.ready = {1, 2};
  world_.observed.replicas = {{1, {4, 4}}, {2, {1, 4}}};
  for (int i = 0; i < 60; ++i) Tick(1000);
  EXPECT_EQ(Newest().step_count, 5) << "a batch for each endpoint, and the time before";
  EXPECT_EQ(world_.traffic.candidate_share, 0.25) << Newest().reason;
  EXPECT_NE(Newest().reason.find("2 of 4 endpoints of version 2 to be ready (1 is)"),
            std::string::npos)
      << Newest().reason;
  Open(dir_.file("journal.db"), {{"digits", plan}});
  Tick(1000);
  EXPECT_EQ(world_.traffic.candidate_share, 0.25);
  world_.observed.replicas[2] = {3, 4};
  for (int i = 0; i < 20; ++i) Tick(1000);
  EXPECT_EQ(world_.traffic.candidate_share, 0.75) << Newest().reason;
  // The last of the old ones goes when the last of the new ones is there.
  world_.observed.replicas[2] = {4, 4};
  for (int i = 0; i < 2; ++i) Tick(1000);
  EXPECT_EQ(world_.traffic.candidate_share, 1) << Newest().reason;
  // A check that all miss takes the traffic to no version that is gone.
  world_.observed.ready.clear();
  Tick(1000);
  EXPECT_EQ(Newest().phase, RolloutPhase::kHeld) << Newest().reason;
  EXPECT_EQ(world_.traffic.candidate_share, 1) << Newest().reason;
  world_.observed.ready = {2};
  RunToVerdict();
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted) << Newest().reason;
  EXPECT_EQ(world_.traffic.stable, 2);
}

TEST_F(ControllerTest, ACandidateThatIsAwayHasNoTrafficAndIsTakenBackAfterAWhile) {
  BeginRollout();
  Tick();
  world_.observed.ready = {1};
  Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kHeld);
  EXPECT_NE(Newest().reason.find("it is taken back unless it is again within 10 s"),
            std::string::npos)
      << Newest().reason;
  EXPECT_EQ(world_.traffic.candidate_share, 0);
  const uint64_t drawn = Newest().candidate_requests;
  for (int i = 0; i < 9; ++i) Tick();
  EXPECT_EQ(Newest().candidate_requests, drawn);
  world_.observed.ready = {1, 2};
  Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kProgressing) << Newest().reason;
  EXPECT_EQ(world_.traffic.candidate_share, 0.1);
  // Without requests too: what is not journaled takes its time all the same.
  world_.observed.ready = {1};
  for (int i = 0; i < 10; ++i) Tick(0);
  EXPECT_EQ(Newest().phase, RolloutPhase::kHeld) << Newest().reason;
  Tick(0);
  EXPECT_EQ(Newest().phase, RolloutPhase::kRolledBack) << Newest().reason;
  EXPECT_NE(Newest().reason.find("version 2 has not been ready for 10 s"), std::string::npos)
      << Newest().reason;
  auto journal = Journal::Open(dir_.file("journal.db")).value();
  EXPECT_TRUE(ReplayRollout(*journal, Newest().id, {})->agrees);
}

TEST_F(ControllerTest, HarmInASegmentIsFoundAlsoOverARestart) {
  RolloutPlan plan = Plan();
  plan.steps = {{0.5, std::chrono::hours(1)}};
  plan.segments.emplace().by = {"tenant"};
  plan.segments->max = 2;
  Open(dir_.file("journal.db"), {{"digits", plan}});
  Tick();
  auto serve = [&](const std::string& name, uint64_t requests, uint64_t errors) {
    for (int64_t version : {1, 2}) {
      ArmTotals::Segment& segment = world_.segments[version][name];
      segment.requests += requests;
      segment.all_requests += requests;
      segment.errors += version == 2 ? errors : 0;
    }
  };
  serve("tenant=small", 1, 0);
  serve("tenant=globex", 50, 0);
  serve("tenant=acme", 90, 0);
  serve("region=eu", 1000, 1000);
  world_.observed.ready = {1, 2};
  Tick();
  ASSERT_TRUE(Newest().segments);
  EXPECT_TRUE(Newest().segments->tests_of.empty()) << "what was before is no evidence";
  EXPECT_EQ(Newest().segments->tests, 4);
  for (int i = 0; i < 10; ++i) {
    serve("tenant=small", 5, 5);
    serve("tenant=globex", 50, 0);
    if (i == 5) Open(dir_.file("journal.db"), {{"digits", plan}});
    Tick();
  }
  ASSERT_EQ(Newest().segments->tests_of.size(), 1u)
      << "of acme nothing came, for small no room was";
  EXPECT_EQ(Newest().segments->tests_of[0].segment, "tenant=globex");
  EXPECT_EQ(Newest().phase, RolloutPhase::kProgressing) << Newest().reason;
  EXPECT_EQ(Metric("leadsman_rollout_harmed_segments", {"digits"}), 0);
  for (int i = 0; i < 5 && Newest().phase == RolloutPhase::kProgressing; ++i) {
    serve("tenant=acme", 20, 10);
    Tick();
  }
  EXPECT_EQ(Newest().phase, RolloutPhase::kRolledBack) << Newest().reason;
  EXPECT_NE(Newest().reason.find("errors in tenant=acme: "), std::string::npos) << Newest().reason;
  EXPECT_EQ(Metric("leadsman_rollout_harmed_segments", {"digits"}), 1);
  auto journal = Journal::Open(dir_.file("journal.db")).value();
  EXPECT_TRUE(ReplayRollout(*journal, Newest().id, {})->agrees);
}

TEST_F(ControllerTest, NewerVersionsWaitForTheRolloutUnderWay) {
  BeginRollout();
  world_.observed.ready = {1, 2, 3};
  Tick();
  EXPECT_EQ(controller_->List().size(), 1u);
  RunToVerdict();
  Tick();
  EXPECT_EQ(Newest().candidate, 3);
  EXPECT_EQ(Newest().stable, 2);
}

TEST_F(ControllerTest, CountersThatStartAnewDoNotMakeEvidenceUp) {
  BeginRollout();
  for (int i = 0; i < 3; ++i) Tick();
  uint64_t before = Newest().stable_requests;
  world_.ForgetCounts();
  Tick(100);
  EXPECT_EQ(Newest().stable_requests + Newest().candidate_requests,
            before + 100 + (Newest().candidate_requests - 10));
  EXPECT_EQ(Newest().stable_requests, before + 90);
}

TEST_F(ControllerTest, HoldsWhileMetricsAreMissingAndLosesNothing) {
  BeginRollout();
  world_.read_status = UnavailableError("no answer");
  Tick();
  Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kHeld);
  EXPECT_EQ(Newest().stable_requests, 0u);
  world_.read_status = OkStatus();
  Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kProgressing);
  EXPECT_EQ(Newest().stable_requests, 3 * 180u);
}

TEST_F(ControllerTest, DoesNotMoveOnWhileTheTrafficCannotBeSet) {
  Open("");
  Tick();
  world_.observed.ready = {1, 2};
  world_.apply_status = UnavailableError("no route");
  for (int i = 0; i < 100; ++i) Tick();
  EXPECT_EQ(Newest().phase, RolloutPhase::kHeld);
  EXPECT_NE(Newest().reason.find("no route"), std::string::npos);
  EXPECT_EQ(Newest().step, 0);
  world_.apply_status = OkStatus();
  RunToVerdict();
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted);
}

TEST_F(ControllerTest, AStableVersionThatFailsToLoadAfterARestartIsReplaced) {
  Open(dir_.file("journal.db"));
  Tick();
  world_.observed.ready = {2};
  world_.observed.failed = {{1, "truncated"}};
  Open(dir_.file("journal.db"));
  Tick();
  EXPECT_EQ(world_.traffic.stable, 2);
}

TEST_F(ControllerTest, AStableVersionThatIsOnlyLateIsWaitedForAMinute) {
  Open(dir_.file("journal.db"));
  Tick();
  world_.observed.ready = {2};
  Open(dir_.file("journal.db"));
  for (int i = 0; i < 50; ++i) Tick();
  EXPECT_EQ(world_.traffic.stable, 1);
  for (int i = 0; i < 15; ++i) Tick();
  EXPECT_EQ(world_.traffic.stable, 2);
}

TEST_F(ControllerTest, AModelWithoutAPlanIsLetGo) {
  Open("");
  Tick();
  controller_->Apply({});
  Tick();
  EXPECT_EQ(world_.traffic.stable, 0);
  EXPECT_TRUE(world_.traffic.keep.empty());
}

TEST_F(ControllerTest, APlanThatComesBackTakesWhatServedMeanwhileEvenIfItWasRejected) {
  BeginRollout();
  ASSERT_TRUE(controller_->Abort(Newest().id, "ana").ok());
  Tick();
  ASSERT_EQ(world_.traffic.exclude, std::vector<int64_t>{2});
  controller_->Apply({});
  Tick();
  world_.observed.ready = {2};  // nothing excludes it now, and it is the newest
  controller_->Apply({{"digits", Plan()}});
  Tick();
  EXPECT_EQ(world_.traffic.stable, 2);
}

TEST_F(ControllerTest, TheJournaledTrafficIsSetBeforeStartReturns) {
  world_.behaviour[2].wrong_rate = 0.3;
  BeginRollout();
  RunToVerdict();
  world_.observed.ready = {};
  world_.applied.clear();
  Open(dir_.file("journal.db"));
  std::optional<std::thread::id> first;
  world_.before_apply = [&] {
    if (!first) first = std::this_thread::get_id();
  };
  controller_->Start();
  controller_->Stop();
  ASSERT_FALSE(world_.applied.empty());
  EXPECT_EQ(first, std::this_thread::get_id()) << "not some time later on the control thread";
  EXPECT_EQ(world_.applied[0].stable, 1);
  EXPECT_EQ(world_.applied[0].exclude, std::vector<int64_t>{2});
}

TEST_F(ControllerTest, ARolloutWithoutTrafficIsJournaledOnceAMinuteAndTakesItsTime) {
  RolloutPlan plan = Plan();
  plan.max_duration = std::chrono::minutes(10);
  Open(dir_.file("journal.db"), {{"digits", plan}});
  Tick();
  world_.observed.ready = {1, 2};
  int ticks = 0;
  do {
    Tick(0);
  } while (++ticks < 1000 && Newest().phase == RolloutPhase::kProgressing);
  EXPECT_EQ(Newest().phase, RolloutPhase::kRolledBack) << Newest().reason;
  EXPECT_NEAR(ticks, 600, 3);
  controller_.reset();
  auto journal = Journal::Open(dir_.file("journal.db")).value();
  EXPECT_LE(journal->Inputs(1).value().size(), 20u);
  EXPECT_TRUE(ReplayRollout(*journal, 1, nullptr).value().agrees);
}

TEST_F(ControllerTest, RefusesABadPlanAtTheStartAndKeepsTheOldOneLater) {
  RolloutPlan bad = Plan();
  bad.gates[0].margin = 0.5;
  auto refused =
      RolloutController::Create({clock_, world_, world_, world_, registry_, ""}, {{"digits", bad}});
  EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument);
  Open("");
  controller_->Apply({{"digits", bad}});
  Tick();
  world_.observed.ready = {1, 2};
  RunToVerdict();
}

TEST_F(ControllerTest, HistoryShowsEveryTickAndTheReplayAgrees) {
  BeginRollout();
  RunToVerdict();
  auto ticks = controller_->History(1).value();
  ASSERT_GE(ticks.size(), 5u);
  uint64_t requests = 0;
  for (const TickView& tick : ticks) requests += tick.candidate_requests;
  EXPECT_EQ(requests, Newest().candidate_requests);
  EXPECT_EQ(ticks.back().decision, "promote");
  controller_.reset();
  auto journal = Journal::Open(dir_.file("journal.db")).value();
  EXPECT_TRUE(ReplayRollout(*journal, 1, nullptr).value().agrees);
}

// ---- killed at any point ----

class KillTest : public ControllerTest, public testing::WithParamInterface<double> {};

TEST_P(KillTest, AtEveryTickGoesOnToTheSameVerdict) {
  world_.behaviour[2].wrong_rate = GetParam();
  BeginRollout();
  const int ticks = RunToVerdict();
  const RolloutPhase verdict = Newest().phase;
  const FakeWorld fresh = [] {
    FakeWorld world;
    world.observed.ready = {1};
    return world;
  }();
  for (int kill_after = 0; kill_after < ticks; ++kill_after) {
    SCOPED_TRACE(kill_after);
    world_ = fresh;
    world_.behaviour[2].wrong_rate = GetParam();
    const std::string path = dir_.file("kill" + std::to_string(kill_after) + ".db");
    Open(path);
    Tick();
    world_.observed.ready = {1, 2};
    Tick();
    for (int i = 0; i < kill_after; ++i) Tick();
    // As SIGKILL leaves it: the files as they are, nothing closed.
    for (const char* suffix : {"", "-wal"}) {
      std::filesystem::copy_file(path + suffix, path + ".copy" + suffix);
    }
    Open(path + ".copy");
    world_.ForgetCounts();       // the server's counters are gone
    world_.observed.ready = {};  // and nothing is loaded yet
    Tick(0);
    world_.observed.ready = {1, 2};
    RunToVerdict();
    EXPECT_EQ(Newest().phase, verdict) << Newest().reason;
    EXPECT_EQ(world_.traffic.stable, verdict == RolloutPhase::kPromoted ? 2 : 1);
  }
}
INSTANTIATE_TEST_SUITE_P(GoodAndBad, KillTest, testing::Values(0.02, 0.3));

TEST_F(ControllerTest, KilledBetweenTheJournalAndTheTrafficAppliesItAfterTheRestart) {
  world_.behaviour[2].wrong_rate = 0.3;
  BeginRollout();
  const std::string path = dir_.file("journal.db"), copy = dir_.file("copy.db");
  bool copied = false;
  world_.before_apply = [&] {
    if (copied) return;
    copied = true;
    for (const char* suffix : {"", "-wal"})
      std::filesystem::copy_file(path + suffix, copy + suffix);
  };
  RunToVerdict();
  ASSERT_TRUE(copied);
  world_.before_apply = nullptr;
  world_.traffic = {};
  Open(copy);
  EXPECT_EQ(Newest().phase, RolloutPhase::kRolledBack)
      << "the verdict was journaled before it was acted on";
  Tick();
  EXPECT_EQ(world_.traffic.stable, 1);
  EXPECT_EQ(world_.traffic.candidate, 0);
}

// ---- a journal that cannot be written ----

/// Holds the journal's write lock, as a backup tool might; what the journal sees of a full disk is the same: no write.
class WriteLock {
 public:
  explicit WriteLock(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &db_), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db_, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  }
  ~WriteLock() { sqlite3_close(db_); }

 private:
  sqlite3* db_ = nullptr;
};

TEST_F(ControllerTest, WithoutAJournalNothingIsPromotedAndEvidenceIsNotLost) {
  BeginRollout();
  {
    WriteLock lock(dir_.file("journal.db"));
    Tick(20'000);
    Tick(20'000);
    EXPECT_EQ(Newest().phase, RolloutPhase::kHeld);
    EXPECT_NE(Newest().reason.find("journal cannot be written"), std::string::npos)
        << Newest().reason;
    EXPECT_GE(Metric("leadsman_rollout_journal_errors_total", {}), 2);
  }
  Tick();
  EXPECT_EQ(Newest().stable_requests, 36'180u);
  RunToVerdict();
  EXPECT_EQ(Newest().phase, RolloutPhase::kPromoted);
  controller_.reset();
  auto journal = Journal::Open(dir_.file("journal.db")).value();
  EXPECT_TRUE(ReplayRollout(*journal, 1, nullptr).value().agrees);
}

TEST_F(ControllerTest, HeldByTheJournalIsToldOnceAlsoWithLittleTraffic) {
  BeginRollout();
  {
    WriteLock lock(dir_.file("journal.db"));
    for (int i = 0; i < 5; ++i) {
      clock_.Advance(seconds(19));
      Tick(i % 2 == 0 ? 200 : 0);
      EXPECT_EQ(Newest().phase, RolloutPhase::kHeld) << i << ": " << Newest().reason;
    }
    EXPECT_EQ(Told(), "started held");
  }
  Tick(0);
  EXPECT_EQ(controller_->journal_problem(), "") << "what was refused is in";
  RunToVerdict();
  EXPECT_EQ(Told(), "started held step promoted");
}

TEST_F(ControllerTest, TheFirstTickThatIsWrittenAfterARestartIsTheFirst) {
  BeginRollout();
  Tick();
  Open(dir_.file("journal.db"));
  {
    WriteLock lock(dir_.file("journal.db"));
    Tick();
    Tick();
  }
  Tick();
  auto journal = Journal::Open(dir_.file("journal.db")).value();
  EXPECT_EQ(journal->Inputs(1).value().back().elapsed, Duration{})
      << "what another process was told passes for nothing";
}

TEST_F(ControllerTest, ARolloutThatCannotBeginIsSaidOnceUntilItHasBegun) {
  Open(dir_.file("journal.db"));
  Tick();
  EXPECT_EQ(controller_->journal_problem(), "");
  world_.observed.ready = {1, 2};
  testing::internal::CaptureStderr();
  {
    WriteLock lock(dir_.file("journal.db"));
    for (int i = 0; i < 3; ++i) {
      Tick();  // reads the journal each time, which works
      EXPECT_NE(controller_->journal_problem().find("cannot be written"), std::string::npos);
    }
    EXPECT_TRUE(controller_->List().empty());
  }
  Tick();
  std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(controller_->List().size(), 1u);
  EXPECT_EQ(controller_->journal_problem(), "");
  auto count = [&](const std::string& text) {
    int found = 0;
    for (size_t at = log.find(text); at != std::string::npos; at = log.find(text, at + 1)) ++found;
    return found;
  };
  EXPECT_EQ(count("rollout journal cannot be written"), 1) << log;
  EXPECT_EQ(count("rollout journal can be written again"), 1) << log;
}

TEST_F(ControllerTest, WithoutAJournalHarmIsStillTakenBackAndWrittenLater) {
  world_.behaviour[2].wrong_rate = 0.5;
  BeginRollout();
  {
    WriteLock lock(dir_.file("journal.db"));
    Tick(2000);
    EXPECT_EQ(Newest().phase, RolloutPhase::kRolledBack);
    EXPECT_EQ(world_.traffic.candidate, 0);
    EXPECT_EQ(world_.traffic.exclude, std::vector<int64_t>{2});
  }
  Tick();
  controller_.reset();
  auto journal = Journal::Open(dir_.file("journal.db")).value();
  EXPECT_EQ(journal->LastState(1).value().phase, RolloutPhase::kRolledBack);
  EXPECT_EQ(journal->Models().value().at(0).rejected, std::set<int64_t>{2});
  EXPECT_TRUE(ReplayRollout(*journal, 1, nullptr).value().agrees);
}

// ---- its own thread ----

TEST_F(ControllerTest, RunsOnItsOwnThreadAndAnswersFromOthers) {
  RolloutPlan plan = Plan();
  plan.interval = std::chrono::milliseconds(1);
  auto controller = RolloutController::Create(
      {SystemClock(), world_, world_, world_, registry_, dir_.file("journal.db")},
      {{"digits", plan}});
  ASSERT_TRUE(controller.ok());
  world_.observed.ready = {1, 2};
  (*controller)->Start();
  // v2 is the first one seen here; ask for a rollout of v1 and abort it, all from this thread.
  const SteadyTime give_up = SystemClock().SteadyNow() + seconds(20);
  while (!(*controller)->StartRollout("digits", 1).ok() && SystemClock().SteadyNow() < give_up) {
  }
  while ((*controller)->List().empty() && SystemClock().SteadyNow() < give_up) registry_.Collect();
  ASSERT_FALSE((*controller)->List().empty());
  const int64_t id = (*controller)->List()[0].id;
  EXPECT_TRUE((*controller)->Abort(id, "ana").ok());
  while ((*controller)->Get(id)->phase != RolloutPhase::kAborted &&
         SystemClock().SteadyNow() < give_up) {
    (void)(*controller)->History(id);
  }
  EXPECT_EQ((*controller)->Get(id)->phase, RolloutPhase::kAborted);
  (*controller)->Stop();
  (*controller)->Stop();
}

}  // namespace
}  // namespace leadsman
