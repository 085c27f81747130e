#include "protocol/v2/v2_frontend.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "protocol/http_answers.h"
#include "protocol/prediction_codec.h"
#include "protocol/v2/config_json.h"
#include "protocol/v2/metadata_json.h"
#include "protocol/v2/repository.h"
#include "protocol/v2/statistics_json.h"

namespace leadsman::v2 {
namespace {

void Error(net::HttpExchange& exchange, const Status& status) {
  AnswerError(exchange, V2HttpStatus(status.code()), status.message());
}

/// The path as errors show it.
std::string_view Shown(const net::HttpExchange& exchange) {
  return CutUtf8(exchange.request().path, 128);
}

void NotSupported(net::HttpExchange& exchange, std::string_view reason) {
  Error(exchange,
        UnimplementedError(StrCat(Shown(exchange), " is not supported by this server: ", reason)));
}

void Nothing(net::HttpExchange& exchange, std::string_view advice) {
  Error(exchange, NotFoundError(StrCat("nothing at ", Shown(exchange), "; ", advice)));
}

/// Regions of shared memory: there are none, so much can be said, and none can be made.
void HandleSharedMemory(net::HttpExchange& exchange, std::string_view rest) {
  std::string_view verb = TakeSegment(rest);
  bool of_region = verb == "region";
  if (of_region) {
    TakeSegment(rest);
    verb = TakeSegment(rest);
  }
  if (verb == "status") {
    if (!RequireMethod(exchange, "GET")) return;
    if (!of_region) {
      exchange.response().body += "[]";
      return;
    }
    return Error(exchange, NotFoundError(StrCat("there is no shared memory region for ",
                                                Shown(exchange), "; none is registered here")));
  }
  if (verb == "unregister") {
    RequireMethod(exchange, "POST");  // nothing is registered: nothing is left to be done
    return;
  }
  if (verb == "register" && of_region) {
    if (!RequireMethod(exchange, "POST")) return;
    return NotSupported(exchange, "send the data in the body of the request");
  }
  Nothing(exchange, "shared memory has status, region/<name>/register and unregister");
}

void HandleTrace(net::HttpExchange& exchange) {
  NotSupported(exchange, "it writes no trace files");
}

void HandleLogging(net::HttpExchange& exchange) {
  NotSupported(exchange, "the log is set by log.level and log.format in its configuration");
}

}  // namespace

V2Frontend::V2Frontend(Predictor& predictor, Options options)
    : predictor_(predictor), options_(std::move(options)) {}

void V2Frontend::Handle(net::HttpExchange& exchange) {
  std::string& body = exchange.response().body;
  std::string_view rest = exchange.request().path.substr(3);
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.empty()) {
    if (RequireMethod(exchange, "GET")) AppendServerMetadata(body, options_.server_version);
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
  if (first == "models" && !rest.empty()) return HandleModel(exchange, rest);
  if (first == "repository") return HandleRepository(exchange, rest);
  if (first == "systemsharedmemory" || first == "cudasharedmemory")
    return HandleSharedMemory(exchange, rest);
  if (first == "trace") return HandleTrace(exchange);
  if (first == "logging") return HandleLogging(exchange);
  Nothing(exchange,
          "models are at /v2/models/<name>; POST /v2/repository/index lists what there is");
}

void V2Frontend::HandleModel(net::HttpExchange& exchange, std::string_view rest) {
  if (rest == "stats") {
    if (RequireMethod(exchange, "GET")) HandleStatistics(exchange, {});
    return;
  }
  std::string storage;
  ModelSelector selector;
  std::string_view encoded = TakeSegment(rest);
  if (encoded.empty() || !DecodeName(encoded, storage, selector.model)) {
    return Error(exchange,
                 InvalidArgumentError(StrCat("the model name in ", Shown(exchange),
                                             " is empty or not properly percent-encoded")));
  }
  if (rest == "versions" || rest.starts_with("versions/")) {
    TakeSegment(rest);
    std::string_view text = TakeSegment(rest);
    bool digits = !text.empty() && std::all_of(text.begin(), text.end(),
                                               [](char c) { return c >= '0' && c <= '9'; });
    if (digits) selector.version = ParseInt64(text);
    if (!selector.version) {
      return Error(exchange, InvalidArgumentError(StrCat("failed to get model version from '",
                                                         CutUtf8(text, 64),
                                                         "': a version is a whole number")));
    }
  }
  if (rest == "infer") {
    if (RequireMethod(exchange, "POST")) options_.infer(exchange, selector);
    return;
  }
  if (rest == "trace/setting") return HandleTrace(exchange);
  if (rest == "generate" || rest == "generate_stream") {
    if (!RequireMethod(exchange, "POST")) return;
    return NotSupported(exchange, "its models answer once per request; use …/infer");
  }
  if (!rest.empty() && rest != "ready" && rest != "config" && rest != "stats")
    return Nothing(exchange, "a model has /infer, /ready, /config and /stats");
  if (!RequireMethod(exchange, "GET")) return;
  if (rest == "stats") return HandleStatistics(exchange, selector);
  if (rest == "ready") return HandleReady(exchange, selector);
  if (rest.empty()) return HandleMetadata(exchange, selector);
  Result<::leadsman::Handle> handle = predictor_.Find(selector);
  if (!handle.ok()) return Error(exchange, handle.status());
  AppendModelConfig(exchange.response().body, **handle);
}

void V2Frontend::HandleReady(net::HttpExchange& exchange, const ModelSelector& selector) {
  Result<::leadsman::Handle> handle = predictor_.Find(selector);
  // Triton's answer for a known model that is not ready; an unknown one is told so.
  if (!handle.ok()) {
    return AnswerError(exchange, 400,
                       StrCat("Model version not ready: ", handle.status().message()));
  }
  std::string& body = exchange.response().body;
  body += "{\"name\":";
  AppendJsonString(body, (*handle)->model_name);
  body += ",\"ready\":true}";
}

void V2Frontend::HandleMetadata(net::HttpExchange& exchange, const ModelSelector& selector) {
  Result<::leadsman::Handle> handle = predictor_.Find(selector);
  if (!handle.ok()) return Error(exchange, handle.status());
  std::vector<int64_t> versions;
  if (selector.version) {
    versions.push_back(*selector.version);
  } else {
    std::shared_ptr<const ServableTable> table = predictor_.lifecycle().table().Get();
    auto model = table->models.find(selector.model);
    if (model != table->models.end()) {
      for (const auto& [version, ready] : model->second.ready) versions.push_back(version);
    }
  }
  AppendModelMetadata(exchange.response().body, **handle, versions);
}

void V2Frontend::HandleStatistics(net::HttpExchange& exchange, const ModelSelector& selector) {
  if (!selector.model.empty()) {
    // A version that is ready but has had no request yet has statistics, too: zeros.
    Result<::leadsman::Handle> handle = predictor_.Find(selector);
    if (!handle.ok()) return Error(exchange, handle.status());
  }
  AppendStatistics(exchange.response().body, *predictor_.lifecycle().table().Get(),
                   predictor_.Statistics(selector.model, selector.version), selector.model,
                   selector.version);
}

void V2Frontend::HandleRepository(net::HttpExchange& exchange, std::string_view rest) {
  std::string_view first = TakeSegment(rest);
  bool named = first != "models" && first != "index";
  if (named) first = TakeSegment(rest);
  if (first == "index" && rest.empty()) {
    if (RequireMethod(exchange, "POST")) HandleIndex(exchange);
    return;
  }
  std::string storage;
  std::string_view model;
  std::string_view encoded = TakeSegment(rest);
  bool known = first == "models" && (rest == "load" || rest == "unload");
  if (!known || encoded.empty() || !DecodeName(encoded, storage, model)) {
    return Nothing(exchange,
                   "the repository has /v2/repository/index and "
                   "/v2/repository/models/<name>/load and /unload");
  }
  if (!RequireMethod(exchange, "POST")) return;
  if (named) {
    return Error(exchange, UnimplementedError("'repository_name' specification is not supported"));
  }
  HandleLoad(exchange, std::string(model), rest == "load");
}

void V2Frontend::HandleIndex(net::HttpExchange& exchange) {
  bool only_ready = false;
  Status read = ReadIndexRequest(exchange.request().body, only_ready);
  if (!read.ok()) return Error(exchange, read);
  std::vector<ModelStatus> models =
      options_.control != nullptr ? options_.control->Index() : predictor_.lifecycle().GetStatus();
  AppendIndex(exchange.response().body, models, only_ready);
}

void V2Frontend::HandleLoad(net::HttpExchange& exchange, const std::string& model, bool load) {
  GivenModel given;
  Status read = ReadLoadRequest(exchange.request().body, load ? &given : nullptr);
  if (read.ok() && options_.control == nullptr) read = UnavailableError(ModelControl::kNotExplicit);
  if (!read.ok()) return Error(exchange, read);
  if (!load) {
    Status unloaded = options_.control->Unload(model);
    if (!unloaded.ok()) Error(exchange, unloaded);
    return;
  }
  exchange.Defer();
  options_.control->Load(model, std::move(given), [&exchange](const Status& status) {
    if (!status.ok()) Error(exchange, status);
    exchange.FinishFromAnyThread();
  });
}

}  // namespace leadsman::v2
