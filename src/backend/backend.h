#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "tensor/tensor.h"

namespace leadsman {

/// What a backend needs to load one version.
struct LoadSpec {
  std::string model_name;
  int64_t version = 0;
  std::string directory;  ///< the version's folder, verified already
  std::string
      model_file;  ///< the file of the manifest that holds the model, relative to `directory`
  int intra_op_threads =
      1;  ///< threads that one inference may use; 1 = run on the calling thread alone
  /// Calls that are to run at once, for backends that have to make room for each: Python starts so many workers.
  int instances = 1;
  std::map<std::string, std::string> options;  ///< runtime settings, passed through
  /// What manifest.json says, for formats that do not say it themselves (a pickle); empty when it says nothing.
  Signature declared;
  /// Becomes true when nobody waits for the load any more; may be null. A load that takes long looks at it.
  const std::atomic<bool>* cancel = nullptr;
};

/// Runs one loaded model on one thread. Holds the buffers that are used again from call to call.
/// Confined: one call at a time; may move between threads between calls.
class ExecutionContext {
 public:
  virtual ~ExecutionContext() = default;

  /// Blocks for the inference. `inputs` are in the order of Signature::inputs (optional ones may be missing); shapes and
  /// types have been checked against the signature. Outputs come in the order of Signature::outputs and stay valid until
  /// the next Execute or the context's end. Errors: INVALID_ARGUMENT when the runtime refuses the values, INTERNAL
  /// when it breaks; the context can be used again after either.
  virtual Result<std::span<const TensorView>> Execute(std::span<const TensorView> inputs) = 0;

  /// The same for a caller who does not wait beyond `deadline`. A backend whose LoadedModel::waits() is true answers
  /// DEADLINE_EXCEEDED then; others cannot be interrupted and take no notice.
  virtual Result<std::span<const TensorView>> ExecuteBefore(SteadyTime /*deadline*/,
                                                            std::span<const TensorView> inputs) {
    return Execute(inputs);
  }
};

/// One way to call a model. Most models have one; a TensorFlow SavedModel may have several.
struct NamedSignature {
  std::string name;    ///< "serving_default"
  std::string method;  ///< what it is for, in TensorFlow's words: "tensorflow/serving/predict"
  Signature signature;
};

/// The name of a model's signature when its format has no names for them.
inline constexpr const char* kDefaultSignatureName = "serving_default";
inline constexpr const char* kPredictMethod = "tensorflow/serving/predict";

/// One version in memory. Immutable and thread-safe; contexts must be gone before it goes.
class LoadedModel {
 public:
  /// `signatures`: at least one, the default one first.
  explicit LoadedModel(std::vector<NamedSignature> signatures);
  /// Of a model with one signature.
  explicit LoadedModel(Signature signature);
  virtual ~LoadedModel() = default;
  LoadedModel(const LoadedModel&) = delete;
  LoadedModel& operator=(const LoadedModel&) = delete;

  const Signature& signature() const { return signatures_.front().signature; }
  std::span<const NamedSignature> signatures() const { return signatures_; }
  /// Empty: the default one. NOT_FOUND with the names that there are.
  Result<size_t> FindSignature(std::string_view name) const;

  /// For calls of signatures()[signature].
  virtual Result<std::unique_ptr<ExecutionContext>> NewContext(size_t signature = 0) = 0;

  /// True: Execute waits for another process, which may take any time. Never run on an I/O thread.
  virtual bool waits() const { return false; }
  /// How many calls can run at once; more of them wait for one another. 0 = as many as there are threads.
  virtual int concurrency() const { return 0; }
  /// What an operator should know of a version that is ready all the same ("1 of 2 workers is starting"); usually empty.
  virtual std::string note() const { return ""; }
  /// Resident memory that this model takes outside of the server's own process, now.
  virtual int64_t outside_memory_bytes() const { return 0; }

 private:
  const std::vector<NamedSignature> signatures_;
};

/// A model runtime. Thread-safe; Load may block for as long as loading takes.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual const std::string& name() const = 0;             ///< "onnxruntime"
  virtual const std::string& runtime_version() const = 0;  ///< "1.31.1"
  virtual Result<std::unique_ptr<LoadedModel>> Load(const LoadSpec& spec) = 0;
};

/// Format name ("onnx") → backend. A missing runtime is an entry with the reason, so that the status of a model can say
/// which package is missing. Built once at start, then immutable.
class BackendRegistry {
 public:
  void Register(std::string format, std::shared_ptr<Backend> backend) {
    entries_[std::move(format)] = {std::move(backend), OkStatus()};
  }
  void RegisterMissing(std::string format, Status why) {
    entries_[std::move(format)] = {nullptr, std::move(why)};
  }

  /// UNIMPLEMENTED for a format nobody knows, UNAVAILABLE with the reason when its runtime is not on this machine.
  Result<std::shared_ptr<Backend>> ForFormat(const std::string& format) const;
  struct Entry {
    std::shared_ptr<Backend> backend;
    Status missing;
  };
  const std::map<std::string, Entry>& entries() const { return entries_; }

 private:
  std::map<std::string, Entry> entries_;
};

}  // namespace leadsman
