#include "app/server.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "actuators/embedded/embedded_actuator.h"
#include "actuators/gateway/gateway_actuator.h"
#include "app/access.h"
#include "app/alarms.h"
#include "app/cloudevents_port.h"
#include "app/config_watcher.h"
#include "app/control_plane.h"
#include "app/data_dir_lock.h"
#include "app/data_plane.h"
#include "app/envoy_report.h"
#include "app/gate_check.h"
#include "app/gateway_report.h"
#include "app/health.h"
#include "app/label_moves.h"
#include "app/log_report.h"
#include "app/model_repository.h"
#include "app/monitor_source.h"
#include "app/reloader.h"
#include "app/serve_loop.h"
#include "app/tfserving/command_line.h"
#include "app/tfserving/reload_requests.h"
#include "app/upgradable_server.h"
#include "app/version.h"
#include "backend/plugin_host.h"
#include "backend/python/metrics.h"
#include "backend/python/python_backend.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/periodic.h"
#include "base/rng.h"
#include "base/start_thread.h"
#include "base/strings.h"
#include "console/admin_api.h"
#include "events/redactor.h"
#include "gateway/gateway.h"
#include "intake/cloud_event_intake.h"
#include "intake/envoy_intake.h"
#include "intake/event_intake.h"
#include "intake/exchange_intake.h"
#include "intake/log_intake.h"
#include "lifecycle/manager.h"
#include "lifecycle/metrics.h"
#include "lifecycle/model_control.h"
#include "monitor/monitor.h"
#include "net/http_server.h"
#include "protocol/http_frontend.h"
#include "rollout/controller.h"
#include "rpc/envoy_server.h"
#include "rpc/grpc_server.h"
#include "rpc/metrics.h"
#include "rpc/tfs_warmup.h"
#include "serving/metrics.h"
#include "serving/predictor.h"
#include "stats/process_metrics.h"
#include "stats/registry.h"
#include "storage/stores.h"
#include "telemetry/auth_metrics.h"
#include "telemetry/http_server_metrics.h"
#include "telemetry/otlp_metrics_sender.h"
#include "telemetry/outside_asker.h"
#include "telemetry/profile_sender.h"
#include "telemetry/prometheus.h"
#include "telemetry/series_budget.h"
#include "telemetry/tfserving_metrics.h"
#include "telemetry/tls_metrics.h"
#include "telemetry/tracer.h"
#include "telemetry/triton_metrics.h"

namespace leadsman {
namespace {

WatchedPart WatchedPartOf(const MonitorConfig& monitoring) {
  return {.signature = monitoring.signature, .output = monitoring.prediction_output};
}

using namespace std::chrono_literals;

/// How long a stop waits, after the drain, for inferences that are running.
constexpr std::chrono::milliseconds kLastWait = 5s;
/// Between the end of workers whose calls have outlasted the drain and the cut of their connections.
constexpr std::chrono::milliseconds kLastAnswers = 500ms;
/// For requests to the ports of operators and of events, when another process takes them over.
constexpr std::chrono::milliseconds kReleaseWait = 1s;
/// And for alarms to be on the disk.
constexpr std::chrono::milliseconds kAlarmsWait = 2s;
/// How often certificates and other small files are looked at.
constexpr std::chrono::milliseconds kFileCheck = 2s;

std::string EnvironmentVariable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::map<std::string, std::string> EnvironmentMap() {
  std::map<std::string, std::string> map;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t sign = text.find('=');
    if (sign != std::string_view::npos) map.emplace(text.substr(0, sign), text.substr(sign + 1));
  }
  return map;
}

std::string BinaryDir() {
  std::error_code error;
  std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "." : self.parent_path().string();
}

int OrCores(int configured) { return configured > 0 ? configured : AvailableCores(); }

PluginOptions PluginsOf(const Config& config) {
  PluginOptions plugins = PluginOptions::Default(BinaryDir(), EnvironmentVariable);
  if (!config.plugins.dirs.empty()) plugins.plugin_dirs = config.plugins.dirs;
  if (!config.plugins.runtime_dirs.empty()) plugins.runtime_dirs = config.plugins.runtime_dirs;
  return plugins;
}

std::vector<ModelConfig> ModelsOf(const Config& config) {
  std::vector<ModelConfig> models;
  for (const Config::Model& model : config.models) models.push_back(model.model);
  return models;
}

/// All rooms of one server but those of the data plane. Members stand in the order in which they are built; each may refer to those
/// before it.
class Server final : public ControlPlane {
 public:
  static Result<std::unique_ptr<Server>> Create(Config config, Reloader::Load load,
                                                ReloadOptions options, DataPlane& plane,
                                                GatewayHooks hooks = {}) {
    std::unique_ptr<Server> server(new Server(std::move(config), std::move(load),
                                              std::move(options), plane, std::move(hooks)));
    if (Status built = server->Build(); !built.ok()) {
      if (server->hooks_.on_failure) server->hooks_.on_failure();
      return built;
    }
    return server;
  }

  ~Server() override {
    BeginDrain(0ms);
    AwaitDrained(kLastWait);
    Stop(kLastWait);
    plane_.SetTarget(nullptr);  // the monitor goes
  }

  Status Reload(const std::string& trigger) override { return reloader_.Reload(trigger); }

  Config config_in_force() const override {
    MutexLock one(apply_mutex_);
    return config_;
  }

  /// Models, plans, prediction outputs, the log's level and what is proxied are taken over; what needs a restart is
  /// said, and stays in the configuration that is shown as it is in force.
  Status Apply(const Config& next, std::vector<std::string>& needs_restart) {
    MutexLock one(apply_mutex_);
    CheckFiles();
    std::map<std::string, ModelStatus> now_there;
    for (ModelStatus& model : lifecycle_->GetStatus())
      now_there.emplace(model.name, std::move(model));
    RETURN_IF_ERROR(
        CheckLabelMoves(ModelsOf(config_), ModelsOf(next), now_there, options_.labels_may_wait));
    ReloadedConfig reloaded =
        MergeReloaded(config_, next, monitor_ != nullptr, rollouts_ != nullptr);
    RETURN_IF_ERROR(CheckReloaded(reloaded));
    const Config& now = reloaded.in_force;
    if (rollouts_) RETURN_IF_ERROR(CheckGates(PlansOf(now), PlansOf(config_)));
    if (reloaded.gateway_changed) RETURN_IF_ERROR(ApplyGateway(*reloaded.in_force.gateway, now));
    RETURN_IF_ERROR(control_->Apply(ModelsOf(now)));
    if (rollouts_) {
      rollouts_->Apply(PlansOf(now));
      LetGoOfOthers(now);
    }
    for (const Config::Model& model : now.models) {
      predictor_->SetWatched(model.model.name, WatchedPartOf(model.monitoring));
    }
    ConfigureLog(now.log.level, now.log.format == Config::LogFormat::kJson);
    needs_restart = reloaded.needs_restart;
    MutexLock lock(config_mutex_);
    config_json_ = ShownConfigJson(reloaded.in_force);
    config_ = std::move(reloaded.in_force);
    return OkStatus();
  }

  /// Requests that begin are sent by it from now on, or, with an error, nothing has changed. A process that proxies has no models, so
  /// nothing is refused behind it.
  Status ApplyGateway(gateway::Options& next, const Config& config) REQUIRES(apply_mutex_) {
    std::set<std::string> planned;
    if (rollouts_) {
      for (const auto& [name, plan] : PlansOf(config)) planned.insert(name);
      for (const std::string& name : rollouts_->KeptByStart()) {
        if (ServiceOf(next, name) != nullptr) planned.insert(name);
      }
      RETURN_IF_ERROR(CheckRollouts(next));
    }
    RETURN_IF_ERROR(plane_.SetSources(next));
    RETURN_IF_ERROR(gateway_->Apply(next, planned));
    for (const gateway::ServiceOptions& service : config_.gateway->services) {
      for (const gateway::VersionOptions& version : service.versions) {
        if (!HasVersion(next, service.name, version.version))
          monitor_->Forget(service.name, version.version);
      }
    }
    return OkStatus();
  }

  /// Null: there is none.
  static const gateway::ServiceOptions* ServiceOf(const gateway::Options& options,
                                                  const std::string& name) {
    const auto at = std::find_if(options.services.begin(), options.services.end(),
                                 [&](const auto& service) { return service.name == name; });
    return at == options.services.end() ? nullptr : &*at;
  }
  static bool HasVersion(const gateway::Options& options, const std::string& service,
                         int64_t version) {
    const gateway::ServiceOptions* const of = ServiceOf(options, service);
    return of != nullptr && std::any_of(of->versions.begin(), of->versions.end(),
                                        [&](const auto& v) { return v.version == version; });
  }

  /// Until a rollout is over both of its versions stay, in its probation too, when the old one has no traffic; and so does who gets
  /// which of them: its evidence is of the users that it has begun with.
  Status CheckRollouts(const gateway::Options& next) const {
    for (const RolloutView& rollout : rollouts_->List()) {
      if (HasEnded(rollout.phase)) continue;
      const gateway::ServiceOptions* const from = ServiceOf(*config_.gateway, rollout.model);
      if (from == nullptr) continue;  // gone before this process has begun
      const gateway::ServiceOptions* const to = ServiceOf(next, rollout.model);
      std::string what;
      for (const int64_t version : {rollout.candidate, rollout.stable}) {
        if (!HasVersion(next, rollout.model, version) &&
            HasVersion(*config_.gateway, rollout.model, version))
          what = StrCat("version ", version);
      }
      if (to != nullptr && what.empty() &&
          (from->split.by != to->split.by || from->split.name != to->split.name))
        what = "the split (by, name)";
      // Of one that has begun before rollouts had seeds of their own.
      if (to != nullptr && what.empty() && !rollout.split_seed &&
          from->split.seed != to->split.seed)
        what = "the split's seed";
      if (what.empty()) continue;
      return FailedPreconditionError(
          StrCat("gateway.services: ", what, " of ", rollout.model, " must stay while rollout ",
                 rollout.id, " from version ", rollout.stable, " to ", rollout.candidate,
                 " is under way (", RolloutPhaseName(rollout.phase), "); `leadsman rollout abort ",
                 rollout.id, "` or `leadsman rollout promote ", rollout.id, " --full` ends it"));
    }
    return OkStatus();
  }

  void TurnUnready() override { stopping_ = true; }

  void BeginDrain(std::chrono::milliseconds grace) override {
    stopping_ = true;
    if (predictor_) predictor_->Drain();
    reload_requests_.Stop();
    if (repository_) (void)repository_->StopWithin(0ms);
    if (control_) control_->Stop();  // who waits for a load is told so
    drain_until_ = std::min(drain_until_, clock_.SteadyNow() + grace);
    // Who is told by then that its worker was ended is to hear of it.
    const bool workers = python_ && !releasing_ && !python_->GetVitals().versions.empty();
    const auto cut = workers && grace > 0ms ? grace + kLastAnswers : grace;
    for (net::DrainableServer* server : Drainables()) server->BeginDrain(cut);
  }

  bool AwaitDrained(std::chrono::milliseconds wait) override {
    if (clock_.SteadyNow() >= drain_until_) EndWorkers();
    auto deadline = clock_.SteadyNow() + wait;
    for (net::DrainableServer* server : Drainables()) {
      auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - clock_.SteadyNow());
      if (!server->AwaitDrained(std::max(left, 0ms))) return false;
    }
    return true;
  }

  void Stop(std::chrono::milliseconds wait) override {
    if (const std::optional<int> code = StopRooms(wait)) std::quick_exit(*code);
  }

  Status Release() override {
    releasing_ = true;
    plane_.SetTarget(nullptr);
    // First of all: a command that was taken is to be in the journal. Who connects from now on waits for who has the port next.
    if (admin_server_) admin_server_->Shutdown(kReleaseWait);
    if (monitor_ && !monitor_->Flush(kLastWait))
      LOG_WARN("the monitor did not finish writing in time", {"waited_ms", kLastWait});
    if (rollouts_) {
      rollouts_->Stop();
      rollouts_->TickOnce();  // what has been counted since the last one is in the journal, too
    }
    BeginDrain(kReleaseWait);
    (void)AwaitDrained(kReleaseWait);
    if (!StopRooms(kLastWait)) return OkStatus();
    return DeadlineExceededError("a part of the process cannot be ended; the log says which");
  }

  std::string MetricsReference() const { return MetricsReferenceMarkdown(registry_); }

 private:
  Server(Config config, Reloader::Load load, ReloadOptions options, DataPlane& plane,
         GatewayHooks hooks)
      : options_(std::move(options)),
        plane_(plane),
        hooks_(std::move(hooks)),
        config_(std::move(config)),
        config_json_(ShownConfigJson(config_)),
        plain_model_(config_.plain.model),
        mlflow_model_(config_.mlflow.model),
        reloader_(clock_, registry_, std::move(load),
                  [this](const Config& next, std::vector<std::string>& needs_restart) {
                    return Apply(next, needs_restart);
                  }) {}

  /// A model of Python runs in a process that can be ended, at the end of the drain's time, and when nobody is left to hear of it.
  void EndWorkers() {
    if (!python_ || std::exchange(workers_ended_, true)) return;
    const std::vector<std::string> at_work = python_->EndCalls();
    if (at_work.empty()) return;
    LOG_WARN("models still compute after the drain; their Python workers are ended",
             {"models", Join(at_work, ", ")});
  }

  /// What ends the process with this code: it cannot be ended otherwise. Everything that is worth it is written by then.
  std::optional<int> StopRooms(std::chrono::milliseconds wait) {
    if (stopped_) return std::nullopt;
    stopped_ = true;
    EndWorkers();
    bool ended = !predictor_ || predictor_->Stop(wait);
    if (gate_check_.joinable()) gate_check_.join();  // within a tenth of a second
    if (rollouts_) rollouts_->Stop();
    if (alarms_) alarms_->Stop();
    if (cloudevents_server_)
      cloudevents_server_->Shutdown(std::min<std::chrono::milliseconds>(wait, 1s));
    if (cloudevents_) cloudevents_->Stop();
    if (exchanges_ != nullptr && HasGateway()) exchanges_->Stop();
    if (intake_) intake_->Stop();
    if (monitor_ && !monitor_->Flush(5s)) LOG_WARN("the monitor did not finish writing within 5 s");
    ProfileSenderOut().reset();  // sends what was seen until now
    if (admin_server_) admin_server_->Shutdown(std::min<std::chrono::milliseconds>(wait, 1s));
    if (!ended) {
      LOG_ERROR("a model still computes after the drain; the process ends without waiting for it",
                {"models", Join(predictor_->Computing(), ", ")}, {"waited_further_ms", wait});
      return 1;
    }
    file_check_.reset();
    metrics_sender_.reset();  // sends once more, while all of it is there
    registrations_.clear();   // they read the servers, which go now
    data_server_.reset();
    grpc_server_.reset();
    grpc_socket_server_.reset();
    cloudevents_server_.reset();
    envoy_server_.reset();
    admin_server_.reset();
    if (alarms_ && !alarms_->EndWithin(kAlarmsWait)) {
      LOG_WARN("the disk of data_dir has not taken the alarms; it is waited for no longer",
               {"waited_ms", kAlarmsWait});
      return 0;
    }
    if (repository_ && !repository_->StopWithin(wait)) {
      LOG_WARN("a look at the repository hangs; it is waited for no longer", {"waited_ms", wait});
      return 0;
    }
    // Neither a load that is inside a runtime nor a listing of a mount that hangs can be interrupted.
    if (lifecycle_ && !lifecycle_->StopWithin(wait)) {
      LOG_WARN("a version is still being loaded or listed; it is waited for no longer",
               {"waited_ms", wait});
      return 0;
    }
    if (lifecycle_) lifecycle_->Stop();
    return std::nullopt;
  }

  /// The models of a serialized ModelServerConfig instead of those that are configured; those that are new.
  Result<std::vector<std::string>> ApplyModelsOf(const std::string& model_server_config) {
    std::vector<std::string> added;
    Status applied = reloader_.Take([&]() -> Result<Config> {
      MutexLock one(apply_mutex_);
      if (config_.repository.mode == ModelControl::Mode::kExplicit) {
        return FailedPreconditionError(
            "models are loaded one by one here (repository.control: explicit); use "
            "RepositoryModelLoad of inference.GRPCInferenceService");
      }
      auto running = [&](const std::string& name) {
        return std::find_if(config_.models.begin(), config_.models.end(),
                            [&](const Config::Model& m) { return m.model.name == name; });
      };
      auto initial = [&](const std::string& name) {
        if (options_.initial_model) return options_.initial_model(name);
        auto it = running(name);
        return it != config_.models.end() ? *it : Config::Model();
      };
      ASSIGN_OR_RETURN(Config next, tfserving::WithModelsOf(model_server_config, config_, initial));
      for (const Config::Model& model : next.models) {
        if (running(model.model.name) == config_.models.end()) added.push_back(model.model.name);
      }
      return next;
    });
    if (!applied.ok()) return applied;
    return added;
  }

  /// Models whose folders have come into the repository, or gone.
  Status ApplyRepository(const RepositoryListing& found) {
    RepositoryChange change;
    Status status = reloader_.Adapt([&]() -> Result<std::optional<Config>> {
      Config next;
      {
        MutexLock one(apply_mutex_);
        next = config_;
      }
      const bool by_request = next.repository.mode == ModelControl::Mode::kExplicit;
      change = TakeRepository(
          found, [&](const std::string& model) { return by_request && control_->IsLoaded(model); },
          next);
      if (!change.any()) return std::optional<Config>();
      RETURN_IF_ERROR(ApplyOverrides({}, next));  // what only the whole shows
      return std::optional<Config>(std::move(next));
    });
    if (!status.ok()) {
      LOG_ERROR("what has changed in the repository is not in force; it is tried again",
                {"added", HumanList(change.added)}, {"removed", HumanList(change.removed)},
                {"reason", status});
    } else if (change.any()) {
      LOG_INFO("the repository has changed", {"added", HumanList(change.added)},
               {"removed", HumanList(change.removed)});
    }
    return status;
  }

  std::vector<net::DrainableServer*> Drainables() {
    std::vector<net::DrainableServer*> servers;
    if (data_server_) servers.push_back(data_server_.get());
    if (grpc_server_) servers.push_back(grpc_server_.get());
    if (grpc_socket_server_) servers.push_back(grpc_socket_server_.get());
    if (envoy_server_) servers.push_back(envoy_server_.get());
    if (gateway_ != nullptr && HasGateway()) servers.push_back(gateway_);
    return servers;
  }

  Readiness GetReadiness() const {
    if (stopping_ && !releasing_) return {.reasons = {"the server is stopping"}};
    Readiness readiness{.models = lifecycle_->NotReady()};
    for (const UnreadyModel& model : readiness.models) {
      readiness.reasons.push_back(StrCat("model ", model.model, ": ", model.detail));
    }
    if (gateway_) {
      for (std::string& reason : gateway_->Awaited())
        readiness.reasons.push_back(std::move(reason));
    }
    if (intake_ && !intake_->looked()) readiness.reasons.push_back("logs are being looked for");
    // What the rollouts wait for counts until it has been there once.
    if (readiness.reasons.empty() && !predictor_->SettledOnce()) {
      readiness.reasons = predictor_->AwaitedVersions();
      if (readiness.reasons.empty() && !predictor_->SettledOnce()) {
        readiness.reasons.push_back("models are being loaded");
      }
    }
    return readiness;
  }

  Status Build() {
    registrations_ = AddProcessMetrics(registry_, kLeadsmanVersion);
    const PluginOptions plugins = PluginsOf(config_);
    if (!IsMonitorOnly(config_)) LoadBackends(plugins, backends_);
    RegisterPython(plugins.plugin_dirs);

    RETURN_IF_ERROR(PrepareDataDir());
    RETURN_IF_ERROR(plane_.Build(config_));
    gateway_ = plane_.gateway.get();
    exchanges_ = plane_.exchanges.get();
    RETURN_IF_ERROR(BuildMonitor());
    plane_.SetTarget(monitor_ ? static_cast<Sink*>(monitor_.get()) : &null_sink_);
    Sink& sink = plane_.events();

    StorageOptions storage = config_.storage;
    if (storage.cache_dir.empty()) storage.cache_dir = InDataDir("cache");
    stores_ = std::make_unique<Stores>(std::move(storage), EnvironmentVariable);
    lifecycle_ = std::make_unique<LifecycleManager>(
        LifecycleManager::Deps{
            clock_, backends_, nullptr, stores_.get(),
            [this](const ServableVersion& version) { return predictor_->Prepare(version); },
            [this](const std::string& model, int64_t version, uint32_t id) {
              serving_metrics_->Forget(model, version, id);
              if (monitor_) monitor_->Forget(model, version);
            },
            tfserving::WithBatchingOfVersion,
            [this](const ServableVersion& version, const std::string& directory,
                   const std::atomic<bool>& cancel) {
              return rpc::ReplayTfServingWarmup(version, directory, cancel, clock_);
            }},
        config_.lifecycle);
    for (auto& registration : RegisterLifecycleMetrics(*lifecycle_, registry_)) {
      registrations_.push_back(std::move(registration));
    }
    control_ = std::make_unique<ModelControl>(*lifecycle_, clock_, config_.repository);
    const std::string given = MakeGivenFolder();
    if (config_.repository.files) control_->KeepGivenIn(given);
    if (!config_.repository.path.empty()) {
      repository_ = std::make_unique<RepositoryWatch>(
          config_.repository.path, config_.lifecycle.poll_interval,
          [this](const RepositoryListing& found) { return ApplyRepository(found); });
      control_->FindBy([this](ModelControl::Done done) { repository_->LookNow(std::move(done)); });
    }
    const bool tfserving = config_.telemetry.Has(Config::CompatMetrics::kTfServing);
    serving_metrics_ = std::make_unique<ServingMetrics>(registry_, tfserving, &plane_.exemplars);

    Predictor::Options serving;
    serving.pool_threads = OrCores(config_.server.pool_threads);
    serving.pool_queue = config_.server.pool_queue;
    serving.pool_queue_bytes = config_.server.pool_queue_bytes;
    serving.default_timeout = config_.server.request_timeout;
    for (const Config::Model& model : config_.models) {
      serving.watched[model.model.name] = WatchedPartOf(model.monitoring);
      if (model.monitoring.enabled) serving.segments[model.model.name] = model.monitoring.segments;
    }
    predictor_ = std::make_unique<Predictor>(
        Predictor::Deps{clock_, *lifecycle_, sink, serving_metrics_.get()}, std::move(serving));

    if (config_.telemetry.Has(Config::CompatMetrics::kTriton)) {
      TritonMetricSources sources{.statistics = [this] { return predictor_->Statistics(); },
                                  .loads = [this] { return LoadsOfReady(); }};
      for (auto& registration : AddTritonMetrics(std::move(sources), registry_))
        registrations_.push_back(std::move(registration));
    }
    if (tfserving) {
      for (auto& registration : AddTfServingMetrics(*serving_metrics_, registry_))
        registrations_.push_back(std::move(registration));
    }

    RETURN_IF_ERROR(BuildRollouts());
    RETURN_IF_ERROR(BuildAlarms());
    // Before the first request: a model that is still to be loaded is UNAVAILABLE, not NOT_FOUND.
    RETURN_IF_ERROR(control_->Apply(ModelsOf(config_)));
    RETURN_IF_ERROR(Listen());

    // Start() applies the journal's wanted state (pins, routes) before it returns, and so before the first version is
    // loaded: a restart in mid-rollout must not load, or send traffic to, anything the rollout would not.
    if (rollouts_) rollouts_->Start();
    lifecycle_->Start();
    if (repository_) RETURN_IF_ERROR(repository_->Start());
    // Counting begins with the alarms' first look: before the first line of a log.
    if (alarms_) RETURN_IF_ERROR(StartAlarms());
    if (intake_) intake_->Start();
    if (gateway_) RETURN_IF_ERROR(StartGateway());
    built_ = true;
    return OkStatus();
  }

  /// Whether the gateway ends with this server, instead of going on without it.
  bool HasGateway() const { return built_ && !releasing_; }

  /// Only now: the shares of the traffic are those that the journal says. One that runs already was there before this.
  Status StartGateway() {
    if (plane_.proxying) return OkStatus();
    // What can fail comes before the other process is told that this one is ready.
    RETURN_IF_ERROR(exchanges_->Start());
    RETURN_IF_ERROR(gateway_->Prepare());
    if (hooks_.before_start) RETURN_IF_ERROR(hooks_.before_start());
    RETURN_IF_ERROR(gateway_->Start());
    plane_.proxying = true;
    if (hooks_.after_start) hooks_.after_start();
    const gateway::View view = gateway_->view();
    for (const gateway::ListenerView& listener : view.listeners) {
      LOG_INFO("proxying", {"address", listener.address}, {"port", listener.port},
               {"services", view.services.size()}, {"admin_port", admin_server_->port()},
               {"version", kLeadsmanVersion});
    }
    return OkStatus();
  }

  Status StartAlarms() {
    const bool any = config_.admin.address == "0.0.0.0" || config_.admin.address == "::";
    const std::string host = any ? std::string("127.0.0.1") : config_.admin.address;
    const bool v6 = host.find(':') != std::string::npos;
    return alarms_->Start(StrCat(admin_certificates_ ? "https://" : "http://", v6 ? "[" : "", host,
                                 v6 ? "]" : "", ":", admin_server_->port()));
  }

  /// One that could answer, one that is proxied, or one that only a log or an edge tells of.
  bool CanGetRequests(const std::string& model) const {
    auto status = lifecycle_->GetStatus(model);
    if (!status.ok() && gateway_ && !watches_others_) {
      const std::vector<std::string> services = gateway_->services();
      if (std::find(services.begin(), services.end(), model) == services.end()) return false;
    }
    if (!status.ok()) return config_.monitor.options.edges || monitor_->WasObserved(model);
    for (const VersionStatus& version : status->versions) {
      if (version.state == VersionState::kReady) return true;
    }
    return false;
  }

  Status BuildAlarms() {
    if (!monitor_) return OkStatus();
    Alarms::Deps deps{clock_, registry_, *monitor_, {}, {}};
    deps.ways = {.logs = intake_.get(),
                 .cloudevents = cloudevents_.get(),
                 .events = events_.get(),
                 .envoy = envoy_intake_.get(),
                 .exchanges = exchanges_,
                 .handover = &*plane_.sink};
    deps.expected = [this](const std::string& model) { return CanGetRequests(model); };
    auto alarms = Alarms::Create(std::move(deps), config_, InDataDir("alarms.db"));
    if (!alarms.ok()) return Annotate(alarms.status(), "open the alarms");
    alarms_ = std::move(alarms).value();
    return OkStatus();
  }

  Status BuildMonitor() {
    if (!NeedsMonitor(config_)) {
      if (!config_.monitor.send_profiles) return OkStatus();
      return FailedPreconditionError(
          "monitor.send_profiles: nothing is seen here that could be sent: monitoring.enabled of "
          "every model is false");
    }
    MonitorOptions options = config_.monitor.options;
    options.database = InDataDir("monitor.db");
    options.keep_intervals = config_.monitor.send_profiles.has_value();
    Monitor::Deps deps{clock_, registry_, plane_.redactor.get()};
    if (config_.run_gateway)
      deps.labelled = [shadows = plane_.shadows](const LabelledPrediction& labelled) {
        shadows->OnLabelled(labelled);
      };
    auto monitor = Monitor::Create(std::move(deps), options, MonitoringOf(config_));
    if (!monitor.ok()) return Annotate(monitor.status(), "start the monitor");
    monitor_ = std::move(monitor).value();
    std::vector<std::string> elsewhere;
    for (const auto& [name, monitoring] : config_.monitor.observed) elsewhere.push_back(name);
    if (!elsewhere.empty() && !IsMonitorOnly(config_))
      LOG_INFO("models without a path are served elsewhere, and only watched here",
               {"models", HumanList(elsewhere)});
    events_ = std::make_unique<intake::EventIntake>(clock_, *monitor_, registry_);
    if (config_.monitor.cloudevents) {
      cloudevents_ = std::make_unique<intake::CloudEventIntake>(
          intake::CloudEventIntake::Deps{
              clock_, *monitor_, registry_,
              [this](const GroundTruth& label) { return monitor_->TryAddLabel(label); }},
          intake::CloudEventIntake::Options());
    }
    if (config_.monitor.envoy) {
      envoy_intake_ = std::make_unique<intake::EnvoyIntake>(
          intake::EnvoyIntake::Deps{clock_, *monitor_, registry_, plane_.redactor.get()},
          *config_.monitor.envoy);
    }
    if (config_.monitor.logs.empty()) return OkStatus();
    auto intake = intake::LogIntake::Create(
        {clock_, *monitor_, registry_, [this] { return monitor_->Flush(kLastWait); },
         plane_.redactor.get()},
        {config_.monitor.logs, config_.data_dir});
    if (!intake.ok()) return Annotate(intake.status(), "follow the logs (monitor.logs)");
    intake_ = std::move(intake).value();
    return OkStatus();
  }

  AdminApi::MetricsState MetricsState() const {
    SeriesBudget::View view = metrics_.view();
    AdminApi::MetricsState state{.series = view.series, .max_series = view.max_series};
    for (SeriesBudget::LeftOut& one : view.left_out)
      state.left_out.push_back({std::move(one.family), one.series, one.buckets_only});
    return state;
  }

  Status SendProfiles() {
    if (!config_.monitor.send_profiles) return OkStatus();
    auto sender = ProfileSender::Create({.clock = clock_,
                                         .registry = registry_,
                                         .take = [this] { return monitor_->TakeIntervals(); },
                                         .edge = StrCat(HostName(), ":", admin_server_->port()),
                                         .process = RandomSeed()},
                                        *config_.monitor.send_profiles);
    if (!sender.ok()) return Annotate(sender.status(), "monitor.send_profiles");
    MutexLock lock(sender_mutex_);
    profile_sender_ = std::move(sender).value();
    return OkStatus();
  }
  std::shared_ptr<ProfileSender> ProfileSenderOut() {
    MutexLock lock(sender_mutex_);
    return std::exchange(profile_sender_, nullptr);
  }
  std::string SendingNote() const {
    MutexLock lock(sender_mutex_);
    return profile_sender_ ? profile_sender_->Note() : "";
  }

  Status SendMetrics() {
    const OtlpMetricsOptions& options = config_.telemetry.metrics.otlp;
    if (!options.enabled()) return OkStatus();
    const std::string host = HostName();
    const double started = ReadProcessFigures().start_time_unix_seconds;
    OtlpMetricsSender::Deps deps{
        .clock = clock_,
        .registry = registry_,
        .collect = [this] { return metrics_.Collect(); },
        .source = {.service_name = options.service_name,
                   .instance_id = options.instance_id.empty()
                                      ? StrCat(host, ":", admin_server_->port())
                                      : options.instance_id,
                   .version = kLeadsmanVersion,
                   .host = host},
        .started = started > 0 ? WallTime(std::chrono::duration_cast<WallTime::duration>(
                                     std::chrono::duration<double>(started)))
                               : clock_.Now()};
    ASSIGN_OR_RETURN(metrics_sender_, OtlpMetricsSender::Create(std::move(deps), options));
    return OkStatus();
  }

  /// Starts nothing: a machine without Python finds out when it is given a model of Python.
  void RegisterPython(const std::vector<std::string>& plugin_dirs) {
    if (!config_.backends.python.enabled) {
      python::PythonHost::RegisterMissing(
          backends_,
          UnimplementedError("models of Python are turned off: backends.python.enabled is false"));
      return;
    }
    python::PythonOptions options;
    options.plugin_dirs = plugin_dirs;
    options.environment = EnvironmentMap();
    options.interpreter = config_.backends.python.interpreter;
    if (options.interpreter.empty())
      options.interpreter = EnvironmentVariable("LEADSMAN_PYTHON_WORKER");
    if (options.interpreter.empty()) options.interpreter = "python3";
    python_ = python::PythonHost::Create(clock_, std::move(options));
    python_->Register(backends_);
    for (auto& registration : python::RegisterPythonMetrics(*python_, registry_)) {
      registrations_.push_back(std::move(registration));
    }
  }

  Status PrepareDataDir() {
    if (config_.data_dir.empty()) return OkStatus();
    std::error_code error;
    std::filesystem::create_directories(config_.data_dir, error);
    if (error) {
      return FailedPreconditionError(
          StrCat("data_dir ", config_.data_dir, " cannot be created: ", error.message(),
                 "; give another by --data-dir, or an empty one to keep nothing"));
    }
    // Two processes would each write its own idea of the rollouts into one journal.
    return data_dir_lock_.Take(config_.data_dir);
  }

  /// Of all ways in that are used.
  std::vector<intake::SourceView> IntakeViews() const {
    std::vector<intake::SourceView> views;
    if (intake_) views = intake_->views();
    if (cloudevents_) views.push_back(cloudevents_->view());
    if (intake::SourceView view = events_->view(); view.lines > 0) views.push_back(std::move(view));
    return views;
  }

  std::string InDataDir(const char* file) const {
    return config_.data_dir.empty() ? ""
                                    : (std::filesystem::path(config_.data_dir) / file).string();
  }

  /// Of the models that clients send; what a process that was killed has left there goes.
  std::string MakeGivenFolder() {
    std::error_code error;
    std::string folder = InDataDir("given-models");
    if (!folder.empty()) {
      std::filesystem::remove_all(folder, error);
      if (error) {
        LOG_WARN("models that clients sent to an earlier process are left over", {"folder", folder},
                 {"why", error.message()});
      }
      return folder;
    }
    const std::filesystem::path temporary = std::filesystem::temp_directory_path(error);
    return temporary.empty() ? "/tmp" : temporary.string();
  }

  std::vector<TritonMetricSources::Load> LoadsOfReady() const {
    std::vector<TritonMetricSources::Load> loads;
    for (const ModelStatus& model : lifecycle_->GetStatus()) {
      for (const VersionStatus& version : model.versions) {
        if (version.state == VersionState::kReady)
          loads.push_back({model.name, version.version, version.load_took});
      }
    }
    return loads;
  }

  static void WarnOf(const GateCheck& gates) {
    for (const std::string& line : gates.warnings)
      LOG_WARN("a gate could not be checked", {"what", line});
  }

  /// Of plans that are to come in force after those `before`.
  Status CheckGates(const std::map<std::string, RolloutPlan>& plans,
                    const std::map<std::string, RolloutPlan>& before) {
    const GateCheck gates = CheckPromqlGates(plans, before, stopping_);
    WarnOf(gates);
    return gates.status();
  }

  /// A server that starts serves, whatever a Prometheus has: what its gates will not be answered is said, and their rollouts hold.
  void CheckGatesBeside(const std::map<std::string, RolloutPlan>& plans) {
    const bool asks = std::any_of(plans.begin(), plans.end(), [](const auto& plan) {
      return std::any_of(plan.second.gates.begin(), plan.second.gates.end(), [](const auto& gate) {
        return gate.kind == RolloutGate::Kind::kPromql && !gate.outside.allow_absent;
      });
    });
    if (!asks) return;
    auto thread = StartThread("gate-check", [this, plans] {
      const GateCheck gates = CheckPromqlGates(plans, {}, stopping_);
      for (const std::string& line : gates.refused)
        LOG_WARN("a gate asks for what is not there: its rollouts hold", {"what", line});
      WarnOf(gates);
    });
    if (thread.ok()) gate_check_ = std::move(thread).value();
  }

  /// Services that are proxied here: a rollout of them may be started with its plan.
  std::map<std::string, AdminApi::Deps::ProxiedService> ProxiedServices() const {
    std::map<std::string, AdminApi::Deps::ProxiedService> services;
    for (const gateway::ServiceView& service : gateway_->view().services) {
      AdminApi::Deps::ProxiedService& one = services[service.name];
      one.main = gateway_->MainVersion(service.name).value_or(0);
      for (const gateway::VersionView& version : service.versions)
        one.versions.push_back(version.version);
    }
    return services;
  }

  Result<RolloutPlan> FitPlan(const std::string& model, RolloutPlan plan) {
    ASSIGN_OR_RETURN(plan, FitGivenPlan(config_in_force(), model, std::move(plan)));
    RETURN_IF_ERROR(CheckGates({{model, plan}}, {}));
    return plan;
  }

  /// By a person. A service that is kept only by a plan which came with a rollout's start is theirs again.
  Status SetGatewayWeights(const std::string& service, const std::map<int64_t, double>& weights) {
    bool kept = false;
    if (rollouts_) {
      const std::vector<std::string> names = rollouts_->KeptByStart();
      kept = std::find(names.begin(), names.end(), service) != names.end() && !RunsRollout(service);
    }
    RETURN_IF_ERROR(gateway_->SetWeights(service, weights, kept));
    return kept ? rollouts_->LetGo(service) : OkStatus();
  }
  bool RunsRollout(const std::string& model) const {
    const std::vector<RolloutView> all = rollouts_->List();
    return std::any_of(all.begin(), all.end(), [&](const RolloutView& rollout) {
      return rollout.model == model && !HasEnded(rollout.phase);
    });
  }

  /// What was kept by a plan of its own and is proxied here no more.
  void LetGoOfOthers(const Config& config) {
    for (const std::string& model : rollouts_->KeptByStart()) {
      if (config.run_gateway && ServiceOf(*config.gateway, model) != nullptr) continue;
      if (Status let_go = rollouts_->LetGo(model); !let_go.ok())
        LOG_WARN("a rollout goes on whose service is not proxied here any more", {"model", model},
                 {"reason", let_go});
    }
  }

  Status BuildRollouts() {
    std::map<std::string, RolloutPlan> plans = PlansOf(config_);
    // A gateway's rollouts may bring their plans along.
    if (plans.empty() && (!config_.run_gateway || !monitor_)) return OkStatus();
    if (!monitor_) {
      return FailedPreconditionError(
          "a rollout needs evidence: set monitoring.enabled of its model to true");
    }
    metric_source_ = std::make_unique<MonitorMetricSource>(
        *monitor_, plane_.shadows, [this](const std::string& model, int64_t version) {
          return gateway_ ? gateway_->CopiesNotTaken(model, version) : uint64_t{0};
        });
    if (gateway_) {
      actuator_ = std::make_unique<GatewayActuator>(*gateway_);
      observer_ = std::make_unique<GatewayVersionObserver>(*gateway_);
    } else {
      actuator_ = std::make_unique<EmbeddedActuator>(*predictor_, *lifecycle_);
      observer_ = std::make_unique<LifecycleVersionObserver>(*lifecycle_);
    }
    auto tell = [this](const RolloutEvent& event) {
      if (alarms_) alarms_->Tell(event);
    };
    CheckGatesBeside(plans);
    auto rollouts =
        RolloutController::Create({clock_, *metric_source_, *actuator_, *observer_, registry_,
                                   InDataDir("journal.db"), &outside_asker_, std::move(tell)},
                                  std::move(plans));
    if (!rollouts.ok()) return Annotate(rollouts.status(), "open the rollout journal");
    rollouts_ = std::move(rollouts).value();
    LetGoOfOthers(config_);
    return OkStatus();
  }

  /// The certificates' files, which may have changed.
  void CheckFiles() {
    if (server_certificates_) server_certificates_->CheckFiles();
    if (grpc_certificates_ != server_certificates_) grpc_certificates_->CheckFiles();
    if (admin_certificates_) admin_certificates_->CheckFiles();
    if (authorizer_) authorizer_->CheckFiles();
    if (gateway_) gateway_->CheckFiles();
  }

  Status ReadCertificates() {
    const bool grpc_too = config_.server.grpc_ssl_config_file.empty();
    auto read = [&](const char* section, const char* port, const net::TlsServerOptions& options,
                    std::shared_ptr<net::ServerCertificates>& out) {
      if (!options.enabled()) return OkStatus();
      auto made = net::ServerCertificates::Create(options, clock_, port);
      if (!made.ok()) return Annotate(made.status(), section);
      out = std::move(made).value();
      return OkStatus();
    };
    RETURN_IF_ERROR(read("server.tls", grpc_too ? "serving, grpc" : "serving", config_.server.tls,
                         server_certificates_));
    RETURN_IF_ERROR(read("admin.tls", "admin", config_.admin.tls, admin_certificates_));
    grpc_certificates_ = server_certificates_;
    if (!config_.server.grpc_ssl_config_file.empty()) {
      auto made = net::ServerCertificates::CreateFrom(
          tfserving::SslConfigFile(config_.server.grpc_ssl_config_file), clock_, "grpc");
      if (!made.ok()) return Annotate(made.status(), "--ssl_config_file");
      grpc_certificates_ = std::move(made).value();
    }
    const bool own = grpc_certificates_ != server_certificates_;
    for (auto& registration : AddTlsMetrics({{"serving", server_certificates_.get()},
                                             {"grpc", own ? grpc_certificates_.get() : nullptr},
                                             {"admin", admin_certificates_.get()}},
                                            registry_)) {
      registrations_.push_back(std::move(registration));
    }
    return OkStatus();
  }

  Status ReadTokens() {
    if (config_.auth.enabled()) {
      auto made = Authorizer::Create(config_.auth, clock_);
      if (!made.ok()) return Annotate(made.status(), "auth.tokens_file");
      authorizer_ = std::move(made).value();
    }
    for (auto& registration : AddAuthMetrics(authorizer_.get(), registry_)) {
      registrations_.push_back(std::move(registration));
    }
    return OkStatus();
  }

  /// The model that a request means which names none; empty when that is not clear.
  std::string DefaultModel(std::string_view path) const {
    const std::string& named = path == "/invocations" ? mlflow_model_ : plain_model_;
    if (!named.empty()) return named;
    auto table = predictor_->lifecycle().table().Get();
    return table->models.size() == 1 ? table->models.begin()->first : "";
  }

  static std::string RefusalBody(int /*status*/, std::string_view message) {
    std::string body = "{\"error\":";
    AppendJsonString(body, message);
    return body + "}";
  }

  /// By the head of a request, before its body is taken.
  bool AdmitServing(const net::HttpRequest& request, net::HttpResponse& refusal) const {
    return IsAllowed(*authorizer_,
                     ServingAccess(request.asked_method(), request.path, serving_paths_), request,
                     refusal, RefusalBody);
  }

  bool AdmitAdmin(const net::HttpRequest& request, net::HttpResponse& refusal) const {
    return IsAllowed(*authorizer_, AdminAccess(request.asked_method(), request.path), request,
                     refusal, AdminApi::ErrorBody);
  }

  void HandleServing(net::HttpExchange& exchange) {
    const net::HttpRequest& request = exchange.request();
    if (HandleHealth(exchange, [this] { return GetReadiness(); })) return;
    if (authorizer_ && NamesNoModel(request.path) &&
        !IsAllowed(*authorizer_, DefaultModelAccess(request.path, serving_paths_), request,
                   exchange.response(), RefusalBody)) {
      return;
    }
    frontend_->Handle(exchange);
  }

  /// Of ports that another process can take over; null: they go with their servers.
  net::ListenerStore* KeptListeners() const {
    return config_.run_gateway && config_.hot_restart.enabled ? &plane_.listeners : nullptr;
  }

  Status Listen() {
    RETURN_IF_ERROR(ReadCertificates());
    RETURN_IF_ERROR(ReadTokens());
    HttpFrontend::Options frontend;
    frontend.server_version = kLeadsmanVersion;
    frontend.ready = [this] { return GetReadiness().ready(); };
    frontend.control = control_.get();
    frontend.mlflow.model = config_.mlflow.model;
    frontend.mlflow.output = config_.mlflow.output;
    frontend.plain.model = config_.plain.model;
    frontend.plain.input_field = config_.plain.input_field;
    frontend.plain.prediction_field = config_.plain.output_field;
    frontend.cors = config_.server.cors;
    frontend.max_input_bytes = config_.server.limits.max_body;
    frontend.metrics_path = config_.server.metrics_path;
    frontend.metrics = [this](net::HttpExchange& exchange) { HandleMetrics(metrics_, exchange); };
    serving_paths_ = {frontend.metrics_path,
                      [this](std::string_view path) { return DefaultModel(path); }};
    frontend_ = std::make_unique<HttpFrontend>(*predictor_, std::move(frontend));
    registrations_.push_back(registry_.Add(
        {"leadsman_mlflow_ignored_params_total",
         "Requests at /invocations whose params were ignored, for the model takes none.",
         MetricType::kCounter,
         {}},
        [this] {
          MetricSample sample;
          sample.value = static_cast<double>(frontend_->ignored_params().total());
          return std::vector<MetricSample>{sample};
        }));

    AdminApi::Deps console{clock_,           *lifecycle_,    registry_,
                           predictor_.get(), monitor_.get(), rollouts_.get()};
    if (alarms_) console.alarms = &alarms_->loop();
    console.version = kLeadsmanVersion;
    console.metrics = [this](net::HttpExchange& exchange) { HandleMetrics(metrics_, exchange); };
    console.metrics_state = [this] { return MetricsState(); };
    console.readiness = [this] { return GetReadiness(); };
    console.readiness_notes = [this] {
      std::vector<std::string> notes;
      if (intake_) notes = LogNotes(intake_->views());
      if (monitor_) {
        for (std::string& note : monitor_->Notes()) notes.push_back(std::move(note));
      }
      if (alarms_) {
        for (std::string& note : alarms_->Notes()) notes.push_back(std::move(note));
      }
      if (gateway_) {
        for (std::string& problem : gateway_->Problems()) notes.push_back(std::move(problem));
      }
      if (std::string note = SendingNote(); !note.empty()) notes.push_back(std::move(note));
      if (repository_) {
        if (std::string note = repository_->Note(); !note.empty()) notes.push_back(std::move(note));
      }
      return notes;
    };
    console.reload = [this] { return reloader_.Reload("api"); };
    console.reload_state = [this] {
      Reloader::State state = reloader_.state();
      return AdminApi::ReloadState{.succeeded = state.succeeded,
                                   .failed = state.failed,
                                   .last_success = state.last_success,
                                   .last_trigger = std::move(state.last_trigger),
                                   .error = std::move(state.error),
                                   .needs_restart = std::move(state.needs_restart)};
    };
    console.events = events_.get();
    if (monitor_) {
      console.logs_json = [this] { return LogReportJson(monitor_->Observed(), IntakeViews()); };
    }
    if (envoy_intake_) {
      console.envoy_json = [this] { return EnvoyReportJson(monitor_->Observed(), *envoy_intake_); };
    }
    if (gateway_) {
      console.gateway_json = [this] {
        return GatewayReportJson(gateway_->view(), exchanges_->view());
      };
      console.set_gateway_weights = [this](const std::string& service,
                                           const std::map<int64_t, double>& weights) {
        return SetGatewayWeights(service, weights);
      };
      console.proxied_services = [this] { return ProxiedServices(); };
    }
    if (rollouts_) {
      console.fit_plan = [this](const std::string& model, RolloutPlan plan) {
        return FitPlan(model, std::move(plan));
      };
    }
    if (KeptListeners() != nullptr) {
      console.hot_restart = [this, path = HotRestartPath(config_)] {
        return AdminApi::HotRestartState{
            .generation = plane_.generation, .failed = plane_.failed_takeovers, .socket = path};
      };
    }
    console.configuration_json = [this] {
      MutexLock lock(config_mutex_);
      return config_json_;
    };
    admin_ = std::make_unique<AdminApi>(std::move(console));

    net::HttpServerOptions admin;
    admin.name = "admin";
    admin.address = config_.admin.address;
    admin.port = config_.admin.port;
    admin.certificates = admin_certificates_;
    admin.listeners = KeptListeners();
    admin.error_body = AdminApi::ErrorBody;
    if (authorizer_) {
      admin.admit = [this](const net::HttpRequest& head, net::HttpResponse& refusal) {
        return AdmitAdmin(head, refusal);
      };
    }
    auto admin_server =
        net::HttpServer::Start(admin, [this](net::HttpExchange& e) { admin_->Handle(e); });
    if (!admin_server.ok())
      return Annotate(admin_server.status(), "admin port (admin.port, --admin-port)");
    admin_server_ = std::move(admin_server).value();

    body_budget_ = std::make_shared<ByteBudget>(config_.server.limits.max_held);
    registrations_.push_back(AddBodyBudgetMetric(body_budget_, registry_));
    RETURN_IF_ERROR(ListenHttp());
    RETURN_IF_ERROR(ListenGrpc());
    if (cloudevents_) {
      cloudevents_->Start();
      const Config::CloudEvents& port = *config_.monitor.cloudevents;
      ASSIGN_OR_RETURN(cloudevents_server_, ListenForCloudEvents(port.address, port.port,
                                                                 *cloudevents_, KeptListeners()));
    }
    RETURN_IF_ERROR(ListenEnvoy());

    std::vector<HttpServerStatsSource> servers = {
        {"admin", [this] { return admin_server_->stats(); }}};
    if (data_server_) servers.push_back({"serving", [this] { return data_server_->stats(); }});
    if (grpc_server_) servers.push_back({"grpc", [this] { return grpc_server_->stats(); }});
    if (cloudevents_server_)
      servers.push_back({"cloudevents", [this] { return cloudevents_server_->stats(); }});
    if (grpc_socket_server_)
      servers.push_back({"grpc_socket", [this] { return grpc_socket_server_->stats(); }});
    if (envoy_server_) servers.push_back({"envoy", [this] { return envoy_server_->stats(); }});
    for (auto& registration : AddHttpServerMetrics(std::move(servers), registry_)) {
      registrations_.push_back(std::move(registration));
    }
    for (auto& registration : rpc::RegisterGrpcMetrics(grpc_server_.get(), registry_)) {
      registrations_.push_back(std::move(registration));
    }
    RETURN_IF_ERROR(SendMetrics());
    RETURN_IF_ERROR(SendProfiles());
    ASSIGN_OR_RETURN(file_check_,
                     Periodic::Start("file-check", kFileCheck, [this] { CheckFiles(); }));
    if (gateway_ && IsMonitorOnly(config_)) return OkStatus();  // says so when it has started
    if (IsMonitorOnly(config_)) {
      LOG_INFO("monitoring", {"admin_address", config_.admin.address},
               {"admin_port", admin_server_->port()}, {"logs", config_.monitor.logs.size()},
               {"cloudevents_port", cloudevents_server_ ? cloudevents_server_->port() : 0},
               {"envoy_port", envoy_server_ ? envoy_server_->port() : 0},
               {"edges", config_.monitor.options.edges.has_value()}, {"data_dir", config_.data_dir},
               {"version", kLeadsmanVersion});
      return OkStatus();
    }
    LOG_INFO("serving", {"address", config_.server.address},
             {"port", data_server_ ? data_server_->port() : 0},
             {"admin_address", config_.admin.address}, {"admin_port", admin_server_->port()},
             {"grpc_port", grpc_server_ ? grpc_server_->port() : 0},
             {"grpc_socket", config_.server.grpc_socket}, {"tls", server_certificates_ != nullptr},
             {"grpc_tls", grpc_certificates_ != nullptr},
             {"io_threads", OrCores(config_.server.io_threads)}, {"models", config_.models.size()},
             {"version", kLeadsmanVersion});
    return OkStatus();
  }

  Status ListenHttp() {
    if (!config_.server.http) return OkStatus();
    net::HttpServerOptions data;
    data.name = "serving";
    data.address = config_.server.address;
    data.port = config_.server.port;
    data.certificates = server_certificates_;
    data.io_threads = OrCores(config_.server.io_threads);
    data.limits_setting = "server.limits";
    data.max_header_bytes = config_.server.limits.max_header;
    data.max_body_bytes = config_.server.limits.max_body;
    data.body_budget = body_budget_;
    data.max_connections = config_.server.limits.max_connections;
    data.idle_timeout = config_.server.limits.idle_timeout;
    data.read_timeout = config_.server.limits.read_timeout;
    data.write_timeout = config_.server.limits.write_timeout;
    if (authorizer_) {
      data.admit = [this](const net::HttpRequest& head, net::HttpResponse& refusal) {
        return AdmitServing(head, refusal);
      };
    }
    auto data_server =
        net::HttpServer::Start(data, [this](net::HttpExchange& e) { HandleServing(e); });
    if (!data_server.ok())
      return Annotate(data_server.status(), "serving port (server.port, --port)");
    data_server_ = std::move(data_server).value();
    return OkStatus();
  }

  rpc::GrpcServer::Options GrpcOptions() {
    rpc::GrpcServer::Options options;
    options.server_version = kLeadsmanVersion;
    options.ready = [this] { return GetReadiness().ready(); };
    options.predict_tensor_content = config_.server.predict_tensor_content;
    options.models.load = [this](const std::string& model, GivenModel given,
                                 ModelControl::Done done) {
      control_->Load(model, std::move(given), std::move(done));
    };
    options.models.unload = [this](const std::string& model) { return control_->Unload(model); };
    options.models.index = [this] { return control_->Index(); };
    options.models.reload = [this](std::string config, ModelControl::Done done) {
      reload_requests_.Submit(std::move(config), std::move(done));
    };
    options.models.metrics = [this](const std::vector<std::string>& names) {
      const std::vector<MetricFamily> families = registry_.Collect();
      std::vector<int64_t> values;
      for (const std::string& name : names) values.push_back(TensorFlowCounter(families, name));
      return values;
    };
    if (authorizer_) {
      options.authorize = [this](std::string_view authorization, std::string_view method,
                                 const rpc::CalledModel& model) {
        return CheckAccess(*authorizer_, GrpcAccess(method, model), authorization);
      };
    }
    options.max_stream_requests = config_.server.limits.max_stream_requests;
    options.http2.name = "grpc";
    options.http2.address = config_.server.address;
    options.http2.port = config_.server.grpc_port;
    options.http2.io_threads = OrCores(config_.server.io_threads);
    options.http2.max_header_bytes = config_.server.limits.max_header;
    const Config::Limits& limits = config_.server.limits;
    options.http2.max_body_bytes = limits.max_message;
    options.http2.body_budget = body_budget_;
    options.http2.limits_setting = "server.limits";
    options.max_expanded_bytes = limits.max_body;
    // One of the largest, and what others send meanwhile.
    options.http2.max_held_bytes = limits.max_message + 4 * limits.max_body;
    options.http2.max_unsent_bytes = 4 * limits.max_body;
    options.http2.max_streams = limits.max_streams;
    options.http2.max_connection_age = limits.max_connection_age;
    options.http2.max_connection_age_grace = limits.max_connection_age_grace;
    options.http2.max_connections = config_.server.limits.max_connections;
    options.http2.idle_timeout = config_.server.limits.idle_timeout;
    options.http2.read_timeout = config_.server.limits.read_timeout;
    options.http2.write_timeout = config_.server.limits.write_timeout;
    options.http2.certificates = grpc_certificates_;
    options.http2.http1_hint =
        data_server_
            ? StrCat("this port speaks gRPC (HTTP/2) only; REST is at port ", data_server_->port())
            : "this port speaks gRPC (HTTP/2) only; REST is off (--rest_api_port)";
    return options;
  }

  /// The port, the Unix socket, or both: each a server of its own, of the same face.
  Status ListenGrpc() {
    if (config_.server.grpc) {
      auto server = rpc::GrpcServer::Start(*predictor_, GrpcOptions());
      if (!server.ok())
        return Annotate(server.status(),
                        "gRPC port (server.grpc_port, --grpc-port; off by server.grpc: false)");
      grpc_server_ = std::move(server).value();
    }
    if (!config_.server.grpc_socket.empty()) {
      rpc::GrpcServer::Options options = GrpcOptions();
      options.http2.name = "grpc-socket";
      options.http2.socket_path = config_.server.grpc_socket;
      auto server = rpc::GrpcServer::Start(*predictor_, std::move(options));
      if (!server.ok()) return Annotate(server.status(), "gRPC socket (server.grpc_socket)");
      grpc_socket_server_ = std::move(server).value();
    }
    return OkStatus();
  }

  Status ListenEnvoy() {
    if (!envoy_intake_) return OkStatus();
    auto server = rpc::EnvoyServer::Start(*envoy_intake_, clock_, KeptListeners());
    if (!server.ok())
      return Annotate(server.status(), "port for Envoy (monitor.envoy.port, --envoy-port)");
    envoy_server_ = std::move(server).value();
    return OkStatus();
  }

  DataDirLock data_dir_lock_;  ///< let go last
  const ReloadOptions options_;
  DataPlane& plane_;
  const GatewayHooks hooks_;
  gateway::Gateway* gateway_ = nullptr;          ///< of the data plane; null: nothing is proxied
  intake::ExchangeIntake* exchanges_ = nullptr;  ///< likewise
  std::atomic<bool> releasing_{false};           ///< the data plane goes on without this
  bool built_ = false;                           ///< of the owner's thread
  mutable Mutex apply_mutex_;                    ///< one reload at a time
  Config config_;                                ///< the start's and the reloads'
  Mutex config_mutex_;
  std::string config_json_ GUARDED_BY(config_mutex_);
  std::atomic<bool> stopping_{false};
  bool stopped_ = false;  ///< main thread
  SteadyTime drain_until_ = SteadyTime::max();
  bool workers_ended_ = false;
  const bool watches_others_ = WatchesOthers(config_);

  Clock& clock_ = SystemClock();
  Registry& registry_ = plane_.registry;
  SeriesBudget metrics_{registry_, config_.telemetry.metrics.max_series};
  BackendRegistry backends_;
  std::shared_ptr<python::PythonHost> python_;  ///< null when turned off
  NullSink null_sink_;
  std::unique_ptr<Monitor> monitor_;
  std::unique_ptr<intake::EventIntake> events_;            ///< null without a monitor
  std::unique_ptr<intake::CloudEventIntake> cloudevents_;  ///< null: no port for them
  std::unique_ptr<intake::LogIntake> intake_;              ///< null: no logs are read
  std::unique_ptr<intake::EnvoyIntake> envoy_intake_;      ///< null: Envoy is not listened to
  std::unique_ptr<Stores> stores_;
  std::unique_ptr<LifecycleManager> lifecycle_;
  std::unique_ptr<ModelControl> control_;
  std::shared_ptr<ByteBudget> body_budget_;
  std::unique_ptr<ServingMetrics> serving_metrics_;
  std::unique_ptr<Predictor> predictor_;
  std::unique_ptr<MonitorMetricSource> metric_source_;
  std::unique_ptr<Actuator> actuator_;
  std::unique_ptr<VersionObserver> observer_;
  OutsideAsker outside_asker_{clock_};  ///< of gates
  std::thread gate_check_;              ///< of the start; ends by itself
  std::unique_ptr<RolloutController> rollouts_;
  std::unique_ptr<Alarms> alarms_;                                ///< null: nothing is watched
  std::shared_ptr<net::ServerCertificates> server_certificates_;  ///< null: plain text
  std::shared_ptr<net::ServerCertificates> grpc_certificates_;    ///< the same, or its own
  std::shared_ptr<net::ServerCertificates> admin_certificates_;
  const std::string plain_model_;           ///< a copy that I/O threads may read
  const std::string mlflow_model_;          ///< a copy that I/O threads may read
  std::unique_ptr<Authorizer> authorizer_;  ///< null: no tokens are asked for
  ServingPaths serving_paths_;              ///< a copy that I/O threads may read
  std::unique_ptr<HttpFrontend> frontend_;
  std::unique_ptr<AdminApi> admin_;
  std::unique_ptr<net::HttpServer> admin_server_;
  std::unique_ptr<net::HttpServer> cloudevents_server_;
  std::unique_ptr<net::HttpServer> data_server_;
  std::unique_ptr<rpc::GrpcServer> grpc_server_;
  std::unique_ptr<rpc::GrpcServer> grpc_socket_server_;
  std::unique_ptr<rpc::EnvoyServer> envoy_server_;  ///< null: Envoy is not listened to
  std::unique_ptr<Periodic> file_check_;
  std::unique_ptr<OtlpMetricsSender> metrics_sender_;  ///< null: nobody is sent them
  mutable Mutex sender_mutex_;                         ///< it comes and goes while operators ask
  std::shared_ptr<ProfileSender> profile_sender_ GUARDED_BY(sender_mutex_);  ///< likewise
  std::vector<Registry::Registration> registrations_;  ///< read the rooms above: first to go
  Reloader reloader_;
  std::unique_ptr<RepositoryWatch> repository_;  ///< null: there is no folder of models
  tfserving::ReloadRequests reload_requests_{
      {.apply = [this](const std::string& config) { return ApplyModelsOf(config); },
       .await = [this](std::vector<std::string> models,
                       ModelControl::Done done) { control_->Await(std::move(models), done); }}};
};

}  // namespace

Result<std::unique_ptr<ControlPlane>> CreateControlPlane(
    Config config, const std::function<Result<Config>()>& load, const ReloadOptions& options,
    DataPlane& plane, GatewayHooks hooks) {
  auto server = Server::Create(std::move(config), load, options, plane, std::move(hooks));
  if (!server.ok()) return server.status();
  return std::unique_ptr<ControlPlane>(std::move(server).value());
}

int RunServer(Config config, std::function<Result<Config>()> reload, const std::string& config_path,
              ReloadOptions options) {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  ConfigureLog(config.log.level, config.log.format == Config::LogFormat::kJson);
  const DrainMachine::Options drain{.delay = config.server.drain_delay,
                                    .timeout = config.server.drain_timeout};
  // Before anything is started, which takes time: the file may change meanwhile.
  std::optional<ConfigWatcher> watcher;
  if (config.config_reload == Config::Reload::kAuto && !config_path.empty())
    watcher.emplace(config_path);
  if (config.run_gateway && config.hot_restart.enabled) {
    return RunUpgradable(std::move(config), reload, options,
                         {.signals = signals,
                          .drain = drain,
                          .watcher = std::move(watcher),
                          .last_wait = kLastWait});
  }
  DataPlane plane(SystemClock());
  auto server = Server::Create(std::move(config), std::move(reload), options, plane);
  if (!server.ok()) {
    LOG_ERROR("cannot start", {"reason", std::string(server.status().message())});
    return 1;
  }
  const bool hastened =
      ServeUntilDrained(**server, signals, drain, std::move(watcher), options.look_every);
  (*server)->Stop(hastened ? 1s : kLastWait);
  LOG_INFO("stopped");
  return 0;
}

std::vector<std::string> PluginFormatsOf(const Config& config) {
  return FormatsOfPlugins(PluginsOf(config).plugin_dirs);
}

std::string MetricsReferencePage() {
  // Everything is registered at construction, so a server of nothing, in memory, knows every family.
  Config config;
  config.server.address = "127.0.0.1";
  config.server.port = 0;
  config.server.grpc_port = 0;
  config.admin.port = 0;
  config.data_dir.clear();
  config.telemetry.compat = {Config::CompatMetrics::kTriton, Config::CompatMetrics::kTfServing};
  config.telemetry.tracing.otlp_url = "http://127.0.0.1:9/v1/traces";
  config.telemetry.metrics.otlp.url = "http://127.0.0.1:9/v1/metrics";
  config.plugins.dirs = {"/nonexistent"};
  Config::Model model;
  model.model.name = "reference";
  model.model.path = "/nonexistent";
  model.rollout = RolloutPlan();
  config.models.push_back(model);
  config.monitor.logs.emplace_back().path = "/nonexistent/*.log";
  config.monitor.cloudevents = Config::CloudEvents{.address = "127.0.0.1", .port = 0};
  config.monitor.envoy.emplace().port = 0;
  config.monitor.options.labels.redis.emplace().address = "127.0.0.1:9";
  config.monitor.options.edges.emplace();
  gateway::Options& proxied = config.gateway.emplace();
  proxied.listeners.push_back({.address = "127.0.0.1", .port = 0});
  proxied.services.emplace_back().name = "reference";
  proxied.services[0].versions.push_back({.version = 1, .endpoints = {"127.0.0.1:9"}});
  config.run_gateway = true;
  config.monitor.send_profiles.emplace().target.url = "http://127.0.0.1:9";
  ConfigureLog(LogLevel::kError, false);
  DataPlane plane(SystemClock());
  auto server = Server::Create(
      std::move(config), [] { return Result<Config>(Config()); }, {}, plane);
  if (!server.ok()) return std::string(server.status().message());
  return "# Metrics\n\n<!-- Generated by `leadsman reference metrics`; a test compares. Change the "
         "descriptions in the code "
         "instead. -->\n\n`GET /metrics` on the admin port, in Prometheus text, OpenMetrics or "
         "protocol buffers, whichever the scraper prefers (docs/metrics-out.md). "
         "Times are in seconds, sizes in\nbytes; labels come from the configuration and from "
         "versions, never from clients.\nModels seen in logs are at most 256 pairs of model and "
         "version a source. Those of other servers (`nv_…`, `:tensorflow:…`), whose "
         "names say their units, are there with "
         "`telemetry.compat`.\n\n" +
         (*server)->MetricsReference();
}

}  // namespace leadsman
