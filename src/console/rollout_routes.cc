#include "console/rollout_routes.h"

#include <utility>

#include "base/strings.h"

namespace leadsman::console {
namespace {

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

}  // namespace

std::vector<Route> RolloutRoutes(const RolloutRouteDeps& deps) {
  return {{"GET",
           "/api/v1/rollouts/{id}/record",
           "getRolloutRecord",
           "Everything that a rollout's verdict was made of, for `leadsman rollout replay`.",
           {{"id", "path", "integer", "the rollout's number"}},
           "",
           {{200, "RolloutRecord"}, {400, "Error"}, {404, "Error"}, {501, "Error"}},
           [deps](RouteCall& call) { return GetRecord(deps, call); }}};
}

}  // namespace leadsman::console
