#include "app/http_access.h"

#include <algorithm>
#include <array>

#include "base/strings.h"

namespace leadsman {
namespace {

constexpr std::array<std::string_view, 7> kProbes = {
    "/livez", "/readyz", "/healthz", "/health", "/ping", "/v2/health/live", "/v2/health/ready"};

bool IsProbe(std::string_view method, std::string_view path) {
  return (method == "GET" || method == "HEAD") &&
         std::find(kProbes.begin(), kProbes.end(), path) != kProbes.end();
}

/// The name before the next of `ends`. A malformed one is about any model; the protocols refuse it.
void NameModel(std::string_view rest, std::string_view ends, HttpAccess& access) {
  const std::string_view encoded = rest.substr(0, rest.find_first_of(ends));
  auto decoded = UrlDecode(encoded);
  access.any_model = !decoded || decoded->empty();
  if (decoded) access.model = std::move(*decoded);
}

}  // namespace

HttpAccess ServingAccess(std::string_view method, std::string_view path,
                         const std::function<std::string()>& default_model) {
  HttpAccess access;
  if (IsProbe(method, path)) {
    access.open = true;
    return access;
  }
  access.role = Role::kPredict;
  constexpr std::string_view kTfServing = "/v1/models/";
  constexpr std::string_view kV2 = "/v2/models/";
  constexpr std::string_view kPlain = "/predict/";
  constexpr std::string_view kRepository = "/v2/repository/";
  // TensorFlow Serving's paths are matched without regard to case, and so they are here.
  if (path == "/v2/models/stats") {
    access.any_model = true;
  } else if (EqualsIgnoreCase(path.substr(0, kTfServing.size()), kTfServing)) {
    NameModel(path.substr(kTfServing.size()), "/:", access);
  } else if (path.starts_with(kV2)) {
    NameModel(path.substr(kV2.size()), "/", access);
  } else if (path.starts_with(kPlain) && path.size() > kPlain.size()) {
    NameModel(path.substr(kPlain.size()), "", access);
  } else if (path == "/predict" || path == kPlain || path == "/invocations") {
    access.model = default_model ? default_model() : "";
    access.any_model = access.model.empty();
  } else if (path.starts_with(kRepository)) {
    access.any_model = true;
    if (path != "/v2/repository/index") access.role = Role::kAdmin;
  } else if (path != "/" && path != "/v2" && path != "/v2/" && path != "/version") {
    access.any_model = true;
    // Settings of the server, and memory that is shared with it.
    if (path.starts_with("/v2/") && method != "GET") access.role = Role::kAdmin;
  }
  return access;
}

HttpAccess AdminAccess(std::string_view method, std::string_view path, bool protect_metrics) {
  HttpAccess access;
  if (IsProbe(method, path)) {
    access.open = true;
  } else if (path == "/metrics") {
    access.open = !protect_metrics;
    access.role = Role::kMetrics;
  } else if (path == "/api/v1/labels") {
    access.role = Role::kLabel;
  }
  return access;
}

HttpAccess GrpcAccess(std::string_view method) {
  HttpAccess access;
  const std::string_view name = method.substr(method.rfind('/') + 1);
  access.open = method.starts_with("/grpc.health.v1.Health/") || name == "ServerLive" ||
                name == "ServerReady";
  if (access.open) return access;
  constexpr std::array<std::string_view, 9> kPredictions = {
      "ModelInfer", "ModelStreamInfer", "Predict",        "Classify",
      "Regress",    "MultiInference",   "ServerMetadata", "ServerReflectionInfo",
      "SessionRun"};
  constexpr std::array<std::string_view, 7> kDescriptions = {
      "ModelReady",      "ModelMetadata",    "ModelConfig",   "ModelStatistics",
      "RepositoryIndex", "GetModelMetadata", "GetModelStatus"};
  const bool prediction =
      std::find(kPredictions.begin(), kPredictions.end(), name) != kPredictions.end();
  access.any_model = !prediction;
  if (prediction ||
      std::find(kDescriptions.begin(), kDescriptions.end(), name) != kDescriptions.end()) {
    access.role = Role::kPredict;
  }
  return access;
}

Status CheckAccess(const Authorizer& authorizer, const HttpAccess& access,
                   std::string_view authorization) {
  if (access.open) return OkStatus();
  // A name that no model has, and that no pattern of single characters is long enough for.
  static const std::string any_model(1000, '\x01');
  return authorizer.Check(authorization, access.role, access.any_model ? any_model : access.model);
}

bool IsAllowed(const Authorizer& authorizer, const HttpAccess& access, net::HttpExchange& exchange,
               const std::function<std::string(int, std::string_view)>& error_body) {
  const Status status = CheckAccess(authorizer, access, exchange.request().Header("authorization"));
  if (status.ok()) return true;
  net::HttpResponse& response = exchange.response();
  response.status = status.code() == StatusCode::kUnauthenticated ? 401 : 403;
  response.body = error_body(response.status, status.message());
  if (response.status == 401) {
    response.headers += StrCat("www-authenticate: ", Authorizer::kChallenge, "\r\n");
  }
  return false;
}

}  // namespace leadsman
