#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "auth/authorizer.h"
#include "base/config_node.h"
#include "base/log.h"
#include "base/schema.h"
#include "base/status.h"
#include "events/redactor.h"
#include "gateway/config.h"
#include "intake/envoy_options.h"
#include "intake/log_source.h"
#include "lifecycle/manager.h"
#include "lifecycle/model_control.h"
#include "lifecycle/types.h"
#include "monitor/config.h"
#include "net/tls_server.h"
#include "rollout/controller.h"
#include "rollout/plan.h"
#include "storage/store_options.h"
#include "telemetry/alertmanager_sender.h"
#include "telemetry/mail_sender.h"
#include "telemetry/metrics_options.h"
#include "telemetry/profile_sender.h"
#include "telemetry/tracing_options.h"
#include "telemetry/webhook_sender.h"

namespace leadsman {

/// The server's configuration file, or what flags say instead of one. A value; made by
/// LoadConfigFile or ParseConfig, which check everything, and immutable once the server runs.
struct Config {
  struct Limits {
    size_t max_header = 64 << 10;
    size_t max_body = 64 << 20;
    size_t max_message = size_t{2} << 30;  ///< of gRPC; its clients can send no larger one
    size_t max_held = size_t{4} << 30;     ///< of all requests under way
    size_t max_connections = 10'000;
    size_t max_stream_requests = 64;
    uint32_t max_streams = 1000;
    std::chrono::milliseconds max_connection_age{0};        ///< of gRPC; 0 = any
    std::chrono::milliseconds max_connection_age_grace{0};  ///< 0 = until its calls have ended
    std::chrono::milliseconds idle_timeout{75'000};
    std::chrono::milliseconds read_timeout{30'000};
    std::chrono::milliseconds write_timeout{30'000};
  };
  struct Server {
    std::string address = "0.0.0.0";
    bool http = true;
    uint16_t port = 8501;
    bool grpc = true;
    uint16_t grpc_port = 8500;
    std::string
        grpc_socket;       ///< a Unix socket for gRPC, beside the port or without it; empty: none
    int io_threads = 0;    ///< 0 = one per core
    int pool_threads = 0;  ///< 0 = one per core
    size_t pool_queue = 1024;
    size_t pool_queue_bytes = 256 << 20;
    std::chrono::milliseconds request_timeout{60'000};
    std::chrono::milliseconds drain_delay{0};  ///< at SIGTERM: not ready, and still accepting
    std::chrono::milliseconds drain_timeout{30'000};  ///< after that
    bool cors = false;
    std::string metrics_path;  ///< on the serving port, too; empty: on the admin port alone
    Limits limits;
    net::TlsServerOptions tls;  ///< of HTTP and gRPC alike
    /// An SSLConfig of TensorFlow Serving in the text format: gRPC's own certificates instead. Not read from the file.
    std::string grpc_ssl_config_file;
    bool predict_tensor_content = false;  ///< as GrpcServer::Options. Not read from the file.
  };
  struct Admin {
    std::string address = "127.0.0.1";
    uint16_t port = 8502;
    net::TlsServerOptions tls;
  };
  struct Plugins {
    std::vector<std::string> dirs;  ///< empty: beside the executable
    std::vector<std::string>
        runtime_dirs;  ///< where the runtimes' libraries lie; empty: the usual places
  };
  struct PythonBackend {
    bool enabled = true;
    std::string interpreter;  ///< empty: $LEADSMAN_PYTHON_WORKER, else python3
  };
  struct Backends {
    PythonBackend python;
  };
  enum class Reload { kSignal, kAuto };
  enum class LogFormat { kText, kJson };
  struct Log {
    LogLevel level = LogLevel::kInfo;
    LogFormat format = LogFormat::kText;
  };
  struct Model {
    ModelConfig model;
    MonitorConfig monitoring;
    std::optional<RolloutPlan> rollout;
    bool from_repository = false;  ///< found there, and not configured. Not read from the file.
  };
  struct Plain {
    std::string model;  ///< empty: the only model, when there is one only
    std::string input_field = "input_data";
    std::string output_field = "prediction";
  };

  struct Mlflow {
    std::string model;   ///< empty: the only model
    std::string output;  ///< empty: the first, "*": all
  };
  /// Metrics under the names of another server, so that its dashboards go on working.
  enum class CompatMetrics { kTriton, kTfServing };
  struct Telemetry {
    std::vector<CompatMetrics> compat;
    TracingOptions tracing;
    MetricsOptions metrics;
    bool Has(CompatMetrics of) const {
      return std::find(compat.begin(), compat.end(), of) != compat.end();
    }
  };

  /// Where loggers of model servers send CloudEvents.
  struct CloudEvents {
    std::string address = "127.0.0.1";
    uint16_t port = 8503;
  };

  struct Monitor {
    MonitorOptions options;  ///< its `database` is not read from the file
    std::vector<intake::LogSource> logs;
    std::optional<CloudEvents> cloudevents;             ///< absent: no port
    std::optional<intake::EnvoyOptions> envoy;          ///< absent: Envoy is not listened to
    std::vector<RedactRule> redact;                     ///< in their order
    std::optional<ProfileSenderOptions> send_profiles;  ///< absent: nobody is sent any
    /// How models are monitored that are only seen from outside. Not read from the file.
    std::map<std::string, MonitorConfig> observed;
  };

  static std::vector<RolloutEvent::Kind> AllRolloutEvents() {
    using Kind = RolloutEvent::Kind;
    return {Kind::kStarted, Kind::kStep,     Kind::kHeld,       Kind::kSampleRatio, Kind::kWaiting,
            Kind::kPaused,  Kind::kPromoted, Kind::kRolledBack, Kind::kAborted};
  }
  struct Alarms {
    AlarmOptions options;
    std::string external_url;  ///< of the admin API, as people reach it; empty: where it listens
    std::vector<AlertmanagerOptions> alertmanagers;
    std::vector<WebhookOptions> webhooks;
    std::vector<MailOptions> emails;
    std::vector<RolloutEvent::Kind> rollout_events = AllRolloutEvents();  ///< that are told to them
  };

  /// How `leadsman gateway` is replaced by a new process in place.
  struct HotRestart {
    bool enabled = false;
    std::string socket;                         ///< where both processes meet; empty: in data_dir
    std::chrono::milliseconds timeout{60'000};  ///< for the new process, at each stage
  };

  Server server;
  Admin admin;
  AuthOptions auth;
  std::string data_dir =
      "leadsman-data";  ///< journal.db and monitor.db; empty: in memory, gone with the process
  Plugins plugins;
  Backends backends;
  Log log;
  StorageOptions storage;
  Monitor monitor;
  Alarms alarms;
  LifecycleManager::Options lifecycle;
  Reload config_reload = Reload::kSignal;
  ModelControl::Options repository;
  std::vector<Model> models;
  /// They are a client's (tensorflow.serving.ModelService), until the next reload. Not read from the file.
  bool models_of_client = false;
  Plain plain;
  Mlflow mlflow;
  Telemetry telemetry;
  std::optional<gateway::Options> gateway;  ///< of `leadsman gateway`; absent: there is none
  HotRestart hot_restart;
  /// This process is one, and how its services are rolled out. Not read from the file.
  bool run_gateway = false;
  std::map<std::string, RolloutPlan> gateway_plans;
};

/// The table behind the file, the reference page and the JSON Schema.
const schema::Struct<Config>& ConfigSchema();

/// Checks everything; false when there are problems. Paths stay as they are written. Never reads a
/// file.
bool ParseConfig(std::string_view yaml, Config& config, std::vector<ConfigProblem>& problems);

/// Reads and checks a file; relative paths are made relative to the file's folder. INVALID_ARGUMENT
/// has all problems, one a line, each beginning with file:line:column; NOT_FOUND when there is no
/// such file. Blocks for the file.
Result<Config> LoadConfigFile(const std::string& path);

/// The effective configuration as JSON, readable by ParseConfig.
std::string ConfigToJson(const Config& config);

/// The same as it may be shown: without what may be a secret in a URL, as its query, which may be a signature, and what
/// stands before '@'.
std::string ShownConfigJson(Config config);

/// How each model is monitored: of all models, for a monitor takes those it was not told of with the
/// defaults. Empty when none is to be monitored, or none is named and logs are read.
std::map<std::string, MonitorConfig> MonitoringOf(const Config& config);
/// Whether services are watched from outside, by their logs, through Envoy, or by the profiles of edges.
bool WatchesOthers(const Config& config);
/// Whether anything is watched: a model that is served, or a service from outside.
bool NeedsMonitor(const Config& config);

/// What a running server makes of a changed configuration.
struct ReloadedConfig {
  Config in_force;
  std::vector<std::string> needs_restart;  ///< settings that were changed and stay as they were
  bool gateway_changed = false;            ///< of a process that proxies, the section gateway
  std::vector<std::string> refused;  ///< of it what cannot change, in words: the whole is refused
};
/// Models and their rollout plans are taken over, the log, and of a process that proxies the section gateway; everything else needs a restart. So
/// does the monitoring of a model but for its prediction output, and the first rollout plan when
/// the server runs without any (`has_rollouts`).
ReloadedConfig MergeReloaded(const Config& running, Config next, bool has_monitor,
                             bool has_rollouts);

/// What stays as it was must fit what changes: INVALID_ARGUMENT names the setting, which needs a restart.
Status CheckReloaded(const ReloadedConfig& reloaded);

/// What the command line says on top of a file, or instead of one.
struct ConfigOverrides {
  std::optional<std::string> address;
  std::optional<uint16_t> port;
  std::optional<uint16_t> grpc_port;
  std::optional<std::string> admin_address;
  std::optional<uint16_t> admin_port;
  std::optional<std::string> tls_cert;
  std::optional<std::string> tls_key;
  std::optional<std::string>
      tls_client_ca;  ///< clients' certificates are required then, unless the file says otherwise
  std::optional<std::string> data_dir;
  std::vector<std::string> plugin_dirs;
  std::vector<std::string> runtime_dirs;
  std::optional<std::string> log_level;
  std::optional<std::string> log_format;
  std::optional<std::string> reload_config;
  bool hot_restart = false;
  std::vector<std::string> models;              ///< "NAME=PATH"
  std::optional<std::string> model_repository;  ///< a folder of models
};

/// Puts the flags over `config` and checks the whole again. INVALID_ARGUMENT names the flag.
Status ApplyOverrides(const ConfigOverrides& flags, Config& config);

/// What `leadsman monitor` was asked to watch. All --log share the other flags.
struct LogFlags {
  std::vector<std::string> logs;
  std::string model, format, pattern, integer_latency, time_zone;  ///< empty: not given
  std::vector<std::string> fields;                                 ///< "NAME=WHERE"
  std::vector<std::string> prediction_paths;
  bool from_beginning = false;
  std::optional<std::string> cloudevents_address;
  std::optional<uint16_t> cloudevents_port;
  std::optional<uint16_t> envoy_port;
  bool edges = false;
};
/// Adds the logs, the ports for CloudEvents and Envoy, and edges. INVALID_ARGUMENT names the flag; also when nothing is watched
/// in the end.
Status ApplyLogFlags(const LogFlags& flags, Config& config);

/// A model without a path is served elsewhere: of what is configured of it only its monitoring counts.
void WatchModelsWithoutPath(Config& config);
/// The same configuration for a process that serves nothing and watches logs.
void MakeMonitorOnly(Config& config);
bool IsMonitorOnly(const Config& config);

/// How new versions are rolled out, by model: `gateway_plans` and those of `models`.
std::map<std::string, RolloutPlan> PlansOf(const Config& config);

/// A plan that has come with the start of a model's rollout, as the configuration would have it. INVALID_ARGUMENT names the field
/// ("plan.gates[0].kind"); FAILED_PRECONDITION: this process cannot roll the model out, and why.
Result<RolloutPlan> FitGivenPlan(const Config& config, const std::string& model, RolloutPlan plan);

/// A file that has one rollout plan and nothing else (YAML or JSON), as JSON. INVALID_ARGUMENT names what is wrong with it.
Result<std::string> LoadPlanFile(const std::string& path);

/// The same configuration for a process that proxies, and serves nothing itself. INVALID_ARGUMENT without a section gateway.
Status MakeGateway(Config& config);

/// INVALID_ARGUMENT when there is no model, which is said last: file and flags may both name some.
Status CheckHasModels(const Config& config);

/// docs/reference/configuration.md and docs/reference/configuration.schema.json.
std::string ConfigReferencePage();
std::string ConfigJsonSchema();

}  // namespace leadsman
