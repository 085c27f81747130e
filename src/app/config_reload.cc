#include <algorithm>
#include <set>

#include "app/config.h"
#include "app/config_schema.h"
#include "base/strings.h"

namespace leadsman {

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
  keep("gateway", [](Config& to, const Config& from) { to.gateway = from.gateway; });
  keep("plain", [](Config& to, const Config& from) { to.plain = from.plain; });

  for (Config::Model& model : next.models) {
    const std::string& name = model.model.name;
    auto before = std::find_if(running.models.begin(), running.models.end(),
                               [&](const Config::Model& m) { return m.model.name == name; });
    // The monitor takes a model that it was not told of with the defaults.
    MonitorConfig in_force = before != running.models.end() ? before->monitoring : MonitorConfig{};
    if (!has_monitor) in_force.enabled = false;
    in_force.prediction_output = model.monitoring.prediction_output;
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
  std::vector<std::string> wrong = ConfigConflicts(reloaded.in_force);
  if (wrong.empty()) return OkStatus();
  return InvalidArgumentError(StrCat(Join(wrong, "; "), ". ", HumanList(reloaded.needs_restart),
                                     " changes with a restart only, and does not fit the rest"));
}

}  // namespace leadsman
