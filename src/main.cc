#include "cli/main.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "app/config.h"
#include "app/gate_check.h"
#include "app/log_report.h"
#include "app/model_repository.h"
#include "app/named_files.h"
#include "app/privacy_report.h"
#include "app/quiet_report.h"
#include "app/server.h"
#include "app/tfserving/command_line.h"
#include "app/version.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/schema.h"
#include "base/strings.h"
#include "monitor/schema/data_schema.h"
#include "monitor/schema/schema_reports.h"
#include "rollout/config_schema.h"
#include "rollout/forecast.h"
#include "rollout/record.h"
#include "storage/detect.h"
#include "storage/file_source.h"
#include "storage/manifest.h"

namespace leadsman {
namespace {

ConfigOverrides OverridesOf(const cli::ServeFlags& flags) {
  ConfigOverrides overrides;
  overrides.address = flags.address;
  overrides.port = flags.port;
  overrides.grpc_port = flags.grpc_port;
  overrides.admin_address = flags.admin_address;
  overrides.admin_port = flags.admin_port;
  overrides.tls_cert = flags.tls_cert;
  overrides.tls_key = flags.tls_key;
  overrides.tls_client_ca = flags.tls_client_ca;
  overrides.data_dir = flags.data_dir;
  overrides.plugin_dirs = flags.plugin_dirs;
  overrides.runtime_dirs = flags.runtime_dirs;
  overrides.log_level = flags.log_level;
  overrides.log_format = flags.log_format;
  overrides.reload_config = flags.reload_config;
  overrides.models = flags.models;
  overrides.model_repository = flags.model_repository;
  return overrides;
}

Result<Config> FileOrDefaults(const std::string& path) {
  if (path.empty()) return ConfigSchema().initial();
  return LoadConfigFile(path);
}

/// The file, then the flags over it; once at the start and again at every reload.
Result<Config> LoadConfig(const cli::ServeFlags& flags) {
  ASSIGN_OR_RETURN(Config config, FileOrDefaults(flags.config));
  RETURN_IF_ERROR(ApplyOverrides(OverridesOf(flags), config));
  RETURN_IF_ERROR(AddRepositoryModels(config));
  WatchModelsWithoutPath(config);
  RETURN_IF_ERROR(CheckHasModels(config));
  return config;
}

/// The file, then the flags over it, of a process that watches logs and serves nothing.
Result<Config> LoadMonitorConfig(const cli::MonitorFlags& flags) {
  ASSIGN_OR_RETURN(Config config, FileOrDefaults(flags.config));
  MakeMonitorOnly(config);
  ConfigOverrides overrides;
  overrides.admin_address = flags.admin_address;
  overrides.admin_port = flags.admin_port;
  overrides.data_dir = flags.data_dir;
  overrides.log_level = flags.log_level;
  overrides.log_format = flags.log_format;
  RETURN_IF_ERROR(ApplyOverrides(overrides, config));
  LogFlags logs;
  logs.logs = flags.logs;
  logs.model = flags.model;
  logs.format = flags.format;
  logs.pattern = flags.pattern;
  logs.integer_latency = flags.integer_latency;
  logs.time_zone = flags.time_zone;
  logs.fields = flags.fields;
  logs.prediction_paths = flags.prediction_paths;
  logs.from_beginning = flags.from_beginning;
  logs.cloudevents_address = flags.cloudevents_address;
  logs.cloudevents_port = flags.cloudevents_port;
  logs.envoy_port = flags.envoy_port;
  logs.edges = flags.edges;
  RETURN_IF_ERROR(ApplyLogFlags(logs, config));
  return config;
}

int ExplainPrivacy(const Config& config, bool json) {
  const std::string report = PrivacyReportJson(config);
  std::cout << (json ? schema::PrettyJson(report) + "\n" : PrivacyReportText(report));
  return cli::kOk;
}

/// That gates which ask a Prometheus ask for something. One that is away is said to be, and is no reason to refuse.
Status CheckGates(const Config& config) {
  const std::atomic<bool> cancelled{false};
  const GateCheck gates = CheckPromqlGates(PlansOf(config), {}, cancelled);
  for (const std::string& warning : gates.warnings) std::cerr << "warning: " << warning << '\n';
  return gates.status();
}

/// Of a command that is told to check it, or whose configuration is wrong: its exit code. Nothing when it may begin.
std::optional<int> CheckConfig(const Result<Config>& config, bool check_only) {
  Status checked = config.ok() ? OkStatus() : config.status();
  if (checked.ok() && check_only) checked = CheckModels(*config, PluginFormatsOf(*config));
  if (checked.ok() && check_only) checked = CheckNamedFiles(*config);
  if (checked.ok() && check_only) checked = CheckGates(*config);
  if (!checked.ok()) {
    std::cerr << checked.message() << '\n';
    return cli::kUsage;
  }
  if (!check_only) return std::nullopt;
  std::cout << "configuration ok\n";
  return cli::kOk;
}

int MonitorLogs(const cli::MonitorFlags& flags) {
  Result<Config> config = LoadMonitorConfig(flags);
  if (auto code = CheckConfig(config, flags.check_config)) return *code;
  if (flags.explain_privacy) return ExplainPrivacy(*config, flags.json);
  return RunServer(
      std::move(*config), [flags] { return LoadMonitorConfig(flags); }, flags.config);
}

/// The table is the answer; our own log only says what is wrong.
Result<std::string> MonitorLogsOnce(const cli::MonitorFlags& flags) {
  ASSIGN_OR_RETURN(Config config, LoadMonitorConfig(flags));
  ConfigureLog(LogLevel::kError, config.log.format == Config::LogFormat::kJson);
  return ReportLogsOnce(config);
}

Result<std::string> Replay(const cli::QuietFlags& flags) {
  Result<Config> config =
      flags.table.empty() ? LoadMonitorConfig(flags.logs) : FileOrDefaults(flags.logs.config);
  if (!config.ok()) return config.status();
  ConfigureLog(LogLevel::kError, config->log.format == Config::LogFormat::kJson);
  QuietQuestion question;
  question.table = flags.table;
  question.model = flags.logs.model.empty() ? "default" : flags.logs.model;
  question.requests_per_day = flags.requests_per_day.value_or(0);
  question.time_column = flags.time_column;
  question.answer_column = flags.answer_column;
  question.label_column = flags.label_column;
  question.tolerance = flags.tolerance;
  question.share_tolerance = flags.share_tolerance;
  question.false_alarms = flags.false_alarms;
  question.reference_requests = flags.reference_requests;
  if (!flags.period.empty()) {
    auto period = schema::ParseTime(flags.period);
    if (!period || *period < std::chrono::hours(1))
      return InvalidArgumentError("--period: must be a duration of an hour at least, like 90d");
    question.period = std::chrono::duration_cast<std::chrono::hours>(*period);
  }
  return ProveQuiet(*config, question);
}

std::string Getenv(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value ? value : "";
}

/// What was asked for and does nothing here: one line each, once, at the start.
void Warn(const Config& config, const std::vector<std::string>& warnings) {
  ConfigureLog(config.log.level, config.log.format == Config::LogFormat::kJson);
  for (const std::string& warning : warnings) LOG_WARN("without effect", {"what", warning});
}

int Serve(const cli::ServeFlags& flags) {
  Result<Config> config = LoadConfig(flags);
  if (auto code = CheckConfig(config, flags.check_config)) return *code;
  if (flags.explain_privacy) return ExplainPrivacy(*config, flags.json);
  return RunServer(
      std::move(*config), [flags] { return LoadConfig(flags); }, flags.config);
}

/// The file, then the flags over it, of a process that proxies.
Result<Config> LoadGatewayConfig(const cli::GatewayFlags& flags) {
  ASSIGN_OR_RETURN(Config config, LoadConfigFile(flags.config));
  RETURN_IF_ERROR(MakeGateway(config));
  ConfigOverrides overrides;
  overrides.admin_address = flags.admin_address;
  overrides.admin_port = flags.admin_port;
  overrides.data_dir = flags.data_dir;
  overrides.log_level = flags.log_level;
  overrides.log_format = flags.log_format;
  overrides.hot_restart = flags.hot_restart;
  RETURN_IF_ERROR(ApplyOverrides(overrides, config));
  return config;
}

int RunGateway(const cli::GatewayFlags& flags) {
  Result<Config> config = LoadGatewayConfig(flags);
  if (auto code = CheckConfig(config, flags.check_config)) return *code;
  if (flags.explain_privacy) return ExplainPrivacy(*config, flags.json);
  return RunServer(
      std::move(*config), [flags] { return LoadGatewayConfig(flags); }, flags.config);
}

/// The flags and files of tensorflow_model_server, once at the start and again at every reload.
int ServeAsTensorFlow(std::vector<std::string> args, bool entrypoint) {
  if (entrypoint) args = tfserving::EntrypointArguments(args, Getenv);
  Result<tfserving::CommandLine> command = tfserving::ParseCommandLine(args);
  if (!command.ok()) {
    std::cerr << command.status().message() << '\n';
    return cli::kUsage;
  }
  if (command->help) {
    std::cout << tfserving::HelpText();
    return cli::kOk;
  }
  if (command->version) {
    std::cout << "Leadsman " << kLeadsmanVersion << ", in the place of TensorFlow ModelServer\n";
    return cli::kOk;
  }
  std::vector<std::string> warnings;
  Result<Config> config = tfserving::ConfigFrom(*command, warnings);
  if (!config.ok()) {
    std::cerr << config.status().message() << '\n';
    return cli::kUsage;
  }
  if (command->check_config) {
    for (const std::string& warning : warnings) std::cout << "warning: " << warning << '\n';
    std::cout << "configuration ok\n";
    return cli::kOk;
  }
  Warn(*config, warnings);
  return RunServer(
      std::move(*config),
      [command = *command] {
        std::vector<std::string> ignored;
        return tfserving::ConfigFrom(command, ignored);
      },
      tfserving::WatchedFileOf(*command), tfserving::ReloadOptionsOf(*command));
}

/// Folders of models in what may be a repository.
std::vector<std::string> ModelsUnder(const std::string& folder) {
  std::vector<std::string> models;
  Result<std::vector<std::string>> names = ListDirectory(folder);
  if (!names.ok()) return models;
  std::sort(names->begin(), names->end());
  for (const std::string& name : *names) {
    FileSource source(JoinPath(folder, name), {.settle_time = Duration::zero()});
    Result<std::vector<VersionFolder>> versions =
        source.List(SystemClock().SteadyNow(), StoreCall{});
    if (versions.ok() && !versions->empty()) models.push_back(name);
  }
  return models;
}

/// `leadsman models inspect`: what would be served of a model's folder, or of one version's.
Result<std::string> Inspect(const std::string& folder) {
  ConfigureLog(LogLevel::kWarn,
               false);  // what a server ignores is no news here: what is found is printed
  FileSource source(folder, {.settle_time = Duration::zero()});
  ASSIGN_OR_RETURN(std::vector<VersionFolder> versions,
                   source.List(SystemClock().SteadyNow(), StoreCall{}));
  if (versions.empty()) {
    // Not a model's folder: says what was looked for in it.
    Result<Manifest> found = DetectModel(folder, "");
    if (found.ok()) return StrCat(found->format, "  ", found->reason, "\n");
    const std::vector<std::string> models = ModelsUnder(folder);
    if (models.empty()) return found.status();
    return InvalidArgumentError(StrCat(
        folder, " is no model's folder, but holds those of ", models.size(), " model(s): ",
        HumanList({models.begin(), models.begin() + std::min<ptrdiff_t>(8, std::ssize(models))}),
        models.size() > 8 ? " and others" : "", "; inspect one of them: leadsman models inspect ",
        JoinPath(folder, models[0]), " (`leadsman serve` takes the folder as repository.path)"));
  }
  TritonConfigFound triton = source.triton_config();
  if (triton && !triton->ok())
    return Annotate(triton->status(), StrCat(kTritonConfigName, " cannot be honoured"));
  std::string out;
  for (const VersionFolder& version : versions) {
    out += StrCat("version ", version.version, "  ", version.directory, "\n");
    Result<std::string> manifest =
        ReadFile(JoinPath(version.directory, kManifestFileName), kMaxManifestBytes);
    Result<Manifest> found =
        manifest.ok() ? ParseManifest(*manifest)
                      : DetectModel(version.directory, "", "", triton ? &triton->value() : nullptr);
    if (!found.ok()) {
      out += StrCat("  not served: ", found.status().message(), "\n");
      continue;
    }
    out += StrCat("  format  ", found->format, "\n  why     ",
                  manifest.ok() ? StrCat(kManifestFileName, " says so") : found->reason, "\n");
    for (const Manifest::Alternative& other : found->alternatives)
      out +=
          StrCat("  or      ", other.format, ", ", other.model_file, ", where Python is missing\n");
    for (const TensorSpec& spec : found->signature.inputs)
      out += StrCat("  input   ", spec.name, " ", DataTypeName(spec.type), spec.shape.ToString(),
                    "\n");
    for (const TensorSpec& spec : found->signature.outputs)
      out += StrCat("  output  ", spec.name, " ", DataTypeName(spec.type), spec.shape.ToString(),
                    "\n");
  }
  if (triton) {
    for (const std::string& warning : triton->value().warnings) out += StrCat("  ", warning, "\n");
  }
  return out;
}

/// `leadsman rollout plan --config`: that of a model, or of a gateway's service.
Result<std::string> PlanOfConfig(const std::string& file, const std::string& name) {
  ASSIGN_OR_RETURN(Config config, LoadConfigFile(file));
  std::vector<std::string> there;
  const auto plan = PlansOf(config);
  for (const auto& [known, _] : plan) there.push_back(known);
  auto found = name.empty() && plan.size() == 1 ? plan.begin() : plan.find(name);
  if (found != plan.end()) return schema::WriteJson(RolloutPlanSchema(), found->second);
  return NotFoundError(StrCat(file, ": ",
                              name.empty() ? "which MODEL's plan is meant is not said"
                                           : StrCat("model ", name, " has no rollout plan"),
                              "; with one: ", HumanList(there)));
}

int TerminalColumns() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 100;
  return std::max<int>(size.ws_col, 40);
}

int Run(int argc, char** argv) {
  // A pipe that closes early (| head) is an error of a write, not a reason to
  // die loudly.
  std::signal(SIGPIPE, SIG_IGN);
  cli::AppHooks hooks;
  hooks.version = kLeadsmanVersion;
  hooks.serve = Serve;
  hooks.monitor = MonitorLogs;
  hooks.gateway = RunGateway;
  hooks.monitor_once = MonitorLogsOnce;
  hooks.prove_quiet = Replay;
  hooks.tensorflow_model_server = ServeAsTensorFlow;
  hooks.is_tensorflow_flag = tfserving::IsTensorFlowServingFlag;
  hooks.check_config = [](const std::string& file) -> Status {
    ASSIGN_OR_RETURN(Config config, LoadConfigFile(file));
    RETURN_IF_ERROR(Annotate(AddRepositoryModels(config), file));
    // A file of what is watched or proxied alone is one for `leadsman monitor` or `leadsman gateway`.
    if (!WatchesOthers(config) && !config.gateway)
      RETURN_IF_ERROR(Annotate(CheckHasModels(config), file));
    RETURN_IF_ERROR(Annotate(CheckModels(config, PluginFormatsOf(config)), file));
    RETURN_IF_ERROR(CheckNamedFiles(config));
    return CheckGates(config);
  };
  hooks.config_reference = [](bool json_schema) {
    return json_schema ? ConfigJsonSchema() : ConfigReferencePage();
  };
  hooks.metrics_reference = MetricsReferencePage;
  hooks.inspect = Inspect;
  hooks.schema_infer = [](const std::string& file, double margin,
                          bool json) -> Result<std::string> {
    ASSIGN_OR_RETURN(DataSchema schema, InferSchema(file, margin, SystemClock().Now()));
    return json ? DataSchemaJson(schema) : DataSchemaYaml(schema);
  };
  hooks.schema_check = CheckReport;
  hooks.schema_diff = DiffReport;
  hooks.schema_reference = DataSchemaReference;
  hooks.replay_rollout = [](std::string_view record, std::optional<double> alpha,
                            std::optional<double> beta) {
    return ReplayReport(record, {alpha, beta}, kLeadsmanVersion);
  };
  hooks.forecast_rollout = ForecastReport;
  hooks.plan_of_config = PlanOfConfig;
  hooks.plan_of_file = LoadPlanFile;
  cli::Environment environment{.out = std::cout, .err = std::cerr, .in = std::cin};
  environment.terminal = isatty(STDOUT_FILENO) != 0;
  environment.columns = TerminalColumns();
  environment.getenv = Getenv;
  environment.make_client = [](std::shared_ptr<const net::TlsClient> tls) {
    return net::MakeHttpClient(std::move(tls));
  };
  environment.wait = [](std::chrono::milliseconds time) {
    std::this_thread::sleep_for(time);
    return std::cout.good();
  };
  return cli::Main(argc, argv, hooks, environment);
}

}  // namespace
}  // namespace leadsman

int main(int argc, char** argv) { return leadsman::Run(argc, argv); }
