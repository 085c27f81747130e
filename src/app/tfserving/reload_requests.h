#pragma once

#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "app/config.h"
#include "app/tfserving/config_files.h"
#include "base/mutex.h"
#include "base/status.h"

namespace leadsman::tfserving {

/// `running` with the models of a serialized ModelServerConfig instead of its own, checked as a whole. What each model
/// starts from is `initial`, given its name; its path, format, policy and labels are those of the request alone.
/// INVALID_ARGUMENT names the field.
Result<Config> WithModelsOf(std::string_view model_server_config, const Config& running,
                            const InitialModel& initial);

/// Carries out ModelService/HandleReloadConfigRequest, one after the other, on a thread of its own, which begins with the
/// first of them:
///
///   Submit → (queue) → apply → await → done
///
/// Thread-safe.
class ReloadRequests {
 public:
  using Done = std::function<void(const Status&)>;
  struct Steps {
    /// Puts a serialized ModelServerConfig in force; the names of the models that are new.
    std::function<Result<std::vector<std::string>>(const std::string& config)> apply;
    /// Calls `done` when all of `models` are ready, or cannot be, as ModelControl::Await.
    std::function<void(std::vector<std::string> models, Done done)> await;
  };
  explicit ReloadRequests(Steps steps) : steps_(std::move(steps)) {}
  ~ReloadRequests() { Stop(); }

  /// Calls `done` once, from any thread. Beyond the errors of the steps: RESOURCE_EXHAUSTED, UNAVAILABLE when this has been
  /// stopped; a model that did not become ready is UNKNOWN, as of TensorFlow Serving.
  void Submit(std::string config, Done done);
  /// Those that wait get UNAVAILABLE. Waits for the one that is being applied. May be called again.
  void Stop();

 private:
  struct Request {
    std::string config;
    Done done;
  };
  void Loop();
  void CarryOut(Request request);

  const Steps steps_;
  Mutex mutex_;
  CondVar wake_;
  std::deque<Request> waiting_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::thread thread_;  ///< begun under the lock; ended by Stop
};

}  // namespace leadsman::tfserving
