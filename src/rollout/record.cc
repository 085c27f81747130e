#include "rollout/record.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "rollout/serialize.h"
#include "rollout/words.h"

namespace leadsman {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "leadsman_rollout_record";
constexpr int kFormatVersion = 1;
constexpr size_t kMaxTicks = 1'000'000;
/// More requests than anything answers in a tick; a million ticks of them still fit their sum.
constexpr uint64_t kMaxCount = uint64_t{1} << 40;
constexpr size_t kMaxSteps = 50, kMaxQuantiles = 16, kMaxGates = 50, kMaxFreezes = 50;
constexpr size_t kMaxReadings = 64, kMaxNotes = 200;
constexpr size_t kMaxSegmentName = 400;
constexpr std::chrono::hours kMaxDuration{24 * 366};
constexpr Duration kMaxElapsed = 10 * kMaxDuration;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// The e-values of all gates, whole: what is rounded cannot be compared.
Json EvidenceJson(const RolloutState& state) {
  Json gates = Json::array();
  for (const GateView& gate : MakeGateViews(state)) {
    if (gate.outside) {
      gates.push_back(
          {{"gate", gate.gate},
           {"passes", gate.outside->passes},
           {"failures", gate.outside->failures},
           {"said", gate.outside->said},
           {"answers", {gate.outside->passed, gate.outside->failed, gate.outside->open}}});
      continue;
    }
    gates.push_back({{"gate", gate.gate},
                     {"harm_log_e", gate.harm_log_e},
                     {"safe_log_e", gate.safe_log_e},
                     {"stable", {gate.stable_exposure, gate.stable_events}},
                     {"candidate", {gate.candidate_exposure, gate.candidate_events}}});
  }
  return gates;
}

Json TimeJson(WallTime time) {
  return time == WallTime{} ? Json(nullptr) : Json(FormatRfc3339(time));
}

/// How a value reads in a message.
std::string Shown(const Json& value) {
  constexpr size_t kMost = 200;
  std::string text = Dump(value);
  if (text.size() <= kMost) return text;
  return StrCat(CutUtf8(text, kMost), "…");
}

/// Where the first difference of two values is, in words; empty: there is none.
std::string FirstDifference(const std::string& where, const Json& recorded, const Json& computed) {
  if (recorded == computed) return "";
  if (recorded.is_object() && computed.is_object()) {
    for (const auto& [key, value] : computed.items()) {
      std::string path = where.empty() ? key : StrCat(where, ".", key);
      auto other = recorded.find(key);
      if (other == recorded.end()) {
        return StrCat(path, ": the record has nothing, the engine computes ", Shown(value));
      }
      std::string found = FirstDifference(path, *other, value);
      if (!found.empty()) return found;
    }
    for (const auto& [key, value] : recorded.items()) {
      if (!computed.contains(key)) {
        return StrCat(where.empty() ? key : StrCat(where, ".", key), ": the record says ",
                      Shown(value), ", the engine has nothing");
      }
    }
    return "";  // in another order
  }
  if (recorded.is_array() && computed.is_array() && recorded.size() == computed.size()) {
    for (size_t i = 0; i < computed.size(); ++i) {
      // Gates are called by their names.
      std::string name = StrCat("[", i, "]");
      if (computed[i].is_object() && computed[i].contains("gate")) {
        name = StrCat(" ", computed[i]["gate"].get<std::string>());
      }
      std::string found = FirstDifference(where + name, recorded[i], computed[i]);
      if (!found.empty()) return found;
    }
    return "";
  }
  return StrCat(where, ": the record says ", Shown(recorded), ", the engine computes ",
                Shown(computed));
}

Json Parsed(const std::string& text) { return Json::parse(text, nullptr, false); }

/// As it reads in a file: what is not finite is null there.
Json AsWritten(const Json& json) { return Parsed(Dump(json)); }

// ---- reading ----

Status Wrong(const std::string& path, const std::string& what) {
  return InvalidArgumentError(StrCat(path, ": ", what));
}

Status CheckDuration(const std::string& path, Duration duration, Duration most) {
  if (duration >= Duration{} && duration <= most) return OkStatus();
  return Wrong(path, "is no duration that a rollout can have");
}

/// Milliseconds that may not even fit the Duration that they are compared with.
Status CheckMillis(const std::string& path, std::chrono::milliseconds time) {
  if (time.count() >= 0 && time <= kMaxDuration) return OkStatus();
  return Wrong(path, "must be between 0 and 366 days");
}

/// Beyond what ValidatePlan asks for, as the schema of the configuration does.
Status CheckPlan(const RolloutPlan& plan) {
  if (plan.steps.size() > kMaxSteps) return Wrong("first.plan.steps", "there are more than 50");
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    RETURN_IF_ERROR(
        CheckMillis(StrCat("first.plan.steps[", i, "].duration_ms"), plan.steps[i].duration));
    if (plan.steps[i].min_requests > static_cast<int64_t>(kMaxCount)) {
      return Wrong(StrCat("first.plan.steps[", i, "].min_requests"), "is too large");
    }
    if (!plan.steps[i].approval.webhook) continue;
    const ApprovalWebhook& hook = *plan.steps[i].approval.webhook;
    for (const auto& time : {hook.timeout, hook.retry_after, hook.deadline})
      RETURN_IF_ERROR(CheckMillis(StrCat("first.plan.steps[", i, "].approval_webhook"), time));
  }
  constexpr double kLeast = 1e-9;  // of a probability that anything could be shown to
  if (plan.alpha < kLeast) return Wrong("first.plan.alpha", "must be at least 1e-9");
  if (plan.sample_ratio_alpha > 0 && plan.sample_ratio_alpha < kLeast)
    return Wrong("first.plan.sample_ratio_alpha", "must be 0 or at least 1e-9");
  if (plan.beta < kLeast) return Wrong("first.plan.beta", "must be at least 1e-9");
  if (plan.ab && 1 - plan.ab->confidence < kLeast)
    return Wrong("first.plan.ab.confidence", "must be at most 1 - 1e-9");
  if (plan.rolling)
    RETURN_IF_ERROR(CheckMillis("first.plan.rolling.duration_ms", plan.rolling->duration));
  for (size_t i = 0; i < plan.gates.size(); ++i) {
    const std::string path = StrCat("first.plan.gates[", i, "]");
    if (plan.gates[i].quantiles.size() > kMaxQuantiles)
      return Wrong(path + ".quantiles", "there are more than 16");
    const OutsideOptions& outside = plan.gates[i].outside;
    RETURN_IF_ERROR(CheckMillis(path + ".outside.interval_ms", outside.interval));
    RETURN_IF_ERROR(CheckMillis(path + ".outside.timeout_ms", outside.timeout));
  }
  RETURN_IF_ERROR(CheckMillis("first.plan.interval_ms", plan.interval));
  RETURN_IF_ERROR(CheckMillis("first.plan.max_duration_ms", plan.max_duration));
  RETURN_IF_ERROR(CheckMillis("first.plan.probation_ms", plan.probation));
  RETURN_IF_ERROR(CheckMillis("first.plan.lost_after_ms", plan.lost_after));
  RETURN_IF_ERROR(CheckMillis("first.plan.progress_deadline_ms", plan.progress_deadline));
  return CheckMillis("first.plan.warmup_ms", plan.warmup);
}

bool CanBe(const LossSums& losses) {
  const auto most = static_cast<double>(losses.count);
  return losses.clipped <= losses.count && losses.sum >= 0 && losses.sum <= most &&
         losses.squares >= 0 && losses.squares <= losses.sum;
}

Status CheckArm(const std::string& path, const ArmDelta& arm) {
  std::vector<uint64_t> counts{arm.requests, arm.errors,       arm.timed,     arm.labelled,
                               arm.wrong,    arm.losses.count, arm.unmeasured};
  counts.insert(counts.end(), arm.slow.begin(), arm.slow.end());
  if (arm.slow.size() > kMaxQuantiles + 1) return Wrong(path, "there are more than 17 thresholds");
  if (std::any_of(counts.begin(), counts.end(), [](uint64_t n) { return n > kMaxCount; })) {
    return Wrong(path, "a count is larger than anything can be counted in a tick");
  }
  if (!CanBe(arm.losses)) return Wrong(path, "losses must be from 0 to 1 each");
  return OkStatus();
}

Status CheckPairs(const std::string& path, const PairDelta& pairs) {
  std::vector<uint64_t> counts{pairs.pairs,        pairs.stable_failed,   pairs.candidate_failed,
                               pairs.both_failed,  pairs.compared,        pairs.differing,
                               pairs.flips,        pairs.uncompared,      pairs.timed,
                               pairs.stable_wrong, pairs.candidate_wrong, pairs.both_wrong,
                               pairs.unsent};
  counts.insert(counts.end(), pairs.stable_slow.begin(), pairs.stable_slow.end());
  counts.insert(counts.end(), pairs.candidate_slow.begin(), pairs.candidate_slow.end());
  if (pairs.stable_slow.size() > kMaxQuantiles + 1)
    return Wrong(path, "there are more than 17 thresholds");
  if (std::any_of(counts.begin(), counts.end(), [](uint64_t n) { return n > kMaxCount; }))
    return Wrong(path, "a count is larger than anything can be counted in a tick");
  return OkStatus();
}

Status CheckSegments(const std::string& path, const std::vector<SegmentDelta>& segments) {
  if (segments.size() > SegmentOptions::kMost)
    return Wrong(path, StrCat("there are more than ", SegmentOptions::kMost));
  for (const SegmentDelta& segment : segments) {
    if (segment.name.size() > kMaxSegmentName) return Wrong(path, "a name is too long");
    for (const ArmCounts& counts : {segment.stable_requests, segment.candidate_requests,
                                    segment.stable_labels, segment.candidate_labels}) {
      if (counts.exposure > kMaxCount || counts.events > kMaxCount)
        return Wrong(path, "a count is larger than anything can be counted in a tick");
    }
  }
  return OkStatus();
}

Status CheckInput(const std::string& path, const StepInput& in, Duration& sum) {
  RETURN_IF_ERROR(CheckDuration(StrCat(path, ".elapsed"), in.elapsed, kMaxDuration));
  sum += in.elapsed;
  RETURN_IF_ERROR(CheckDuration(StrCat(path, ".elapsed"), sum, kMaxElapsed));
  RETURN_IF_ERROR(CheckMillis(StrCat(path, ".longest_ms"), in.longest_answer));
  RETURN_IF_ERROR(CheckArm(StrCat(path, ".stable_window"), in.stable_window));
  RETURN_IF_ERROR(CheckArm(StrCat(path, ".candidate_window"), in.candidate_window));
  RETURN_IF_ERROR(CheckPairs(StrCat(path, ".pairs"), in.pairs));
  RETURN_IF_ERROR(CheckSegments(StrCat(path, ".segments"), in.segments));
  if (in.readings.size() > kMaxReadings)
    return Wrong(StrCat(path, ".readings"), "there are more than 64");
  for (const OutsideReading& reading : in.readings) {
    const bool of_gate = reading.gate < kMaxGates || reading.gate == kApprovalQuestion;
    if (!of_gate || reading.step < -1 || reading.step >= static_cast<int>(kMaxSteps))
      return Wrong(StrCat(path, ".readings"), "one is of no gate or step that a plan can have");
    RETURN_IF_ERROR(
        CheckDuration(StrCat(path, ".readings.step_elapsed"), reading.step_elapsed, kMaxElapsed));
  }
  if (!in.history) return OkStatus();
  RETURN_IF_ERROR(CheckArm(StrCat(path, ".history.sums"), in.history->sums));
  const SparseLatency& latency = in.history->latency;
  for (size_t i = 0; i < latency.size(); ++i) {
    if ((i > 0 && latency[i].first <= latency[i - 1].first) || latency[i].second > kMaxCount) {
      return Wrong(StrCat(path, ".history.latency"),
                   "buckets must ascend, and their counts be real ones");
    }
  }
  return OkStatus();
}

Result<const Json*> Member(const Json& json, const char* key, const std::string& path) {
  auto found = json.find(key);
  if (found == json.end()) return Wrong(path, "is missing");
  return &*found;
}

Result<std::string> TextMember(const Json& json, const char* key, const std::string& path) {
  ASSIGN_OR_RETURN(const Json* value, Member(json, key, path));
  if (!value->is_string()) return Wrong(path, "must be a text");
  return value->get<std::string>();
}

Result<int64_t> NumberMember(const Json& json, const char* key) {
  ASSIGN_OR_RETURN(const Json* value, Member(json, key, key));
  if (!value->is_number_integer()) return Wrong(key, "must be a whole number");
  return value->get<int64_t>();
}

Result<RecordedTick> ParseTick(const Json& json, const std::string& path, Duration& sum) {
  if (!json.is_object()) return Wrong(path, "must be an object");
  RecordedTick tick;
  const std::string input_path = StrCat(path, ".input");
  ASSIGN_OR_RETURN(const Json* input, Member(json, "input", input_path));
  Result<StepInput> in = ParseInput(Dump(*input));
  if (!in.ok()) return Wrong(input_path, std::string(in.status().message()));
  tick.input = std::move(in).value();
  RETURN_IF_ERROR(CheckInput(input_path, tick.input, sum));
  ASSIGN_OR_RETURN(tick.decision, TextMember(json, "decision", StrCat(path, ".decision")));
  if (json.contains("reason")) {
    ASSIGN_OR_RETURN(tick.reason, TextMember(json, "reason", StrCat(path, ".reason")));
  }
  if (json.contains("gates")) tick.evidence = Dump(json["gates"]);
  return tick;
}

/// The state that this rollout begins in by another plan. Who asked for it is told, not computed.
RolloutState FirstOf(const RolloutState& first, const RolloutPlan& plan) {
  RolloutState state =
      BeginRollout(first.model, first.stable, first.candidate, plan, first.started);
  state.notes = first.notes;
  state.undo_by = first.undo_by;
  state.plan_given = first.plan_given;
  state.split_seed = first.split_seed;
  return state;
}

Result<RolloutState> ParseFirst(const Json& json) {
  // Before anything of that size is made.
  if (json.is_object() && json.contains("plan") && json["plan"].is_object()) {
    const Json& plan = json["plan"];
    if (plan.contains("gates") && plan["gates"].size() > kMaxGates)
      return Wrong("first.plan.gates", "there are more than 50");
    if (plan.contains("segments") && plan["segments"].is_object() &&
        plan["segments"].contains("by") && plan["segments"]["by"].size() > kMaxGates)
      return Wrong("first.plan.segments", "there are more than 50 of them");
    if (plan.contains("freeze") && plan["freeze"].size() > kMaxFreezes)
      return Wrong("first.plan.freeze", "there are more than 50");
    if (plan.contains("freeze") && plan["freeze"].is_array()) {
      for (const Json& window : plan["freeze"]) {
        if (window.is_object() && window.contains("days") && window["days"].size() > 7)
          return Wrong("first.plan.freeze", "a week has seven days");
      }
    }
  }
  if (json.is_object() && json.contains("gates") && json["gates"].is_array()) {
    for (const Json& gate : json["gates"]) {
      if (gate.is_object() && gate.contains("harm") && gate["harm"].size() > kMaxQuantiles + 1)
        return Wrong("first.gates", "a gate has more than 17 thresholds");
    }
  }
  Result<RolloutState> parsed = ParseState(Dump(json));
  if (!parsed.ok()) return Wrong("first", std::string(parsed.status().message()));
  const RolloutState& s = *parsed;
  RETURN_IF_ERROR(CheckPlan(s.plan));
  if (s.notes.size() > kMaxNotes) return Wrong("first.notes", "there are more than 200");
  if (!(s == FirstOf(s, s.plan))) {
    return Wrong("first", "is not the state that a rollout begins in");
  }
  return parsed;
}

Result<VerdictRecord> ParseWhole(const Json& json) {
  if (!json.is_object() || !json.contains(kFormat)) {
    return InvalidArgumentError(StrCat("is no record of a rollout: that is a JSON object with ",
                                       kFormat, ", as `leadsman rollout record` writes it"));
  }
  if (json[kFormat] != kFormatVersion) {
    return Wrong(kFormat, StrCat("this program reads form ", kFormatVersion, ", not ",
                                 Shown(json[kFormat])));
  }
  VerdictRecord record;
  ASSIGN_OR_RETURN(record.id, NumberMember(json, "id"));
  ASSIGN_OR_RETURN(record.engine, NumberMember(json, "engine"));
  ASSIGN_OR_RETURN(record.program, TextMember(json, "program", "program"));
  ASSIGN_OR_RETURN(const Json* verdict, Member(json, "verdict", "verdict"));
  if (!verdict->is_object()) return Wrong("verdict", "must be an object");
  ASSIGN_OR_RETURN(record.phase, TextMember(*verdict, "phase", "verdict.phase"));
  ASSIGN_OR_RETURN(record.reason, TextMember(*verdict, "reason", "verdict.reason"));
  ASSIGN_OR_RETURN(const Json* first, Member(json, "first", "first"));
  ASSIGN_OR_RETURN(record.first, ParseFirst(*first));
  ASSIGN_OR_RETURN(const Json* ticks, Member(json, "ticks", "ticks"));
  if (!ticks->is_array()) return Wrong("ticks", "must be a list");
  if (ticks->size() > kMaxTicks) return Wrong("ticks", StrCat("there are more than ", kMaxTicks));
  Duration sum{};
  for (size_t i = 0; i < ticks->size(); ++i) {
    ASSIGN_OR_RETURN(RecordedTick tick, ParseTick((*ticks)[i], StrCat("ticks[", i, "]"), sum));
    record.ticks.push_back(std::move(tick));
  }
  ASSIGN_OR_RETURN(const Json* last, Member(json, "last", "last"));
  record.last = Dump(*last);
  return record;
}

/// Whether brackets are nested deeper than in any record: what reads JSON calls itself at each.
bool IsTooDeep(std::string_view text) {
  constexpr int kMost = 32;
  int depth = 0;
  bool in_text = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_text) {
      if (c == '\\') ++i;
      in_text = c != '"';
    } else if (c == '"') {
      in_text = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMost) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

// ---- comparing ----

/// What differs in one tick; empty: nothing.
std::string TickDifference(const RecordedTick& tick, const std::string& evidence_before,
                           const StepOutput& out) {
  const std::string said = tick.evidence.empty() ? evidence_before : tick.evidence;
  std::string found = FirstDifference("gate", Parsed(said), AsWritten(EvidenceJson(out.state)));
  if (!found.empty()) return found;
  if (tick.decision != out.decision) {
    auto named = [](const std::string& decision) {
      return decision.empty() ? std::string("none") : decision;
    };
    return StrCat("decision: the record says ", named(tick.decision), ", the engine computes ",
                  named(out.decision));
  }
  if (!out.decision.empty() && tick.reason != out.state.reason) {
    return StrCat("reason: the record says ", Shown(Json(tick.reason)), ", the engine computes ",
                  Shown(Json(out.state.reason)));
  }
  return "";
}

std::string EndDifference(const VerdictRecord& record, const RolloutState& state) {
  const Json last = Parsed(record.last);
  Json end = Parsed(SerializeState(state));
  // Records of engines before 4 do not say it: their words do.
  if (last.is_object() && !last.contains("reason_is_readout")) end.erase("reason_is_readout");
  std::string found = FirstDifference("", last, end);
  if (!found.empty()) return StrCat("last state: ", found);
  Json said{{"phase", record.phase}, {"reason", record.reason}};
  Json computed{{"phase", RolloutPhaseName(state.phase)}, {"reason", state.reason}};
  return FirstDifference("verdict", said, computed);
}

RolloutPlan PlanBy(const WhatIf& what_if, const VerdictRecord& record) {
  RolloutPlan plan = record.first.plan;
  plan.alpha = what_if.alpha.value_or(plan.alpha);
  plan.beta = what_if.beta.value_or(plan.beta);
  return plan;
}

Json ArmJson(const ArmDelta& arm) {
  return {{"requests", arm.requests},
          {"errors", arm.errors},
          {"labelled", arm.labelled},
          {"wrong", arm.wrong}};
}

Json CopiesJson(const PairDelta& pairs) {
  return {{"answered", pairs.pairs},
          {"candidate_failed", pairs.candidate_failed + pairs.both_failed},
          {"stable_failed", pairs.stable_failed + pairs.both_failed},
          {"compared", pairs.compared},
          {"differing", pairs.differing},
          {"class_flips", pairs.flips}};
}

Json ReadoutJson(const std::vector<ReadoutView>& views) {
  Json readout = Json::array();
  for (const ReadoutView& one : views) {
    readout.push_back({{"metric", one.metric},
                       {"event", one.event},
                       {"stable", {one.stable_exposure, one.stable_events}},
                       {"candidate", {one.candidate_exposure, one.candidate_events}},
                       {"difference", {one.low, one.high}},
                       {"verdict", ReadoutVerdictName(one.verdict)}});
    if (!one.segment.empty()) readout.back()["segment"] = one.segment;
  }
  return readout;
}

/// "https://host/…": many services take a webhook's path for the secret.
std::string ShownUrl(const std::string& url, bool with_path) {
  const size_t scheme = url.find("://");
  const size_t begin = scheme == url.npos ? 0 : scheme + 3;
  const size_t end = std::min(url.find_first_of("/?#", begin), url.size());
  std::string authority = url.substr(begin, end - begin);
  authority.erase(0, authority.rfind('@') + 1);
  std::string path = url.substr(end, std::min(url.find_first_of("?#", end), url.size()) - end);
  if (!with_path) path = "/…";
  return StrCat(url.substr(0, begin), authority, path);
}

/// As the configuration is shown, and without the names of files: a record is given away. No verdict is made of these.
void HideSecrets(OutsideOptions& outside) {
  if (!outside.url.empty()) outside.url = ShownUrl(outside.url, false);
  if (!outside.address.empty()) outside.address = ShownUrl(outside.address, true);
  for (std::string* text : {&outside.ca_file, &outside.cert_file, &outside.key_file,
                            &outside.token_file, &outside.username, &outside.password_file}) {
    if (!text->empty()) *text = "…";
  }
}
void HideSecrets(ApprovalWebhook& hook) {
  hook.url = ShownUrl(hook.url, false);
  for (std::string* text : {&hook.secret_file, &hook.ca_file, &hook.cert_file, &hook.key_file,
                            &hook.token_file, &hook.username, &hook.password_file}) {
    if (!text->empty()) *text = "…";
  }
}
void HideSecrets(RolloutState& state) {
  for (RolloutStep& step : state.plan.steps) {
    if (step.approval.webhook) HideSecrets(*step.approval.webhook);
  }
  for (RolloutGate& gate : state.plan.gates) HideSecrets(gate.outside);
  for (GateState& gate : state.gates) HideSecrets(gate.config.outside);
}

}  // namespace

Result<std::string> MakeVerdictRecord(Journal& journal, int64_t id, const std::string& program) {
  ASSIGN_OR_RETURN(RolloutState first, journal.FirstState(id));
  std::string ticks;
  Json evidence = EvidenceJson(first);
  ASSIGN_OR_RETURN(Replay replay,
                   ReplayRollout(journal, id, [&](const StepInput& in, const StepOutput& out) {
                     ticks += StrCat(ticks.empty() ? "\n" : ",\n", R"({"input": )",
                                     SerializeInput(in), R"(, "decision": )", Dump(out.decision));
                     if (!out.decision.empty())
                       ticks += StrCat(R"(, "reason": )", Dump(out.state.reason));
                     Json now = EvidenceJson(out.state);
                     if (now != evidence) {
                       ticks += StrCat(R"(, "gates": )", Dump(now));
                       evidence = std::move(now);
                     }
                     ticks += '}';
                   }));
  // Of an engine that is another one than the journal's, the record says what was acted on: replaying it tells the rest.
  RolloutState last = std::move(replay.stored);
  HideSecrets(first);
  HideSecrets(last);
  Json verdict{{"phase", RolloutPhaseName(last.phase)},
               {"reason", last.reason},
               {"started", TimeJson(last.started)},
               {"ended", TimeJson(last.ended)}};
  for (const GateView& gate : MakeGateViews(last)) {
    if (gate.outside) continue;
    verdict["gates"].push_back(
        {{"gate", gate.gate}, {"weight", gate.weight}, {"alpha", gate.alpha}});
  }
  if (last.plan.strategy == RolloutPlan::Strategy::kAb) {
    verdict["readout"] = ReadoutJson(MakeReadout(last));
    if (last.plan.segments) verdict["segment_readout"] = ReadoutJson(MakeSegmentReadout(last));
  }
  return StrCat("{\"", kFormat, "\": ", kFormatVersion, ",\n\"program\": ", Dump(program),
                ",\n\"engine\": ", kRolloutEngine, ",\n\"id\": ", id,
                ",\n\"model\": ", Dump(last.model), ",\n\"stable\": ", last.stable,
                ",\n\"candidate\": ", last.candidate, ",\n\"verdict\": ", Dump(verdict),
                ",\n\"first\": ", SerializeState(first), ",\n\"ticks\": [", ticks,
                "],\n\"last\": ", SerializeState(last), "}\n");
}

Result<VerdictRecord> ParseVerdictRecord(std::string_view text) {
  if (IsTooDeep(text)) return InvalidArgumentError("is nested deeper than a record of a rollout");
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return InvalidArgumentError("is not JSON, or not all of it");
  try {
    return ParseWhole(json);
  } catch (const std::exception& e) {  // of the library, for a kind of value that was not looked at
    return InvalidArgumentError(StrCat("is no record of a rollout: ", e.what()));
  }
}

RecordReplay ReplayRecord(const VerdictRecord& record, const WhatIf& what_if,
                          const std::function<void(const StepInput&, const StepOutput&)>& visit) {
  RecordReplay replay{FirstOf(record.first, PlanBy(what_if, record)), ""};
  std::string evidence = Dump(EvidenceJson(replay.state));
  for (size_t i = 0; i < record.ticks.size(); ++i) {
    const RecordedTick& tick = record.ticks[i];
    const bool late = HasEnded(replay.state.phase);
    StepOutput out = Step(replay.state, tick.input);
    if (visit) visit(tick.input, out);
    if (replay.difference.empty() && !what_if.any()) {
      std::string found = late ? "comes after the verdict" : TickDifference(tick, evidence, out);
      if (!found.empty()) replay.difference = StrCat("tick ", i + 1, ": ", found);
      if (!tick.evidence.empty()) evidence = tick.evidence;
    }
    replay.state = std::move(out.state);
  }
  if (replay.difference.empty() && !what_if.any()) {
    replay.difference = EndDifference(record, replay.state);
  }
  return replay;
}

Result<std::string> ReplayReport(std::string_view text, const WhatIf& what_if,
                                 const std::string& program) {
  ASSIGN_OR_RETURN(VerdictRecord record, ParseVerdictRecord(text));
  const RolloutPlan plan = PlanBy(what_if, record);
  RETURN_IF_ERROR(ValidatePlan(plan));
  RETURN_IF_ERROR(CheckPlan(plan));
  Json course = Json::array();
  Duration since{};
  RecordReplay replay =
      ReplayRecord(record, what_if, [&](const StepInput& in, const StepOutput& out) {
        since += in.elapsed;
        Json tick{{"time", TimeJson(in.time)},
                  {"elapsed_seconds", ToSeconds(since)},
                  {"step", out.state.step},
                  {"share", WantedShare(out.state)},
                  {"mirror", WantedMirror(out.state)},
                  {"stable", ArmJson(in.stable_window)},
                  {"candidate", ArmJson(in.candidate_window)},
                  {"copies", in.pairs.empty() ? Json(nullptr) : CopiesJson(in.pairs)}};
        Json& gates = tick["gates"] = Json::array();
        for (const GateView& gate : MakeGateViews(out.state)) {
          gates.push_back({{"gate", gate.gate},
                           {"harm_log_e", gate.harm_log_e},
                           {"harm_log_bound", gate.harm_log_bound},
                           {"safe_log_e", gate.safe_log_e},
                           {"safe_log_bound", gate.safe_log_bound}});
        }
        tick["decision"] = out.decision;
        tick["reason"] = out.decision.empty() ? "" : out.state.reason;
        course.push_back(std::move(tick));
      });
  Json answer{
      {"rollout", record.id},
      {"model", record.first.model},
      {"stable", record.first.stable},
      {"candidate", record.first.candidate},
      {"recorded",
       {{"program", record.program},
        {"engine", record.engine},
        {"phase", record.phase},
        {"reason", record.reason}}},
      {"computed",
       {{"program", program},
        {"engine", kRolloutEngine},
        {"phase", RolloutPhaseName(replay.state.phase)},
        {"reason", replay.state.reason}}},
      {"what_if", what_if.any() ? Json{{"alpha", plan.alpha}, {"beta", plan.beta}} : Json(nullptr)},
      {"agrees", what_if.any() ? Json(nullptr) : Json(replay.difference.empty())},
      {"difference", replay.difference},
      {"plan_notes", replay.state.notes},
      {"course", std::move(course)}};
  return Dump(answer);
}

}  // namespace leadsman
