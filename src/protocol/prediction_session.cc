#include "protocol/prediction_session.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "protocol/tfserving/paths.h"
#include "serving/request_guard.h"

namespace leadsman {
namespace {

/// The time that the client gives its request, in milliseconds, as our own header or Envoy's says it.
Status TakeDeadline(const net::HttpRequest& request, PredictionCall& call) {
  for (std::string_view name : {"x-request-timeout-ms", "x-envoy-expected-rq-timeout-ms"}) {
    std::string_view text = request.Header(name);
    if (text.empty()) continue;
    std::optional<int64_t> ms = ParseInt64(text);
    if (!ms || *ms < 1) {
      return InvalidArgumentError(
          StrCat("the header ", name, " must be a whole number of milliseconds, at least 1, not ",
                 text.substr(0, 32)));
    }
    constexpr int64_t kLongest = 24 * 3600 * 1000;
    call.deadline = call.received + std::chrono::milliseconds(std::min(*ms, kLongest));
    break;
  }
  return OkStatus();
}

}  // namespace

PredictionCodec& PredictionSession::CodecFor(Protocol protocol) {
  switch (protocol) {
    case Protocol::kV2Rest:
      return v2_;
    case Protocol::kPlain:
      return plain_;
    case Protocol::kMlflow:
      return mlflow_;
    default:
      if (method_ != tfserving::Method::kPredict) return examples_;
      return tfserving_;
  }
}

void PredictionSession::Start(net::HttpExchange& exchange, Predictor& predictor, Protocol protocol,
                              const ModelSelector& selector,
                              const plain::PlainOptions& plain_options) {
  const net::HttpRequest& request = exchange.request();
  exchange_ = &exchange;
  predictor_ = &predictor;
  codec_ = &CodecFor(protocol);
  plain_.SetOptions(&plain_options);
  deferred_ = false;
  cors_ = cors_ && protocol == Protocol::kTfServingRest;
  call_.Reset();
  call_.protocol = protocol;
  if (protocol == Protocol::kTfServingRest) call_.api = tfserving::ApiOf(method_);
  call_.received = request.received;
  call_.request_bytes =
      static_cast<uint32_t>(std::min<size_t>(request.wire_body_bytes, UINT32_MAX));
  std::string_view header_id = request.Header("x-request-id");

  TraceFields trace;
  for (const net::HttpRequest::Field& field : request.fields) trace.Take(field.name, field.value);
  if (call_.trace.Parse(trace)) call_.trace.SetSpanId(RandomBits());
  predictor.segments().TakeHeaders([&](std::string_view name) { return request.Header(name); },
                                   call_.segment_headers);

  bool v2 = protocol == Protocol::kV2Rest;
  Status status = Guarded("decoded", [&] { return Decode(request.body, selector); });
  TakeOrMakeRequestId(
      header_id.empty() && v2 && status.ok() ? std::string_view(v2_.id()) : header_id,
      call_.request_id);
  if (!status.ok()) return Answer(std::move(status));

  if (!call_.handle->run_inline) {
    deferred_ = true;
    exchange.Defer();
    exchange.WhenGone([this] { predictor_->Cancel(call_); });
  }
  predictor.Execute(call_, [this] { Complete(); });
}

Status PredictionSession::Decode(std::string_view body, const ModelSelector& selector) {
  RETURN_IF_ERROR(predictor_->Admit(selector, call_));
  RETURN_IF_ERROR(TakeDeadline(exchange_->request(), call_));
  if (codec_ == &v2_) v2_.SetLengthField(exchange_->request().Header(v2::InferCodec::kLengthField));
  RETURN_IF_ERROR(codec_->Decode(body, call_));
  if (codec_ == &mlflow_ && mlflow_.params_ignored())
    ignored_params_->Count(call_.handle->model_name);
  return OkStatus();
}

Status PredictionSession::Encode() {
  net::HttpResponse& response = exchange_->response();
  RETURN_IF_ERROR(codec_->Encode(call_, response.body));
  if (codec_ == &v2_ && v2_.json_size()) {
    response.content_type = "application/octet-stream";
    response.headers += v2::InferCodec::kLengthField;
    response.headers += ": ";
    response.headers += std::to_string(*v2_.json_size());
    response.headers += "\r\n";
  }
  return OkStatus();
}

void PredictionSession::Complete() {
  Status status = std::move(call_.status);
  if (status.ok()) status = Guarded("encoded", [this] { return Encode(); });
  Answer(std::move(status));
}

void PredictionSession::Answer(Status status) {
  net::HttpResponse& response = exchange_->response();
  auto fill = [&] {
    if (!status.ok()) {
      response.Clear();  // of what Encode may have left
      if (cors_) response.headers += tfserving::kCorsHeaders;
      response.status = codec_->HttpStatus(status.code());
      codec_->AppendError(response.body, status);
      // A queue empties, and a version loads, in seconds; of a server that ends, another replica is asked meanwhile.
      if (response.status == 503) response.headers += "retry-after: 1\r\n";
    }
    response.headers += "x-request-id: ";
    response.headers += call_.request_id;
    response.headers += "\r\n";
    call_.trace.ForEachAnswerField([&](std::string_view name, std::string_view value) {
      response.headers += name;
      response.headers += ": ";
      response.headers += value;
      response.headers += "\r\n";
    });
    return OkStatus();
  };
  Status filled = Guarded("written", fill);
  if (!filled.ok()) {
    // Even the words for the error have no room: the bare status, so that the request ends at all.
    response.Clear();
    response.status = 500;
    status = std::move(filled);
  }
  Status finished = Guarded("recorded", [&] {
    predictor_->Finish(call_, status, response.body.size());
    return OkStatus();
  });
  if (!finished.ok()) {
    LOG_ERROR("a request was answered, but could not be recorded", {"status", finished});
    call_.Reset();  // the version and its context are given back all the same
  }
  // Last: from here on the connection may start its next request on this session.
  if (deferred_) exchange_->FinishFromAnyThread();
}

}  // namespace leadsman
