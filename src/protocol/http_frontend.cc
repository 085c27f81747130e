#include "protocol/http_frontend.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "protocol/http_answers.h"
#include "protocol/prediction_session.h"
#include "protocol/tfserving/paths.h"
#include "protocol/tfserving/status_json.h"

namespace leadsman {
namespace {

void TfServingError(net::HttpExchange& exchange, const Status& status) {
  AnswerError(exchange, TfServingHttpStatus(status.code()), status.message());
}

}  // namespace

HttpFrontend::HttpFrontend(Predictor& predictor, Options options)
    : predictor_(predictor),
      options_(WithDefaults(std::move(options))),
      v2_(predictor, V2Options()) {}

HttpFrontend::Options HttpFrontend::WithDefaults(Options options) {
  if (!options.ready) options.ready = [this] { return predictor_.SettledOnce(); };
  return options;
}

v2::V2Frontend::Options HttpFrontend::V2Options() {
  v2::V2Frontend::Options options;
  options.server_version = options_.server_version;
  options.ready = options_.ready;
  options.control = options_.control;
  options.infer = [this](net::HttpExchange& exchange, const ModelSelector& selector) {
    exchange.ConnectionState<PredictionSession>().Start(exchange, predictor_, Protocol::kV2Rest,
                                                        selector, options_.plain);
  };
  return options;
}

void HttpFrontend::Handle(net::HttpExchange& exchange) {
  std::string_view path = exchange.request().path;
  if (path.starts_with("/v2") && (path.size() == 3 || path[3] == '/')) return v2_.Handle(exchange);
  if (path.size() >= 4 && EqualsIgnoreCase(path.substr(0, 4), "/v1/"))
    return HandleTfServing(exchange);
  if (path == "/predict") return HandlePlain(exchange);
  if (path == "/") return HandleRoot(exchange);
  AnswerError(exchange, 404,
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
      return AnswerError(
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
