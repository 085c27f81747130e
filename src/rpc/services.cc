#include "rpc/services.h"

#include <unordered_map>

#include "base/strings.h"

namespace leadsman::rpc {
namespace {

#define V2 "/inference.GRPCInferenceService/"
#define PREDICTION "/tensorflow.serving.PredictionService/"
#define MODEL "/tensorflow.serving.ModelService/"

/// For methods that clients know, and that this server has a reason not to have.
template <const char* kWhy>
Status Unsupported(const ServiceContext&, std::string_view, std::string&) {
  return UnimplementedError(kWhy);
}

constexpr char kNoSharedMemory[] =
    "shared memory is not supported by this server; send the data in the message";
constexpr char kNoTrace[] =
    "trace settings are not supported by this server; requests carry traceparent or b3 instead";
constexpr char kNoLog[] =
    "log settings cannot be changed by clients of this server; see 'log' in its configuration";

constexpr Method kMethods[] = {
    {V2 "ModelInfer", MethodKind::kV2Infer},
    {PREDICTION "Predict", MethodKind::kPredict},
    {V2 "ModelStreamInfer", MethodKind::kV2StreamInfer},
    {V2 "ServerLive", MethodKind::kUnary, ServerLive},
    {V2 "ServerReady", MethodKind::kUnary, ServerReady},
    {V2 "ModelReady", MethodKind::kUnary, ModelReady, ModelOfV2Request},
    {V2 "ServerMetadata", MethodKind::kUnary, ServerMetadata},
    {V2 "ModelMetadata", MethodKind::kUnary, ModelMetadata, ModelOfV2Request},
    {V2 "ModelConfig", MethodKind::kUnary, ModelConfigOf, ModelOfV2Request},
    {V2 "ModelStatistics", MethodKind::kUnary, ModelStatisticsOf, ModelOfV2Request},
    {V2 "RepositoryIndex", MethodKind::kUnary, RepositoryIndex},
    {V2 "RepositoryModelLoad", MethodKind::kLoadModel},
    {V2 "RepositoryModelUnload", MethodKind::kUnary, RepositoryModelUnload},
    {V2 "SystemSharedMemoryStatus", MethodKind::kUnary, Unsupported<kNoSharedMemory>},
    {V2 "SystemSharedMemoryRegister", MethodKind::kUnary, Unsupported<kNoSharedMemory>},
    {V2 "SystemSharedMemoryUnregister", MethodKind::kUnary, Unsupported<kNoSharedMemory>},
    {V2 "CudaSharedMemoryStatus", MethodKind::kUnary, Unsupported<kNoSharedMemory>},
    {V2 "CudaSharedMemoryRegister", MethodKind::kUnary, Unsupported<kNoSharedMemory>},
    {V2 "CudaSharedMemoryUnregister", MethodKind::kUnary, Unsupported<kNoSharedMemory>},
    {V2 "TraceSetting", MethodKind::kUnary, Unsupported<kNoTrace>},
    {V2 "LogSettings", MethodKind::kUnary, Unsupported<kNoLog>},
    {PREDICTION "GetModelMetadata", MethodKind::kUnary, GetModelMetadata, ModelOfTfServingRequest},
    {PREDICTION "Classify", MethodKind::kClassify},
    {PREDICTION "Regress", MethodKind::kRegress},
    {PREDICTION "MultiInference", MethodKind::kMultiInference},
    {MODEL "GetModelStatus", MethodKind::kUnary, GetModelStatus, ModelOfTfServingRequest},
    {MODEL "HandleReloadConfigRequest", MethodKind::kReload},
    {"/grpc.health.v1.Health/Check", MethodKind::kUnary, CheckHealth},
    {"/grpc.health.v1.Health/Watch", MethodKind::kWatch},
    {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", MethodKind::kReflection},
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", MethodKind::kReflection},
};

#undef V2
#undef PREDICTION
#undef MODEL

}  // namespace

const Method* FindMethod(std::string_view path) {
  static const auto* methods = [] {
    auto* map = new std::unordered_map<std::string_view, const Method*>();
    for (const Method& method : kMethods) map->emplace(method.path, &method);
    return map;
  }();
  auto it = methods->find(path);
  return it == methods->end() ? nullptr : it->second;
}

bool IsPrediction(MethodKind kind) {
  switch (kind) {
    case MethodKind::kV2Infer:
    case MethodKind::kV2StreamInfer:
    case MethodKind::kPredict:
    case MethodKind::kClassify:
    case MethodKind::kRegress:
    case MethodKind::kMultiInference:
      return true;
    default:
      return false;
  }
}

bool HasService(std::string_view service) {
  // Two that TensorFlow Serving calls thus for its own health service.
  if (service == "PredictionService" || service == "ModelService") return true;
  for (const Method& method : kMethods) {
    std::string_view rest = method.path.substr(1);
    if (rest.starts_with(service) && rest.substr(service.size()).starts_with('/')) return true;
  }
  return false;
}

}  // namespace leadsman::rpc
