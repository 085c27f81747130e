#include "rollout/serialize.h"

#include <limits>

#include <nlohmann/json.hpp>

#include "base/strings.h"

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

template <typename Enum>
Enum EnumFrom(const Json& json, int last) {
  int v = json.get<int>();
  if (v < 0 || v > last) throw std::runtime_error("unknown enumerator");
  return static_cast<Enum>(v);
}

Json GateConfigJson(const RolloutGate& gate) {
  Json json{{"kind", GateName(gate.kind)}, {"margin", gate.margin}, {"floor", gate.floor}};
  if (gate.kind == RolloutGate::Kind::kLatency) {
    json["quantiles"] = gate.quantiles;
    json["safe_quantile"] = gate.safe_quantile;
    json["ignore_below_ms"] = gate.ignore_below.count();
  }
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
  }
  return gate;
}

Json PlanJson(const RolloutPlan& plan) {
  Json json;
  Json& steps = json["steps"] = Json::array();
  for (const RolloutStep& step : plan.steps) {
    steps.push_back({{"weight", step.weight},
                     {"duration_ms", step.duration.count()},
                     {"min_requests", step.min_requests}});
  }
  Json& gates = json["gates"] = Json::array();
  for (const RolloutGate& gate : plan.gates) gates.push_back(GateConfigJson(gate));
  json["alpha"] = plan.alpha;
  json["beta"] = plan.beta;
  json["interval_ms"] = plan.interval.count();
  json["max_duration_ms"] = plan.max_duration.count();
  json["on_inconclusive"] = static_cast<int>(plan.on_inconclusive);
  json["warmup_ms"] = plan.warmup.count();
  return json;
}
RolloutPlan PlanFrom(const Json& json) {
  using std::chrono::milliseconds;
  RolloutPlan plan;
  plan.steps.clear();
  for (const Json& step : json.at("steps")) {
    plan.steps.push_back({step.at("weight").get<double>(),
                          milliseconds(step.at("duration_ms").get<int64_t>()),
                          step.at("min_requests").get<int64_t>()});
  }
  for (const Json& gate : json.at("gates")) plan.gates.push_back(GateConfigFrom(gate));
  plan.alpha = json.at("alpha").get<double>();
  plan.beta = json.at("beta").get<double>();
  plan.interval = milliseconds(json.at("interval_ms").get<int64_t>());
  plan.max_duration = milliseconds(json.at("max_duration_ms").get<int64_t>());
  plan.on_inconclusive = EnumFrom<RolloutPlan::OnInconclusive>(json.at("on_inconclusive"), 2);
  plan.warmup = milliseconds(json.at("warmup_ms").get<int64_t>());
  Status valid = ValidatePlan(plan);
  if (!valid.ok()) throw std::runtime_error(valid.ToString());
  if (plan.steps.empty()) throw std::runtime_error("no steps");
  return plan;
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
  return json;
}
GateState GateFrom(const Json& json, const RolloutGate& config) {
  GateState gate(config);
  auto safe_index = json.at("safe_index").get<size_t>();
  const size_t count = json.at("harm").size();
  if (count != json.at("counts").size() || count != json.at("open").size() ||
      (count > 0 && safe_index >= count)) {
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
  return gate;
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
  json["stable_sums"] = DeltaJson(s.stable_sums);
  json["candidate_sums"] = DeltaJson(s.candidate_sums);
  json["step_requests"] = s.step_requests;
  json["step_minimums"] = s.step_minimums;
  json["thresholds"] = s.thresholds;
  Json& gates = json["gates"] = Json::array();
  for (const GateState& gate : s.gates) gates.push_back(GateJson(gate));
  json["notes"] = s.notes;
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
    s.phase = EnumFrom<RolloutPhase>(json.at("phase"), 4);
    s.reason = json.at("reason").get<std::string>();
    s.step = json.at("step").get<int>();
    s.elapsed = Duration(json.at("elapsed").get<int64_t>());
    s.traffic_elapsed = Duration(json.at("traffic_elapsed").get<int64_t>());
    s.step_elapsed = Duration(json.at("step_elapsed").get<int64_t>());
    s.candidate_ready = json.at("candidate_ready").get<bool>();
    s.stable_sums = DeltaFrom(json.at("stable_sums"));
    s.candidate_sums = DeltaFrom(json.at("candidate_sums"));
    s.step_requests = json.at("step_requests").get<uint64_t>();
    s.step_minimums = json.at("step_minimums").get<std::vector<int64_t>>();
    s.thresholds = json.at("thresholds").get<std::vector<uint32_t>>();
    s.notes = json.at("notes").get<std::vector<std::string>>();
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
  if (!in.metrics_ok) json["metrics_ok"] = false;
  json["stable_window"] = DeltaJson(in.stable_window);
  json["candidate_window"] = DeltaJson(in.candidate_window);
  if (in.history) {
    json["history"] = {{"sums", DeltaJson(in.history->sums)}, {"latency", in.history->latency}};
  }
  if (in.command) {
    json["command"] = {{"kind", static_cast<int>(in.command->kind)}, {"who", in.command->who}};
  }
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
    in.metrics_ok = json.value("metrics_ok", true);
    in.stable_window = DeltaFrom(json.at("stable_window"));
    in.candidate_window = DeltaFrom(json.at("candidate_window"));
    if (json.contains("history")) {
      const Json& history = json["history"];
      in.history.emplace();
      in.history->sums = DeltaFrom(history.at("sums"));
      in.history->latency = history.at("latency").get<SparseLatency>();
      for (const auto& [bucket, count] : in.history->latency) {
        if (bucket >= LatencyScheme::kBuckets) throw std::runtime_error("unknown latency bucket");
      }
    }
    if (json.contains("command")) {
      in.command.emplace();
      in.command->kind = EnumFrom<RolloutCommand::Kind>(json["command"].at("kind"), 1);
      in.command->who = json["command"].at("who").get<std::string>();
    }
    in.blocked = json.value("blocked", "");
    return in;
  } catch (const std::exception& e) {
    return DataLossError(StrCat("a rollout's journaled tick cannot be read: ", e.what()));
  }
}

}  // namespace leadsman
