#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "net/http_client.h"

namespace leadsman::cli {

/// What `leadsman serve` was asked for. The program (src/main.cc) turns it into a configuration.
struct ServeFlags {
  std::string config;  ///< file; empty: flags only
  bool check_config = false;
  bool explain_privacy = false;     ///< instead of serving
  bool json = false;                ///< of what is explained
  std::vector<std::string> models;  ///< "NAME=PATH"
  std::optional<std::string> model_repository;
  std::optional<std::string> address;
  std::optional<uint16_t> port;
  std::optional<uint16_t> grpc_port;
  std::optional<std::string> admin_address;
  std::optional<uint16_t> admin_port;
  std::optional<std::string> tls_cert;
  std::optional<std::string> tls_key;
  std::optional<std::string> tls_client_ca;
  std::optional<std::string> data_dir;
  std::vector<std::string> plugin_dirs;
  std::vector<std::string> runtime_dirs;
  std::optional<std::string> log_level;
  std::optional<std::string> log_format;
  std::optional<std::string> reload_config;
};

/// What `leadsman monitor` was asked for.
struct MonitorFlags {
  std::string config;
  bool check_config = false;
  bool explain_privacy = false;  ///< instead of watching
  bool json = false;             ///< of what is explained
  std::vector<std::string> logs;
  std::string model, format, pattern, integer_latency, time_zone;
  std::vector<std::string> fields;  ///< "NAME=WHERE"
  std::vector<std::string> prediction_paths;
  bool from_beginning = false;
  std::optional<std::string> cloudevents_address;
  std::optional<uint16_t> cloudevents_port;
  std::optional<uint16_t> envoy_port;
  bool edges = false;
  std::optional<std::string> admin_address;
  std::optional<uint16_t> admin_port;
  std::optional<std::string> data_dir;
  std::optional<std::string> log_level;
  std::optional<std::string> log_format;
};

/// What `leadsman gateway` was asked for.
struct GatewayFlags {
  std::string config;
  bool check_config = false;
  bool explain_privacy = false;  ///< instead of proxying
  bool json = false;             ///< of what is explained
  std::optional<std::string> admin_address;
  std::optional<uint16_t> admin_port;
  std::optional<std::string> data_dir;
  std::optional<std::string> log_level;
  std::optional<std::string> log_format;
  bool hot_restart = false;
};

/// What `leadsman prove-quiet` was asked for, beside what the logs are.
struct QuietFlags {
  MonitorFlags logs;
  std::string table;
  std::optional<double> requests_per_day;
  std::string time_column, answer_column, label_column;
  std::optional<double> tolerance, share_tolerance;
  std::optional<size_t> reference_requests;
  std::optional<double> false_alarms;
  std::string period;
};

/// What the commands need of the rooms beside this one.
struct AppHooks {
  std::string version;
  /// Runs the server; returns the exit code. With `check_config` or `explain_privacy` it must not start anything.
  std::function<int(const ServeFlags&)> serve;
  /// Watches logs; returns the exit code.
  std::function<int(const MonitorFlags&)> monitor;
  /// Proxies; returns the exit code. With `check_config` it must not start anything.
  std::function<int(const GatewayFlags&)> gateway;
  /// `leadsman monitor --once`: what the logs tell up to their end, as JSON.
  std::function<Result<std::string>(const MonitorFlags&)> monitor_once;
  /// `leadsman prove-quiet`: a replay of the past, as JSON.
  std::function<Result<std::string>(const QuietFlags&)> prove_quiet;
  /// The same as serve with the command line of tensorflow_model_server (without the program's name); empty:
  /// that is not known. `entrypoint`: as the entry point of TensorFlow Serving's image, which gets
  /// the model from its environment.
  std::function<int(const std::vector<std::string>& args, bool entrypoint)> tensorflow_model_server;
  /// Whether a word is a flag of that program that `serve` itself does not have.
  std::function<bool(std::string_view word)> is_tensorflow_flag;
  /// Reads and checks a configuration file; the message has one problem a line.
  std::function<Status(const std::string& file)> check_config;
  std::function<std::string(bool json_schema)> config_reference;
  std::function<std::string()> metrics_reference;
  /// The schema of a table of data, in the form of its file: YAML, or JSON.
  std::function<Result<std::string>(const std::string& file, double margin, bool json)>
      schema_infer;
  /// What rows of a table do not keep of a schema, and what differs in two, as JSON.
  std::function<Result<std::string>(const std::string& file, const std::string& schema)>
      schema_check;
  std::function<Result<std::string>(const std::string& before, const std::string& after)>
      schema_diff;
  std::function<std::string(bool json_schema)> schema_reference;
  /// `leadsman rollout replay`: a record's text computed again, perhaps with another alpha or beta, as JSON.
  std::function<Result<std::string>(std::string_view record, std::optional<double> alpha,
                                    std::optional<double> beta)>
      replay_rollout;
  /// `leadsman rollout plan`: what a plan does in a traffic, both as JSON.
  std::function<Result<std::string>(std::string_view question)> forecast_rollout;
  /// The rollout plan that a model has in a configuration file, as JSON.
  std::function<Result<std::string>(const std::string& file, const std::string& model)>
      plan_of_config;
  /// The rollout plan that is all of a file, as JSON.
  std::function<Result<std::string>(const std::string& file)> plan_of_file;
  /// What would be served of a folder, as text, without serving it; empty: not known.
  std::function<Result<std::string>(const std::string& folder)> inspect;
};

/// The world around the commands; tests pass their own.
struct Environment {
  std::ostream& out;
  std::ostream& err;
  std::istream& in;
  bool terminal = false;  ///< whether `out` is one
  int columns = 100;      ///< of the terminal
  std::function<std::string(const std::string& name)> getenv;
  std::function<std::unique_ptr<net::HttpClient>(std::shared_ptr<const net::TlsClient>)>
      make_client;
  /// Waits between two looks; false when the user has had enough (Ctrl-C).
  std::function<bool(std::chrono::milliseconds)> wait;
};

/// Exit codes of all commands; in --help too.
enum ExitCode : int {
  kOk = 0,
  kFailed = 1,
  kUsage = 2,
  kUnreachable = 3,
  kNotFound = 4,
  kRolledBack = 10,  ///< rollout watch
  kAborted = 11,
  kHeld = 12,
  kNotQuiet = 13,  ///< prove-quiet
  kDiffers = 14,   ///< rollout replay
};

/// Parses the command line, carries the command out, returns the exit code. Not thread-safe; blocks as long as the
/// command takes.
int Main(int argc, const char* const* argv, const AppHooks& hooks, Environment& environment);

}  // namespace leadsman::cli
