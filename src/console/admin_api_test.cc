#include "console/admin_api.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "console/json_views.h"
#include "console/testing/admin_fixture.h"
#include "monitor/edges/profile_message.h"
#include "rollout/config_schema.h"
#include "rollout/testing/recorded_rollout.h"

namespace leadsman {
namespace {

using Json = nlohmann::json;

class AdminApiTest : public testing::Test {
 protected:
  Json Get(const std::string& path, int status = 200) {
    net::ClientResponse response = fixture_.Call("GET", path);
    EXPECT_EQ(response.status, status) << path << " " << response.body;
    return Json::parse(response.body, nullptr, false);
  }
  Json Send(const std::string& method, const std::string& path, const std::string& body,
            int status) {
    net::ClientResponse response = fixture_.Call(method, path, body);
    EXPECT_EQ(response.status, status) << path << " " << response.body;
    return Json::parse(response.body, nullptr, false);
  }
  void Predict(const std::string& id, const std::string& label) {
    std::string_view predicted[] = {label};
    PredictionEvent event;
    event.model = "digits";
    event.version = 2;
    event.version_id = 1;
    event.unix_ms = UnixMillis(SystemClock().Now());
    event.latency_ns = 1'000'000;
    event.rows = 1;
    event.request_id = id;
    event.predicted = predicted;
    fixture_.monitor().Emit(event);
  }
  AdminFixture fixture_;
};

TEST_F(AdminApiTest, IsAliveAtOnceAndReadyOnceModelsAreLoaded) {
  EXPECT_EQ(fixture_.Call("GET", "/livez").body, "ok\n");
  EXPECT_EQ(fixture_.Call("GET", "/healthz").body, "ok\n");
  Json before = Get("/readyz", 503);
  EXPECT_EQ(before["ready"], false);
  EXPECT_FALSE(before["reasons"].empty());
  fixture_.LoadModels();
  EXPECT_EQ(Get("/readyz")["ready"], true);
}

TEST_F(AdminApiTest, ShowsModelsWithVersionsTrafficAndTotals) {
  fixture_.LoadModels();
  Predict("r1", "7");
  ASSERT_TRUE(fixture_.monitor().Flush(std::chrono::seconds(10)));
  Json model = Get("/api/v1/models/digits");
  EXPECT_EQ(model["name"], "digits");
  EXPECT_EQ(model["traffic"],
            Json({{"stable", 2}, {"candidate", nullptr}, {"candidate_share", 0.0}}));
  ASSERT_EQ(model["versions"].size(), 2u);
  EXPECT_EQ(model["versions"][1]["state"], "ready");
  EXPECT_EQ(model["versions"][1]["share"], 1.0);
  EXPECT_EQ(model["versions"][0]["share"], 0.0);
  EXPECT_EQ(model["versions"][1]["totals"]["requests"], 1);
  EXPECT_EQ(model["versions"][1]["totals"]["accuracy"], nullptr);
  EXPECT_EQ(Get("/api/v1/models")["models"][0], model);
  EXPECT_EQ(Get("/api/v1/models/digit", 404)["error"]["message"],
            "there is no model digit; did you mean digits?");
}

TEST_F(AdminApiTest, ShowsTheSharesOfARollout) {
  fixture_.LoadModels();
  auto routes = std::make_shared<RouteTable>();
  routes->routes["digits"] = {1, 2, 2500};
  fixture_.predictor().SetRoutes(routes);
  Json model = Get("/api/v1/models/digits");
  EXPECT_EQ(model["traffic"], Json({{"stable", 1}, {"candidate", 2}, {"candidate_share", 0.25}}));
  EXPECT_EQ(model["versions"][0]["share"], 0.75);
  EXPECT_EQ(model["versions"][1]["share"], 0.25);
  EXPECT_EQ(model["labels"], Json({{"stable", 1}, {"canary", 2}})) << "requests may use them";
  Send("PUT", "/api/v1/models/digits/labels/stable", R"({"version": 2})", 200);
  EXPECT_EQ(Get("/api/v1/models/digits")["labels"], Json({{"stable", 2}, {"canary", 2}}))
      << "one that is set comes first";
}

TEST_F(AdminApiTest, ShowsTheServerAtAGlance) {
  fixture_.LoadModels();
  fixture_.rollouts.Put(FakeRollouts::Example(1));
  RolloutView ended = FakeRollouts::Example(2);
  ended.phase = RolloutPhase::kPromoted;
  fixture_.rollouts.Put(ended);
  Json status = Get("/api/v1/status");
  EXPECT_EQ(status["version"], "0.0.1");
  EXPECT_EQ(status["models"][0]["state"], "ready");
  EXPECT_EQ(status["models"][0]["versions_ready"], Json({1, 2}));
  ASSERT_EQ(status["rollouts"].size(), 1u);
  EXPECT_EQ(status["rollouts"][0]["id"], 1);
  EXPECT_TRUE(status["monitor"].is_object());
  EXPECT_EQ(status["rollout_journal"], Json({{"ok", true}, {"reason", ""}}));
  EXPECT_TRUE(status["label_store"].is_null()) << "the process' own";
  EXPECT_EQ(Get("/api/v1/rollouts/2")["share"], 1.0);
  EXPECT_EQ(Get("/api/v1/rollouts/1")["share"], 0.25);
}

TEST_F(AdminApiTest, SaysThatTheRolloutJournalCannotBeWritten) {
  fixture_.LoadModels();
  fixture_.rollouts.SetJournalProblem("the disk is full");
  Json status = Get("/api/v1/status");
  EXPECT_EQ(status["rollout_journal"], Json({{"ok", false}, {"reason", "the disk is full"}}));
  EXPECT_EQ(status["models"][0]["note"], "the disk is full");
  EXPECT_EQ(Get("/api/v1/models/digits")["note"], "the disk is full");
}

TEST_F(AdminApiTest, SaysWhyARejectedVersionIsGone) {
  fixture_.LoadModels();
  RolloutView rollout = FakeRollouts::Example(2);
  rollout.phase = RolloutPhase::kRolledBack;
  fixture_.rollouts.Put(rollout);
  EXPECT_EQ(Get("/api/v1/models/digits")["versions"][1]["reason"], "") << "it is ready";
  fixture_.Reject(2);
  Json version = Get("/api/v1/models/digits")["versions"][1];
  EXPECT_EQ(version["state"], "gone");
  EXPECT_EQ(version["reason"],
            "rejected: rolled back by rollout 2; `leadsman rollout start digits 2` tries it again");
}

TEST_F(AdminApiTest, SetsLabelsOnReadyVersionsOnly) {
  fixture_.LoadModels();
  EXPECT_EQ(Send("PUT", "/api/v1/models/digits/labels/stable", R"({"version": 1})", 200)["version"],
            1);
  Send("PUT", "/api/v1/models/digits/labels/stable", R"({"version": 9})", 409);
  Send("PUT", "/api/v1/models/iris/labels/stable", R"({"version": 1})", 404);
  EXPECT_EQ(Send("PUT", "/api/v1/models/digits/labels/stable", R"({"verison": 1})",
                 400)["error"]["message"],
            "verison: unknown key; did you mean version?\nneeds version: a ready version");
  Send("PUT", "/api/v1/models/digits/labels/stable", "", 400);
}

TEST_F(AdminApiTest, ListsAModelsStoreWhenToldTo) {
  fixture_.LoadModels();
  EXPECT_EQ(Send("POST", "/api/v1/models/digits/refresh", "", 202),
            Json({{"model", "digits"}, {"listing", "started"}}));
  // A bucket's notification comes as it is.
  Send("POST", "/api/v1/models/digits/refresh", R"({"EventName": "s3:ObjectCreated:Put"})", 202);
  Send("POST", "/api/v1/models/nobody/refresh", "", 404);
}

TEST_F(AdminApiTest, JoinsLabelsWithPredictions) {
  fixture_.LoadModels();
  Predict("r1", "7");
  Predict("r2", "8");
  ASSERT_TRUE(fixture_.monitor().Flush(std::chrono::seconds(10)));
  Json receipt = Send(
      "POST", "/api/v1/labels",
      R"({"labels": [{"request_id": "r1", "label": 7}, {"request_id": "r2", "label": 1}]})", 200);
  EXPECT_EQ(receipt, Json({{"accepted", 2}, {"rejected", 0}, {"errors", Json::array()}}));
  ASSERT_TRUE(fixture_.monitor().Flush(std::chrono::seconds(10)));
  Json totals = Get("/api/v1/models/digits")["versions"][1]["totals"];
  EXPECT_EQ(totals["labelled"], 2);
  EXPECT_EQ(totals["wrong"], 1);
  EXPECT_EQ(totals["accuracy"], 0.5);
}

TEST_F(AdminApiTest, RefusesMalformedLabelsAsAWhole) {
  Json answer = Send("POST", "/api/v1/labels",
                     R"({"labels": [{"request_id": "r1", "label": 7}, {"label": 1}]})", 400);
  EXPECT_EQ(answer["error"]["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(answer["error"]["details"], Json({"labels[1].request_id: is missing"}));
  Send("POST", "/api/v1/labels", "nonsense", 400);
}

TEST_F(AdminApiTest, TakesEventsAndTheirLabels) {
  Json receipt = Send(
      "POST", "/api/v1/events",
      R"({"events": [{"model": "away", "version": 2, "request_id": "e1", "prediction": 7, "label": 7.0},
                                     {"model": "away", "version": "x"}]})",
      200);
  EXPECT_EQ(receipt["accepted"], 1);
  EXPECT_EQ(receipt["rejected"], 1);
  EXPECT_EQ(receipt["labels_accepted"], 1);
  EXPECT_EQ(receipt["next"], nullptr);
  EXPECT_EQ(receipt["errors"][0].get<std::string>().substr(0, 19), "events[1].version: ");
  ASSERT_TRUE(fixture_.monitor().Flush(std::chrono::seconds(10)));
  VersionTotals totals = fixture_.monitor().Totals("away", 2);
  EXPECT_EQ(totals.requests, 1u);
  EXPECT_EQ(totals.labelled, 1u);
  EXPECT_EQ(totals.wrong, 0u);
  Send("POST", "/api/v1/events", "nonsense", 400);
  Json refused = Send("POST", "/api/v1/events", R"({"events": [{}]})", 400);
  EXPECT_EQ(refused["error"]["details"], Json({"events[0].model: is missing"}));
}

TEST_F(AdminApiTest, TakesProfilesOfEdgesAndListsThem) {
  IntervalProfile profile;
  profile.model = "away";
  profile.version = 2;
  profile.requests.requests = {5, 1, 0, 0, 0};
  size_t taken = 0;
  const std::string message =
      WriteProfileMessage({"pod-1", 7, 1, std::chrono::seconds(5)}, {&profile, 1}, taken);
  Json receipt = Send("POST", "/api/v1/profiles", message, 200);
  EXPECT_EQ(receipt, Json({{"duplicate", false}, {"lost", 0}, {"profiles", 1}, {"requests", 6}}));
  EXPECT_EQ(Send("POST", "/api/v1/profiles", message, 200)["duplicate"], true);
  ASSERT_TRUE(fixture_.monitor().Flush(std::chrono::seconds(10)));
  EXPECT_EQ(fixture_.monitor().Totals("away", 2).requests, 6u);
  Json refused = Send("POST", "/api/v1/profiles", "nonsense", 400);
  EXPECT_EQ(refused["error"]["message"].get<std::string>().substr(0, 26),
            "body: is no message of pro");
  Json edges = Get("/api/v1/edges");
  EXPECT_EQ(edges["live"], 1);
  EXPECT_EQ(edges["edges"][0]["edge"], "pod-1");
  EXPECT_EQ(edges["edges"][0]["duplicates"], 1);
  EXPECT_EQ(Get("/api/v1/status")["edges"], edges);
}

TEST_F(AdminApiTest, ShowsWindowsSinceAWhileOrATime) {
  fixture_.LoadModels();
  EXPECT_EQ(Get("/api/v1/models/digits/windows")["model"], "digits");
  Get("/api/v1/models/digits/windows?since=1h");
  EXPECT_EQ(Get("/api/v1/models/digits/windows?since=2026-03-01T12:34:56.5Z")["from"],
            "2026-03-01T12:34:56.500Z");
  Get("/api/v1/models/digits/windows?since=yesterday", 400);
  Get("/api/v1/models/digits/windows?since=2026-13-01T12:34:56Z", 400);
  Get("/api/v1/models/iris/windows", 404);
  Get("/api/v1/models/digits/versions/x/profile", 400);
}

TEST_F(AdminApiTest, ShowsWhatLabelsTell) {
  fixture_.LoadModels();
  EXPECT_EQ(Get("/api/v1/models/digits/quality")["versions"], Json::array());
  Get("/api/v1/models/iris/quality", 404);
  Get("/api/v1/models/digits/quality?version=x", 400);
  Get("/api/v1/models/digits/quality?version=7", 404);
  Send("POST", "/api/v1/events",
       R"({"events": [{"model": "away", "request_id": "1", "prediction": [0.25, 0.75], "label": 1},
                      {"model": "away", "request_id": "2", "prediction": [0.625, 0.375], "label": 0},
                      {"model": "away", "request_id": "3", "prediction": [0.125, 0.875], "label": 0},
                      {"model": "away", "request_id": "4", "prediction": 1, "score": 0.5}]})",
       200);
  ASSERT_TRUE(fixture_.monitor().Flush(std::chrono::seconds(10)));
  Json quality = Get("/api/v1/models/away/quality?version=0")["versions"][0];
  EXPECT_EQ(quality["labelled"], 3);
  EXPECT_EQ(quality["scores"][0]["class"], "1");
  EXPECT_EQ(quality["scores"][0]["auc"], 0.5);
  EXPECT_EQ(quality["classes"]["of"].size(), 2u);
  EXPECT_EQ(quality["coverage"]["predictions"], 4);
}

TEST_F(AdminApiTest, ShowsDriftByVersion) {
  fixture_.LoadModels();
  EXPECT_EQ(Get("/api/v1/models/digits/drift")["versions"], Json::array());
  Get("/api/v1/models/iris/drift", 404);
  Get("/api/v1/models/digits/drift?version=x", 400);
  Get("/api/v1/models/digits/drift?version=7", 404);
}

TEST_F(AdminApiTest, ShowsWhatWasSeenInALogOfAModelThatIsNotServedHere) {
  PredictionEvent event;
  event.model = "elsewhere";
  event.observed = true;
  fixture_.monitor().Emit(event);
  ASSERT_TRUE(fixture_.monitor().Flush(std::chrono::seconds(10)));
  EXPECT_EQ(Get("/api/v1/models/elsewhere/windows")["model"], "elsewhere");
  EXPECT_EQ(Get("/api/v1/models/elsewhere/versions/0/profile")["requests"], 1);
  Json model = Get("/api/v1/models/elsewhere");
  EXPECT_EQ(model["traffic"], nullptr) << "it is served elsewhere";
  EXPECT_EQ(model["versions"][0]["state"], "observed");
  EXPECT_EQ(model["versions"][0]["totals"]["requests"], 1);
  EXPECT_EQ(Get("/api/v1/models")["models"][0]["name"], "elsewhere");
  Json summary = Get("/api/v1/status")["models"][0];
  EXPECT_EQ(summary["state"], "observed");
  EXPECT_NE(summary["note"].get<std::string>().find("1 request, 0 errors"), std::string::npos);
  EXPECT_EQ(Get("/api/v1/models/elsewhree", 404)["error"]["message"],
            "there is no model elsewhree; did you mean elsewhere?");
  EXPECT_EQ(Send("PUT", "/api/v1/models/elsewhere/labels/stable", R"({"version": 1})",
                 404)["error"]["message"],
            "model elsewhere is not served here, it is only watched");
  EXPECT_EQ(Get("/api/v1/logs")["sources"], Json::array());
  EXPECT_EQ(Get("/api/v1/envoy")["models"], Json::array());
  EXPECT_EQ(Get("/api/v1/gateway")["services"], Json::array());
  EXPECT_EQ(Get("/api/v1/status")["gateway"]["connections"], 0);
  const std::string weights = "/api/v1/gateway/services/digits/weights";
  Send("PUT", weights, R"({"weights": {"1": 0.5, "2": "50%"}})", 200);
  Send("PUT", weights, R"({"weights": {"one": 1}})", 400);
  Send("PUT", weights, R"({"weights": {"1": 2}})", 400);
  Send("PUT", "/api/v1/gateway/services/iris/weights", R"({"weights": {"1": 1}})", 404);
}

TEST_F(AdminApiTest, ShowsAndSteersRollouts) {
  fixture_.LoadModels();
  fixture_.rollouts.Put(FakeRollouts::Example(1));
  RolloutView other = FakeRollouts::Example(2, "iris");
  other.phase = RolloutPhase::kRolledBack;
  other.ended = FromUnixMillis(1'700'000'100'000);
  fixture_.rollouts.Put(other);
  EXPECT_EQ(Get("/api/v1/rollouts")["rollouts"].size(), 2u);
  EXPECT_EQ(Get("/api/v1/rollouts?model=iris")["rollouts"][0]["phase"], "rolled_back");
  Json rollout = Get("/api/v1/rollouts/1");
  EXPECT_EQ(rollout["ended"], nullptr);
  EXPECT_EQ(rollout["gates"][0]["candidate"]["exposure_needed"], 400);
  EXPECT_EQ(rollout["arms"]["candidate"]["requests"], 100);
  Get("/api/v1/rollouts/9", 404);
  Get("/api/v1/rollouts/x", 400);
  EXPECT_EQ(rollout["paused_by"], nullptr);
  EXPECT_EQ(rollout["awaits_approval"], false);
  EXPECT_EQ(rollout["expected_end"], nullptr);
  EXPECT_EQ(rollout["split_seed"], nullptr);
  EXPECT_EQ(rollout["gates"][0]["weight"], 1);
  EXPECT_EQ(rollout["gates"][1]["alpha"], nullptr) << "an answer from outside has no part of it";
  RolloutView later = other;
  later.id = 3;
  later.phase = RolloutPhase::kProgressing;
  later.split_seed = 7;
  later.expected_end = {ExpectedEnd::Kind::kPromotion, std::chrono::seconds(90),
                        FromUnixMillis(1'700'000'090'000), "promotion expected about …"};
  fixture_.rollouts.Put(later);
  rollout = Get("/api/v1/rollouts/3");
  EXPECT_EQ(rollout["split_seed"], 7);
  EXPECT_EQ(rollout["expected_end"]["kind"], "promotion");
  EXPECT_EQ(rollout["expected_end"]["in_seconds"], 90);
  EXPECT_EQ(rollout["expected_end"]["at"], "2023-11-14T22:14:50.000Z");
  Send("POST", "/api/v1/rollouts/1/promote", R"({"who": "ann"})", 202);
  Send("POST", "/api/v1/rollouts/1/promote", R"({"who": "ann", "full": true})", 202);
  Send("POST", "/api/v1/rollouts/1/promote", R"({"ful": true})", 400);
  Send("POST", "/api/v1/rollouts/1/promote", R"({"who": "", "step": 1})", 202);
  Send("POST", "/api/v1/rollouts/1/promote", R"({"who": "ann", "step": 0})", 409);
  Send("POST", "/api/v1/rollouts/1/promote", R"({"full": true, "step": 1})", 400);
  Send("POST", "/api/v1/rollouts/1/pause", R"({"who": "ben"})", 202);
  Send("POST", "/api/v1/rollouts/1/resume", "", 202);
  Send("POST", "/api/v1/rollouts/1/abort", "", 202);
  Send("POST", "/api/v1/rollouts/2/abort", "", 409);
  Send("POST", "/api/v1/rollouts/7/abort", "", 404);
  Send("POST", "/api/v1/rollouts", R"({"model": "digits", "candidate": 2})", 409);
  Send("POST", "/api/v1/rollouts", R"({"model": "digits"})", 400);
  Send("POST", "/api/v1/rollouts", R"({"model": "none", "candidate": 2})", 404);
  net::ClientResponse absent =
      fixture_.Call("POST", "/api/v1/rollouts", R"({"model": "digits", "candidate": 99})");
  EXPECT_EQ(absent.status, 404);
  EXPECT_NE(absent.body.find("candidate: there is no version 99 of model digits in "),
            std::string::npos)
      << absent.body;
  EXPECT_NE(absent.body.find("versions: 1, 2"), std::string::npos) << absent.body;
  EXPECT_EQ(
      fixture_.rollouts.calls(),
      (std::vector<std::string>{"promote 1 by ann", "promote fully 1 by ann",
                                "promote 1 by admin API", "pause 1 by ben", "resume 1 by admin API",
                                "abort 1 by admin API", "abort 2 by admin API", "start digits 2"}));
}

TEST_F(AdminApiTest, RolloutsAreTriedAgainAndUndone) {
  fixture_.LoadModels();
  RolloutView view = FakeRollouts::Example(1);
  view.phase = RolloutPhase::kRolledBack;
  fixture_.rollouts.Put(view);
  view.id = 2;
  view.phase = RolloutPhase::kPromoted;
  fixture_.rollouts.Put(view);
  Json again =
      Json::parse(fixture_.Call("POST", "/api/v1/rollouts/1/retry", R"({"who": "ann"})").body);
  EXPECT_EQ(again["candidate"], 2);
  Json back = Json::parse(fixture_.Call("POST", "/api/v1/rollouts/2/undo", "").body);
  EXPECT_EQ(back["candidate"], 1);
  Send("POST", "/api/v1/rollouts/2/retry", "", 409);
  Send("POST", "/api/v1/rollouts/1/undo", "", 409);
  Send("POST", "/api/v1/rollouts/9/undo", "", 404);
  // What a rollout left may have been deleted since.
  view.id = 3;
  view.stable = 77;
  fixture_.rollouts.Put(view);
  net::ClientResponse gone = fixture_.Call("POST", "/api/v1/rollouts/3/undo", "");
  EXPECT_EQ(gone.status, 404);
  EXPECT_NE(gone.body.find("there is no version 77 of model digits"), std::string::npos)
      << gone.body;
  EXPECT_EQ(fixture_.rollouts.calls(),
            (std::vector<std::string>{"retry 1 by ann", "undo 2 by admin API",
                                      "retry 2 by admin API", "undo 1 by admin API"}));
}

TEST_F(AdminApiTest, AFirstRolloutOfWhatIsServedElsewhereMayBeStartedByHand) {
  Send("POST", "/api/v1/rollouts", R"({"model": "far", "candidate": 2})", 404);
  fixture_.rollouts.PutStanding("far", {DefaultRolloutPlan(), 1});
  Send("POST", "/api/v1/rollouts", R"({"model": "far", "candidate": 2})", 201);
  EXPECT_EQ(fixture_.rollouts.calls(), std::vector<std::string>{"start far 2"});
}

TEST_F(AdminApiTest, AServiceOfAGatewayNeedsNoModelOfThisProcess) {
  fixture_.proxied = {{"far", {.main = 1, .versions = {1, 2}}}};
  EXPECT_EQ(Get("/api/v1/rollouts?model=far")["rollouts"], Json::array());
  EXPECT_EQ(Get("/api/v1/rollouts?model=fat", 404)["error"]["message"],
            "there is no model fat; did you mean far?");
  Json standing = Get("/api/v1/models/far/rollout");
  EXPECT_EQ(standing["plan"], nullptr);
  EXPECT_EQ(standing["stable"], 1);
  const std::string start = R"({"model": "far", "candidate": 2, "plan": {"alpha": 0.02}})";
  Send("POST", "/api/v1/rollouts", start, 201);
  auto refused = [&](const std::string& body, int status) {
    return std::string(Send("POST", "/api/v1/rollouts", body, status)["error"]["message"]);
  };
  EXPECT_EQ(refused(R"({"model": "far", "candidate": 3, "plan": {}})", 404),
            "candidate: service far has no version 3; versions: 1 and 2; add it to "
            "gateway.services and reload");
  EXPECT_EQ(refused(R"({"model": "far", "candidate": 1, "plan": {}})", 409),
            "candidate: version 1 has the traffic of far already: name another one");
  EXPECT_EQ(refused(R"({"model": "fat", "candidate": 2, "plan": {}})", 404),
            "model: there is no service fat in gateway.services; did you mean far?");
  EXPECT_EQ(refused(R"({"model": "far", "candidate": 2, "plan": {"alpa": 1}})", 400),
            "plan.alpa: unknown key; did you mean alpha?");
  EXPECT_EQ(fixture_.rollouts.calls(), std::vector<std::string>{"start far 2 alpha 0.02"});
}

TEST_F(AdminApiTest, PagesThroughAHistory) {
  std::vector<TickView> ticks(5);
  for (int i = 0; i < 5; ++i) ticks[i].step = i;
  fixture_.rollouts.PutHistory(1, ticks);
  Json page = Get("/api/v1/rollouts/1/history?limit=2&offset=1");
  EXPECT_EQ(page["total"], 5);
  EXPECT_EQ(page["next_offset"], 3);
  ASSERT_EQ(page["ticks"].size(), 2u);
  EXPECT_EQ(page["ticks"][0]["step"], 1);
  EXPECT_EQ(Get("/api/v1/rollouts/1/history?offset=3")["next_offset"], nullptr);
  Get("/api/v1/rollouts/1/history?limit=-1", 400);
}

TEST_F(AdminApiTest, ShowsAlarmsAndSilencesThem) {
  Finding finding;
  finding.subject.model = "digits";
  finding.severity = AlarmSeverity::kPage;
  finding.wrong = true;
  finding.evidence = 20;
  finding.summary = "it burns";
  finding.details = {{"objective", "99 %"}};
  fixture_.findings = {finding};
  EXPECT_EQ(Get("/api/v1/alarms")["looked"], nullptr);
  fixture_.alarms.Look();
  Json list = Get("/api/v1/alarms");
  EXPECT_EQ(list["watched"], 1);
  ASSERT_EQ(list["alarms"].size(), 1u);
  EXPECT_EQ(list["alarms"][0]["state"], "firing");
  EXPECT_EQ(list["alarms"][0]["details"][0]["value"], "99 %");
  const std::string one = StrCat("/api/v1/alarms/", list["alarms"][0]["id"].get<int64_t>());
  EXPECT_EQ(Get(one), list["alarms"][0]);
  EXPECT_TRUE(Get("/api/v1/alarms?state=resolved")["alarms"].empty());
  EXPECT_EQ(Get("/api/v1/alarms?model=digits")["alarms"].size(), 1u);
  EXPECT_EQ(Get("/api/v1/alarms?model=digist", 404)["error"]["message"],
            "there is no model digist, nor any other");
  EXPECT_EQ(Get("/api/v1/alarms?state=fired", 400)["error"]["message"],
            "state: must be pending, firing or resolved, not fired");
  EXPECT_EQ(Get("/api/v1/alarms/7", 404)["error"]["message"], "there is no alarm 7 (any more)");
  EXPECT_EQ(Get("/api/v1/alarms/x", 400)["error"]["message"],
            "id: must be a whole number from 1, not x");

  const std::string silences = "/api/v1/alarms/silences";
  Json added =
      Send("POST", silences,
           R"({"model": "digits", "for": "2h", "author": "ann", "comment": "known"})", 201);
  EXPECT_EQ(added["id"], 1);
  EXPECT_EQ(added["matches"], 1);
  EXPECT_EQ(added["warning"], "");
  added.erase("matches");
  added.erase("warning");
  EXPECT_EQ(Get(silences)["silences"][0], added);
  fixture_.alarms.Look();
  EXPECT_EQ(Get(one)["silence"], 1);
  EXPECT_EQ(Send("DELETE", silences + "/1", "", 200)["removed"], true);
  Send("DELETE", silences + "/1", "", 404);
  Send("POST", silences,
       R"({"model": "d", "until": "2099-01-01T00:00:00Z", "author": "a", "comment": "c"})", 400);
  for (
      const char* wrong :
      {R"({"model": "d", "for": "2h", "author": "ann"})",
       R"({"model": "d", "author": "ann", "comment": "c"})",
       R"({"model": "d", "for": "2h", "until": "2099-01-01T00:00:00Z", "author": "a", "comment": "c"})",
       R"({"for": "2h", "author": "a", "comment": "c"})",
       R"({"modle": "d", "for": "2h", "author": "a", "comment": "c"})"}) {
    Send("POST", silences, wrong, 400);
  }
}

TEST_F(AdminApiTest, WrongAddressesAndMethodsSayWhatIsRight) {
  EXPECT_EQ(Get("/api/v1/nothing", 404)["error"]["code"], "NOT_FOUND");
  EXPECT_EQ(Get("/api/v1/models/%zz", 404)["error"]["code"], "NOT_FOUND");
  net::ClientResponse response = fixture_.Call("DELETE", "/api/v1/rollouts");
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.Header("allow"), "GET, HEAD, POST");
  response = fixture_.Call("HEAD", "/openapi.json");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "");
}

TEST_F(AdminApiTest, DelegatesMetricsAndConfiguration) {
  EXPECT_EQ(fixture_.Call("GET", "/metrics").body, "leadsman_up 1\n");
  EXPECT_EQ(Get("/api/v1/configuration"), Json({{"models", Json::array()}}));
}

TEST_F(AdminApiTest, TellsWhatARolloutWouldBeginFromAndWhatOneWasMadeOf) {
  fixture_.LoadModels();
  Get("/api/v1/models/digits/rollout", 404);
  RolloutPlan plan = DefaultRolloutPlan();
  plan.gates.resize(4);
  plan.gates[2].kind = RolloutGate::Kind::kWebhook;
  plan.gates[2].outside.url = "https://hook/services/hush?x=hush";
  plan.gates[3].kind = RolloutGate::Kind::kPromql;
  plan.gates[3].outside.address = "https://me:hush@prometheus";
  plan.gates[3].outside.query = "up";
  plan.gates[3].max = 1;
  fixture_.rollouts.PutStanding("digits", {plan, 2});
  Predict("r1", "7");
  ASSERT_TRUE(fixture_.monitor().Flush(std::chrono::seconds(10)));
  Json standing = Get("/api/v1/models/digits/rollout");
  EXPECT_EQ(standing.dump().find("hush"), std::string::npos) << standing["plan"];
  EXPECT_EQ(standing["plan"]["gates"][2]["url"], "https://hook:443/…");
  EXPECT_EQ(standing["stable"], 2);
  EXPECT_EQ(standing["plan"]["steps"].size(), 3u);
  EXPECT_EQ(standing["traffic"]["requests"], 1);
  EXPECT_EQ(standing["traffic"]["error_rate"], 0);
  EXPECT_EQ(standing["traffic"]["latency"].size(), 1u);

  EXPECT_EQ(Get("/api/v1/rollouts/1/record", 404)["error"]["code"], "NOT_FOUND");
  Get("/api/v1/rollouts/x/record", 400);
  const std::string record = RecordedRollout(0.06, 3);
  fixture_.rollouts.PutRecord(1, record);
  EXPECT_EQ(fixture_.Call("GET", "/api/v1/rollouts/1/record").body, record);
}

TEST_F(AdminApiTest, TheOpenApiDocumentDescribesWhatIsThere) {
  fixture_.LoadModels();
  fixture_.rollouts.Put(FakeRollouts::Example(1));
  fixture_.rollouts.PutHistory(1, std::vector<TickView>(1));
  fixture_.rollouts.PutRecord(1, RecordedRollout(0.06, 3));
  fixture_.rollouts.PutStanding("digits", {DefaultRolloutPlan(), 2});
  Predict("r1", "7");
  ASSERT_TRUE(fixture_.monitor().Flush(std::chrono::seconds(10)));
  Json document = Get("/openapi.json");
  EXPECT_EQ(document["openapi"], "3.1.0");
  const Json& schemas = document["components"]["schemas"];
  std::function<void(const Json&, const Json&, const std::string&)> check =
      [&](const Json& value, const Json& type, const std::string& where) {
        if (type.contains("$ref")) {
          std::string name =
              type["$ref"].get<std::string>().substr(std::string("#/components/schemas/").size());
          ASSERT_TRUE(schemas.contains(name)) << where << " refers to " << name;
          return check(value, schemas[name], where);
        }
        if (type.contains("oneOf")) {
          if (!value.is_null()) check(value, type["oneOf"].back(), where);
          return;
        }
        for (const auto& key : type.value("required", Json::array()))
          EXPECT_TRUE(value.contains(key)) << where << ": " << key;
        if (value.is_object() && type.contains("properties")) {
          for (const auto& [key, inner] : value.items()) {
            ASSERT_TRUE(type["properties"].contains(key))
                << where << "." << key << " is not described";
            check(inner, type["properties"][key], where + "." + key);
          }
        }
        if (value.is_array() && type.contains("items")) {
          for (const Json& item : value) check(item, type["items"], where + "[]");
        }
      };
  std::map<std::string, std::string> values{
      {"{model}", "digits"}, {"{version}", "1"}, {"{id}", "1"}, {"{label}", "stable"}};
  size_t operations = 0;
  for (const auto& [path, methods] : document["paths"].items()) {
    std::string real = path;
    for (const auto& [name, value] : values) {
      if (size_t at = real.find(name); at != std::string::npos)
        real.replace(at, name.size(), value);
    }
    for (const auto& [method, operation] : methods.items()) {
      ++operations;
      EXPECT_TRUE(operation.contains("summary"));
      std::string upper = method;
      for (char& c : upper) c = static_cast<char>(c & ~0x20);
      net::ClientResponse response =
          fixture_.Call(upper, real, upper == "GET" ? "" : "{\"version\": 1}");
      std::string status = std::to_string(response.status);
      ASSERT_TRUE(operation["responses"].contains(status))
          << upper << " " << real << " answers " << status << response.body;
      const Json& content = operation["responses"][status]["content"];
      if (content.contains("application/json")) {
        check(Json::parse(response.body), content["application/json"]["schema"],
              upper + " " + real);
      }
    }
  }
  EXPECT_GE(operations, 19u);
  // Of an A/B test, whose verdict has a readout, by segment too.
  fixture_.rollouts.PutRecord(1, RecordedAbTest());
  const Json record = Get("/api/v1/rollouts/1/record");
  EXPECT_EQ(record["verdict"]["readout"][0]["metric"], "errors");
  EXPECT_EQ(record["verdict"]["segment_readout"][0]["segment"], "tenant=acme");
  check(record, schemas["RolloutRecord"], "the record of an A/B test");
}

TEST(AdminApiErrorBodyTest, HasTheShapeOfTheApi) {
  Json body = Json::parse(AdminApi::ErrorBody(413, "too large"));
  EXPECT_EQ(body["error"]["code"], "RESOURCE_EXHAUSTED");
  EXPECT_EQ(body["error"]["message"], "too large");
}

}  // namespace
}  // namespace leadsman
