#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "app/config.h"
#include "app/label_moves.h"
#include "base/status.h"

namespace leadsman {

/// How a running server follows its configuration.
struct ReloadOptions {
  std::chrono::milliseconds look_every{1000};  ///< at the watched file
  LabelsMayWait labels_may_wait = LabelsMayWait::kNew;
  /// What a model starts from that a client configures (tensorflow.serving.ModelService). Empty: from what it is now, a new
  /// one from the defaults.
  std::function<Config::Model(const std::string& name)> initial_model;
};

/// What `leadsman serve` does: wires the rooms bottom-up, serves until SIGTERM or SIGINT, drains (app/drain.h), and
/// returns the exit code (0 after an orderly stop, 1 when it could not start; the reason is on stderr). SIGHUP, the
/// admin API, and with config_reload `auto` a change of the file `config_path`, call `reload` and apply models and
/// rollout plans; a reload that fails changes nothing.
///
/// Call once per process, from the main thread, before any other thread exists: it blocks the signals it waits for.
int RunServer(Config config, std::function<Result<Config>()> reload, const std::string& config_path,
              ReloadOptions options = {});

/// Of the plug-ins that a server of this configuration would start; opens them and starts none.
std::vector<std::string> PluginFormatsOf(const Config& config);

/// The page docs/reference/metrics.md, from the descriptions that the rooms register.
std::string MetricsReferencePage();

}  // namespace leadsman
