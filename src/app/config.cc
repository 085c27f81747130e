#include "app/config.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "app/config_schema.h"
#include "base/fs.h"
#include "base/schema.h"
#include "base/strings.h"
#include "console/rollout_routes.h"
#include "intake/exchange_bodies.h"
#include "monitor/config_schema.h"
#include "net/url.h"
#include "rollout/config_schema.h"
#include "storage/store_uri.h"

namespace leadsman {
namespace {

std::string MadeRelativeTo(const std::filesystem::path& folder, const std::string& path) {
  if (path.empty() || std::filesystem::path(path).is_absolute() || !IsFilePath(path) ||
      path.find("://") != std::string::npos)
    return path;
  return (folder / path).lexically_normal().string();
}

}  // namespace

bool ParseConfig(std::string_view yaml, Config& config, std::vector<ConfigProblem>& problems) {
  config = ConfigSchema().initial();
  return schema::ReadYaml(yaml, ConfigSchema(), config, problems);
}

Result<Config> LoadConfigFile(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, ConfigLimits().max_bytes));
  Config config;
  std::vector<ConfigProblem> problems;
  if (!ParseConfig(text, config, problems))
    return InvalidArgumentError(FormatProblems(path, problems));
  std::filesystem::path folder = std::filesystem::path(path).parent_path();
  config.data_dir = MadeRelativeTo(folder, config.data_dir);
  config.repository.path = MadeRelativeTo(folder, config.repository.path);
  StorageOptions& storage = config.storage;
  for (std::string* file : {&storage.cache_dir, &storage.ca_file, &storage.gcs.credentials_file,
                            &storage.hdfs.token_file, &storage.http.token_file,
                            &storage.http.netrc_file, &storage.mlflow.token_file}) {
    *file = MadeRelativeTo(folder, *file);
  }
  for (std::string& dir : config.plugins.dirs) dir = MadeRelativeTo(folder, dir);
  for (std::string& dir : config.plugins.runtime_dirs) dir = MadeRelativeTo(folder, dir);
  for (net::TlsServerOptions* tls : {&config.server.tls, &config.admin.tls}) {
    tls->cert_file = MadeRelativeTo(folder, tls->cert_file);
    tls->key_file = MadeRelativeTo(folder, tls->key_file);
    tls->client_ca_file = MadeRelativeTo(folder, tls->client_ca_file);
  }
  // A name without a slash is looked up in PATH.
  std::string& interpreter = config.backends.python.interpreter;
  if (interpreter.find('/') != std::string::npos) {
    interpreter = MadeRelativeTo(folder, interpreter);
    if (interpreter.find('/') == std::string::npos) interpreter.insert(0, "./");
  }
  config.auth.tokens_file = MadeRelativeTo(folder, config.auth.tokens_file);
  TracingOptions& tracing = config.telemetry.tracing;
  tracing.headers_file = MadeRelativeTo(folder, tracing.headers_file);
  tracing.ca_file = MadeRelativeTo(folder, tracing.ca_file);
  OtlpMetricsOptions& otlp = config.telemetry.metrics.otlp;
  otlp.headers_file = MadeRelativeTo(folder, otlp.headers_file);
  otlp.ca_file = MadeRelativeTo(folder, otlp.ca_file);
  auto relative = [&](SenderTarget& target) {
    for (std::string* file : {&target.tls.ca_file, &target.tls.cert_file, &target.tls.key_file,
                              &target.token_file, &target.password_file}) {
      *file = MadeRelativeTo(folder, *file);
    }
  };
  for (AlertmanagerOptions& to : config.alarms.alertmanagers) relative(to.target);
  for (WebhookOptions& to : config.alarms.webhooks) {
    relative(to.target);
    to.secret_file = MadeRelativeTo(folder, to.secret_file);
  }
  for (MailOptions& to : config.alarms.emails) {
    to.smtp.ca_file = MadeRelativeTo(folder, to.smtp.ca_file);
    to.smtp.password_file = MadeRelativeTo(folder, to.smtp.password_file);
  }
  if (config.monitor.send_profiles) relative(config.monitor.send_profiles->target);
  config.server.grpc_socket = MadeRelativeTo(folder, config.server.grpc_socket);
  for (Config::Model& model : config.models) {
    model.model.path = MadeRelativeTo(folder, model.model.path);
    std::string& reference = model.monitoring.reference.path;
    reference = MadeRelativeTo(folder, reference);
    std::string& schema = model.monitoring.schema.path;
    schema = MadeRelativeTo(folder, schema);
  }
  for (intake::LogSource& log : config.monitor.logs) log.path = MadeRelativeTo(folder, log.path);
  if (auto& redis = config.monitor.options.labels.redis) {
    redis->password_file = MadeRelativeTo(folder, redis->password_file);
    if (redis->tls) {
      for (std::string* file :
           {&redis->tls->ca_file, &redis->tls->cert_file, &redis->tls->key_file})
        *file = MadeRelativeTo(folder, *file);
    }
  }
  config.hot_restart.socket = MadeRelativeTo(folder, config.hot_restart.socket);
  if (config.gateway) {
    auto of_tls = [&](std::optional<gateway::UpstreamTlsOptions>& tls) {
      if (!tls) return;
      for (std::string* file : {&tls->ca_file, &tls->cert_file, &tls->key_file})
        *file = MadeRelativeTo(folder, *file);
    };
    for (gateway::ListenerOptions& listener : config.gateway->listeners) {
      for (std::string* file :
           {&listener.tls.cert_file, &listener.tls.key_file, &listener.tls.client_ca_file})
        *file = MadeRelativeTo(folder, *file);
    }
    for (gateway::ServiceOptions& service : config.gateway->services) {
      of_tls(service.tls);
      for (gateway::VersionOptions& version : service.versions) of_tls(version.tls);
    }
  }
  for (RedactRule& rule : config.monitor.redact)
    rule.key_file = MadeRelativeTo(folder, rule.key_file);
  return config;
}

std::map<std::string, MonitorConfig> MonitoringOf(const Config& config) {
  std::map<std::string, MonitorConfig> monitoring;
  if (!NeedsMonitor(config)) return monitoring;
  monitoring = config.monitor.observed;
  for (const Config::Model& model : config.models)
    monitoring.emplace(model.model.name, model.monitoring);
  // A log that says segments of a model of which nothing is configured is all that need be said of it.
  for (const intake::LogSource& log : config.monitor.logs) {
    std::vector<std::string> names = log.segment_names();
    const std::string& model = log.model.empty() ? std::string(intake::kDefaultModel) : log.model;
    if (names.empty() || monitoring.contains(model)) continue;
    for (std::string& name : names) {
      monitoring[model].segments.emplace_back().name = std::move(name);
    }
  }
  if (!config.run_gateway) return monitoring;
  // Likewise a route.
  std::map<std::string, std::set<std::string>> of_services;
  for (const gateway::RouteOptions& route : config.gateway->routes) {
    for (std::string& name : intake::BodyMapping::SegmentNames(route.decode.request))
      of_services[route.service].insert(std::move(name));
  }
  for (const auto& [service, names] : of_services) {
    if (monitoring.contains(service)) continue;
    for (const std::string& name : names) monitoring[service].segments.emplace_back().name = name;
  }
  return monitoring;
}

bool WatchesOthers(const Config& config) {
  const Config::Monitor& monitor = config.monitor;
  return !monitor.logs.empty() || monitor.cloudevents || monitor.envoy || monitor.options.edges;
}

bool NeedsMonitor(const Config& config) {
  return WatchesOthers(config) || config.run_gateway || !config.monitor.observed.empty() ||
         std::any_of(config.models.begin(), config.models.end(),
                     [](const Config::Model& model) { return model.monitoring.enabled; });
}

void WatchModelsWithoutPath(Config& config) {
  for (const Config::Model& model : config.models) {
    if (model.model.path.empty())
      config.monitor.observed.emplace(model.model.name, model.monitoring);
  }
  std::erase_if(config.models, [](const Config::Model& model) { return model.model.path.empty(); });
}

void MakeMonitorOnly(Config& config) {
  for (const Config::Model& model : config.models)
    config.monitor.observed.emplace(model.model.name, model.monitoring);
  config.models.clear();
  config.plain.model.clear();
  config.mlflow.model.clear();
  config.server.http = config.server.grpc = false;
  config.server.grpc_socket.clear();
  config.server.port = config.server.grpc_port = 0;  // they take no other's place
  config.server.pool_threads = 1;
  config.backends.python.enabled = false;
  config.telemetry.compat.clear();
  config.telemetry.tracing = {};
}

bool IsMonitorOnly(const Config& config) {
  return !config.server.http && !config.server.grpc && config.server.grpc_socket.empty();
}

std::map<std::string, RolloutPlan> PlansOf(const Config& config) {
  std::map<std::string, RolloutPlan> plans = config.gateway_plans;
  for (const Config::Model& model : config.models) {
    if (model.rollout) plans.emplace(model.model.name, *model.rollout);
  }
  return plans;
}

namespace {

/// Where users are drawn, and not requests, the share of requests need not be that of the split.
void FitToSplit(const Config& config, const std::string& model, RolloutPlan& plan) {
  for (const gateway::ServiceOptions& service : config.gateway->services) {
    if (service.name == model && service.split.by != gateway::SplitOptions::By::kRandom)
      plan.sample_ratio_alpha = 0;
  }
}

/// The first field that names a file of this machine; empty: none does.
std::string FileNamedIn(const RolloutPlan& plan) {
  auto named = [](const std::string& at, const auto& target) {
    for (const auto& [field, file] :
         {std::pair("ca_file", &target.ca_file), std::pair("cert_file", &target.cert_file),
          std::pair("key_file", &target.key_file), std::pair("token_file", &target.token_file),
          std::pair("password_file", &target.password_file)}) {
      if (!file->empty()) return StrCat(at, field);
    }
    return std::string();
  };
  for (size_t i = 0; i < plan.gates.size(); ++i) {
    std::string field = named(StrCat("plan.gates[", i, "]."), plan.gates[i].outside);
    if (!field.empty()) return field;
  }
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const std::string at = StrCat("plan.steps[", i, "].approval.webhook.");
    const auto& webhook = plan.steps[i].approval.webhook;
    if (!webhook) continue;
    if (!webhook->secret_file.empty()) return at + "secret_file";
    std::string field = named(at, *webhook);
    if (!field.empty()) return field;
  }
  return "";
}

/// What the configuration would say of the model with this plan.
Status CheckAsConfigured(const Config& config, const std::string& name, const RolloutPlan& plan) {
  const std::map<std::string, MonitorConfig> all = MonitoringOf(config);
  const auto known = all.find(name);
  const MonitorConfig monitoring = known == all.end() ? MonitorConfig{} : known->second;
  std::string model = "{\"name\":";
  AppendJsonString(model, name);
  model += StrCat(",\"monitoring\":", schema::WriteJson(MonitorConfigSchema(), monitoring),
                  ",\"rollout\":", schema::WriteJson(RolloutPlanSchema(), plan), "}");
  Config::Model read = ConfigModelSchema().initial();
  std::vector<ConfigProblem> problems;
  if (schema::ReadJson(model, ConfigModelSchema(), read, problems)) return OkStatus();
  for (ConfigProblem& problem : problems) {
    if (problem.path.starts_with("rollout")) problem.path.replace(0, 7, "plan");
  }
  return InvalidArgumentError(FormatProblems("", problems));
}

}  // namespace

Result<RolloutPlan> FitGivenPlan(const Config& config, const std::string& model, RolloutPlan plan) {
  const bool proxied = config.run_gateway && HasService(config, model);
  if (!proxied && !PlansOf(config).contains(model)) {
    return FailedPreconditionError(
        StrCat("plan: versions of model ", model,
               " are swapped here without a rollout: add rollout: to the model in the "
               "configuration; a plan that comes with a start is for models that have one, and for "
               "services of a gateway"));
  }
  if (config.hot_restart.enabled && config.data_dir.empty()) {
    return FailedPreconditionError(
        "plan: with hot_restart a rollout needs a data_dir (--data-dir), from which the next "
        "process "
        "goes on with it");
  }
  if (std::string field = FileNamedIn(plan); !field.empty()) {
    return InvalidArgumentError(
        StrCat(field,
               ": a plan that comes with a start names no files of the server's machine: put "
               "this plan into the configuration, or leave the field out"));
  }
  RETURN_IF_ERROR(CheckAsConfigured(config, model, plan));
  if (Mirrors(plan) && !proxied) {
    return InvalidArgumentError(StrCat("plan: ", WhyNoCopies(config, model)));
  }
  if (proxied) FitToSplit(config, model, plan);
  return plan;
}

Result<std::string> LoadPlanFile(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, ConfigLimits().max_bytes));
  RolloutPlan plan = RolloutPlanSchema().initial();
  std::vector<ConfigProblem> problems;
  if (!schema::ReadYaml(text, RolloutPlanSchema(), plan, problems))
    return InvalidArgumentError(FormatProblems(path, problems));
  return schema::WriteJson(RolloutPlanSchema(), plan);
}

Status MakeGateway(Config& config) {
  if (!config.gateway) {
    return InvalidArgumentError(
        "nothing to proxy: give gateway.listeners and gateway.services in the file of --config");
  }
  config.gateway_plans = PlansOf(config);
  for (auto& [name, plan] : config.gateway_plans) FitToSplit(config, name, plan);
  MakeMonitorOnly(config);
  config.run_gateway = true;
  return OkStatus();
}

std::string ConfigToJson(const Config& config) { return schema::WriteJson(ConfigSchema(), config); }

namespace {

/// Many services take a webhook's path for the secret.
std::string ShownWebhook(const std::string& text) {
  auto url = net::ParseUrl(text);
  return url.ok() ? StrCat(url->Origin(), "/…") : text;
}

}  // namespace

std::string ShownConfigJson(Config config) {
  for (Config::Model& model : config.models) {
    // In a file's path a question mark is a letter like any other.
    if (!IsFilePath(model.model.path)) model.model.path = RedactUrl(model.model.path);
    if (model.rollout) model.rollout = console::ShownPlan(*std::move(model.rollout));
  }
  for (WebhookOptions& webhook : config.alarms.webhooks)
    webhook.target.url = ShownWebhook(webhook.target.url);
  for (AlertmanagerOptions& to : config.alarms.alertmanagers)
    to.target.url = RedactUrl(to.target.url);
  if (config.monitor.send_profiles) {
    std::string& url = config.monitor.send_profiles->target.url;
    url = RedactUrl(url);
  }
  TracingOptions& tracing = config.telemetry.tracing;
  for (std::string* url : {&config.alarms.external_url, &tracing.otlp_url, &tracing.zipkin_url})
    *url = RedactUrl(*url);
  return ConfigToJson(config);
}

std::string ConfigReferencePage() {
  return schema::MarkdownReference(
      ConfigSchema(), "Configuration",
      "<!-- Generated by `leadsman reference config`; a test compares. Change the tables in the "
      "code instead. -->\n\n"
      "`leadsman serve --config leadsman.yaml` reads one YAML (or JSON) file of at most 1 MiB. "
      "Unknown keys are errors; all\n"
      "errors are told at once, with line and column. `leadsman config check FILE` checks a file "
      "without a server. For editors\n"
      "there is a JSON Schema: `configuration.schema.json` beside this page.\n\n"
      "- A **duration** is written `500us`, `200ms`, `5s`, `10m`, `1h`, `14d` or `1h30m`.\n"
      "- A **share** is written `10%` or `0.1`.\n"
      "- A **size** is written `65536`, `64KiB`, `64MiB`, `1GiB` or `10MB`.\n"
      "- A key without a value is as good as absent. Anchors and aliases may stand for whole "
      "values.\n\n"
      "The smallest file:\n\n"
      "```yaml\n"
      "models:\n"
      "  - name: digits\n"
      "    path: ./repository/digits\n"
      "```\n\n"
      "With a canary judged by errors, latency and late labels:\n\n"
      "```yaml\n"
      "models:\n"
      "  - name: digits\n"
      "    path: ./repository/digits\n"
      "    rollout:\n"
      "      steps:\n"
      "        - {weight: 5%, duration: 10m}\n"
      "        - {weight: 25%, duration: 10m}\n"
      "        - {weight: 50%, duration: 10m}\n"
      "      gates:\n"
      "        - {kind: errors, margin: 1.5, floor: 1%}\n"
      "        - {kind: latency, margin: 1.5, safe_quantile: 95%}\n"
      "        - {kind: quality, margin: 1.5, floor: 2%}\n"
      "```");
}

std::string ConfigJsonSchema() {
  return schema::JsonSchema(ConfigSchema(), "urn:leadsman:configuration", "Leadsman configuration");
}

}  // namespace leadsman
