#pragma once

#include <onnxruntime_c_api.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "leadsman_backend.h"

namespace leadsman_ort {

/// What went wrong, on its way to the ABI's edge (entry.cc), where it becomes a code and a text.
struct Failure {
  leadsman_code code;
  std::string text;
};

/// Something of ONNX Runtime's with its Release function.
template <typename T>
using Owned = std::unique_ptr<T, void (*)(T*)>;

/// libonnxruntime, loaded, with its one environment. Immutable, thread-safe; lives as long as the
/// backend.
class Runtime {
 public:
  /// Throws Failure: UNAVAILABLE naming the package and every place that was looked at.
  Runtime(const leadsman_host* host, std::span<const leadsman_option> options);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  const OrtApi& api() const { return *api_; }
  OrtEnv* env() const { return env_; }
  const OrtMemoryInfo* cpu() const { return cpu_; }
  OrtAllocator* allocator() const { return allocator_; }
  const std::string& version() const { return version_; }

  /// Throws the status, if there is one, as a Failure of the same meaning.
  void Check(OrtStatus* status) const;
  /// Takes the status.
  Failure ToFailure(OrtStatus* status) const;

 private:
  const OrtApi* api_ = nullptr;
  OrtEnv* env_ = nullptr;
  OrtMemoryInfo* cpu_ = nullptr;
  OrtAllocator* allocator_ = nullptr;  ///< the default one; never released
  std::string version_;
};

/// LEADSMAN_INVALID for what the ABI has no name for.
leadsman_dtype FromOrt(ONNXTensorElementDataType type);
ONNXTensorElementDataType ToOrt(leadsman_dtype type);
size_t ElementSize(leadsman_dtype type);

}  // namespace leadsman_ort
