#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "lifecycle/types.h"

namespace leadsman {

/// Sends requests that lie beside a version's model, in `directory`, through the version before it is ready, each as often
/// as ModelConfig::warmup_repeats says; how long each took, nothing when there are none. An error, which names the file,
/// fails the load. Who knows the requests' protocol implements it. Thread-safe; CANCELLED when `cancel` has become true.
using ReplayWarmup = std::function<Result<std::vector<Duration>>(
    const ServableVersion& version, const std::string& directory, const std::atomic<bool>& cancel)>;

}  // namespace leadsman
