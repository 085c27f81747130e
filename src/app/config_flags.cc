#include <algorithm>
#include <vector>

#include "app/config.h"
#include "app/config_schema.h"
#include "base/strings.h"
#include "intake/config_schema.h"
#include "lifecycle/config_schema.h"
#include "storage/file_source.h"

namespace leadsman {
namespace {

/// One word of a flag through the same table as the file.
template <typename T>
Status ReadFlag(const std::string& flag, const std::string& text, const schema::TypePtr<T>& type,
                T& out) {
  ConfigNode node;
  node.kind = ConfigNode::Kind::kScalar;
  node.text = text;
  std::vector<ConfigProblem> problems;
  schema::Reader reader(problems);
  type->Read(node, out, reader);
  if (problems.empty()) return OkStatus();
  return InvalidArgumentError(StrCat(flag, ": ", problems[0].message));
}

Status AddModel(const std::string& flag, const std::string& name, const std::string& path,
                Config& config) {
  std::string wrong = CheckModelName(name);
  if (!wrong.empty())
    return InvalidArgumentError(StrCat(flag, ": the model name ", name, " ", wrong));
  Config::Model model = ConfigModelSchema().initial();
  model.model.name = name;
  model.model.path = path;
  config.models.push_back(std::move(model));
  return OkStatus();
}

}  // namespace

Status ApplyOverrides(const ConfigOverrides& flags, Config& config) {
  auto address = AddressType();
  if (flags.address)
    RETURN_IF_ERROR(ReadFlag("--address", *flags.address, address, config.server.address));
  if (flags.port) config.server.port = *flags.port;
  if (flags.grpc_port) config.server.grpc_port = *flags.grpc_port;
  if (flags.admin_address)
    RETURN_IF_ERROR(
        ReadFlag("--admin-address", *flags.admin_address, address, config.admin.address));
  if (flags.admin_port) config.admin.port = *flags.admin_port;
  net::TlsServerOptions& tls = config.server.tls;
  if (flags.tls_cert) tls.cert_file = *flags.tls_cert;
  if (flags.tls_key) tls.key_file = *flags.tls_key;
  if (flags.tls_client_ca) {
    tls.client_ca_file = *flags.tls_client_ca;
    if (tls.client_auth == net::ClientAuth::kNone) tls.client_auth = net::ClientAuth::kRequired;
  }
  if (std::string wrong = net::ExplainTlsOptions(tls); !wrong.empty()) {
    return InvalidArgumentError(
        StrCat("server.tls (--tls-cert, --tls-key, --tls-client-ca): ", wrong));
  }
  if (flags.data_dir) config.data_dir = *flags.data_dir;
  if (!flags.plugin_dirs.empty()) config.plugins.dirs = flags.plugin_dirs;
  if (!flags.runtime_dirs.empty()) config.plugins.runtime_dirs = flags.runtime_dirs;
  if (flags.log_level)
    RETURN_IF_ERROR(ReadFlag("--log-level", *flags.log_level, LogLevelType(), config.log.level));
  if (flags.log_format)
    RETURN_IF_ERROR(
        ReadFlag("--log-format", *flags.log_format, LogFormatType(), config.log.format));
  if (flags.reload_config)
    RETURN_IF_ERROR(
        ReadFlag("--reload-config", *flags.reload_config, ReloadType(), config.config_reload));
  for (const std::string& text : flags.models) {
    size_t at = text.find('=');
    if (at == std::string::npos || at == 0 || at + 1 == text.size()) {
      return InvalidArgumentError(StrCat("--model: must be NAME=PATH, not ", text));
    }
    RETURN_IF_ERROR(AddModel("--model", text.substr(0, at), text.substr(at + 1), config));
    if (std::string why = WhyNoModelFolder(text.substr(at + 1)); !why.empty())
      return InvalidArgumentError(StrCat("--model: ", why));
  }
  if (flags.hot_restart) config.hot_restart.enabled = true;
  if (flags.model_repository) config.repository.path = *flags.model_repository;

  std::vector<std::string> wrong = ConfigConflicts(config);
  return wrong.empty() ? OkStatus() : InvalidArgumentError(Join(wrong, "\n"));
}

namespace {

ConfigNode Scalar(const std::string& text) {
  ConfigNode node;
  node.kind = ConfigNode::Kind::kScalar;
  node.text = text;
  node.quoted = true;
  return node;
}

ConfigNode Map() {
  ConfigNode node;
  node.kind = ConfigNode::Kind::kMap;
  return node;
}

/// The flags as the file would say them: one table reads both.
Result<ConfigNode> NodeOf(const LogFlags& flags, const std::string& path) {
  ConfigNode source = Map();
  auto add = [](ConfigNode& to, const std::string& key, ConfigNode value) {
    to.entries.push_back({key, 0, 0, std::move(value)});
  };
  add(source, "path", Scalar(path));
  for (const auto& [key, text] :
       {std::pair("model", &flags.model), std::pair("format", &flags.format),
        std::pair("pattern", &flags.pattern), std::pair("integer_latency", &flags.integer_latency),
        std::pair("time_zone", &flags.time_zone)}) {
    if (!text->empty()) add(source, key, Scalar(*text));
  }
  if (flags.from_beginning) add(source, "from", Scalar("beginning"));
  ConfigNode fields = Map();
  for (const std::string& field : flags.fields) {
    size_t at = field.find('=');
    if (at == std::string::npos || at == 0 || at + 1 == field.size())
      return InvalidArgumentError(
          StrCat("--field: must be NAME=WHERE, as predicted=label, not ", field));
    std::string name = field.substr(0, at);
    if (fields.Find(name) != nullptr)
      return InvalidArgumentError(StrCat("--field: ", name, " is given twice"));
    add(fields, name, Scalar(field.substr(at + 1)));
  }
  if (!fields.entries.empty()) add(source, "fields", std::move(fields));
  ConfigNode paths;
  paths.kind = ConfigNode::Kind::kList;
  for (const std::string& path_flag : flags.prediction_paths)
    paths.items.push_back(Scalar(path_flag));
  if (!paths.items.empty()) add(source, "prediction_paths", std::move(paths));
  return source;
}

/// "prediction_paths[0]" → "--prediction-path"
std::string FlagOf(const std::string& path) {
  std::string key = path.substr(0, path.find_first_of("[."));
  if (key == "path") return "--log";
  if (key == "fields") return "--field";
  if (key == "prediction_paths") return "--prediction-path";
  std::replace(key.begin(), key.end(), '_', '-');
  return "--" + key;
}

}  // namespace

Status ApplyLogFlags(const LogFlags& flags, Config& config) {
  const bool any = !flags.model.empty() || !flags.format.empty() || !flags.pattern.empty() ||
                   !flags.integer_latency.empty() || !flags.time_zone.empty() ||
                   !flags.fields.empty() || !flags.prediction_paths.empty() || flags.from_beginning;
  if (any && flags.logs.empty())
    return InvalidArgumentError(
        "flags that say what a log is need --log; logs of the file say it themselves "
        "(monitor.logs)");
  for (const std::string& path : flags.logs) {
    ASSIGN_OR_RETURN(ConfigNode node, NodeOf(flags, path));
    std::vector<ConfigProblem> problems;
    schema::Reader reader(problems);
    intake::LogSource source = intake::LogSourceSchema().initial();
    intake::LogSourceSchema().Read(node, source, reader);
    if (!problems.empty())
      return InvalidArgumentError(StrCat(FlagOf(problems[0].path), ": ", problems[0].message));
    config.monitor.logs.push_back(std::move(source));
  }
  if (flags.cloudevents_port || flags.cloudevents_address) {
    if (!config.monitor.cloudevents) config.monitor.cloudevents = Config::CloudEvents();
    Config::CloudEvents& port = *config.monitor.cloudevents;
    port.port = flags.cloudevents_port.value_or(port.port);
    port.address = flags.cloudevents_address.value_or(port.address);
  }
  if (flags.envoy_port) {
    if (!config.monitor.envoy) config.monitor.envoy = intake::EnvoyOptionsSchema().initial();
    config.monitor.envoy->port = *flags.envoy_port;
  }
  if (flags.edges && !config.monitor.options.edges) config.monitor.options.edges.emplace();
  std::vector<std::string> wrong = ConfigConflicts(config);
  if (!wrong.empty()) return InvalidArgumentError(Join(wrong, "\n"));
  if (WatchesOthers(config)) return OkStatus();
  return InvalidArgumentError(
      "nothing to monitor: give --log PATH, --cloudevents-port PORT, --envoy-port PORT or --edges, "
      "or monitor.logs, monitor.cloudevents, monitor.envoy or monitor.edges in the file of "
      "--config");
}

Status CheckHasModels(const Config& config) {
  const bool by_request = config.repository.mode == ModelControl::Mode::kExplicit;
  if (!config.models.empty() || (by_request && !config.repository.path.empty())) return OkStatus();
  if (config.gateway)
    return InvalidArgumentError(
        "nothing to serve: no model has a path; to proxy gateway.services use `leadsman gateway "
        "--config FILE`");
  if (WatchesOthers(config) || !config.monitor.observed.empty())
    return InvalidArgumentError(
        StrCat("nothing to serve: ",
               config.monitor.observed.empty() ? "models is empty" : "no model has a path",
               "; to watch others alone use `leadsman monitor --config FILE`"));
  return InvalidArgumentError(
      "nothing to serve: models is empty: list models in the file, or give --model NAME=PATH or "
      "--model-repository DIR; nor to watch: there is none of monitor.logs, monitor.envoy, "
      "monitor.cloudevents and monitor.edges");
}

}  // namespace leadsman
