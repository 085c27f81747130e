#pragma once

#include <fstream>
#include <string>

#include "backend/plugin_host.h"

namespace leadsman {

/// False in sanitizer builds: TensorFlow dies over another protobuf in the process unless it is
/// loaded with RTLD_DEEPBIND, which they refuse.
#ifdef LEADSMAN_SANITIZED
inline constexpr bool kTensorFlowCanLoad = false;
#else
inline constexpr bool kTensorFlowCanLoad = true;
#endif

/// The plug-ins of this build and the runtimes it was configured with, for tests and benchmarks of
/// any room:
///   BackendRegistry backends;
///   LoadBackends(TestPluginOptions(BinaryDir()), backends);
/// The target has to depend on `leadsman_plugins`. When the ONNX Runtime is missing, the reason in
/// the registry names tools/fetch_runtimes.sh.
inline PluginOptions TestPluginOptions(const std::string& binary_dir) {
  PluginOptions options;
  options.plugin_dirs = {binary_dir + "/plugins"};
  std::ifstream file(binary_dir + "/plugins/runtimes.txt");
  std::string runtimes;
  std::getline(file, runtimes);
  options.runtime_dirs = {runtimes};
  return options;
}

}  // namespace leadsman
