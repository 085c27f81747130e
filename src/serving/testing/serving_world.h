#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/testing/fake_backend.h"
#include "base/check.h"
#include "base/mutex.h"
#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "lifecycle/manager.h"
#include "lifecycle/testing/model_folder.h"
#include "serving/metrics.h"
#include "serving/predictor.h"
#include "stats/registry.h"

namespace leadsman {

/// A copy of what was emitted.
struct RecordedEvent {
  std::string model;
  int64_t version = 0;
  Protocol protocol = Protocol::kUnknown;
  StatusCode outcome = StatusCode::kOk;
  bool drawn = false;
  uint32_t rows = 0;
  uint32_t request_bytes = 0;
  uint32_t response_bytes = 0;
  uint64_t latency_ns = 0;
  uint64_t compute_ns = 0;
  std::string request_id;
  std::vector<float> features;
  float feature_weight = 0;
  std::vector<std::string> predicted;
  float score = 0;
  bool traced = false;
  std::array<uint8_t, 16> trace_id{};
  std::array<uint8_t, 8> span_id{};
  std::array<uint8_t, 8> parent_span_id{};
};

class RecordingSink final : public Sink {
 public:
  void Emit(const PredictionEvent& e) override {
    RecordedEvent r{std::string(e.model),
                    e.version,
                    e.protocol,
                    e.outcome,
                    e.drawn,
                    e.rows,
                    e.request_bytes,
                    e.response_bytes,
                    e.latency_ns,
                    e.compute_ns,
                    std::string(e.request_id),
                    {e.features.begin(), e.features.end()},
                    e.feature_weight,
                    {e.predicted.begin(), e.predicted.end()},
                    e.score,
                    e.traced,
                    e.trace_id,
                    e.span_id,
                    e.parent_span_id};
    MutexLock lock(mutex_);
    events_.push_back(std::move(r));
  }
  bool TryEmit(const PredictionEvent& e) override {
    Emit(e);
    return true;
  }
  uint32_t FeatureStride(size_t width) const override { return width <= 64 ? 1 : wide_stride; }
  std::vector<RecordedEvent> Take() {
    MutexLock lock(mutex_);
    return std::exchange(events_, {});
  }
  uint32_t wide_stride = 3;

 private:
  Mutex mutex_;
  std::vector<RecordedEvent> events_ GUARDED_BY(mutex_);
};

/// Everything below the protocols, with fake runtimes: model folders, the real lifecycle manager,
/// the real predictor on a clock that stands still, and a sink that remembers.
///   ServingWorld world;
///   world.AddModel("iris", {1, 2});
///   world.Start();
class ServingWorld {
 public:
  ServingWorld() { AddBackend("fake"); }
  ~ServingWorld() {
    predictor_.reset();
    if (lifecycle_) lifecycle_->Stop();
  }

  /// A format of its own for models of another signature.
  FakeBackend& AddBackend(const std::string& format) {
    auto backend = std::make_shared<FakeBackend>();
    backends_.Register(format, backend);
    fakes_[format] = backend;
    return *backend;
  }
  FakeBackend& backend(const std::string& format = "fake") { return *fakes_.at(format); }

  ModelConfig& AddModel(const std::string& name, const std::vector<int64_t>& versions,
                        const std::string& format = "fake") {
    for (int64_t version : versions) WriteModelVersion(dir_.path(), name, version, format);
    ModelConfig config;
    config.name = name;
    config.path = ModelFolder(dir_.path(), name);
    config.policy.kind = VersionPolicy::Kind::kAll;
    config.warmup_requests = 0;
    config.execution = ExecutionMode::kInline;
    config.load_retries = 0;
    std::filesystem::create_directories(config.path);
    configs_.push_back(std::make_unique<ModelConfig>(std::move(config)));
    expected_.push_back(versions);
    return *configs_.back();
  }

  /// Waits until every version of every model is ready.
  void Start(Predictor::Options options = {}) {
    StartLifecycle();
    predictor_ = std::make_unique<Predictor>(Predictor::Deps{clock, *lifecycle_, sink, &metrics},
                                             std::move(options));
    for (size_t i = 0; i < configs_.size(); ++i) {
      for (int64_t version : expected_[i]) AwaitReady(configs_[i]->name, version);
    }
  }
  void AwaitReady(const std::string& model, int64_t version) {
    Await([&] {
      auto table = lifecycle_->table().Get();
      auto it = table->models.find(model);
      return it != table->models.end() && it->second.ready.contains(version);
    });
  }
  void Await(const std::function<bool()>& condition) {
    for (int i = 0; i < 2000 && !condition(); ++i) {
      MutexLock lock(mutex_);
      changed_.WaitFor(mutex_, std::chrono::milliseconds(10));
    }
    CHECK(condition());
  }

  Predictor& predictor() { return *predictor_; }
  LifecycleManager& lifecycle() { return *lifecycle_; }
  const std::filesystem::path& folder() const { return dir_.path(); }

  FakeClock clock;
  RecordingSink sink;
  Registry registry;
  ServingMetrics metrics{registry};

 private:
  void StartLifecycle() {
    LifecycleManager::Options options;
    options.poll_interval = std::chrono::milliseconds(20);
    lifecycle_ = std::make_unique<LifecycleManager>(
        LifecycleManager::Deps{SystemClock(), backends_,
                               [this](const std::string&, int64_t, VersionState, const Status&) {
                                 changed_.NotifyAll();
                               }},
        options);
    std::vector<ModelConfig> configs;
    for (const auto& config : configs_) configs.push_back(*config);
    CHECK(lifecycle_->Apply(std::move(configs)).ok());
    lifecycle_->Start();
  }

  TempDir dir_;
  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, std::shared_ptr<FakeBackend>> fakes_;
  BackendRegistry backends_;
  std::vector<std::unique_ptr<ModelConfig>> configs_;
  std::vector<std::vector<int64_t>> expected_;
  std::unique_ptr<LifecycleManager> lifecycle_;
  std::unique_ptr<Predictor> predictor_;
};

}  // namespace leadsman
