#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "intake/event_intake.h"
#include "lifecycle/manager.h"
#include "monitor/alarm_loop.h"
#include "monitor/monitor.h"
#include "net/http_server.h"
#include "rollout/controller.h"
#include "serving/predictor.h"
#include "stats/registry.h"

namespace leadsman {

/// The operators' port: health, status, models, rollouts with their evidence, labels,
/// configuration; described by GET /openapi.json, which is made from the same table that requests
/// are routed by.
///
///   AdminApi api({.clock = clock, .lifecycle = lifecycle, …});
///   auto server = net::HttpServer::Start(options, [&](net::HttpExchange& e) { api.Handle(e); });
///
/// Thread-safe; immutable but for request counters. Handle answers on the caller's thread; the
/// longest calls read the monitor's or the journal's database.
class AdminApi {
 public:
  /// What came of the configuration's reloads.
  struct ReloadState {
    uint64_t succeeded = 0;
    uint64_t failed = 0;
    WallTime last_success{};   ///< at first of the start
    std::string last_trigger;  ///< "signal", "file", "api", "client"; empty before the first
    std::string error;         ///< why the last one failed; empty: it did not
    std::vector<std::string> needs_restart;
  };
  /// How many series /metrics has, and what is left out of it because there were too many.
  struct MetricsState {
    struct LeftOut {
      std::string family;
      size_t series = 0;
      bool buckets_only = false;  ///< of a histogram
    };
    size_t series = 0;
    size_t max_series = 0;  ///< 0: no limit
    std::vector<LeftOut> left_out;
  };
  /// Upgrade in place.
  struct HotRestartState {
    int generation = 0;   ///< how many processes came before this one
    uint64_t failed = 0;  ///< attempts of others to take over
    std::string socket;
  };
  struct Deps {
    Clock& clock;
    LifecycleManager& lifecycle;
    Registry& registry;
    Predictor* predictor =
        nullptr;                 ///< may be absent: then traffic shares are those without a rollout
    Monitor* monitor = nullptr;  ///< may be absent: labels and windows answer 501
    RolloutController* rollouts = nullptr;  ///< may be absent: no model has a plan
    AlarmLoop* alarms = nullptr;            ///< may be absent: nothing is watched
    std::function<std::string()> configuration_json;
    std::function<void(net::HttpExchange&)> metrics;  ///< answers GET /metrics
    std::function<MetricsState()> metrics_state;      ///< may be absent
    /// Default: what LifecycleManager::NotReady says.
    std::function<Readiness()> readiness;
    /// What an operator should know and is no reason to be unready; may be absent.
    std::function<std::vector<std::string>()> readiness_notes;
    /// Reads the configuration again; absent: POST /api/v1/reload answers 501.
    std::function<Status()> reload;
    std::function<ReloadState()> reload_state;     ///< may be absent
    std::function<std::string()> logs_json;        ///< absent: no logs are read
    intake::EventIntake* events = nullptr;         ///< absent: POST /api/v1/events answers 501
    std::function<std::string()> envoy_json;       ///< absent: Envoy is not listened to
    std::function<std::string()> gateway_json;     ///< absent: nothing is proxied
    std::function<HotRestartState()> hot_restart;  ///< absent: no other process can take over
    /// What is proxied here, by service. With gateway_json.
    struct ProxiedService {
      int64_t main = 0;  ///< that has most of the traffic; 0: a rollout decides
      std::vector<int64_t> versions;
    };
    std::function<std::map<std::string, ProxiedService>()> proxied_services;
    /// A plan that comes with the start of a rollout, as the configuration would have it. INVALID_ARGUMENT,
    /// FAILED_PRECONDITION: why it cannot be the model's. Absent: plans come from the configuration alone.
    std::function<Result<RolloutPlan>(const std::string& model, RolloutPlan plan)> fit_plan;
    /// Shares of the traffic of a service's versions. With gateway_json.
    std::function<Status(const std::string& service, const std::map<int64_t, double>& weights)>
        set_gateway_weights;
    std::string version;  ///< of the program
  };
  explicit AdminApi(Deps deps);
  ~AdminApi();
  AdminApi(const AdminApi&) = delete;
  AdminApi& operator=(const AdminApi&) = delete;

  void Handle(net::HttpExchange& exchange);

  /// The OpenAPI 3.1 document, indented.
  std::string OpenApiJson() const;

  /// Body of errors that the HTTP server answers by itself, in the shape of this API; for
  /// HttpServerOptions::error_body.
  static std::string ErrorBody(int status, std::string_view message);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace leadsman
