#include "app/gate_check.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/clock.h"
#include "base/strings.h"
#include "rollout/gate_state.h"
#include "rollout/promql_names.h"
#include "rollout/step.h"
#include "telemetry/outside_answers.h"
#include "telemetry/outside_asker.h"
#include "telemetry/sender_http.h"

namespace leadsman {
namespace {

std::string Filled(const std::string& query, const std::string& model, int64_t stable,
                   int64_t candidate) {
  RolloutState state;
  state.model = model;
  state.stable = stable;
  state.candidate = candidate;
  return FillIn(query, state);
}

/// What came of one question.
struct Asked {
  std::string away;   ///< it could not be asked, for this reason
  std::string wrong;  ///< it refuses the query, or gives what is no number
  bool absent = false;
};

/// For how long a check may go on, over all that it asks.
struct Limits {
  const std::atomic<bool>& cancelled;
  SteadyTime until;
  std::chrono::milliseconds Left() const {
    return std::chrono::floor<std::chrono::milliseconds>(until - SystemClock().SteadyNow());
  }
};

Asked Ask(const RolloutGate& gate, const std::string& query, const Limits& limits) {
  const std::chrono::milliseconds left = limits.Left();
  if (left.count() <= 0) return {"it was not asked, the time for this check is over", "", false};
  SenderTarget target = TargetOf(gate);
  target.timeout = std::min(target.timeout, left);
  auto http = SenderHttp::Create(target);
  if (!http.ok()) return {std::string(http.status().message()), "", false};
  SenderHttp::Message message;
  message.path = "/api/v1/query";
  message.content_type = "application/x-www-form-urlencoded";
  message.body = StrCat("query=", UrlEncode(query));
  const SenderHttp::Answer answer =
      (*http)->Post({target.timeout, limits.cancelled, false}, std::move(message));
  if (!answer.status.ok()) {
    const std::string why(answer.status.message());
    return answer.IsRefusal() ? Asked{"", why, false} : Asked{why, "", false};
  }
  const OutsideReading reading = ReadPromqlAnswer(answer.body);
  if (reading.kind == OutsideReading::Kind::kNoAnswer) return {"", reading.reason, false};
  // A share of nothing is no number, and may be one later.
  const bool absent = reading.kind == OutsideReading::Kind::kNoData &&
                      reading.reason.find("not a number") == std::string::npos;
  return {"", "", absent};
}

/// Of one gate: what is wrong with it, or not there, or why that is not known.
struct Found {
  std::string wrong, absent, away;
};
Found Check(const std::string& model, const RolloutGate& gate, const Limits& limits) {
  const std::string& query = gate.outside.query;
  const std::string filled = Filled(query, model, 1, 2);
  const char* const fix =
      ": name a metric that is there, or set allow_absent: true if it comes only later";
  if (filled == Filled(query, model, 3, 4)) {
    const Asked asked = Ask(gate, filled, limits);
    return {asked.wrong, asked.absent ? StrCat("gives nothing now", fix) : "", asked.away};
  }
  std::vector<std::string> missing;
  for (const std::string& name : MetricsOf(filled)) {
    const Asked asked =
        Ask(gate, StrCat("count(last_over_time({__name__=\"", name, "\"}[1h]))"), limits);
    if (!asked.away.empty()) return {"", "", asked.away};
    if (asked.absent) missing.push_back(name);
  }
  if (missing.empty()) return {};
  return {"", StrCat("there is no metric ", HumanList(missing), " in the last hour", fix), ""};
}

}  // namespace

Status GateCheck::status() const {
  if (refused.empty()) return OkStatus();
  std::string all = Join(refused, "\n");
  return may_pass ? FailedPreconditionError(std::move(all)) : InvalidArgumentError(std::move(all));
}

GateCheck CheckPromqlGates(const std::map<std::string, RolloutPlan>& plans,
                           const std::map<std::string, RolloutPlan>& known,
                           const std::atomic<bool>& cancelled, std::chrono::milliseconds longest) {
  const Limits limits{cancelled, SystemClock().SteadyNow() + longest};
  GateCheck check;
  std::set<std::string> away;  // addresses
  for (const auto& [model, plan] : plans) {
    const auto before = known.find(model);
    for (size_t i = 0; i < plan.gates.size(); ++i) {
      const RolloutGate& gate = plan.gates[i];
      if (gate.kind != RolloutGate::Kind::kPromql || gate.outside.allow_absent) continue;
      if (before != known.end() &&
          std::find(before->second.gates.begin(), before->second.gates.end(), gate) !=
              before->second.gates.end())
        continue;
      if (cancelled || away.contains(gate.outside.address)) continue;
      const Found found = Check(model, gate, limits);
      const std::string at = StrCat("model ", model, ": rollout.gates[", i, "].");
      if (!found.wrong.empty()) check.may_pass = false;
      for (const std::string* why : {&found.wrong, &found.absent}) {
        if (!why->empty()) check.refused.push_back(StrCat(at, "query: ", *why));
      }
      if (found.away.empty()) continue;
      // When the time is over, each gate that was not asked about is told.
      if (limits.Left().count() > 0) away.insert(gate.outside.address);
      check.warnings.push_back(
          StrCat(at, "address: whether what is asked for is there is not known: ", found.away));
    }
  }
  return check;
}

}  // namespace leadsman
