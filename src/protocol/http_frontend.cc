#include "protocol/http_frontend.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "protocol/prediction_session.h"
#include "protocol/tfserving/paths.h"
#include "protocol/tfserving/status_json.h"
#include "protocol/v2/metadata_json.h"

namespace leadsman {
namespace {

void Error(net::HttpExchange& exchange, int http_status, std::string_view message) {
  net::HttpResponse& response = exchange.response();
  response.body.clear();
  response.status = http_status;
  AppendErrorBody(response.body, message);
}
void TfServingError(net::HttpExchange& exchange, const Status& status) {
  Error(exchange, TfServingHttpStatus(status.code()), status.message());
}
void V2Error(net::HttpExchange& exchange, const Status& status) {
  Error(exchange, V2HttpStatus(status.code()), status.message());
}

/// False (and a 405) when the method is another one.
bool RequireMethod(net::HttpExchange& exchange, std::string_view wanted) {
  if (exchange.request().method == wanted) return true;
  Error(exchange, 405,
        StrCat("method ", exchange.request().method.substr(0, 32), " is not allowed here; use ",
               wanted));
  exchange.response().headers += StrCat("allow: ", wanted, "\r\n");
  return false;
}

/// A name from a path. Nothing is copied unless it holds an escape.
bool DecodeName(std::string_view encoded, std::string& storage, std::string_view& name) {
  name = encoded;
  if (encoded.find('%') == std::string_view::npos) return true;
  std::optional<std::string> decoded = UrlDecode(encoded);
  if (!decoded) return false;
  storage = std::move(*decoded);
  name = storage;
  return true;
}

/// The segment before the next '/', which is taken too.
std::string_view TakeSegment(std::string_view& rest) {
  size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view segment = rest.substr(0, slash);
  rest.remove_prefix(std::min(slash + 1, rest.size()));
  return segment;
}

}  // namespace

HttpFrontend::HttpFrontend(Predictor& predictor, Options options)
    : predictor_(predictor), options_(std::move(options)) {
  if (!options_.ready) options_.ready = [this] { return predictor_.SettledOnce(); };
}

void HttpFrontend::Handle(net::HttpExchange& exchange) {
  std::string_view path = exchange.request().path;
  if (path.starts_with("/v2") && (path.size() == 3 || path[3] == '/')) return HandleV2(exchange);
  if (path.size() >= 4 && EqualsIgnoreCase(path.substr(0, 4), "/v1/"))
    return HandleTfServing(exchange);
  if (path == "/predict") return HandlePlain(exchange);
  if (path == "/") return HandleRoot(exchange);
  Error(exchange, 404,
        StrCat("nothing at ", path.substr(0, 128),
               "; models are at /v1/models/<name>:predict (TensorFlow Serving), "
               "/v2/models/<name>/infer (Open Inference "
               "Protocol) and /predict (plain JSON)"));
}

void HttpFrontend::HandleTfServing(net::HttpExchange& exchange) {
  const net::HttpRequest& request = exchange.request();
  Result<tfserving::Path> path = tfserving::ParsePath(request.method, request.path);
  if (!path.ok()) return TfServingError(exchange, path.status());
  std::string storage[2];
  ModelSelector selector;
  selector.version = path->version;
  if (!DecodeName(path->model, storage[0], selector.model) ||
      !DecodeName(path->label, storage[1], selector.label)) {
    return TfServingError(exchange,
                          InvalidArgumentError(StrCat("Malformed request: ", request.method, " ",
                                                      request.path.substr(0, 256))));
  }
  if (!path->verb.empty()) {
    using tfserving::Method;
    Method method = path->verb == "classify"  ? Method::kClassify
                    : path->verb == "regress" ? Method::kRegress
                                              : Method::kPredict;
    exchange.ConnectionState<PredictionSession>().Start(
        exchange, predictor_, Protocol::kTfServingRest, selector, options_.plain, method);
    return;
  }
  std::string& body = exchange.response().body;
  if (path->metadata) {
    Result<::leadsman::Handle> handle = predictor_.Find(selector);
    if (!handle.ok()) return TfServingError(exchange, handle.status());
    return tfserving::AppendMetadata(body, **handle);
  }
  Result<ModelStatus> model = predictor_.lifecycle().GetStatus(std::string(selector.model));
  if (!model.ok()) {
    // Find says it better: with the names of the models that are here.
    Result<::leadsman::Handle> handle = predictor_.Find(selector);
    return TfServingError(exchange, handle.ok() ? model.status() : handle.status());
  }
  std::optional<int64_t> only = selector.version;
  if (!selector.label.empty()) {
    Result<::leadsman::Handle> handle = predictor_.Find(selector);
    if (!handle.ok()) return TfServingError(exchange, handle.status());
    only = (*handle)->version;
  }
  Status status = tfserving::AppendModelStatus(body, *model, only);
  if (!status.ok()) TfServingError(exchange, status);
}

void HttpFrontend::HandleV2(net::HttpExchange& exchange) {
  const net::HttpRequest& request = exchange.request();
  std::string& body = exchange.response().body;
  std::string_view rest = request.path.substr(3);
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.empty()) {
    if (RequireMethod(exchange, "GET")) v2::AppendServerMetadata(body, options_.server_version);
    return;
  }
  if (rest == "/health/live" || rest == "/health/ready") {
    if (!RequireMethod(exchange, "GET")) return;
    bool ready = options_.ready();
    bool good = rest == "/health/live" || ready;
    exchange.response().status = good ? 200 : 400;
    body += ready ? "{\"live\":true,\"ready\":true}" : "{\"live\":true,\"ready\":false}";
    return;
  }
  rest.remove_prefix(1);
  std::string_view first = TakeSegment(rest);
  if (first != "models" || rest.empty()) {
    return V2Error(
        exchange,
        first == "models" || first == "repository" || first == "systemsharedmemory" ||
                first == "cudasharedmemory" || first == "logging" || first == "trace"
            ? UnimplementedError(StrCat("the V2 extension at ", request.path.substr(0, 128),
                                        " is not supported by this server"))
            : NotFoundError(StrCat("nothing at ", request.path.substr(0, 128),
                                   "; models are at /v2/models/<name>")));
  }
  std::string storage;
  ModelSelector selector;
  std::string_view encoded = TakeSegment(rest);
  if (encoded.empty() || !DecodeName(encoded, storage, selector.model)) {
    return V2Error(exchange,
                   InvalidArgumentError(StrCat("the model name in ", request.path.substr(0, 128),
                                               " is empty or not properly percent-encoded")));
  }
  if (rest == "versions" || rest.starts_with("versions/")) {
    TakeSegment(rest);
    std::string_view text = TakeSegment(rest);
    bool digits = !text.empty() && std::all_of(text.begin(), text.end(),
                                               [](char c) { return c >= '0' && c <= '9'; });
    if (digits) selector.version = ParseInt64(text);
    if (!selector.version) {
      return V2Error(exchange, InvalidArgumentError(StrCat("failed to get model version from '",
                                                           text.substr(0, 64),
                                                           "': a version is a whole number")));
    }
  }
  if (rest == "infer") {
    if (!RequireMethod(exchange, "POST")) return;
    exchange.ConnectionState<PredictionSession>().Start(exchange, predictor_, Protocol::kV2Rest,
                                                        selector, options_.plain);
    return;
  }
  if (rest.empty() || rest == "ready") {
    if (!RequireMethod(exchange, "GET")) return;
    Result<::leadsman::Handle> handle = predictor_.Find(selector);
    if (rest == "ready") {
      // Triton's answer for a known model that is not ready; an unknown one is told so.
      if (!handle.ok())
        return Error(exchange, 400, StrCat("Model version not ready: ", handle.status().message()));
      body += StrCat("{\"name\":");
      AppendJsonString(body, (*handle)->model_name);
      body += ",\"ready\":true}";
      return;
    }
    if (!handle.ok()) return V2Error(exchange, handle.status());
    std::vector<int64_t> versions;
    std::shared_ptr<const ServableTable> table = predictor_.lifecycle().table().Get();
    auto model = table->models.find(selector.model);
    if (model != table->models.end()) {
      for (const auto& [version, ready] : model->second.ready) versions.push_back(version);
    }
    return v2::AppendModelMetadata(body, **handle, versions);
  }
  if (rest == "config" || rest == "stats" || rest == "trace/setting" || rest == "generate" ||
      rest == "generate_stream") {
    return V2Error(exchange,
                   UnimplementedError(StrCat("the V2 extension at ", request.path.substr(0, 128),
                                             " is not supported by this server")));
  }
  V2Error(exchange, NotFoundError(StrCat("nothing at ", request.path.substr(0, 128),
                                         "; a model has /infer and /ready")));
}

void HttpFrontend::HandlePlain(net::HttpExchange& exchange) {
  if (!RequireMethod(exchange, "POST")) return;
  ModelSelector selector;
  selector.model = options_.plain.model;
  std::shared_ptr<const ServableTable> table;  // keeps the name alive
  if (selector.model.empty()) {
    table = predictor_.lifecycle().table().Get();
    if (table->models.size() != 1) {
      std::vector<std::string> names;
      for (const auto& [name, model] : table->models) names.push_back(name);
      std::sort(names.begin(), names.end());
      return Error(
          exchange, table->models.empty() ? 503 : 400,
          StrCat("/predict needs to know which model: set plain.model in the configuration, or use "
                 "/v1/models/<name>:predict; models here: ",
                 HumanList(names)));
    }
    selector.model = table->models.begin()->first;
  }
  exchange.ConnectionState<PredictionSession>().Start(exchange, predictor_, Protocol::kPlain,
                                                      selector, options_.plain);
}

void HttpFrontend::HandleRoot(net::HttpExchange& exchange) {
  if (!RequireMethod(exchange, "GET")) return;
  net::HttpResponse& response = exchange.response();
  response.content_type = "text/plain; charset=utf-8";
  response.body +=
      "Leadsman model server\n\n"
      "POST /v1/models/<name>[/versions/<n>|/labels/<l>]:predict   TensorFlow Serving REST\n"
      "GET  /v1/models/<name>[/versions/<n>|/labels/<l>][/metadata]\n"
      "POST /v2/models/<name>[/versions/<n>]/infer                 Open Inference Protocol (V2)\n"
      "GET  /v2  /v2/health/live  /v2/health/ready  /v2/models/<name>[/ready]\n";
  response.body += StrCat("POST /predict   {\"", options_.plain.input_field, "\": …} -> {\"",
                          options_.plain.prediction_field, "\": …}\n\nModels: ");
  std::shared_ptr<const ServableTable> table = predictor_.lifecycle().table().Get();
  std::vector<std::string> names;
  for (const auto& [name, model] : table->models) names.push_back(name);
  std::sort(names.begin(), names.end());
  response.body += HumanList(names);
  response.body += '\n';
}

}  // namespace leadsman
