#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "backend/python/worker_loop.h"
#include "backend/python/worker_pool.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"

namespace leadsman::python {

/// The formats that Python workers run.
inline constexpr std::array<std::string_view, 4> kFormats = {"sklearn", "mlflow", "keras",
                                                             "python"};

struct PythonOptions {
  /// Where the plug-ins lie: the first that has python/leadsman_python_guard and python/run_worker.py is taken.
  std::vector<std::string> plugin_dirs;
  std::string interpreter = "python3";             ///< a path, or a name in PATH
  std::map<std::string, std::string> environment;  ///< the server's own
};

/// What the Python runtime does now, by model and version; for metrics.
struct PythonVitals {
  struct Version {
    std::string model;
    int64_t version = 0;
    PoolVitals pool;
  };
  struct Model {
    std::string name;
    std::array<uint64_t, kRestartReasons> restarts{};
    uint64_t log_lines_dropped = 0;
  };
  std::vector<Version> versions;
  std::vector<Model> models;  ///< every one that has been loaded since the start
};

/// Runs models of Python in processes of their own, one thread here looking after all of them. Nothing is started before
/// the first model is loaded. Thread-safe. Must outlive the models, which keep it alive.
class PythonHost : public std::enable_shared_from_this<PythonHost> {
 public:
  static std::shared_ptr<PythonHost> Create(Clock& clock, PythonOptions options);

  /// One backend a format, all of this host. Registered at start, whatever is installed: what a model needs is found out
  /// when one is loaded, and said in its status.
  void Register(BackendRegistry& registry);
  /// The same for a machine, or an operator, that does not want Python.
  static void RegisterMissing(BackendRegistry& registry, const Status& why);

  Result<std::unique_ptr<LoadedModel>> Load(const std::string& format, const LoadSpec& spec);
  PythonVitals GetVitals() const;
  /// The server goes, and does not wait any longer: the workers of all loaded models are ended (WorkerPool::EndCalls). Those that
  /// were at work: "slow:3".
  std::vector<std::string> EndCalls();

 private:
  friend class PythonModel;
  PythonHost(Clock& clock, PythonOptions options) : clock_(clock), options_(std::move(options)) {}
  Result<std::string> FindFolder() const;
  WorkerLoop& Loop();
  std::shared_ptr<ModelCounters> CountersOf(const std::string& model);
  void Enter(const std::string& model, int64_t version, WorkerPool* pool);
  void Leave(WorkerPool* pool);

  Clock& clock_;
  const PythonOptions options_;
  mutable Mutex mutex_;
  std::unique_ptr<WorkerLoop> loop_ GUARDED_BY(mutex_);  ///< made for the first model
  struct Entry {
    std::string model;
    int64_t version;
    WorkerPool* pool;
  };
  std::vector<Entry> pools_ GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<ModelCounters>> counters_ GUARDED_BY(mutex_);
};

/// {"inputs": [{"name", "datatype", "shape", "optional"}], "outputs": […]} as a worker sends it: INTERNAL when it makes no
/// sense.
Result<Signature> ParseWorkerSignature(const std::string& json);

}  // namespace leadsman::python
