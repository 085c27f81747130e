#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

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
  std::map<std::string, std::string> options;  ///< runtime settings, passed through
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
};

/// One version in memory. Immutable and thread-safe; contexts must be gone before it goes.
class LoadedModel {
 public:
  virtual ~LoadedModel() = default;
  virtual const Signature& signature() const = 0;
  virtual Result<std::unique_ptr<ExecutionContext>> NewContext() = 0;
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
