#include "console/rollout_routes.h"

#include <algorithm>
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "console/json_views.h"
#include "net/url.h"
#include "rollout/config_schema.h"
#include "rollout/gate_state.h"
#include "storage/store_uri.h"

namespace leadsman::console {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::hours kLookBack{1};
constexpr size_t kMostWindows = 10'000;

Status NoPlans() {
  return UnimplementedError("no model of this server has a rollout plan: add rollout: to a model");
}

Status GetRecord(const RolloutRouteDeps& deps, RouteCall& call) {
  if (deps.rollouts == nullptr) return NoPlans();
  const std::string& text = call.path["id"];
  auto id = ParseInt64(text);
  if (!id || *id < 1) {
    return InvalidArgumentError(
        StrCat("id: must be a whole number from 1, not ", CutUtf8(text, 40)));
  }
  ASSIGN_OR_RETURN(std::string record, deps.rollouts->Record(*id, deps.version));
  call.exchange.response().content_type = "application/json";
  call.exchange.response().body = std::move(record);
  return OkStatus();
}

/// Requests of all versions, window by window, with nothing in those that are not there.
Json Arrivals(const std::map<int64_t, std::vector<WindowSummary>>& versions, uint64_t& requests,
              double& seconds) {
  std::map<WallTime, std::pair<double, uint64_t>> windows;
  for (const auto& [version, list] : versions) {
    for (const WindowSummary& window : list) {
      auto& [length, count] = windows[window.start];
      length = std::max(length, window.seconds);
      count += window.requests;
    }
  }
  Json arrivals = Json::array();
  WallTime reached{};
  for (const auto& [start, window] : windows) {
    const auto& [length, count] = window;
    if (length <= 0) continue;
    auto add = [&](double span, uint64_t of) {
      if (arrivals.size() < kMostWindows) arrivals.push_back({span, of});
      seconds += span;
      requests += of;
    };
    if (!arrivals.empty() && start > reached) add(ToSeconds(start - reached), 0);
    add(length, count);
    reached = start + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(length));
  }
  return arrivals;
}

Json TrafficJson(const RolloutRouteDeps& deps, const std::string& model, int64_t stable) {
  if (deps.monitor == nullptr) return nullptr;
  uint64_t arrived = 0;
  double seconds = 0;
  Json arrivals =
      Arrivals(deps.monitor->Windows(model, deps.clock.Now() - kLookBack), arrived, seconds);
  const VersionTotals totals = deps.monitor->Totals(model, stable);
  auto share = [](uint64_t part, uint64_t of) {
    return of == 0 ? 0 : std::min(1.0, static_cast<double>(part) / static_cast<double>(of));
  };
  const LossTotals& losses = totals.losses;
  const double highest = losses.measure.highest;
  return {{"requests_per_second", seconds > 0 ? static_cast<double>(arrived) / seconds : 0},
          {"error_rate", share(totals.errors, totals.requests)},
          {"label_share", share(totals.labelled_requests, totals.requests)},
          {"wrong_rate", share(totals.wrong_requests, totals.labelled_requests)},
          {"losses", losses.all.count == 0 ? Json(nullptr)
                                           : Json{{"metric", LossMetricName(losses.measure.metric)},
                                                  {"mean", losses.all.Mean() * highest},
                                                  {"spread", losses.all.Spread() * highest}}},
          {"requests", totals.requests},
          {"latency", ToSparse(totals.latency)},
          {"arrivals", std::move(arrivals)}};
}

Status GetStanding(const RolloutRouteDeps& deps, RouteCall& call) {
  if (deps.rollouts == nullptr) return NoPlans();
  const std::string& model = call.path["model"];
  Result<RolloutController::Standing> standing = deps.rollouts->StandingOf(model);
  // A service of a gateway needs none before it has a rollout.
  const int64_t main = !standing.ok() && deps.main_version ? deps.main_version(model) : 0;
  if (!standing.ok() && main == 0) return standing.status();
  const int64_t stable = standing.ok() ? standing->stable : main;
  Json plan = nullptr;
  if (standing.ok())
    plan =
        Json::parse(schema::WriteJson(RolloutPlanSchema(), ShownPlan(std::move(standing->plan))));
  Json answer{{"model", model},
              {"stable", stable},
              {"plan", std::move(plan)},
              {"traffic", TrafficJson(deps, model, stable)}};
  Answer(call, answer);
  return OkStatus();
}

}  // namespace

RolloutPlan ShownPlan(RolloutPlan plan) {
  for (RolloutStep& step : plan.steps) {
    if (!step.approval.webhook) continue;
    std::string& shown = step.approval.webhook->url;
    if (auto url = net::ParseUrl(shown); url.ok()) shown = StrCat(url->Origin(), "/…");
  }
  for (RolloutGate& gate : plan.gates) {
    // Many services take a webhook's path for the secret.
    if (auto url = net::ParseUrl(gate.outside.url); url.ok())
      gate.outside.url = StrCat(url->Origin(), "/…");
    gate.outside.address = RedactUrl(gate.outside.address);
  }
  return plan;
}

std::vector<Route> RolloutRoutes(const RolloutRouteDeps& deps) {
  return {
      {"GET",
       "/api/v1/rollouts/{id}/record",
       "getRolloutRecord",
       "Everything that a rollout's verdict was made of, for `leadsman rollout replay`.",
       {{"id", "path", "integer", "the rollout's number"}},
       "",
       {{200, "RolloutRecord"}, {400, "Error"}, {404, "Error"}, {501, "Error"}},
       [deps](RouteCall& call) { return GetRecord(deps, call); }},
      {"GET",
       "/api/v1/models/{model}/rollout",
       "getRolloutStanding",
       "What a rollout of the model would begin from: its plan (without what may be a secret in a "
       "URL; null: one must come with the start), the stable version, and the traffic.",
       {{"model", "path", "string", "the model's name"}},
       "",
       {{200, "RolloutStanding"}, {404, "Error"}, {501, "Error"}},
       [deps](RouteCall& call) { return GetStanding(deps, call); }}};
}

}  // namespace leadsman::console
