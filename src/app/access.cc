#include "app/access.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/strings.h"

namespace leadsman {
namespace {

enum class Scope : uint8_t { kNone, kItsModel, kAny };

struct Rule {
  bool open;  ///< no token at all
  Role role;
  Scope scope;
};

/// The one table of what is needed for what.
Rule RuleOf(Operation operation, bool protect_metrics) {
  switch (operation) {
    case Operation::kProbe:
      return {true, Role::kPredict, Scope::kNone};
    case Operation::kReadMetrics:
      return {!protect_metrics, Role::kMetrics, Scope::kNone};
    case Operation::kDescribeServer:
      return {false, Role::kPredict, Scope::kNone};
    case Operation::kUseModel:
      return {false, Role::kPredict, Scope::kItsModel};
    case Operation::kListModels:
      return {false, Role::kPredict, Scope::kAny};
    case Operation::kLabel:
      // A label names a request; whose model that was is known only once they are joined.
      return {false, Role::kLabel, Scope::kNone};
    case Operation::kControl:
    case Operation::kAdminister:
      return {false, Role::kAdmin, Scope::kAny};
  }
  return {false, Role::kAdmin, Scope::kAny};
}

constexpr std::array<std::string_view, 7> kProbes = {
    "/livez", "/readyz", "/healthz", "/health", "/ping", "/v2/health/live", "/v2/health/ready"};

bool IsProbe(std::string_view method, std::string_view path) {
  return method == "GET" && std::find(kProbes.begin(), kProbes.end(), path) != kProbes.end();
}

/// Of the model whose name stands before the next of `ends`. A malformed one may be any; the protocols refuse it.
Access Using(std::string_view rest, std::string_view ends) {
  return {Operation::kUseModel,
          UrlDecode(rest.substr(0, rest.find_first_of(ends))).value_or(std::string())};
}

}  // namespace

Access ServingAccess(std::string_view method, std::string_view path, const ServingPaths& paths) {
  constexpr std::string_view kTfServing = "/v1/models/";
  constexpr std::string_view kV2 = "/v2/models/";
  constexpr std::string_view kPlain = "/predict/";
  if (IsProbe(method, path)) return {Operation::kProbe};
  if (!paths.metrics_path.empty() && path == paths.metrics_path) return {Operation::kReadMetrics};
  if (path == "/" || path == "/v2" || path == "/v2/" || path == "/version")
    return {Operation::kDescribeServer};
  if (path == "/v2/models/stats") return {Operation::kListModels};
  // TensorFlow Serving's paths are matched without regard to case, and so they are here.
  if (EqualsIgnoreCase(path.substr(0, kTfServing.size()), kTfServing))
    return Using(path.substr(kTfServing.size()), "/:");
  if (path.starts_with(kV2)) return Using(path.substr(kV2.size()), "/");
  if (NamesNoModel(path)) return {Operation::kUseModel, "", /*model_to_come=*/true};
  if (path.starts_with(kPlain)) return Using(path.substr(kPlain.size()), "");
  if (path == "/v2/repository/index") return {Operation::kListModels};
  if (path.starts_with("/v2/repository/")) return {Operation::kControl};
  if (path.starts_with("/v2/") && method != "GET") return {Operation::kControl};
  return {Operation::kListModels};
}

bool NamesNoModel(std::string_view path) {
  return path == "/predict" || path == "/predict/" || path == "/invocations";
}

Access DefaultModelAccess(std::string_view path, const ServingPaths& paths) {
  return {Operation::kUseModel, paths.default_model ? paths.default_model(path) : ""};
}

Access AdminAccess(std::string_view method, std::string_view path) {
  if (IsProbe(method, path)) return {Operation::kProbe};
  if (path == "/metrics") return {Operation::kReadMetrics};
  if (path == "/api/v1/labels" || path == "/api/v1/events" || path == "/api/v1/profiles")
    return {Operation::kLabel};
  return {Operation::kAdminister};
}

Access GrpcAccess(std::string_view method, const rpc::CalledModel& model) {
  constexpr std::array<std::string_view, 12> kOfAModel = {
      "ModelInfer",  "ModelStreamInfer", "Predict",          "Classify",
      "Regress",     "MultiInference",   "ModelReady",       "ModelMetadata",
      "ModelConfig", "ModelStatistics",  "GetModelMetadata", "GetModelStatus"};
  const std::string_view name = method.substr(method.rfind('/') + 1);
  if (method.starts_with("/grpc.health.v1.Health/") || name == "ServerLive" ||
      name == "ServerReady") {
    return {Operation::kProbe};
  }
  if (name == "ServerMetadata" || name == "ServerReflectionInfo")
    return {Operation::kDescribeServer};
  if (name == "RepositoryIndex") return {Operation::kListModels};
  if (std::find(kOfAModel.begin(), kOfAModel.end(), name) != kOfAModel.end())
    return {Operation::kUseModel, std::string(model.name), model.to_come};
  return {Operation::kControl};
}

Status CheckAccess(const Authorizer& authorizer, const Access& access,
                   std::string_view authorization) {
  const Rule rule = RuleOf(access.operation, authorizer.options().protect_metrics);
  if (rule.open) return OkStatus();
  if (rule.scope == Scope::kItsModel && access.model_to_come)
    return authorizer.CheckRole(authorization, rule.role);
  const ModelScope scope = rule.scope == Scope::kNone       ? ModelScope::None()
                           : rule.scope == Scope::kItsModel ? ModelScope::One(access.model)
                                                            : ModelScope::Any();
  return authorizer.Check(authorization, rule.role, scope);
}

bool IsAllowed(const Authorizer& authorizer, const Access& access, const net::HttpRequest& request,
               net::HttpResponse& response,
               const std::function<std::string(int, std::string_view)>& error_body) {
  const Status status = CheckAccess(authorizer, access, request.Header("authorization"));
  if (status.ok()) return true;
  response.status = status.code() == StatusCode::kUnauthenticated ? 401 : 403;
  response.body = error_body(response.status, status.message());
  if (response.status == 401) {
    response.headers += StrCat("www-authenticate: ", Authorizer::kChallenge, "\r\n");
  }
  return false;
}

}  // namespace leadsman
