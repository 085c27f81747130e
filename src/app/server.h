#pragma once

#include <functional>
#include <string>

#include "app/config.h"
#include "base/status.h"

namespace leadsman {

/// What `leadsman serve` does: wires the rooms bottom-up, serves until SIGTERM or SIGINT, drains, and returns the exit
/// code (0 after an orderly stop, 1 when it could not start; the reason is on stderr). SIGHUP calls `reload` and applies
/// models and rollout plans; a reload that fails changes nothing.
///
/// Call once per process, from the main thread, before any other thread exists: it blocks the signals it waits for.
int RunServer(Config config, std::function<Result<Config>()> reload);

/// The page docs/reference/metrics.md, from the descriptions that the rooms register.
std::string MetricsReferencePage();

}  // namespace leadsman
