#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/config.h"
#include "base/status.h"
#include "net/tls_server.h"

namespace leadsman::tfserving {

/// The configuration files of tensorflow_model_server, in protobuf's text format. Every error is
/// told with file, line and column; unknown fields are errors. Relative paths stay relative to the
/// working directory, as TensorFlow Serving takes them. Load… block for the file; all are
/// thread-safe.

/// --model_config_file: the models to serve. What each model starts from is `initial`. A model
/// without a policy has its latest version served. `model_platform` "tensorflow" (or none) leaves
/// it to the files which format a model has; any other is taken as the format's name.
Result<std::vector<Config::Model>> LoadModelConfigFile(const std::string& path,
                                                       const Config::Model& initial);
/// What a model starts from, given its name.
using InitialModel = std::function<Config::Model(const std::string& name)>;
/// The same, from a serialized ModelServerConfig as gRPC's HandleReloadConfigRequest brings it. A list without models is one,
/// too: nothing is served then.
Result<std::vector<Config::Model>> ModelsFromSerialized(std::string_view model_server_config,
                                                        const InitialModel& initial);

/// --monitoring_config_file: where Prometheus reads on the REST port; nothing when it is not
/// enabled. Without a path it is TensorFlow Serving's, /monitoring/prometheus/metrics.
Result<std::optional<std::string>> LoadMonitoringConfigFile(const std::string& path);

/// --batching_parameters_file; what the file does not say has TensorFlow Serving's default.
struct BatchingParameters {
  int64_t max_batch_size = 1000;
  int64_t batch_timeout_micros = 0;
  int64_t max_enqueued_batches = 10;
  std::optional<int64_t> num_batch_threads;  ///< absent: one per core
  std::vector<int64_t> allowed_batch_sizes;
  bool pad_variable_length_inputs = false;
  bool enable_large_batch_splitting = false;
  std::optional<int64_t> max_execution_batch_size;
};
Result<BatchingParameters> LoadBatchingParametersFile(const std::string& path);

/// --tensorflow_session_config_file: a ConfigProto.
struct SessionConfig {
  int64_t intra_op_threads = 0;  ///< 0 = it does not say
  int64_t inter_op_threads = 0;
  std::vector<std::string> without_effect;  ///< what else it sets
};
Result<SessionConfig> LoadSessionConfigFile(const std::string& path);

/// --platform_config_file: what it says of the platform "tensorflow", the only one.
struct PlatformConfig {
  SessionConfig session;
  std::optional<BatchingParameters> batching;
  bool per_model_batching = false;  ///< as --enable_per_model_batching_parameters
  std::vector<std::string> tags;    ///< of the graph to load; empty: it does not say
};
Result<PlatformConfig> LoadPlatformConfigFile(const std::string& path);

/// --ssl_config_file: keys and certificates as PEM text inside the file, which is read again when it changes.
net::TlsBundle SslConfigFile(const std::string& path);

}  // namespace leadsman::tfserving
