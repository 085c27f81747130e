#pragma once

#include <signal.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "app/config.h"
#include "app/config_watcher.h"
#include "app/drain.h"
#include "app/server.h"
#include "base/status.h"
#include "net/listener_store.h"

namespace leadsman {

/// How a process that proxies waits for its end.
struct ServeOptions {
  sigset_t signals{};  ///< blocked, and waited for
  DrainMachine::Options drain;
  std::optional<ConfigWatcher> watcher;
  std::chrono::milliseconds last_wait{5'000};  ///< at the end, for what cannot be interrupted
};

/// `leadsman gateway` with hot_restart: takes the place of the process that runs, if one does, serves until a signal or until
/// another process takes its place, drains, and returns the exit code. As RunServer, which calls it.
int RunUpgradable(Config config, const std::function<Result<Config>()>& load,
                  const ReloadOptions& options, ServeOptions serve);

/// Where the processes meet: hot_restart.socket, or a file in data_dir.
std::string HotRestartPath(const Config& config);

/// Every listener of a process that proxies whose port is configured.
std::vector<net::ListenerName> ListenersOf(const Config& config);

}  // namespace leadsman
