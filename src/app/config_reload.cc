#include <algorithm>
#include <map>
#include <set>

#include "app/config.h"
#include "app/config_schema.h"
#include "base/strings.h"

namespace leadsman {

namespace {

std::set<std::string> SegmentNames(const std::map<std::string, MonitorConfig>& of,
                                   const std::string& model) {
  std::set<std::string> names;
  const auto at = of.find(model);
  if (at == of.end()) return names;
  for (const SegmentRule& rule : at->second.segments) names.insert(rule.name);
  return names;
}

/// The monitor takes a model that it was not told of at its start with the defaults.
void NameMonitoring(const Config& running, const Config& next, ReloadedConfig& result) {
  auto text = [](const std::map<std::string, MonitorConfig>& of, const std::string& model) {
    Config only;
    const auto at = of.find(model);
    only.models.resize(1);
    if (at != of.end()) only.models[0].monitoring = at->second;
    return ConfigToJson(only);
  };
  for (const auto& [model, monitoring] : next.monitor.observed) {
    if (text(running.monitor.observed, model) != text(next.monitor.observed, model))
      result.needs_restart.push_back(StrCat("monitoring of model ", model));
  }
}

/// Of two processes that proxy: what has changed, and what of it cannot.
void TakeGateway(const Config& running, const Config& next, ReloadedConfig& result) {
  auto text = [](const Config& config) {
    Config only;
    only.gateway = config.gateway;
    return ConfigToJson(only);
  };
  result.gateway_changed = text(running) != text(next);
  const gateway::DecodeOptions& from = running.gateway->decode;
  const gateway::DecodeOptions& to = next.gateway->decode;
  auto fixed = [&](const char* field, size_t before, size_t after) {
    if (before == after) return;
    result.refused.push_back(
        StrCat("gateway.decode.", field, " (", before, " → ", after,
               ") cannot change while the gateway runs: leave it as it was, or "
               "restart the gateway"));
  };
  fixed("max_body", from.max_body, to.max_body);
  fixed("max_held_bytes", from.max_held_bytes, to.max_held_bytes);
  fixed("max_queue", from.max_queue, to.max_queue);
  // The monitor knows those of its start.
  const auto known = MonitoringOf(running);
  const auto wanted = MonitoringOf(next);
  for (const gateway::ServiceOptions& service : next.gateway->services) {
    if (SegmentNames(known, service.name) != SegmentNames(wanted, service.name))
      result.needs_restart.push_back(StrCat("segments of service ", service.name));
  }
}

}  // namespace

ReloadedConfig MergeReloaded(const Config& running, Config next, bool has_monitor,
                             bool has_rollouts) {
  ReloadedConfig result;
  auto changed = [&](const std::string& setting) { result.needs_restart.push_back(setting); };
  // Compared as it is written: whatever key there will be, it is not forgotten here.
  auto text = [](const Config& config, auto take) {
    Config only;
    take(only, config);
    return ConfigToJson(only);
  };
  auto keep = [&](const std::string& section, auto take) {
    if (text(running, take) != text(next, take)) changed(section);
    take(next, running);
  };
  if (running.run_gateway && next.run_gateway) NameMonitoring(running, next, result);
  keep("server", [](Config& to, const Config& from) { to.server = from.server; });
  keep("admin", [](Config& to, const Config& from) { to.admin = from.admin; });
  keep("auth", [](Config& to, const Config& from) { to.auth = from.auth; });
  keep("data_dir", [](Config& to, const Config& from) { to.data_dir = from.data_dir; });
  keep("storage", [](Config& to, const Config& from) { to.storage = from.storage; });
  keep("plugins", [](Config& to, const Config& from) { to.plugins = from.plugins; });
  keep("backends", [](Config& to, const Config& from) { to.backends = from.backends; });
  keep("monitor", [](Config& to, const Config& from) { to.monitor = from.monitor; });
  keep("alarms", [](Config& to, const Config& from) { to.alarms = from.alarms; });
  keep("lifecycle", [](Config& to, const Config& from) { to.lifecycle = from.lifecycle; });
  keep("hot_restart", [](Config& to, const Config& from) { to.hot_restart = from.hot_restart; });
  keep("config_reload",
       [](Config& to, const Config& from) { to.config_reload = from.config_reload; });
  if (running.repository.path != next.repository.path) {
    // The models of the folder that is in force: those of the other one would come and go with it.
    std::erase_if(next.models, [](const Config::Model& model) { return model.from_repository; });
    std::set<std::string> there;
    for (const Config::Model& model : next.models) there.insert(model.model.name);
    for (const Config::Model& model : running.models) {
      if (model.from_repository && !there.contains(model.model.name)) next.models.push_back(model);
    }
  }
  keep("repository", [](Config& to, const Config& from) { to.repository = from.repository; });
  keep("mlflow", [](Config& to, const Config& from) { to.mlflow = from.mlflow; });
  keep("telemetry", [](Config& to, const Config& from) { to.telemetry = from.telemetry; });
  if (running.run_gateway && next.run_gateway) {
    TakeGateway(running, next, result);
  } else {
    keep("gateway", [](Config& to, const Config& from) { to.gateway = from.gateway; });
  }
  keep("plain", [](Config& to, const Config& from) { to.plain = from.plain; });

  for (Config::Model& model : next.models) {
    const std::string& name = model.model.name;
    auto before = std::find_if(running.models.begin(), running.models.end(),
                               [&](const Config::Model& m) { return m.model.name == name; });
    // The monitor takes a model that it was not told of with the defaults.
    MonitorConfig in_force = before != running.models.end() ? before->monitoring : MonitorConfig{};
    if (!has_monitor) in_force.enabled = false;
    in_force.prediction_output = model.monitoring.prediction_output;
    in_force.signature = model.monitoring.signature;
    auto monitoring_text = [&](const MonitorConfig& monitoring) {
      return text(next, [&](Config& to, const Config&) {
        to.models.resize(1);
        to.models[0].monitoring = monitoring;
      });
    };
    if (monitoring_text(in_force) != monitoring_text(model.monitoring)) {
      changed(StrCat("monitoring of model ", name));
    }
    model.monitoring = in_force;
    if (model.rollout && (!has_rollouts || !in_force.enabled)) {
      changed(StrCat("rollout of model ", name));
      model.rollout.reset();
    }
  }
  if (!has_rollouts && !next.gateway_plans.empty()) {
    for (const auto& [name, plan] : next.gateway_plans) changed(StrCat("rollout of model ", name));
    next.gateway_plans.clear();
  }
  result.in_force = std::move(next);
  return result;
}

Status CheckReloaded(const ReloadedConfig& reloaded) {
  if (!reloaded.refused.empty()) return InvalidArgumentError(Join(reloaded.refused, "; "));
  std::vector<std::string> wrong = ConfigConflicts(reloaded.in_force);
  if (wrong.empty()) return OkStatus();
  return InvalidArgumentError(StrCat(Join(wrong, "; "), ". ", HumanList(reloaded.needs_restart),
                                     " changes with a restart only, and does not fit the rest"));
}

}  // namespace leadsman
