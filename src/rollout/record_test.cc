#include "rollout/record.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "rollout/testing/recorded_rollout.h"

namespace leadsman {
namespace {

using Json = nlohmann::ordered_json;

Json Replayed(const std::string& record, const WhatIf& what_if = {}) {
  auto report = ReplayReport(record, what_if, "0.1.0");
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? Json::parse(*report) : Json::object();
}

/// The first difference of a record that somebody has changed.
std::string Difference(const Json& record) {
  const Json report = Replayed(record.dump());
  EXPECT_EQ(report.value("agrees", Json()), false);
  return report.value("difference", "");
}

std::string Refused(const std::string& record) {
  auto report = ReplayReport(record, {}, "0.1.0");
  if (report.ok()) return "was taken";
  EXPECT_EQ(report.status().code(), StatusCode::kInvalidArgument);
  return std::string(report.status().message());
}

TEST(RecordTest, APromotionAndARollbackReplayToTheSame) {
  for (double errors : {0.01, 0.06}) {
    const Json report = Replayed(RecordedRollout(errors));
    EXPECT_EQ(report["agrees"], true) << report["difference"];
    EXPECT_EQ(report["difference"], "");
    EXPECT_EQ(report["recorded"]["phase"], errors > 0.05 ? "rolled_back" : "promoted");
    EXPECT_EQ(report["recorded"]["reason"], report["computed"]["reason"]);
    const Json& course = report["course"];
    ASSERT_GT(course.size(), 3u);
    EXPECT_EQ(course.back()["decision"], errors > 0.05 ? "roll_back" : "promote");
    EXPECT_EQ(course.back()["reason"], report["computed"]["reason"]);
    EXPECT_EQ(course[0]["decision"], "");
    EXPECT_EQ(course[2]["elapsed_seconds"], 2);
    EXPECT_EQ(course.back()["gates"][0]["gate"], "errors");
  }
}

TEST(RecordTest, MeanLossesReplayToTheSame) {
  for (double mean : {0.1, 0.2}) {
    const std::string record = RecordedLosses(mean);
    const Json report = Replayed(record);
    EXPECT_EQ(report["agrees"], true) << report["difference"];
    EXPECT_EQ(report["recorded"]["phase"], mean > 0.1 ? "rolled_back" : "promoted");
    Json changed = Json::parse(record);
    Json& losses = changed["ticks"][2]["input"]["stable_losses"];
    losses[1] = losses[2] = 0;
    EXPECT_TRUE(Difference(changed).starts_with("tick 3: gate loss.harm_log_e"))
        << Difference(changed);
    losses[1] = 1e9;
    EXPECT_EQ(Refused(changed.dump()),
              "ticks[2].input.stable_window: losses must be from 0 to 1 each");
  }
}

TEST(RecordTest, OneThatIsUnderWayReplaysAsFarAsItHasCome) {
  const std::string record = RecordedRollout(0.01, 5);
  const Json report = Replayed(record);
  EXPECT_EQ(report["agrees"], true) << report["difference"];
  EXPECT_EQ(report["recorded"]["phase"], "progressing");
  EXPECT_EQ(Json::parse(record)["verdict"]["ended"], nullptr);
}

TEST(RecordTest, AnAbTestThatAnEngineBeforeRecordedReplays) {
  auto journal = Journal::Open("").value();
  RolloutPlan plan;
  plan.strategy = RolloutPlan::Strategy::kAb;
  plan.ab.emplace().duration = std::chrono::seconds(2);
  plan.gates.resize(1);
  RolloutState state = BeginRollout("digits", 1, 2, plan, FromUnixMillis(1'700'000'000'000));
  ASSERT_TRUE(journal->Begin(1, state, {"digits", 1, {}}).ok());
  for (int tick = 0; tick < 5; ++tick) {
    StepInput in;
    in.time = state.started + tick * std::chrono::seconds(1);
    if (tick > 0) in.elapsed = std::chrono::seconds(1);
    if (tick < 4) in.stable_window.requests = in.candidate_window.requests = 100;
    StepOutput out = Step(state, in);
    ASSERT_TRUE(journal->AppendTick(1, in, out, std::nullopt).ok());
    state = std::move(out.state);
  }
  ASSERT_TRUE(state.reason_is_readout) << state.reason;
  Json record = Json::parse(MakeVerdictRecord(*journal, 1, "0.1.0").value());
  EXPECT_EQ(Replayed(record.dump())["agrees"], true);
  record["first"].erase("reason_is_readout");
  record["last"].erase("reason_is_readout");
  const Json report = Replayed(record.dump());
  EXPECT_EQ(report["agrees"], true) << report["difference"];
}

TEST(RecordTest, ItHasALineForEachTick) {
  const std::string record = RecordedRollout(0.01, 5);
  const Json json = Json::parse(record);
  EXPECT_EQ(json["ticks"].size(), 5u);
  EXPECT_EQ(json["program"], "0.1.0");
  EXPECT_EQ(json["engine"], kRolloutEngine);
  size_t lines = 0;
  for (std::string_view line : Split(record, '\n')) lines += line.starts_with("{\"input\"");
  EXPECT_EQ(lines, 5u);
}

TEST(RecordTest, ChangedCountsAreFoundAtTheirTick) {
  Json record = Json::parse(RecordedRollout(0.06));
  Json changed = record;
  size_t at = 2;
  while (changed["ticks"][at]["input"]["candidate_window"][1] == 0) ++at;
  changed["ticks"][at]["input"]["candidate_window"][1] = 0;  // its errors
  EXPECT_TRUE(Difference(changed).starts_with(
      StrCat("tick ", at + 1, ": gate errors.harm_log_e: the record says ")))
      << Difference(changed);

  // Of a window whose sums no e-value shows any more.
  changed = record;
  changed["ticks"][0]["input"]["stable_window"][0] = 50'000;
  EXPECT_TRUE(Difference(changed).starts_with("tick 1: ")) << Difference(changed);
}

TEST(RecordTest, OtherVerdictsDecisionsAndReasonsAreFound) {
  const Json record = Json::parse(RecordedRollout(0.06));
  const size_t end = record["ticks"].size();

  Json changed = record;
  changed["ticks"][end - 1]["decision"] = "promote";
  EXPECT_EQ(Difference(changed), StrCat("tick ", end,
                                        ": decision: the record says promote, the "
                                        "engine computes roll_back"));
  changed = record;
  changed["ticks"][end - 1]["reason"] = "because";
  EXPECT_TRUE(Difference(changed).starts_with(
      StrCat("tick ", end, ": reason: the record says \"because\", the engine computes \"rolled")));
  changed = record;
  changed["ticks"][1].erase("gates");
  EXPECT_TRUE(Difference(changed).starts_with("tick 2: gate")) << Difference(changed);
  changed = record;
  changed["verdict"]["phase"] = "promoted";
  EXPECT_EQ(Difference(changed),
            "verdict.phase: the record says \"promoted\", the engine computes \"rolled_back\"");
  changed = record;
  changed["last"]["step"] = 1;
  EXPECT_EQ(Difference(changed), "last state: step: the record says 1, the engine computes 0");
  changed = record;
  changed["last"]["more"] = 1;
  EXPECT_EQ(Difference(changed), "last state: more: the record says 1, the engine has nothing");
  changed = record;
  changed["last"].erase("ticks");
  EXPECT_TRUE(Difference(changed).starts_with("last state: ticks: the record has nothing"));
  changed = record;
  changed["first"]["plan"]["alpha"] = 0.02;
  EXPECT_NE(Difference(changed), "");
  changed = record;
  changed["ticks"].push_back(changed["ticks"][end - 1]);
  EXPECT_EQ(Difference(changed), StrCat("tick ", end + 1, ": comes after the verdict"));
  changed = record;
  changed["ticks"].erase(end - 1);
  EXPECT_TRUE(Difference(changed).starts_with("last state: ")) << Difference(changed);
}

TEST(RecordTest, AnotherAlphaIsAWhatIf) {
  const std::string record = RecordedRollout(0.06);
  const Json strict = Replayed(record, {.alpha = 1e-6});
  EXPECT_EQ(strict["agrees"], nullptr);
  EXPECT_EQ(strict["what_if"]["alpha"], 1e-6);
  EXPECT_EQ(strict["computed"]["phase"], "progressing") << "so soon nothing is that certain";
  const Json loose = Replayed(record, {.alpha = 0.2});
  EXPECT_EQ(loose["computed"]["phase"], "rolled_back");
  EXPECT_FALSE(ReplayReport(record, {.alpha = 2.0}, "0.1.0").ok());
}

TEST(RecordTest, WhatIsNoRecordIsRefusedAndSaysWhere) {
  EXPECT_EQ(Refused(""), "is not JSON, or not all of it");
  EXPECT_EQ(Refused(RecordedRollout(0.06).substr(0, 3000)), "is not JSON, or not all of it");
  EXPECT_TRUE(Refused("{}").starts_with("is no record of a rollout: "));
  EXPECT_TRUE(Refused("[1]").starts_with("is no record of a rollout: "));
  EXPECT_EQ(Refused(std::string(100'000, '[')), "is nested deeper than a record of a rollout");
  EXPECT_EQ(Refused(R"({"leadsman_rollout_record": 2})"),
            "leadsman_rollout_record: this program reads form 1, not 2");

  const Json record = Json::parse(RecordedRollout(0.06));
  auto with = [&](const char* pointer, Json value) {
    Json changed = record;
    changed[Json::json_pointer(pointer)] = std::move(value);
    return Refused(changed.dump());
  };
  EXPECT_EQ(with("/id", "x"), "id: must be a whole number");
  EXPECT_EQ(with("/program", 1), "program: must be a text");
  EXPECT_EQ(with("/verdict", 1), "verdict: must be an object");
  EXPECT_EQ(with("/ticks", 1), "ticks: must be a list");
  EXPECT_EQ(with("/ticks/1", 1), "ticks[1]: must be an object");
  EXPECT_TRUE(with("/ticks/1/input", 1).starts_with("ticks[1].input: "));
  EXPECT_EQ(with("/ticks/1/decision", 1), "ticks[1].decision: must be a text");
  EXPECT_EQ(with("/ticks/1/input/elapsed", -5),
            "ticks[1].input.elapsed: is no duration that a rollout can have");
  EXPECT_EQ(with("/ticks/1/input/elapsed", INT64_MAX),
            "ticks[1].input.elapsed: is no duration that a rollout can have");
  EXPECT_EQ(
      with("/ticks/2/input/stable_window/0", UINT64_MAX),
      "ticks[2].input.stable_window: a count is larger than anything can be counted in a tick");
  EXPECT_EQ(with("/ticks/0/input/history/latency/1/0", 0),
            "ticks[0].input.history.latency: buckets must ascend, and their counts be real ones");
  EXPECT_EQ(with("/first/step", 1), "first: is not the state that a rollout begins in");
  EXPECT_TRUE(with("/first/plan/alpha", 7).starts_with("first: "));
  EXPECT_EQ(with("/first/plan/beta", 1e-300), "first.plan.beta: must be at least 1e-9");
  EXPECT_EQ(with("/first/plan/max_duration_ms", INT64_MAX),
            "first.plan.max_duration_ms: must be between 0 and 366 days");
  EXPECT_EQ(with("/first/gates/0/harm", std::vector<int>(1000)),
            "first.gates: a gate has more than 17 thresholds");
  Json without = record;
  without.erase("last");
  EXPECT_EQ(Refused(without.dump()), "last: is missing");
}

TEST(RecordTest, OneThatWasAskedForByAPersonReplaysAndNoSecretIsInIt) {
  auto journal = Journal::Open("").value();
  RolloutPlan plan;
  RolloutGate webhook, promql;
  webhook.kind = RolloutGate::Kind::kWebhook;
  webhook.outside.url = "https://bob:hidden@ci.example.org/services/hidden?token=hidden";
  webhook.outside.username = "hidden-user";
  webhook.outside.password_file = "/etc/hidden";
  promql.kind = RolloutGate::Kind::kPromql;
  promql.outside.address = "http://bob:hidden@prometheus:9090/base";
  promql.outside.query = "up";
  promql.max = 1;
  plan.gates = {webhook, promql};
  RolloutState state = BeginRollout("digits", 2, 1, plan, FromUnixMillis(1'700'000'000'000));
  state.notes.push_back("undoes rollout 1, asked for by ana");
  state.undo_by = "ana";
  ASSERT_TRUE(journal->Begin(1, state, {"digits", 2, {}}).ok());
  for (int tick = 0; tick < 3; ++tick) {
    StepInput in;
    in.elapsed = std::chrono::seconds(tick);
    in.candidate = tick < 2 ? CandidateSeen::kLoading : CandidateSeen::kReady;
    StepOutput out = Step(state, in);
    ASSERT_TRUE(journal->AppendTick(1, in, out, std::nullopt).ok());
    state = std::move(out.state);
  }
  ASSERT_EQ(state.phase, RolloutPhase::kPromoted) << state.reason;
  const std::string record = MakeVerdictRecord(*journal, 1, "0.1.0").value();
  EXPECT_EQ(record.find("hidden"), std::string::npos) << record;
  EXPECT_NE(record.find("https://ci.example.org/…"), std::string::npos);
  EXPECT_NE(record.find("http://prometheus:9090/base"), std::string::npos);
  const Json report = Replayed(record);
  EXPECT_EQ(report["agrees"], true) << report["difference"];
  EXPECT_EQ(report["computed"]["phase"], "promoted");
  // What such a gate has said is compared too.
  Json changed = Json::parse(record);
  changed["ticks"][0]["gates"] = Json::array({{{"gate", "webhook"},
                                               {"passes", true},
                                               {"failures", 0},
                                               {"said", ""},
                                               {"answers", {0, 0, 0}}},
                                              {{"gate", "promql"},
                                               {"passes", false},
                                               {"failures", 0},
                                               {"said", ""},
                                               {"answers", {0, 0, 0}}}});
  EXPECT_TRUE(Difference(changed).starts_with("tick 1: gate webhook.passes: "))
      << Difference(changed);
  auto with = [&](const char* pointer, Json value) {
    Json other = Json::parse(record);
    other[Json::json_pointer(pointer)] = std::move(value);
    return Refused(other.dump());
  };
  EXPECT_EQ(with("/first/plan/gates/0/outside/interval_ms", INT64_MAX),
            "first.plan.gates[0].outside.interval_ms: must be between 0 and 366 days");
  EXPECT_EQ(with("/first/plan/gates", std::vector<int>(51)),
            "first.plan.gates: there are more than 50");
  EXPECT_EQ(
      with("/ticks/0/input/readings", Json::array({{{"gate", 0}, {"step", 99}, {"kind", 2}}})),
      "ticks[0].input.readings: one is of no gate or step that a plan can have");
}

TEST(RecordTest, ARolloutThatIsNotThereHasNone) {
  auto journal = Journal::Open("").value();
  EXPECT_EQ(MakeVerdictRecord(*journal, 9, "0.1.0").status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace leadsman
