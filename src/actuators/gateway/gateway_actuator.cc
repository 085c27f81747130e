#include "actuators/gateway/gateway_actuator.h"

namespace leadsman {

Status GatewayActuator::Apply(const DesiredTraffic& desired) {
  return gateway_.SetTraffic(desired.model, desired.stable, desired.candidate,
                             desired.candidate_share, desired.mirror_share, desired.split_seed);
}

ObservedVersions GatewayVersionObserver::Observe(const std::string& model) {
  ObservedVersions observed{.ready = gateway_.ReadyVersions(model), .failed = {}};
  for (const auto& [version, endpoints] : gateway_.Endpoints(model)) {
    observed.replicas[version] = {endpoints.ready, endpoints.all};
    if (endpoints.ready == 0) observed.waits[version] = endpoints.why_none;
  }
  if (const auto main = gateway_.MainVersion(model))
    std::erase_if(observed.ready, [&](int64_t version) { return version != *main; });
  return observed;
}

}  // namespace leadsman
