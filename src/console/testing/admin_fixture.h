#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "backend/testing/fake_backend.h"
#include "base/check.h"
#include "base/mutex.h"
#include "base/testing/temp_dir.h"
#include "console/admin_api.h"
#include "console/testing/fake_rollouts.h"
#include "lifecycle/testing/model_folder.h"
#include "net/http_client.h"
#include "net/http_server.h"

namespace leadsman {

/// A whole admin port: real lifecycle, predictor, monitor and HTTP server, with the fake backend and fake rollouts. Model
/// "digits" has the versions 1 and 2.
class AdminFixture {
 public:
  AdminFixture() {
    backends_.Register("fake", backend_);
    WriteModelVersion(dir_.path(), "digits", 1);
    WriteModelVersion(dir_.path(), "digits", 2);
    MonitorOptions monitoring;
    monitoring.edges.emplace();
    auto monitor = Monitor::Create({SystemClock(), registry_}, std::move(monitoring),
                                   {{"digits", MonitorConfig()}});
    CHECK(monitor.ok());
    monitor_ = std::move(*monitor);
    lifecycle_ = std::make_unique<LifecycleManager>(
        LifecycleManager::Deps{SystemClock(), backends_,
                               [this](const std::string&, int64_t, VersionState, const Status&) {
                                 changed_.NotifyAll();
                               }},
        LifecycleManager::Options{.poll_interval = std::chrono::milliseconds(20)});
    predictor_ = std::make_unique<Predictor>(
        Predictor::Deps{SystemClock(), *lifecycle_, *monitor_, nullptr}, Predictor::Options());
    AdminApi::Deps deps{SystemClock(), *lifecycle_, registry_};
    deps.predictor = predictor_.get();
    deps.monitor = monitor_.get();
    deps.rollouts = &rollouts;
    deps.alarms = &alarms;
    deps.configuration_json = [] { return std::string(R"({"models":[]})"); };
    deps.metrics = [](net::HttpExchange& exchange) {
      exchange.response().content_type = "text/plain";
      exchange.response().body = "leadsman_up 1\n";
    };
    deps.logs_json = [] { return std::string(R"({"models":[],"sources":[]})"); };
    events_ = std::make_unique<intake::EventIntake>(SystemClock(), *monitor_, registry_);
    deps.events = events_.get();
    deps.envoy_json = [] {
      return std::string(
          R"({"models":[],"access_log":{},"ext_proc":{},"seen_twice":0,"other_paths":{},"features":{}})");
    };
    deps.gateway_json = [] {
      return std::string(R"({"listeners":[],"connections":0,"services":[]})");
    };
    deps.set_gateway_weights = [](const std::string& service, const std::map<int64_t, double>&) {
      return service == "digits" ? OkStatus() : NotFoundError("there is no service " + service);
    };
    deps.proxied_services = [this] { return proxied; };
    deps.fit_plan = [](const std::string&, RolloutPlan plan) { return plan; };
    deps.version = "0.0.1";
    alarms.Add(std::make_unique<GivenWatch>(findings));
    api = std::make_unique<AdminApi>(std::move(deps));
    auto server = net::HttpServer::Start(
        {.name = "admin", .max_body_bytes = 4 << 20, .error_body = AdminApi::ErrorBody},
        [this](net::HttpExchange& exchange) { api->Handle(exchange); });
    CHECK(server.ok());
    server_ = std::move(*server);
    client_ = net::MakeHttpClient();
  }
  ~AdminFixture() {
    server_->Shutdown(std::chrono::milliseconds(0));
    predictor_.reset();
    lifecycle_->Stop();
  }

  /// Both versions, loaded.
  void LoadModels() {
    ModelConfig config;
    config.name = "digits";
    config.path = ModelFolder(dir_.path(), "digits");
    config.policy.kind = VersionPolicy::Kind::kAll;
    config.warmup_requests = 0;
    CHECK(lifecycle_->Apply({config}).ok());
    lifecycle_->Start();
    // Bounded: ten seconds, should a version never come.
    MutexLock lock(mutex_);
    for (int i = 0; i < 500 && !BothReady(); ++i)
      changed_.WaitFor(mutex_, std::chrono::milliseconds(20));
    CHECK(BothReady());
  }

  /// Version `version` excluded by a verdict, and gone.
  void Reject(int64_t version) {
    lifecycle_->SetPins("digits", {.keep = {1}, .exclude = {version}});
    MutexLock lock(mutex_);
    for (int i = 0; i < 500 && !IsGone(version); ++i)
      changed_.WaitFor(mutex_, std::chrono::milliseconds(20));
    CHECK(IsGone(version));
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_->port()); }
  net::ClientResponse Call(const std::string& method, const std::string& path,
                           const std::string& body = "") {
    net::ClientRequest request;
    request.method = method;
    request.url = url() + path;
    request.body = body;
    auto response = client_->Send(request);
    CHECK(response.ok());
    return std::move(*response);
  }
  Monitor& monitor() { return *monitor_; }
  Predictor& predictor() { return *predictor_; }

  FakeRollouts rollouts;
  /// None: nothing is proxied.
  std::map<std::string, AdminApi::Deps::ProxiedService> proxied;
  /// What every look finds; alarms.Look() is one.
  std::vector<Finding> findings;

 private:
  class GivenWatch final : public Watch {
   public:
    explicit GivenWatch(const std::vector<Finding>& findings) : findings_(findings) {}
    std::vector<Finding> Look(WallTime, SteadyTime) override { return findings_; }

   private:
    const std::vector<Finding>& findings_;
  };
  Registry registry_;
  std::unique_ptr<AlarmStore> alarm_store_ = *AlarmStore::Open("");

 public:
  AlarmLoop alarms{{SystemClock(), registry_, *alarm_store_}, AlarmBookOptions()};
  std::unique_ptr<AdminApi> api;

 private:
  bool IsGone(int64_t version) const {
    auto status = lifecycle_->GetStatus("digits");
    if (!status.ok()) return false;
    for (const VersionStatus& v : status->versions) {
      if (v.version == version) return v.state == VersionState::kGone;
    }
    return false;
  }
  bool BothReady() const {
    auto status = lifecycle_->GetStatus("digits");
    int ready = 0;
    if (status.ok()) {
      for (const VersionStatus& version : status->versions)
        ready += version.state == VersionState::kReady ? 1 : 0;
    }
    return ready == 2 && status->listing_round > 0 && lifecycle_->SettledOnce();
  }

  TempDir dir_;
  Mutex mutex_;
  CondVar changed_;
  std::shared_ptr<FakeBackend> backend_ = std::make_shared<FakeBackend>();
  BackendRegistry backends_;
  std::unique_ptr<Monitor> monitor_;
  std::unique_ptr<intake::EventIntake> events_;
  std::unique_ptr<LifecycleManager> lifecycle_;
  std::unique_ptr<Predictor> predictor_;
  std::unique_ptr<net::HttpServer> server_;
  std::unique_ptr<net::HttpClient> client_;
};

}  // namespace leadsman
