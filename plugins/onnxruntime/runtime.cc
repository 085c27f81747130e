#include "runtime.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace leadsman_ort {
namespace {

// The oldest runtime that serves us: of Debian 13. Newer ones keep offering this version of the
// interface.
constexpr uint32_t kApiVersion = 21;

struct TypePair {
  leadsman_dtype ours;
  ONNXTensorElementDataType ort;
  size_t size;
};
constexpr std::array<TypePair, 14> kTypes{{
    {LEADSMAN_FP32, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 4},
    {LEADSMAN_INT64, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, 8},
    {LEADSMAN_FP64, ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, 8},
    {LEADSMAN_INT32, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, 4},
    {LEADSMAN_BYTES, ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, sizeof(leadsman_string)},
    {LEADSMAN_BOOL, ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, 1},
    {LEADSMAN_UINT8, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, 1},
    {LEADSMAN_INT8, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, 1},
    {LEADSMAN_UINT16, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, 2},
    {LEADSMAN_INT16, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, 2},
    {LEADSMAN_UINT32, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, 4},
    {LEADSMAN_UINT64, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, 8},
    {LEADSMAN_FP16, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, 2},
    {LEADSMAN_BF16, ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, 2},
}};

/// libonnxruntime.so of this folder, or the newest libonnxruntime.so.N.
std::string FindIn(const std::string& folder) {
  std::string best;
  std::error_code error;
  for (auto it = std::filesystem::directory_iterator(folder, error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    std::string name = it->path().filename();
    if (name == "libonnxruntime.so") return it->path();
    bool newer = strverscmp(best.c_str(), name.c_str()) < 0;  // 1.9.0 before 1.20.1
    if (name.starts_with("libonnxruntime.so.") && newer) best = name;
  }
  return best.empty() ? best : folder + "/" + best;
}

void* Open(std::span<const leadsman_option> options, std::string& opened) {
  std::string looked_in;
  auto open = [&](const std::string& file) {
    void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) {
      opened = file;
    } else {
      looked_in += std::string("\n  ") + dlerror();
    }
    return library;
  };
  auto missing = [&] {
    return Failure{LEADSMAN_UNAVAILABLE,
                   "ONNX Runtime is not on this machine: libonnxruntime.so (in PyPI's package "
                   "onnxruntime, or Debian's "
                   "libonnxruntime) is needed. Run tools/fetch_runtimes.sh, or name the file by "
                   "LEADSMAN_ONNXRUNTIME "
                   "or its folder by LEADSMAN_RUNTIMES. Looked for:" +
                       looked_in};
  };
  for (const leadsman_option& option : options) {
    if (std::string_view(option.key) != "library") continue;
    // Named by the operator: another one found by chance would be a surprise.
    if (void* library = open(option.value)) return library;
    throw missing();
  }
  for (const leadsman_option& option : options) {
    std::string_view key = option.key;
    std::vector<std::string> folders;
    if (key == "runtime_dir")
      folders = {std::string(option.value) + "/onnxruntime/lib", option.value};
    if (key == "plugin_dir") folders = {option.value};
    for (const std::string& folder : folders) {
      std::string file = FindIn(folder);
      if (file.empty()) {
        looked_in += "\n  " + folder + "/libonnxruntime.so";
      } else if (void* library = open(file)) {
        return library;
      }
    }
  }
  if (void* library = open("libonnxruntime.so.1")) return library;
  throw missing();
}

void ORT_API_CALL LogLine(void* host, OrtLoggingLevel level, const char* category, const char* id,
                          const char* location, const char* message) {
  (void)category;
  (void)id;
  (void)location;
  const auto* to = static_cast<const leadsman_host*>(host);
  int32_t ours = level >= ORT_LOGGING_LEVEL_ERROR     ? LEADSMAN_LOG_ERROR
                 : level == ORT_LOGGING_LEVEL_WARNING ? LEADSMAN_LOG_WARN
                                                      : LEADSMAN_LOG_DEBUG;
  to->log(to->self, ours, message);
}

}  // namespace

Runtime::Runtime(const leadsman_host* host, std::span<const leadsman_option> options) {
  for (const leadsman_option& option : options) {
    std::string_view key = option.key;
    if (key != "library" && key != "runtime_dir" && key != "plugin_dir") {
      throw Failure{LEADSMAN_INVALID_ARGUMENT,
                    "unknown option \"" + std::string(key) + "\"; there is: library"};
    }
  }
  std::string file;
  // Never closed: its thread-local destructors run at the end of threads that outlive us.
  void* library = Open(options, file);
  auto get_base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(library, "OrtGetApiBase"));
  if (get_base == nullptr)
    throw Failure{LEADSMAN_UNAVAILABLE, file + " is not ONNX Runtime: it lacks OrtGetApiBase"};
  version_ = get_base()->GetVersionString();
  api_ = get_base()->GetApi(kApiVersion);
  if (api_ == nullptr) {
    throw Failure{LEADSMAN_UNAVAILABLE, file + " is ONNX Runtime " + version_ + "; 1." +
                                            std::to_string(kApiVersion) + " or newer is needed"};
  }
  Check(api_->CreateEnvWithCustomLogger(&LogLine, const_cast<leadsman_host*>(host),
                                        ORT_LOGGING_LEVEL_WARNING, "leadsman", &env_));
  Check(api_->DisableTelemetryEvents(env_));
  Check(api_->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &cpu_));
  Check(api_->GetAllocatorWithDefaultOptions(&allocator_));
}

Runtime::~Runtime() {
  if (cpu_ != nullptr) api_->ReleaseMemoryInfo(cpu_);
  if (env_ != nullptr) api_->ReleaseEnv(env_);
}

Failure Runtime::ToFailure(OrtStatus* status) const {
  Failure failure{LEADSMAN_INTERNAL, api_->GetErrorMessage(status)};
  switch (api_->GetErrorCode(status)) {
    case ORT_NO_SUCHFILE:
      failure.code = LEADSMAN_NOT_FOUND;
      break;
    case ORT_NOT_IMPLEMENTED:
      failure.code = LEADSMAN_UNIMPLEMENTED;
      break;
    case ORT_ENGINE_ERROR:
    case ORT_EP_FAIL:
      failure.code = LEADSMAN_INTERNAL;
      break;
    // The CPU kernels report what they cannot do with the values they were given (an index out of
    // range, a reshape that does not work out) as FAIL or RUNTIME_EXCEPTION; the runtime itself
    // breaking is not told apart, and rare.
    default:
      failure.code = LEADSMAN_INVALID_ARGUMENT;
      break;
  }
  if (failure.text.find("bad_alloc") != std::string::npos ||
      failure.text.find("Failed to allocate memory") != std::string::npos) {
    failure.code = LEADSMAN_RESOURCE_EXHAUSTED;
  }
  api_->ReleaseStatus(status);
  return failure;
}

void Runtime::Check(OrtStatus* status) const {
  if (status != nullptr) throw ToFailure(status);
}

leadsman_dtype FromOrt(ONNXTensorElementDataType type) {
  for (const TypePair& pair : kTypes) {
    if (pair.ort == type) return pair.ours;
  }
  return LEADSMAN_INVALID;
}

ONNXTensorElementDataType ToOrt(leadsman_dtype type) {
  for (const TypePair& pair : kTypes) {
    if (pair.ours == type) return pair.ort;
  }
  return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}

size_t ElementSize(leadsman_dtype type) {
  for (const TypePair& pair : kTypes) {
    if (pair.ours == type) return pair.size;
  }
  return 0;
}

}  // namespace leadsman_ort
