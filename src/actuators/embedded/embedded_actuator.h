#pragma once

#include <map>
#include <string>

#include "base/mutex.h"
#include "lifecycle/manager.h"
#include "rollout/controller.h"
#include "serving/predictor.h"

namespace leadsman {

/// Carries rollouts out in this process: pins in the lifecycle, weights in the predictor's route table. A rollback is one
/// pointer swap: the next admission no longer sees the candidate.
///
/// Order: versions that are to take traffic are pinned before the routes change, versions that are to go lose their pins
/// after it, so that no route ever points at a version that the lifecycle was told to let go.
/// It is the only one to set routes and pins. Thread-safe; never blocks; never fails.
class EmbeddedActuator final : public Actuator {
 public:
  EmbeddedActuator(Predictor& predictor, LifecycleManager& lifecycle)
      : predictor_(predictor), lifecycle_(lifecycle) {}

  Status Apply(const DesiredTraffic& desired) override;

 private:
  Predictor& predictor_;
  LifecycleManager& lifecycle_;
  Mutex mutex_;
  std::map<std::string, RouteTable::Route> routes_ GUARDED_BY(mutex_);
  std::map<std::string, VersionPins> pins_ GUARDED_BY(mutex_);
};

/// What a rollout sees of the lifecycle: ready versions, and those that failed with the reason. Thread-safe.
class LifecycleVersionObserver final : public VersionObserver {
 public:
  explicit LifecycleVersionObserver(LifecycleManager& lifecycle) : lifecycle_(lifecycle) {}
  ObservedVersions Observe(const std::string& model) override;

 private:
  LifecycleManager& lifecycle_;
};

}  // namespace leadsman
