#include "rollout/outside_reader.h"

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "rollout/gate_state.h"
#include "rollout/step.h"

namespace leadsman {
namespace {

constexpr int kPromqlFailures = 3;
constexpr int kWebhookFailures = 1;

/// Calls `found` with the trimmed text between each {{ and }}; false when a pair is not closed.
template <typename Found, typename Other>
bool Walk(std::string_view query, Found found, Other other) {
  while (!query.empty()) {
    const size_t open = query.find("{{");
    other(query.substr(0, open));
    if (open == query.npos) return true;
    query.remove_prefix(open + 2);
    const size_t close = query.find("}}");
    if (close == query.npos) return false;
    found(Trim(query.substr(0, close)));
    query.remove_prefix(close + 2);
  }
  return true;
}

std::string Escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\\' || c == '"' || c == '\'' || c == '`') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

bool IsOutside(RolloutGate::Kind kind) {
  return kind == RolloutGate::Kind::kPromql || kind == RolloutGate::Kind::kWebhook;
}

std::string_view NameOf(const RolloutGate& gate) {
  return gate.outside.name.empty() ? GateName(gate.kind) : std::string_view(gate.outside.name);
}

int FailuresAllowed(const RolloutGate& gate) {
  if (gate.outside.failures > 0) return gate.outside.failures;
  return gate.kind == RolloutGate::Kind::kWebhook ? kWebhookFailures : kPromqlFailures;
}

std::string FillIn(std::string_view query, const RolloutState& state) {
  std::string out;
  Walk(
      query,
      [&](std::string_view name) {
        if (name == "model") out += Escaped(state.model);
        if (name == "stable") out += StrCat(state.stable);
        if (name == "candidate") out += StrCat(state.candidate);
      },
      [&](std::string_view text) { out += text; });
  return out;
}

std::string CheckPlaceholders(std::string_view query) {
  std::string wrong;
  const bool closed = Walk(
      query,
      [&](std::string_view name) {
        if (name == "model" || name == "stable" || name == "candidate" || !wrong.empty()) return;
        wrong = StrCat("there is no {{", CutUtf8(name, 40),
                       "}}: use {{model}}, {{stable}} and {{candidate}}");
      },
      [](std::string_view) {});
  if (wrong.empty() && !closed) wrong = "a {{ is not closed by }}";
  return wrong;
}

std::string HostOf(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme != url.npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find_first_of("/?#"));
  const size_t at = url.rfind('@');
  return std::string(at == url.npos ? url : url.substr(at + 1));
}

namespace {

using Json = nlohmann::ordered_json;

/// Added to what says who asks for what.
std::string WithRollout(Json body, int64_t rollout, const RolloutState& state) {
  const RolloutView view = MakeView(rollout, state);
  Json gates = Json::array();
  for (const GateView& one : view.gates) {
    if (one.outside) continue;
    gates.push_back(
        {{"gate", one.gate},
         {"stable", {{"exposure", one.stable_exposure}, {"events", one.stable_events}}},
         {"candidate", {{"exposure", one.candidate_exposure}, {"events", one.candidate_events}}}});
  }
  const Json rest = {{"rollout", rollout},
                     {"model", view.model},
                     {"stable", view.stable},
                     {"candidate", view.candidate},
                     {"strategy", view.strategy},
                     {"phase", RolloutPhaseName(view.phase)},
                     {"step", view.step},
                     {"step_count", view.step_count},
                     {"share", view.share},
                     {"mirror", view.mirror},
                     {"started", FormatRfc3339(view.started)},
                     {"reason", view.reason},
                     {"gates", std::move(gates)}};
  body.update(rest);
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string WebhookBody(int64_t rollout, const RolloutGate& gate, const RolloutState& state) {
  return WithRollout({{"gate", NameOf(gate)}}, rollout, state);
}

std::string ApprovalBody(int64_t rollout, const RolloutState& state) {
  return WithRollout({{"event", "approval.wanted"},
                      {"approval", StrCat("rollout-", rollout, "-", UnixMillis(state.started),
                                          "-step-", state.step)}},
                     rollout, state);
}

}  // namespace leadsman
