#pragma once

#include <string>

#include "gateway/gateway.h"
#include "rollout/controller.h"

namespace leadsman {

/// Carries rollouts out at the gateway: one swap of the service's split. What is under way is answered by the version that it
/// has begun with; the next request no longer sees one that was rolled back. Thread-safe; never blocks.
class GatewayActuator final : public Actuator {
 public:
  explicit GatewayActuator(gateway::Gateway& gateway) : gateway_(gateway) {}

  /// NOT_FOUND, which the rollout holds at, when the model or a version of it is no service of the gateway's.
  Status Apply(const DesiredTraffic& desired) override;

 private:
  gateway::Gateway& gateway_;
};

/// What a rollout sees of the gateway. While no rollout has decided yet, that is only the version with most of the traffic:
/// it is the stable one, however many others are ready already. A version fails only by what its requests tell: an endpoint that is not healthy may be
/// well again. Thread-safe.
class GatewayVersionObserver final : public VersionObserver {
 public:
  explicit GatewayVersionObserver(const gateway::Gateway& gateway) : gateway_(gateway) {}
  ObservedVersions Observe(const std::string& model) override;

 private:
  const gateway::Gateway& gateway_;
};

}  // namespace leadsman
