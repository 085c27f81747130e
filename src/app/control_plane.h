#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "app/config.h"
#include "app/data_plane.h"
#include "app/serve_loop.h"
#include "app/server.h"
#include "base/status.h"

namespace leadsman {

/// Everything of a server but what its proxied requests pass through: models and their ports, the monitor, rollouts, alarms, the
/// admin API, and with them the data_dir. Reload is safe from any thread, the rest belongs to the owner.
class ControlPlane : public Served {
 public:
  /// Everything else, after the drain. An inference cannot be interrupted: when one runs on for longer than the drain and `wait`, or the
  /// disk takes nothing any more, everything that is worth it is written, and the process ends here.
  virtual void Stop(std::chrono::milliseconds wait) = 0;
  /// Ends all of it but the gateway, whose requests pass on: then another process may have the data_dir, once this object is gone.
  /// DEADLINE_EXCEEDED when something cannot be ended, as Stop would end the process for: then it must not be destroyed.
  virtual Status Release() = 0;
  /// With what was reloaded.
  virtual Config config_in_force() const = 0;
};

/// Before and after a gateway that has not started yet begins to accept; and before anything is taken apart when it comes to nothing.
struct GatewayHooks {
  std::function<Status()> before_start;
  std::function<void()> after_start;
  std::function<void()> on_failure;
};

/// `plane` must outlive it; it is built if it is not yet, and its gateway started.
Result<std::unique_ptr<ControlPlane>> CreateControlPlane(
    Config config, const std::function<Result<Config>()>& load, const ReloadOptions& options,
    DataPlane& plane, GatewayHooks hooks = {});

}  // namespace leadsman
