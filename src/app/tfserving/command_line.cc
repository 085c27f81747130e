#include "app/tfserving/command_line.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "app/tfserving/config_files.h"
#include "base/cpu.h"
#include "base/strings.h"
#include "lifecycle/config_schema.h"

namespace leadsman::tfserving {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;  // NOLINT: literals

constexpr int64_t kLongestDelay = 10'000'000;
constexpr int64_t kLongestQueue = 1'000'000;

enum class Kind { kText, kInt, kBool, kNumber };
enum class Use {
  kTaken,    ///< ConfigFrom does something with it
  kIgnored,  ///< accepted with a warning; `why` says why that is harmless
  kRefused,  ///< `why` says what to use instead; booleans only when true, others when not empty
};

struct Flag {
  std::string_view name;
  Kind kind;
  Use use;
  std::string_view doc;  ///< for --help; of the other uses: the reason
};

/// All flags of tensorflow_model_server 2.x.
constexpr Flag kFlags[] = {
    {"port", Kind::kInt, Use::kTaken, "Port of the gRPC API [8500]; 0 = none"},
    {"grpc_socket_path", Kind::kText, Use::kTaken, "Path of a Unix socket for the gRPC API"},
    {"rest_api_port", Kind::kInt, Use::kTaken, "Port of the HTTP/REST API [0 = none]"},
    {"rest_api_timeout_in_ms", Kind::kInt, Use::kTaken, "Timeout of a REST call [30000]"},
    {"rest_api_enable_cors_support", Kind::kBool, Use::kTaken, "CORS headers in answers [false]"},
    {"model_name", Kind::kText, Use::kTaken,
     "Name of the model [default]; ignored with --model_config_file"},
    {"model_base_path", Kind::kText, Use::kTaken,
     "Its folder, one sub-folder a version; ignored with --model_config_file"},
    {"model_config_file", Kind::kText, Use::kTaken, "ModelServerConfig in protobuf's text format"},
    {"model_config_file_poll_wait_seconds", Kind::kInt, Use::kTaken,
     "How often that file is looked at again [0 = only at SIGHUP]"},
    {"file_system_poll_wait_seconds", Kind::kInt, Use::kTaken,
     "How often versions are looked for [1]; 0 = once a day"},
    {"allow_version_labels_for_unavailable_models", Kind::kBool, Use::kTaken,
     "A reload may give a new label to a version that is not ready [false]"},
    {"force_allow_any_version_labels_for_unavailable_models", Kind::kBool, Use::kTaken,
     "The same for a label that answers requests already, which then wait for it in vain [false]"},
    {"enable_batching", Kind::kBool, Use::kTaken,
     "Requests of a model are put together into batches [false]"},
    {"batching_parameters_file", Kind::kText, Use::kTaken,
     "BatchingParameters in protobuf's text format; needs --enable_batching"},
    {"enable_per_model_batching_parameters", Kind::kBool, Use::kTaken,
     "A version is batched as the batching_params.pbtxt in its folder says, without one not at all "
     "[false]"},
    {"monitoring_config_file", Kind::kText, Use::kTaken,
     "MonitoringConfig in protobuf's text format"},
    {"ssl_config_file", Kind::kText, Use::kTaken,
     "SSLConfig in protobuf's text format: TLS of the gRPC API"},
    {"saved_model_tags", Kind::kText, Use::kTaken, "Tags of the graph to load [serve]"},
    {"num_load_threads", Kind::kInt, Use::kTaken, "How many versions may load at once [1]"},
    {"max_num_load_retries", Kind::kInt, Use::kTaken, "How often a failed load is tried again [5]"},
    {"load_retry_interval_micros", Kind::kInt, Use::kTaken, "Time between two tries [60000000]"},
    {"tensorflow_session_parallelism", Kind::kInt, Use::kTaken,
     "Threads of one inference [0 = the server's default]"},
    {"tensorflow_intra_op_parallelism", Kind::kInt, Use::kTaken,
     "The same; wins over --tensorflow_session_parallelism"},
    {"tensorflow_inter_op_parallelism", Kind::kInt, Use::kTaken,
     "Operators of one TensorFlow inference that run at once [1]"},
    {"enable_model_warmup", Kind::kBool, Use::kTaken,
     "A version's assets.extra/tf_serving_warmup_requests, or zeros, are sent through it [true]"},
    {"num_request_iterations_for_warmup", Kind::kInt, Use::kTaken,
     "How often each of those requests; only values above 0 count [1]"},
    {"enable_serialization_as_tensor_content", Kind::kBool, Use::kTaken,
     "Predict over gRPC answers numbers in tensor_content [false]"},
    {"tensorflow_session_config_file", Kind::kText, Use::kTaken,
     "ConfigProto in protobuf's text format: its numbers of threads, where no flag says them"},
    {"platform_config_file", Kind::kText, Use::kTaken,
     "PlatformConfigMap in protobuf's text format: the batching, threads and tags of the platform "
     "tensorflow"},
    {"grpc_channel_arguments", Kind::kText, Use::kTaken,
     "name=value,…: grpc.max_connection_age_ms, grpc.max_connection_age_grace_ms, "
     "grpc.max_concurrent_streams, grpc.max_receive_message_length; others do nothing"},
    {"version", Kind::kBool, Use::kTaken, "Print the version and end"},

    {"rest_api_num_threads", Kind::kInt, Use::kIgnored,
     "requests do not hold a thread here; one I/O thread a core serves them all"},
    {"grpc_max_threads", Kind::kInt, Use::kIgnored,
     "calls do not hold a thread here; one I/O thread a core serves them all"},
    {"num_unload_threads", Kind::kInt, Use::kIgnored,
     "unloading never runs on a request's thread here"},
    {"flush_filesystem_caches", Kind::kBool, Use::kIgnored,
     "the kernel's page cache is left alone"},
    {"per_process_gpu_memory_fraction", Kind::kNumber, Use::kIgnored, "models run on CPUs here"},
    {"remove_unused_fields_from_bundle_metagraph", Kind::kBool, Use::kIgnored,
     "a loaded model keeps no such fields here"},
    {"enable_signature_method_name_check", Kind::kBool, Use::kIgnored,
     "classify and regress take signatures made for predict, too, which is what switching it off "
     "asks for"},
    {"xla_cpu_compilation_enabled", Kind::kBool, Use::kIgnored, "TensorFlow decides by itself"},
    {"xla_gpu_compilation_enabled", Kind::kBool, Use::kIgnored, "models run on CPUs here"},
    {"enable_grpc_healthcheck_service", Kind::kBool, Use::kIgnored,
     "the gRPC port always has the health service"},
    {"enable_profiler", Kind::kBool, Use::kIgnored, "there is no TensorFlow profiler service here"},
    {"skip_initialize_tpu", Kind::kBool, Use::kIgnored, "models run on CPUs here"},
    {"thread_pool_factory_config_file", Kind::kText, Use::kIgnored,
     "thread pools are not made from a file; --tensorflow_intra_op_parallelism and "
     "--tensorflow_inter_op_parallelism say how many threads a request has"},
    {"mixed_precision", Kind::kText, Use::kIgnored,
     "models run in the precision that they were exported with, which is exact and may be slower"},
    {"prefer_tflite_model", Kind::kBool, Use::kIgnored,
     "no TensorFlow Lite models are served: saved_model.pb is, as where there is no model.tflite"},
    {"num_tflite_pools", Kind::kInt, Use::kIgnored, "no TensorFlow Lite models are served"},
    {"num_tflite_interpreters_per_pool", Kind::kInt, Use::kIgnored,
     "no TensorFlow Lite models are served"},

    {"use_alts_credentials", Kind::kBool, Use::kRefused,
     "ALTS works inside Google's cloud only and is not supported, and without it calls would come "
     "in "
     "the clear; use --ssl_config_file"},
    {"use_tflite_model", Kind::kBool, Use::kRefused,
     "it has model.tflite served and nothing else, and no TensorFlow Lite models are served; leave "
     "it out and saved_model.pb is served"},
};

/// Leadsman's own flags that may stand beside those.
constexpr std::string_view kOwnFlags[] = {
    "address",   "admin-address", "admin-port", "data-dir", "plugin-dir",   "runtime-dir",
    "log-level", "log-format",    "tls-cert",   "tls-key",  "tls-client-ca"};

const Flag* FindFlag(std::string_view name) {
  for (const Flag& flag : kFlags) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

bool IsOwnFlag(std::string_view name) {
  return std::find(std::begin(kOwnFlags), std::end(kOwnFlags), name) != std::end(kOwnFlags);
}

std::optional<bool> ParseBool(std::string_view text) {
  if (EqualsIgnoreCase(text, "true") || text == "1") return true;
  if (EqualsIgnoreCase(text, "false") || text == "0") return false;
  return std::nullopt;
}

Status CheckValue(const Flag& flag, std::string& value) {
  auto wrong = [&](std::string_view expected) {
    return InvalidArgumentError(
        StrCat("--", flag.name, ": must be ", expected, ", not \"", value, "\""));
  };
  switch (flag.kind) {
    case Kind::kText:
      break;
    case Kind::kInt:
      if (!ParseInt64(value)) return wrong("a whole number");
      break;
    case Kind::kNumber:
      if (!ParseDouble(value)) return wrong("a number");
      break;
    case Kind::kBool: {
      std::optional<bool> parsed = ParseBool(value);
      if (!parsed) return wrong("true or false");
      value = *parsed ? "true" : "false";
      break;
    }
  }
  bool asked_for = flag.kind == Kind::kBool ? value == "true" : !value.empty();
  if (flag.use == Use::kRefused && asked_for)
    return InvalidArgumentError(StrCat("--", flag.name, ": ", flag.doc));
  return OkStatus();
}

Status UnknownFlag(std::string_view name) {
  std::vector<std::string> known;
  for (const Flag& flag : kFlags) known.emplace_back(flag.name);
  for (std::string_view own : kOwnFlags) known.emplace_back(own);
  auto near = DidYouMean(name, known);
  return InvalidArgumentError(
      StrCat("unknown argument: --", name.substr(0, 64),
             near ? StrCat("; did you mean --", *near, "?") : "; --help lists them"));
}

Status SetOwnFlag(std::string_view name, const std::string& value, ConfigOverrides& overrides) {
  if (name == "address") overrides.address = value;
  if (name == "admin-address") overrides.admin_address = value;
  if (name == "data-dir") overrides.data_dir = value;
  if (name == "plugin-dir") overrides.plugin_dirs.push_back(value);
  if (name == "runtime-dir") overrides.runtime_dirs.push_back(value);
  if (name == "log-level") overrides.log_level = value;
  if (name == "log-format") overrides.log_format = value;
  if (name == "tls-cert") overrides.tls_cert = value;
  if (name == "tls-key") overrides.tls_key = value;
  if (name == "tls-client-ca") overrides.tls_client_ca = value;
  if (name == "admin-port") {
    std::optional<int64_t> port = ParseInt64(value);
    if (!port || *port < 0 || *port > 65535)
      return InvalidArgumentError(
          StrCat("--admin-port: must be a port from 0 to 65535, not ", value));
    overrides.admin_port = static_cast<uint16_t>(*port);
  }
  return OkStatus();
}

/// The values, asked for by name.
class Values {
 public:
  explicit Values(const CommandLine& command) : values_(command.values) {}

  std::string Text(const std::string& name, std::string fallback = "") const {
    auto it = values_.find(name);
    return it == values_.end() ? fallback : it->second;
  }
  bool Bool(const std::string& name, bool fallback) const {
    auto it = values_.find(name);
    return it == values_.end() ? fallback : it->second == "true";
  }
  /// INVALID_ARGUMENT when it is out of range.
  Result<int64_t> Int(const std::string& name, int64_t fallback, int64_t min, int64_t max) const {
    auto it = values_.find(name);
    if (it == values_.end()) return fallback;
    std::optional<int64_t> value = ParseInt64(it->second);
    if (value && *value >= min && *value <= max) return *value;
    return InvalidArgumentError(
        StrCat("--", name, ": must be from ", min, " to ", max, ", not ", it->second));
  }

 private:
  const std::map<std::string, std::string>& values_;
};

/// In a version's folder.
constexpr const char* kBatchingFile = "batching_params.pbtxt";

void SetBatching(const BatchingParameters& from, ModelConfig& model) {
  BatchingConfig& batching = model.batching.emplace();
  // Only what is split is executed in other sizes than it comes in.
  const bool split = from.enable_large_batch_splitting;
  const int64_t rows =
      split ? from.max_execution_batch_size.value_or(from.max_batch_size) : from.max_batch_size;
  batching.max_batch_size = static_cast<uint32_t>(rows);
  batching.max_delay =
      std::chrono::microseconds(std::min(from.batch_timeout_micros, kLongestDelay));
  for (int64_t size : from.allowed_batch_sizes)
    batching.allowed_batch_sizes.push_back(static_cast<uint32_t>(size));
  if (from.pad_variable_length_inputs) {
    batching.pad_ragged = 0.0;
    batching.pad_with = BatchingConfig::PadWith::kFirstValue;
  }
  batching.large_requests =
      split ? BatchingConfig::LargeRequests::kSplit : BatchingConfig::LargeRequests::kReject;
  // A queue of so many batches, each of one row at least.
  batching.queue.max_size = static_cast<size_t>(
      std::min<int64_t>(from.max_enqueued_batches, kLongestQueue / from.max_batch_size + 1) *
      from.max_batch_size);
  batching.queue.max_size = std::min<size_t>(batching.queue.max_size, kLongestQueue);
  model.instances =
      static_cast<int>(std::min<int64_t>(from.num_batch_threads.value_or(AvailableCores()), 256));
}

/// Those of the flags; nothing when they do not ask for batching.
Result<std::optional<BatchingParameters>> BatchingOf(const Values& values) {
  std::string file = values.Text("batching_parameters_file");
  if (!values.Bool("enable_batching", false)) {
    // TensorFlow Serving does not start then, either.
    if (file.empty()) return std::optional<BatchingParameters>();
    return InvalidArgumentError("--batching_parameters_file needs --enable_batching");
  }
  if (file.empty()) return std::optional(BatchingParameters());
  Result<BatchingParameters> read = LoadBatchingParametersFile(file);
  if (!read.ok()) return Annotate(read.status(), "--batching_parameters_file");
  return std::optional(std::move(read).value());
}

/// 0 = the model config file is read at SIGHUP only.
int64_t PollSeconds(const Values& values) {
  return values.Int("model_config_file_poll_wait_seconds", 0, 0, 86'400).value_or(0);
}

/// What --platform_config_file says, or --tensorflow_session_config_file. `warnings` may be null.
Result<PlatformConfig> PlatformOf(const Values& values, std::vector<std::string>* warnings) {
  PlatformConfig platform;
  const char* flag = "--platform_config_file";
  const std::string file = values.Text("platform_config_file");
  const std::string session = values.Text("tensorflow_session_config_file");
  if (!file.empty()) {
    Result<PlatformConfig> read = LoadPlatformConfigFile(file);
    if (!read.ok()) return Annotate(read.status(), flag);
    platform = std::move(read).value();
  } else if (!session.empty()) {
    flag = "--tensorflow_session_config_file";
    Result<SessionConfig> read = LoadSessionConfigFile(session);
    if (!read.ok()) return Annotate(read.status(), flag);
    platform.session = std::move(read).value();
  }
  if (warnings != nullptr && !platform.session.without_effect.empty()) {
    warnings->push_back(StrCat(flag,
                               ": without effect: ", HumanList(platform.session.without_effect),
                               "; models run on CPUs and as they were exported, and of a session's "
                               "settings the numbers of threads are taken"));
  }
  return platform;
}

/// What each model starts from, before its own file or flags say more.
Status SetModelDefaults(const Values& values, ModelConfig& model,
                        std::vector<std::string>* warnings) {
  ASSIGN_OR_RETURN(PlatformConfig platform, PlatformOf(values, warnings));
  ASSIGN_OR_RETURN(int64_t retries, values.Int("max_num_load_retries", 5, 0, 1000));
  model.load_retries = static_cast<int>(retries);
  // A negative interval is TensorFlow Serving's way to say: at once.
  ASSIGN_OR_RETURN(int64_t micros,
                   values.Int("load_retry_interval_micros", 60'000'000, INT64_MIN, 3'600'000'000));
  model.load_retry_delay = milliseconds(std::max<int64_t>(0, (micros + 999) / 1000));
  ASSIGN_OR_RETURN(int64_t session, values.Int("tensorflow_session_parallelism", 0, 0, 1024));
  ASSIGN_OR_RETURN(int64_t intra, values.Int("tensorflow_intra_op_parallelism", session, 0, 1024));
  if (intra == 0) intra = platform.session.intra_op_threads;
  if (intra > 0) model.intra_op_threads = static_cast<int>(intra);
  ASSIGN_OR_RETURN(int64_t warmups,
                   values.Int("num_request_iterations_for_warmup", 0, INT32_MIN, 10'000));
  if (warmups > 0) model.warmup_repeats = static_cast<int>(warmups);
  // Only what differs from the default: another runtime would refuse TensorFlow's settings.
  std::string tags =
      platform.tags.empty() ? values.Text("saved_model_tags", "serve") : Join(platform.tags, ",");
  if (tags != "serve") model.runtime_options["tags"] = std::move(tags);
  ASSIGN_OR_RETURN(int64_t inter, values.Int("tensorflow_inter_op_parallelism", 0, 0, 1024));
  if (inter == 0) inter = platform.session.inter_op_threads;
  if (inter > 0) model.runtime_options["inter_op_threads"] = std::to_string(inter);
  ASSIGN_OR_RETURN(std::optional<BatchingParameters> batching, BatchingOf(values));
  // As for TensorFlow Serving, whoever gives the file has said there what the flags would.
  bool per_model = values.Bool("enable_per_model_batching_parameters", false);
  if (platform.batching) {
    batching = platform.batching;
    per_model = platform.per_model_batching;
  }
  if (batching) SetBatching(*batching, model);
  model.batching_from_files = batching && per_model;
  if (!values.Bool("enable_model_warmup", true)) model.warmup_requests = model.warmup_repeats = 0;
  return OkStatus();
}

/// `warnings` may be null.
Result<Config::Model> InitialModelOf(const Values& values, std::vector<std::string>* warnings) {
  Config::Model initial;
  // TensorFlow Serving loads what appears at once; a moment is left for copies to end.
  initial.model.settle_time = 1s;
  RETURN_IF_ERROR(SetModelDefaults(values, initial.model, warnings));
  return initial;
}

Status SetModels(const Values& values, Config& config, std::vector<std::string>& warnings) {
  ASSIGN_OR_RETURN(Config::Model initial, InitialModelOf(values, &warnings));
  std::string file = values.Text("model_config_file");
  RETURN_IF_ERROR(values.Int("model_config_file_poll_wait_seconds", 0, 0, 86'400).status());
  if (!file.empty()) {
    Result<std::vector<Config::Model>> models = LoadModelConfigFile(file, initial);
    if (!models.ok()) return Annotate(models.status(), "--model_config_file");
    config.models = std::move(models).value();
    return OkStatus();
  }
  std::string path = values.Text("model_base_path");
  if (path.empty()) {
    return InvalidArgumentError(
        "nothing to serve: give --model_base_path, the folder with one sub-folder a version, or "
        "--model_config_file");
  }
  initial.model.name = values.Text("model_name", "default");
  std::string wrong = CheckModelName(initial.model.name);
  if (!wrong.empty()) {
    return InvalidArgumentError(
        StrCat("--model_name: ", initial.model.name, initial.model.name.empty() ? "" : " ", wrong));
  }
  initial.model.path = std::move(path);
  config.models = {std::move(initial)};
  return OkStatus();
}

/// Of gRPC's channel arguments those that this server has, too, with gRPC's meaning: of times and numbers the largest integer is
/// none. The gRPC library passes over others, and so does this, but says so.
Status SetGrpcArguments(const Values& values, Config::Limits& limits,
                        std::vector<std::string>& warnings) {
  const std::string text = values.Text("grpc_channel_arguments");
  auto or_never = [](int64_t ms) { return milliseconds(ms == INT32_MAX ? 0 : ms); };
  std::vector<std::string> others;
  for (std::string_view argument : Split(text, ',')) {
    if (Trim(argument).empty()) continue;
    const size_t equals = argument.find('=');
    if (equals == std::string_view::npos) {
      return InvalidArgumentError(StrCat("--grpc_channel_arguments: must be name=value,…, not \"",
                                         argument.substr(0, 64), "\""));
    }
    const std::string_view name = Trim(argument.substr(0, equals));
    const std::string_view value = Trim(argument.substr(equals + 1));
    const int64_t number = ParseInt64(value).value_or(0);
    const bool counts = number >= 1 && number <= INT32_MAX;
    if (name == "grpc.max_receive_message_length" && (counts || number == -1)) {
      limits.max_message =
          static_cast<size_t>(number == -1 ? INT32_MAX : std::max<int64_t>(number, 1024));
    } else if (name == "grpc.max_connection_age_ms" && counts) {
      limits.max_connection_age = or_never(number);
    } else if (name == "grpc.max_connection_age_grace_ms" && counts) {
      limits.max_connection_age_grace = or_never(number);
    } else if (name == "grpc.max_concurrent_streams" && counts) {
      limits.max_streams = static_cast<uint32_t>(std::min<int64_t>(number, 1'000'000));
    } else {
      others.push_back(StrCat(name.substr(0, 64), "=", value.substr(0, 64)));
    }
  }
  if (!others.empty()) {
    warnings.push_back(StrCat("--grpc_channel_arguments: without effect: ", HumanList(others),
                              "; of gRPC's arguments this server has grpc.max_connection_age_ms, "
                              "grpc.max_connection_age_grace_ms, grpc.max_concurrent_streams and "
                              "grpc.max_receive_message_length, each a number from 1 on"));
  }
  return OkStatus();
}

Status SetServer(const Values& values, Config& config) {
  ASSIGN_OR_RETURN(int64_t rest_port, values.Int("rest_api_port", 0, 0, 65535));
  config.server.http = rest_port != 0;
  if (rest_port != 0) config.server.port = static_cast<uint16_t>(rest_port);
  ASSIGN_OR_RETURN(int64_t grpc_port, values.Int("port", 8500, 0, 65535));
  config.server.grpc = grpc_port != 0;
  if (grpc_port != 0) config.server.grpc_port = static_cast<uint16_t>(grpc_port);
  config.server.grpc_socket = values.Text("grpc_socket_path");
  if (!config.server.http && !config.server.grpc && config.server.grpc_socket.empty()) {
    return InvalidArgumentError(
        "--port and --rest_api_port are both 0: nothing would be served; give "
        "--rest_api_port=8501");
  }
  if (rest_port == grpc_port && rest_port != 0) {
    return InvalidArgumentError(StrCat("--rest_api_port cannot be same as --port (", grpc_port,
                                       "): give the REST API another, as --rest_api_port=8501"));
  }
  config.server.cors = values.Bool("rest_api_enable_cors_support", false);
  std::string monitoring = values.Text("monitoring_config_file");
  if (!monitoring.empty()) {
    auto path = LoadMonitoringConfigFile(monitoring);
    if (!path.ok()) return Annotate(path.status(), "--monitoring_config_file");
    config.server.metrics_path = path->value_or("");
    if (path->has_value()) config.telemetry.compat = {Config::CompatMetrics::kTfServing};
  }
  config.server.predict_tensor_content =
      values.Bool("enable_serialization_as_tensor_content", false);
  config.server.grpc_ssl_config_file = values.Text("ssl_config_file");
  if (!config.server.grpc_ssl_config_file.empty()) {
    net::TlsBundle ssl = SslConfigFile(config.server.grpc_ssl_config_file);
    RETURN_IF_ERROR(Annotate(ssl.read(ssl.file).status(), "--ssl_config_file"));
  }
  ASSIGN_OR_RETURN(int64_t timeout, values.Int("rest_api_timeout_in_ms", 30'000, 1, 86'400'000));
  config.server.request_timeout = milliseconds(timeout);
  ASSIGN_OR_RETURN(int64_t poll, values.Int("file_system_poll_wait_seconds", 1, 0, 86'400));
  config.lifecycle.poll_interval = poll == 0 ? 24h : milliseconds(poll * 1000);
  ASSIGN_OR_RETURN(int64_t load_threads, values.Int("num_load_threads", 0, 0, 64));
  config.lifecycle.load_threads = std::max(1, static_cast<int>(load_threads));
  return OkStatus();
}

}  // namespace

bool IsTensorFlowServingFlag(std::string_view word) {
  if (!word.starts_with("--")) return false;
  std::string_view name = word.substr(
      2, word.find('=') == std::string_view::npos ? std::string_view::npos : word.find('=') - 2);
  return name.find('_') != std::string_view::npos && FindFlag(name) != nullptr;
}

std::vector<std::string> EntrypointArguments(
    const std::vector<std::string>& args,
    const std::function<std::string(const std::string& name)>& getenv) {
  auto or_default = [&](const std::string& name, std::string fallback) {
    std::string value = getenv(name);
    return value.empty() ? fallback : value;
  };
  std::string model = or_default("MODEL_NAME", "model");
  std::vector<std::string> all = {
      "--port=8500", "--rest_api_port=8501", StrCat("--model_name=", model),
      StrCat("--model_base_path=", or_default("MODEL_BASE_PATH", "/models"), "/", model)};
  all.insert(all.end(), args.begin(), args.end());
  return all;
}

Result<std::shared_ptr<const ModelConfig>> WithBatchingOfVersion(
    std::shared_ptr<const ModelConfig> model, const std::string& directory) {
  if (!model->batching_from_files) return model;
  Result<BatchingParameters> own = LoadBatchingParametersFile(JoinPath(directory, kBatchingFile));
  const bool none = own.status().code() == StatusCode::kNotFound;
  if (!own.ok() && !none) return Annotate(own.status(), kBatchingFile);
  auto with = std::make_shared<ModelConfig>(*model);
  with->batching.reset();
  if (none) {
    with->instances = 0;
  } else {
    SetBatching(*own, *with);
    with->instances = model->instances;  // its threads are those of all models
  }
  return std::shared_ptr<const ModelConfig>(std::move(with));
}

Result<CommandLine> ParseCommandLine(const std::vector<std::string>& args) {
  CommandLine command;
  for (size_t i = 0; i < args.size(); ++i) {
    std::string_view word = args[i];
    if (word == "-h" || word == "--help" || word == "-help") {
      command.help = true;
      continue;
    }
    if (word == "--check-config") {
      command.check_config = true;
      continue;
    }
    if (!word.starts_with("--")) {
      return InvalidArgumentError(
          StrCat("unknown argument: ", word.substr(0, 64), "; flags begin with --"));
    }
    size_t equals = word.find('=');
    std::string_view name = word.substr(2, equals == std::string_view::npos ? equals : equals - 2);
    const Flag* flag = FindFlag(name);
    if (flag == nullptr && !IsOwnFlag(name)) return UnknownFlag(name);
    std::string value;
    if (equals != std::string_view::npos) {
      value = word.substr(equals + 1);
    } else if (flag != nullptr && flag->kind == Kind::kBool) {
      // "--enable_batching" alone is true; a word behind it is its value only when it is one.
      bool next = i + 1 < args.size() && ParseBool(args[i + 1]);
      value = next ? args[++i] : "true";
    } else if (i + 1 < args.size() && !args[i + 1].starts_with("--")) {
      value = args[++i];
    } else {
      return InvalidArgumentError(StrCat("--", name, ": needs a value, as --", name, "=…"));
    }
    if (flag == nullptr) {
      RETURN_IF_ERROR(SetOwnFlag(name, value, command.overrides));
      continue;
    }
    RETURN_IF_ERROR(CheckValue(*flag, value));
    command.values[std::string(name)] = std::move(value);
  }
  command.version = Values(command).Bool("version", false);
  return command;
}

Result<Config> ConfigFrom(const CommandLine& command, std::vector<std::string>& warnings) {
  Values values(command);
  Config config = ConfigSchema().initial();
  config.config_reload = PollSeconds(values) > 0 ? Config::Reload::kAuto : Config::Reload::kSignal;
  // A container's root is often read-only, and this program has never written anything.
  config.data_dir.clear();
  RETURN_IF_ERROR(SetServer(values, config));
  RETURN_IF_ERROR(SetGrpcArguments(values, config.server.limits, warnings));
  RETURN_IF_ERROR(SetModels(values, config, warnings));
  for (const Flag& flag : kFlags) {
    auto given = command.values.find(std::string(flag.name));
    if (flag.use != Use::kIgnored || given == command.values.end()) continue;
    warnings.push_back(StrCat("--", flag.name, "=", given->second, " does nothing: ", flag.doc));
  }
  Status status = ApplyOverrides(command.overrides, config);
  if (!status.ok()) {
    return Annotate(std::move(status),
                    "server.port is --rest_api_port, server.grpc_port is --port");
  }
  RETURN_IF_ERROR(CheckHasModels(config));
  return config;
}

ReloadOptions ReloadOptionsOf(const CommandLine& command) {
  Values values(command);
  ReloadOptions options;
  options.labels_may_wait =
      values.Bool("force_allow_any_version_labels_for_unavailable_models", false)
          ? LabelsMayWait::kAny
      : values.Bool("allow_version_labels_for_unavailable_models", false) ? LabelsMayWait::kNew
                                                                          : LabelsMayWait::kNone;
  options.look_every = std::chrono::seconds(std::max<int64_t>(1, PollSeconds(values)));
  Result<Config::Model> initial = InitialModelOf(values, nullptr);
  if (initial.ok()) {
    options.initial_model = [initial = *initial](const std::string&) { return initial; };
  }
  return options;
}

std::string WatchedFileOf(const CommandLine& command) {
  Values values(command);
  return PollSeconds(values) > 0 ? values.Text("model_config_file") : "";
}

std::string HelpText() {
  constexpr size_t kColumn = 46;
  std::string out =
      "Usage: tensorflow_model_server [FLAGS]\n"
      "       leadsman tensorflow_model_server [FLAGS]\n\n"
      "Leadsman, with the command line of TensorFlow Serving's model server. --flag=value and\n"
      "--flag value are the same.\n\n";
  auto list = [&](Use use) {
    for (const Flag& flag : kFlags) {
      if (flag.use != use) continue;
      std::string line = StrCat("  --", flag.name);
      line += line.size() < kColumn ? std::string(kColumn - line.size(), ' ') : "  ";
      out += StrCat(line, flag.doc, "\n");
    }
  };
  list(Use::kTaken);
  out += "\nAccepted, with a warning that they do nothing:\n";
  list(Use::kIgnored);
  out += "\nRefused, with what to use instead:\n";
  list(Use::kRefused);
  out += "\nLeadsman's own:\n ";
  for (std::string_view own : kOwnFlags) out += StrCat(" --", own);
  out += "  --check-config\n  (leadsman serve --help explains them)\n";
  return out;
}

}  // namespace leadsman::tfserving
