#include "rollout/serialize.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "rollout/freeze.h"

namespace leadsman {
namespace {

using Json = nlohmann::ordered_json;

// Exceptions of the library stay in this file: everything below may throw, the four public
// functions catch.

Json Logs(const GridEProcess& test) {
  Json logs = Json::array();
  for (double v : test.logs()) logs.push_back(v);  // not finite → null
  return logs;
}

void SetLogs(const Json& json, GridEProcess& test) {
  std::vector<double> logs;
  for (const Json& v : json) {
    logs.push_back(v.is_null() ? -std::numeric_limits<double>::infinity() : v.get<double>());
  }
  if (!test.SetLogs(logs)) throw std::runtime_error("evidence of another grid");
}

Json LossesJson(const LossSums& l) { return Json::array({l.count, l.sum, l.squares, l.clipped}); }
LossSums LossesFrom(const Json& json) {
  return {json.at(0).get<uint64_t>(), json.at(1).get<double>(), json.at(2).get<double>(),
          json.at(3).get<uint64_t>()};
}

Json MeanTestJson(const MeanEProcess& test) {
  return {{"logs", Logs(test)},
          {"candidate", LossesJson(test.seen().candidate)},
          {"stable", LossesJson(test.seen().stable)}};
}
void SetMeanTest(const Json& json, MeanEProcess& test) {
  SetLogs(json.at("logs"), test);
  const std::vector<double> logs(test.logs().begin(), test.logs().end());
  test.Set(logs, {LossesFrom(json.at("candidate")), LossesFrom(json.at("stable"))});
}

Json CountsJson(const ArmCounts& c) { return Json::array({c.exposure, c.events}); }
ArmCounts CountsFrom(const Json& json) {
  return {json.at(0).get<uint64_t>(), json.at(1).get<uint64_t>()};
}

Json DeltaJson(const ArmDelta& d) {
  Json json = Json::array({d.requests, d.errors, d.timed, d.labelled, d.wrong});
  for (uint64_t v : d.slow) json.push_back(v);
  return json;
}
ArmDelta DeltaFrom(const Json& json) {
  ArmDelta d;
  d.requests = json.at(0).get<uint64_t>();
  d.errors = json.at(1).get<uint64_t>();
  d.timed = json.at(2).get<uint64_t>();
  d.labelled = json.at(3).get<uint64_t>();
  d.wrong = json.at(4).get<uint64_t>();
  for (size_t i = 5; i < json.size(); ++i) d.slow.push_back(json.at(i).get<uint64_t>());
  return d;
}

/// By a key of its own: DeltaJson ends in thresholds.
void PutLosses(Json& json, const char* key, const ArmDelta& d) {
  if (d.losses.count == 0 && d.unmeasured == 0) return;
  json[key] = LossesJson(d.losses);
  if (d.unmeasured > 0) json[key].push_back(d.unmeasured);
}
void TakeLosses(const Json& json, const char* key, ArmDelta& d) {
  const auto found = json.find(key);
  if (found == json.end()) return;
  d.losses = LossesFrom(*found);
  if (found->size() > 4) d.unmeasured = found->at(4).get<uint64_t>();
}

Json ReplicasJson(const Replicas& replicas) { return Json::array({replicas.ready, replicas.all}); }
Replicas ReplicasFrom(const Json& json) {
  const Replicas replicas{json.at(0).get<int>(), json.at(1).get<int>()};
  if (replicas.ready < 0 || replicas.ready > replicas.all || replicas.all > 1'000'000)
    throw std::runtime_error("replicas that cannot be");
  return replicas;
}

/// The counts first, and then what is slow of both.
Json PairsJson(const PairDelta& d) {
  Json json = Json::array({d.pairs, d.stable_failed, d.candidate_failed, d.both_failed, d.compared,
                           d.differing, d.flips, d.uncompared, d.timed, d.stable_wrong,
                           d.candidate_wrong, d.both_wrong});
  for (uint64_t v : d.stable_slow) json.push_back(v);
  for (uint64_t v : d.candidate_slow) json.push_back(v);
  return json;
}
PairDelta PairsFrom(const Json& json) {
  PairDelta d;
  size_t at = 0;
  for (uint64_t* v :
       {&d.pairs, &d.stable_failed, &d.candidate_failed, &d.both_failed, &d.compared, &d.differing,
        &d.flips, &d.uncompared, &d.timed, &d.stable_wrong, &d.candidate_wrong, &d.both_wrong})
    *v = json.at(at++).get<uint64_t>();
  if ((json.size() - at) % 2 != 0) throw std::runtime_error("thresholds of one version alone");
  const size_t end = at + (json.size() - at) / 2;
  for (size_t i = at; i < json.size(); ++i)
    (i < end ? d.stable_slow : d.candidate_slow).push_back(json.at(i).get<uint64_t>());
  return d;
}

template <typename Enum>
Enum EnumFrom(const Json& json, int last) {
  int v = json.get<int>();
  if (v < 0 || v > last) throw std::runtime_error("unknown enumerator");
  return static_cast<Enum>(v);
}

template <typename T>
void PutIf(Json& json, const char* key, const T& value) {
  if (value != T{}) json[key] = value;
}

/// Where the credentials of whom a rollout asks lie: an OutsideOptions, an ApprovalWebhook.
template <typename T>
void PutCredentials(Json& json, const T& asked) {
  PutIf(json, "ca_file", asked.ca_file);
  PutIf(json, "cert_file", asked.cert_file);
  PutIf(json, "key_file", asked.key_file);
  PutIf(json, "token_file", asked.token_file);
  PutIf(json, "username", asked.username);
  PutIf(json, "password_file", asked.password_file);
}
template <typename T>
void TakeCredentials(const Json& json, T& asked) {
  asked.ca_file = json.value("ca_file", "");
  asked.cert_file = json.value("cert_file", "");
  asked.key_file = json.value("key_file", "");
  asked.token_file = json.value("token_file", "");
  asked.username = json.value("username", "");
  asked.password_file = json.value("password_file", "");
}

Json OutsideConfigJson(const OutsideOptions& options) {
  Json json{{"interval_ms", options.interval.count()}, {"timeout_ms", options.timeout.count()}};
  PutIf(json, "name", options.name);
  PutIf(json, "address", options.address);
  PutIf(json, "query", options.query);
  PutIf(json, "url", options.url);
  if (options.min) json["min"] = *options.min;
  PutIf(json, "failures", options.failures);
  PutIf(json, "on_no_data", static_cast<int>(options.on_no_data));
  PutIf(json, "allow_absent", options.allow_absent);
  PutIf(json, "when", static_cast<int>(options.when));
  PutCredentials(json, options);
  return json;
}
OutsideOptions OutsideConfigFrom(const Json& json) {
  using std::chrono::milliseconds;
  OutsideOptions options;
  options.name = json.value("name", "");
  options.address = json.value("address", "");
  options.query = json.value("query", "");
  options.url = json.value("url", "");
  if (json.contains("min")) options.min = json["min"].get<double>();
  options.interval = milliseconds(json.at("interval_ms").get<int64_t>());
  options.timeout = milliseconds(json.at("timeout_ms").get<int64_t>());
  options.failures = json.value("failures", 0);
  if (json.contains("on_no_data"))
    options.on_no_data = EnumFrom<OutsideOptions::OnNoData>(json["on_no_data"], 1);
  options.allow_absent = json.value("allow_absent", false);
  if (json.contains("when")) options.when = EnumFrom<OutsideOptions::When>(json["when"], 2);
  TakeCredentials(json, options);
  return options;
}

Json ApprovalWebhookJson(const ApprovalWebhook& hook) {
  Json json{{"url", hook.url},
            {"timeout_ms", hook.timeout.count()},
            {"retry_after_ms", hook.retry_after.count()},
            {"deadline_ms", hook.deadline.count()},
            {"on_refusal", static_cast<int>(hook.on_refusal)}};
  PutIf(json, "secret_file", hook.secret_file);
  PutCredentials(json, hook);
  return json;
}
ApprovalWebhook ApprovalWebhookFrom(const Json& json) {
  using std::chrono::milliseconds;
  ApprovalWebhook hook;
  hook.url = json.at("url").get<std::string>();
  hook.timeout = milliseconds(json.at("timeout_ms").get<int64_t>());
  hook.retry_after = milliseconds(json.at("retry_after_ms").get<int64_t>());
  hook.deadline = milliseconds(json.at("deadline_ms").get<int64_t>());
  hook.on_refusal = EnumFrom<ApprovalWebhook::OnRefusal>(json.at("on_refusal"), 1);
  hook.secret_file = json.value("secret_file", "");
  TakeCredentials(json, hook);
  return hook;
}

Json ApprovalJson(const ApprovalState& approval) {
  Json json = Json::object();
  PutIf(json, "approved", approval.approved);
  PutIf(json, "refused", approval.refused);
  PutIf(json, "given_up", approval.given_up);
  PutIf(json, "tries", approval.tries);
  PutIf(json, "waited", approval.waited.count());
  PutIf(json, "said", approval.said);
  return json;
}
ApprovalState ApprovalFrom(const Json& json) {
  ApprovalState approval;
  approval.approved = json.value("approved", false);
  approval.refused = json.value("refused", false);
  approval.given_up = json.value("given_up", false);
  approval.tries = json.value("tries", 0);
  approval.waited = Duration(json.value("waited", int64_t{0}));
  approval.said = json.value("said", "");
  return approval;
}

/// JSON knows no infinity.
Json ReadingJson(const OutsideReading& reading) {
  Json json{
      {"gate", reading.gate}, {"step", reading.step}, {"kind", static_cast<int>(reading.kind)}};
  if (reading.kind == OutsideReading::Kind::kValue) {
    json["value"] =
        std::isinf(reading.value) ? Json(reading.value > 0 ? "inf" : "-inf") : Json(reading.value);
  }
  if (!reading.reason.empty()) json["reason"] = reading.reason;
  if (reading.step_elapsed != Duration{}) json["step_elapsed"] = reading.step_elapsed.count();
  return json;
}
OutsideReading ReadingFrom(const Json& json) {
  OutsideReading reading;
  reading.gate = json.at("gate").get<size_t>();
  reading.step = json.at("step").get<int>();
  reading.kind = EnumFrom<OutsideReading::Kind>(json.at("kind"), 5);
  if (json.contains("value")) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const Json& value = json["value"];
    reading.value = value.is_string() ? (value.get<std::string>() == "inf" ? kInfinity : -kInfinity)
                                      : value.get<double>();
  }
  reading.reason = json.value("reason", "");
  reading.step_elapsed = Duration(json.value("step_elapsed", int64_t{0}));
  return reading;
}

Json OutsideStateJson(const OutsideState& state) {
  Json json{{"passes", state.passes}, {"failures", state.failures}, {"age", state.age.count()},
            {"said", state.said},     {"passed", state.passed},     {"failed", state.failed},
            {"open", state.open}};
  if (state.asked != Duration{}) json["asked"] = state.asked.count();
  return json;
}
OutsideState OutsideStateFrom(const Json& json) {
  OutsideState state;
  state.passes = json.at("passes").get<bool>();
  state.failures = json.at("failures").get<int>();
  state.age = Duration(json.at("age").get<int64_t>());
  state.asked = Duration(json.value("asked", int64_t{0}));
  state.said = json.at("said").get<std::string>();
  state.passed = json.at("passed").get<uint64_t>();
  state.failed = json.at("failed").get<uint64_t>();
  state.open = json.at("open").get<uint64_t>();
  return state;
}

Json LossOptionsJson(const LossOptions& loss) {
  Json json{{"metric", LossMetricName(loss.metric)}};
  PutIf(json, "highest", loss.highest);
  PutIf(json, "good_enough", loss.good_enough);
  return json;
}
LossOptions LossOptionsFrom(const Json& json) {
  const auto metric = ParseLossMetric(json.at("metric").get<std::string>());
  if (!metric) throw std::runtime_error("unknown metric of losses");
  return {*metric, json.value("highest", 0.0), json.value("good_enough", 0.0)};
}

Json GateConfigJson(const RolloutGate& gate) {
  Json json{{"kind", GateName(gate.kind)}, {"margin", gate.margin}, {"floor", gate.floor}};
  if (gate.kind == RolloutGate::Kind::kLatency) {
    json["quantiles"] = gate.quantiles;
    json["safe_quantile"] = gate.safe_quantile;
    json["ignore_below_ms"] = gate.ignore_below.count();
    if (gate.max) json["slower_than_ms"] = gate.slower_than.count();
  }
  if (gate.max) json["max"] = *gate.max;
  if (gate.weight != 1) json["weight"] = gate.weight;
  PutIf(json, "only_classes", gate.only_classes);
  if (gate.kind == RolloutGate::Kind::kLoss) json["loss"] = LossOptionsJson(gate.loss);
  if (IsOutside(gate.kind)) json["outside"] = OutsideConfigJson(gate.outside);
  return json;
}
RolloutGate GateConfigFrom(const Json& json) {
  RolloutGate gate;
  auto kind = ParseGateName(json.at("kind").get<std::string>());
  if (!kind) throw std::runtime_error("unknown gate");
  gate.kind = *kind;
  gate.margin = json.at("margin").get<double>();
  gate.floor = json.at("floor").get<double>();
  if (gate.kind == RolloutGate::Kind::kLatency) {
    gate.quantiles = json.at("quantiles").get<std::vector<double>>();
    gate.safe_quantile = json.at("safe_quantile").get<double>();
    gate.ignore_below = std::chrono::milliseconds(json.at("ignore_below_ms").get<int64_t>());
    gate.slower_than = std::chrono::milliseconds(json.value("slower_than_ms", int64_t{0}));
  }
  if (json.contains("max")) gate.max = json["max"].get<double>();
  gate.weight = json.value("weight", 1.0);
  gate.only_classes = json.value("only_classes", false);
  if (gate.kind == RolloutGate::Kind::kLoss) gate.loss = LossOptionsFrom(json.at("loss"));
  if (IsOutside(gate.kind)) gate.outside = OutsideConfigFrom(json.at("outside"));
  return gate;
}

Json PlanJson(const RolloutPlan& plan) {
  Json json;
  Json& steps = json["steps"] = Json::array();
  for (const RolloutStep& step : plan.steps) {
    steps.push_back({{"weight", step.weight},
                     {"duration_ms", step.duration.count()},
                     {"min_requests", step.min_requests}});
    if (step.approval) steps.back()["approval"] = true;
    if (step.approval.webhook)
      steps.back()["approval_webhook"] = ApprovalWebhookJson(*step.approval.webhook);
    PutIf(steps.back(), "mirror", step.mirror);
  }
  Json& gates = json["gates"] = Json::array();
  for (const RolloutGate& gate : plan.gates) gates.push_back(GateConfigJson(gate));
  json["alpha"] = plan.alpha;
  json["beta"] = plan.beta;
  json["interval_ms"] = plan.interval.count();
  json["max_duration_ms"] = plan.max_duration.count();
  json["on_inconclusive"] = static_cast<int>(plan.on_inconclusive);
  json["warmup_ms"] = plan.warmup.count();
  for (const FreezeWindow& window : plan.freeze) {
    Json days = Json::array();
    for (std::chrono::weekday day : window.days) days.push_back(DayName(day));
    json["freeze"].push_back(
        {{"days", days}, {"from", window.from.count()}, {"to", window.to.count()}});
  }
  PutIf(json, "sample_ratio_alpha", plan.sample_ratio_alpha);
  PutIf(json, "probation_ms", plan.probation.count());
  PutIf(json, "lost_after_ms", plan.lost_after.count());
  PutIf(json, "progress_deadline_ms", plan.progress_deadline.count());
  if (plan.seed) json["seed"] = *plan.seed;
  if (plan.segments) {
    json["segments"] = {{"by", plan.segments->by},
                        {"max", plan.segments->max},
                        {"on_harm", static_cast<int>(plan.segments->on_harm)}};
  }
  if (plan.strategy == RolloutPlan::Strategy::kBlueGreen) {
    const BlueGreenOptions options = plan.blue_green.value_or(BlueGreenOptions{});
    json["strategy"] = StrategyName(plan.strategy);
    json["blue_green"] = {{"preview_ms", options.preview_duration.count()},
                          {"auto_promote", options.auto_promote},
                          {"watch_ms", options.watch_duration.count()},
                          {"min_requests", options.min_requests}};
  }
  if (plan.strategy == RolloutPlan::Strategy::kRolling) {
    const RollingOptions options = plan.rolling.value_or(RollingOptions{});
    json["strategy"] = StrategyName(plan.strategy);
    json["rolling"] = {{"batches", options.batches},
                       {"duration_ms", options.duration.count()},
                       {"min_requests", options.min_requests},
                       {"max_unavailable", options.max_unavailable}};
  }
  if (plan.strategy == RolloutPlan::Strategy::kAb) {
    const AbOptions options = plan.ab.value_or(AbOptions{});
    json["strategy"] = StrategyName(plan.strategy);
    json["ab"] = {{"weight", options.weight},
                  {"duration_ms", options.duration.count()},
                  {"min_requests", options.min_requests},
                  {"on_end", static_cast<int>(options.on_end)},
                  {"confidence", options.confidence}};
  }
  if (plan.strategy == RolloutPlan::Strategy::kShadow) {
    const ShadowOptions options = plan.shadow.value_or(ShadowOptions{});
    json["strategy"] = StrategyName(plan.strategy);
    json["shadow"] = {{"mirror", options.mirror},
                      {"duration_ms", options.duration.count()},
                      {"min_requests", options.min_requests},
                      {"auto_promote", options.auto_promote}};
  }
  return json;
}
RolloutPlan PlanFrom(const Json& json) {
  using std::chrono::milliseconds;
  RolloutPlan plan;
  plan.steps.clear();
  for (const Json& step : json.at("steps")) {
    plan.steps.push_back({step.at("weight").get<double>(),
                          milliseconds(step.at("duration_ms").get<int64_t>()),
                          step.at("min_requests").get<int64_t>(), step.value("approval", false),
                          step.value("mirror", 0.0)});
    if (step.contains("approval_webhook"))
      plan.steps.back().approval.webhook = ApprovalWebhookFrom(step["approval_webhook"]);
  }
  for (const Json& gate : json.at("gates")) plan.gates.push_back(GateConfigFrom(gate));
  plan.alpha = json.at("alpha").get<double>();
  plan.beta = json.at("beta").get<double>();
  plan.interval = milliseconds(json.at("interval_ms").get<int64_t>());
  plan.max_duration = milliseconds(json.at("max_duration_ms").get<int64_t>());
  plan.on_inconclusive = EnumFrom<RolloutPlan::OnInconclusive>(json.at("on_inconclusive"), 2);
  plan.warmup = milliseconds(json.at("warmup_ms").get<int64_t>());
  plan.probation = milliseconds(json.value("probation_ms", int64_t{0}));
  plan.lost_after = milliseconds(json.value("lost_after_ms", int64_t{0}));  // at once, then
  plan.progress_deadline = milliseconds(json.value("progress_deadline_ms", int64_t{0}));  // none
  if (json.contains("seed")) plan.seed = json["seed"].get<uint64_t>();
  plan.sample_ratio_alpha = json.value("sample_ratio_alpha", 0.0);  // not checked then
  if (json.contains("segments")) {
    const Json& segments = json["segments"];
    plan.segments = SegmentOptions{segments.at("by").get<std::vector<std::string>>(),
                                   segments.at("max").get<int>(),
                                   EnumFrom<SegmentOptions::OnHarm>(segments.at("on_harm"), 1)};
  }
  if (json.contains("freeze")) {
    for (const Json& one : json["freeze"]) {
      FreezeWindow& window = plan.freeze.emplace_back();
      for (const Json& name : one.at("days")) {
        auto day = ParseDay(name.get<std::string>());
        if (!day) throw std::runtime_error("unknown day");
        window.days.push_back(*day);
      }
      window.from = std::chrono::minutes(one.at("from").get<int64_t>());
      window.to = std::chrono::minutes(one.at("to").get<int64_t>());
    }
  }
  if (json.contains("strategy")) {
    const auto strategy = ParseStrategyName(json["strategy"].get<std::string>());
    if (!strategy) throw std::runtime_error("unknown strategy");
    plan.strategy = *strategy;
  }
  if (plan.strategy == RolloutPlan::Strategy::kRolling) {
    const Json& options = json.at("rolling");
    plan.rolling = RollingOptions{
        options.at("batches").get<int>(), milliseconds(options.at("duration_ms").get<int64_t>()),
        options.at("min_requests").get<int64_t>(), options.at("max_unavailable").get<double>()};
  }
  if (plan.strategy == RolloutPlan::Strategy::kAb) {
    const Json& options = json.at("ab");
    plan.ab = AbOptions{options.at("weight").get<double>(),
                        milliseconds(options.at("duration_ms").get<int64_t>()),
                        options.at("min_requests").get<int64_t>(),
                        EnumFrom<AbOptions::OnEnd>(options.at("on_end"), 2),
                        options.at("confidence").get<double>()};
  }
  if (plan.strategy == RolloutPlan::Strategy::kShadow) {
    const Json& options = json.at("shadow");
    plan.shadow = ShadowOptions{
        options.at("mirror").get<double>(), milliseconds(options.at("duration_ms").get<int64_t>()),
        options.at("min_requests").get<int64_t>(), options.at("auto_promote").get<bool>()};
  }
  if (plan.strategy == RolloutPlan::Strategy::kBlueGreen) {
    const Json& options = json.at("blue_green");
    plan.blue_green = BlueGreenOptions{milliseconds(options.at("preview_ms").get<int64_t>()),
                                       options.at("auto_promote").get<bool>(),
                                       milliseconds(options.at("watch_ms").get<int64_t>()),
                                       options.at("min_requests").get<int64_t>()};
  }
  Status valid = ValidatePlan(plan);
  if (!valid.ok()) throw std::runtime_error(valid.ToString());
  if (plan.steps.empty()) throw std::runtime_error("no steps");
  return plan;
}

Json LossEvidenceJson(const LossEvidence& loss) {
  Json json{{"harm", MeanTestJson(loss.harm)},
            {"safe", MeanTestJson(loss.safe)},
            {"candidate", LossesJson(loss.candidate)},
            {"stable", LossesJson(loss.stable)},
            {"open", {LossesJson(loss.open_candidate), LossesJson(loss.open_stable)}},
            {"before", LossesJson(loss.before)}};
  if (loss.floor) json["floor"] = MeanTestJson(*loss.floor);
  PutIf(json, "unmeasured", loss.unmeasured);
  return json;
}
void SetLossEvidence(const Json& json, LossEvidence& loss) {
  SetMeanTest(json.at("harm"), loss.harm);
  SetMeanTest(json.at("safe"), loss.safe);
  if (loss.floor) SetMeanTest(json.at("floor"), *loss.floor);
  loss.candidate = LossesFrom(json.at("candidate"));
  loss.stable = LossesFrom(json.at("stable"));
  loss.open_candidate = LossesFrom(json.at("open").at(0));
  loss.open_stable = LossesFrom(json.at("open").at(1));
  loss.before = LossesFrom(json.at("before"));
  loss.unmeasured = json.value("unmeasured", uint64_t{0});
}

Json GateJson(const GateState& gate) {
  Json json;
  Json& harm = json["harm"] = Json::array();
  for (const HarmTest& test : gate.harm) harm.push_back(Logs(test));
  json["safe"] = Logs(gate.safe);
  if (gate.floor) json["floor"] = Logs(*gate.floor);
  Json& counts = json["counts"] = Json::array();
  for (size_t k = 0; k < gate.harm.size(); ++k) {
    counts.push_back({CountsJson(gate.candidate[k]), CountsJson(gate.stable[k])});
  }
  Json& open = json["open"] = Json::array();
  for (const EvidenceWindow& window : gate.open) {
    open.push_back({CountsJson(window.candidate), CountsJson(window.stable)});
  }
  json["safe_index"] = gate.safe_index;
  json["before"] = CountsJson(gate.before);
  json["needed"] = gate.needed;
  const GateState::Flips& flips = gate.flips;
  if (flips != GateState::Flips{}) {
    json["flips"] = {flips.compared, flips.differing, flips.stable_wrong, flips.candidate_wrong,
                     flips.both_wrong};
  }
  if (gate.loss) json["loss"] = LossEvidenceJson(*gate.loss);
  if (IsOutside(gate.config.kind)) json["outside"] = OutsideStateJson(gate.outside);
  return json;
}
GateState GateFrom(const Json& json, const RolloutGate& config) {
  GateState gate(config);
  auto safe_index = json.at("safe_index").get<size_t>();
  const size_t count = json.at("harm").size();
  if (count != json.at("counts").size() || count != json.at("open").size() ||
      (count > 0 && safe_index >= count) || (gate.loss && count != 1)) {
    throw std::runtime_error("gate's parts disagree");
  }
  gate.SetThresholds(count, safe_index);
  for (size_t k = 0; k < count; ++k) {
    SetLogs(json.at("harm").at(k), gate.harm[k]);
    gate.candidate[k] = CountsFrom(json.at("counts").at(k).at(0));
    gate.stable[k] = CountsFrom(json.at("counts").at(k).at(1));
    gate.open[k] = {CountsFrom(json.at("open").at(k).at(0)),
                    CountsFrom(json.at("open").at(k).at(1))};
  }
  SetLogs(json.at("safe"), gate.safe);
  if (gate.floor) SetLogs(json.at("floor"), *gate.floor);
  gate.before = CountsFrom(json.at("before"));
  gate.needed = json.at("needed").get<int64_t>();
  if (json.contains("flips")) {
    auto at = [&](size_t i) { return json["flips"].at(i).get<uint64_t>(); };
    gate.flips = {at(0), at(1), at(2), at(3), at(4)};
  }
  if (gate.loss) SetLossEvidence(json.at("loss"), *gate.loss);
  if (IsOutside(config.kind)) gate.outside = OutsideStateFrom(json.at("outside"));
  return gate;
}

/// The four counts of a segment, or of what happened to it.
template <typename Counted>
Json SegmentCountsJson(const Counted& of) {
  return Json::array({CountsJson(of.stable_requests), CountsJson(of.candidate_requests),
                      CountsJson(of.stable_labels), CountsJson(of.candidate_labels)});
}
template <typename Counted>
void SetSegmentCounts(const Json& json, Counted& of) {
  of.stable_requests = CountsFrom(json.at(0));
  of.candidate_requests = CountsFrom(json.at(1));
  of.stable_labels = CountsFrom(json.at(2));
  of.candidate_labels = CountsFrom(json.at(3));
}

Json SegmentJson(const SegmentState& segment) {
  Json json{{"name", segment.name}, {"counts", SegmentCountsJson(segment)}};
  Json& gates = json["gates"] = Json::array();
  for (const SegmentEvidence& evidence : segment.gates) {
    gates.push_back(
        {{"candidate", CountsJson(evidence.candidate)},
         {"stable", CountsJson(evidence.stable)},
         {"open", {CountsJson(evidence.open.candidate), CountsJson(evidence.open.stable)}}});
    // Most have seen no bad event: this is written once a second.
    if (evidence.harm != HarmTest()) gates.back()["harm"] = Logs(evidence.harm);
  }
  return json;
}
SegmentState SegmentFrom(const Json& json) {
  SegmentState segment;
  segment.name = json.at("name").get<std::string>();
  SetSegmentCounts(json.at("counts"), segment);
  for (const Json& of : json.at("gates")) {
    SegmentEvidence& evidence = segment.gates.emplace_back();
    evidence.candidate = CountsFrom(of.at("candidate"));
    evidence.stable = CountsFrom(of.at("stable"));
    evidence.open = {CountsFrom(of.at("open").at(0)), CountsFrom(of.at("open").at(1))};
    if (of.contains("harm")) SetLogs(of["harm"], evidence.harm);
  }
  return segment;
}

Json SplitJson(const SplitState& split) {
  Json json{{"counts", {split.counts.candidate, split.counts.stable}}};
  PutIf(json, "answered", split.answered);
  PutIf(json, "since", split.since.count());
  PutIf(json, "waited", split.waited.count());
  PutIf(json, "crossed", split.crossed.count());
  PutIf(json, "mismatch", split.mismatch);
  return json;
}
SplitState SplitFrom(const Json& json) {
  SplitState split;
  split.counts = {json.at("counts").at(0).get<uint64_t>(), json.at("counts").at(1).get<uint64_t>()};
  split.answered = json.value("answered", false);
  split.since = Duration(json.value("since", int64_t{0}));
  split.waited = Duration(json.value("waited", int64_t{0}));
  split.crossed = Duration(json.value("crossed", int64_t{0}));
  split.mismatch = json.value("mismatch", false);
  return split;
}

Json ToldJson(const ToldState& told) {
  Json json = Json::object();
  PutIf(json, "waiting", told.waiting);
  PutIf(json, "held", told.held);
  PutIf(json, "holds", told.holds);
  PutIf(json, "lasts", told.lasts.count());
  return json;
}
ToldState ToldFrom(const Json& json) {
  ToldState told;
  told.waiting = json.value("waiting", false);
  told.held = json.value("held", false);
  told.holds = json.value("holds", false);
  told.lasts = Duration(json.value("lasts", int64_t{0}));
  return told;
}

bool IsAb(const RolloutState& s) { return s.plan.strategy == RolloutPlan::Strategy::kAb; }
/// Of a state that was written before it had a field for that, by its words.
bool SaysReadout(const RolloutState& s) {
  return IsAb(s) && s.phase == RolloutPhase::kHeld && s.awaits_approval &&
         s.reason.find(", at its end: promote or abort it; readout at ") != s.reason.npos;
}

int64_t Nanos(WallTime t) { return t.time_since_epoch().count(); }
WallTime TimeFrom(const Json& json) { return WallTime(Duration(json.get<int64_t>())); }

}  // namespace

std::string SerializeState(const RolloutState& s) {
  Json json;
  json["model"] = s.model;
  json["stable"] = s.stable;
  json["candidate"] = s.candidate;
  json["plan"] = PlanJson(s.plan);
  json["started"] = Nanos(s.started);
  json["ended"] = Nanos(s.ended);
  json["last_tick"] = Nanos(s.last_tick);
  json["ticks"] = s.ticks;
  json["phase"] = static_cast<int>(s.phase);
  json["reason"] = s.reason;
  json["step"] = s.step;
  json["elapsed"] = s.elapsed.count();
  json["traffic_elapsed"] = s.traffic_elapsed.count();
  json["step_elapsed"] = s.step_elapsed.count();
  json["candidate_ready"] = s.candidate_ready;
  if (s.replicas != Replicas{}) json["replicas"] = ReplicasJson(s.replicas);
  json["stable_sums"] = DeltaJson(s.stable_sums);
  json["candidate_sums"] = DeltaJson(s.candidate_sums);
  if (s.pair_sums != PairDelta{}) json["pair_sums"] = PairsJson(s.pair_sums);
  PutIf(json, "unsent", s.pair_sums.unsent);
  PutIf(json, "step_unsent", s.step_unsent);
  if (s.stays) json["stays"] = true;
  json["step_requests"] = s.step_requests;
  json["step_minimums"] = s.step_minimums;
  json["thresholds"] = s.thresholds;
  Json& gates = json["gates"] = Json::array();
  for (const GateState& gate : s.gates) gates.push_back(GateJson(gate));
  for (const SegmentState& segment : s.segments) json["segments"].push_back(SegmentJson(segment));
  json["notes"] = s.notes;
  // Younger than the format: absent in what was written before, and then as it was.
  if (!s.paused_by.empty()) json["paused_by"] = s.paused_by;
  if (!s.undo_by.empty()) json["undo_by"] = s.undo_by;
  if (s.plan_given) json["plan_given"] = true;
  if (s.awaits_approval) json["awaits_approval"] = true;
  if (s.frozen) json["frozen"] = true;
  if (IsAb(s)) json["reason_is_readout"] = s.reason_is_readout;
  PutIf(json, "promoted", s.promoted);
  PutIf(json, "probation_elapsed", s.probation_elapsed.count());
  PutIf(json, "missing", s.missing.count());
  PutIf(json, "unready", s.unready.count());
  if (s.split_seed) json["split_seed"] = *s.split_seed;
  if (s.approval != ApprovalState{}) json["approval"] = ApprovalJson(s.approval);
  if (s.told != ToldState{}) json["told"] = ToldJson(s.told);
  if (s.split != SplitState{}) json["split"] = SplitJson(s.split);
  if (s.person_elapsed != Duration{}) json["person_elapsed"] = s.person_elapsed.count();
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<RolloutState> ParseState(std::string_view text) {
  try {
    Json json = Json::parse(text);
    RolloutState s;
    s.model = json.at("model").get<std::string>();
    s.stable = json.at("stable").get<int64_t>();
    s.candidate = json.at("candidate").get<int64_t>();
    s.plan = PlanFrom(json.at("plan"));
    s.started = TimeFrom(json.at("started"));
    s.ended = TimeFrom(json.at("ended"));
    s.last_tick = TimeFrom(json.at("last_tick"));
    s.ticks = json.at("ticks").get<uint64_t>();
    s.phase = EnumFrom<RolloutPhase>(json.at("phase"), 5);
    s.reason = json.at("reason").get<std::string>();
    s.step = json.at("step").get<int>();
    s.elapsed = Duration(json.at("elapsed").get<int64_t>());
    s.traffic_elapsed = Duration(json.at("traffic_elapsed").get<int64_t>());
    s.step_elapsed = Duration(json.at("step_elapsed").get<int64_t>());
    s.candidate_ready = json.at("candidate_ready").get<bool>();
    if (json.contains("replicas")) s.replicas = ReplicasFrom(json["replicas"]);
    s.stable_sums = DeltaFrom(json.at("stable_sums"));
    s.candidate_sums = DeltaFrom(json.at("candidate_sums"));
    if (json.contains("pair_sums")) s.pair_sums = PairsFrom(json["pair_sums"]);
    s.pair_sums.unsent = json.value("unsent", uint64_t{0});
    s.step_unsent = json.value("step_unsent", uint64_t{0});
    s.stays = json.value("stays", false);
    s.step_requests = json.at("step_requests").get<uint64_t>();
    s.step_minimums = json.at("step_minimums").get<std::vector<int64_t>>();
    s.thresholds = json.at("thresholds").get<std::vector<uint32_t>>();
    s.notes = json.at("notes").get<std::vector<std::string>>();
    s.paused_by = json.value("paused_by", "");
    s.undo_by = json.value("undo_by", "");
    s.plan_given = json.value("plan_given", false);
    s.awaits_approval = json.value("awaits_approval", false);
    s.frozen = json.value("frozen", false);
    s.reason_is_readout = json.value("reason_is_readout", SaysReadout(s));
    s.promoted = json.value("promoted", "");
    s.probation_elapsed = Duration(json.value("probation_elapsed", int64_t{0}));
    s.missing = Duration(json.value("missing", int64_t{0}));
    s.unready = Duration(json.value("unready", int64_t{0}));
    if (json.contains("split_seed")) s.split_seed = json["split_seed"].get<uint64_t>();
    if (json.contains("approval")) s.approval = ApprovalFrom(json["approval"]);
    if (json.contains("told")) s.told = ToldFrom(json["told"]);
    if (json.contains("split")) s.split = SplitFrom(json["split"]);
    s.person_elapsed = Duration(json.value("person_elapsed", int64_t{0}));
    const Json& gates = json.at("gates");
    if (gates.size() != s.plan.gates.size())
      throw std::runtime_error("gates disagree with the plan");
    for (size_t i = 0; i < gates.size(); ++i) {
      s.gates.push_back(GateFrom(gates.at(i), s.plan.gates[i]));
      if (s.plan.gates[i].kind == RolloutGate::Kind::kLatency &&
          s.gates[i].harm.size() != s.thresholds.size()) {
        throw std::runtime_error("thresholds disagree with the latency gate");
      }
    }
    if (json.contains("segments")) {
      const auto looks = static_cast<size_t>(
          std::count_if(s.plan.gates.begin(), s.plan.gates.end(),
                        [](const RolloutGate& gate) { return LooksAtSegments(gate.kind); }));
      if (!s.plan.segments || json["segments"].size() > static_cast<size_t>(s.plan.segments->max))
        throw std::runtime_error("segments disagree with the plan");
      for (const Json& segment : json["segments"]) {
        if (segment.at("gates").size() != looks)
          throw std::runtime_error("a segment's gates disagree with the plan");
        s.segments.push_back(SegmentFrom(segment));
      }
    }
    if (s.step < 0 || s.step >= static_cast<int>(s.plan.steps.size()) ||
        (!s.step_minimums.empty() && s.step_minimums.size() != s.plan.steps.size())) {
      throw std::runtime_error("step disagrees with the plan");
    }
    for (uint32_t bucket : s.thresholds) {
      if (bucket >= LatencyScheme::kBuckets) throw std::runtime_error("unknown latency bucket");
    }
    return s;
  } catch (const std::exception& e) {
    return DataLossError(StrCat("a rollout's stored state cannot be read: ", e.what()));
  }
}

std::string SerializeInput(const StepInput& in) {
  Json json;
  json["time"] = Nanos(in.time);
  json["elapsed"] = in.elapsed.count();
  // What is as usual is left out: this is written once a second.
  if (!in.stable_ready) json["stable_ready"] = false;
  if (in.candidate != CandidateSeen::kReady) json["candidate"] = static_cast<int>(in.candidate);
  if (!in.candidate_failure.empty()) json["candidate_failure"] = in.candidate_failure;
  if (!in.candidate_waits.empty()) json["candidate_waits"] = in.candidate_waits;
  if (in.replicas != Replicas{}) json["replicas"] = ReplicasJson(in.replicas);
  if (!in.metrics_ok) json["metrics_ok"] = false;
  json["stable_window"] = DeltaJson(in.stable_window);
  json["candidate_window"] = DeltaJson(in.candidate_window);
  PutLosses(json, "stable_losses", in.stable_window);
  PutLosses(json, "candidate_losses", in.candidate_window);
  if (!in.pairs.empty()) json["pairs"] = PairsJson(in.pairs);
  PutIf(json, "unsent", in.pairs.unsent);
  for (const SegmentDelta& segment : in.segments)
    json["segments"].push_back({segment.name, SegmentCountsJson(segment)});
  if (in.history) {
    json["history"] = {{"sums", DeltaJson(in.history->sums)}, {"latency", in.history->latency}};
    PutLosses(json["history"], "losses", in.history->sums);
  }
  if (in.command) {
    json["command"] = {{"kind", static_cast<int>(in.command->kind)}, {"who", in.command->who}};
    if (in.command->step >= 0) json["command"]["step"] = in.command->step;
  }
  if (!in.readings.empty()) {
    Json& readings = json["readings"] = Json::array();
    for (const OutsideReading& reading : in.readings) readings.push_back(ReadingJson(reading));
  }
  PutIf(json, "longest_ms", in.longest_answer.count());
  if (!in.blocked.empty()) json["blocked"] = in.blocked;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<StepInput> ParseInput(std::string_view text) {
  try {
    Json json = Json::parse(text);
    StepInput in;
    in.time = TimeFrom(json.at("time"));
    in.elapsed = Duration(json.at("elapsed").get<int64_t>());
    in.stable_ready = json.value("stable_ready", true);
    if (json.contains("candidate")) in.candidate = EnumFrom<CandidateSeen>(json["candidate"], 3);
    in.candidate_failure = json.value("candidate_failure", "");
    in.candidate_waits = json.value("candidate_waits", "");
    if (json.contains("replicas")) in.replicas = ReplicasFrom(json["replicas"]);
    in.metrics_ok = json.value("metrics_ok", true);
    in.stable_window = DeltaFrom(json.at("stable_window"));
    in.candidate_window = DeltaFrom(json.at("candidate_window"));
    TakeLosses(json, "stable_losses", in.stable_window);
    TakeLosses(json, "candidate_losses", in.candidate_window);
    if (json.contains("pairs")) in.pairs = PairsFrom(json["pairs"]);
    in.pairs.unsent = json.value("unsent", uint64_t{0});
    if (json.contains("segments")) {
      for (const Json& one : json["segments"]) {
        SegmentDelta& segment = in.segments.emplace_back();
        segment.name = one.at(0).get<std::string>();
        SetSegmentCounts(one.at(1), segment);
      }
    }
    if (json.contains("history")) {
      const Json& history = json["history"];
      in.history.emplace();
      in.history->sums = DeltaFrom(history.at("sums"));
      TakeLosses(history, "losses", in.history->sums);
      in.history->latency = history.at("latency").get<SparseLatency>();
      for (const auto& [bucket, count] : in.history->latency) {
        if (bucket >= LatencyScheme::kBuckets) throw std::runtime_error("unknown latency bucket");
      }
    }
    if (json.contains("command")) {
      in.command.emplace();
      in.command->kind = EnumFrom<RolloutCommand::Kind>(json["command"].at("kind"), 4);
      in.command->who = json["command"].at("who").get<std::string>();
      in.command->step = json["command"].value("step", -1);
    }
    if (json.contains("readings")) {
      for (const Json& reading : json["readings"]) in.readings.push_back(ReadingFrom(reading));
    }
    in.longest_answer = std::chrono::milliseconds(json.value("longest_ms", int64_t{0}));
    in.blocked = json.value("blocked", "");
    return in;
  } catch (const std::exception& e) {
    return DataLossError(StrCat("a rollout's journaled tick cannot be read: ", e.what()));
  }
}

}  // namespace leadsman
