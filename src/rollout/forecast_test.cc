#include "rollout/forecast.h"

#include <gtest/gtest.h>

#include <cmath>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "rollout/config_schema.h"
#include "rollout/simulation.h"
#include "rollout/testing/recorded_rollout.h"

namespace leadsman {
namespace {

using Json = nlohmann::ordered_json;
using Kind = RolloutGate::Kind;

ServiceTraffic Busy() {
  ServiceTraffic traffic;
  traffic.requests_per_second = 100;
  traffic.error_rate = 0.005;
  traffic.latency = {{static_cast<uint32_t>(LatencyScheme::Index(20'000'000)), 960},
                     {static_cast<uint32_t>(LatencyScheme::Index(90'000'000)), 40}};
  traffic.requests = 1000;
  return traffic;
}

bool Says(const Forecast& forecast, std::string_view what) {
  for (const std::string& warning : forecast.warnings) {
    if (warning.find(what) != std::string::npos) return true;
  }
  return false;
}

TEST(ForecastTest, SaysPerStepWhatTheEngineWillAskFor) {
  const RolloutPlan plan = DefaultRolloutPlan();
  const Forecast forecast = MakeForecast(plan, Busy());
  ASSERT_EQ(forecast.steps.size(), 3u);
  EXPECT_TRUE(forecast.warnings.empty()) << forecast.warnings[0];
  const Forecast::Step& first = forecast.steps[0];
  EXPECT_DOUBLE_EQ(first.candidate_per_second, 5);
  ASSERT_EQ(first.gates.size(), 2u);
  EXPECT_EQ(first.gates[0].gate, "errors");
  EXPECT_DOUBLE_EQ(first.gates[0].candidate_exposure,
                   planning::SafeExposure(std::log(20.0), 0.05, 0.005, 1.5, 0.01));
  EXPECT_DOUBLE_EQ(first.gates[0].seconds, first.gates[0].candidate_exposure / 5);
  EXPECT_DOUBLE_EQ(first.gates[1].rate, 0.04) << "of answers above the threshold taken from p95";
  EXPECT_GE(first.seconds, first.gates[0].seconds);
  EXPECT_LT(forecast.steps[1].seconds, first.seconds) << "the evidence is there by then";
  // What the engine itself plans for the step.
  RolloutSimulation play(plan, {{.requests = 1000, .errors = 5, .slow = {}}, Busy().latency}, 1);
  EXPECT_EQ(play.state().step_minimums[0], first.minimum_requests);
  // A larger harm is found sooner.
  EXPECT_GT(first.gates[0].found_in_step, 0.005);
  EXPECT_LT(first.gates[0].found_in_time, first.gates[0].found_in_step);
  EXPECT_NEAR(planning::HarmExposure(std::log(200.0), 0.05, first.gates[0].found_in_step, 0.005),
              first.seconds * 5, first.seconds * 5 * 0.01);
}

/// One gate of errors that compares, and no floor: what the table of simulations is of.
RolloutPlan PlanOfTable(double weight, double margin) {
  RolloutPlan plan;
  plan.steps = {{weight, std::chrono::milliseconds(0), 1}};
  plan.gates.resize(1);
  plan.gates[0].margin = margin;
  plan.gates[0].floor = 0;
  plan.max_duration = std::chrono::hours(24 * 300);
  return plan;
}
ServiceTraffic OnePercentFails() {
  ServiceTraffic traffic;
  traffic.requests_per_second = 100;
  traffic.error_rate = 0.01;
  return traffic;
}

/// Median requests to the candidate until the decision, as simulated independently of this program (2,000 and more runs).
TEST(ForecastTest, NeededExposuresAreThoseOfTheTableOfSimulations) {
  struct Row {
    double share, margin, requests;
    double within = 0.15;
  };
  for (const Row& row :
       {Row{0.1, 1.25, 13'780}, Row{0.1, 1.5, 3255}, Row{0.1, 2, 1100}, Row{0.1, 3, 450},
        Row{0.05, 2, 845, 0.26}, Row{0.25, 2, 1325}, Row{0.5, 2, 2450}}) {
    const Forecast forecast = MakeForecast(PlanOfTable(row.share, row.margin), OnePercentFails());
    EXPECT_NEAR(forecast.steps[0].gates[0].candidate_exposure, row.requests,
                row.within * row.requests)
        << row.share << " x" << row.margin;
  }
}

TEST(ForecastTest, TheHarmThatIsFoundIsThatOfTheTableOfSimulations) {
  struct Row {
    double rate, requests;
  };
  for (const Row& row :
       {Row{0.015, 6354}, Row{0.02, 1600}, Row{0.03, 437}, Row{0.05, 143}, Row{0.1, 46}}) {
    // As long as it takes to have so many requests to the candidate: what is found by then?
    RolloutPlan plan = PlanOfTable(0.1, 3);
    plan.max_duration = std::chrono::milliseconds(static_cast<int64_t>(row.requests / 10 * 1000));
    const Forecast forecast = MakeForecast(plan, OnePercentFails());
    EXPECT_NEAR(forecast.steps[0].gates[0].found_in_time, row.rate, 0.12 * row.rate);
  }
}

TEST(ForecastTest, WhatIsPlayedBearsOutTheForecast) {
  for (double margin : {1.5, 2.0, 3.0}) {
    const RolloutPlan plan = PlanOfTable(0.1, margin);
    const Forecast forecast = MakeForecast(plan, OnePercentFails());
    const std::vector<PlayedPlan> played = PlayPlan(plan, OnePercentFails(), 150, 3, 1);
    ASSERT_EQ(played.size(), 2u);
    const double needed = forecast.steps[0].gates[0].candidate_exposure;
    EXPECT_NEAR(static_cast<double>(played[0].exposed_median), needed, 0.25 * needed) << margin;
    EXPECT_NEAR(played[0].seconds_median, forecast.seconds, 0.25 * forecast.seconds) << margin;
    EXPECT_NEAR(static_cast<double>(played[1].exposed_median), 437, 0.2 * 437) << margin;
  }
}

TEST(ForecastTest, GatesThatAskOutsideAreLeftOutAndSaidToBe) {
  RolloutPlan plan = DefaultRolloutPlan();
  const Forecast without = MakeForecast(plan, Busy());
  plan.gates.resize(4);
  plan.gates[2].kind = Kind::kWebhook;
  plan.gates[2].outside.url = "http://hook";
  plan.gates[3].kind = Kind::kPromql;
  plan.gates[3].outside.name = "latency seen outside";
  plan.gates[3].outside.address = "http://prometheus";
  plan.gates[3].outside.query = "up";
  plan.gates[3].max = 5;
  plan.steps[1].approval = true;
  const Forecast forecast = MakeForecast(plan, Busy());
  EXPECT_EQ(forecast.steps[0].gates.size(), 2u);
  EXPECT_DOUBLE_EQ(forecast.seconds, without.seconds) << "alpha is shared by those that count";
  EXPECT_DOUBLE_EQ(forecast.steps[0].gates[0].found_in_time,
                   without.steps[0].gates[0].found_in_time);
  ASSERT_EQ(forecast.left_out.size(), 3u);
  EXPECT_EQ(
      forecast.left_out[0],
      "gate webhook: what a webhook will answer cannot be known before; taken to pass at once");
  EXPECT_EQ(forecast.left_out[2], "approvals: taken to be given at once");
  const std::vector<PlayedPlan> played = PlayPlan(plan, Busy(), 5, 5, 1);
  ASSERT_EQ(played.size(), 3u) << "equal, and one for each gate that counts";
  EXPECT_EQ(played[0].promoted, 5);

  // Nothing else decides: duration and requests are all that there is.
  plan.gates.erase(plan.gates.begin(), plan.gates.begin() + 2);
  const Forecast alone = MakeForecast(plan, Busy());
  EXPECT_TRUE(alone.steps[0].gates.empty());
  EXPECT_TRUE(alone.warnings.empty());
  EXPECT_GT(alone.seconds, 0);
  EXPECT_EQ(PlayPlan(plan, Busy(), 5, 5, 1).size(), 1u);
}

TEST(ForecastTest, AnAbsoluteBoundIsOfTheCandidateAlone) {
  RolloutPlan plan = PlanOfTable(0.1, 2);
  plan.gates[0].max = 0.02;
  ServiceTraffic traffic = Busy();  // 0.5 % fail
  const Forecast forecast = MakeForecast(plan, traffic);
  const double needed = forecast.steps[0].gates[0].candidate_exposure;
  const std::vector<PlayedPlan> played = PlayPlan(plan, traffic, 100, 8, 1);
  // Half of the runs meet less than the expected two or three errors, and are through early.
  EXPECT_LT(static_cast<double>(played[0].exposed_median), 1.1 * needed);
  EXPECT_GT(static_cast<double>(played[0].exposed_median), 0.55 * needed);
  EXPECT_EQ(played[1].rolled_back, 100);
  // 4 %: found, typically, when the forecast says that it is.
  plan.max_duration = std::chrono::milliseconds(static_cast<int64_t>(
      1000 * static_cast<double>(played[1].exposed_median) / (0.1 * traffic.requests_per_second)));
  EXPECT_NEAR(MakeForecast(plan, traffic).steps[0].gates[0].found_in_time, 0.04, 0.008);

  traffic.error_rate = 0.03;
  EXPECT_TRUE(Says(MakeForecast(plan, traffic),
                   "gate errors: an equal candidate is not below the bound of 2 %"));

  plan.gates[0].kind = Kind::kLatency;
  plan.gates[0].slower_than = std::chrono::milliseconds(50);
  traffic.latency = Busy().latency;  // 4 % take 90 ms
  EXPECT_DOUBLE_EQ(MakeForecast(plan, traffic).steps[0].gates[0].rate, 0.04);
}

TEST(ForecastTest, BlueGreenHasNoEvidenceBeforeItsSwitch) {
  RolloutPlan plan;
  plan.strategy = RolloutPlan::Strategy::kBlueGreen;
  plan.blue_green.emplace();
  plan.blue_green->preview_duration = std::chrono::seconds(30);
  plan.blue_green->watch_duration = std::chrono::seconds(60);
  plan.blue_green->auto_promote = false;
  plan.gates.resize(1);
  plan.gates[0].max = 0.02;
  const Forecast forecast = MakeForecast(plan, Busy());
  ASSERT_EQ(forecast.steps.size(), 2u);
  EXPECT_EQ(forecast.steps[0].weight, 0);
  EXPECT_DOUBLE_EQ(forecast.steps[0].seconds, 30);
  EXPECT_GT(forecast.steps[0].gates[0].found_in_time, 1) << "nothing is found without traffic";
  EXPECT_DOUBLE_EQ(forecast.steps[1].candidate_per_second, 100);
  EXPECT_LT(forecast.steps[1].gates[0].found_in_step, 0.05);
  EXPECT_DOUBLE_EQ(forecast.seconds, 90);
  EXPECT_TRUE(forecast.warnings.empty());
  EXPECT_EQ(forecast.left_out, std::vector<std::string>{"approvals: taken to be given at once"});
  const std::vector<PlayedPlan> played = PlayPlan(plan, Busy(), 10, 10, 1);
  EXPECT_EQ(played[0].promoted, 10);
  EXPECT_NEAR(played[0].seconds_median, 90, 5);
  EXPECT_EQ(played[1].rolled_back, 10);
}

TEST(ForecastTest, AShadowIsForecastAndPlayedByItsCopies) {
  RolloutPlan plan;
  plan.strategy = RolloutPlan::Strategy::kShadow;
  plan.shadow.emplace().mirror = 0.5;
  plan.gates.resize(3);
  plan.gates[1].kind = Kind::kAnswers;
  plan.gates[1].max = 0.02;
  plan.gates[2].kind = Kind::kQuality;
  const Forecast forecast = MakeForecast(plan, Busy());
  ASSERT_EQ(forecast.steps.size(), 1u);
  EXPECT_EQ(forecast.steps[0].mirror, 0.5);
  EXPECT_EQ(forecast.steps[0].candidate_per_second, 50);
  for (const Forecast::Gate& gate : forecast.steps[0].gates) {
    EXPECT_TRUE(gate.counts) << gate.gate;
    EXPECT_LT(gate.seconds, 600) << gate.gate;
  }
  EXPECT_TRUE(forecast.warnings.empty()) << forecast.warnings[0];
  const std::vector<PlayedPlan> played = PlayPlan(plan, Busy(), 10, 5, 1);
  ASSERT_EQ(played.size(), 4u);
  EXPECT_GE(played[0].promoted, 9);
  EXPECT_EQ(played[1].rolled_back, 10) << played[1].candidate;
  EXPECT_EQ(played[2].candidate, "answers x5 of max");
  EXPECT_EQ(played[2].rolled_back, 10);
  EXPECT_EQ(played[3].candidate, "quality x5");
}

TEST(ForecastTest, MeanLossesAreForecastAndPlayed) {
  RolloutPlan plan;
  plan.gates.resize(1);
  RolloutGate& gate = plan.gates[0];
  gate.kind = Kind::kLoss;
  gate.margin = 1.25;
  gate.loss.highest = 50;
  ServiceTraffic traffic = Busy();
  EXPECT_TRUE(Says(MakeForecast(plan, traffic), "gate loss: no labels come"));
  traffic.label_share = 0.5;
  EXPECT_TRUE(Says(MakeForecast(plan, traffic),
                   "gate loss: nothing is known of the absolute error of the stable version"));
  traffic.losses = {LossMetric::kBrier, 4, 3};
  EXPECT_TRUE(Says(MakeForecast(plan, traffic), "gate loss: nothing is known"));
  EXPECT_EQ(PlayPlan(plan, traffic, 1, 2, 1).size(), 1u) << "a worse one is not known either";
  traffic.losses->metric = LossMetric::kAbsoluteError;

  const Forecast forecast = MakeForecast(plan, traffic);
  EXPECT_TRUE(forecast.warnings.empty()) << forecast.warnings[0];
  const Forecast::Gate& first = forecast.steps[0].gates[0];
  EXPECT_DOUBLE_EQ(first.rate, 0.08);
  EXPECT_DOUBLE_EQ(first.candidate_exposure,
                   planning::MeanSafeExposure(std::log(20.0), 0.05, 0.08, 0.06, 1.25, 0));
  EXPECT_DOUBLE_EQ(first.seconds, first.candidate_exposure / 2.5);
  EXPECT_GT(first.found_in_step, first.rate);
  EXPECT_LT(first.found_in_time, first.found_in_step);
  EXPECT_NEAR(
      planning::MeanHarmExposure(std::log(100.0), 0.05, first.found_in_step - first.rate, 0.06),
      forecast.steps[0].seconds * 2.5, 1);

  const std::vector<PlayedPlan> played = PlayPlan(plan, traffic, 40, 1.6, 1);
  ASSERT_EQ(played.size(), 2u);
  EXPECT_GE(played[0].promoted, 39);
  EXPECT_NEAR(played[0].seconds_median / forecast.seconds, 1, 0.4);
  EXPECT_EQ(played[1].candidate, "loss x1.6");
  EXPECT_EQ(played[1].rolled_back, 40);

  traffic.losses->mean = traffic.losses->spread = 0.5;
  EXPECT_TRUE(Says(MakeForecast(plan, traffic),
                   "gate loss: highest (50) is 100 times the mean of the stable version: a lower "
                   "one needs fewer labels"));
  traffic.losses->mean = 4;
  traffic.losses->spread = 3;
  gate.max = 3;
  EXPECT_TRUE(Says(MakeForecast(plan, traffic),
                   "gate loss: an equal candidate is not below the bound of 3: the mean of the "
                   "stable version is 4"));
  gate.max = 8;
  const Forecast bounded = MakeForecast(plan, traffic);
  EXPECT_TRUE(bounded.warnings.empty()) << bounded.warnings[0];
  EXPECT_GT(bounded.steps[0].gates[0].found_in_step, 8.0 / 50);
  plan.steps = {{1.0}};
  gate.max.reset();
  EXPECT_TRUE(Says(MakeForecast(plan, traffic), "gate loss: nothing can show"));

  // A record has its own.
  auto record = ParseVerdictRecord(RecordedLosses(0.1));
  ASSERT_TRUE(record.ok()) << record.status();
  const auto recorded = TrafficOf(*record);
  ASSERT_TRUE(recorded.ok() && recorded->losses) << recorded.status();
  EXPECT_EQ(recorded->losses->metric, LossMetric::kSquaredError);
  EXPECT_NEAR(recorded->losses->mean, 3, 0.2);
  EXPECT_NEAR(recorded->losses->spread, 3 * std::sqrt(0.8), 0.2);
}

TEST(ForecastTest, AnAbTestTakesItsTimeAndARollingOneItsBatches) {
  RolloutPlan plan;
  plan.strategy = RolloutPlan::Strategy::kAb;
  plan.ab.emplace().duration = std::chrono::hours(3);
  EXPECT_EQ(MakeForecast(plan, Busy()).seconds, 3 * 3600);
  plan.strategy = RolloutPlan::Strategy::kRolling;
  plan.ab.reset();
  plan.rolling.emplace().batches = 4;
  const Forecast rolling = MakeForecast(plan, Busy());
  ASSERT_EQ(rolling.steps.size(), 5u);
  EXPECT_EQ(rolling.steps[1].weight, 0.25);
  EXPECT_GE(rolling.seconds, 4 * 60);
}

TEST(ForecastTest, WarnsWhereAGateCannotWork) {
  RolloutPlan plan = DefaultRolloutPlan();
  ServiceTraffic quiet = Busy();
  quiet.requests_per_second = 0.01;
  EXPECT_TRUE(Says(MakeForecast(plan, quiet), "gate errors: at this traffic it takes about"));
  EXPECT_TRUE(Says(MakeForecast(plan, quiet), "the candidate is taken back"));
  quiet.requests_per_second = 0;
  EXPECT_TRUE(Says(MakeForecast(plan, quiet), "there is no traffic"));

  plan.gates.emplace_back().kind = Kind::kQuality;
  EXPECT_TRUE(Says(MakeForecast(plan, Busy()), "gate quality: no labels come"));
  ServiceTraffic labelled = Busy();
  labelled.label_share = 0.2;
  labelled.wrong_rate = 0.1;
  EXPECT_TRUE(MakeForecast(plan, labelled).warnings.empty());

  plan = DefaultRolloutPlan();
  plan.gates[0].floor = 0;
  ServiceTraffic clean = Busy();
  clean.error_rate = 0;
  EXPECT_TRUE(Says(MakeForecast(plan, clean), "gate errors: nothing can show"));
  EXPECT_TRUE(std::isinf(MakeForecast(plan, clean).seconds));

  plan = DefaultRolloutPlan();
  plan.steps = {{1.0}};
  EXPECT_TRUE(Says(MakeForecast(plan, Busy()), "no harm, however large"));

  plan = DefaultRolloutPlan();
  for (RolloutStep& step : plan.steps) step.duration = std::chrono::minutes(30);
  plan.max_duration = std::chrono::hours(1);
  EXPECT_TRUE(Says(MakeForecast(plan, Busy()), "longer than max_duration"));
}

TEST(ForecastTest, ThePlayedPlanDoesAsForecast) {
  const std::vector<PlayedPlan> played = PlayPlan(DefaultRolloutPlan(), Busy(), 60, 5, 1);
  ASSERT_EQ(played.size(), 3u);
  EXPECT_EQ(played[0].candidate, "equal");
  EXPECT_EQ(played[1].candidate, "errors x5");
  EXPECT_EQ(played[2].candidate, "latency x5");
  EXPECT_GE(played[0].promoted, 58);
  EXPECT_EQ(played[1].rolled_back, 60);
  EXPECT_EQ(played[2].rolled_back, 60);
  EXPECT_LT(played[1].exposed_median, played[0].exposed_median);
  const double forecast = MakeForecast(DefaultRolloutPlan(), Busy()).seconds;
  EXPECT_GT(played[0].seconds_median, forecast / 2);
  EXPECT_LT(played[0].seconds_median, forecast * 2);
  EXPECT_GE(played[0].seconds_p90, played[0].seconds_median);
}

TEST(ForecastTest, WhereNoLatencyIsKnownItsQuantilesAreWhatTheySay) {
  ServiceTraffic said;
  said.requests_per_second = 100;
  said.error_rate = 0.005;
  const Forecast forecast = MakeForecast(DefaultRolloutPlan(), said);
  EXPECT_GT(forecast.steps[0].gates[1].rate, 0.03);
  EXPECT_LE(forecast.steps[0].gates[1].rate, 0.05);
  const std::vector<PlayedPlan> played = PlayPlan(DefaultRolloutPlan(), said, 10, 5, 1);
  ASSERT_EQ(played.size(), 3u);
  EXPECT_GE(played[0].promoted, 9);
  EXPECT_EQ(played[2].rolled_back, 10);
}

TEST(ForecastTest, WithoutEnoughTrafficThePlayedPlanHasNoVerdict) {
  ServiceTraffic quiet = Busy();
  quiet.requests_per_second = 0.01;
  const std::vector<PlayedPlan> played = PlayPlan(DefaultRolloutPlan(), quiet, 5, 2, 1);
  EXPECT_EQ(played[0].inconclusive, 5);
}

TEST(ForecastTest, ThePlanOfARecordIsPlayedWithItsArrivals) {
  Json question{{"record", RecordedRollout(0.01)}, {"runs", 20}, {"worse", 10}};
  auto report = ForecastReport(question.dump());
  ASSERT_TRUE(report.ok()) << report.status();
  const Json answer = Json::parse(*report);
  EXPECT_DOUBLE_EQ(answer["traffic"]["requests_per_second"].get<double>(), 200);
  EXPECT_NEAR(answer["traffic"]["error_rate"].get<double>(), 0.01, 0.005);
  EXPECT_GT(answer["traffic"]["windows"], 3);
  EXPECT_EQ(answer["forecast"]["steps"].size(), 2u) << "the record's plan";
  EXPECT_EQ(answer["played"][1]["rolled_back"], 20);
  EXPECT_GE(answer["played"][0]["promoted"], 18);

  question["traffic"] = {{"requests_per_second", 10}};
  const Json slower = Json::parse(ForecastReport(question.dump()).value());
  EXPECT_EQ(slower["traffic"]["windows"], 0);
  EXPECT_GT(slower["forecast"]["seconds"], answer["forecast"]["seconds"]);
}

TEST(ForecastTest, ARecordsProbationIsNoTrafficOfItsService) {
  Json question{{"record", RecordedRollout(0.01, 5000, std::chrono::minutes(50))}, {"runs", 1}};
  const Json answer = Json::parse(ForecastReport(question.dump()).value());
  EXPECT_DOUBLE_EQ(answer["traffic"]["requests_per_second"].get<double>(), 200);
}

TEST(ForecastTest, QuestionsThatMakeNoSenseAreRefused) {
  auto refused = [](const char* question) {
    auto report = ForecastReport(question);
    return report.ok() ? std::string("was answered") : std::string(report.status().message());
  };
  EXPECT_NE(refused("nonsense").find("cannot be read"), std::string::npos);
  EXPECT_NE(refused("[]").find("must be a JSON object"), std::string::npos);
  EXPECT_EQ(refused(R"({"traffic": {"error_rate": 2}})"), "error_rate: must be between 0 and 1");
  EXPECT_EQ(refused(R"({"runs": 1e9})"), "runs: must be between 0 and 10000");
  EXPECT_NE(refused(R"({"plan": {"alpha": 2}})").find("alpha"), std::string::npos);
  EXPECT_NE(refused(R"({"traffic": {"latency": [[9999, 1]]}})").find("latency"), std::string::npos);
  EXPECT_NE(refused(R"({"traffic": {"arrivals": [[0, 1]]}})").find("arrivals"), std::string::npos);
  EXPECT_NE(refused(R"({"record": "{}"})").find("no record"), std::string::npos);
  EXPECT_NE(ForecastReport("{}").value().find("there is no traffic"), std::string::npos);
}

}  // namespace
}  // namespace leadsman
