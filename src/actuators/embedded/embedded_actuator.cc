#include "actuators/embedded/embedded_actuator.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "base/strings.h"

namespace leadsman {

Status EmbeddedActuator::Apply(const DesiredTraffic& desired) {
  if (desired.mirror_share > 0) {
    return UnimplementedError(StrCat(
        "of model ", desired.model,
        ", which is served here, no requests are copied: use a rollout without mirrors, or a "
        "gateway"));
  }
  VersionPins pins;
  pins.keep.insert(desired.keep.begin(), desired.keep.end());
  pins.exclude.insert(desired.exclude.begin(), desired.exclude.end());

  // Held while calling out: both calls only hand over a value, and two models' changes must not overtake each other.
  MutexLock lock(mutex_);
  VersionPins& present = pins_[desired.model];
  const bool adds =
      !std::includes(present.keep.begin(), present.keep.end(), pins.keep.begin(), pins.keep.end());
  if (adds) {
    VersionPins both = present;
    both.keep.insert(pins.keep.begin(), pins.keep.end());
    for (int64_t version : pins.keep) both.exclude.erase(version);
    lifecycle_.SetPins(desired.model, both);
    present = std::move(both);
  }

  if (desired.stable == 0) {
    routes_.erase(desired.model);
  } else {
    double share = std::clamp(desired.candidate_share, 0.0, 1.0);
    auto parts = desired.candidate == 0 ? 0 : static_cast<uint32_t>(std::lround(share * 10'000));
    routes_[desired.model] = {desired.stable, desired.candidate, parts};
  }
  auto table = std::make_shared<RouteTable>();
  for (const auto& [model, route] : routes_) table->routes.emplace(model, route);
  predictor_.SetRoutes(std::move(table));

  if (present != pins) {
    lifecycle_.SetPins(desired.model, pins);
    present = std::move(pins);
  }
  if (desired.stable == 0) pins_.erase(desired.model);
  return OkStatus();
}

ObservedVersions LifecycleVersionObserver::Observe(const std::string& model) {
  ObservedVersions observed;
  Result<ModelStatus> status = lifecycle_.GetStatus(model);
  if (!status.ok()) return observed;  // not configured (any more): nothing is ready
  for (const VersionStatus& version : status->versions) {
    if (version.state == VersionState::kReady) {
      observed.ready.push_back(version.version);
    } else if (version.state == VersionState::kFailed) {
      observed.failed[version.version] = std::string(version.status.message());
    } else {
      observed.waits[version.version] =
          StrCat("it is ", VersionStateName(version.state),
                 version.status.message().empty() ? "" : ": ", version.status.message());
    }
  }
  return observed;
}

}  // namespace leadsman
