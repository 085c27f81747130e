#include "app/gateway_report.h"

#include <utility>

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
    services.push_back({{"name", service.name},
                        {"split_by", service.split_by},
                        {"by_rollout", service.by_rollout},
                        {"versions", std::move(versions)}});
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
