#include "app/gateway_report.h"

#include <cmath>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace leadsman {
namespace {

using Json = nlohmann::ordered_json;

Json EndpointJson(const gateway::EndpointView& endpoint) {
  return {{"endpoint", endpoint.endpoint}, {"state", endpoint.state},
          {"reason", endpoint.reason},     {"connections", endpoint.connections},
          {"active", endpoint.active},     {"requests", endpoint.requests},
          {"failures", endpoint.failures}, {"ejections", endpoint.ejections}};
}

Json VersionJson(const gateway::VersionView& version) {
  Json endpoints = Json::array();
  for (const gateway::EndpointView& endpoint : version.endpoints)
    endpoints.push_back(EndpointJson(endpoint));
  return {{"version", version.version},   {"share", version.share},
          {"ready", version.ready},       {"pending", version.pending},
          {"requests", version.requests}, {"errors", version.errors},
          {"retries", version.retries},   {"endpoints", std::move(endpoints)}};
}

Json MirrorJson(const gateway::MirrorView& mirror) {
  return {{"version", mirror.version},   {"share", mirror.share},
          {"sent", mirror.sent},         {"in_flight", mirror.in_flight},
          {"answered", mirror.answered}, {"errors", mirror.errors},
          {"unsent", mirror.unsent},     {"unanswered", mirror.unanswered}};
}

/// Of one service's mirror, by the version that clients were answered by.
Json ComparedJson(const std::string& service, const std::vector<intake::ShadowBook::Pair>& pairs) {
  Json compared = Json::array();
  for (const intake::ShadowBook::Pair& pair : pairs) {
    if (pair.model != service) continue;
    Json one = {{"live_version", pair.live},
                {"version", pair.shadow},
                {"results", pair.results},
                {"examples", pair.examples}};
    one["labelled"] = {{"live_right", pair.live_right},
                       {"shadow_right", pair.shadow_right},
                       {"neither_right", pair.neither_right},
                       {"e_shadow_worse", pair.e_shadow_worse},
                       {"e_live_worse", pair.e_live_worse}};
    // JSON has no infinity.
    one["largest_difference"] =
        std::isfinite(pair.largest_difference) ? Json(pair.largest_difference) : Json("infinite");
    compared.push_back(std::move(one));
  }
  return compared;
}

}  // namespace

std::string GatewayReportJson(const gateway::View& view,
                              const intake::ExchangeIntake::View& exchanges) {
  Json listeners = Json::array();
  for (const gateway::ListenerView& listener : view.listeners)
    listeners.push_back({{"address", listener.address}, {"port", listener.port}});
  Json services = Json::array();
  for (const gateway::ServiceView& service : view.services) {
    Json versions = Json::array();
    for (const gateway::VersionView& version : service.versions)
      versions.push_back(VersionJson(version));
    Json mirror = service.mirror ? MirrorJson(*service.mirror) : Json(nullptr);
    if (service.mirror) mirror["compared"] = ComparedJson(service.name, exchanges.shadows);
    services.push_back({{"name", service.name},
                        {"split_by", service.split_by},
                        {"by_rollout", service.by_rollout},
                        {"versions", std::move(versions)},
                        {"mirror", std::move(mirror)}});
  }
  Json report = {{"listeners", std::move(listeners)},
                 {"connections", view.connections},
                 {"services", std::move(services)},
                 {"decode",
                  {{"decoded", exchanges.decoded},
                   {"bare", exchanges.bare},
                   {"dropped", exchanges.dropped},
                   {"unsampled", exchanges.unsampled},
                   {"request_bodies", exchanges.request_bodies},
                   {"response_bodies", exchanges.response_bodies},
                   {"features", exchanges.features}}}};
  return report.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace leadsman
