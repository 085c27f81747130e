#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/status.h"

namespace leadsman {

/// Where plug-ins and their runtimes are looked for, and what the operator set for each backend.
struct PluginOptions {
  std::vector<std::string>
      plugin_dirs;  ///< folders with leadsman_backend_*.so; ones that do not exist are skipped
  std::vector<std::string>
      runtime_dirs;  ///< folders with <runtime>/lib/…, as tools/fetch_runtimes.sh makes them
  /// Backend name → its options, e.g. {"onnxruntime": {"library": "/opt/ort/libonnxruntime.so"}}.
  std::map<std::string, std::map<std::string, std::string>> backend_options;

  /// What the binary uses when nothing is configured. `binary_dir` is the folder of the running
  /// executable; `env` looks up an environment variable and returns "" when it is not set.
  /// Plug-ins: $LEADSMAN_PLUGINS, else <binary_dir>/../plugins and
  /// <binary_dir>/../lib/leadsman/plugins. Runtimes: $LEADSMAN_RUNTIMES,
  /// $HOME/.cache/leadsman/runtimes, <binary_dir>/../lib/leadsman/runtimes. LEADSMAN_ONNXRUNTIME,
  /// LEADSMAN_TENSORFLOW, LEADSMAN_XGBOOST and LEADSMAN_LIGHTGBM name the library files themselves.
  static PluginOptions Default(const std::string& binary_dir,
                               const std::function<std::string(const char* name)>& env);
};

/// What became of one file that looks like a plug-in.
struct PluginReport {
  std::string path;
  std::string name;  ///< empty when the file is not a plug-in of our ABI
  std::vector<std::string> formats;
  std::string runtime_version;  ///< empty when it did not start
  Status status;
};

/// Loads one plug-in and starts its runtime. Blocks for as long as that takes. Errors: NOT_FOUND
/// (no such file), FAILED_PRECONDITION (not a plug-in, or of another ABI version: the message says
/// both), UNAVAILABLE (its runtime is not on this machine: the message says which package and where
/// it was looked for), whatever else its start says.
///
/// The shared object stays mapped until the process ends: runtimes leave threads and thread-local
/// destructors behind that a dlclose would pull the code from under.
Result<std::shared_ptr<Backend>> StartPlugin(const std::string& path, const PluginOptions& options,
                                             PluginReport* report = nullptr);

/// Starts every plug-in of `options.plugin_dirs`, in the order of their file names, and registers
/// it for its formats; one that cannot start is registered as missing, with the reason. The first
/// that works for a format keeps it. Logs one line a plug-in. Never fails as a whole.
std::vector<PluginReport> LoadBackends(const PluginOptions& options, BackendRegistry& registry);

/// The formats of the plug-ins in these folders, whether or not their runtimes are on this machine: opens them and starts none.
std::vector<std::string> FormatsOfPlugins(const std::vector<std::string>& plugin_dirs);

}  // namespace leadsman
