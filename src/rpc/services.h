#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "rpc/grpc_call.h"
#include "rpc/grpc_server.h"
#include "rpc/tensor_proto.h"
#include "serving/predictor.h"

namespace leadsman::rpc {

/// What the methods of all services work with. Outlives every call.
struct ServiceContext {
  Predictor& predictor;
  std::function<bool()> ready;
  Authorize authorize;  ///< as GrpcServer::Options
  std::string server_version;
  MessageLimits messages;
  ModelRequests models;
  size_t max_stream_requests = 64;  ///< of one ModelStreamInfer, under way at once
  TensorValues predict_values = TensorValues::kTyped;  ///< of PredictionService.Predict

  std::atomic<bool> draining{false};
  /// Once draining: streams that have had no quiet moment until then end all the same.
  SteadyTime StreamsEndBy() const { return SteadyTime(Duration(streams_end_by_ns.load())); }
  std::atomic<int64_t> streams_end_by_ns{0};

  std::atomic<int64_t> stream_requests{0};  ///< of all ModelStreamInfers, under way now
  std::atomic<uint64_t> stream_waits{0};    ///< how often one had as many as it may have
};

/// A method with one request and one answer that runs at once: `request` is a serialized message, `response` is appended to
/// (and left unspecified on an error). Must not block for long.
using UnaryMethod = Status (*)(const ServiceContext& context, std::string_view request,
                               std::string& response);

/// The model that such a request names, a view into it; empty: none. INVALID_ARGUMENT as the method itself.
using NamedModel = Result<std::string_view> (*)(std::string_view request);

/// How calls of a method are run.
enum class MethodKind {
  kUnary,
  kV2Infer,        ///< ModelInfer
  kV2StreamInfer,  ///< ModelStreamInfer
  kLoadModel,      ///< RepositoryModelLoad
  kReload,         ///< ModelService.HandleReloadConfigRequest
  kPredict,        ///< PredictionService.Predict
  kClassify,
  kRegress,
  kMultiInference,
  kWatch,       ///< Health.Watch
  kReflection,  ///< ServerReflection.ServerReflectionInfo
};
struct Method {
  std::string_view path;  ///< "/package.Service/Method"
  MethodKind kind;
  UnaryMethod unary = nullptr;
  NamedModel named_model = nullptr;  ///< of unary methods about a model
};
/// True when the call's messages are predictions.
bool IsPrediction(MethodKind kind);
/// True when the call's messages name a model whose users are asked about.
inline bool NamesModel(const Method& method) {
  return method.named_model != nullptr || IsPrediction(method.kind);
}
/// Null when there is no such method.
const Method* FindMethod(std::string_view path);
/// "inference.GRPCInferenceService", …; as health and reflection know them.
bool HasService(std::string_view service);

// v2_service.cc
Status ServerLive(const ServiceContext&, std::string_view, std::string&);
Status ServerReady(const ServiceContext&, std::string_view, std::string&);
Status ModelReady(const ServiceContext&, std::string_view, std::string&);
Status ServerMetadata(const ServiceContext&, std::string_view, std::string&);
Status ModelMetadata(const ServiceContext&, std::string_view, std::string&);

/// Requests of the form {name = 1, version = 2}; views into `request`.
Status ParseModelRequest(std::string_view request, ModelSelector& selector);
Result<std::string_view> ModelOfV2Request(std::string_view request);

// v2_extensions.cc
Status ModelStatisticsOf(const ServiceContext&, std::string_view, std::string&);
Status ModelConfigOf(const ServiceContext&, std::string_view, std::string&);
Status RepositoryIndex(const ServiceContext&, std::string_view, std::string&);
Status RepositoryModelUnload(const ServiceContext&, std::string_view, std::string&);
/// The model that a RepositoryModelLoadRequest (or Unload) names; `given`: what it sends along, null for an unload.
Result<std::string> ParseRepositoryRequest(std::string_view request, GivenModel* given);
/// UNAVAILABLE: clients may not load and unload.
Status NotByRequest();

// tfs_service.cc
Result<std::string_view> ModelOfTfServingRequest(std::string_view request);
Status GetModelMetadata(const ServiceContext&, std::string_view, std::string&);
Status GetModelStatus(const ServiceContext&, std::string_view, std::string&);
/// tensorflow.serving.ReloadConfigRequest, taken apart.
struct ReloadRequest {
  std::string config;  ///< a serialized ModelServerConfig
  std::vector<std::string> metric_names;
  /// INVALID_ARGUMENT: malformed, or with too many metrics.
  static Result<ReloadRequest> Parse(std::string_view request);
};
/// The ReloadConfigResponse to one that was carried out. `increases`: of metric_names.
void AppendReloadResponse(const ReloadRequest& request, const std::vector<int64_t>& increases,
                          std::string& response);

// health_service.cc
enum class Health { kUnknown = 0, kServing = 1, kNotServing = 2, kServiceUnknown = 3 };
Status CheckHealth(const ServiceContext&, std::string_view, std::string&);
/// For Watch: the service that a HealthCheckRequest names, and its state now.
Result<std::string> HealthService(std::string_view request);
Health HealthOf(const ServiceContext&, std::string_view service);
void AppendHealth(std::string& out, Health health);

// reflection_service.cc
/// One ServerReflectionRequest → one ServerReflectionResponse.
Status Reflect(std::string_view request, std::string& response);

}  // namespace leadsman::rpc
