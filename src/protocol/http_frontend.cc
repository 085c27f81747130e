#include "protocol/http_frontend.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "net/http_status.h"
#include "protocol/http_answers.h"
#include "protocol/prediction_session.h"
#include "protocol/tfserving/paths.h"
#include "protocol/tfserving/status_json.h"

namespace leadsman {
namespace {

constexpr std::string_view kInvocationsAdvice =
    "/invocations needs to know which model: set mlflow.model in the configuration";

void TfServingError(net::HttpExchange& exchange, const Status& status) {
  AnswerError(exchange, net::HttpStatusOf(status.code()), status.message());
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
  if (!options_.metrics_path.empty() && path == options_.metrics_path) {
    if (RequireMethod(exchange, "GET")) options_.metrics(exchange);
    return;
  }
  if (path.starts_with("/v2") && (path.size() == 3 || path[3] == '/')) return v2_.Handle(exchange);
  if (path.size() >= 4 && EqualsIgnoreCase(path.substr(0, 4), "/v1/"))
    return HandleTfServing(exchange);
  if (path == "/predict" || path.starts_with("/predict/")) return HandlePlain(exchange);
  if (path == "/invocations") return HandleInvocations(exchange);
  if (path == "/ping" || path == "/health") return HandlePing(exchange);
  if (path == "/version") {
    if (RequireMethod(exchange, "GET")) exchange.response().body += options_.server_version;
    return;
  }
  if (path == "/") return HandleRoot(exchange);
  AnswerError(exchange, 404,
              StrCat("nothing at ", CutUtf8(path, 128),
                     "; models are at /v1/models/<name>:predict (TensorFlow Serving), "
                     "/v2/models/<name>/infer (Open Inference "
                     "Protocol), /invocations (MLflow) and /predict (plain JSON)"));
}

void HttpFrontend::HandleTfServing(net::HttpExchange& exchange) {
  const net::HttpRequest& request = exchange.request();
  if (options_.cors) {
    exchange.response().headers += tfserving::kCorsHeaders;
    if (request.method == "OPTIONS") {
      std::string_view origin = request.Header("origin");
      if (origin.starts_with("http://") || origin.starts_with("https://")) return;
      return TfServingError(exchange,
                            InvalidArgumentError("OPTIONS asks for an Origin that begins with "
                                                 "http:// or https://"));
    }
  }
  Result<tfserving::Path> path = tfserving::ParsePath(request.asked_method(), request.path);
  if (!path.ok()) return TfServingError(exchange, path.status());
  std::string storage[2];
  ModelSelector selector;
  selector.version = path->version;
  if (!DecodeName(path->model, storage[0], selector.model) ||
      !DecodeName(path->label, storage[1], selector.label)) {
    return TfServingError(exchange,
                          InvalidArgumentError(StrCat("Malformed request: ", request.method, " ",
                                                      CutUtf8(request.path, 256))));
  }
  if (!path->verb.empty()) {
    using tfserving::Method;
    Method method = path->verb == "classify"  ? Method::kClassify
                    : path->verb == "regress" ? Method::kRegress
                                              : Method::kPredict;
    auto& session = exchange.ConnectionState<PredictionSession>();
    session.PrepareTfServing(method, options_.max_input_bytes, options_.cors);
    session.Start(exchange, predictor_, Protocol::kTfServingRest, selector, options_.plain);
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

Status HttpFrontend::ChooseModel(std::string_view configured, std::string_view advice,
                                 std::shared_ptr<const ServableTable>& table,
                                 ModelSelector& selector) const {
  selector.model = configured;
  if (!configured.empty()) return OkStatus();
  table = predictor_.lifecycle().table().Get();
  if (table->models.size() == 1) {
    selector.model = table->models.begin()->first;
    return OkStatus();
  }
  std::vector<std::string> names;
  for (const auto& [name, model] : table->models) names.push_back(name);
  std::sort(names.begin(), names.end());
  std::string message = StrCat(advice, "; models here: ", HumanList(names));
  return names.empty() ? UnavailableError(message) : InvalidArgumentError(message);
}

void HttpFrontend::HandlePlain(net::HttpExchange& exchange) {
  if (!RequireMethod(exchange, "POST")) return;
  ModelSelector selector;
  std::shared_ptr<const ServableTable> table;
  std::string storage;
  std::string_view rest = exchange.request().path.substr(std::string_view("/predict").size());
  if (rest.size() > 1) {
    if (!DecodeName(rest.substr(1), storage, selector.model)) {
      return AnswerError(exchange, 400,
                         StrCat("the model name in ", CutUtf8(exchange.request().path, 128),
                                " is not properly percent-encoded"));
    }
  } else {
    Status chosen = ChooseModel(
        options_.plain.model,
        "/predict needs to know which model: set plain.model in the configuration, or use "
        "/predict/<name>",
        table, selector);
    if (!chosen.ok())
      return AnswerError(exchange, net::HttpStatusOf(chosen.code()), chosen.message());
  }
  exchange.ConnectionState<PredictionSession>().Start(exchange, predictor_, Protocol::kPlain,
                                                      selector, options_.plain);
}

void HttpFrontend::HandleInvocations(net::HttpExchange& exchange) {
  net::HttpResponse& response = exchange.response();
  auto error = [&](const Status& status, int http_status) {
    response.status = http_status;
    mlflow::AppendMlflowError(response.body, status);
  };
  if (exchange.request().method != "POST") {
    response.headers += "allow: POST\r\n";
    return error(InvalidArgumentError("/invocations takes POST only"), 405);
  }
  Result<mlflow::ContentType> type =
      mlflow::ParseContentType(exchange.request().Header("content-type"));
  if (!type.ok()) {
    response.status = 415;
    response.content_type = "text/plain; charset=utf-8";
    response.body += type.status().message();
    return;
  }
  ModelSelector selector;
  std::shared_ptr<const ServableTable> table;
  Status chosen = ChooseModel(options_.mlflow.model, kInvocationsAdvice, table, selector);
  if (!chosen.ok()) return error(chosen, net::HttpStatusOf(chosen.code()));
  auto& session = exchange.ConnectionState<PredictionSession>();
  session.PrepareMlflow(options_.mlflow, *type, ignored_params_);
  session.Start(exchange, predictor_, Protocol::kMlflow, selector, options_.plain);
}

void HttpFrontend::HandlePing(net::HttpExchange& exchange) {
  if (!RequireMethod(exchange, "GET")) return;
  ModelSelector selector;
  std::shared_ptr<const ServableTable> table;
  // As MLflow has it: healthy is what /invocations can score with.
  const bool one = ChooseModel(options_.mlflow.model, kInvocationsAdvice, table, selector).ok();
  const bool good = one && predictor_.Find(selector).ok();
  net::HttpResponse& response = exchange.response();
  response.status = good ? 200 : 404;
  // Nobody is asked for a token here: no names of models.
  if (!one && !table->models.empty()) response.body += kInvocationsAdvice;
  response.body += '\n';
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
  response.body += "POST /invocations   GET /ping                                   MLflow\n";
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
