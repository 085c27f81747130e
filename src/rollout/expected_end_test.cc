#include "rollout/expected_end.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "rollout/config_schema.h"
#include "rollout/freeze.h"
#include "rollout/simulation.h"

namespace leadsman {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using Kind = ExpectedEnd::Kind;

TEST(TrafficPaceTest, LooksBackAFewMinutesAndSaysNothingAtFirst) {
  TrafficPace pace;
  EXPECT_FALSE(pace.Drawn());
  pace.Add(seconds(9), 90, 180);
  EXPECT_FALSE(pace.Drawn());
  pace.Add(seconds(1), 10, 20);
  EXPECT_EQ(pace.Drawn(), 10);
  EXPECT_EQ(pace.All(), 20);
  for (int i = 0; i < 400; ++i) pace.Add(seconds(1), 0, 5);
  EXPECT_EQ(pace.Drawn(), 0) << "what it had before is forgotten";
  EXPECT_EQ(pace.All(), 5);
}

TrafficPace Steady(uint64_t per_second) {
  TrafficPace pace;
  for (int i = 0; i < 60; ++i) pace.Add(seconds(1), per_second, per_second);
  return pace;
}

/// A rollout of which only a step's duration and requests are lacking.
RolloutState State(const RolloutPlan& plan, Duration later = {}) {
  const WallTime monday = FromUnixMillis(1'772'445'600'000);  // Mon 2026-03-02 10:00
  RolloutState state = BeginRollout("digits", 1, 2, plan, monday + later);
  StepInput in;
  in.time = state.started;
  state = Step(state, in).state;
  in.elapsed = seconds(1);
  in.time += seconds(1);
  return Step(state, in).state;
}
RolloutPlan Durations() {
  RolloutPlan plan;
  plan.gates.resize(1);
  plan.gates[0].kind = RolloutGate::Kind::kWebhook;
  plan.gates[0].outside.name = "tests";
  plan.gates[0].outside.url = "https://ci.example.org";
  plan.steps = {{0.1, minutes(20), 100}, {0.5, minutes(10), 100}};
  return plan;
}
std::string TextOf(const RolloutState& state, const TrafficPace& pace) {
  const auto end = ExpectEnd(state, pace);
  return end ? end->text : "nothing";
}

TEST(ExpectedEndTest, OfDurationsAndRequests) {
  const RolloutState state = State(Durations());
  const auto end = ExpectEnd(state, Steady(100));
  ASSERT_TRUE(end && end->in);
  EXPECT_EQ(end->kind, Kind::kPromotion);
  EXPECT_EQ(*end->in, minutes(30) - seconds(1));
  EXPECT_EQ(end->at, state.last_tick + *end->in);
  EXPECT_EQ(end->text,
            "promotion expected about 10:30 UTC (in 30 min) at this traffic, if tests passes");
  // At one request in ten seconds the requests take longer: 100 at 10 %, 100 at 50 %.
  TrafficPace slow;
  slow.Add(minutes(5), 30, 30);
  EXPECT_EQ(TextOf(state, slow),
            "promotion expected about 13:20 UTC (in 3.25 h) at this traffic, if tests passes");
}

TEST(ExpectedEndTest, OfWhatAPersonOrAFreezeDecides) {
  RolloutPlan plan = Durations();
  plan.steps[1].approval = true;
  EXPECT_EQ(TextOf(State(plan), Steady(100)),
            "approval of step 2 of 2 expected to be asked for about 10:30 UTC (in 30 min) at this "
            "traffic, if tests passes");
  plan = Durations();
  plan.freeze = {{{}, hours(10), hours(12)}};  // from 10:00 to 12:00: both steps end after it
  EXPECT_EQ(TextOf(State(plan), Steady(100)),
            "promotion expected about 12:10 UTC (in 2.25 h) at this traffic, if tests passes");
  plan = Durations();
  plan.max_duration = minutes(25);
  EXPECT_EQ(
      TextOf(State(plan), Steady(100)),
      "max_duration is over about 10:25 UTC (in 25 min), before the 30 min that its steps take "
      "at this traffic: then it is rolled back");
}

TEST(ExpectedEndTest, AFreezeIsNoPartOfMaxDuration) {
  using namespace std::chrono;
  RolloutPlan plan = Durations();
  plan.freeze = {{{Friday}, hours(20), hours(24)},
                 {{Saturday, Sunday}, hours(0), hours(24)},
                 {{Monday}, hours(0), hours(8)}};
  ASSERT_EQ(plan.max_duration, hours(24));
  const Duration friday = hours(4 * 24 + 9) + minutes(50);  // 19:50
  RolloutState state = State(plan, friday);
  auto end = ExpectEnd(state, Steady(100));
  ASSERT_TRUE(end && end->in);
  EXPECT_EQ(end->kind, Kind::kPromotion) << end->text;
  EXPECT_EQ(*end->in, hours(60) + minutes(20) - seconds(1));
  EXPECT_TRUE(end->text.starts_with("promotion expected about Mon 2026-03-09 08:10 UTC (in 60"))
      << end->text;
  // What is over first is the time that counts: five minutes of the second step.
  plan.max_duration = minutes(25);
  state = State(plan, friday);
  end = ExpectEnd(state, Steady(100));
  ASSERT_TRUE(end && end->in);
  EXPECT_EQ(end->kind, Kind::kTimeOver) << end->text;
  EXPECT_EQ(*end->in, hours(60) + minutes(15) - seconds(1));
  EXPECT_NE(end->text.find("before the 30 min that its steps take"), std::string::npos)
      << end->text;
}

TEST(ExpectedEndTest, AnApprovalThatAWebhookHasGivenIsNotExpected) {
  RolloutPlan plan = Durations();
  for (RolloutStep& step : plan.steps) {
    step.approval = true;
    step.approval.webhook.emplace().url = "https://ci.example.org/approve";
  }
  RolloutState state = State(plan);
  EXPECT_TRUE(TextOf(state, Steady(100)).starts_with("approval of step 1 of 2 expected"));
  state.approval.approved = true;
  EXPECT_TRUE(TextOf(state, Steady(100)).starts_with("approval of step 2 of 2 expected"))
      << TextOf(state, Steady(100));
  plan.steps[1].approval = false;
  state = State(plan);
  state.approval.approved = true;
  EXPECT_EQ(TextOf(state, Steady(100)),
            "promotion expected about 10:30 UTC (in 30 min) at this traffic, if tests passes");
}

TEST(ExpectedEndTest, IsUnknownWithAReason) {
  EXPECT_EQ(TextOf(State(Durations()), Steady(0)), "unknown: no traffic");
  EXPECT_EQ(TextOf(State(Durations()), TrafficPace()),
            "unknown: the traffic has not been measured yet");
  RolloutState state = State(Durations());
  StepInput in;
  in.elapsed = seconds(1);
  in.candidate = CandidateSeen::kLoading;
  in.candidate_waits = "no endpoint is healthy";
  state = Step(state, in).state;
  EXPECT_TRUE(TextOf(state, Steady(100)).starts_with("held: waiting for version 2 to load"))
      << TextOf(state, Steady(100));
  in.command = RolloutCommand{RolloutCommand::Kind::kAbort, "ana"};
  EXPECT_FALSE(ExpectEnd(Step(state, in).state, Steady(100)));
}

/// What is said half-way, and how long it took from there.
struct Guess {
  double said = 0, took = 0;
};
Guess Play(const RolloutPlan& plan, uint64_t seed, double label_share = 0) {
  constexpr uint64_t kRequests = 200;
  SimulatedArm arm{0.01, 0.02, std::vector<double>(LatencyScheme::kBuckets, 0.0)};
  arm.losses = {0.1, 0.08};
  StepInput::History history;
  history.sums.requests = 20'000;
  history.sums.errors = 200;
  RolloutSimulation play(plan, history, seed);
  TrafficPace pace;
  Guess guess;
  Duration at{};
  while (!play.ended() && play.state().elapsed < hours(10)) {
    play.Tick(seconds(1), kRequests, label_share, arm, arm);
    pace.Add(seconds(1), kRequests, kRequests);
    if (guess.said == 0 && play.state().gates[0].needed > 0 &&
        play.state().gates[0].candidate[0].exposure * 2 >=
            static_cast<uint64_t>(play.state().gates[0].needed)) {
      const auto end = ExpectEnd(play.state(), pace);
      if (!end || !end->in) return {};
      guess.said = ToSeconds(*end->in);
      at = play.state().elapsed;
    }
  }
  guess.took = ToSeconds(play.state().elapsed - at);
  return guess;
}

/// The median of how many times what was said half-way took longer or shorter.
double MedianError(const RolloutPlan& plan, double label_share) {
  std::vector<double> off;
  int none = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    const Guess guess = Play(plan, seed, label_share);
    if (guess.said == 0 || guess.took == 0) {
      ++none;
      continue;
    }
    off.push_back(std::abs(std::log(guess.said / guess.took)));
  }
  EXPECT_LE(none, 15) << "rolled back, unknown, or at its end by then";
  std::sort(off.begin(), off.end());
  return off.empty() ? std::numeric_limits<double>::infinity() : std::exp(off[off.size() / 2]);
}

TEST(ExpectedEndTest, HalfWayTheMedianErrorIsLessThanHalf) {
  RolloutPlan plan = DefaultRolloutPlan();
  plan.gates.resize(1);  // errors
  plan.gates[0].floor = 0;
  plan.gates[0].margin = 2;
  EXPECT_LT(MedianError(plan, 0), 2.0);
}

TEST(ExpectedEndTest, OfMeanLossesItGoesByTheLabelsThatCome) {
  RolloutPlan plan = DefaultRolloutPlan();
  plan.gates.resize(1);
  plan.gates[0] = {.kind = RolloutGate::Kind::kLoss};
  plan.gates[0].margin = 1.1;
  plan.gates[0].loss.highest = 50;
  EXPECT_LT(MedianError(plan, 0.1), 2.0);
}

}  // namespace
}  // namespace leadsman
