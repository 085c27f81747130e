#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "lifecycle/given_model.h"
#include "lifecycle/manager.h"

namespace leadsman {

/// Who decides which of the configured models are in memory: the configuration alone (kPoll), or
/// clients, model by model (kExplicit), as Triton's model control modes have it. Stands between the
/// configuration and LifecycleManager::Apply, which nobody else may call.
///
/// Thread-safe. Nothing blocks; what takes long is told by a callback.
class ModelControl {
 public:
  enum class Mode { kPoll, kExplicit };
  struct Options {
    Mode mode = Mode::kPoll;
    /// A folder of models, which who calls Apply() has looked at; empty: there is none.
    std::string path;
    /// kExplicit: the models that are wanted from the start; "*" = all.
    std::vector<std::string> load_at_start;
    std::chrono::milliseconds load_timeout{300'000};  ///< how long a Load is waited for
    /// Clients may send models: who owns this calls KeepGivenIn then.
    bool files = false;
    int64_t max_files_size = int64_t{4} << 30;  ///< of the files of all such models together
    /// For tests: no thread, Poll() looks whether a load has ended.
    bool manual = false;
  };
  /// In Triton's words, which its users' scripts may look for.
  static constexpr const char* kNotExplicit =
      "explicit model load / unload is not allowed if polling is enabled; set repository.control: "
      "explicit in the configuration to load and unload models by request";
  /// How a Load or Unload went; called once, from a thread of this class or from the calling one.
  using Done = std::function<void(const Status&)>;
  /// Looks for models that have come since the last Apply, calls that if there are any, and then `done`, from any thread: with
  /// an error when it could not look.
  using Finder = std::function<void(Done done)>;

  /// `lifecycle` must outlive it.
  ModelControl(LifecycleManager& lifecycle, Clock& clock, Options options);
  ~ModelControl();  ///< Stop()

  /// Where models that are made of a client's files have their folders. Before the first Load; else there are no such.
  void KeepGivenIn(std::string folder);
  /// What a Load of a model asks that is not configured. Before the first Load.
  void FindBy(Finder finder);

  /// The configured models. In kPoll all are wanted, in kExplicit those that were loaded and still
  /// are configured; the first time, those of `load_at_start`. Errors as of LifecycleManager::Apply.
  Status Apply(std::vector<ModelConfig> models);

  /// Wants the model in memory and calls `done` once its newest versions are ready, or cannot be
  /// loaded (FAILED_PRECONDITION with the reason; what serves goes on serving), or load_timeout is
  /// over (DEADLINE_EXCEEDED; the load goes on). A loaded model's folder is looked at again.
  /// NOT_FOUND: not configured, and not found either; UNAVAILABLE: not in kPoll; RESOURCE_EXHAUSTED: too many are waited
  /// for.
  /// With what the client has given: `config` counts instead of the config.pbtxt of its folder, and `files` are the model instead
  /// of what lies there, until the next Load of it, which goes back to its folder, or an Unload. Loads of one model that give other
  /// things are done one after the other. A model that is not configured
  /// may be made of files, too, a hundred models at once and max_files_size bytes in all; INVALID_ARGUMENT as of CheckGivenModel().
  void Load(const std::string& model, GivenModel given, Done done);
  void Load(const std::string& model, Done done) { Load(model, GivenModel(), std::move(done)); }
  /// Calls `done` once each of `models`, which are configured, is ready as after a Load, in both modes; FAILED_PRECONDITION
  /// names all that cannot be. What the last Apply has changed is waited for. Errors as of Load.
  void Await(std::vector<std::string> models, Done done);
  /// Nobody is answered by the model from now on; its memory comes back once the requests that use
  /// it are done. Not loaded is fine, too. UNAVAILABLE: not in kPoll.
  Status Unload(const std::string& model);

  /// Whether it is wanted in memory: in kPoll, whether it is configured.
  bool IsLoaded(const std::string& model) const;
  /// Every configured model, also those that are not loaded, which have no versions. By name.
  std::vector<ModelStatus> Index() const;

  /// Those who wait get UNAVAILABLE.
  void Stop();

  /// Options::manual only.
  void Poll();

 private:
  struct Given;
  /// What the next Load of a model asks for: null for nothing.
  Result<std::shared_ptr<const Given>> Take(const std::string& model, GivenModel given);
  /// False when the model is not configured; otherwise `done` has been, or will be, called.
  bool LoadConfigured(const std::string& model, const std::shared_ptr<const Given>& given,
                      Done& done);
  Status NotConfigured(const std::string& model) const;

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace leadsman
